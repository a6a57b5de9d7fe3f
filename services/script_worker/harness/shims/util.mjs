// @ts-check
import { like } from './common.mjs';

/** The questions that Node 23 dropped. */
export function util(/** @type {any} */ exported) {
  /** @type {Record<string, (value: any) => boolean>} */
  const asked = {
    isBoolean: (value) => typeof value === 'boolean',
    isBuffer: (value) => Buffer.isBuffer(value),
    isDate: exported.types.isDate,
    isError: (value) => exported.types.isNativeError(value) || value instanceof Error,
    isFunction: (value) => typeof value === 'function',
    isNull: (value) => value === null,
    isNullOrUndefined: (value) => value === null || value === undefined,
    isNumber: (value) => typeof value === 'number',
    isObject: (value) => value !== null && typeof value === 'object',
    isPrimitive: (value) => value === null || !/^(object|function)$/.test(typeof value),
    isRegExp: exported.types.isRegExp,
    isString: (value) => typeof value === 'string',
    isSymbol: (value) => typeof value === 'symbol',
    isUndefined: (value) => value === undefined,
  };
  return like({}, exported, { ...asked, isArray: Array.isArray });
}
