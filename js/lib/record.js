// @ts-check
// What a view shows, kept for as long as the browser tab lives.
//
// The node carries only a key; the pictures of the last run and the place of the divider lie in the
// tab's session storage. So they survive a reload, undo and a change of workflow without becoming
// part of the workflow file or of its undo history.

const PROPERTY = "gpen_view";
const PREFIX = "gpen.view.";
const MAX_RECORDS = 48;

/** Which node writes at a key. @type {Map<string, Comfy.Node>} */
const owners = new Map();

/** @param {Comfy.Node | undefined} node */
function isAlive(node) {
  return node !== undefined && node.graph?.getNodeById(node.id) === node;
}

function newKey() {
  // crypto.randomUUID is missing on pages served without https.
  return Date.now().toString(36) + Math.random().toString(36).slice(2, 10);
}

/**
 * @param {string} key
 * @returns {Record<string, any> | null}
 */
function read(key) {
  try {
    return JSON.parse(sessionStorage.getItem(PREFIX + key) ?? "null");
  } catch {
    return null;
  }
}

/**
 * @param {string} key
 * @param {Record<string, any>} record
 */
function write(key, record) {
  try {
    sessionStorage.setItem(PREFIX + key, JSON.stringify({ ...record, saved: Date.now() }));
    const keys = Object.keys(sessionStorage).filter((name) => name.startsWith(PREFIX));
    if (keys.length <= MAX_RECORDS) return;
    const age = (/** @type {string} */ name) => read(name.slice(PREFIX.length))?.saved ?? 0;
    keys.sort((one, other) => age(one) - age(other));
    for (const name of keys.slice(0, keys.length - MAX_RECORDS)) sessionStorage.removeItem(name);
  } catch {
    // Storage is full or switched off: the view works, it only forgets.
  }
}

/**
 * Give a node its key before undo remembers it: a state without the key would forget the view.
 *
 * @param {Comfy.Node} node
 */
export function ensureKey(node) {
  node.properties ??= {};
  node.properties[PROPERTY] ??= newKey();
}

/**
 * The record of a node; null if there is none. A copy of a node gets a record of its own.
 *
 * @param {Comfy.Node} node
 */
export function loadRecord(node) {
  const key = node.properties?.[PROPERTY];
  if (!key) return null;
  const record = read(key);
  const owner = owners.get(key);
  if (owner !== node && isAlive(owner)) {
    node.properties[PROPERTY] = newKey();
    if (record) write(node.properties[PROPERTY], record);
  }
  owners.set(node.properties[PROPERTY], node);
  return record;
}

/**
 * @param {Comfy.Node} node
 * @param {Record<string, any>} record
 */
export function saveRecord(node, record) {
  ensureKey(node);
  owners.set(node.properties[PROPERTY], node);
  write(node.properties[PROPERTY], record);
}

/**
 * Forget that the node writes its record, which stays: undo may bring the node back.
 *
 * @param {Comfy.Node} node
 */
export function releaseRecord(node) {
  const key = node.properties?.[PROPERTY];
  if (owners.get(key) === node) owners.delete(key);
}
