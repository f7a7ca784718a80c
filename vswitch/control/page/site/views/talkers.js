// Who talks to whom.
import { useRef } from "../vendor/hooks.js";
import { html } from "../html.js";
import { Card, PortName, PortNames, Refusal } from "../parts.js";
import { usePoll } from "../poll.js";
import { Table } from "../table.js";
import { Count, Rate } from "../values.js";
import { octets, span } from "../units.js";

const key = (row) => `${row.port} ${row.source} ${row.destination} ${row.vlan}`;

const COLUMNS = [
  { title: "From", value: (row) => row.source, cell: (row) => html`<span class="party"><code>${row.source}</code> <${PortName} name=${row.port} /></span>` },
  { title: "To", value: (row) => row.destination, cell: (row) => html`<span class="party"><code>${row.destination}</code> ${row.egress.length ? html`<${PortNames} names=${row.egress} most=${3} />` : html`<em class="bad">${row.reason}</em>`}</span>` },
  { title: "Now", number: true, value: (row) => row.now ?? 0, cell: (row) => (row.now === null ? "…" : html`<${Rate} value=${row.now} unit="bit/s" />`) },
  { title: "Octets", number: true, room: "some", value: (row) => row.bytes, cell: (row) => octets(row.bytes) },
  { title: "Frames", number: true, room: "wide", value: (row) => row.frames, cell: (row) => html`<${Count} value=${row.frames} />` },
  { title: "VLAN", number: true, room: "some", value: (row) => row.vlan ?? 0, cell: (row) => row.vlan ?? "–" },
  { title: "Last", number: true, room: "some", value: (row) => row.age, cell: (row) => `${span(row.age)} ago` },
  { title: "Answered", room: "wide", value: (row) => (row.one_way ? "one way" : "yes"), cell: (row) => (row.one_way ? html`<em class="bad">one way</em>` : "") },
];

export function Talkers() {
  const answer = usePoll("/v1/flows?limit=1000");
  const rows = useRates(answer);
  return html`<${Card} title="Who talks to whom">
    <${Refusal} text=${answer.error} />
    <${Table} caption="Conversations" columns=${COLUMNS} rows=${rows} name=${key} begin=${{ column: 2, down: true }} hint="Search conversations"
      find=${(row) => `${row.source} ${row.destination} ${row.port} ${row.egress.join(" ")} vlan ${row.vlan} ${row.reason ?? ""} ${row.one_way ? "one way" : ""}`}
      empty=${answer.data ? "Nobody has talked yet." : "Asking …"} />
  <//>`;
}

/** The rows with what they carry now, from this answer and the one before; null where there was none. */
function useRates({ data, at }) {
  const looks = useRef({ at: 0, bytes: new Map(), rows: [] });
  const last = looks.current;
  if (data && at !== last.at) {
    const seconds = last.at ? at - last.at : 0;
    const rate = (row) => {
      const before = last.bytes.get(key(row));
      if (!seconds) return null;
      return before === undefined ? 0 : (Math.max(0, row.bytes - before) * 8) / seconds;
    };
    const rows = data.map((row) => ({ ...row, now: rate(row) }));
    looks.current = { at, bytes: new Map(data.map((row) => [key(row), row.bytes])), rows };
  }
  return looks.current.rows;
}
