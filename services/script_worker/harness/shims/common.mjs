// @ts-check
/** What several shims need. */
export const { apply } = Reflect;
export const nextTick = process.nextTick;
export const LEGACY = Symbol('legacy'); // marks what is shimmed already

/**
 * A module's properties, getters and all, on an object of our own, without those we replace.
 * @param {any} target
 * @param {any} exported
 * @param {Record<string, any>} replaced
 */
export function like(target, exported, replaced) {
  const descriptors = /** @type {any} */ (Object.getOwnPropertyDescriptors(exported));
  for (const name of Reflect.ownKeys(target)) delete descriptors[name];
  for (const name of Object.keys(replaced)) delete descriptors[name];
  Object.defineProperties(target, descriptors);
  for (const [name, value] of Object.entries(replaced)) {
    Object.defineProperty(target, name, { value, writable: true, configurable: true });
  }
  return target;
}

/**
 * @param {Promise<any>} promise
 * @param {Function} callback
 * @param {(value: any) => any} [mend]
 */
export function toCallback(promise, callback, mend = (value) => value) {
  promise.then(
    (value) => nextTick(callback, null, mend(value)),
    (error) => nextTick(callback, error),
  );
}
