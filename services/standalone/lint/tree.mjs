// @ts-check
/** A tree with its names: what is around a node, which scope a name is of, what it was given. */
import { childrenOf, isFunction } from './syntax.mjs';

/** @typedef {any} Node */
/**
 * A name as one scope has it. `path` leads from a value to what the name holds: `Client` in
 * `const { Client } = require('pg')`.
 * @typedef {{name: string, values: Node[], path: string[], changed: boolean,
 *   writes: number, owner: Node | null, param: {of: Node, index: number} | null, references: Node[]}} Binding
 * @typedef {{parent: Scope | null, names: Map<string, Binding>, owner: Node | null,
 *   ofFunction: boolean}} Scope
 */

const SCOPE = /^(BlockStatement|For(In|Of)?Statement|SwitchStatement|CatchClause|StaticBlock)$/;

export class Tree {
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

  constructor(/** @type {Node} */ root) {
    this.root = root;
    this.#declare(root, { parent: null, names: new Map(), owner: null, ofFunction: true });
    this.#resolve();
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
