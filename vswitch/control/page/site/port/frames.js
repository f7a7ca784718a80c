// The last frames of a port, decoded, as they come.
import { useEffect, useState } from "../vendor/hooks.js";
import { live } from "../connection.js";
import { html } from "../html.js";
import { changed, may, store, useStore } from "../store.js";
import { clock, whole } from "../units.js";
import { NeedsToken } from "./needstoken.js";

export function Frames({ port, show }) {
  const { frames } = useStore();
  const allowed = may("frames");
  const [still, setStill] = useState(null);
  useEffect(() => {
    if (!allowed) return undefined;
    store.frames = { port, rows: [], lost: 0 };
    live.ask("frames", port);
    return () => {
      live.ask("frames", null);
      store.frames = { port: null, rows: [], lost: 0 };
      changed();
    };
  }, [port, allowed]);
  if (!may("change")) return html`<${NeedsToken} what="Frames are shown" show=${show} />`;
  if (!allowed) return html`<p class="empty">This switch decodes no frames: scapy is not installed beside it (<code>pip install 'vswitch[scapy]'</code>).</p>`;
  const rows = still ?? frames.rows;
  return html`
    <div class="row">
      <button type="button" aria-pressed=${still !== null} onClick=${() => setStill(still ? null : frames.rows)}>Hold still</button>
      <p>${frames.lost > 0 && `${whole(frames.lost)} more passed faster than they can be shown.`}</p>
    </div>
    <div class="scrolls frames" role="region" aria-label="Frames" tabindex="0">
      ${rows.length === 0 && html`<p class="empty">No frame has passed yet.</p>`}
      ${rows.length > 0 && html`<table>
        <caption class="unseen">The last frames of ${port}, the newest first</caption>
        <thead><tr><th scope="col">Time</th><th scope="col">Way</th><th scope="col" class="number some">VLAN</th><th scope="col" class="number some">Octets</th><th scope="col">What it says</th></tr></thead>
        <tbody>${rows.map((row, index) => html`<${Row} key=${`${row.at} ${index}`} row=${row} />`)}</tbody>
      </table>`}
    </div>
  `;
}

const Row = ({ row }) => html`<tr class=${row.reason ? "bad" : ""}>
  <td><time>${clock(new Date(row.at * 1000))}</time></td>
  <td>${row.direction}</td>
  <td class="number some">${row.vlan ?? "–"}</td>
  <td class="number some">${row.length}</td>
  <td class="line">${row.line}${row.reason && html` <code>${row.reason}</code>`}
    ${row.marks.map((mark) => html` <em class="bad">${typeof mark === "string" ? mark : `${mark.mark}${mark.detail ? `: ${mark.detail}` : ""}`}</em>`)}</td>
</tr>`;
