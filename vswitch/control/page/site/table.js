// Tables that sort by a click on a heading, and show what has the letters of a search.
import { useMemo, useState } from "./vendor/hooks.js";
import { html } from "./html.js";
import { Down, Find, Up } from "./icons.js";
import { whole } from "./units.js";

/** Rows that are shown at most: a search finds the others. */
const MOST = 500;

/**
 * @typedef {object} Column
 * @property {string} title
 * @property {(row: any) => any} value what it is sorted by
 * @property {(row: any) => any} [cell] what is shown, if not the value
 * @property {boolean} [number] numbers stand right, the largest first
 * @property {"some" | "wide"} [room] shown where there is some room, or much
 */

/** @param {{caption: string, columns: Column[], rows: any[], name: (row: any) => string, find?: (row: any) => string,
 *    hint?: string, empty?: string, begin?: {column: number, down: boolean} | null, aside?: any}} props */
export function Table({ caption, columns, rows, name, find, hint = "Filter", empty = "Nothing yet.", begin = null, aside }) {
  const [order, setOrder] = useState(begin);
  const [text, setText] = useState("");
  const found = useMemo(() => (find && text ? rows.filter((row) => matches(find(row), text)) : rows), [rows, text]);
  const sorted = useMemo(() => (order ? sort(found, columns[order.column], order.down) : found), [found, order]);
  return html`<div class="tabled">
    ${(find || aside) && html`<div class="bar">
      ${find && html`<${Search} text=${text} setText=${setText} hint=${hint} />`}
      <span class="count">${text ? `${whole(found.length)} of ${whole(rows.length)}` : ""}</span>
      ${aside}
    </div>`}
    <div class="scrolls" role="region" aria-label=${caption} tabindex="0">
      <table>
        <caption class="unseen">${caption}</caption>
        <thead><tr>${columns.map((column, index) => html`<${Heading} key=${column.title} column=${column} index=${index} order=${order} setOrder=${setOrder} />`)}</tr></thead>
        <tbody>
          ${sorted.slice(0, MOST).map((row) => html`<tr key=${name(row)} data-row=${name(row)}>
            ${columns.map((column, index) => html`<${Cell} key=${column.title} column=${column} row=${row} heads=${index === 0} />`)}
          </tr>`)}
        </tbody>
      </table>
      ${sorted.length === 0 && html`<p class="empty">${text ? `Nothing here has “${text}”.` : empty}</p>`}
    </div>
    ${sorted.length > MOST && html`<p class="empty">${whole(sorted.length - MOST)} more are not shown: search for them.</p>`}
  </div>`;
}

function Heading({ column, index, order, setOrder }) {
  const sorted = order?.column === index;
  const turn = () => setOrder({ column: index, down: sorted ? !order.down : Boolean(column.number) });
  const direction = sorted ? (order.down ? "descending" : "ascending") : undefined;
  return html`<th scope="col" class=${classes(column)} aria-sort=${direction}>
    <button type="button" onClick=${turn}>${column.title}${sorted && (order.down ? html`<${Down} />` : html`<${Up} />`)}</button>
  </th>`;
}

function Cell({ column, row, heads }) {
  const shown = column.cell ? column.cell(row) : column.value(row);
  return heads
    ? html`<th scope="row" class=${classes(column)}>${shown}</th>`
    : html`<td class=${classes(column)}>${shown}</td>`;
}

const classes = ({ number, room }) => [number && "number", room].filter(Boolean).join(" ");

export function Search({ text, setText, hint }) {
  const escape = (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    event.preventDefault();
    if (text) setText("");
    else event.target.blur();
  };
  return html`<label class="search">
    <${Find} /><span class="unseen">${hint}</span>
    <input type="search" placeholder=${hint} value=${text} onInput=${(event) => setText(event.target.value)} onKeyDown=${escape} spellcheck=${false} />
    <kbd aria-hidden="true">/</kbd>
  </label>`;
}

/** Every word has to be there. */
function matches(where, text) {
  const low = where.toLowerCase();
  return text.toLowerCase().split(/\s+/).every((word) => low.includes(word));
}

function sort(rows, column, down) {
  const turn = down ? -1 : 1;
  return rows.toSorted((a, b) => turn * compare(column.value(a), column.value(b)));
}

const letters = new Intl.Collator("en", { numeric: true });
const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : letters.compare(a, b));
