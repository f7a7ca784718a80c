// What the link of a port does to frames on purpose: what was asked for, what came of it, and, with the token, another.
import { useState } from "../vendor/hooks.js";
import { call, segment } from "../api.js";
import { html } from "../html.js";
import { Refusal } from "../parts.js";
import { may } from "../store.js";
import { bits, span, whole } from "../units.js";
import { NeedsToken } from "./needstoken.js";
import { operation, resolved } from "./openapi.js";

const PATH = "/v1/ports/{port}/impair";

/** What the form asks for, where the switch knows of it. */
const FIELDS = [
  ["delay", "Delay", "10ms"],
  ["jitter", "Jitter", "1ms"],
  ["loss", "Loss", "0.5%"],
  ["duplicate", "Duplicated", "0.1%"],
  ["reorder", "Reordered", "1%"],
  ["corrupt", "Corrupted", "0.01%"],
  ["rate", "Rate", "50mbit"],
];

const WAYS = [["out", "out, to the guest"], ["in", "in, from the guest"], ["both", "both"]];

/** Whether this switch can impair ports. */
export const impairable = (row, document) => Boolean(row.impair) || operation(document, "put", PATH) !== null;

export function Impairments({ row, document, show }) {
  const ways = Object.entries(row.impair?.directions ?? {});
  const put = operation(document, "put", PATH);
  return html`
    ${ways.length === 0 && html`<p class="empty">The link of this port does nothing to frames.</p>`}
    ${ways.map(([way, direction]) => html`<${Direction} key=${way} way=${way} direction=${direction} />`)}
    ${put && html`<h3>${ways.length ? "Something else" : "Impair it"}</h3>`}
    ${put && (may("change") ? html`<${Form} port=${row.port} properties=${propertiesOf(document, put)} impaired=${ways.length > 0} />` : html`<${NeedsToken} what="Ports are impaired" show=${show} />`)}
  `;
}

const propertiesOf = (document, put) => resolved(document, put.requestBody?.content["application/json"].schema)?.properties ?? {};

const share = (value) => `${Number((value * 100).toPrecision(3))} %`;
const time = (value) => (value === null || value === undefined ? "–" : value < 1 ? `${Number((value * 1000).toPrecision(3))} ms` : span(value));

function Direction({ way, direction: { asked, achieved } }) {
  const part = (count) => (achieved.frames ? count / achieved.frames : 0);
  const rows = [
    ["Delay", time(asked.delay), time(achieved.delay_mean)],
    ["Jitter", time(asked.jitter), ""],
    ["Delay that 99 % stay below", "", time(achieved.delay_p99)],
    ["Loss", share(asked.loss), share(achieved.loss)],
    ["Duplicated", share(asked.duplicate), share(achieved.duplicate)],
    ["Reordered", share(asked.reorder), share(part(achieved.reordered))],
    ["Corrupted", share(asked.corrupt), share(part(achieved.corrupted))],
    ["Rate", asked.rate ? bits(asked.rate) : "no limit", bits(achieved.rate)],
  ];
  return html`<div class="scrolls" role="region" aria-label=${`Impairment ${way}`} tabindex="0"><table class="steps">
    <caption>${way === "in" ? "In, from the guest" : "Out, to the guest"}: ${whole(achieved.frames)} frames came, ${whole(achieved.passed)} left, ${whole(achieved.held)} are on their way</caption>
    <thead><tr><th scope="col">Quantity</th><th scope="col" class="number">Asked for</th><th scope="col" class="number">Achieved</th></tr></thead>
    <tbody>${rows.map(([name, wanted, got]) => html`<tr key=${name}><th scope="row">${name}</th><td class="number">${wanted}</td><td class="number">${got}</td></tr>`)}</tbody>
  </table></div>`;
}

function Form({ port, properties, impaired }) {
  const [way, setWay] = useState("out");
  const [error, setError] = useState("");
  const [done, setDone] = useState("");
  const act = async (method, body, sentence) => {
    setError("");
    setDone("");
    try {
      await call(method, `${PATH.replace("{port}", segment(port))}?direction=${way}`, body);
      setDone(sentence);
    } catch (problem) {
      setError(problem.message);
    }
  };
  const set = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const said = [...form].map(([name, text]) => [name, text.trim()]).filter(([, text]) => text);
    if (said.length) act("PUT", Object.fromEntries(said), "It holds from now on.");
    else setError("Say what is to happen to frames, such as a delay of 10ms.");
  };
  return html`
    <div class="choice" role="group" aria-label="Direction">
      ${WAYS.map(([key, title]) => html`<button key=${key} type="button" aria-pressed=${key === way} onClick=${() => setWay(key)}>${title}</button>`)}
    </div>
    <form class="form impair" onSubmit=${set}>
      ${FIELDS.filter(([name]) => name in properties).map(([name, title, hint]) => html`<label key=${name}>${title}
        <input type="text" name=${name} placeholder=${hint} size="9" autocomplete="off" spellcheck=${false} title=${properties[name].description ?? ""} /></label>`)}
      <div class="row">
        <button type="submit" class="main">Impair it so</button>
        ${impaired && html`<button type="button" onClick=${() => act("DELETE", undefined, "It does nothing any more.")}>Impair it no more</button>`}
        <p role="status">${done}</p>
      </div>
    </form>
    <${Refusal} text=${error} />
  `;
}
