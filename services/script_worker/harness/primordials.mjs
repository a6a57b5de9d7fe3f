// @ts-check
/**
 * What the harness needs of the language, captured before a script can replace it.
 *
 * Rule: after a script is bound, nothing in the harness reads a global or calls a method through
 * a prototype: scripts patch them, sometimes on purpose.
 */
import { writeSync } from 'node:fs';
import { format } from 'node:util';
import { getHeapStatistics } from 'node:v8';

export const apply = Reflect.apply;
export const assign = Object.assign;
export const stringify = JSON.stringify;
export const parse = JSON.parse;
export const setImmediate = globalThis.setImmediate;
export const BufferFrom = Buffer.from;
export const BufferConcat = Buffer.concat;
export const String = globalThis.String;
export const ErrorClass = globalThis.Error;
export const hrtime = process.hrtime.bigint;
/** Not `process.memoryUsage`: that reads /proc, which costs more than the rest of a call. */
export const heapStatistics = getHeapStatistics;
export const activeResources = process.getActiveResourcesInfo.bind(process);
export const reallyExit = /** @type {any} */ (process).reallyExit.bind(process);
export const abort = process.abort.bind(process);
export { format, writeSync };

/**
 * @template {(...args: any[]) => any} F
 * @param {F} method
 * @returns {(self: any, ...args: any[]) => ReturnType<F>}
 */
const uncurryThis = (method) =>
  Function.prototype.bind.call(Function.prototype.call, /** @type {any} */ (method));

export const charCodeAt = uncurryThis(globalThis.String.prototype.charCodeAt);
export const slice = uncurryThis(globalThis.String.prototype.slice);
export const utf8 = uncurryThis(Buffer.prototype.toString);
export const readUInt32BE = uncurryThis(Buffer.prototype.readUInt32BE);
export const writeUInt32BE = uncurryThis(Buffer.prototype.writeUInt32BE);
export const subarray = uncurryThis(Buffer.prototype.subarray);

const PromiseClass = Promise;
const resolve = Promise.resolve;
const then = uncurryThis(Promise.prototype.then);

/**
 * Tell us if a promise-like value rejects. A hostile `then` may throw: that rejects too.
 * @param {unknown} value
 * @param {(reason: unknown) => void} rejected
 */
export function onRejection(value, rejected) {
  then(apply(resolve, PromiseClass, [value]), undefined, rejected);
}

/**
 * @param {unknown} value
 * @returns {value is object}
 */
export const isObject = (value) => typeof value === 'object' && value !== null;
