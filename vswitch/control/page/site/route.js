// Where one is on the page: #/VIEW, or #/VIEW/PORT where a port is open over it.
import { useEffect, useState } from "./vendor/hooks.js";

/** @returns {{view: string, port: string | null}} */
function here() {
  const [view = "", port = ""] = location.hash.replace(/^#\/?/, "").split("/");
  return { view: view || "ports", port: port ? decode(port) : null };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The place, and drawn again when it changes. */
export function useRoute() {
  const [place, go] = useState(here);
  useEffect(() => {
    const moved = () => go(here());
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return place;
}

/** @param {string} view @param {string | null} [port] */
export const link = (view, port = null) => `#/${view}${port === null ? "" : `/${encodeURIComponent(port)}`}`;

/** The address that opens a port over the view that one looks at. @param {string} port */
export const portLink = (port) => link(here().view, port);
