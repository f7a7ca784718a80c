// Values as they stand in the page: digits, a quieter unit, and the exact number for those who read it by program.
import { html } from "./html.js";
import { short, whole } from "./units.js";

/** A rate. Nothing is a quiet zero. */
export function Rate({ value, unit = "" }) {
  const [digits, prefix] = short(value);
  return html`<data value=${value} class=${value ? "" : "nil"}>${digits}${(prefix || unit) && html`${" "}<small>${prefix}${unit}</small>`}</data>`;
}

/** A count. */
export const Count = ({ value }) => html`<data value=${value} class=${value ? "" : "nil"}>${whole(value)}</data>`;

/** A port's state as a shape and, unless there is no room, a word. */
export function State({ state, bare = false }) {
  const word = state.replace("_", " ");
  return html`<span class=${`state ${state}`}>
    <svg viewBox="0 0 12 12" aria-hidden="true" focusable="false">
      <circle cx="6" cy="6" r="4.2" />
      ${state === "down" && html`<path d="M3 9l6-6" />`}
    </svg>
    <span class=${bare ? "unseen" : ""}>${word}</span>
  </span>`;
}

/** A port's VLANs in words: "access 10", "trunk 10, 20-29, native 1". @param {Record<string, any>} vlan */
export function vlanWords(vlan) {
  const words = Object.entries(vlan).map(([key, value]) => `${key} ${[value].flat().join(", ")}`);
  return words.join(", ") || "–";
}
