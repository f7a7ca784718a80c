// The conversations that carry most just now, in few lines.
import { html } from "../html.js";
import { link } from "../route.js";
import { useStore } from "../store.js";
import { Rate } from "../values.js";

/** Lines, beside a small picture and beside a tall one. */
const FEW = 5;
const MANY = 14;

export function TopTalkers() {
  const { state } = useStore();
  const rows = (state.flows ?? []).filter((row) => row.rate > 0).slice(0, state.ports.length > 14 ? MANY : FEW);
  if (!rows.length) return html`<p class="empty">Nobody talks just now.</p>`;
  return html`
    <ol class="lines">
      ${rows.map((row) => html`<li key=${`${row.port} ${row.source} ${row.destination} ${row.vlan}`}>
        <span class="names" title=${`${row.source} to ${row.destination}`}>${row.port}<span class="to" aria-label="to">→</span>${row.egress.length ? row.egress.join(" ") : html`<em class="bad">${row.reason}</em>`}</span>
        <${Rate} value=${row.rate} unit="bit/s" />
      </li>`)}
    </ol>
    <a class="further" href=${link("talkers")}>All conversations</a>
  `;
}
