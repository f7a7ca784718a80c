// The filtering database: who was heard where.
import { html } from "../html.js";
import { Card, PortName, Refusal } from "../parts.js";
import { usePoll } from "../poll.js";
import { useStore } from "../store.js";
import { Table } from "../table.js";
import { span, whole } from "../units.js";

const COLUMNS = [
  { title: "MAC address", value: (row) => row.mac, cell: (row) => html`<code>${row.mac}</code>` },
  { title: "VLAN", number: true, value: (row) => row.vlan },
  { title: "Port", value: (row) => row.port, cell: (row) => html`<${PortName} name=${row.port} />` },
  { title: "Kind", room: "some", value: (row) => row.kind },
  { title: "Heard", number: true, value: (row) => (row.kind === "static" ? -1 : row.age), cell: (row) => (row.kind === "static" ? "–" : `${span(row.age)} ago`) },
];

export function Stations() {
  const { state } = useStore();
  const { data, error } = usePoll("/v1/fdb");
  const { entries, limit, moves, flaps } = state.fdb;
  return html`<${Card} title="Stations">
    <dl class="facts">
      <div><dt>Known</dt><dd>${whole(entries)} <small>of ${whole(limit)}</small></dd></div>
      <div><dt>Moved</dt><dd>${whole(moves)} <small>times</small></dd></div>
      <div class=${flaps ? "bad" : ""}><dt>Flapped</dt><dd>${whole(flaps)} <small>times</small></dd></div>
    </dl>
    <${Refusal} text=${error} />
    <${Table} caption="Stations and their ports" columns=${COLUMNS} rows=${data ?? []} name=${(row) => `${row.vlan} ${row.mac}`}
      find=${(row) => `${row.mac} ${row.mac.replaceAll(":", "")} vlan ${row.vlan} ${row.port} ${row.kind}`} hint="Search stations" empty=${data ? "No station is known." : "Asking …"} begin=${{ column: 0, down: false }} />
  <//>`;
}
