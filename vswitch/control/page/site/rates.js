// Rates from two looks at counters that only grow; they begin anew where a port was replaced.

/**
 * @typedef {{bits: number, frames: number}} Flow
 * @typedef {{in: Flow, out: Flow, drops: number, reasons: Record<string, number>}} Rate
 */

/** Samples that are kept of each port: a quarter of an hour at one a second. */
export const KEPT = 900;

const COLUMNS = ["at", "inBits", "outBits", "inFrames", "outFrames", "drops"];
const CASTS = ["unicast", "multicast", "broadcast"];

/** @returns {Rate} */
export const rest = () => ({ in: { bits: 0, frames: 0 }, out: { bits: 0, frames: 0 }, drops: 0, reasons: {} });

/** Frames of one direction. @param {Record<string, number>} traffic */
export const framesOf = (traffic) => CASTS.reduce((sum, cast) => sum + traffic[cast], 0);

/** @param {Record<string, number>} dropped */
export const total = (dropped) => Object.values(dropped).reduce((sum, count) => sum + count, 0);

/** The samples of one port, a column a quantity, as uPlot wants them. A null is a gap. */
export class Samples {
  constructor() {
    for (const name of COLUMNS) this[name] = [];
  }

  /** @param {number} at unix seconds @param {Rate | null} rate */
  add(at, rate) {
    const row = rate
      ? [at, rate.in.bits, rate.out.bits, rate.in.frames, rate.out.frames, rate.drops]
      : [at, null, null, null, null, null];
    COLUMNS.forEach((name, index) => {
      this[name].push(row[index]);
      if (this[name].length > KEPT) this[name].shift();
    });
  }
}

/** Turns the state messages of a switch into rates, and remembers them. */
export class Meter {
  constructor() {
    this.before = null;
    /** @type {Map<string, Rate>} */
    this.rates = new Map();
    /** @type {Map<string, Samples>} */
    this.samples = new Map();
    this.all = new Samples();
    this.sum = rest();
    this.offset = 0;
    this.last = 0;
  }

  /** The connection was lost: the next message begins anew, with a gap before. */
  gap() {
    if (!this.before) return;
    for (const samples of [...this.samples.values(), this.all]) samples.add(this.last + 0.001, null);
    this.before = null;
  }

  /** @param {{at: number, ports: any[]}} state */
  feed(state) {
    const before = this.before;
    if (!before) this.offset = Date.now() / 1000 - state.at;
    this.before = { at: state.at, ports: new Map(state.ports.map((row) => [row.port, row])) };
    const seconds = before ? state.at - before.at : 0;
    if (seconds <= 0) return;
    this.last = state.at + this.offset;
    this.sum = rest();
    this.rates = new Map(state.ports.map((row) => [row.port, rateOf(before.ports.get(row.port) ?? row, row, seconds)]));
    for (const [name, rate] of this.rates) {
      this.#samplesOf(name).add(this.last, rate);
      add(this.sum, rate);
    }
    this.all.add(this.last, this.sum);
    for (const name of this.samples.keys()) if (!this.rates.has(name)) this.samples.delete(name);
  }

  /** @param {string} name */
  #samplesOf(name) {
    if (!this.samples.has(name)) this.samples.set(name, new Samples());
    return this.samples.get(name);
  }
}

/** @returns {Rate} */
function rateOf(before, now, seconds) {
  const perSecond = (count) => Math.max(0, count) / seconds;
  const flow = (direction) => ({
    bits: perSecond((now[direction].bytes - before[direction].bytes) * 8),
    frames: perSecond(framesOf(now[direction]) - framesOf(before[direction])),
  });
  const reasons = {};
  for (const [reason, count] of Object.entries(now.dropped)) {
    const rate = perSecond(count - (before.dropped[reason] ?? 0));
    if (rate > 0) reasons[reason] = rate;
  }
  return { in: flow("receive"), out: flow("transmit"), drops: total(reasons), reasons };
}

/** @param {Rate} sum @param {Rate} rate */
function add(sum, rate) {
  for (const way of ["in", "out"]) {
    sum[way].bits += rate[way].bits;
    sum[way].frames += rate[way].frames;
  }
  sum.drops += rate.drops;
  for (const [reason, count] of Object.entries(rate.reasons)) sum.reasons[reason] = (sum.reasons[reason] ?? 0) + count;
}
