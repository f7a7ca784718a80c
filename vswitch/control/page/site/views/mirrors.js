// Copies of what passes, and where they go.
import { html } from "../html.js";
import { Card, PortName, PortNames, Refusal } from "../parts.js";
import { usePoll } from "../poll.js";
import { Table } from "../table.js";

const COLUMNS = [
  { title: "Mirror", value: (row) => row.mirror },
  { title: "Of ports", value: (row) => row.ports?.join(" ") ?? "", cell: (row) => (row.ports ? html`<${PortNames} names=${row.ports} />` : "every port") },
  { title: "In VLANs", room: "some", value: (row) => row.vlans?.join(" ") ?? "", cell: (row) => row.vlans?.join(", ") ?? "every VLAN" },
  { title: "Direction", value: (row) => row.direction },
  { title: "To", value: (row) => row.to, cell: (row) => html`<${PortName} name=${row.to} />` },
];

export function Mirrors() {
  const { data, error } = usePoll("/v1/mirrors");
  return html`<${Card} title="Mirrors">
    <${Refusal} text=${error} />
    <${Table} caption="Mirrors" columns=${COLUMNS} rows=${data ?? []} name=${(row) => row.mirror} empty=${data ? "There are none." : "Asking …"} />
  <//>`;
}
