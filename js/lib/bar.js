// @ts-check
// The row under a picture: steps through images and faces, and zoom.

import { button, element } from "./dom.js";

/** "‹ face 1/3 ›". */
export class Stepper {
  /**
   * @param {string} what
   * @param {(step: -1 | 1) => void} onStep
   */
  constructor(what, onStep) {
    this.what = what;
    this.label = element("output", { className: "gpen-step-label" });
    this.element = element(
      "span",
      { className: "gpen-stepper", role: "group", "aria-label": what, "data-steps": what },
      button("‹", `Previous ${what}`, () => onStep(-1)),
      this.label,
      button("›", `Next ${what}`, () => onStep(1)),
    );
  }

  /**
   * @param {number | null} position from 0; null: at none
   * @param {number} count
   * @param {boolean} isShown
   */
  show(position, count, isShown) {
    this.element.hidden = !isShown;
    this.label.textContent = `${this.what} ${position === null ? "–" : position + 1}/${count}`;
  }
}

/** "− 100% + 1:1 Fit" for a stage. */
export class ZoomButtons {
  /** @param {import("./stage.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    this.label = element("output", { className: "gpen-zoom" });
    const step = (/** @type {number} */ factor) => () => stage.zoomTo(stage.scale * factor);
    this.element = element(
      "span",
      { className: "gpen-stepper", role: "group", "aria-label": "zoom" },
      button("−", "Zoom out (−)", step(1 / 1.5)),
      this.label,
      button("+", "Zoom in (+)", step(1.5)),
      button("1:1", "Pixel for pixel (1)", () => stage.zoomTo(1)),
      button("Fit", "Show the whole picture (0 or double-click)", () => stage.fit()),
    );
  }

  show() {
    this.label.textContent = `${Math.round(this.stage.scale * 100)}%`;
  }
}
