// Tabs: the arrow keys go from one to the next.
import { useEffect, useRef } from "./vendor/hooks.js";
import { html } from "./html.js";
import { inSight } from "./sight.js";

/** @param {{label: string, tabs: {key: string, title: string, body: () => any}[], current: string, choose: (key: string) => void}} props */
export function Tabs({ label, tabs, current, choose }) {
  const list = useRef(null);
  const shown = tabs.find((tab) => tab.key === current) ?? tabs[0];
  useEffect(() => inSight(list.current, "[aria-selected=true]"), [shown.key]);
  const keys = (event) => {
    const at = tabs.indexOf(shown);
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    const index = (next + tabs.length) % tabs.length;
    choose(tabs[index].key);
    list.current.children[index].focus();
  };
  return html`<div class="tabs">
    <div role="tablist" aria-label=${label} ref=${list} onKeyDown=${keys}>
      ${tabs.map((tab) => html`<button key=${tab.key} type="button" role="tab" id=${`tab-${tab.key}`} aria-selected=${tab === shown}
        aria-controls=${tab === shown ? "tab-panel" : undefined} tabindex=${tab === shown ? 0 : -1} onClick=${() => choose(tab.key)}>${tab.title}</button>`)}
    </div>
    <div role="tabpanel" id="tab-panel" key=${shown.key} aria-labelledby=${`tab-${shown.key}`} tabindex="0">${shown.body()}</div>
  </div>`;
}
