// Where the ports of the picture stand: around the switch where there is room, in two columns beside it else.

/** Ports that have room around the switch. */
const AROUND = 14;
/** Ports that are drawn at most. The table has all of them. */
export const MOST = 96;
/** Pixels below which there is no room but for columns. */
export const NARROW = 560;

/**
 * side: where the label of the port stands.  x, y: where its link ends.  hub: where the link ends at the switch.
 * @typedef {{x: number, y: number, side: "left" | "right" | "top" | "bottom", hub: {x: number, y: number}}} Place
 * @typedef {{width: number, height: number, box: {x: number, y: number, width: number, height: number},
 *   places: Place[], dense: boolean, bent: boolean}} Layout
 */

/** @param {number} count @param {number} width @returns {Layout} */
export function layout(count, width) {
  return count <= AROUND && width >= NARROW ? around(count, width) : beside(count, width);
}

/** Along an ellipse, the first at the top left, with the links towards the middle. */
function around(count, width) {
  const height = Math.max(300, Math.min(430, width * 0.56));
  const middle = { x: width / 2, y: height / 2 };
  const box = { width: 132, height: 76, x: middle.x - 66, y: middle.y - 38 };
  const radius = { x: width / 2 - 112, y: height / 2 - 34 };
  const begin = count === 2 ? Math.PI : count % 2 ? -Math.PI / 2 : -Math.PI / 2 - Math.PI / count;
  const places = Array.from({ length: count }, (_, index) => {
    const angle = begin + (2 * Math.PI * index) / count;
    const x = middle.x + radius.x * Math.cos(angle);
    const y = middle.y + radius.y * Math.sin(angle);
    return { x, y, side: sideOf(Math.cos(angle), Math.sin(angle)), hub: towards(middle, box, { x, y }) };
  });
  return { width, height, box, places, dense: false, bent: false };
}

function sideOf(cosine, sine) {
  if (Math.abs(cosine) < 0.3) return sine < 0 ? "top" : "bottom";
  return cosine < 0 ? "left" : "right";
}

/** The point of the box's edge on the way to a port. */
function towards(middle, box, port) {
  const dx = port.x - middle.x;
  const dy = port.y - middle.y;
  const scale = Math.min(box.width / 2 / Math.max(1e-6, Math.abs(dx)), box.height / 2 / Math.max(1e-6, Math.abs(dy)));
  return { x: middle.x + dx * scale, y: middle.y + dy * scale };
}

/** In a column to the left and one to the right, as on a patch panel. */
function beside(count, width) {
  const dense = count > AROUND;
  const narrow = width < NARROW;
  const row = dense ? 22 : 44;
  const left = Math.ceil(count / 2);
  const height = Math.max(150, left * row + 20);
  const tall = narrow ? height - 20 : Math.min(height - 12, Math.max(70, left * (dense ? 15 : 26)));
  const box = { width: narrow ? 36 : 120, height: tall, x: 0, y: (height - tall) / 2 };
  box.x = (width - box.width) / 2;
  const reach = Math.min(narrow ? 88 : 200, width / 2 - box.width / 2 - 30);
  const places = Array.from({ length: count }, (_, index) => {
    const isLeft = index < left;
    const rows = isLeft ? left : count - left;
    const at = isLeft ? index : index - left;
    const y = height / 2 + (at - (rows - 1) / 2) * row;
    const hub = narrow ? y : box.y + (box.height * (at + 0.5)) / rows;
    return isLeft
      ? { x: reach, y, side: "left", hub: { x: box.x, y: hub } }
      : { x: width - reach, y, side: "right", hub: { x: box.x + box.width, y: hub } };
  });
  return { width, height, box, places, dense, bent: true };
}

/** The thickness of a lane by powers of ten, of 1 kbit/s to 10 Gbit/s. @param {number} bits @param {boolean} dense */
export function thickness(bits, dense) {
  if (bits <= 0) return 0;
  const share = Math.min(1, Math.max(0, Math.log10(bits / 1e3) / 7));
  return (dense ? 1 : 1.5) + share * (dense ? 5 : 10.5);
}
