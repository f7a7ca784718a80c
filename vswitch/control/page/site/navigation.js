// The views of the page.
import { useEffect, useRef } from "./vendor/hooks.js";
import { html } from "./html.js";
import { usePoll } from "./poll.js";
import { link } from "./route.js";
import { inSight } from "./sight.js";
import { store, useStore } from "./store.js";
import { visibleViews } from "./views/all.js";

export function Navigation({ view }) {
  useStore();
  const { data } = usePoll("/v1/mirrors", 10);
  if (data) store.mirrors = data.length > 0;
  const list = useRef(null);
  const views = visibleViews();
  useEffect(() => inSight(list.current, "[aria-current]"), [view, views.length]);
  return html`<nav aria-label="Views">
    <ul ref=${list}>
      ${views.map((each) => html`<li key=${each.key}>
        <a href=${link(each.key)} aria-current=${each.key === view ? "page" : undefined}>${each.title}</a>
      </li>`)}
    </ul>
  </nav>`;
}
