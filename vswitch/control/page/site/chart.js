// What passed within the last minutes, in and out, with the drops: uPlot, and a legend that says the values.
import { useEffect, useRef, useState } from "./vendor/hooks.js";
import { theme } from "./actions.js";
import { html } from "./html.js";
import { useStore } from "./store.js";
import { bits, frames, quantity, short } from "./units.js";
import uPlot from "./vendor/uplot.js";

const KINDS = {
  bits: { title: "bit/s", columns: ["inBits", "outBits"], names: ["In", "Out"], say: bits },
  frames: { title: "frames/s", columns: ["inFrames", "outFrames"], names: ["In", "Out"], say: frames },
  drops: { title: "drops/s", columns: ["drops"], names: ["Drops"], say: (value) => quantity(value, "/s") },
};
const SPANS = [[60, "1 min"], [300, "5 min"], [900, "15 min"]];

/** @param {{samples: import("./rates.js").Samples | undefined, label: string, height?: number}} props */
export function Chart({ samples, label, height = 220 }) {
  useStore();
  const [kind, setKind] = useState("bits");
  const [seconds, setSeconds] = useState(300);
  const [at, setAt] = useState(null);
  const { columns, names, say } = KINDS[kind];
  const last = (samples?.at.length ?? 0) - 1;
  const index = at !== null && at <= last ? at : last;
  return html`<div class="chart">
    <div class="bar">
      <${Choice} label="Quantity" options=${Object.entries(KINDS).map(([key, each]) => [key, each.title])} value=${kind} choose=${setKind} />
      <${Choice} label="Span" options=${SPANS} value=${seconds} choose=${setSeconds} />
      <dl class="values">
        ${names.map((name, number) => html`<div key=${name} class=${name.toLowerCase()}>
          <dt>${name}</dt><dd>${told(samples?.[columns[number]][index], say)}</dd>
        </div>`)}
      </dl>
    </div>
    <${Plot} samples=${samples} columns=${columns} seconds=${seconds} height=${height} hover=${setAt} theme=${theme()}
      label=${`${label}: ${summary(samples, columns, names, say, seconds)}`} />
  </div>`;
}

/** A value, but where there is a gap. */
const told = (value, say) => (typeof value === "number" ? say(value) : "–");

function summary(samples, columns, names, say, seconds) {
  if (!samples?.at.length) return "nothing yet";
  const from = samples.at.findIndex((time) => time >= samples.at.at(-1) - seconds);
  const most = (column) => say(Math.max(0, ...samples[column].slice(from)));
  return names.map((name, number) => `${name.toLowerCase()} at most ${most(columns[number])}`).join(", ");
}

/** One of a few, as radio buttons that look like one control. */
function Choice({ label, options, value, choose }) {
  return html`<div class="choice" role="group" aria-label=${label}>
    ${options.map(([key, title]) => html`<button key=${key} type="button" aria-pressed=${key === value} onClick=${() => choose(key)}>${title}</button>`)}
  </div>`;
}

function Plot({ samples, columns, seconds, height, hover, theme: colours, label }) {
  const place = useRef(null);
  const plot = useRef(null);
  useEffect(() => {
    const made = new uPlot(options(columns, place.current.clientWidth, height, hover), [[], ...columns.map(() => [])], place.current);
    plot.current = made;
    const observer = new ResizeObserver(([entry]) => made.setSize({ width: Math.floor(entry.contentRect.width), height }));
    observer.observe(place.current);
    return () => {
      observer.disconnect();
      made.destroy();
    };
  }, [columns, colours, height]);
  useEffect(() => {
    if (!samples?.at.length) return;
    const end = samples.at.at(-1);
    const shown = Math.max(SPANS[0][0], Math.min(seconds, end - samples.at[0]));
    plot.current.batch(() => {
      plot.current.setData([samples.at, ...columns.map((column) => samples[column])], false);
      plot.current.setScale("x", { min: end - shown, max: end });
    });
  });
  return html`<div class="plot" ref=${place} role="img" aria-label=${label}></div>`;
}

/** 5 k rather than 5.00 k. @param {number} value */
function tick(value) {
  const [digits, prefix] = short(value);
  return `${Number(digits)}\u2009${prefix}`;
}

/** As the style sheet has the colours, which a canvas cannot take from it. */
function options(columns, width, height, hover) {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axis = {
    stroke: colour("--quiet"),
    font: "11px system-ui, sans-serif",
    grid: { stroke: colour("--hair"), width: 1 },
    ticks: { show: false },
  };
  const looks = {
    drops: { stroke: colour("--bad"), fill: colour("--bad-faint"), width: 1.5 },
    in: { stroke: colour("--accent"), fill: colour("--accent-faint"), width: 1.5 },
    out: { stroke: colour("--ink"), width: 1.25, dash: [4, 2] },
  };
  return {
    width,
    height,
    legend: { show: false },
    cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
    padding: [10, 24, 0, 0],
    scales: { x: { time: true, auto: false }, y: { range: (_, low, high) => [0, Math.max(1, high * 1.1)] } },
    axes: [
      { ...axis, space: 70, size: 26, values: (_, times) => times.map((time) => new Date(time * 1000).toLocaleTimeString("en-GB")) },
      { ...axis, size: 52, space: 36, values: (_, values) => values.map(tick) },
    ],
    series: [{}, ...columns.map((column) => ({ ...looks[column.replace(/[A-Z].*/, "")], points: { show: false } }))],
    hooks: { setCursor: [(plot) => hover(plot.cursor.idx ?? null)] },
  };
}
