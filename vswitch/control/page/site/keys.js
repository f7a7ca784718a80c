// Keys that hold everywhere, except where one types.
import { useEffect } from "./vendor/hooks.js";
import { pause, switchTheme } from "./actions.js";
import { link } from "./route.js";
import { visibleViews } from "./views/all.js";

/** What the help says, and what is done here. */
export const KEYS = [
  ["/", "search or filter what is shown"],
  ["1 … 7", "go to a view"],
  ["Tab", "go on; arrow keys move between the ports of the picture"],
  ["Enter", "open the port that has the focus"],
  ["Escape", "close what is open; empty the search"],
  ["p", "pause, and go on"],
  ["t", "dark or light"],
  ["?", "this help"],
];

/** @param {(name: string) => void} show */
export function useKeys(show) {
  useEffect(() => {
    const pressed = (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      if (event.key === "Escape" && event.target.matches("input[type=search]")) return;
      if (event.target.closest("input, textarea, select")) return;
      if (act(event.key, show)) event.preventDefault();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, [show]);
}

/** Whether the key means something. */
function act(key, show) {
  if (key === "?") show("help");
  else if (key === "/") return search();
  else if (key === "p") pause();
  else if (key === "t") switchTheme();
  else if (/^[1-9]$/.test(key) && !document.querySelector("dialog[open]")) return goTo(Number(key) - 1);
  else return false;
  return true;
}

/** The search of what is on top. */
function search() {
  const place = document.querySelector("dialog[open]") ?? document;
  const field = place.querySelector("input[type=search]");
  field?.focus();
  field?.select();
  return field !== null;
}

function goTo(index) {
  const view = visibleViews()[index];
  if (view) location.hash = link(view.key);
  return view !== undefined;
}
