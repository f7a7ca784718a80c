// The one connection of the page.
import { Refused, call } from "./api.js";
import { Live } from "./live.js";
import { changed, lost, store, take } from "./store.js";
import { keepToken, token } from "./token.js";

export const live = new Live({
  message: take,
  opened: () => {},
  lost: (retry) => {
    lost(retry);
    examine();
  },
});

export const connect = () => live.open();

/** A WebSocket does not say why it was refused. A call does: a token that is wrong is forgotten, or one is needed. */
async function examine() {
  try {
    await call("GET", "/v1/switch");
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 401) return;
    const had = token();
    keepToken(null);
    if (had) store.error = "The switch does not know that token. The page goes on without it.";
    else store.locked = true;
    changed();
    if (had) live.reopen();
  }
}
