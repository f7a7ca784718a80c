// A dialog above the page: the browser keeps the focus in it and gives it back; Escape closes.
import { useEffect, useRef } from "./vendor/hooks.js";
import { html } from "./html.js";
import { Close } from "./icons.js";

export function Modal({ title, label = title, kind = "", close, children }) {
  const ref = useRef(null);
  useEffect(() => {
    const dialog = ref.current;
    const from = document.activeElement;
    dialog.showModal();
    return () => {
      dialog.close();
      if (from instanceof SVGElement || from instanceof HTMLElement) from.focus();
    };
  }, []);
  const cancel = (event) => {
    event.preventDefault();
    close();
  };
  const click = (event) => event.target === ref.current && close();
  return html`<dialog ref=${ref} class=${kind} aria-label=${label} onCancel=${cancel} onClick=${click}>
    <div class="sheet">
      <div class="top">
        ${typeof title === "string" ? html`<h2>${title}</h2>` : title}
        <button type="button" class="tool" onClick=${close} aria-label="Close" title="Close (Escape)"><${Close} /></button>
      </div>
      ${children}
    </div>
  </dialog>`;
}
