// @ts-check
// What the pointer does over a view, divided between the view and the graph around it.

import { app } from "../../../scripts/app.js";

/** @type {Record<string, "processMouseDown" | "processMouseMove" | "processMouseUp">} */
const FORWARD = {
  pointerdown: "processMouseDown",
  pointermove: "processMouseMove",
  pointerup: "processMouseUp",
};

/**
 * Keep presses of the main button from moving the node; give the wheel and the others to the graph.
 *
 * @param {HTMLElement} view
 */
export function sharePointer(view) {
  // The renderer of Vue nodes takes the wheel away from all that does not carry this mark.
  view.addEventListener("focusin", () => {
    view.dataset.captureWheel = "true";
  });
  view.addEventListener("focusout", () => delete view.dataset.captureWheel);
  view.addEventListener("wheel", (event) => {
    if (!isInVueNode(view)) app.canvas.processMouseWheel(event);
  });
  for (const type of /** @type {const} */ (["pointerdown", "pointermove", "pointerup"])) {
    view.addEventListener(type, (event) => {
      const isMiddle = event.button === 1 || event.buttons === 4;
      if (!isMiddle) event.stopPropagation();
      else if (!isInVueNode(view)) app.canvas[FORWARD[type]](event);
    });
  }
}

/**
 * Vue's nodes lie in the graph, so that events reach it by themselves.
 *
 * @param {HTMLElement} view
 */
function isInVueNode(view) {
  return view.closest("[data-node-id]") !== null;
}
