// Calls of the API: the same that the command line makes.
import { token } from "./token.js";

/** What the switch refused, in its own sentence. */
export class Refused extends Error {
  /** @param {number} status @param {string} sentence */
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

/** @param {AbortSignal} [signal] */
export async function request(method, path, body, signal) {
  const headers = {};
  if (token()) headers.Authorization = `Bearer ${token()}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "The switch does not answer.");
  }
  if (!answer.ok) throw new Refused(answer.status, await sentence(answer));
  return answer;
}

/** What a call answers, as JSON; null where it answers nothing. */
export async function call(method, path, body) {
  const text = await (await request(method, path, body)).text();
  return text ? JSON.parse(text) : null;
}

/** @param {Response} answer */
async function sentence(answer) {
  const text = await answer.text();
  try {
    const { error, problems = [] } = JSON.parse(text);
    return problems.length > 1 ? problems.join("; ") : error;
  } catch {
    return text || `${answer.status} ${answer.statusText}`;
  }
}

/** The part of a path that names something. @param {string} name */
export const segment = (name) => encodeURIComponent(name);
