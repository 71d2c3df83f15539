// @ts-check
// Says in the menu of Load GPEN Model which files are not on disk yet, such as
// "GPEN-BFR-512.onnx (download, 284 MB)". Only the labels do: the values stay plain file names, so
// that a saved workflow holds before and after the file has come.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const NODE = "GPEN_LoadModel";

/** What to say of each file that is absent. @type {Map<string, string>} */
let notes = new Map();

/** @param {Comfy.NodeDefinition} definition */
function readNotes(definition) {
  notes = new Map(Object.entries(definition.input?.required?.model_name?.[1]?.gpen_absent ?? {}));
}

/** @param {string} name */
function label(name = "") {
  const note = notes.get(name);
  return note === undefined ? name : `${name} (${note})`;
}

app.registerExtension({
  name: "GPEN.ModelNotes",

  setup() {
    api.addEventListener("gpen.downloaded", ({ detail }) => {
      notes.delete(detail.filename);
      app.canvas?.setDirty(true);
    });
  },

  beforeRegisterNodeDef(_nodeType, definition) {
    if (definition.name === NODE) readNotes(definition);
  },

  refreshComboInNodes(definitions) {
    if (NODE in definitions) readNotes(definitions[NODE]);
  },

  nodeCreated(node) {
    if (node.comfyClass !== NODE) return;
    const widget = node.widgets?.find(({ name }) => name === "model_name");
    if (!widget) return;
    widget.options.getOptionLabel = label;
    // Nodes 2.0 of front ends before getOptionLabel reached them hand this to their menu.
    widget.options.optionLabel = label;
  },
});
