import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { ensureKey, loadRecord, releaseRecord, saveRecord } from "../../js/lib/record.js";

beforeEach(() => {
  const items = new Map();
  // Like the browser's: keys are properties, too.
  globalThis.sessionStorage = new Proxy(
    {
      getItem: (name) => items.get(name) ?? null,
      setItem: (name, text) => items.set(name, text),
      removeItem: (name) => items.delete(name),
    },
    {
      ownKeys: () => [...items.keys()],
      getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
    },
  );
});

/** A graph with nodes of these ids. */
function nodes(...ids) {
  const graph = { getNodeById: (id) => made.find((node) => node.id === id) ?? null };
  const made = ids.map((id) => ({ id, graph, properties: {} }));
  return made;
}

test("a node finds what it has saved", () => {
  const [node] = nodes(1);
  assert.equal(loadRecord(node), null);
  saveRecord(node, { split: 0.3 });
  assert.equal(loadRecord(node).split, 0.3);
});

test("a copy of a node starts with its record and then keeps one of its own", () => {
  const [node, copy] = nodes(1, 2);
  saveRecord(node, { split: 0.3 });
  Object.assign(copy.properties, node.properties);
  assert.equal(loadRecord(copy).split, 0.3);
  saveRecord(copy, { split: 0.8 });
  assert.equal(loadRecord(node).split, 0.3);
  assert.equal(loadRecord(copy).split, 0.8);
});

test("a node that undo brings back takes the record of the one that is gone", () => {
  const [node] = nodes(1);
  saveRecord(node, { split: 0.3 });
  releaseRecord(node);
  const [again] = nodes(1);
  Object.assign(again.properties, node.properties);
  assert.equal(loadRecord(again).split, 0.3);
  assert.deepEqual(again.properties, node.properties);
});

test("the records saved longest ago are dropped", () => {
  const many = nodes(...Array(60).keys());
  many.forEach((node, i) => saveRecord(node, { split: i }));
  const left = many.filter((node) => loadRecord(node));
  assert.equal(left.length, 48);
});

test("storage that is full or switched off does no harm", () => {
  globalThis.sessionStorage = {
    getItem() {
      throw new Error("switched off");
    },
    setItem() {
      throw new Error("full");
    },
  };
  const [node] = nodes(1);
  ensureKey(node);
  saveRecord(node, { split: 0.3 });
  assert.equal(loadRecord(node), null);
});
