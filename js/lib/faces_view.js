// @ts-check
// The numbered faces of a picture.

import { element } from "./dom.js";
import { showFile } from "./pictures.js";
import { View } from "./view.js";

/**
 * A face with its number in each order of counting, -1 if the node leaves it out.
 *
 * @typedef {import("./run.js").Face & { numbers: Record<string, number> }} NumberedFace
 */

/**
 * @typedef {import("./run.js").Frame<NumberedFace> & {
 *   picture: import("./run.js").Picture,
 * }} NumberedFrame
 */

/**
 * What the node was run with is in it too.
 *
 * @typedef {import("./run.js").Run<NumberedFrame> & {
 *   order: string, indices: string, min_size: number, min_score: number, [widget: string]: any,
 * }} NumberedRun
 */

const SMALL_BOX_PX = 24;

/** @extends {View<NumberedRun>} */
export class FacesView extends View {
  /**
   * @param {Comfy.Node} node
   * @param {string} hint
   */
  constructor(node, hint = "Run the graph to see the faces here.") {
    super(node, "faces", hint);
    this.picture = this.makePicture("detected faces");
    const plane = this.stage.addPlane(element("div", {}, this.picture));
    this.boxes = element("div", { className: "gpen-layer gpen-boxes" });
    this.stage.element.append(plane, this.boxes, this.message);
    // Of a height that no text changes: what comes and goes with the pointer must not move the
    // faces away from under it.
    this.faceLine = element("div", { className: "gpen-face-line" });
    this.info.after(this.faceLine);
  }

  /**
   * @override
   * @param {NumberedFrame} frame
   */
  showFrame(frame) {
    showFile(this.picture, frame.picture);
    const focused = [...this.boxes.children].indexOf(/** @type {Element} */ (document.activeElement));
    const boxes = frame.faces.map((face) => this.makeBox(face));
    this.boxes.replaceChildren(...boxes);
    boxes[focused]?.focus(); // a face that is redrawn under the pointer keeps the focus
    this.info.textContent = this.summary;
    this.faceLine.textContent = "";
  }

  /**
   * The face's number in the order in use; -1 if the node drops it before counting.
   *
   * @param {NumberedFace} face
   */
  numberOf(face) {
    return face.numbers[this.run?.order ?? ""] ?? -1;
  }

  /**
   * @param {NumberedFace} face
   * @returns {HTMLElement}
   */
  makeBox(face) {
    const number = this.numberOf(face);
    const text = `face ${number < 0 ? "left out" : number}: ${face.size} px, score ${face.score}`;
    const box = element(this.boxTag, { className: "gpen-face", "aria-label": text });
    if (number >= 0) {
      box.dataset.number = String(number);
      box.append(element("span", { className: "gpen-number", textContent: String(number) }));
    }
    box.classList.toggle("gpen-dropped", number < 0);
    for (const type of ["pointerenter", "focus"]) {
      box.addEventListener(type, () => {
        this.faceLine.textContent = text;
      });
    }
    for (const type of ["pointerleave", "blur"]) {
      box.addEventListener(type, () => {
        this.faceLine.textContent = "";
      });
    }
    return box;
  }

  /** @returns {"div" | "button"} */
  get boxTag() {
    return "div";
  }

  get summary() {
    return this.run?.text ?? "";
  }

  /** @override */
  onViewChange() {
    super.onViewChange();
    for (const [i, { box }] of (this.frame?.faces ?? []).entries()) {
      const [left, top] = this.stage.toStage([box[0], box[1]]);
      const [right, bottom] = this.stage.toStage([box[2], box[3]]);
      const { style, classList } = /** @type {HTMLElement} */ (this.boxes.children[i]);
      style.left = `${left}px`;
      style.top = `${top}px`;
      style.width = `${right - left}px`;
      style.height = `${bottom - top}px`;
      classList.toggle("gpen-small", right - left < SMALL_BOX_PX);
    }
  }
}
