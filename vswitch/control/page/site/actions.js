// What keys and buttons do alike.
import { changed, store } from "./store.js";

export function pause() {
  store.paused = !store.paused;
  store.said = store.paused ? "Paused." : "Goes on.";
  changed();
}

const system = matchMedia("(prefers-color-scheme: dark)");
system.addEventListener("change", changed);

/** @returns {"dark" | "light"} */
export const theme = () => document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light");

export function switchTheme() {
  const next = theme() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem("vswitch.theme", next);
  } catch {
    // It holds as long as the page is open.
  }
  changed();
}
