// @ts-check
// What the before/after slider and the face picker have in common: a stage, a bar, frames and keys.

import { app } from "../../../scripts/app.js";
import { Stepper, ZoomButtons } from "./bar.js";
import { clamp, element } from "./dom.js";
import { makePicture } from "./pictures.js";
import { sharePointer } from "./pointer.js";
import { loadRecord, releaseRecord, saveRecord } from "./record.js";
import { Stage } from "./stage.js";

/** @typedef {import("./run.js").Frame} Frame */

const GONE = "These pictures are no longer there. Change a setting and run the graph again.";
const KEPT =
  "ComfyUI kept the result of an earlier run, so there are no new pictures. " +
  "Change a setting and run the graph again.";

/**
 * @template {import("./run.js").Run<any>} [R=any]
 */
export class View {
  /**
   * @param {Comfy.Node} node
   * @param {string} kind
   * @param {string} hint shown until there is something to see
   */
  constructor(node, kind, hint) {
    this.node = node;
    this.hint = hint;
    /** @type {R | null} */
    this.run = null;
    this.frameNumber = 0;
    /** @type {number | null} */
    this.faceNumber = null;
    this.stage = new Stage({
      onChange: () => this.onViewChange(),
      onRest: () => this.save(),
      grab: (point) => this.grab(point),
    });
    this.frames = new Stepper("image", (step) => this.stepFrame(step));
    this.faces = new Stepper("face", (step) => this.stepFace(step));
    this.zoom = new ZoomButtons(this.stage);
    this.message = element("div", { className: "gpen-message", role: "status" });
    this.info = element("div", { className: "gpen-info", role: "status" });
    this.bar = element(
      "div",
      { className: "gpen-bar" },
      this.frames.element,
      this.faces.element,
      this.zoom.element,
    );
    this.stage.element.append(this.message);
    this.element = element(
      "div",
      // "widget-expands" is the host's own: the row takes what height the node has left.
      { className: `gpen-view gpen-${kind} widget-expands` },
      this.stage.element,
      this.info,
      this.bar,
    );
    this.element.addEventListener("keydown", (event) => this.onKey(event));
    this.element.addEventListener("click", () => this.save());
    sharePointer(this.element);
    this.say(hint);
    this.element.classList.add("gpen-empty");
  }

  /** Called once the node has its widgets. */
  attach() {}

  /** @returns {R["frames"][number] | null} */
  get frame() {
    return this.run?.frames[this.frameNumber] ?? null;
  }

  /**
   * Show what a run has sent. The place and zoom stay if the pictures are of the same size.
   *
   * @param {R} run
   */
  show(run) {
    const count = run.frames.length;
    this.run = count ? run : null;
    this.frameNumber = clamp(this.frameNumber, 0, Math.max(count - 1, 0));
    if ((this.faceNumber ?? 0) >= (this.frame?.faces.length ?? 0)) this.faceNumber = null;
    this.refresh();
  }

  refresh() {
    const { run, frame } = this;
    this.element.classList.toggle("gpen-empty", !frame);
    this.say(frame ? "" : this.hint);
    if (!run || !frame) return;
    const { frames, total } = run;
    this.frames.show(this.frameNumber, frames.length, frames.length > 1);
    this.frames.label.title = `Image ${frame.index + 1} of ${total}`;
    this.faces.show(this.faceNumber, frame.faces.length, frame.faces.length > 0);
    this.showFrame(frame);
    this.stage.setPicture(frame.width, frame.height);
  }

  /** @param {R["frames"][number]} _frame */
  showFrame(_frame) {}

  /** @param {string} label */
  makePicture(label) {
    return makePicture(label, () => this.say(GONE));
  }

  /** @param {string} text */
  say(text) {
    this.message.textContent = text;
    this.message.hidden = !text;
  }

  /** The node's result was taken from ComfyUI's cache, mostly without sending pictures again. */
  onCached() {
    if (!this.run) this.say(KEPT);
  }

  /** @param {-1 | 1} step */
  stepFrame(step) {
    if (!this.run) return;
    const count = this.run.frames.length;
    this.frameNumber = (this.frameNumber + step + count) % count;
    this.faceNumber = null;
    this.refresh();
    this.save();
  }

  /** @param {-1 | 1} step */
  stepFace(step) {
    const faces = this.frame?.faces ?? [];
    if (!faces.length) return;
    const first = step > 0 ? 0 : faces.length - 1;
    const next = this.faceNumber === null ? first : this.faceNumber + step;
    this.faceNumber = (next + faces.length) % faces.length;
    this.faces.show(this.faceNumber, faces.length, true);
    this.stage.lookAt(faces[this.faceNumber].box);
    this.save();
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { stage } = this;
    /** @type {Record<string, (() => void) | undefined>} */
    const actions = {
      ArrowLeft: () => this.stepFrame(-1),
      ArrowRight: () => this.stepFrame(1),
      ArrowUp: () => this.stepFace(-1),
      ArrowDown: () => this.stepFace(1),
      "+": () => stage.zoomTo(stage.scale * 1.5),
      "=": () => stage.zoomTo(stage.scale * 1.5),
      "-": () => stage.zoomTo(stage.scale / 1.5),
      1: () => stage.zoomTo(1),
      0: () => stage.fit(),
    };
    const action = actions[event.key];
    if (action) {
      action();
      this.save();
      event.preventDefault();
    }
    // The graph has its own ideas of space, enter and arrows.
    if (action || [" ", "Enter"].includes(event.key)) event.stopPropagation();
  }

  onViewChange() {
    this.zoom.show();
  }

  /**
   * Take a press on the stage by returning what each further point goes to.
   *
   * @param {import("./stage.js").Point} _point
   * @returns {((point: import("./stage.js").Point) => void) | null}
   */
  grab(_point) {
    return null;
  }

  save() {
    if (!this.run) return;
    const { run, frameNumber, faceNumber } = this;
    const { zoom, center } = this.stage;
    saveRecord(this.node, { run, frameNumber, faceNumber, zoom, center, ...this.extraState() });
  }

  /** @returns {Record<string, any>} */
  extraState() {
    return {};
  }

  /** Bring back what the node showed before a reload, a copy or an undo. */
  restore() {
    const record = loadRecord(this.node);
    if (!record?.run) return;
    Object.assign(this, { frameNumber: record.frameNumber, faceNumber: record.faceNumber });
    this.restoreExtra(record);
    this.show(record.run);
    Object.assign(this.stage, { zoom: record.zoom, center: record.center });
    this.stage.render();
  }

  /** @param {Record<string, any>} _record */
  restoreExtra(_record) {}

  dispose() {
    releaseRecord(this.node);
    this.stage.dispose();
    // Vue goes on showing this element if undo puts another node with the same id in its place.
    requestAnimationFrame(() => requestAnimationFrame(() => this.giveWay()));
  }

  giveWay() {
    if (!this.element.isConnected) return;
    const successor = app.canvas.graph?.getNodeById(this.node.id)?._gpenView;
    if (successor && successor !== this) this.element.replaceWith(successor.element);
  }
}
