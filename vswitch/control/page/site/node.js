// One port of the picture: its end of the link, its name, what it carries, and what is wrong.
import { html } from "./html.js";
import { NARROW } from "./layout.js";
import { stateWord } from "./store.js";
import { bits, frames, short } from "./units.js";

export function Node({ row, rate, place, plan, href, reachable, enter }) {
  const { x, y, side } = place;
  const [dx, anchor] = { left: [-12, "end"], right: [12, "start"], top: [0, "middle"], bottom: [0, "middle"] }[side];
  const line = plan.dense ? 0 : { left: -2, right: -2, top: -24, bottom: 21 }[side];
  const kind = row.state === "up" ? (rate.drops ? "drops" : "up") : row.state;
  const radius = plan.dense ? 4 : 6;
  const name = shortened(row.port, plan);
  const second = secondLine(row, rate, plan);
  return html`<a href=${href} class=${`node ${kind}`} tabindex=${reachable ? 0 : -1} onFocus=${enter} aria-label=${words(row, rate, name, second)}>
    <rect class="target" ...${target(place, plan)} rx="6" />
    ${rate.drops > 0 && row.state === "up"
      ? html`<path class="dot" d=${`M${x} ${y - radius - 1}l${radius + 1} ${radius * 2}h${-2 * radius - 2}z`} />`
      : html`<circle class="dot" cx=${x} cy=${y} r=${radius} />`}
    ${row.state !== "up" && html`<path class="cross" d=${`M${x - radius} ${y + radius}l${2 * radius} ${-2 * radius}`} />`}
    <text x=${x + dx} y=${y + line + (plan.dense ? 4 : 0)} text-anchor=${anchor}>
      <tspan class="name">${name}</tspan>${" "}${second && (plan.dense ? html`<tspan class="rate" dx="3">${second}</tspan>` : html`<tspan class="rate" x=${x + dx} dy="15">${second}</tspan>`)}
    </text>
  </a>`;
}

/** The area that one may click, and that shows the focus. */
function target({ x, y, side }, plan) {
  if (plan.dense) {
    const width = side === "left" ? x + 8 : plan.width - x + 8;
    return { x: side === "left" ? 0 : x - 8, y: y - 10, width, height: 20 };
  }
  if (plan.bent) {
    const width = side === "left" ? x + 10 : plan.width - x + 10;
    return { x: side === "left" ? 0 : x - 10, y: y - 20, width, height: 40 };
  }
  return {
    left: { x: x - 118, y: y - 20, width: 130, height: 40 },
    right: { x: x - 12, y: y - 20, width: 130, height: 40 },
    top: { x: x - 65, y: y - 42, width: 130, height: 54 },
    bottom: { x: x - 65, y: y - 12, width: 130, height: 54 },
  }[side];
}

/** Names of one kind differ at their ends as often as where they begin. */
function shortened(name, plan) {
  const most = plan.width >= NARROW ? 14 : plan.dense ? 13 : 9;
  const end = Math.floor((most - 1) / 2);
  return name.length > most ? `${name.slice(0, most - 1 - end)}…${name.slice(-end)}` : name;
}

/** What stands below the name, or beside it where there is little room, or not at all where there is none. */
function secondLine(row, rate, plan) {
  if (plan.dense && plan.width < NARROW) return "";
  if (row.state !== "up") return stateWord(row.state);
  if (rate.drops) return `drops ${short(rate.drops).join("\u2009")}/s`;
  const busy = Math.max(rate.in.bits, rate.out.bits);
  if (!busy && plan.dense) return "";
  return busy ? bits(busy) : "quiet";
}

/** What a screen reader says of the port: what is seen, so that it can be called by that, and the rest. */
function words(row, rate, name, second) {
  const seen = `${name}${second && ` ${second}`}${name === row.port ? "" : `, ${row.port}`}`;
  if (row.state !== "up") return second ? seen : `${seen}, ${stateWord(row.state)}`;
  const drops = rate.drops ? `drops ${frames(rate.drops)}` : "no drops";
  return `${seen}, up, ${bits(rate.in.bits)} in, ${bits(rate.out.bits)} out, ${drops}`;
}
