// @ts-check
import { apply, like } from './common.mjs';

/** `uuid()` is version 4, as before version 7. */
export function uuid(/** @type {any} */ exported) {
  return like((/** @type {any[]} */ ...args) => apply(exported.v4, undefined, args), exported, {});
}
