// In place of what a page without the token may not do.
import { html } from "../html.js";

export const NeedsToken = ({ what, show }) => html`<div class="locked">
  <p>${what} with the token of the switch only.</p>
  <button type="button" onClick=${() => show("token")}>Enter the token</button>
</div>`;
