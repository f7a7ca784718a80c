// Markup in JavaScript, without a build step. What is put into it is text, never markup.
import htm from "./vendor/htm.js";
import { h } from "./vendor/preact.js";

export const html = htm.bind(h);
