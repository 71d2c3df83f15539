// Says in the menu of Load GPEN Model which files are not on disk yet, such as
// "GPEN-BFR-512.onnx (download, 284 MB)". Only the labels do: the values stay plain file names, so
// that a saved workflow holds before and after the file has come.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const NODE = "GPEN_LoadModel";
let notes = {};

function readNotes(definition) {
  notes = { ...definition?.input?.required?.model_name?.[1]?.gpen_absent };
}

function label(name) {
  return name in notes ? `${name} (${notes[name]})` : name;
}

app.registerExtension({
  name: "GPEN.ModelNotes",

  setup() {
    api.addEventListener("gpen.downloaded", ({ detail }) => {
      delete notes[detail.filename];
      app.canvas?.setDirty(true);
    });
  },

  beforeRegisterNodeDef(_nodeType, nodeData) {
    if (nodeData.name === NODE) readNotes(nodeData);
  },

  refreshComboInNodes(definitions) {
    readNotes(definitions[NODE]);
  },

  nodeCreated(node) {
    if (node.comfyClass !== NODE) return;
    const widget = node.widgets?.find(({ name }) => name === "model_name");
    if (!widget) return;
    widget.options.getOptionLabel = (name) => label(name ?? "");
    // Nodes 2.0 of front ends before getOptionLabel reached them hand this to their menu.
    widget.options.optionLabel = widget.options.getOptionLabel;
  },
});
