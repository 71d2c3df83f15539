// @ts-check
// The slider between the pictures before and after.

import { clamp, element } from "./lib/dom.js";
import { showFile } from "./lib/pictures.js";
import { registerView } from "./lib/register.js";
import { View } from "./lib/view.js";

/**
 * @typedef {import("./lib/run.js").Picture} Picture
 * @typedef {import("./lib/run.js").Frame & { before: Picture, after: Picture }} ComparedFrame
 */

const NODES = ["GPEN_Compare", "GPEN_RestoreFaces", "GPEN_BlendSwap"];
const GRIP_PX = 14; // how near to the divider a press takes it when the picture is zoomed

/** @extends {View<import("./lib/run.js").Run<ComparedFrame>>} */
class BeforeAfterView extends View {
  /** @param {Comfy.Node} node */
  constructor(node) {
    super(node, "before-after", "Run the graph to compare before and after here.");
    this.split = 0.5; // where the divider is, as a fraction of the stage's width
    this.before = this.addLayer("before");
    this.after = this.addLayer("after");
    this.divider = element("div", {
      className: "gpen-divider",
      role: "slider",
      tabIndex: 0,
      "aria-label": "Divider between before and after",
      "aria-valuemin": "0",
      "aria-valuemax": "100",
    });
    this.divider.addEventListener("keydown", (event) => this.onDividerKey(event));
    this.stage.element.append(this.divider, this.message); // the message on top
    this.moveDivider(this.split);
  }

  /** @param {"before" | "after"} name */
  addLayer(name) {
    const picture = this.makePicture(name);
    const plane = this.stage.addPlane(element("div", {}, picture));
    const label = element("span", { className: "gpen-label", textContent: name });
    const layer = element("div", { className: "gpen-layer", "data-layer": name }, plane, label);
    this.stage.element.append(layer);
    return picture;
  }

  /**
   * @override
   * @param {ComparedFrame} frame
   */
  showFrame(frame) {
    this.info.textContent = this.run?.text ?? "";
    showFile(this.before, frame.before);
    showFile(this.after, frame.after);
  }

  /** @param {number} split */
  moveDivider(split) {
    this.split = clamp(split, 0, 1);
    const percent = `${this.split * 100}%`;
    this.divider.style.left = percent;
    this.divider.setAttribute("aria-valuenow", String(Math.round(this.split * 100)));
    this.stage.element.style.setProperty("--gpen-split", percent);
  }

  /**
   * @override
   * @param {import("./lib/stage.js").Point} point
   * @returns {((point: import("./lib/stage.js").Point) => void) | null}
   */
  grab([start]) {
    const { clientWidth } = this.stage.element;
    const isNear = Math.abs(start - this.split * clientWidth) <= GRIP_PX;
    if (this.stage.isZoomed && !isNear) return null;
    return ([x]) => this.moveDivider(x / clientWidth);
  }

  /** @param {KeyboardEvent} event */
  onDividerKey(event) {
    const step = event.shiftKey ? 0.1 : 0.02;
    /** @type {Record<string, number>} */
    const places = {
      ArrowLeft: this.split - step,
      ArrowRight: this.split + step,
      Home: 0,
      End: 1,
    };
    if (!(event.key in places)) return;
    this.moveDivider(places[event.key]);
    this.save();
    event.preventDefault();
    event.stopPropagation();
  }

  /** @override */
  extraState() {
    return { split: this.split };
  }

  /**
   * @override
   * @param {Record<string, any>} record
   */
  restoreExtra({ split }) {
    this.moveDivider(split ?? 0.5);
  }
}

registerView("GPEN.BeforeAfter", NODES, "gpen_compare", BeforeAfterView);
