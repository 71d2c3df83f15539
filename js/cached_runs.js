// @ts-check
// Tells the views whose node did not run because ComfyUI kept its result.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

app.registerExtension({
  name: "GPEN.CachedRuns",

  setup() {
    api.addEventListener("execution_cached", ({ detail }) => {
      const cached = new Set(detail.nodes.map(String));
      for (const [id, view] of views(app.rootGraph ?? app.graph)) {
        if (cached.has(id)) view.onCached();
      }
    });
  },
});

/**
 * All views of the open workflow and its subgraphs, with the ids by which runs know their nodes.
 *
 * @param {Comfy.Graph} graph
 * @param {string} prefix
 * @returns {Generator<[string, import("./lib/view.js").View]>}
 */
function* views(graph, prefix = "") {
  for (const node of graph.nodes) {
    if (node._gpenView) yield [prefix + node.id, node._gpenView];
    if (node.subgraph) yield* views(node.subgraph, `${prefix}${node.id}:`);
  }
}
