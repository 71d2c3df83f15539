// A picture that can be zoomed to its pixels and moved, by wheel, drag, pinch and keys.

import { clamp, element } from "./dom.js";

const MAX_SCALE = 64; // screen pixels a picture pixel
const WHEEL_SPEED = 0.002;
const DRAG_THRESHOLD_PX = 3;
const FACE_MARGIN = 0.4; // around a face that is looked at, as a fraction of its box

export class Stage {
  /**
   * `hooks.onChange()` after every change of the view, `hooks.onRest()` when it may be kept;
   * `hooks.grab(point)` may take a press for itself by returning a function that is called with
   * each further point; a point is [x, y] in pixels of the stage.
   */
  constructor(hooks) {
    this.hooks = hooks;
    this.size = null; // [width, height] of the picture
    this.zoom = null; // screen pixels a picture pixel; null: the whole picture
    this.center = null; // in pixels of the picture
    this.planes = []; // elements of the picture's size that move with it
    this.pointers = new Map();
    this.element = element("div", { className: "gpen-stage", tabIndex: 0 });
    this.listen();
    this.observer = new ResizeObserver(() => this.render());
    this.observer.observe(this.element);
  }

  dispose() {
    this.observer.disconnect();
    this.pointers.clear();
  }

  addPlane(plane) {
    plane.classList.add("gpen-plane");
    this.planes.push(plane);
    return plane;
  }

  setPicture(width, height) {
    const isOther = this.size?.[0] !== width || this.size?.[1] !== height;
    this.size = [width, height];
    if (isOther) this.fit();
    else this.render();
  }

  get fitScale() {
    const [width, height] = this.size;
    const { clientWidth, clientHeight } = this.element;
    return Math.max(Math.min(clientWidth / width, clientHeight / height), 1e-3);
  }

  get scale() {
    return this.zoom ?? this.fitScale;
  }

  get isZoomed() {
    return this.zoom !== null && this.zoom > this.fitScale;
  }

  fit() {
    this.zoom = null;
    this.center = null;
    this.render();
  }

  /** Zoom so that `point` of the stage, its middle by default, stays where it is. */
  zoomTo(scale, point = this.middle) {
    if (!this.size) return;
    const [x, y] = this.toPicture(point);
    const next = clamp(scale, Math.min(this.fitScale, 1), MAX_SCALE);
    if (next <= this.fitScale && scale <= this.scale) return void this.fit();
    const [dx, dy] = [point[0] - this.middle[0], point[1] - this.middle[1]];
    this.zoom = next;
    this.center = [x - dx / next, y - dy / next];
    this.render();
  }

  /** Show a box [x0, y0, x1, y1] of the picture with some room around it. */
  lookAt([x0, y0, x1, y1]) {
    const { clientWidth, clientHeight } = this.element;
    const room = 1 + 2 * FACE_MARGIN;
    const scale = Math.min(
      clientWidth / Math.max((x1 - x0) * room, 1),
      clientHeight / Math.max((y1 - y0) * room, 1),
    );
    this.zoom = clamp(scale, this.fitScale, MAX_SCALE);
    this.center = [(x0 + x1) / 2, (y0 + y1) / 2];
    this.render();
  }

  get middle() {
    return [this.element.clientWidth / 2, this.element.clientHeight / 2];
  }

  get offset() {
    const center = this.center ?? [this.size[0] / 2, this.size[1] / 2];
    return this.middle.map((half, axis) => half - center[axis] * this.scale);
  }

  toPicture([x, y]) {
    const [left, top] = this.offset;
    return [(x - left) / this.scale, (y - top) / this.scale];
  }

  toStage([x, y]) {
    const [left, top] = this.offset;
    return [x * this.scale + left, y * this.scale + top];
  }

  /** A point of the stage from a mouse event; the graph's own zoom is taken out. */
  pointOf(event) {
    const box = this.element.getBoundingClientRect();
    const factor = this.element.clientWidth / (box.width || 1);
    return [(event.clientX - box.left) * factor, (event.clientY - box.top) * factor];
  }

  render() {
    if (!this.size || !this.element.clientWidth) return;
    if (this.center) {
      this.center = this.center.map((value, axis) => clamp(value, 0, this.size[axis]));
    }
    const [left, top] = this.offset;
    for (const plane of this.planes) {
      plane.style.width = `${this.size[0]}px`;
      plane.style.height = `${this.size[1]}px`;
      plane.style.transform = `translate(${left}px, ${top}px) scale(${this.scale})`;
      plane.classList.toggle("gpen-pixels", this.scale > 1);
    }
    this.hooks.onChange();
  }

  listen() {
    const stage = this.element;
    stage.addEventListener("pointerdown", (event) => this.onDown(event));
    stage.addEventListener("pointermove", (event) => this.onMove(event));
    for (const type of ["pointerup", "pointercancel"]) {
      stage.addEventListener(type, (event) => this.onUp(event));
    }
    stage.addEventListener("dblclick", () => this.fit());
    stage.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
  }

  onWheel(event) {
    // Like the host's text boxes: the wheel belongs to the graph until the view has been clicked.
    if (!this.size || !stageHasFocus(this.element)) return;
    event.preventDefault();
    event.stopPropagation();
    this.zoomTo(this.scale * Math.exp(-event.deltaY * WHEEL_SPEED), this.pointOf(event));
    this.hooks.onRest();
  }

  onDown(event) {
    if (event.button !== 0 || !this.size) return;
    const point = this.pointOf(event);
    this.pointers.set(event.pointerId, point);
    this.drag = { start: point, moved: false, take: null };
    if (this.pointers.size === 1) this.drag.take = this.hooks.grab(point);
  }

  onMove(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const point = this.pointOf(event);
    if (!this.drag.moved) {
      const distance = Math.hypot(point[0] - this.drag.start[0], point[1] - this.drag.start[1]);
      if (distance < DRAG_THRESHOLD_PX) return;
      this.drag.moved = true;
      this.element.setPointerCapture(event.pointerId); // not before: it would swallow clicks
    }
    if (this.pointers.size > 1) this.pinch(event.pointerId, point);
    else if (this.drag.take) this.drag.take(point);
    else if (this.isZoomed) this.moveBy(point[0] - before[0], point[1] - before[1]);
    this.pointers.set(event.pointerId, point);
  }

  onUp(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    if (!this.pointers.size) this.hooks.onRest();
  }

  moveBy(dx, dy) {
    const [x, y] = this.center ?? [this.size[0] / 2, this.size[1] / 2];
    this.center = [x - dx / this.scale, y - dy / this.scale];
    this.render();
  }

  pinch(pointerId, point) {
    const [otherId] = [...this.pointers.keys()].filter((id) => id !== pointerId);
    const other = this.pointers.get(otherId);
    const before = this.pointers.get(pointerId);
    const distance = (from) => Math.max(Math.hypot(from[0] - other[0], from[1] - other[1]), 1);
    const between = [(point[0] + other[0]) / 2, (point[1] + other[1]) / 2];
    this.zoomTo((this.scale * distance(point)) / distance(before), between);
    this.moveBy((point[0] - before[0]) / 2, (point[1] - before[1]) / 2);
  }
}

function stageHasFocus(stage) {
  return stage.parentElement?.contains(document.activeElement) ?? false;
}
