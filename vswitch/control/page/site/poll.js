// What is asked for while somebody looks at it, again and again.
import { useEffect, useState } from "./vendor/hooks.js";
import { call } from "./api.js";
import { store } from "./store.js";

const PERIOD = 2;
/** Rows beyond which a table is asked for less often. */
const LARGE = 2000;

/**
 * The answer of a GET, renewed every other second; error is a sentence where it was refused.
 * at: when it came, in seconds.
 * @param {string} path
 * @param {number} [period] seconds
 * @returns {{data: any, at: number, error: string}}
 */
export function usePoll(path, period = PERIOD) {
  const [answer, setAnswer] = useState({ data: null, at: 0, error: "" });
  useEffect(() => {
    let timer = 0;
    let over = false;
    const look = async () => {
      let next = store.link === "live" ? period : 0.5;
      if (store.link === "live" && !store.paused && !document.hidden) {
        const found = await ask(path);
        if (over) return;
        setAnswer((before) => ({ ...before, ...found }));
        if (found.data?.length > LARGE) next = 5 * period;
      }
      timer = setTimeout(look, next * 1000);
    };
    look();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [path]);
  return answer;
}

async function ask(path) {
  try {
    return { data: await call("GET", path), at: performance.now() / 1000, error: "" };
  } catch (error) {
    return { error: error.message };
  }
}
