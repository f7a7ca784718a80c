// The first view: the picture, what passes in all, and every port.
import { Chart } from "../chart.js";
import { html } from "../html.js";
import { Card } from "../parts.js";
import { Picture } from "../picture.js";
import { PortTable } from "../porttable.js";
import { useStore } from "../store.js";
import { TopDrops } from "./topdrops.js";
import { TopTalkers } from "./toptalkers.js";

export function Ports() {
  const { meter } = useStore();
  return html`
    <div class="overview">
      <${Card} title="The switch" kind="drawn"><${Picture} /><//>
      <div class="beside">
        <${Card} title="All ports"><${Chart} samples=${meter.all} label="What all ports carry" height=${190} /><//>
        <div class="pair">
          <${Card} title="Talks most"><${TopTalkers} /><//>
          <${Card} title="Drops now"><${TopDrops} /><//>
        </div>
      </div>
    </div>
    <${Card} title="Ports"><${PortTable} /><//>
  `;
}
