// What is dropped just now, and why.
import { html } from "../html.js";
import { link } from "../route.js";
import { useStore } from "../store.js";
import { Rate } from "../values.js";

const SHOWN = 5;

export function TopDrops() {
  const { meter, hello } = useStore();
  const rows = Object.entries(meter.sum.reasons).sort((a, b) => b[1] - a[1]).slice(0, SHOWN);
  return html`
    ${rows.length
      ? html`<ol class="lines bad">
          ${rows.map(([reason, rate]) => html`<li key=${reason}><span><code>${reason}</code><small>${hello.reasons?.[reason] ?? ""}</small></span> <${Rate} value=${rate} unit="/s" /></li>`)}
        </ol>`
      : html`<p class="empty">Nothing is dropped.</p>`}
    <a class="further" href=${link("drops")}>All reasons</a>
  `;
}
