import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

/** An element that knows only what a stage asks of it. */
class FakeElement {
  clientWidth = 300;
  clientHeight = 200;
  style = {};
  listeners = {};
  classList = { add() {}, toggle() {} };
  parentElement = null;
  append() {}
  addEventListener(type, listener) {
    this.listeners[type] = listener;
  }
  setPointerCapture() {}
  getBoundingClientRect() {
    // The graph around it is zoomed to a half.
    return { left: 10, top: 20, width: this.clientWidth / 2, height: this.clientHeight / 2 };
  }
}

globalThis.document = { createElement: () => new FakeElement() };
globalThis.ResizeObserver = class {
  observe() {}
  disconnect() {}
};
const { Stage } = await import("../../js/lib/stage.js");

let changes, rests, grabbed, stage;

beforeEach(() => {
  changes = rests = 0;
  grabbed = null;
  stage = new Stage({ onChange: () => changes++, onRest: () => rests++, grab: () => grabbed });
});

/** A pointer's event at a point of the stage. */
function pointer(type, [x, y], pointerId = 1, button = 0) {
  stage.element.listeners[type]({ clientX: 10 + x / 2, clientY: 20 + y / 2, pointerId, button });
}

function near(actual, expected) {
  actual.forEach((value, axis) => assert.ok(Math.abs(value - expected[axis]) < 1e-9, `${actual}`));
}

test("a picture fits into the stage, in its middle", () => {
  stage.setPicture(600, 200);
  assert.equal(stage.scale, 0.5);
  near(stage.toStage([0, 0]), [0, 50]);
  near(stage.toStage([600, 200]), [300, 150]);
  near(stage.toPicture([150, 100]), [300, 100]);
});

test("nothing happens before there is a picture", () => {
  stage.zoomTo(2);
  stage.render();
  pointer("pointerdown", [10, 10]);
  pointer("pointermove", [90, 10]);
  assert.equal(changes, 0);
});

test("the point under the pointer stays when the picture is zoomed", () => {
  stage.setPicture(600, 200);
  const before = stage.toPicture([210, 90]);
  stage.zoomTo(3, [210, 90]);
  assert.equal(stage.scale, 3);
  near(stage.toPicture([210, 90]), before);
});

test("zooming ends at 64 pixels a pixel and at the whole picture", () => {
  stage.setPicture(600, 200);
  stage.zoomTo(1000);
  assert.equal(stage.scale, 64);
  stage.zoomTo(0.01);
  assert.equal(stage.zoom, null);
  assert.equal(stage.isZoomed, false);
});

test("another picture of the same size keeps the view, one of another size fits", () => {
  stage.setPicture(600, 200);
  stage.zoomTo(2);
  stage.setPicture(600, 200);
  assert.equal(stage.scale, 2);
  stage.setPicture(600, 400);
  assert.equal(stage.zoom, null);
});

test("a face that is looked at lies in the middle with room around it", () => {
  stage.setPicture(600, 200);
  stage.lookAt([100, 40, 140, 80]);
  near(stage.toStage([120, 60]), [150, 100]);
  near([stage.scale], [200 / (40 * 1.8)]);
});

test("a drag moves a zoomed picture and no other", () => {
  stage.setPicture(600, 200);
  pointer("pointerdown", [100, 100]);
  pointer("pointermove", [140, 100]);
  assert.equal(stage.center, null);
  pointer("pointerup", [140, 100]);
  stage.zoomTo(2);
  const under = stage.toPicture([100, 100]);
  pointer("pointerdown", [100, 100]);
  pointer("pointermove", [140, 110]);
  pointer("pointerup", [140, 110]);
  near(stage.toPicture([140, 110]), under);
  assert.equal(rests, 2);
});

test("the picture's corner cannot be dragged beyond the middle of the stage", () => {
  stage.setPicture(600, 200);
  stage.zoomTo(2);
  stage.moveBy(10_000, 10_000);
  near(stage.toStage([0, 0]), [150, 100]);
});

test("a press of less than three pixels is no drag", () => {
  stage.setPicture(600, 200);
  stage.zoomTo(2);
  const { center } = stage;
  pointer("pointerdown", [100, 100]);
  pointer("pointermove", [102, 101]);
  near(stage.center, center);
});

test("a press that is taken goes to its taker", () => {
  const points = [];
  grabbed = (point) => points.push(point);
  stage.setPicture(600, 200);
  stage.zoomTo(2);
  const { center } = stage;
  pointer("pointerdown", [100, 100]);
  pointer("pointermove", [140, 100]);
  near(points[0], [140, 100]);
  near(stage.center, center);
});

test("two fingers zoom around the middle between them", () => {
  stage.setPicture(600, 200);
  pointer("pointerdown", [100, 100], 1);
  pointer("pointerdown", [200, 100], 2);
  pointer("pointermove", [250, 100], 2);
  near([stage.scale], [0.75]);
});
