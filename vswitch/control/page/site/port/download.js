// A capture as a download: read as it comes, kept within bounds, saved when it ends.
import { request } from "../api.js";
import { Blocks } from "./pcapng.js";

/** Octets that a browser has to hold, at most. */
export const MOST = 64 * 1024 * 1024;

/** Read a capture until it ends, is stopped, or is too large; tell of the progress. Raises Refused. */
export async function read(parameters, signal, progress) {
  const blocks = new Blocks();
  const chunks = [];
  try {
    const answer = await request("GET", `/v1/capture?${parameters}`, undefined, signal);
    const reader = answer.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      chunks.push(value);
      blocks.add(value);
      progress(blocks);
      if (blocks.seen > MOST) {
        await reader.cancel();
        break;
      }
    }
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  }
  return { blob: new Blob(chunks, { type: "application/x-pcapng" }).slice(0, blocks.whole), blocks };
}

/** @param {Blob} blob @param {string} name */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
