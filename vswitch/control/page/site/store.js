// What the page knows, in one place, and who wants to hear of changes.
import { useEffect, useReducer } from "./vendor/hooks.js";
import { Meter } from "./rates.js";

/** Events and decoded frames that are kept. */
const EVENTS = 500;
const FRAMES = 200;

export const store = {
  /** @type {"connecting" | "live" | "lost"} */
  link: "connecting",
  /** When the next attempt is made, as of Date.now(). */
  retry: 0,
  paused: false,
  hello: null,
  /** The last state message. */
  state: null,
  meter: new Meter(),
  /** Whether there are mirrors. */
  mirrors: false,
  /** Events of the history, the last first. */
  events: [],
  /** Decoded frames of one port, the last first. */
  frames: { port: null, rows: [], lost: 0 },
  /** The last thing that the switch or the page has to say, for screen readers. */
  said: "",
  /** Whether nothing is shown without the token. */
  locked: false,
  /** A sentence that stays until it is dismissed. */
  error: "",
};

const listeners = new Set();

/** Tell everybody who looks. */
export function changed() {
  for (const listener of listeners) listener();
}

/** Draw the component again whenever something changed. */
export function useStore() {
  const [, again] = useReducer((count) => count + 1, 0);
  useEffect(() => {
    listeners.add(again);
    return () => listeners.delete(again);
  }, []);
  return store;
}

/** Whether the switch lets this page do something. @param {string} what */
export const may = (what) => store.hello?.may.includes(what) ?? false;

/** One message of the switch. */
export function take(message) {
  const act = { hello, state, history, frames, error }[message.type];
  act?.(message);
  if (!store.paused || message.type !== "state") changed();
}

/** The connection is gone. @param {number} retry */
export function lost(retry) {
  if (store.link === "live") store.said = `The connection to ${store.hello?.switch ?? "the switch"} is lost.`;
  store.link = "lost";
  store.retry = retry;
  store.meter.gap();
  changed();
}

function hello(message) {
  if (store.hello && Math.abs(store.hello.started - message.started) > 2) store.meter = new Meter();
  if (store.link === "lost") store.said = `Connected to ${message.switch} again.`;
  store.hello = message;
  store.link = "live";
  store.locked = false;
  store.events = [];
  document.title = `${message.switch} · vswitch`;
}

function state(message) {
  if (store.paused) {
    store.meter.feed(message);
    return;
  }
  tell(store.state?.ports ?? [], message.ports);
  store.meter.feed(message);
  store.state = message;
}

/** Ports whose state changed are said, all else is not: a page that talks all the time is turned off. */
function tell(before, now) {
  const states = new Map(before.map((row) => [row.port, row.state]));
  const turned = now.filter((row) => states.has(row.port) && states.get(row.port) !== row.state);
  if (turned.length > 3) store.said = `${turned.length} ports changed their state.`;
  else if (turned.length) store.said = turned.map((row) => `Port ${row.port} is ${stateWord(row.state)}.`).join(" ");
}

/** @param {string} state */
export const stateWord = (state) => state.replace("_", " ");

function history(message) {
  const events = message.events.toSorted((a, b) => b.time.localeCompare(a.time));
  store.events = [...events, ...store.events].slice(0, EVENTS);
}

function frames(message) {
  if (message.port !== store.frames.port) return;
  store.frames.rows = [...message.frames.toReversed(), ...store.frames.rows].slice(0, FRAMES);
  store.frames.lost += message.lost;
}

function error(message) {
  store.error = message.message;
}
