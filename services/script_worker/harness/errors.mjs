// @ts-check
/**
 * The error classes that scripts use, and how an error leaves the process (C§3.1).
 *
 * The classes are old-style functions: scripts call them without `new`, which must not throw.
 * Of an error only a fixed list of fields crosses; an AxiosError's `config` holds passwords.
 */
import {
  apply,
  assign,
  ErrorClass,
  format,
  isObject,
  String,
  slice,
  stringify,
} from './primordials.mjs';

const FIELDS = ['name', 'message', 'code', 'description', 'user_id', 'stack', 'status_code'];
const MAX_FIELD = 4096;
const MAX_STACK = 16 * 1024;

/**
 * @param {any} constructor
 * @param {string} name
 */
function inheritFromError(constructor, name) {
  constructor.prototype = Object.create(Error.prototype, {
    constructor: { value: constructor, writable: true, configurable: true },
    name: { value: name, writable: true, configurable: true },
  });
}

/**
 * @param {any} error
 * @param {Function} constructor
 * @param {object} fields
 */
function build(error, constructor, fields) {
  assign(error, fields); // first: the stack's heading shows the message
  ErrorClass.captureStackTrace(error, constructor);
}

/**
 * @this {any}
 * @param {unknown} userId
 * @param {unknown} message
 */
export function WrongUsernameOrPasswordError(userId, message) {
  const name = 'WrongUsernameOrPasswordError';
  if (!(this instanceof WrongUsernameOrPasswordError)) return;
  const code = 'wrongusernameorpassword';
  build(this, WrongUsernameOrPasswordError, {
    name,
    message,
    code,
    user_id: userId,
    statusCode: 400,
  });
}

/**
 * @this {any}
 * @param {unknown} code
 * @param {unknown} message
 */
export function ValidationError(code, message) {
  const name = 'ValidationError';
  if (!(this instanceof ValidationError)) return;
  build(this, ValidationError, { name, code, message, description: message, statusCode: 400 });
}

/**
 * @this {any}
 * @param {unknown} message
 */
export function UnauthorizedError(message) {
  const name = 'UnauthorizedError';
  if (!(this instanceof UnauthorizedError)) return;
  const code = 'unauthorized';
  build(this, UnauthorizedError, { name, message, code, description: message, statusCode: 401 });
}

inheritFromError(WrongUsernameOrPasswordError, 'WrongUsernameOrPasswordError');
inheritFromError(ValidationError, 'ValidationError');
inheritFromError(UnauthorizedError, 'UnauthorizedError');

/**
 * @param {unknown} value
 * @param {number} limit
 * @returns {string | undefined} JSON of a scalar, cut; of anything else its JSON as a string
 */
function field(value, limit) {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'number' || typeof value === 'boolean') return stringify(value);
  const text =
    typeof value === 'string' ? value : isObject(value) ? stringify(value) : String(value);
  return text === undefined ? undefined : stringify(slice(text, 0, limit));
}

/**
 * An AggregateError, which is what a refused connection to a name with several addresses is, has
 * no message of its own: the first of its errors speaks for it.
 * @param {any} error
 * @param {string} name
 */
function read(error, name) {
  const value = error[name];
  return name === 'message' && value === '' ? (error.errors?.[0]?.message ?? value) : value;
}

/**
 * What of an error crosses, as JSON. Getters may throw, and what they throw may be hostile too.
 * @param {any} error
 * @returns {string}
 */
export function errorJson(error) {
  if (typeof error === 'string') return `{"message":${field(error, MAX_FIELD)}}`;
  if (typeof error === 'function') return '{"message":"a function was given as the error"}';
  if (!isObject(error)) return `{"message":${stringify(String(error))}}`;
  let json = '';
  let named = false;
  for (let index = 0; index < FIELDS.length; index++) {
    const name = FIELDS[index];
    try {
      const value = field(read(error, name), name === 'stack' ? MAX_STACK : MAX_FIELD);
      if (value === undefined) continue;
      json += `${json === '' ? '' : ','}"${name}":${value}`;
      named ||= name === 'name';
    } catch {
      // A getter threw: the field stays away.
    }
  }
  if (named) return `{${json}}`;
  return json === '' ? '{"name":"Error"}' : `{"name":"Error",${json}}`;
}

/**
 * A thrown value in words, for a violation's message.
 * @param {unknown} error
 * @returns {string}
 */
export function brief(error) {
  try {
    const message = isObject(error) ? /** @type {any} */ (error).message : error;
    return slice(apply(format, undefined, ['%s', message]), 0, MAX_FIELD);
  } catch {
    return 'an error that can not be read';
  }
}
