// @ts-check
/** What a script does with modules and databases: what is shimmed, what is never ended, and SQL. */
import { OLD_LODASH } from '../../script_worker/harness/shims/lodash.mjs';
import { OLD_COLLECTION, WITH_CALLBACK } from '../../script_worker/harness/shims/mongodb.mjs';
import { ENDS } from './callback.mjs';
import { isFunction, methodOf, propertyNamed, propertyOf, rootOf, topOf } from './syntax.mjs';

/** @typedef {import('./script.mjs').Script} Script */
/** @typedef {import('./callback.mjs').Callback} Callback */
/** @typedef {any} Node */

const SENDS_SQL = /^(query|execute|raw|batch|prepare|queryAsync|unsafe)$/;
const SQL = /\b(select|insert|update|delete|merge|exec|execute|call|from|where)\b/i;
const CHANGES = /^\s*(update|insert|delete|replace)\b/i;
const ESCAPES = /^(escape\w*|format|quote\w*|parseInt|parseFloat|Number|toFixed)$/;
const OLD_MONGO = new Set([
  ...Object.values(WITH_CALLBACK).flatMap((names) => names.split(' ')),
  ...Object.keys(OLD_COLLECTION),
]);

/** How a connection is opened, by driver; `new` marks a class. */
const OPENED = /** @type {Record<string, RegExp>} */ ({
  ioredis: /^new (Redis|Cluster)?$/,
  knex: /^(knex)?$/,
  ldapts: /^new Client$/,
  mongodb: /^(new MongoClient|MongoClient\.connect|connect)$/,
  mongoose: /^(connect|createConnection)$/,
  mssql: /^(new ConnectionPool|connect)$/,
  mysql: /^(createConnection|createPool)?$/,
  mysql2: /^(createConnection|createPool)$/,
  pg: /^(new Client|new Pool|connect)$/,
  sequelize: /^new (Sequelize)?$/,
  tedious: /^(new Connection|connect)$/,
});
/** Calls back with what it opened; the rest returns it. */
const GIVES = /^(connect|MongoClient\.connect)$/;

// -- what works only by a shim --------------------------------------------------------------------

/** @param {Script} script @param {Node} node a call, or `new` @returns {string | null} */
export function shimmed(script, node) {
  const origin = script.originOf(node.callee);
  const top = origin === null ? script.driverOf(node.callee) : topOf(origin.name);
  const path = origin?.path.join('.') ?? null;
  const judge = Object.hasOwn(SHIMMED, top ?? '') ? SHIMMED[/** @type {string} */ (top)] : null;
  return judge ? judge(script, node, path) : null;
}

/** @type {Record<string, (script: Script, node: Node, path: string | null) => string | null>} */
const SHIMMED = {
  mysql: (_script, node, path) =>
    path === '' && node.type === 'CallExpression'
      ? 'mysql({…}) means createConnection here; no release of mysql can be called'
      : null,
  uuid: (script, node, path) => {
    const file = script.originOf(node.callee)?.name.split('/')[1];
    if (file) return `uuid/${file} is gone since uuid 7; it is ${file} of uuid here`;
    return path === '' ? 'uuid() means v4 here; it is gone since uuid 7' : null;
  },
  pg: (_script, _node, path) =>
    path === 'connect' || path === 'end'
      ? `pg.${path} is gone since pg 7; a pool stands behind it here`
      : null,
  mongodb: (_script, node, _path) => {
    const name = methodOf(node);
    if (node.type === 'NewExpression') return null;
    if (Object.hasOwn(OLD_COLLECTION, name))
      return `${name} is gone from the driver; the newer call does it here`;
    return OLD_MONGO.has(name) && isFunction(node.arguments.at(-1))
      ? `${name} takes no callback since mongodb 5; it does here`
      : null;
  },
  tedious: (script, node, path) => {
    if (path !== 'Connection' || node.type !== 'NewExpression') return null;
    const config = script.valueOf(node.arguments[0]);
    if (config?.type === 'ObjectExpression' && propertyNamed(config, 'userName')) {
      return 'userName and password stand in authentication since tedious 7; both forms do here';
    }
    const connects = callsOn(script, node).some((name) => name === 'connect');
    return connects ? null : 'a connection connects only when asked to; here it does by itself';
  },
  crypto: (_script, node, path) => {
    const given = node.arguments;
    if (path === 'pbkdf2' && given.length === 5 && !isText(given[4])) {
      return 'pbkdf2 without a digest throws on a current Node; it is sha1 here, as it once was';
    }
    if (path === 'pbkdf2Sync' && given.length === 4) {
      return 'pbkdf2Sync without a digest throws on a current Node; it is sha1 here';
    }
    return null;
  },
  lodash: (_script, _node, path) =>
    path !== null && Object.hasOwn(OLD_LODASH, path)
      ? `_.${path} is ${/** @type {any} */ (OLD_LODASH)[path]} since lodash 4; both names do here`
      : null,
  jsonwebtoken: (script, node, path) => {
    const options = script.valueOf(node.arguments[2]);
    const old =
      options?.type === 'ObjectExpression' &&
      (propertyNamed(options, 'expiresInMinutes') || propertyNamed(options, 'expiresInSeconds'));
    return path === 'sign' && old
      ? 'expiresIn took its place in jsonwebtoken 6; both do here'
      : null;
  },
};

const isText = (/** @type {Node} */ node) => typeof node.value === 'string';

// -- what is never ended --------------------------------------------------------------------------

/** Connections that a call opens and that nothing ends. @returns {Generator<Node>} */
export function* neverEnded(/** @type {Script} */ script) {
  for (const node of script.all('CallExpression', 'NewExpression')) {
    const how = opens(script, node);
    if (how === null || isKept(script, node)) continue;
    const pool = /pool$/i.test(how);
    const ends = pool ? /^(end|close|destroy)$/ : ENDS;
    const names = GIVES.test(how) ? givenBy(script, node) : heldBy(script, node);
    if (names === null) {
      if (!script.all('CallExpression').some((call) => ENDS.test(methodOf(call)))) yield node;
    } else if (!names.some((binding) => isEnded(script, binding, ends))) yield node;
  }
}

/** `new Client`, `createPool`, ``: how it was opened; null: it opens nothing. */
function opens(/** @type {Script} */ script, /** @type {Node} */ node) {
  const origin = script.originOf(node.callee);
  const known = origin && Object.hasOwn(OPENED, topOf(origin.name)) && OPENED[topOf(origin.name)];
  if (!origin || !known) return null;
  const path = origin.path.filter((one) => one !== 'default').join('.');
  const how = node.type === 'NewExpression' ? `new ${path}` : path;
  return known.test(how) ? how : null;
}

/** Outside of the function that is called, or put where the next call finds it. */
function isKept(/** @type {Script} */ script, /** @type {Node} */ node) {
  if (script.main && !isInside(script, node)) return true;
  for (const one of script.around(node)) {
    if (isFunction(one)) break;
    if (one.type !== 'AssignmentExpression') continue;
    const root = rootOf(one.left);
    if (one.left.type === 'MemberExpression' && /^global(This)?$/.test(root?.name)) return true;
    const { owner } = script.bindingOf(root) ?? { owner: undefined };
    if (owner === null || (owner && owner !== script.main && !isInside(script, owner))) return true;
  }
  return false;
}

function isInside(/** @type {Script} */ script, /** @type {Node} */ node) {
  return [...script.around(node)].includes(script.main);
}

/** The names that a result is put into; null: it is put nowhere, or somewhere else. */
function heldBy(/** @type {Script} */ script, /** @type {Node} */ node) {
  let at = node;
  let parent = script.parentOf(at);
  while (/^(AwaitExpression|LogicalExpression|ConditionalExpression)$/.test(parent?.type ?? '')) {
    [at, parent] = [parent, script.parentOf(parent)];
  }
  const held = [...script.bindings].filter(
    ({ values, path }) => values.includes(at) && !path.length,
  );
  return held.length > 0 ? held : null;
}

/** The client, or `done`, that a callback is given. */
function givenBy(/** @type {Script} */ script, /** @type {Node} */ node) {
  const callback = node.arguments.at(-1);
  if (!isFunction(callback)) return heldBy(script, node);
  return [...script.bindings].filter(
    ({ param }) => param !== null && param.of === callback && param.index > 0,
  );
}

/** @param {Script} script @param {import('./tree.mjs').Binding} binding @param {RegExp} ends */
function isEnded(script, { references }, ends) {
  return references.some((node) => {
    const parent = script.parentOf(node);
    if (parent?.type === 'MemberExpression' && parent.object === node) {
      return ends.test(propertyOf(parent)); // called, or handed on
    }
    // Called itself (`done()`), handed on, returned, or known under another name.
    return parent?.type !== 'MemberExpression' || parent.object !== node;
  });
}

/** The methods that are called on what an expression made. */
function callsOn(/** @type {Script} */ script, /** @type {Node} */ node) {
  const held = heldBy(script, node) ?? [];
  const parent = script.parentOf(node);
  const found = parent?.type === 'MemberExpression' ? [propertyOf(parent)] : [];
  for (const reference of held.flatMap(({ references }) => references)) {
    const place = script.parentOf(reference);
    if (place?.type === 'MemberExpression') found.push(propertyOf(place));
  }
  return found;
}

// -- SQL ------------------------------------------------------------------------------------------

/** Statements whose text holds values. @returns {Generator<Node>} */
export function* builtSql(/** @type {Script} */ script) {
  for (const node of script.all('CallExpression', 'NewExpression')) {
    if (!sendsSql(script, node)) continue;
    const [given] = node.arguments;
    const parts = partsOf(script, sqlOf(script, given));
    const text = parts.map((part) => part ?? ' ').join('');
    if (parts.includes(null) && SQL.test(text)) yield given;
  }
}

function sendsSql(/** @type {Script} */ script, /** @type {Node} */ node) {
  if (node.arguments.length === 0) return false;
  const name = methodOf(node);
  if (node.type === 'NewExpression') return name === 'Request';
  const ofRequest = name === 'query' || script.originOf(node.callee)?.name !== 'request';
  return node.callee.type === 'MemberExpression' && SENDS_SQL.test(name) && ofRequest;
}

/** The text in `query(text)`, `query({ sql })` and `query({ text })`. @returns {Node} */
function sqlOf(/** @type {Script} */ script, /** @type {Node} */ given) {
  const value = script.valueOf(given);
  if (value?.type !== 'ObjectExpression') return given;
  return (propertyNamed(value, 'sql') ?? propertyNamed(value, 'text'))?.value ?? null;
}

/**
 * A text in its parts; null stands for what came from elsewhere.
 * @param {Script} script @param {Node} node @param {number} [steps] @returns {(string | null)[]}
 */
function partsOf(script, node, steps = 0) {
  if (node == null || steps > 200) return [];
  const inner = (/** @type {Node} */ one) => partsOf(script, one, steps + 1);
  switch (node.type) {
    case 'Literal':
      return [String(node.value)];
    case 'BinaryExpression':
      return node.operator === '+' ? [...inner(node.left), ...inner(node.right)] : [null];
    case 'TemplateLiteral':
      return node.quasis.flatMap((/** @type {Node} */ one, /** @type {number} */ index) => [
        one.value.cooked ?? '',
        ...(index < node.expressions.length ? inner(node.expressions[index]) : []),
      ]);
    case 'ConditionalExpression':
      return [...inner(node.consequent), ...inner(node.alternate)];
    case 'AssignmentExpression':
      return inner(node.right);
    case 'Identifier':
      return partsOfName(script, node, steps);
    case 'CallExpression':
      return partsOfCall(script, node, steps);
    case 'MemberExpression':
      // Who writes the configuration writes the script.
      return rootOf(node)?.name === 'configuration' ? [' '] : [null];
    default:
      return [null];
  }
}

/** @param {Script} script @param {Node} node @param {number} steps @returns {(string | null)[]} */
function partsOfName(script, node, steps) {
  const binding = script.bindingOf(node);
  const declared = binding !== undefined && binding.param === null && binding.path.length === 0;
  if (!declared || binding.values.length === 0) return [null];
  const added = script
    .all('AssignmentExpression')
    .filter(({ operator, left }) => operator === '+=' && script.bindingOf(left) === binding);
  const values = [...binding.values, ...added.map(({ right }) => right)];
  return values.flatMap((value) =>
    // `sql = sql + …` holds itself.
    value.start <= node.start && node.end <= value.end ? [] : partsOf(script, value, steps * 2 + 1),
  );
}

/** @param {Script} script @param {Node} node @param {number} steps @returns {(string | null)[]} */
function partsOfCall(script, node, steps) {
  const name = methodOf(node);
  if (ESCAPES.test(name)) return [' '];
  const { callee } = node;
  const all = (/** @type {Node[]} */ list) =>
    list.flatMap((one) => (one ? partsOf(script, one, steps + 1) : []));
  if (callee.type !== 'MemberExpression') return [null];
  if (/^(concat|replace|replaceAll)$/.test(name)) return all([callee.object, ...node.arguments]);
  if (/^(trim|toUpperCase|toLowerCase)$/.test(name)) return all([callee.object]);
  const list = name === 'join' ? script.valueOf(callee.object) : null;
  return list?.type === 'ArrayExpression' ? all(list.elements) : [null];
}

/** `rows.length > 0` for a statement that gives no rows. @returns {Generator<Node>} */
export function* falseOnSuccess(/** @type {Script} */ script, /** @type {Callback} */ callback) {
  for (const call of script.all('CallExpression')) {
    const said = callback.calls(call) ? call.arguments[1] : null;
    const length = said?.type === 'BinaryExpression' && said.left;
    if (length?.type !== 'MemberExpression' || propertyOf(length) !== 'length') continue;
    const { param } = script.bindingOf(length.object) ?? {};
    const query = param?.index === 1 && param.of !== script.main && script.parentOf(param.of);
    if (query?.type === 'CallExpression' && givesNoRows(script, query)) yield said;
  }
}

function givesNoRows(/** @type {Script} */ script, /** @type {Node} */ query) {
  const driver = script.driverOf(query.callee);
  if (driver !== null && !/^mysql2?$/.test(driver)) return false;
  const sql = partsOf(script, sqlOf(script, query.arguments[0]));
  const text = sql.map((part) => part ?? ' ').join('');
  return text.trim() === '' || CHANGES.test(text);
}
