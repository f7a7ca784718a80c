// The last two minutes of a port in the space of a word: in as an area, out as a line.
import { html } from "./html.js";

const POINTS = 120;
const WIDTH = 120;
const HEIGHT = 22;

/** @param {{samples: import("./rates.js").Samples | undefined}} props */
export function Sparkline({ samples }) {
  if (!samples) return html`<svg class="spark" width=${WIDTH} height=${HEIGHT} aria-hidden="true"></svg>`;
  const into = samples.inBits.slice(-POINTS);
  const out = samples.outBits.slice(-POINTS);
  const top = Math.max(1, ...into, ...out);
  const line = (values) => values.map((value, index) => `${index ? "L" : "M"}${place(index, values.length)} ${height(value, top)}`).join("");
  const area = `${line(into)}V${HEIGHT}H${place(0, into.length)}Z`;
  return html`<svg class="spark" width=${WIDTH} height=${HEIGHT} viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true" focusable="false">
    <path class="area" d=${area} />
    <path class="in" d=${line(into)} />
    <path class="out" d=${line(out)} />
  </svg>`;
}

/** The newest is at the right, whatever is missing at the left. */
const place = (index, count) => (WIDTH - ((count - 1 - index) * WIDTH) / (POINTS - 1)).toFixed(1);
const height = (value, top) => (HEIGHT - 1.5 - ((value ?? 0) / top) * (HEIGHT - 3)).toFixed(1);
