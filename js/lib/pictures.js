// @ts-check
// Pictures that the backend has written for a view.

import { api } from "../../../scripts/api.js";
import { element } from "./dom.js";

/** @typedef {import("./run.js").Picture} Picture */

/**
 * A picture for a stage.
 *
 * @param {string} label
 * @param {() => void} onGone called if its file is no longer there
 */
export function makePicture(label, onGone) {
  // Decoded before it is drawn, or the ground would flash between the images of a batch.
  const picture = element("img", { alt: label, draggable: false, decoding: "sync" });
  picture.addEventListener("error", onGone);
  return picture;
}

/**
 * Show a file, without loading it again if it is there already.
 *
 * @param {HTMLImageElement} picture
 * @param {Picture} file
 */
export function showFile(picture, { filename, subfolder, type }) {
  const url = api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);
  if (picture.src !== new URL(url, document.baseURI).href) picture.src = url;
}
