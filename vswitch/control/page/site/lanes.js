// A link of the picture: two lanes beside each other, each as thick as its traffic, with an arrow at its end.
import { html } from "./html.js";
import { thickness } from "./layout.js";

/** How far a lane goes on below the switch, so that no end of it is seen. */
const UNDER = 14;

export function Link({ row, rate, place, plan }) {
  const line = ends(place, plan);
  if (row.state !== "up") return html`<path class="wire down" d=${between(line, line.port, line.hub, plan)} />`;
  const into = thickness(rate.in.bits, plan.dense);
  const out = thickness(rate.out.bits, plan.dense);
  if (!into && !out) return html`<path class="wire" d=${between(line, line.port, line.hub, plan)} />`;
  const gap = plan.dense ? 0.5 : 1.5;
  const both = into > 0 && out > 0;
  return html`<g class=${rate.drops ? "drops" : ""}>
    ${into > 0 && html`<${Lane} kind="in" width=${into} aside=${both ? into / 2 + gap : 0} line=${line} plan=${plan} />`}
    ${out > 0 && html`<${Lane} kind="out" width=${out} aside=${both ? -out / 2 - gap : 0} line=${line} plan=${plan} />`}
  </g>`;
}

/** Both ends of a link, with the way from the port to the switch and across it, as unit vectors. */
function ends({ x, y, hub }, plan) {
  const away = plan.dense ? 8 : 11;
  const length = Math.hypot(hub.x - x, hub.y - y) || 1;
  const way = plan.bent ? { x: Math.sign(hub.x - x), y: 0 } : { x: (hub.x - x) / length, y: (hub.y - y) / length };
  return { port: along({ x, y }, way, away), hub, way, across: { x: -way.y, y: way.x } };
}

const along = (point, way, by) => ({ x: point.x + way.x * by, y: point.y + way.y * by });

/** The line from one point to another, bent where the ports stand in columns. */
function between({ way }, from, to, plan) {
  const begin = `M${at(from)}`;
  if (!plan.bent) return `${begin}L${at(to)}`;
  const turn = (Math.abs(to.x - from.x) / 2) * way.x * Math.sign((to.x - from.x) * way.x);
  return `${begin}C${at({ x: from.x + turn, y: from.y })} ${at({ x: to.x - turn, y: to.y })} ${at(to)}`;
}

const at = ({ x, y }) => `${x.toFixed(1)} ${y.toFixed(1)}`;

function Lane({ kind, width, aside, line, plan }) {
  const port = along(line.port, line.across, aside);
  const hub = along(line.hub, line.across, aside);
  const head = arrowLength(plan.dense);
  const back = { x: -line.way.x, y: -line.way.y };
  const d = kind === "in"
    ? between(line, port, along(hub, back, head), plan)
    : between(line, along(hub, line.way, UNDER), along(port, line.way, head), plan);
  return html`
    <path class=${`lane ${kind}`} d=${d} stroke-width=${width.toFixed(1)} />
    ${!plan.dense && html`<path class=${`beat moves ${kind}`} d=${d} stroke-width=${Math.min(3, width * 0.5).toFixed(1)} />`}
    <${Arrow} kind=${kind} tip=${kind === "in" ? hub : port} way=${kind === "in" ? line.way : back} width=${width} dense=${plan.dense} />
  `;
}

const arrowLength = (dense) => (dense ? 6 : 9);

export function Arrow({ kind, tip, way, width, dense }) {
  const base = along(tip, way, -arrowLength(dense));
  const half = Math.max(dense ? 2.5 : 4, width / 2 + (dense ? 1 : 2));
  const across = { x: -way.y, y: way.x };
  return html`<path class=${`arrow ${kind}`} d=${`M${at(tip)}L${at(along(base, across, half))}L${at(along(base, across, -half))}Z`} />`;
}
