// @ts-check
// A stage moved and zoomed by wheel, drag, pinch and double click.

/** @typedef {import("./stage.js").Point} Point */

const WHEEL_SPEED = 0.002;
const DRAG_THRESHOLD_PX = 3;

export class Gestures {
  /** @param {import("./stage.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    /** Where each pointer is that is down. @type {Map<number, Point>} */
    this.pointers = new Map();
    /** @type {Point} */
    this.start = [0, 0];
    this.hasMoved = false;
    /** What the press goes to if not to the picture. @type {((point: Point) => void) | null} */
    this.take = null;
    const { element } = stage;
    element.addEventListener("pointerdown", (event) => this.onDown(event));
    element.addEventListener("pointermove", (event) => this.onMove(event));
    element.addEventListener("pointerup", (event) => this.onUp(event));
    element.addEventListener("pointercancel", (event) => this.onUp(event));
    element.addEventListener("dblclick", () => stage.fit());
    element.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
  }

  /** Drop the presses there are. */
  forget() {
    this.pointers.clear();
  }

  /** @param {WheelEvent} event */
  onWheel(event) {
    // Like the host's text boxes: the wheel belongs to the graph until the view has been clicked.
    if (!this.stage.hasPicture || !this.hasFocus) return;
    event.preventDefault();
    event.stopPropagation();
    const factor = Math.exp(-event.deltaY * WHEEL_SPEED);
    this.stage.zoomTo(this.stage.scale * factor, this.pointOf(event));
    this.stage.hooks.onRest();
  }

  /** @param {PointerEvent} event */
  onDown(event) {
    if (event.button !== 0 || !this.stage.hasPicture) return;
    const point = this.pointOf(event);
    this.pointers.set(event.pointerId, point);
    this.start = point;
    this.hasMoved = false;
    this.take = this.pointers.size === 1 ? this.stage.hooks.grab(point) : null;
  }

  /** @param {PointerEvent} event */
  onMove(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const point = this.pointOf(event);
    if (!this.hasMoved) {
      if (distance(point, this.start) < DRAG_THRESHOLD_PX) return;
      this.hasMoved = true;
      this.stage.element.setPointerCapture(event.pointerId); // not before: it would swallow clicks
    }
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) this.pinch(other, before, point);
    else if (this.take) this.take(point);
    else if (this.stage.isZoomed) this.stage.moveBy(point[0] - before[0], point[1] - before[1]);
    this.pointers.set(event.pointerId, point);
  }

  /** @param {PointerEvent} event */
  onUp(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    if (!this.pointers.size) this.stage.hooks.onRest();
  }

  /**
   * @param {Point} other where the other finger is
   * @param {Point} before
   * @param {Point} point
   */
  pinch(other, before, point) {
    const factor = Math.max(distance(point, other), 1) / Math.max(distance(before, other), 1);
    const between = /** @type {Point} */ ([(point[0] + other[0]) / 2, (point[1] + other[1]) / 2]);
    this.stage.zoomTo(this.stage.scale * factor, between);
    this.stage.moveBy((point[0] - before[0]) / 2, (point[1] - before[1]) / 2);
  }

  get hasFocus() {
    return this.stage.element.parentElement?.contains(document.activeElement) ?? false;
  }

  /**
   * A point of the stage; the graph's own zoom is taken out.
   *
   * @param {MouseEvent} event
   * @returns {Point}
   */
  pointOf(event) {
    const { element } = this.stage;
    const box = element.getBoundingClientRect();
    const factor = element.clientWidth / (box.width || 1);
    return [(event.clientX - box.left) * factor, (event.clientY - box.top) * factor];
  }
}

/**
 * @param {Point} one
 * @param {Point} other
 */
function distance(one, other) {
  return Math.hypot(one[0] - other[0], one[1] - other[1]);
}
