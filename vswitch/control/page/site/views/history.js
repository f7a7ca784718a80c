// What became of stations: learned, moved, forgotten.
import { html } from "../html.js";
import { Card, PortName } from "../parts.js";
import { useStore } from "../store.js";
import { Table } from "../table.js";
import { clock } from "../units.js";

const COLUMNS = [
  { title: "Time", value: (row) => row.time, cell: (row) => html`<time datetime=${row.time}>${clock(new Date(row.time))}</time>` },
  { title: "What", value: (row) => row.kind, cell: (row) => html`<span class=${row.kind === "moved" ? "bad" : ""}>${row.kind.replace("_", " ")}</span>${row.flapping && html` <em class="bad">flaps</em>`}` },
  { title: "MAC address", value: (row) => row.mac, cell: (row) => html`<code>${row.mac}</code>` },
  { title: "VLAN", number: true, room: "some", value: (row) => row.vlan },
  { title: "Port", value: (row) => row.port, cell: (row) => html`<${PortName} name=${row.port} />` },
  { title: "From", room: "some", value: (row) => row.from_port ?? "", cell: (row) => (row.from_port ? html`<${PortName} name=${row.from_port} />` : "–") },
];

export function History() {
  const { events } = useStore();
  return html`<${Card} title="What became of stations">
    <${Table} caption="Events of stations, the last first" columns=${COLUMNS} rows=${events} name=${(row) => `${row.time} ${row.mac} ${row.vlan} ${row.kind} ${row.port}`}
      find=${(row) => `${row.mac} ${row.mac.replaceAll(":", "")} ${row.kind} vlan ${row.vlan} ${row.port} ${row.from_port ?? ""} ${row.flapping ? "flaps" : ""}`} hint="Search events" />
  <//>`;
}
