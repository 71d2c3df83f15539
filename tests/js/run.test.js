import assert from "node:assert/strict";
import { test } from "node:test";

import { joinRuns } from "../../js/lib/run.js";

test("the runs of a list become one, with all frames and texts", () => {
  const runs = [
    { total: 2, frames: ["a", "b"], order: "left-right" },
    { total: 1, frames: ["c"], order: "left-right" },
  ];
  assert.deepEqual(joinRuns(runs, ["two", "one"]), {
    total: 3,
    frames: ["a", "b", "c"],
    text: "two\none",
    order: "left-right",
  });
});
