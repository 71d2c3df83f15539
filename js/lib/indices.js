// @ts-check
// The notation of the widget `indices`, as parse_indices in gpen_core/faces/selection.py reads it.

const ITEM = /^\s*([0-9]{1,4})\s*(?:-\s*([0-9]{1,4})\s*)?$/;

/**
 * The numbers in a text such as "0,2-4": a Set, empty for a blank text; null if it is not one.
 *
 * @param {string} text
 * @returns {Set<number> | null}
 */
export function parseIndices(text) {
  const numbers = new Set();
  if (!text.trim()) return numbers;
  for (const item of text.split(",")) {
    const match = ITEM.exec(item);
    if (!match) return null;
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    if (first > last) return null;
    for (let number = first; number <= last; number++) numbers.add(number);
  }
  return numbers;
}

/** @param {Iterable<number>} numbers */
export function formatIndices(numbers) {
  return [...numbers].sort((one, other) => one - other).join(",");
}
