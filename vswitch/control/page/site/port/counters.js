// What a port has counted since it was made, and counts now.
import { html } from "../html.js";
import { framesOf, rest } from "../rates.js";
import { useStore } from "../store.js";
import { octets } from "../units.js";
import { Count, Rate } from "../values.js";

const CASTS = ["unicast", "multicast", "broadcast"];

export function Counters({ row }) {
  const { meter, hello } = useStore();
  const rate = meter.rates.get(row.port) ?? rest();
  const ways = [["In", row.receive, rate.in], ["Out", row.transmit, rate.out]];
  const drops = Object.entries(row.dropped).filter(([, count]) => count).sort((a, b) => b[1] - a[1]);
  return html`
    <div class="scrolls" role="region" aria-label="Counters" tabindex="0"><table>
      <caption class="unseen">Counters of ${row.port}</caption>
      <thead><tr><th scope="col"><span class="unseen">Quantity</span></th>${ways.map(([way]) => html`<th scope="col" class="number">${way}</th><th scope="col" class="number">${way} now</th>`)}</tr></thead>
      <tbody>
        <tr><th scope="row">Octets</th>${ways.map(([, traffic, now]) => html`<td class="number" title=${traffic.bytes}>${octets(traffic.bytes)}</td><td class="number"><${Rate} value=${now.bits} unit="bit/s" /></td>`)}</tr>
        <tr><th scope="row">Frames</th>${ways.map(([, traffic, now]) => html`<td class="number"><${Count} value=${framesOf(traffic)} /></td><td class="number"><${Rate} value=${now.frames} unit="/s" /></td>`)}</tr>
        ${CASTS.map((cast) => html`<tr key=${cast} class="part"><th scope="row">${cast}</th>${ways.map(([, traffic]) => html`<td class="number"><${Count} value=${traffic[cast]} /></td><td></td>`)}</tr>`)}
      </tbody>
    </table></div>
    <h3>Drops</h3>
    ${drops.length === 0
      ? html`<p class="empty">This port has dropped nothing.</p>`
      : html`<div class="scrolls" role="region" aria-label="Drops" tabindex="0"><table>
          <caption class="unseen">Drops of ${row.port}</caption>
          <thead><tr><th scope="col">Reason</th><th scope="col" class="number">Frames</th><th scope="col" class="number">Now</th></tr></thead>
          <tbody>${drops.map(([reason, count]) => html`<tr key=${reason}>
            <th scope="row"><code>${reason}</code><small class="meaning">${hello.reasons?.[reason] ?? ""}</small></th><td class="number"><${Count} value=${count} /></td>
            <td class="number"><${Rate} value=${rate.reasons[reason] ?? 0} unit="/s" /></td>
          </tr>`)}</tbody>
        </table></div>`}
  `;
}
