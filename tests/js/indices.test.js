import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { formatIndices, parseIndices } from "../../js/lib/indices.js";

// The table that Python's parse_indices is tested against too.
const cases = JSON.parse(readFileSync(new URL("../cases/face_indices.json", import.meta.url), "utf8"));

for (const { text, indices } of cases) {
  test(`${JSON.stringify(text)} is read as the node reads it`, () => {
    const numbers = parseIndices(text);
    assert.deepEqual(numbers && [...numbers].sort((one, other) => one - other), indices);
  });
}

test("what was written is read again", () => {
  const numbers = new Set([10, 9, 0, 120]);
  assert.equal(formatIndices(numbers), "0,9,10,120");
  assert.deepEqual(parseIndices(formatIndices(numbers)), new Set([0, 9, 10, 120]));
  assert.equal(formatIndices(new Set()), "");
});
