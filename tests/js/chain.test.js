import assert from "node:assert/strict";
import { test } from "node:test";

import { chain } from "../../js/lib/chain.js";

test("a chained method keeps its result and its object", () => {
  const calls = [];
  const node = {
    name: "node",
    onExecuted(value) {
      calls.push(["first", this.name, value]);
      return 7;
    },
  };
  chain(node, "onExecuted", function (value) {
    calls.push(["second", this.name, value]);
  });
  assert.equal(node.onExecuted(1), 7);
  assert.deepEqual(calls, [["first", "node", 1], ["second", "node", 1]]);
});

test("a method that is not there yet can be chained", () => {
  const node = {};
  chain(node, "onRemoved", function () {
    this.isRemoved = true;
  });
  node.onRemoved();
  assert.equal(node.isRemoved, true);
});
