// The connection to the switch: one WebSocket, made again whenever it is lost, sooner first and then ever later.
import { token } from "./token.js";

const FIRST = 0.5;
const LONGEST = 8;
/** Seconds beyond the interval without a message, after which the connection is taken to be dead. */
const SILENT = 6;

/**
 * @typedef {{message: (message: any) => void, opened: () => void, lost: (retry: number) => void}} Listener
 * retry: when the next attempt is made, in milliseconds as of Date.now().
 */
export class Live {
  /** @param {Listener} listener */
  constructor(listener) {
    this.listener = listener;
    this.delay = FIRST;
    this.interval = 1;
    this.timer = 0;
    this.watchdog = 0;
    this.wanted = {};
    this.socket = null;
  }

  open() {
    clearTimeout(this.timer);
    const protocols = ["vswitch.v1"];
    if (token()) protocols.push(`token.${token()}`);
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/live`, protocols);
    this.socket = socket;
    socket.onopen = () => this.listener.opened();
    socket.onmessage = (event) => this.#heard(JSON.parse(event.data));
    socket.onclose = () => socket === this.socket && this.#lost();
    this.#watch();
  }

  /** Begin anew at once, such as with another token. */
  reopen() {
    const old = this.socket;
    this.socket = null;
    old?.close();
    this.delay = FIRST;
    this.open();
  }

  /** Ask the switch for something, now and after each reconnection. @param {string} what @param {any} value */
  ask(what, value) {
    this.wanted[what] = value;
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ [what]: value }));
  }

  #heard(message) {
    this.#watch();
    if (message.type === "hello") {
      this.delay = FIRST;
      this.interval = message.interval;
      for (const [what, value] of Object.entries(this.wanted)) if (value !== null) this.ask(what, value);
    }
    this.listener.message(message);
  }

  #watch() {
    clearTimeout(this.watchdog);
    this.watchdog = setTimeout(() => {
      const silent = this.socket;
      this.socket = null;
      silent?.close();
      this.#lost();
    }, (this.interval + SILENT) * 1000);
  }

  #lost() {
    clearTimeout(this.watchdog);
    clearTimeout(this.timer);
    const wait = this.delay * (0.8 + 0.4 * Math.random()) * 1000;
    this.delay = Math.min(LONGEST, this.delay * 2);
    this.timer = setTimeout(() => this.open(), wait);
    this.listener.lost(Date.now() + wait);
  }
}
