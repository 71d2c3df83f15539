// @ts-check
// Keeps ComfyUI's "Missing Models" dialog from naming GPEN checkpoints and ReActor's swap model. Its
// list of what is on disk has no .onnx files, so it would name them even where they are, and cannot
// download them. The menu of Load GPEN Model says what is absent, and running the node fetches it;
// ReActor's menu shows what it has. Of ReActor's nodes only the one model counts that the workflows
// of this pack record. What a file records stays in it: it is taken away only while the page looks.

import { app } from "../../scripts/app.js";

/** @param {Comfy.RecordedModel} model */
const isSwapModel = ({ name }) => name === "inswapper_128.onnx";

/** @type {Record<string, (model: Comfy.RecordedModel) => boolean>} */
const HIDDEN = {
  GPEN_LoadModel: () => true,
  ReActorFaceSwap: isSwapModel,
  ReActorFaceSwapOpt: isSwapModel,
};

/** What nodes record, by their graph and id. @type {Map<string, Comfy.RecordedModel[]>} */
const recorded = new Map();

/**
 * @param {string} graphId
 * @param {number | string} nodeId
 */
function key(graphId, nodeId) {
  return `${graphId}/${nodeId}`;
}

app.registerExtension({
  name: "GPEN.MissingModels",

  beforeConfigureGraph(workflow) {
    recorded.clear();
    const inner = workflow.definitions?.subgraphs ?? [];
    for (const graph of [{ ...workflow, id: "root" }, ...inner]) {
      for (const { id, type, properties } of graph.nodes ?? []) {
        const models = properties?.models;
        if (!properties || !models?.some((model) => HIDDEN[type]?.(model))) continue;
        recorded.set(key(graph.id, id), models);
        properties.models = models.filter((model) => !HIDDEN[type](model));
      }
    }
  },

  afterConfigureGraph() {
    const inner = app.graph.subgraphs?.entries() ?? [];
    /** @type {[string, Comfy.Graph][]} */
    const graphs = [["root", app.graph], ...inner];
    for (const [graphId, graph] of graphs) {
      for (const node of graph.nodes) {
        const models = recorded.get(key(graphId, node.id));
        if (models && node.type in HIDDEN) node.properties.models = models;
      }
    }
    recorded.clear();
  },
});
