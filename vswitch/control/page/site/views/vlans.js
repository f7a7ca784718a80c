// VLANs, and the ports that are in them.
import { html } from "../html.js";
import { Card, PortNames, Refusal } from "../parts.js";
import { usePoll } from "../poll.js";
import { Table } from "../table.js";

const ports = (key, title) => ({
  title,
  value: (row) => row[key].length,
  cell: (row) => html`<${PortNames} names=${row[key]} />`,
});
const COLUMNS = [
  { title: "VLAN", value: (row) => row.vlan },
  ports("untagged", "Leave untagged"),
  ports("tagged", "Leave tagged"),
  { ...ports("pvid", "Take untagged frames"), room: "some" },
];

export function Vlans() {
  const { data, error } = usePoll("/v1/vlans");
  return html`<${Card} title="VLANs">
    <${Refusal} text=${error} />
    <${Table} caption="VLANs and their ports" columns=${COLUMNS} rows=${data ?? []} name=${(row) => String(row.vlan)}
      find=${(row) => `${row.vlan} ${row.tagged.join(" ")} ${row.untagged.join(" ")} ${row.pvid.join(" ")}`} hint="Filter VLANs" empty=${data ? "VLAN filtering is off: tags pass untouched, and everything is VLAN 1." : "Asking …"} />
  <//>`;
}
