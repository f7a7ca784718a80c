// What the page may do, and the token that lets it do more.
import { useState } from "./vendor/hooks.js";
import { live } from "./connection.js";
import { html } from "./html.js";
import { Modal } from "./modal.js";
import { may, useStore } from "./store.js";
import { keepToken, token } from "./token.js";

export function TokenDialog({ close }) {
  useStore();
  const [typed, setTyped] = useState("");
  const use = (value) => {
    keepToken(value);
    live.reopen();
    close();
  };
  const submit = (event) => {
    event.preventDefault();
    if (typed.trim()) use(typed.trim());
  };
  return html`<${Modal} title="Who may do what" close=${close}>
    ${may("change") || token()
      ? html`<p>This page has the token of the switch: it may capture, show frames, and change things.</p>
          <button type="button" onClick=${() => use(null)}>Forget the token</button>`
      : html`<p>Without a token the page is read only, and shows nothing of what frames carry. With the token that the
            switch was started with, it may capture, show frames, and change things. It is kept until the tab is closed.</p>
          <form class="row" onSubmit=${submit}>
            <label>Token <input type="password" autocomplete="off" value=${typed} onInput=${(event) => setTyped(event.target.value)} /></label>
            <button type="submit">Use it</button>
          </form>`}
  <//>`;
}
