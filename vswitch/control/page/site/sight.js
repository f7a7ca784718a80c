// What is chosen of a row that does not fit is moved to where it is seen.

/** The page itself does not move. @param {HTMLElement} list @param {string} chosen a selector */
export function inSight(list, chosen) {
  const item = list.querySelector(chosen);
  if (!item) return;
  const row = list.getBoundingClientRect();
  const box = item.getBoundingClientRect();
  list.scrollLeft += (box.left + box.right - row.left - row.right) / 2;
}
