// @ts-check
/**
 * From a script's text to its function: a superset of what Auth0 accepts (C§4.1).
 *
 * Auth0 takes the text of one function expression. We also take a program: helper declarations,
 * a trailing semicolon, a directive, `module.exports`. Nothing that Auth0 accepts is rejected,
 * because the expression is tried first.
 */
import { compileFunction } from 'node:vm';

/** @type {Record<string, string[]>} */
const RECOMMENDED = {
  login: ['login', 'loginByEmail'],
  get_user: ['getUser', 'getByEmail', 'get_user'],
  create: ['create'],
  verify: ['verify'],
  change_password: ['changePassword', 'change_password'],
  change_email: ['changeEmail', 'change_email'],
  delete: ['deleteUser', 'remove', 'delete_user'],
};
const DECLARED = /^[ \t]*(?:async[ \t]+)?function[ \t]*\*?[ \t]*([A-Za-z_$][\w$]*)[ \t]*\(/gm;
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
  /** @type {unknown} */
  let refusal;
  try {
    const value = compile(action, `return (${text}\n)`, -8)(require, { exports: {} }, {});
    if (typeof value === 'function') return value;
  } catch (error) {
    if (!(error instanceof SyntaxError)) return new BindFailure(action, error);
    refusal = error;
  }
  try {
    return fromProgram(action, text, require);
  } catch (error) {
    const told = error instanceof SyntaxError && refusal ? farther(refusal, error, action) : error;
    return new BindFailure(action, told);
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
 * @param {string} action
 * @param {string} text
 * @param {(name: string) => unknown} require
 * @returns {Function}
 */
function fromProgram(action, text, require) {
  const module = { exports: /** @type {any} */ ({}) };
  const names = candidates(action, text);
  const picks = names.map((name) => `typeof ${name}==='function'?${name}:`).join('');
  const found = compile(action, `${text}\n;return ${picks}undefined`, 0)(
    require,
    module,
    module.exports,
  );
  const exported = module.exports;
  const choices = [exported, exported?.[action], exported?.default, found];
  for (const choice of choices) if (typeof choice === 'function') return choice;
  throw new TypeError(`the ${action} script is not a function and declares none`);
}

/**
 * Names to look for: the recommended ones, then what is declared, the last first.
 * @param {string} action
 * @param {string} text
 */
function candidates(action, text) {
  const declared = [...text.matchAll(DECLARED), ...text.matchAll(ASSIGNED)].map(
    (match) => match[1],
  );
  const recommended = (RECOMMENDED[action] ?? []).filter((name) => declared.includes(name));
  return [...new Set([...recommended, ...declared.reverse()])];
}

/**
 * Both readings failed: the one that came farther knows better what is wrong.
 * @param {unknown} first
 * @param {unknown} second
 * @param {string} action
 */
function farther(first, second, action) {
  return (lineOf(second, action) ?? 0) > (lineOf(first, action) ?? 0) ? second : first;
}

/**
 * @param {unknown} error
 * @param {string} action
 * @returns {number | null}
 */
function lineOf(error, action) {
  const stack = error instanceof Error && typeof error.stack === 'string' ? error.stack : '';
  const found = stack.match(new RegExp(`\\b${action}\\.js:(\\d+)`));
  return found ? Number(found[1]) : null;
}
