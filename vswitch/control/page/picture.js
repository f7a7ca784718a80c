// The switch as a picture: ports around it, links as thick as their traffic.
import { useLayoutEffect, useRef, useState } from "./vendor/hooks.js";
import { html } from "./html.js";
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
  return html`<g class="box" aria-hidden="true">
    <rect x=${box.x} y=${box.y} width=${box.width} height=${box.height} rx="10" />
    <text x=${middle} y=${y - 4} class="name">${box.width < 100 && name.length > 7 ? `${name.slice(0, 6)}…` : name.length > 15 ? `${name.slice(0, 14)}…` : name}</text>
    <text x=${middle} y=${y + 14} class="flow">${bits(flow)}</text>
  </g>`;
}

/** Two lanes beside each other: in, on the right hand of the way to the switch, and out. */
function Link({ row, rate, place, plan }) {
  const up = row.state === "up";
  if (!up) return html`<path class="wire down" d=${way(place, plan, 0)} />`;
  const into = thickness(rate.in.bits, plan.dense);
  const out = thickness(rate.out.bits, plan.dense);
  const gap = plan.dense ? 0.5 : 1;
  return html`<g class=${rate.drops ? "drops" : ""}>
    ${!into && !out && html`<path class="wire" d=${way(place, plan, 0)} />`}
    ${into > 0 && html`<${Lane} kind="in" d=${way(place, plan, into / 2 + gap)} width=${into} dense=${plan.dense} />`}
    ${out > 0 && html`<${Lane} kind="out" d=${way(place, plan, -out / 2 - gap, true)} width=${out} dense=${plan.dense} />`}
  </g>`;
}

const Lane = ({ kind, d, width, dense }) => html`
  <path class=${`lane ${kind}`} d=${d} stroke-width=${width} />
  <path class=${`${dense ? "" : "moves "}beat ${kind}`} d=${d} stroke-width=${Math.max(1, width * 0.45)} />
`;

/** The line from a port to the switch, moved aside; or back. */
function way({ x, y, hub }, { bent, width }, aside, back = false) {
  if (bent) {
    const middle = (x + hub.x) / 2;
    const shift = x < width / 2 ? aside : -aside;
    const [a, b] = [`${x} ${y + shift}`, `${hub.x} ${hub.y + shift}`];
    const [c, d] = [`${middle} ${y + shift}`, `${middle} ${hub.y + shift}`];
    return back ? `M${b}C${d} ${c} ${a}` : `M${a}C${c} ${d} ${b}`;
  }
  const length = Math.hypot(hub.x - x, hub.y - y) || 1;
  const dx = (-(hub.y - y) / length) * aside;
  const dy = ((hub.x - x) / length) * aside;
  const [a, b] = [`${x + dx} ${y + dy}`, `${hub.x + dx} ${hub.y + dy}`];
  return back ? `M${b}L${a}` : `M${a}L${b}`;
}

function Legend() {
  return html`<ul class="legend" aria-hidden="true">
    <li><svg width="34" height="12"><path class="lane in" d="M0 6H34" stroke-width="6" /><path class="beat in" d="M0 6H34" stroke-width="2.5" /></svg>in, from the guest</li>
    <li><svg width="34" height="12"><path class="lane out" d="M0 6H34" stroke-width="6" /><path class="beat out" d="M0 6H34" stroke-width="2.5" /></svg>out, to the guest</li>
    <li>${[1e4, 1e6, 1e8, 1e10].map((rate) => html`<svg width="14" height="14"><path class="lane scale" d="M0 7H14" stroke-width=${thickness(rate, false)} /></svg>`)}10 k, 1 M, 100 M, 10 Gbit/s</li>
  </ul>`;
}
