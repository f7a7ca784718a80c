// Every port with its rates.
import { html } from "./html.js";
import { PortName } from "./parts.js";
import { rest, total } from "./rates.js";
import { Sparkline } from "./sparkline.js";
import { useStore } from "./store.js";
import { Table } from "./table.js";
import { Count, Rate, State, vlanWords } from "./values.js";

export function PortTable() {
  const { state, meter } = useStore();
  const rate = (row) => meter.rates.get(row.port) ?? rest();
  const columns = [
    { title: "Port", value: (row) => row.port, cell: (row) => html`<${PortName} name=${row.port} />` },
    { title: "State", value: (row) => row.state, cell: (row) => html`<${State} state=${row.state} />` },
    { title: "In", number: true, value: (row) => rate(row).in.bits, cell: (row) => html`<${Rate} value=${rate(row).in.bits} unit="bit/s" />` },
    { title: "Out", number: true, value: (row) => rate(row).out.bits, cell: (row) => html`<${Rate} value=${rate(row).out.bits} unit="bit/s" />` },
    { title: "Last 2 min", room: "some", value: (row) => rate(row).in.bits + rate(row).out.bits, number: true, cell: (row) => html`<${Sparkline} samples=${meter.samples.get(row.port)} />` },
    { title: "Frames in", number: true, room: "some", value: (row) => rate(row).in.frames, cell: (row) => html`<${Rate} value=${rate(row).in.frames} unit="/s" />` },
    { title: "Frames out", number: true, room: "some", value: (row) => rate(row).out.frames, cell: (row) => html`<${Rate} value=${rate(row).out.frames} unit="/s" />` },
    { title: "Drops", number: true, value: (row) => rate(row).drops, cell: (row) => html`<${Dropping} rate=${rate(row)} />` },
    { title: "Dropped", number: true, room: "wide", value: (row) => total(row.dropped), cell: (row) => html`<${Count} value=${total(row.dropped)} />` },
    { title: "VLAN", room: "wide", value: (row) => vlanWords(row.vlan) },
    { title: "Attachment", room: "wide", value: attached },
  ];
  return html`<${Table} caption="Ports and their rates" columns=${columns} rows=${state.ports} name=${(row) => row.port}
    find=${(row) => `${row.port} ${row.state} ${attached(row)} ${vlanWords(row.vlan)}`} hint="Filter ports" empty="The switch has no ports." />`;
}

const attached = (row) => `${row.attachment} ${row.device ?? ""}`.trim();

function Dropping({ rate }) {
  return html`<span class=${rate.drops ? "drops dropping" : "drops"} title=${Object.keys(rate.reasons).join(", ")}>
    ${rate.drops > 0 && html`<svg class="icon alarm" viewBox="0 0 16 16" aria-hidden="true"><path d="M8 2.5l6 11H2z" /></svg>`}
    <${Rate} value=${rate.drops} unit="/s" />
  </span>`;
}
