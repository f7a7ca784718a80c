// What would happen to a frame that somebody types, rule by rule. Nothing is sent.
import { useState } from "../vendor/hooks.js";
import { call } from "../api.js";
import { html } from "../html.js";
import { PortName, Refusal } from "../parts.js";

const EXAMPLES = [
  ["ARP to everybody", "ffffffffffff 020000000001 0806"],
  ["to a station", "020000000002 020000000001 0800"],
  ["LLDP", "0180c200000e 020000000001 88cc"],
  ["in VLAN 10", "ffffffffffff 020000000001 8100000a 0800"],
];

export function Explain({ port }) {
  const [frame, setFrame] = useState("");
  const [answer, setAnswer] = useState(null);
  const [error, setError] = useState("");
  const ask = async (event) => {
    event.preventDefault();
    setError("");
    setAnswer(null);
    try {
      setAnswer(await call("POST", "/v1/explain", { port, frame: frame.replace(/\s+/g, "") }));
    } catch (problem) {
      setError(problem.message);
    }
  };
  return html`
    <form class="form" onSubmit=${ask}>
      <label class="long">Frame, in hexadecimal: destination, source, type, and what follows
        <textarea name="frame" rows="2" spellcheck=${false} autocomplete="off" required maxlength="200000" value=${frame} onInput=${(event) => setFrame(event.target.value)}></textarea></label>
      <div class="row">
        <button type="submit" class="main">Explain it</button>
        <span class="examples">Such as ${EXAMPLES.map(([title, octets]) => html`<button key=${title} type="button" class="word" onClick=${() => setFrame(octets)}>${title}</button>`)}</span>
      </div>
    </form>
    <${Refusal} text=${error} />
    <div aria-live="polite">${answer && html`<${Answer} answer=${answer} />`}</div>
  `;
}

function Answer({ answer }) {
  const { verdict, reason, meaning, vlan, steps, ports, mirrors } = answer;
  return html`<div class=${`answer ${verdict}`}>
    <p class="verdict"><strong>${verdict === "dropped" ? "Dropped" : "Forwarded"}</strong>
      ${reason && html` <code>${reason}</code>`}${meaning && html` ${meaning}`}${!reason && vlan && ` in VLAN ${vlan}`}${!reason && verdict === "dropped" && ": each port has a reason not to let it out."}</p>
    <${Steps} caption="Rules, in their order" first="Rule" rows=${steps.map((step) => ({ ...step, name: step.rule }))} />
    ${ports.length > 0 && html`<${Steps} caption="Ports that it might leave by" first="Port" rows=${ports.map((step) => ({ ...step, name: html`<${PortName} name=${step.port} />`, leaves: true }))} />`}
    ${mirrors.length > 0 && html`<${Steps} caption="Copies of mirrors" first="Mirror" rows=${mirrors.map((step) => ({ ...step, name: step.mirror, leaves: true }))} />`}
  </div>`;
}

function Steps({ caption, first, rows }) {
  return html`<div class="scrolls" role="region" aria-label=${caption} tabindex="0"><table class="steps">
    <caption>${caption}</caption>
    <thead><tr><th scope="col">${first}</th><th scope="col">What it saw</th><th scope="col">And then</th></tr></thead>
    <tbody>${rows.map((row, index) => html`<tr key=${index} class=${row.reason ? "bad" : ""}>
      <th scope="row">${row.name}</th><td class="prose">${row.saw}</td>
      <td>${row.reason ? html`<code>${row.reason}</code>` : row.leaves ? "leaves" : "goes on"}</td>
    </tr>`)}</tbody>
  </table></div>`;
}
