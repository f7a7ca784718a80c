// What has to be said above everything: the switch is gone, the picture stands still, something was refused.
import { useEffect, useReducer } from "./vendor/hooks.js";
import { pause } from "./actions.js";
import { live } from "./connection.js";
import { html } from "./html.js";
import { changed, store, useStore } from "./store.js";

export function Banner() {
  const { link, paused, error, locked } = useStore();
  return html`
    ${link === "lost" && !locked && html`<${Gone} />`}
    ${paused && link === "live" && html`<div class="banner quiet">
      <p><strong>Paused.</strong> The page shows what was; counting goes on.</p>
      <button type="button" onClick=${pause}>Go on</button>
    </div>`}
    ${error && html`<div class="banner bad" role="alert">
      <p>${error}</p>
      <button type="button" onClick=${dismiss}>Dismiss</button>
    </div>`}
  `;
}

function Gone() {
  const { hello, retry } = store;
  const [, again] = useReducer((count) => count + 1, 0);
  useEffect(() => {
    const timer = setInterval(again, 500);
    return () => clearInterval(timer);
  }, []);
  const seconds = Math.max(0, Math.ceil((retry - Date.now()) / 1000));
  return html`<div class="banner bad" id="gone">
    <p>
      <strong>${hello ? `${hello.switch} is gone.` : "The switch does not answer."}</strong>${" "}
      ${hello ? "What is shown is the last that it said. " : ""}
      ${seconds > 0 ? `Next attempt in ${seconds} s.` : "Connecting …"}
    </p>
    <button type="button" onClick=${() => live.reopen()}>Try now</button>
  </div>`;
}

function dismiss() {
  store.error = "";
  changed();
}
