// Which switch this is, how it is, and what one may do here.
import { pause, switchTheme, theme } from "./actions.js";
import { html } from "./html.js";
import { Lock, Mark, Moon, Open, Pause, Play, Sun } from "./icons.js";
import { may, useStore } from "./store.js";
import { Rate } from "./values.js";
import { frames, span } from "./units.js";

export function Header({ show }) {
  const { hello, state, link, paused } = useStore();
  const dark = theme() === "dark";
  return html`<header>
    <${Mark} />
    <div class="who">
      <h1>${hello?.switch ?? "vswitch"}</h1>
      <p>${hello ? `vswitch ${hello.version}, ${hello.fastpath} fast path` : "not connected"}</p>
    </div>
    ${state && html`<${Totals} />`}
    <div class="tools">
      <span class=${`link ${paused ? "paused" : link}`}>${{ live: paused ? "paused" : "live", lost: "lost", connecting: "connecting" }[link]}</span>
      <button type="button" class="tool" onClick=${pause} aria-pressed=${paused} aria-label="Pause" title="Pause (p)">
        ${paused ? html`<${Play} />` : html`<${Pause} />`}
      </button>
      <button type="button" class="tool wide" onClick=${() => show("token")} title="Who may do what">
        ${may("change") ? html`<${Open} /><span>May change</span>` : html`<${Lock} /><span>Read only</span>`}
      </button>
      <button type="button" class="tool" onClick=${switchTheme} aria-pressed=${dark} aria-label="Dark theme" title="Dark or light (t)">
        ${dark ? html`<${Sun} />` : html`<${Moon} />`}
      </button>
      <button type="button" class="tool" onClick=${() => show("help")} aria-label="Help" title="Help (?)">
        <span aria-hidden="true">?</span>
      </button>
    </div>
  </header>`;
}

function Totals() {
  const { state, meter, hello } = useStore();
  const up = state.ports.filter((row) => row.state === "up").length;
  const { in: into, drops } = meter.sum;
  return html`<dl class="totals">
    <div><dt>Ports up</dt><dd>${up} <small>of ${state.ports.length}</small></dd></div>
    <div><dt>Comes in</dt><dd><${Rate} value=${into.bits} unit="bit/s" /></dd></div>
    <div class="more"><dt>Frames</dt><dd><${Rate} value=${into.frames} unit="frames/s" /></dd></div>
    <div class=${drops ? "bad" : ""}><dt>Drops</dt><dd title=${frames(drops)}><${Rate} value=${drops} unit="/s" /></dd></div>
    <div class="more"><dt>Stations</dt><dd title=${`at most ${state.fdb.limit}`}>${state.fdb.entries}</dd></div>
    <div class="more"><dt>Runs for</dt><dd>${span(Math.max(0, Date.now() / 1000 - hello.started))}</dd></div>
  </dl>`;
}
