// The frame of the page: header, views, the port that is open, help.
import { useCallback, useEffect, useState } from "./vendor/hooks.js";
import { Banner } from "./banner.js";
import { Header } from "./header.js";
import { Help } from "./help.js";
import { html } from "./html.js";
import { useKeys } from "./keys.js";
import { Navigation } from "./navigation.js";
import { PortDialog } from "./port/dialog.js";
import { link, useRoute } from "./route.js";
import { useStore } from "./store.js";
import { TokenDialog } from "./tokendialog.js";
import { VIEWS } from "./views/all.js";

export function App() {
  const { state, said, locked } = useStore();
  const { view, port } = useRoute();
  const [open, setOpen] = useState(null);
  const show = useCallback((name) => setOpen(name), []);
  useKeys(show);
  const shown = VIEWS.find((each) => each.key === view) ?? VIEWS[0];
  useEffect(() => scrollTo(0, 0), [shown.key]);
  return html`
    <a class="skip" href="#content" onClick=${skip}>Skip to the content</a>
    <${Header} show=${show} />
    <${Navigation} view=${shown.key} />
    <${Banner} />
    <main id="content" tabindex="-1" aria-label=${shown.title}>
      ${state ? html`<${shown.View} />` : locked ? html`<${Locked} show=${show} />` : html`<p class="waiting">Waiting for the switch …</p>`}
    </main>
    ${state && port !== null && html`<${PortDialog} key=${port} name=${port} close=${() => leave(shown.key)} show=${show} />`}
    ${open === "help" && html`<${Help} close=${() => setOpen(null)} />`}
    ${open === "token" && html`<${TokenDialog} close=${() => setOpen(null)} />`}
    <div class="unseen" role="status" aria-live="polite">${said}</div>
  `;
}

const Locked = ({ show }) => html`<div class="locked">
  <p>At this address the switch shows itself to those with its token only.</p>
  <button type="button" class="main" onClick=${() => show("token")}>Enter the token</button>
</div>`;

function leave(view) {
  location.hash = link(view);
}

/** The fragment says where one is, so it is not the address of an element. */
function skip(event) {
  event.preventDefault();
  document.getElementById("content").focus();
}
