// As much of pcapng as a download needs: where blocks end, and how many packets there are.
// https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html

const SECTION = 0x0a0d0d0a;
const PACKET = 6;
const LITTLE = 0x1a2b3c4d;

/** Follows a stream of pcapng. A capture that is stopped ends with its last whole block. */
export class Blocks {
  constructor() {
    /** Octets up to the end of the last whole block. */
    this.whole = 0;
    this.packets = 0;
    this.seen = 0;
    this.little = true;
    this.head = new Uint8Array(12);
    this.have = 0;
  }

  /** @param {Uint8Array} chunk */
  add(chunk) {
    const begin = this.seen;
    this.seen += chunk.length;
    while (this.whole < this.seen) {
      while (this.have < 12 && this.whole + this.have < this.seen) {
        this.head[this.have] = chunk[this.whole + this.have - begin];
        this.have += 1;
      }
      if (this.have < 12) return;
      const { type, length } = this.#block();
      if (this.whole + length > this.seen) return;
      this.whole += length;
      this.have = 0;
      if (type === PACKET) this.packets += 1;
    }
  }

  #block() {
    const view = new DataView(this.head.buffer);
    if (view.getUint32(0) === SECTION) this.little = view.getUint32(8, true) === LITTLE;
    return { type: view.getUint32(0, this.little), length: Math.max(12, view.getUint32(4, this.little)) };
  }
}
