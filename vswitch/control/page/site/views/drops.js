// Every reason why frames are dropped, in the switch's own words, and where.
import { html } from "../html.js";
import { Card, PortName } from "../parts.js";
import { useStore } from "../store.js";
import { Table } from "../table.js";
import { Count, Rate } from "../values.js";
import { whole } from "../units.js";

const COLUMNS = [
  { title: "Reason", value: (row) => row.reason, cell: (row) => html`<code>${row.reason}</code><small class="meaning">${row.meaning}</small>` },
  { title: "Now", number: true, value: (row) => row.rate, cell: (row) => html`<${Rate} value=${row.rate} unit="/s" />` },
  { title: "In all", number: true, value: (row) => row.count, cell: (row) => html`<${Count} value=${row.count} />` },
  { title: "At", value: (row) => row.ports.length, cell: (row) => html`<${Where} ports=${row.ports} />` },
];

export function Drops() {
  const { state, hello, meter } = useStore();
  const rows = reasons(state, hello).map((reason) => summed(reason, state.ports, meter, hello));
  return html`<${Card} title="Drops by reason">
    <${Table} caption="Drops by reason" columns=${COLUMNS} rows=${rows} name=${(row) => row.reason}
      find=${(row) => `${row.reason} ${row.meaning} ${row.ports.map(([port]) => port).join(" ")}`} hint="Filter reasons" begin=${{ column: 2, down: true }} />
  <//>`;
}

const reasons = (state, hello) => [...new Set([...Object.keys(hello.reasons ?? {}), ...state.ports.flatMap((row) => Object.keys(row.dropped))])];

function summed(reason, ports, meter, hello) {
  const at = ports.map((row) => [row.port, row.dropped[reason] ?? 0]).filter(([, count]) => count).sort((a, b) => b[1] - a[1]);
  return {
    reason,
    meaning: hello.reasons?.[reason] ?? "",
    rate: meter.sum.reasons[reason] ?? 0,
    count: at.reduce((sum, [, count]) => sum + count, 0),
    ports: at,
  };
}

const SHOWN = 6;

function Where({ ports }) {
  if (!ports.length) return "–";
  return html`<span class="ports">
    ${ports.slice(0, SHOWN).map(([port, count]) => html`<span key=${port}><${PortName} name=${port} /> <small>${whole(count)}</small></span>`)}
    ${ports.length > SHOWN && html`<small>and ${ports.length - SHOWN} more</small>`}
  </span>`;
}
