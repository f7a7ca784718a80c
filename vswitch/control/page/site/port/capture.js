// A capture of one port that is saved as pcapng.
import { useEffect, useRef, useState } from "../vendor/hooks.js";
import { html } from "../html.js";
import { Refusal } from "../parts.js";
import { may, store } from "../store.js";
import { octets, plural } from "../units.js";
import { read, save } from "./download.js";
import { NeedsToken } from "./needstoken.js";

export function Capture({ port, show }) {
  const [progress, setProgress] = useState(null);
  const [done, setDone] = useState("");
  const [error, setError] = useState("");
  const running = useRef(null);
  useEffect(() => () => running.current?.abort(), []);
  if (!may("capture")) return html`<${NeedsToken} what="Frames are captured" show=${show} />`;

  const start = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const control = new AbortController();
    running.current = control;
    setError("");
    setDone("");
    setProgress({ packets: 0, seen: 0 });
    try {
      const { blob, blocks } = await read(parameters(port, form), control.signal, ({ packets, seen }) => setProgress({ packets, seen }));
      const name = `${store.hello.switch}-${port}-${stamp(new Date())}.pcapng`;
      if (blocks.whole) save(blob, name);
      setDone(blocks.whole ? `${plural(blocks.packets, "packet")}, ${octets(blocks.whole)}, saved as ${name}.` : "Nothing came before it was stopped.");
    } catch (problem) {
      setError(problem.message);
    }
    running.current = null;
    setProgress(null);
  };

  return html`<form class="form" onSubmit=${start}>
    <fieldset disabled=${progress !== null}>
      <label class="long">Filter <input type="text" name="filter" placeholder="icmp or arp" spellcheck=${false} autocomplete="off" aria-describedby="filter-help" />
        <small id="filter-help">as tcpdump has it; all frames where it is empty</small></label>
      <label>Packets, at most <input type="number" name="count" min="1" max="1000000" defaultValue="1000" required /></label>
      <label>Seconds, at most <input type="number" name="seconds" min="1" max="3600" defaultValue="10" required /></label>
      <label class="check"><input type="checkbox" name="drops" /> only dropped frames</label>
      <label class="check"><input type="checkbox" name="as_on_wire" /> superframes cut as on the wire</label>
    </fieldset>
    <div class="row">
      ${progress
        ? html`<button key="stop" type="button" onClick=${() => running.current?.abort()}>Stop and save</button>`
        : html`<button key="start" type="submit" class="main">Start the capture</button>`}
      <p role="status">${progress ? `${plural(progress.packets, "packet")}, ${octets(progress.seen)} …` : done}</p>
    </div>
    <${Refusal} text=${error} />
  </form>`;
}

function parameters(port, form) {
  const asked = new URLSearchParams({ port, count: form.get("count"), seconds: form.get("seconds") });
  const filter = form.get("filter").trim();
  if (filter) asked.set("filter", filter);
  for (const name of ["drops", "as_on_wire"]) if (form.get(name)) asked.set(name, "true");
  return asked;
}

/** 20260131T120000Z. @param {Date} moment */
const stamp = (moment) => moment.toISOString().replace(/[-:]|\.\d+/g, "");
