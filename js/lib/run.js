// @ts-check
// What a run of a node sends to its view.

/** @typedef {{ filename: string, subfolder: string, type: string }} Picture */

/** @typedef {[x0: number, y0: number, x1: number, y1: number]} Box */

/** @typedef {{ box: Box, size: number, score: number }} Face */

/**
 * An image of the batch; its faces lie in pixels of the picture that is shown.
 *
 * @template {Face} [T=Face]
 * @typedef {{ index: number, width: number, height: number, faces: T[] }} Frame
 */

/**
 * @template {Frame} [F=Frame]
 * @typedef {{ total: number, frames: F[], text: string }} Run
 */

/**
 * One run of what a node sent: more than one if it was run for each item of a list.
 *
 * @param {Omit<Run, "text">[]} runs
 * @param {string[]} texts
 * @returns {Run}
 */
export function joinRuns(runs, texts) {
  const total = runs.reduce((sum, run) => sum + run.total, 0);
  const frames = runs.flatMap((run) => run.frames);
  return { ...runs[0], total, frames, text: texts.join("\n") };
}
