// @ts-check
import { like } from './common.mjs';

/** `mysql({…})`, which only the magic global ever understood, is in all published templates. */
export function mysql(/** @type {any} */ exported) {
  const call = (/** @type {any} */ options) => exported.createConnection(options);
  return like(call, exported, {});
}
