// @ts-check
/**
 * From a script's text to its function: a superset of what Auth0 accepts (C§4.1).
 *
 * Auth0 takes the text of one function expression. We also take a program: helper declarations,
 * a trailing semicolon, a directive, `module.exports`. Nothing that Auth0 accepts is rejected,
 * because the expression is tried first; and no script is evaluated twice.
 */
import { compileFunction } from 'node:vm';

/** @type {Record<string, string[]>} */
export const RECOMMENDED = {
  login: ['login', 'loginByEmail'],
  get_user: ['getUser', 'getByEmail', 'get_user'],
  create: ['create'],
  verify: ['verify'],
  change_password: ['changePassword', 'change_password'],
  change_email: ['changeEmail', 'change_email'],
  delete: ['deleteUser', 'remove', 'delete_user'],
};
const DECLARED =
  /(?:^|[;{}])[ \t]*(?:async[ \t]+)?function[ \t]*\*?[ \t]*([A-Za-z_$][\w$]*)[ \t]*\(/gm;
const ASSIGNED = /^(?:const|let|var)[ \t]+([A-Za-z_$][\w$]*)[ \t]*=/gm;

/** A script that is not a function, with where and why. */
export class BindFailure {
  /**
   * @param {string} action
   * @param {unknown} error
   */
  constructor(action, error) {
    this.action = action;
    this.error = error;
    this.line = lineOf(error, action);
  }
}

/**
 * @param {string} action
 * @param {string} text
 * @param {(name: string) => unknown} require
 * @returns {Function | BindFailure}
 */
export function load(action, text, require) {
  try {
    const code = compileEither(action, text);
    const module = { exports: /** @type {any} */ ({}) };
    const value = code(require, module, module.exports);
    for (const choice of [...exported(action, module.exports), value]) {
      if (typeof choice === 'function') return choice;
    }
    throw new TypeError(`the ${action} script is not a function and declares none`);
  } catch (error) {
    return new BindFailure(action, error);
  }
}

/**
 * @param {string} action
 * @param {string} text
 * @returns {Function}
 */
function compileEither(action, text) {
  let refusal;
  try {
    return compile(action, `return (${text}\n)`, -8);
  } catch (error) {
    refusal = error;
  }
  try {
    const picks = candidates(action, text).map((name) => `typeof ${name}==='function'?${name}:`);
    return compile(action, `${text}\n;return ${picks.join('')}undefined`, 0);
  } catch (error) {
    throw farther(refusal, error, action);
  }
}

/**
 * @param {string} action
 * @param {string} body
 * @param {number} columnOffset
 * @returns {Function}
 */
function compile(action, body, columnOffset) {
  return compileFunction(body, ['require', 'module', 'exports'], {
    filename: `${action}.js`,
    columnOffset,
  });
}

/**
 * What `module.exports` may offer: itself, or one of its properties.
 * @param {string} action
 * @param {any} exports
 * @returns {unknown[]}
 */
function exported(action, exports) {
  if (exports === null || exports === undefined) return [];
  const keys = [action, ...(RECOMMENDED[action] ?? []), 'default'];
  return [exports, ...keys.map((key) => exports[key])];
}

/**
 * Names to look for: the recommended ones, then declared functions, then the rest; last first.
 * @param {string} action
 * @param {string} text
 */
function candidates(action, text) {
  const declared = names(text, DECLARED);
  const assigned = names(text, ASSIGNED);
  const all = [...declared.reverse(), ...assigned.reverse()];
  const recommended = (RECOMMENDED[action] ?? []).filter((name) => all.includes(name));
  return [...new Set([...recommended, ...all])];
}

/**
 * @param {string} text
 * @param {RegExp} pattern
 */
function names(text, pattern) {
  return [...text.matchAll(pattern)].map((match) => match[1]);
}

/**
 * Both readings failed: the one that came farther knows better what is wrong.
 * @param {unknown} first
 * @param {unknown} second
 * @param {string} action
 */
function farther(first, second, action) {
  return (lineOf(second, action) ?? 0) >= (lineOf(first, action) ?? 0) ? second : first;
}

/**
 * @param {unknown} error
 * @param {string} action
 * @returns {number | null}
 */
function lineOf(error, action) {
  try {
    const stack = /** @type {any} */ (error).stack;
    const found = `${stack}`.match(new RegExp(`\\b${action}\\.js:(\\d+)`));
    return found ? Number(found[1]) : null;
  } catch {
    return null; // a thrown null, or a stack that throws
  }
}
