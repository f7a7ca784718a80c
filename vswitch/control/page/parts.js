// Small pieces that several views have.
import { html } from "./html.js";
import { portLink } from "./route.js";

/** The name of a port, which opens it; it may be gone by now. */
export const PortName = ({ name }) => html`<a class="port" href=${portLink(name)}>${name}</a>`;

export const PortNames = ({ names }) =>
  names.length ? html`<span class="ports">${names.map((name) => html`<${PortName} key=${name} name=${name} />`)}</span>` : "–";

/** A section of a view. */
export const Card = ({ title, kind = "", children }) => html`<section class=${`card ${kind}`}>
  <h2>${title}</h2>
  ${children}
</section>`;

/** A sentence of the switch that something was refused. */
export const Refusal = ({ text }) => (text ? html`<p class="refusal" role="alert">${text}</p>` : null);
