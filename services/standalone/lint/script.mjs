// @ts-check
/** One action script as a tree: its function, its callback, its variables and where they come from. */
import { parse } from 'acorn';

/** @typedef {any} Node */

const FUNCTION = /^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/;

export const isFunction = (/** @type {Node} */ node) => node != null && FUNCTION.test(node.type);

/** A text that is no JavaScript. */
export class NotJavaScript extends Error {
  /** @param {any} error */
  constructor(error) {
    super(String(error.message).replace(/ \(\d+:\d+\)$/, ''));
    this.loc = error.loc ?? { line: 1, column: 0 };
  }
}

export class Script {
  /**
   * @param {string} action
   * @param {string} text
   */
  constructor(action, text) {
    this.action = action;
    /** Columns that our parenthesis put before the first line. */
    this.shift = 0;
    this.tree = this.#read(text);
    this.main = mainFunction(this.tree);
    this.params = /** @type {Node[]} */ (this.main?.params ?? []).map(nameOf);
    this.callback = this.params.at(-1);
    /** @type {{node: Node, parents: Node[]}[]} */
    this.nodes = [];
    this.#collect();
    this.declared = this.#declarations();
  }

  /**
   * Every node of a type, with those around it, the nearest last.
   * @param {string} type
   */
  all(type) {
    return this.nodes.filter(({ node }) => node.type === type);
  }

  /** What a name was first given, if that is in the script. */
  valueOf(/** @type {Node} */ node) {
    return node?.type === 'Identifier' ? (this.declared.get(node.name) ?? null) : node;
  }

  /**
   * The module behind an expression: `require('x')`, or a variable that holds it.
   * @returns {string | null}
   */
  moduleOf(/** @type {Node} */ node) {
    const value = this.valueOf(node);
    if (value?.type === 'MemberExpression') return this.moduleOf(value.object);
    return value?.type === 'CallExpression' ? required(value) : null;
  }

  /** Whether somewhere a method of this name is called. */
  calls(/** @type {RegExp} */ method) {
    return this.all('CallExpression').some(({ node }) => method.test(methodOf(node)));
  }

  /** Whether a part of the tree calls the callback, or hands it on. */
  mentionsCallback(/** @type {Node} */ part) {
    const { callback } = this;
    return this.nodes.some(
      ({ node }) =>
        node.type === 'Identifier' &&
        node.name === callback &&
        node.start >= part.start &&
        node.end <= part.end,
    );
  }

  /** Auth0 takes one function expression; a program is understood too, as by the runner. */
  #read(/** @type {string} */ text) {
    const options = /** @type {any} */ ({ ecmaVersion: 'latest', locations: true });
    try {
      const tree = parse(`(${text}\n)`, { ...options, sourceType: 'script' });
      this.shift = 1;
      return tree;
    } catch {
      try {
        return parse(text, { ...options, sourceType: 'script', allowReturnOutsideFunction: true });
      } catch (error) {
        throw new NotJavaScript(error);
      }
    }
  }

  #collect() {
    /** @type {Node[]} */
    const parents = [];
    const visit = (/** @type {Node} */ node) => {
      this.nodes.push({ node, parents: [...parents] });
      parents.push(node);
      for (const value of Object.values(node)) {
        for (const child of Array.isArray(value) ? value : [value]) {
          if (child && typeof child.type === 'string') visit(child);
        }
      }
      parents.pop();
    };
    visit(this.tree);
  }

  #declarations() {
    /** @type {Map<string, Node>} */
    const found = new Map();
    const note = (/** @type {string | undefined} */ name, /** @type {Node} */ value) => {
      if (name !== undefined && !found.has(name)) found.set(name, value);
    };
    for (const { node } of this.nodes) {
      if (node.type === 'VariableDeclarator') {
        note(nameOf(node.id), node.init ?? node);
        for (const property of node.id.properties ?? []) note(nameOf(property.value), node.init);
      }
      if (isFunction(node)) {
        note(node.id?.name, node);
        for (const param of node.params) note(nameOf(param), param);
      }
    }
    return found;
  }
}

/** `x` of `x`, `x = 1` and `...x`. */
export function nameOf(/** @type {Node} */ node) {
  const inner = node?.left ?? node?.argument ?? node;
  return inner?.type === 'Identifier' ? /** @type {string} */ (inner.name) : undefined;
}

/** `query` of `connection.query(…)`; the name of a plain call. */
export function methodOf(/** @type {Node} */ call) {
  const { callee } = call;
  if (callee.type === 'Identifier') return String(callee.name);
  return callee.property?.type === 'Identifier' ? String(callee.property.name) : '';
}

/** The name in `require('name')`. */
export function required(/** @type {Node} */ call) {
  const [name] = call.arguments;
  const plain = call.callee.type === 'Identifier' && call.callee.name === 'require';
  return plain && typeof name?.value === 'string' ? /** @type {string} */ (name.value) : null;
}

function mainFunction(/** @type {Node} */ tree) {
  const [only] = tree.body;
  if (isFunction(only?.expression)) return only.expression;
  /** @type {Node[]} */
  const found = [];
  for (const statement of tree.body) {
    if (isFunction(statement)) found.push(statement);
    for (const one of statement.declarations ?? []) if (isFunction(one.init)) found.push(one.init);
    if (isFunction(statement.expression?.right)) found.push(statement.expression.right);
  }
  return found.at(-1) ?? null;
}
