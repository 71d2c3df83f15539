// The row under a picture: steps through images and faces, and zoom.

import { button, element } from "./dom.js";

/** "‹ face 1/3 ›". `onStep` gets -1 or 1. */
export class Stepper {
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

  /** `position` counts from 0, null: at none. */
  show(position, count, isShown) {
    this.element.hidden = !isShown;
    this.label.textContent = `${this.what} ${position === null ? "–" : position + 1}/${count}`;
  }
}

/** "− 100% + 1:1 Fit" for a stage. */
export class ZoomButtons {
  constructor(stage) {
    this.stage = stage;
    this.label = element("output", { className: "gpen-zoom" });
    const step = (factor) => () => stage.zoomTo(stage.scale * factor);
    this.element = element(
      "span",
      { className: "gpen-stepper", role: "group", "aria-label": "zoom" },
      button("−", "Zoom out (−)", step(1 / 1.5)),
      this.label,
      button("+", "Zoom in (+)", step(1.5)),
      button("1:1", "One pixel a pixel (1)", () => stage.zoomTo(1)),
      button("Fit", "Show the whole picture (0 or double click)", () => stage.fit()),
    );
  }

  show() {
    this.label.textContent = `${Math.round(this.stage.scale * 100)}%`;
  }
}
