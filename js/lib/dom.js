// @ts-check
// Small helpers for building the views.

const STYLE_ID = "gpen-style";

/**
 * Make an element: properties are set, "aria-…", "data-…" and "role" become attributes.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any>} properties
 * @param {...(Node | string)} children
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") made.setAttribute(name, value);
    else Object.assign(made, { [name]: value });
  }
  made.append(...children);
  return made;
}

/**
 * @param {string} label
 * @param {string} title
 * @param {() => void} onClick
 */
export function button(label, title, onClick) {
  const made = element("button", { type: "button", textContent: label, title, "aria-label": title });
  made.addEventListener("click", onClick);
  return made;
}

/** Load the style sheet of the views, once. */
export function addStyle() {
  if (document.getElementById(STYLE_ID)) return;
  const href = new URL("../gpen.css", import.meta.url).href;
  document.head.append(element("link", { id: STYLE_ID, rel: "stylesheet", href }));
}

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 */
export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}
