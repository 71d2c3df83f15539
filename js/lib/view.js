// What the before/after slider and the face picker have in common: a stage, a bar, frames, keys, and
// a DOM widget that works in both of ComfyUI's renderers.

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { Stepper, ZoomButtons } from "./bar.js";
import { addStyle, clamp, element } from "./dom.js";
import { ensureKey, loadRecord, releaseRecord, saveRecord } from "./record.js";
import { Stage } from "./stage.js";

const MIN_HEIGHT_PX = 260;
const NEW_WIDTH_PX = 360; // of a node that a user adds; those of a file keep theirs
const GONE = "These pictures are no longer there. Change a setting and run the graph again.";
const KEPT =
  "ComfyUI kept the result of an earlier run, so there are no new pictures. " +
  "Change a setting and run the graph again.";

export function pictureUrl({ filename, subfolder, type }) {
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);
}

/** A picture in a stage; says so if its file is gone. */
export function pictureElement(view, label) {
  // Decoded before it is drawn, or the ground would flash between the images of a batch.
  const picture = element("img", { alt: label, draggable: false, decoding: "sync" });
  picture.addEventListener("error", () => view.say(GONE));
  return picture;
}

export class View {
  /** `hint` is shown until there is something to see. */
  constructor(node, kind, hint) {
    this.node = node;
    this.hint = hint;
    this.run = null; // of the backend: {text, total, frames: [{index, width, height, faces, …}]}
    this.frameNumber = 0;
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
    this.listen();
    this.refresh();
  }

  get frame() {
    return this.run?.frames[this.frameNumber] ?? null;
  }

  /** Show what a run has sent. The place and zoom stay if the pictures are of the same size. */
  show(run) {
    this.run = run?.frames?.length ? run : null;
    this.frameNumber = clamp(this.frameNumber, 0, Math.max((run?.frames?.length ?? 0) - 1, 0));
    if (this.faceNumber >= (this.frame?.faces.length ?? 0)) this.faceNumber = null;
    this.refresh();
  }

  refresh() {
    const { frame } = this;
    this.element.classList.toggle("gpen-empty", !frame);
    this.say(frame ? "" : this.hint);
    if (!frame) return;
    const { frames, total } = this.run;
    this.frames.show(this.frameNumber, frames.length, frames.length > 1);
    this.frames.label.title = `Image ${frame.index + 1} of ${total}`;
    this.faces.show(this.faceNumber, frame.faces.length, frame.faces.length > 0);
    this.showFrame(frame);
    this.stage.setPicture(frame.width, frame.height);
  }

  say(text) {
    this.message.textContent = text;
    this.message.hidden = !text;
  }

  /** The node's result was taken from ComfyUI's cache, mostly without sending pictures again. */
  onCached() {
    if (!this.run) this.say(KEPT);
  }

  stepFrame(step) {
    if (!this.run) return;
    const count = this.run.frames.length;
    this.frameNumber = (this.frameNumber + step + count) % count;
    this.faceNumber = null;
    this.refresh();
    this.save();
  }

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

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { stage } = this;
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

  listen() {
    this.element.addEventListener("keydown", (event) => this.onKey(event));
    this.element.addEventListener("click", () => this.save());
    // The renderer of Vue nodes takes the wheel away from all that does not carry this mark.
    this.element.addEventListener("focusin", () => {
      this.element.dataset.captureWheel = "true";
    });
    this.element.addEventListener("focusout", () => delete this.element.dataset.captureWheel);
    for (const type of ["pointerdown", "pointermove", "pointerup", "wheel"]) {
      this.element.addEventListener(type, (event) => leaveToGraph(event, this.element));
    }
  }

  onViewChange() {
    this.zoom.show();
  }

  grab() {
    return null;
  }

  save() {
    if (!this.run) return;
    const { run, frameNumber, faceNumber } = this;
    const { zoom, center } = this.stage;
    saveRecord(this.node, { run, frameNumber, faceNumber, zoom, center, ...this.extraState() });
  }

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

  restoreExtra() {}

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

/** Keep presses of the main button from moving the node; give the others to the graph. */
function leaveToGraph(event, root) {
  const isVueNode = root.closest("[data-node-id]") !== null;
  const isMiddle = event.button === 1 || event.buttons === 4;
  if (event.type === "wheel") {
    if (!isVueNode) app.canvas.processMouseWheel(event);
  } else if (!isMiddle) {
    event.stopPropagation();
  } else if (!isVueNode) {
    const forward = {
      pointerdown: "processMouseDown",
      pointermove: "processMouseMove",
      pointerup: "processMouseUp",
    };
    app.canvas[forward[event.type]](event);
  }
}

/** All nodes with a view, in the open workflow and its subgraphs, with the ids that runs know. */
function* viewedNodes(graph, prefix = "") {
  for (const node of graph.nodes) {
    if (node._gpenView) yield [prefix + node.id, node];
    if (node.subgraph) yield* viewedNodes(node.subgraph, `${prefix}${node.id}:`);
  }
}

api.addEventListener("execution_cached", ({ detail }) => {
  const cached = new Set(detail.nodes.map(String));
  for (const [id, node] of viewedNodes(app.rootGraph ?? app.graph)) {
    if (cached.has(id)) node._gpenView.onCached();
  }
});

/** Give the nodes of some ids a view of a class, which gets what they send under `key`. */
export function registerView(extension, ids, key, ViewClass) {
  app.registerExtension({
    name: extension,
    beforeRegisterNodeDef(nodeType, nodeData) {
      if (!ids.includes(nodeData.name)) return;
      addStyle();
      chain(nodeType.prototype, "onNodeCreated", function () {
        const view = new ViewClass(this);
        this._gpenView = view;
        const widget = this.addDOMWidget("gpen_view", "gpen_view", view.element, {
          serialize: false,
          hideOnZoom: false,
          getMinHeight: () => MIN_HEIGHT_PX,
        });
        widget.serialize = false; // `options` is for prompts, this is for workflow files
        view.attach?.();
        ensureKey(this);
        this.setSize([Math.max(this.size[0], NEW_WIDTH_PX), this.size[1]]);
      });
      chain(nodeType.prototype, "onConfigure", function () {
        ensureKey(this); // a file may bring none
        this._gpenView?.restore();
      });
      chain(nodeType.prototype, "onExecuted", function (output) {
        const runs = output?.[key];
        if (!runs?.length) return;
        // More than one if the node was run for each item of a list.
        const total = runs.reduce((sum, run) => sum + run.total, 0);
        const frames = runs.flatMap((run) => run.frames);
        const text = output.text?.join("\n") ?? "";
        this._gpenView.show({ ...runs[0], total, frames, text });
        this._gpenView.save();
      });
      chain(nodeType.prototype, "onRemoved", function () {
        this._gpenView?.dispose();
      });
    },
  });
}

/** Let `addition` run after a method, which keeps its result. */
export function chain(object, method, addition) {
  const previous = object[method];
  object[method] = function (...values) {
    const result = previous?.apply(this, values);
    addition.apply(this, values);
    return result;
  };
}
