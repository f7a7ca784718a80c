// The switch as a picture: ports around it, links as thick as their traffic.
import { useLayoutEffect, useRef, useState } from "./vendor/hooks.js";
import { html } from "./html.js";
import { Arrow, Link } from "./lanes.js";
import { MOST, layout, thickness } from "./layout.js";
import { Node } from "./node.js";
import { rest } from "./rates.js";
import { portLink } from "./route.js";
import { useStore } from "./store.js";
import { bits, plural } from "./units.js";

export function Picture() {
  const { state, hello, meter } = useStore();
  const [ref, width] = useWidth();
  const [at, setAt] = useState(0);
  const rows = state.ports.slice(0, MOST);
  const plan = width ? layout(rows.length, width) : null;
  const keys = (event) => walk(event, at, rows.length, setAt);
  return html`<figure class="picture" ref=${ref}>
    ${plan && html`<svg width=${plan.width} height=${plan.height} viewBox=${`0 0 ${plan.width} ${plan.height}`} role="group"
        aria-label=${`Ports of ${hello.switch}`} aria-describedby="picture-in-words" class=${plan.dense ? "dense" : ""} onKeyDown=${keys}>
      ${rows.map((row, index) => html`<${Link} key=${row.port} row=${row} rate=${meter.rates.get(row.port) ?? rest()} place=${plan.places[index]} plan=${plan} />`)}
      <${Box} box=${plan.box} name=${hello.switch} flow=${meter.sum.in.bits} />
      ${rows.map((row, index) => html`<${Node} key=${row.port} row=${row} rate=${meter.rates.get(row.port) ?? rest()} place=${plan.places[index]}
        plan=${plan} href=${portLink(row.port)} reachable=${index === Math.min(at, rows.length - 1)} enter=${() => setAt(index)} />`)}
    </svg>`}
    <figcaption>
      <${Legend} />
      <p id="picture-in-words">${inWords(state, meter)}</p>
    </figcaption>
  </figure>`;
}

/** The width of an element, as it is now. */
function useWidth() {
  const ref = useRef(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  return [ref, width];
}

/** Arrow keys go from port to port: the picture is one stop of the Tab key. */
function walk(event, at, count, setAt) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const next = event.key === "Home" ? 0 : event.key === "End" ? count - 1 : step ? (at + step + count) % count : -1;
  if (next < 0) return;
  event.preventDefault();
  setAt(next);
  event.currentTarget.querySelectorAll("a")[next].focus();
}

/** The text that stands for the picture, short enough to be read to the end. */
function inWords({ ports }, meter) {
  const down = ports.filter((row) => row.state !== "up").map((row) => row.port);
  const dropping = ports.filter((row) => meter.rates.get(row.port)?.drops > 0).map((row) => row.port);
  const busiest = ports.reduce((best, row) => (busy(meter, row.port) > busy(meter, best?.port) ? row : best), null);
  return [
    `${plural(ports.length, "port")}, ${some(down, "down", "all up")}; ${some(dropping, "dropping", "none drops")}.`,
    busiest && `The most passes ${busiest.port}: ${bits(busy(meter, busiest.port))} in and out.`,
    ports.length > MOST && `The first ${MOST} are drawn; the table has all.`,
  ].filter(Boolean).join(" ");
}

const busy = (meter, name) => {
  const rate = meter.rates.get(name);
  return rate ? rate.in.bits + rate.out.bits : 0;
};

const some = (names, what, none) =>
  names.length === 0 ? none : names.length <= 3 ? `${names.join(", ")} ${what}` : `${names.length} ${what}`;

function Box({ box, name, flow }) {
  const middle = box.x + box.width / 2;
  const y = box.y + box.height / 2;
  const short = name.length > 15 ? `${name.slice(0, 14)}…` : name;
  if (box.width < 100) return html`<g class="box" aria-hidden="true">
    <rect x=${box.x} y=${box.y} width=${box.width} height=${box.height} rx="8" />
    <text transform=${`translate(${middle + 5} ${y}) rotate(-90)`} class="name">${short}</text>
  </g>`;
  return html`<g class="box" aria-hidden="true">
    <rect x=${box.x} y=${box.y} width=${box.width} height=${box.height} rx="10" />
    <text x=${middle} y=${y - 4} class="name">${short}</text>
    <text x=${middle} y=${y + 14} class="flow">${bits(flow)}</text>
  </g>`;
}

function Legend() {
  return html`<ul class="legend" aria-hidden="true">
    ${[["in", "from the guest"], ["out", "to the guest"]].map(([kind, words]) => html`<li key=${kind}>
      <svg width="40" height="14"><path class=${`lane ${kind}`} d="M0 7H31" stroke-width="6" /><path class=${`beat ${kind}`} d="M4 7H30" stroke-width="2" />
        <${Arrow} kind=${kind} tip=${{ x: 40, y: 7 }} way=${{ x: 1, y: 0 }} width=${6} dense=${false} /></svg>
      ${kind}, ${words}</li>`)}
    <li>${[1e4, 1e6, 1e8, 1e10].map((rate) => html`<svg key=${rate} width="14" height="14"><path class="lane scale" d="M0 7H14" stroke-width=${thickness(rate, false)} /></svg>`)}
      <span>10 k, 1 M, 100 M, 10 Gbit/s</span></li>
  </ul>`;
}
