// @ts-check
// Callbacks of the host, extended without taking them away from others.

/**
 * Let `addition` run after a method, which keeps its result.
 *
 * @param {Record<string, any>} object
 * @param {string} method
 * @param {(this: any, ...values: any[]) => void} addition
 */
export function chain(object, method, addition) {
  const previous = object[method];
  object[method] = function (/** @type {any[]} */ ...values) {
    const result = previous?.apply(this, values);
    addition.apply(this, values);
    return result;
  };
}
