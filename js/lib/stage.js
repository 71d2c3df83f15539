// @ts-check
// A picture that can be zoomed to its pixels and moved.

import { clamp, element } from "./dom.js";
import { Gestures } from "./gestures.js";

/** @typedef {[x: number, y: number]} Point in pixels of the stage, or of the picture */

/**
 * @typedef {object} Hooks
 * @property {() => void} onChange after every change of the view
 * @property {() => void} onRest when the view may be kept
 * @property {(point: Point) => ((point: Point) => void) | null} grab may take a press on the stage
 *   for itself, by returning what each further point goes to
 */

const MAX_SCALE = 64; // screen pixels a picture pixel
const FACE_MARGIN = 0.4; // around a face that is looked at, as a fraction of its box

export class Stage {
  /** @param {Hooks} hooks */
  constructor(hooks) {
    this.hooks = hooks;
    /** Width and height of the picture; 0: none yet. @type {Point} */
    this.size = [0, 0];
    /** Screen pixels a picture pixel; null: the whole picture. @type {number | null} */
    this.zoom = null;
    /** In pixels of the picture; null: its middle. @type {Point | null} */
    this.center = null;
    /** Elements of the picture's size that move with it. @type {HTMLElement[]} */
    this.planes = [];
    this.element = element("div", { className: "gpen-stage", tabIndex: 0 });
    this.gestures = new Gestures(this);
    this.observer = new ResizeObserver(() => this.render());
    this.observer.observe(this.element);
  }

  dispose() {
    this.observer.disconnect();
    this.gestures.forget();
  }

  /** @param {HTMLElement} plane */
  addPlane(plane) {
    plane.classList.add("gpen-plane");
    this.planes.push(plane);
    return plane;
  }

  /**
   * @param {number} width
   * @param {number} height
   */
  setPicture(width, height) {
    const isOther = this.size[0] !== width || this.size[1] !== height;
    this.size = [width, height];
    if (isOther) this.fit();
    else this.render();
  }

  get hasPicture() {
    return this.size[0] > 0;
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

  /**
   * Zoom so that a point of the stage, its middle by default, stays where it is.
   *
   * @param {number} scale
   * @param {Point} point
   */
  zoomTo(scale, point = this.middle) {
    if (!this.hasPicture) return;
    const [x, y] = this.toPicture(point);
    const next = clamp(scale, Math.min(this.fitScale, 1), MAX_SCALE);
    if (next <= this.fitScale && scale <= this.scale) {
      this.fit();
      return;
    }
    const [dx, dy] = [point[0] - this.middle[0], point[1] - this.middle[1]];
    this.zoom = next;
    this.center = [x - dx / next, y - dy / next];
    this.render();
  }

  /**
   * Move the picture by pixels of the stage.
   *
   * @param {number} dx
   * @param {number} dy
   */
  moveBy(dx, dy) {
    const [x, y] = this.center ?? this.middleOfPicture;
    this.center = [x - dx / this.scale, y - dy / this.scale];
    this.render();
  }

  /**
   * Show a box of the picture with some room around it.
   *
   * @param {import("./run.js").Box} box
   */
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

  /** @returns {Point} */
  get middle() {
    return [this.element.clientWidth / 2, this.element.clientHeight / 2];
  }

  /** @returns {Point} */
  get middleOfPicture() {
    return [this.size[0] / 2, this.size[1] / 2];
  }

  /** Where the picture's corner is. @returns {Point} */
  get offset() {
    const [x, y] = this.center ?? this.middleOfPicture;
    return [this.middle[0] - x * this.scale, this.middle[1] - y * this.scale];
  }

  /**
   * @param {Point} point of the stage
   * @returns {Point}
   */
  toPicture([x, y]) {
    const [left, top] = this.offset;
    return [(x - left) / this.scale, (y - top) / this.scale];
  }

  /**
   * @param {Point} point of the picture
   * @returns {Point}
   */
  toStage([x, y]) {
    const [left, top] = this.offset;
    return [x * this.scale + left, y * this.scale + top];
  }

  render() {
    if (!this.hasPicture || !this.element.clientWidth) return;
    const [width, height] = this.size;
    if (this.center) {
      const [x, y] = this.center;
      this.center = [clamp(x, 0, width), clamp(y, 0, height)];
    }
    const [left, top] = this.offset;
    for (const plane of this.planes) {
      plane.style.width = `${width}px`;
      plane.style.height = `${height}px`;
      plane.style.transform = `translate(${left}px, ${top}px) scale(${this.scale})`;
      plane.classList.toggle("gpen-pixels", this.scale > 1);
    }
    this.hooks.onChange();
  }
}
