// Small pictures, drawn with the colour of the text. They say nothing to a screen reader: words stand beside them.
import { html } from "./html.js";

const icon = (body) => html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">${body}</svg>`;

export const Sun = () => icon(html`<circle cx="8" cy="8" r="3" /><path d="M8 1.5v1.6M8 12.9v1.6M1.5 8h1.6M12.9 8h1.6M3.4 3.4l1.1 1.1M11.5 11.5l1.1 1.1M3.4 12.6l1.1-1.1M11.5 4.5l1.1-1.1" />`);
export const Moon = () => icon(html`<path d="M13.2 9.7A5.6 5.6 0 0 1 6.3 2.8a5.6 5.6 0 1 0 6.9 6.9z" />`);
export const Pause = () => icon(html`<path d="M5.5 3.5v9M10.5 3.5v9" />`);
export const Play = () => icon(html`<path d="M5 3.2v9.6L12.5 8z" />`);
export const Lock = () => icon(html`<rect x="3" y="7" width="10" height="6.5" rx="1.2" /><path d="M5.2 7V5a2.8 2.8 0 0 1 5.6 0v2" />`);
export const Open = () => icon(html`<rect x="3" y="7" width="10" height="6.5" rx="1.2" /><path d="M5.2 7V5a2.8 2.8 0 0 1 5.4-1" />`);
export const Close = () => icon(html`<path d="M3.5 3.5l9 9M12.5 3.5l-9 9" />`);
export const Up = () => icon(html`<path d="M8 13V3M4 7l4-4 4 4" />`);
export const Down = () => icon(html`<path d="M8 3v10M4 9l4 4 4-4" />`);
export const Find = () => icon(html`<circle cx="7" cy="7" r="4.2" /><path d="M10.2 10.2l3.6 3.6" />`);
export const Mark = () => html`<svg viewBox="0 0 32 32" class="mark" aria-hidden="true" focusable="false">
  <rect x="1" y="1" width="30" height="30" rx="7" />
  <path d="M8 12h15m-4-4 4 4-4 4M24 20H9m4-4-4 4 4 4" />
</svg>`;
