// The token that lets the page do more than look: out of the address at once, and kept for this tab alone.

const KEY = "vswitch.token";

/** Take the token out of the fragment, where it is not sent to anybody, and out of sight. */
export function takeToken() {
  const found = /^#token=([^&]+)/.exec(location.hash);
  if (!found) return;
  keepToken(decodeURIComponent(found[1]));
  history.replaceState(null, "", location.pathname + location.search);
}

/** @returns {string | null} */
export const token = () => sessionStorage.getItem(KEY);

/** @param {string | null} value */
export function keepToken(value) {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}
