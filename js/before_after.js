// The slider between the pictures before and after.

import { clamp, element } from "./lib/dom.js";
import { pictureElement, pictureUrl, registerView, View } from "./lib/view.js";

const NODES = ["GPEN_Compare", "GPEN_RestoreFaces", "GPEN_BlendSwap"];
const GRIP_PX = 14; // how near to the divider a press takes it when the picture is zoomed

class BeforeAfterView extends View {
  constructor(node) {
    super(node, "before-after", "Run the graph to compare before and after here.");
    this.split = 0.5; // where the divider is, as a fraction of the stage's width
    this.pictures = ["before", "after"].map((name) => {
      const picture = pictureElement(this, name);
      const plane = this.stage.addPlane(element("div", {}, picture));
      const label = element("span", { className: "gpen-label", textContent: name });
      const layer = element("div", { className: "gpen-layer", "data-layer": name }, plane, label);
      this.stage.element.append(layer);
      return picture;
    });
    this.divider = element("div", {
      className: "gpen-divider",
      role: "slider",
      tabIndex: 0,
      "aria-label": "Divider between before and after",
      "aria-valuemin": "0",
      "aria-valuemax": "100",
    });
    this.divider.addEventListener("keydown", (event) => this.onDividerKey(event));
    this.stage.element.append(this.divider);
    this.stage.element.append(this.message); // on top
    this.moveDivider(this.split);
  }

  showFrame(frame) {
    this.info.textContent = this.run.text;
    [frame.before, frame.after].forEach((picture, i) => {
      const url = pictureUrl(picture);
      if (this.pictures[i].src !== new URL(url, document.baseURI).href) this.pictures[i].src = url;
    });
  }

  moveDivider(split) {
    this.split = clamp(split, 0, 1);
    const percent = `${this.split * 100}%`;
    this.divider.style.left = percent;
    this.divider.setAttribute("aria-valuenow", String(Math.round(this.split * 100)));
    this.stage.element.style.setProperty("--gpen-split", percent);
  }

  grab([x]) {
    const { clientWidth } = this.stage.element;
    const isNear = Math.abs(x - this.split * clientWidth) <= GRIP_PX;
    if (this.stage.isZoomed && !isNear) return null;
    return ([x]) => this.moveDivider(x / clientWidth);
  }

  onDividerKey(event) {
    const step = event.shiftKey ? 0.1 : 0.02;
    const places = {
      ArrowLeft: this.split - step,
      ArrowRight: this.split + step,
      Home: 0,
      End: 1,
    };
    if (!(event.key in places)) return;
    this.moveDivider(places[event.key]);
    this.save();
    event.preventDefault();
    event.stopPropagation();
  }

  extraState() {
    return { split: this.split };
  }

  restoreExtra({ split }) {
    this.moveDivider(split ?? 0.5);
  }
}

registerView("GPEN.BeforeAfter", NODES, "gpen_compare", BeforeAfterView);
