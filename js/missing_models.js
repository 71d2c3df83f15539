// Keeps ComfyUI's "Missing Models" dialog from naming GPEN checkpoints and ReActor's swap model. Its
// list of what is on disk has no .onnx files, so it would name them even where they are, and cannot
// download them. The menu of Load GPEN Model says what is absent, and running the node fetches it;
// ReActor's menu shows what it has. What a workflow file records of its models stays in it: it is
// taken away only while the page looks for it.
import { app } from "../../scripts/app.js";

const NODES = ["GPEN_LoadModel", "ReActorFaceSwap", "ReActorFaceSwapOpt"];
let recorded = new Map();

function key(graphId, nodeId) {
  return `${graphId}/${nodeId}`;
}

app.registerExtension({
  name: "GPEN.MissingModels",

  beforeConfigureGraph(workflow) {
    recorded = new Map();
    const inner = workflow.definitions?.subgraphs ?? [];
    for (const [graphId, graph] of [["root", workflow], ...inner.map((graph) => [graph.id, graph])]) {
      for (const node of graph.nodes ?? []) {
        if (!NODES.includes(node.type) || !node.properties?.models) continue;
        recorded.set(key(graphId, node.id), node.properties.models);
        delete node.properties.models;
      }
    }
  },

  afterConfigureGraph() {
    const inner = app.graph.subgraphs?.entries() ?? [];
    for (const [graphId, graph] of [["root", app.graph], ...inner]) {
      for (const node of graph.nodes) {
        const models = recorded.get(key(graphId, node.id));
        if (models && NODES.includes(node.type)) node.properties.models = models;
      }
    }
    recorded.clear();
  },
});
