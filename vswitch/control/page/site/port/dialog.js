// One port, opened: what it is, what it carries, and what one may do with it.
import { useState } from "../vendor/hooks.js";
import { Chart } from "../chart.js";
import { html } from "../html.js";
import { Modal } from "../modal.js";
import { useStore } from "../store.js";
import { Tabs } from "../tabs.js";
import { quantity } from "../units.js";
import { State, vlanWords } from "../values.js";
import { Capture } from "./capture.js";
import { Counters } from "./counters.js";
import { Explain } from "./explain.js";
import { Frames } from "./frames.js";
import { Impairments, impairable } from "./impairments.js";
import { useDocument } from "./openapi.js";

export function PortDialog({ name, close, show }) {
  const { state, meter } = useStore();
  const document = useDocument();
  const [tab, setTab] = useState("counters");
  const row = state.ports.find((each) => each.port === name);
  if (!row) return html`<${Modal} title=${name} kind="drawer" close=${close}><p class="empty">The switch has no port of this name (any more).</p><//>`;
  const tabs = [
    { key: "counters", title: "Counters", body: () => html`<${Counters} row=${row} />` },
    impairable(row, document) && { key: "impair", title: "Impairments", body: () => html`<${Impairments} row=${row} document=${document} show=${show} />` },
    { key: "capture", title: "Capture", body: () => html`<${Capture} port=${name} show=${show} />` },
    { key: "explain", title: "Explain", body: () => html`<${Explain} port=${name} />` },
    { key: "frames", title: "Frames", body: () => html`<${Frames} port=${name} show=${show} />` },
  ].filter(Boolean);
  return html`<${Modal} title=${html`<${Title} row=${row} />`} label=${`Port ${name}`} kind="drawer" close=${close}>
    <${Facts} row=${row} />
    <${Chart} samples=${meter.samples.get(name)} label=${`What port ${name} carries`} height=${170} />
    <${Tabs} label=${`Of port ${name}`} tabs=${tabs} current=${tab} choose=${setTab} />
  <//>`;
}

const Title = ({ row }) => html`<div class="title"><h2>${row.port}</h2> <${State} state=${row.state} /></div>`;

function Facts({ row }) {
  const facts = [
    ["Attachment", row.attachment],
    ["Device", row.device],
    ["MTU", row.mtu],
    ["VLAN", vlanWords(row.vlan)],
    ["Speed", row.speed ? quantity(row.speed, "bit/s") : null],
    ["Queue", row.queue ? `${row.queue.length} of ${row.queue.limit}` : null],
    ["State changes", row.state_changes],
  ].filter(([, value]) => value !== null && value !== undefined);
  return html`<dl class="facts">${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}
