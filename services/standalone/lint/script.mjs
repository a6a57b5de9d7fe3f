// @ts-check
/** One action script as a tree: its function, its variables, and where their values come from. */
import { parse } from 'acorn';
import { RECOMMENDED } from '../../script_worker/harness/loader.mjs';
import {
  childrenOf,
  isFunction,
  nameOf,
  placeOf,
  propertyNamed,
  propertyOf,
  required,
  topOf,
} from './syntax.mjs';

/** @typedef {any} Node */
/**
 * A name as one scope has it. `path` leads from a value to what the name holds: `Client` in
 * `const { Client } = require('pg')`.
 * @typedef {{name: string, values: Node[], path: string[], changed: boolean,
 *   writes: number, owner: Node | null, param: {of: Node, index: number} | null, references: Node[]}} Binding
 * @typedef {{parent: Scope | null, names: Map<string, Binding>, owner: Node | null,
 *   ofFunction: boolean}} Scope
 * @typedef {{name: string, path: string[]}} Origin
 */

const SCOPE = /^(BlockStatement|For(In|Of)?Statement|SwitchStatement|CatchClause|StaticBlock)$/;
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

export class Script {
  /** @type {Node[]} */
  nodes = [];
  /** @type {Map<Node, Node>} */
  #parents = new Map();
  /** @type {Map<Node, Scope>} */
  #scopes = new Map();
  /** @type {Map<Node, Binding>} */
  #bindings = new Map();
  /** @type {Map<string, Node[]>} */
  #byType = new Map();
  /** @type {Set<Binding> | undefined} */
  #all;
  /** References to what the script does not declare. @type {Node[]} */
  globals = [];
  /** Columns that our parenthesis put before the first line. */
  shift = 0;

  /**
   * @param {string} action
   * @param {string} text
   */
  constructor(action, text) {
    this.action = action;
    this.tree = this.#read(text);
    this.#declare(this.tree, { parent: null, names: new Map(), owner: null, ofFunction: true });
    this.#resolve();
    /** The function that is called; null: there is none; undefined: it can't be told which. */
    this.main = this.#mainFunction();
    this.params = /** @type {Node[]} */ (this.main?.params ?? []).map(nameOf);
  }

  /** @param {string[]} types */
  all(...types) {
    if (this.#byType.size === 0) {
      for (const node of this.nodes) {
        const known = this.#byType.get(node.type);
        if (known) known.push(node);
        else this.#byType.set(node.type, [node]);
      }
    }
    return types.flatMap((type) => this.#byType.get(type) ?? []);
  }

  /** @returns {Node} */
  parentOf(/** @type {Node} */ node) {
    return this.#parents.get(node);
  }

  /** What is around a node, the nearest first. @returns {Generator<Node>} */
  *around(/** @type {Node} */ node) {
    for (let one = this.parentOf(node); one !== undefined; one = this.parentOf(one)) yield one;
  }

  /** The function whose body a node stands in. @returns {Node} */
  ownerOf(/** @type {Node} */ node) {
    return [...this.around(node)].find(isFunction);
  }

  /** @returns {Binding | undefined} */
  bindingOf(/** @type {Node} */ node) {
    return this.#bindings.get(node);
  }

  /** @returns {Set<Binding>} */
  get bindings() {
    this.#all ??= new Set(this.#bindings.values());
    return this.#all;
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

  /**
   * Auth0 takes one function expression; a program is understood too, as by the runner.
   * @returns {Node}
   */
  #read(/** @type {string} */ text) {
    const options = /** @type {import('acorn').Options} */ ({
      ecmaVersion: 'latest',
      locations: true,
      sourceType: 'script',
      allowReturnOutsideFunction: true,
    });
    let refusal;
    try {
      const tree = parse(`(${text}\n)`, options);
      if (tree.body.length !== 1) throw new SyntaxError('not one expression');
      this.shift = 1;
      return tree;
    } catch (error) {
      refusal = /** @type {any} */ (error);
    }
    try {
      return parse(text, options);
    } catch (error) {
      // Both readings failed: the one that came farther knows better what is wrong.
      const { pos, message } = /** @type {any} */ (error);
      const farther = refusal.loc && refusal.pos - 1 > pos && !MODULE_ONLY.test(message);
      if (farther && refusal.loc.line === 1) refusal.loc.column -= 1;
      throw new NotJavaScript(farther ? refusal : error);
    }
  }

  /** Every node, its parent, and the names of each scope. */
  #declare(/** @type {Node} */ node, /** @type {Scope} */ around) {
    this.nodes.push(node);
    let scope = around;
    const ofFunction = isFunction(node);
    const body = node.type === 'BlockStatement' && isFunction(this.parentOf(node));
    if (ofFunction || (SCOPE.test(node.type) && !body)) {
      const owner = ofFunction ? node : around.owner;
      scope = { parent: around, names: new Map(), owner, ofFunction };
    }
    if (node.type === 'Identifier') this.#scopes.set(node, scope);
    this.#declareNames(node, around, scope);
    for (const child of childrenOf(node)) {
      this.#parents.set(child, node);
      this.#declare(child, scope);
    }
  }

  /** @param {Node} node @param {Scope} around @param {Scope} scope */
  #declareNames(node, around, scope) {
    if (node.type === 'VariableDeclaration') {
      const holder = node.kind === 'var' ? functionScope(scope) : scope;
      for (const { id, init } of node.declarations) {
        for (const one of namesIn(id)) bind(holder, one.name, init ? [init] : [], one.path);
      }
    }
    if (isFunction(node)) {
      for (const [index, pattern] of node.params.entries()) {
        for (const { name, path } of namesIn(pattern)) {
          bind(scope, name, [], path).param = { of: node, index };
        }
      }
    }
    if ((isFunction(node) || node.type.startsWith('Class')) && node.id) {
      const declared = node.type.endsWith('Declaration');
      if (declared || !scope.names.has(node.id.name)) {
        bind(declared ? around : scope, node.id.name, [node], []);
      }
    }
    if (node.type === 'CatchClause') {
      for (const { name, path } of namesIn(node.param)) bind(scope, name, [], path);
    }
  }

  #resolve() {
    const identifiers = this.all('Identifier').filter((node) => this.#isName(node));
    const top = /** @type {Scope} */ (this.#scopes.values().next().value);
    // An assignment to a name that nobody declares makes a global of it.
    for (const node of identifiers) {
      const scope = /** @type {Scope} */ (this.#scopes.get(node));
      if (find(scope, node.name) === undefined && this.#isWritten(node)) {
        let root = scope ?? top;
        while (root.parent !== null) root = root.parent;
        bind(root, node.name, [], []);
      }
    }
    for (const node of identifiers) {
      const binding = find(/** @type {Scope} */ (this.#scopes.get(node)), node.name);
      if (binding === undefined) {
        this.globals.push(node);
        continue;
      }
      this.#bindings.set(node, binding);
      this.#note(node, binding);
    }
  }

  /** @param {Node} node @param {Binding} binding */
  #note(node, binding) {
    const parent = this.parentOf(node);
    if (this.#isWritten(node)) binding.writes += 1;
    if (parent?.type === 'AssignmentExpression' && parent.left === node) {
      if (parent.operator === '=' || parent.operator === '||=' || parent.operator === '??=') {
        binding.values.push(parent.right);
      } else {
        binding.changed = true;
      }
    } else if (this.#isWritten(node)) {
      binding.changed = true;
    } else if (!isDeclaration(node, parent)) {
      binding.references.push(node);
    }
  }

  #isWritten(/** @type {Node} */ node) {
    const parent = this.parentOf(node);
    if (parent?.type === 'UpdateExpression') return true;
    if (parent?.type === 'AssignmentExpression' && parent.left === node) return true;
    return /^For(In|Of)Statement$/.test(parent?.type) && parent.left === node;
  }

  /** Whether an identifier stands for a variable, and not for a property or a label. */
  #isName(/** @type {Node} */ node) {
    const parent = this.parentOf(node);
    switch (parent?.type) {
      case 'MemberExpression':
        return parent.computed || parent.property !== node;
      case 'Property':
      case 'PropertyDefinition':
      case 'MethodDefinition':
        return parent.computed || parent.key !== node;
      case 'LabeledStatement':
      case 'BreakStatement':
      case 'ContinueStatement':
      case 'MetaProperty':
        return false;
      default:
        return true;
    }
  }

  /** As the runner chooses: what is exported, the expression, the recommended name, the last. */
  #mainFunction() {
    const names = [this.action, ...(RECOMMENDED[this.action] ?? []), 'default'];
    const exported = this.#exported(names);
    if (exported !== undefined) return exported;
    const [only] = this.tree.body;
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
    for (const one of [...this.tree.body].reverse()) {
      if (one.type === 'FunctionDeclaration') found.push([one.id.name, one]);
    }
    for (const statement of [...this.tree.body].reverse()) {
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

function isDeclaration(/** @type {Node} */ node, /** @type {Node} */ parent) {
  return (
    (parent?.id === node && parent.type !== 'AssignmentExpression') ||
    (isFunction(parent) && parent.params.includes(node)) ||
    (parent?.type === 'CatchClause' && parent.param === node)
  );
}

/** @returns {Generator<{name: string, path: string[]}>} */
function* namesIn(/** @type {Node} */ pattern, /** @type {string[]} */ path = []) {
  switch (pattern?.type) {
    case 'Identifier':
      yield { name: pattern.name, path };
      return;
    case 'AssignmentPattern':
      yield* namesIn(pattern.left, path);
      return;
    case 'RestElement':
      yield* namesIn(pattern.argument, [...path, '*']);
      return;
    case 'ArrayPattern':
      for (const one of pattern.elements) yield* namesIn(one, [...path, '*']);
      return;
    case 'ObjectPattern':
      for (const one of pattern.properties) {
        const key = one.computed ? '*' : String(one.key?.name ?? one.key?.value ?? '*');
        yield* namesIn(one.value ?? one.argument, [...path, key]);
      }
  }
}

/** @param {Scope} scope @param {string} name @param {Node[]} values @param {string[]} path */
function bind(scope, name, values, path) {
  const known = scope.names.get(name);
  if (known !== undefined) {
    known.values.push(...values);
    return known;
  }
  const binding = /** @type {Binding} */ ({
    ...{
      name,
      values: [...values],
      path,
      changed: false,
      writes: 0,
      owner: scope.owner,
      param: null,
      references: [],
    },
  });
  scope.names.set(name, binding);
  return binding;
}

/** @returns {Scope} */
function functionScope(/** @type {Scope} */ scope) {
  return scope.ofFunction || scope.parent === null ? scope : functionScope(scope.parent);
}

/** @returns {Binding | undefined} */
function find(/** @type {Scope | null} */ scope, /** @type {string} */ name) {
  for (let one = scope; one != null; one = one.parent) {
    const found = one.names.get(name);
    if (found !== undefined) return found;
  }
  return undefined;
}
