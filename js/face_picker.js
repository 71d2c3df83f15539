// @ts-check
// The faces that Select Faces gets: a click on one writes the widget `indices`.

import { app } from "../../scripts/app.js";
import { chain } from "./lib/chain.js";
import { FacesView } from "./lib/faces_view.js";
import { formatIndices, parseIndices } from "./lib/indices.js";
import { registerView } from "./lib/register.js";

/** @typedef {import("./lib/faces_view.js").NumberedFace} NumberedFace */

const FOLLOWED_WIDGETS = ["order", "indices", "min_size", "min_score", "largest_only"];

class FacePickerView extends FacesView {
  /** @param {Comfy.Node} node */
  constructor(node) {
    super(node, "Run the graph to see the faces that come in, and click those to keep.");
  }

  /** @override */
  attach() {
    for (const name of FOLLOWED_WIDGETS) {
      const widget = this.widget(name);
      if (widget) chain(widget, "callback", () => this.refresh());
    }
    // A widget that a script has set calls nothing.
    this.element.addEventListener("pointerenter", () => this.refresh());
  }

  /**
   * @override
   * @returns {"button"}
   */
  get boxTag() {
    return "button";
  }

  /** @param {string} name */
  widget(name) {
    return this.node.widgets?.find((widget) => widget.name === name);
  }

  /** @param {string} name */
  isLinked(name) {
    const input = this.node.inputs?.find(({ widget }) => widget?.name === name);
    return (input?.link ?? null) !== null;
  }

  /**
   * The value that counts: of the widget, or of the last run if another node sets it.
   *
   * @param {string} name
   */
  value(name) {
    return this.isLinked(name) ? this.run?.[name] : this.widget(name)?.value;
  }

  /** @returns {Set<number> | null} */
  get picked() {
    return parseIndices(this.value("indices"));
  }

  /**
   * @override
   * @param {NumberedFace} face
   */
  numberOf(face) {
    return face.numbers[this.value("order")] ?? -1;
  }

  /** Why the faces cannot be picked at the moment; "" if they can. */
  get obstacle() {
    const { run } = this;
    if (!run) return "";
    const changed = ["min_size", "min_score"].find((name) => this.value(name) !== run[name]);
    if (changed) return `${changed} has changed: run the graph to count the faces again.`;
    if (this.isLinked("indices")) return "indices comes from another node.";
    if (!this.picked) return "indices cannot be read.";
    return "";
  }

  /**
   * @override
   * @param {NumberedFace} face
   */
  makeBox(face) {
    const box = /** @type {HTMLButtonElement} */ (super.makeBox(face));
    const number = this.numberOf(face);
    box.type = "button";
    box.disabled = number < 0 || this.obstacle !== "";
    box.setAttribute("aria-pressed", String(this.picked?.has(number) ?? false));
    box.addEventListener("click", () => this.toggle(number));
    return box;
  }

  /** @param {number} number */
  toggle(number) {
    const { picked } = this;
    const widget = this.widget("indices");
    if (!picked || !widget) return;
    if (!picked.delete(number)) picked.add(number);
    const text = formatIndices(picked);
    // Between these two the host records one step of its undo history.
    app.canvas.emitBeforeChange();
    widget.value = text;
    widget.callback?.(text, app.canvas, this.node);
    app.canvas.emitAfterChange();
    app.canvas.setDirty(true, true);
    /** @type {HTMLElement | null} */
    const box = this.boxes.querySelector(`[data-number="${number}"]`);
    box?.focus();
  }

  /** @override */
  get summary() {
    const { obstacle, frame, picked } = this;
    if (!frame || !picked || obstacle) return obstacle;
    const numbers = frame.faces.map((face) => this.numberOf(face)).filter((number) => number >= 0);
    const largest = this.value("largest_only") ? "the largest of " : "";
    if (!picked.size) return `Keeps ${largest}all faces. Click those to choose.`;
    const kept = numbers.filter((number) => picked.has(number));
    const faces = numbers.length === 1 ? "1 face" : `${numbers.length} faces`;
    return `Keeps ${largest}${kept.length} of ${faces}.`;
  }
}

registerView("GPEN.FacePicker", ["GPEN_SelectFaces"], "gpen_faces", FacePickerView);
