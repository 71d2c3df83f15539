// The part of ComfyUI's page that js/ uses, in both of its renderers.

declare namespace Comfy {
  interface Widget {
    name: string;
    value: any;
    options: Record<string, any>;
    serialize?: boolean;
    callback?(value: any, canvas?: Canvas, node?: Node): void;
  }

  interface DomWidgetOptions {
    serialize: boolean;
    hideOnZoom: boolean;
    getMinHeight(): number;
  }

  interface Input {
    link: number | null;
    widget?: { name: string };
  }

  interface Node {
    id: number | string;
    comfyClass?: string;
    type: string;
    size: [number, number];
    graph?: Graph | null;
    subgraph?: Graph;
    properties: Record<string, any>;
    inputs?: Input[];
    widgets?: Widget[];
    addDOMWidget(
      name: string,
      type: string,
      element: HTMLElement,
      options: DomWidgetOptions,
    ): Widget;
    setSize(size: [number, number]): void;
    /** What this pack puts there. */
    _gpenView?: import("../../js/lib/view.js").View;
  }

  interface Graph {
    nodes: Node[];
    subgraphs?: Map<string, Graph>;
    getNodeById(id: number | string): Node | null;
  }

  interface Canvas {
    graph?: Graph;
    setDirty(foreground: boolean, background?: boolean): void;
    emitBeforeChange(): void;
    emitAfterChange(): void;
    processMouseWheel(event: Event): void;
    processMouseDown(event: Event): void;
    processMouseMove(event: Event): void;
    processMouseUp(event: Event): void;
  }

  /** A model that a workflow file records for a node. */
  interface RecordedModel {
    name: string;
  }

  interface GraphFile {
    nodes?: { id: number | string; type: string; properties?: { models?: RecordedModel[] } }[];
  }

  interface WorkflowFile extends GraphFile {
    definitions?: { subgraphs?: (GraphFile & { id: string })[] };
  }

  interface NodeDefinition {
    name: string;
    input?: { required?: Record<string, [any, Record<string, any>?]> };
  }

  interface Extension {
    name: string;
    setup?(): void;
    beforeRegisterNodeDef?(nodeType: { prototype: object }, definition: NodeDefinition): void;
    beforeConfigureGraph?(workflow: WorkflowFile): void;
    afterConfigureGraph?(): void;
    refreshComboInNodes?(definitions: Record<string, NodeDefinition>): void;
    nodeCreated?(node: Node): void;
  }

  interface App {
    graph: Graph;
    rootGraph?: Graph;
    canvas: Canvas;
    registerExtension(extension: Extension): void;
  }

  interface Api {
    apiURL(path: string): string;
    addEventListener(type: string, listener: (event: CustomEvent<any>) => void): void;
  }
}

declare module "*/scripts/app.js" {
  export const app: Comfy.App;
}

declare module "*/scripts/api.js" {
  export const api: Comfy.Api;
}
