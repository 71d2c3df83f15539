// The numbered faces of a picture. In Select Faces a click writes the widget `indices`.

import { app } from "../../scripts/app.js";
import { element } from "./lib/dom.js";
import { formatIndices, parseIndices } from "./lib/indices.js";
import { chain, pictureElement, pictureUrl, registerView, View } from "./lib/view.js";

const FOLLOWED_WIDGETS = ["order", "indices", "min_size", "min_score", "largest_only"];
const SMALL_BOX_PX = 24;

class FacesView extends View {
  constructor(node) {
    super(node, "faces", "Run the graph to see the faces here.");
    this.picture = pictureElement(this, "detected faces");
    const plane = this.stage.addPlane(element("div", {}, this.picture));
    this.boxes = element("div", { className: "gpen-layer gpen-boxes" });
    this.stage.element.append(plane, this.boxes, this.message);
  }

  showFrame(frame) {
    const url = pictureUrl(frame.picture);
    if (this.picture.src !== new URL(url, document.baseURI).href) this.picture.src = url;
    this.boxes.replaceChildren(...frame.faces.map((face) => this.makeBox(face)));
    this.describe();
  }

  /** The face's number in the order in use; -1 if the node drops it before counting. */
  numberOf(face) {
    return face.numbers[this.run.order];
  }

  makeBox(face) {
    const number = this.numberOf(face);
    const text = `face ${number < 0 ? "left out" : number}: ${face.size} px, score ${face.score}`;
    const box = element(this.boxTag, { className: "gpen-face", "aria-label": text });
    if (number >= 0) {
      box.dataset.number = number;
      box.append(element("span", { className: "gpen-number", textContent: number }));
    }
    box.classList.toggle("gpen-dropped", number < 0);
    for (const type of ["pointerenter", "focus"]) {
      box.addEventListener(type, () => this.describe(text));
    }
    for (const type of ["pointerleave", "blur"]) box.addEventListener(type, () => this.describe());
    return box;
  }

  get boxTag() {
    return "div";
  }

  /** What is under the picture: a word on all faces, and on the one that is pointed at. */
  describe(face = "") {
    this.info.textContent = [this.summary, face].filter((text) => text).join(" · ");
  }

  get summary() {
    return this.run?.text;
  }

  onViewChange() {
    super.onViewChange();
    const faces = this.frame?.faces ?? [];
    [...this.boxes?.children ?? []].forEach((box, i) => {
      const [x0, y0, x1, y1] = faces[i].box;
      const [left, top] = this.stage.toStage([x0, y0]);
      const [right, bottom] = this.stage.toStage([x1, y1]);
      Object.assign(box.style, {
        left: `${left}px`,
        top: `${top}px`,
        width: `${right - left}px`,
        height: `${bottom - top}px`,
      });
      box.classList.toggle("gpen-small", right - left < SMALL_BOX_PX);
    });
  }
}

class FacePickerView extends FacesView {
  constructor(node) {
    super(node);
    this.hint = "Run the graph to see the faces that come in, and click those to keep.";
    this.say(this.hint);
  }

  /** Called once the node has its widgets. */
  attach() {
    for (const name of FOLLOWED_WIDGETS) {
      const widget = this.widget(name);
      if (widget) chain(widget, "callback", () => this.refresh());
    }
    this.element.addEventListener("pointerenter", () => this.refresh()); // if a script has set it
  }

  get boxTag() {
    return "button";
  }

  widget(name) {
    return this.node.widgets?.find((widget) => widget.name === name);
  }

  isLinked(name) {
    const input = this.node.inputs?.find((input) => input.widget?.name === name);
    return (input?.link ?? null) !== null;
  }

  /** The value that counts: of the widget, or of the last run if another node sets it. */
  value(name) {
    return this.isLinked(name) ? this.run[name] : this.widget(name).value;
  }

  numberOf(face) {
    return face.numbers[this.value("order")] ?? -1;
  }

  /** Why the faces cannot be picked at the moment; "" if they can. */
  get obstacle() {
    if (!this.run) return "";
    const changed = ["min_size", "min_score"].find((name) => this.value(name) !== this.run[name]);
    if (changed) return `${changed} has changed: run the graph to count the faces again.`;
    if (this.isLinked("indices")) return "indices comes from another node.";
    if (!parseIndices(this.value("indices"))) return "indices cannot be read.";
    return "";
  }

  makeBox(face) {
    const box = super.makeBox(face);
    const number = this.numberOf(face);
    const picked = parseIndices(this.value("indices")) ?? new Set();
    box.type = "button";
    box.disabled = number < 0 || this.obstacle !== "";
    box.setAttribute("aria-pressed", String(picked.has(number)));
    box.addEventListener("click", () => this.toggle(number));
    return box;
  }

  toggle(number) {
    const picked = parseIndices(this.value("indices"));
    if (!picked.delete(number)) picked.add(number);
    const widget = this.widget("indices");
    const text = formatIndices(picked);
    // Between these two the host records one step of its undo history.
    app.canvas.emitBeforeChange();
    widget.value = text;
    widget.callback?.(text, app.canvas, this.node);
    app.canvas.emitAfterChange();
    app.canvas.setDirty(true, true);
    this.boxes.querySelector(`[data-number="${number}"]`)?.focus();
  }

  get summary() {
    const { obstacle, frame } = this;
    if (!frame || obstacle) return obstacle;
    const numbers = frame.faces.map((face) => this.numberOf(face)).filter((number) => number >= 0);
    const picked = parseIndices(this.value("indices"));
    if (!picked.size) return `Keeps ${this.largest}all faces. Click those to choose.`;
    const kept = numbers.filter((number) => picked.has(number));
    const faces = numbers.length === 1 ? "1 face" : `${numbers.length} faces`;
    return `Keeps ${this.largest}${kept.length} of ${faces}.`;
  }

  get largest() {
    return this.value("largest_only") ? "the largest of " : "";
  }
}

registerView("GPEN.DetectedFaces", ["GPEN_DetectFaces"], "gpen_faces", FacesView);
registerView("GPEN.FacePicker", ["GPEN_SelectFaces"], "gpen_faces", FacePickerView);
