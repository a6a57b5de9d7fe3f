// @ts-check
/** One action script: its function, and which modules its values come from. */
import { parse } from 'acorn';
import { RECOMMENDED } from '../../script_worker/harness/loader.mjs';
import {
  isFunction,
  nameOf,
  placeOf,
  propertyNamed,
  propertyOf,
  required,
  topOf,
} from './syntax.mjs';
import { Tree } from './tree.mjs';

/** @typedef {any} Node */
/** @typedef {import('./tree.mjs').Binding} Binding */
/** @typedef {{name: string, path: string[]}} Origin */

const MODULE_ONLY = /^.*'sourceType: module'.*$/;
const PIN = /^(@?[^@]+)@[^/]+/;
/** Magic globals that are a module, or nearly. */
const MAGIC_MODULES = /** @type {Record<string, string>} */ ({
  ...{ _: 'lodash', jwt: 'jsonwebtoken', Knex: 'knex', mysql: 'mysql', pg: 'pg' },
  ...{ postgres: 'pg', sqlserver: 'tedious', uuid: 'uuid' },
});
const MAX_STEPS = 20; // from a name to its value: `a = b`, `b = c` …

/** A text that is no JavaScript. */
export class NotJavaScript extends Error {
  /** @param {any} error */
  constructor(error) {
    super(
      error instanceof RangeError
        ? 'it is nested too deeply to be read'
        : String(error.message)
            .replace(/ \(\d+:\d+\)$/, '')
            .replace(MODULE_ONLY, 'this is no module: use require and module.exports'),
    );
    this.loc = error.loc ?? { line: 1, column: 0 };
  }
}

export class Script extends Tree {
  /**
   * @param {string} action
   * @param {string} text
   */
  constructor(action, text) {
    const { root, shift } = read(text);
    super(root);
    this.action = action;
    /** Columns that our parenthesis put before the first line. */
    this.shift = shift;
    /** The function that is called; null: there is none; undefined: it can't be told which. */
    this.main = this.#mainFunction();
    this.params = /** @type {Node[]} */ (this.main?.params ?? []).map(nameOf);
  }

  /** The parameter at a position of the script's function. */
  paramAt(/** @type {number} */ index) {
    const { main } = this;
    return [...this.bindings].find(({ param }) => param?.of === main && param?.index === index);
  }

  /** An expression, or the only one that its name was ever given; null when that is open. */
  valueOf(/** @type {Node} */ given) {
    let node = given;
    for (let steps = 0; node?.type === 'Identifier'; steps++) {
      const binding = this.bindingOf(node);
      if (binding === undefined || steps > MAX_STEPS) return null;
      const { values, path, changed, param } = binding;
      if (values.length !== 1 || path.length > 0 || changed || param) return null;
      node = values[0];
    }
    return node ?? null;
  }

  /** The module behind an expression, and what of it. @returns {Origin | null} */
  originOf(/** @type {Node} */ node, steps = 0) {
    if (node == null || steps > MAX_STEPS) return null;
    if (node.type === 'CallExpression' || node.type === 'ImportExpression') {
      const name = required(node);
      return name === null ? null : { name: name.replace(PIN, '$1'), path: [] };
    }
    if (node.type === 'AwaitExpression' || node.type === 'ChainExpression') {
      return this.originOf(node.argument ?? node.expression, steps + 1);
    }
    if (node.type === 'MemberExpression') {
      const object = this.originOf(node.object, steps + 1);
      return object && { ...object, path: [...object.path, propertyOf(node)] };
    }
    return node.type === 'Identifier' ? this.#originOfName(node, steps) : null;
  }

  #originOfName(/** @type {Node} */ node, /** @type {number} */ steps) {
    const binding = this.bindingOf(node);
    if (binding === undefined) {
      const name = Object.hasOwn(MAGIC_MODULES, node.name) ? MAGIC_MODULES[node.name] : null;
      return name === null ? null : { name, path: [] };
    }
    const found = binding.values.length === 1 && this.originOf(binding.values[0], steps + 1);
    return found ? { ...found, path: [...found.path, ...binding.path] } : null;
  }

  /**
   * The module that made what a name holds: `pg` for `client` of `new pg.Client()`.
   * @returns {string | null}
   */
  driverOf(/** @type {Node} */ node, steps = 0) {
    if (node == null || steps > MAX_STEPS) return null;
    const origin = this.originOf(node);
    if (origin !== null) return topOf(origin.name);
    const next = node.callee ?? node.object ?? node.argument ?? node.expression;
    if (next?.type) return this.driverOf(next, steps + 1);
    const binding = this.bindingOf(node);
    return binding ? this.#driverOfName(binding, steps) : null;
  }

  /** @returns {string | null} */
  #driverOfName(/** @type {Binding} */ { values, param }, /** @type {number} */ steps) {
    if (values.length > 0) return this.driverOf(values[0], steps + 1);
    const call = param && param.of !== this.main ? this.parentOf(param.of) : null;
    const given = call?.arguments?.includes(param?.of);
    return given ? this.driverOf(call.callee, steps + 1) : null;
  }

  /** As the runner chooses: what is exported, the expression, the recommended name, the last. */
  #mainFunction() {
    const names = [this.action, ...(RECOMMENDED[this.action] ?? []), 'default'];
    const exported = this.#exported(names);
    if (exported !== undefined) return exported;
    const [only] = this.root.body;
    if (this.shift === 1) {
      const value = only.expression;
      if (isFunction(value)) return value;
      return /^(Literal|TemplateLiteral|ObjectExpression|ArrayExpression)$/.test(value?.type)
        ? null
        : undefined;
    }
    return this.#declared(names);
  }

  /** `module.exports = …` and `exports.login = …`. */
  #exported(/** @type {string[]} */ names) {
    /** @type {Map<string, Node>} */
    const found = new Map();
    for (const { left, right } of this.all('AssignmentExpression')) {
      const place = placeOf(left);
      if (place === 'module.exports') found.set('', right);
      const named = /^(?:module\.)?exports\.(\w+)$/.exec(place);
      if (named) found.set(named[1], right);
    }
    for (const name of ['', ...names]) {
      const value = this.valueOf(found.get(name));
      if (isFunction(value)) return value;
      if (name === '' && value?.type === 'ObjectExpression') {
        const key = names.find((one) => propertyNamed(value, one));
        const inner = key && this.valueOf(propertyNamed(value, key)?.value);
        if (isFunction(inner)) return inner;
      }
    }
    return undefined;
  }

  #declared(/** @type {string[]} */ names) {
    /** @type {[string, Node][]} */
    const found = [];
    for (const one of [...this.root.body].reverse()) {
      if (one.type === 'FunctionDeclaration') found.push([one.id.name, one]);
    }
    for (const statement of [...this.root.body].reverse()) {
      for (const { id, init } of statement.declarations ?? []) {
        const name = nameOf(id);
        if (name !== undefined && init !== null) found.push([name, init]);
      }
    }
    const chosen = names.map((name) => found.find(([one]) => one === name)).find(Boolean);
    const ordered = [...(chosen ? [chosen] : []), ...found].map(([, value]) => value);
    const plain = ordered.find(isFunction);
    if (plain !== undefined) return plain;
    const exports = this.globals.some(({ name }) => name === 'module' || name === 'exports');
    const computed = ordered.some((value) => !/Literal|Object|Array|Template/.test(value.type));
    return exports || computed ? undefined : null;
  }
}

/**
 * Auth0 takes one function expression; a program is understood too, as by the runner.
 * @returns {{root: Node, shift: number}}
 */
function read(/** @type {string} */ text) {
  const options = /** @type {import('acorn').Options} */ ({
    ecmaVersion: 'latest',
    locations: true,
    sourceType: 'script',
    allowReturnOutsideFunction: true,
  });
  let refusal;
  try {
    const root = parse(`(${text}\n)`, options);
    if (root.body.length !== 1) throw new SyntaxError('not one expression');
    return { root, shift: 1 };
  } catch (error) {
    refusal = /** @type {any} */ (error);
  }
  try {
    return { root: parse(text, options), shift: 0 };
  } catch (error) {
    // Both readings failed: the one that came farther knows better what is wrong.
    const { pos, message } = /** @type {any} */ (error);
    const farther = refusal.loc && refusal.pos - 1 > pos && !MODULE_ONLY.test(message);
    if (farther && refusal.loc.line === 1) refusal.loc.column -= 1;
    throw new NotJavaScript(farther ? refusal : error);
  }
}
