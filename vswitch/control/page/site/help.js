// The keys, and how to read the picture.
import { html } from "./html.js";
import { KEYS } from "./keys.js";
import { Modal } from "./modal.js";

export const Help = ({ close }) => html`<${Modal} title="Help" close=${close}>
  <div><h3>Keys</h3></div>
  <dl class="keys">
    ${KEYS.map(([key, meaning]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${meaning}</dd></div>`)}
  </dl>
  <h3>What is shown</h3>
  <p><b>In</b> is what comes from the guest into the switch, <b>out</b> what goes to it. Frames count as on the wire, bits
  without the frame check sequence. Rates are those of the last second or so, from the switch's own counters.</p>
  <p>A link of the picture has two lanes, <b>in</b> in colour and <b>out</b> in grey, with an arrow each. They are as thick
  as their traffic, by powers of ten. A port that drops has a triangle and the number of drops; one that is down has a
  dashed link and a crossed circle.</p>
<//>`;
