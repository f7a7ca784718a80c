// Small pieces that several views have.
import { html } from "./html.js";
import { portLink } from "./route.js";

/** The name of a port, which opens it; it may be gone by now. */
export const PortName = ({ name }) => html`<a class="port" href=${portLink(name)}>${name}</a>`;

/** Some of them by name, the others by their number. */
export function PortNames({ names, most = 16 }) {
  if (!names.length) return "–";
  const shown = names.length > most + 1 ? names.slice(0, most) : names;
  const others = names.slice(shown.length);
  return html`<span class="ports">
    ${shown.map((name) => html`<${PortName} key=${name} name=${name} />`)}
    ${others.length > 0 && html`<small title=${others.join(" ")}>and ${others.length} more</small>`}
  </span>`;
}

/** A section of a view. */
export const Card = ({ title, kind = "", children }) => html`<section class=${`card ${kind}`}>
  <h2>${title}</h2>
  ${children}
</section>`;

/** A sentence of the switch that something was refused. */
export const Refusal = ({ text }) => (text ? html`<p class="refusal" role="alert">${text}</p>` : null);
