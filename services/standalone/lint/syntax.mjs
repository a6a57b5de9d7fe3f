// @ts-check
/** Questions to a single node of a tree, whatever script it stands in. */

/** @typedef {any} Node */

const FUNCTION = /^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/;
const LOOP = /^(For|ForIn|ForOf|While|DoWhile)Statement$/;

export const isFunction = (/** @type {Node} */ node) => node != null && FUNCTION.test(node.type);
export const isLoop = (/** @type {Node} */ node) => LOOP.test(node.type);

/** @returns {Generator<Node>} */
export function* childrenOf(/** @type {Node} */ node) {
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (child && typeof child.type === 'string') yield child;
    }
  }
}

/** A part of the tree and all that is in it. @returns {Generator<Node>} */
export function* within(/** @type {Node} */ part) {
  yield part;
  for (const child of childrenOf(part)) yield* within(child);
}

/** `x` of `x`, `x = 1` and `...x`. */
export function nameOf(/** @type {Node} */ node) {
  const inner = node?.left ?? node?.argument ?? node;
  return inner?.type === 'Identifier' ? /** @type {string} */ (inner.name) : undefined;
}

/** `query` of `connection.query(…)`; the name of a plain call. */
export function methodOf(/** @type {Node} */ { callee }) {
  return callee.type === 'Identifier' ? String(callee.name) : propertyOf(callee);
}

/** `b` of `a.b` and of `a['b']`. */
export function propertyOf(/** @type {Node} */ { property, computed }) {
  if (property === undefined) return '';
  return String((computed ? property.value : property.name) ?? '');
}

/** @returns {Node | undefined} */
export function propertyNamed(/** @type {Node} */ object, /** @type {string} */ name) {
  return object.properties.find(
    (/** @type {Node} */ one) => !one.computed && (one.key?.name ?? one.key?.value) === name,
  );
}

/** The name in `require('name')` and `import('name')`. */
export function required(/** @type {Node} */ call) {
  const name = call.type === 'ImportExpression' ? call.source : call.arguments?.[0];
  const asks = call.type === 'ImportExpression' || call.callee?.name === 'require';
  return asks && typeof name?.value === 'string' ? /** @type {string} */ (name.value) : null;
}

/** `pg` of `pg/lib/client`. */
export function topOf(/** @type {string} */ name) {
  const parts = name.replace(/^node:/, '').split('/');
  return name.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0];
}

/** `module.exports.login`, as it is written. @returns {string} */
export function placeOf(/** @type {Node} */ node) {
  if (node?.type === 'Identifier') return node.name;
  return node?.type === 'MemberExpression' ? `${placeOf(node.object)}.${propertyOf(node)}` : '';
}

/** What a call hangs on: `connection` of `connection.pool().query(…)`. @returns {Node} */
export function rootOf(/** @type {Node} */ node) {
  const next = node?.object ?? (node?.type === 'CallExpression' ? node.callee : null);
  return next ? rootOf(next) : node;
}
