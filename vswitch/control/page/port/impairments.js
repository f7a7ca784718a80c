// What is done to the frames of a port on purpose; shown where the switch knows of it.
import { html } from "../html.js";

/** Whether this switch can impair the port. */
export const impairable = (row) => row.impair !== undefined && row.impair !== null;

export function Impairments({ row }) {
  return html`<${Values} value=${row.impair} />`;
}

function Values({ value }) {
  return html`<dl class="facts">${Object.entries(value).map(([name, each]) => html`<div key=${name}><dt>${name}</dt>
    <dd>${each !== null && typeof each === "object" ? html`<${Values} value=${each} />` : String(each)}</dd></div>`)}</dl>`;
}
