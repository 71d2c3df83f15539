// @ts-check
// Views for nodes: a DOM widget that works in both of ComfyUI's renderers.

import { app } from "../../../scripts/app.js";
import { chain } from "./chain.js";
import { addStyle } from "./dom.js";
import { ensureKey } from "./record.js";
import { joinRuns } from "./run.js";

const MIN_HEIGHT_PX = 260;
const NEW_WIDTH_PX = 360; // of a node that a user adds; those of a file keep theirs

/**
 * Give the nodes of some ids a view of a class, which gets what they send under `key`.
 *
 * @param {string} extension
 * @param {string[]} ids
 * @param {string} key
 * @param {new (node: Comfy.Node) => import("./view.js").View} ViewClass
 */
export function registerView(extension, ids, key, ViewClass) {
  app.registerExtension({
    name: extension,
    beforeRegisterNodeDef({ prototype }, { name }) {
      if (!ids.includes(name)) return;
      addStyle();
      /** @this {Comfy.Node} */
      chain(prototype, "onNodeCreated", function () {
        addView(this, new ViewClass(this));
      });
      chain(prototype, "onConfigure", function () {
        ensureKey(this); // a file may bring none
        this._gpenView?.restore();
      });
      chain(prototype, "onExecuted", function (output) {
        const runs = output?.[key];
        if (!runs?.length) return;
        this._gpenView.show(joinRuns(runs, output.text ?? []));
        this._gpenView.save();
      });
      chain(prototype, "onRemoved", function () {
        this._gpenView?.dispose();
      });
    },
  });
}

/**
 * @param {Comfy.Node} node
 * @param {import("./view.js").View} view
 */
function addView(node, view) {
  node._gpenView = view;
  const widget = node.addDOMWidget("gpen_view", "gpen_view", view.element, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => MIN_HEIGHT_PX,
  });
  widget.serialize = false; // `options` is for prompts, this is for workflow files
  view.attach();
  ensureKey(node);
  node.setSize([Math.max(node.size[0], NEW_WIDTH_PX), node.size[1]]);
}
