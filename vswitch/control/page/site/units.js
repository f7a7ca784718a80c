// Numbers as engineers write them.

const PREFIXES = ["", "k", "M", "G", "T"];

/**
 * A number in three digits and its SI prefix: 12 345 is ["12.3", "k"].
 * @param {number} value
 * @returns {[string, string]}
 */
export function short(value) {
  let unit = 0;
  while (value >= 999.5 && unit < PREFIXES.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const whole = unit === 0 && (value >= 99.5 || Number.isInteger(value));
  const digits = whole || value >= 99.95 ? 0 : value >= 9.995 || unit === 0 ? 1 : 2;
  return [value.toFixed(digits), PREFIXES[unit]];
}

/** @param {number} value @param {string} unit */
export function quantity(value, unit) {
  const [digits, prefix] = short(value);
  return `${digits} ${prefix}${unit}`.trimEnd();
}

/** @param {number} value bits a second */
export const bits = (value) => quantity(value, "bit/s");

/** @param {number} value frames a second */
export const frames = (value) => {
  const [digits, prefix] = short(value);
  return `${digits}${prefix && ` ${prefix}`} frames/s`.replace(" k frames", " kframes").replace(" M frames", " Mframes");
};

/** @param {number} value octets */
export const octets = (value) => quantity(value, "B");

/** Whole numbers with thin spaces: 1 234 567. @param {number} value */
export const whole = (value) => Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, "\u2009");

/** How long ago or how long: 4.2 s, 3 min 20 s, 2 h 5 min, 3 d 4 h. @param {number} seconds */
export function span(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const parts = [
    [Math.floor(seconds / 86400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [Math.floor(seconds) % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(" ");
}

/** Time of day with milliseconds, of this machine's zone. @param {Date} moment */
export const clock = (moment) =>
  `${moment.toLocaleTimeString("en-GB")}.${moment.getMilliseconds().toString().padStart(3, "0")}`;

/** "1 port", "2 ports". @param {number} count @param {string} noun */
export const plural = (count, noun) => `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;
