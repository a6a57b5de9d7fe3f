// @ts-check
/**
 * What is looked for. A rule yields `[node, message]`; its severity is in `rules.py`.
 * Rules err on the side of silence: a finding that is wrong is read once, and never again.
 */
import { MAGIC_NAMES } from '../../script_worker/harness/magic-globals.mjs';
import { resolveIn } from '../../script_worker/harness/modules.mjs';
import { isFunction, methodOf, nameOf, required } from './script.mjs';

/** @typedef {import('./script.mjs').Script} Script */
/** @typedef {any} Node */
/** @typedef {Generator<[Node, string]>} Findings */

const POSITIONS = /** @type {Record<string, number>} */ ({
  login: 2,
  get_user: 1,
  create: 1,
  verify: 1,
  change_password: 2,
  change_email: 3,
  delete: 1,
});
const PASSWORDS = /** @type {Record<string, number[]>} */ ({ login: [1], change_password: [1] });
const OPENS = /^(createConnection|createClient|createPool|mysql|connect)$/;
const OPENED_BY_NEW = /^(Client|Pool|Connection|MongoClient|ConnectionPool|Sequelize)$/;
const ENDS = /^(end|close|destroy|release|quit|disconnect|unbind|terminate)$/;
const DRIVERS = /^(mysql2?|pg|mongodb|tedious|mssql|ioredis|ldapts|knex|sequelize)(@|\/|$)/;
const SENDS_SQL = /^(query|execute|raw|batch)$/;
const SQL = /\b(select|insert|update|delete|merge|exec)\b/i;
const SECRET_NAME = /^(password|passwd|pwd|secret|apikey|api_key|token)$/i;
const OLD_LODASH = /^(contains|pluck|where|findWhere|any|all|first|rest|object)$/;
const REMOVED_CRYPTO = /^(createCipher|createDecipher)$/;

/** @type {Record<string, (script: Script, shipped: ReadonlyMap<string, string>) => Findings>} */
export const RULES = {
  *'not-a-function'({ main, tree }) {
    if (main === null) yield [tree, 'no function is declared that could be called'];
  },

  *'argument-count'({ main, params, action, nodes }) {
    const wanted = POSITIONS[action] + 1;
    const takesAny = main?.params.some((/** @type {Node} */ one) => one.type === 'RestElement');
    if (main === null || takesAny) return;
    if (nodes.some(({ node }) => node.type === 'Identifier' && node.name === 'arguments')) return;
    const got = params.length;
    if (got === wanted + 1) {
      yield [main, `${got} parameters: the last but one is the context, if that is switched on`];
    } else if (got !== wanted) {
      yield [main, `${got} parameters, but ${action} is called with ${wanted}`];
    }
  },

  *'never-calls-back'({ main, callback, nodes }) {
    if (main === null || callback === undefined) return;
    const used = nodes.filter(({ node }) => node.type === 'Identifier' && node.name === callback);
    const once = used.filter(({ node }) => !main.params.includes(node));
    if (once.length === 0) yield [main, `${callback} is never called: the login waits for 20 s`];
  },

  *'path-without-callback'(script) {
    if (script.callback === undefined) return;
    for (const { node, parents } of script.all('ReturnStatement')) {
      const block = parents.at(-1);
      if (node.argument !== null || !parents.some((one) => one.type === 'IfStatement')) continue;
      if (owner(parents) !== script.main && !mayCallBack(script, parents)) continue;
      const before = block.type === 'BlockStatement' ? upTo(block, node) : node;
      if (!script.mentionsCallback(before)) yield [node, 'returns without calling back'];
    }
  },

  *'error-ignored'(script) {
    for (const { node } of script.nodes) {
      const name = isFunction(node) && nameOf(node.params[0]);
      if (!name || !/^(e|er|err|error)$/.test(name) || node === script.main) continue;
      const used = script.nodes.some(
        ({ node: one, parents }) =>
          one.type === 'Identifier' &&
          one.name === name &&
          one !== node.params[0] &&
          parents.includes(node),
      );
      if (!used && script.mentionsCallback(node)) {
        yield [node, `${name} is never looked at: a failure of the store reads as something else`];
      }
    }
  },

  *'callback-twice'(script) {
    const { callback } = script;
    for (const { node } of script.all('CallExpression')) {
      if (methodOf(node) !== 'catch' || node.callee.object?.type !== 'CallExpression') continue;
      const then = node.callee.object;
      const both =
        then.arguments.length === 1 && script.mentionsCallback(then.arguments[0] ?? then);
      if (methodOf(then) === 'then' && both && node.arguments[0]?.name === callback) {
        yield [node, `when ${callback} throws inside then, catch calls it again`];
      }
    }
    for (const { node } of script.all('BlockStatement')) {
      for (const [index, statement] of node.body.entries()) {
        const rest = node.body.slice(index + 1);
        if (!callsAndGoesOn(statement, callback) || rest.length === 0) continue;
        if (rest.some((/** @type {Node} */ one) => script.mentionsCallback(one))) {
          yield [statement, `without a return: the lines below call ${callback} again`];
        }
      }
    }
  },

  *'connection-not-ended'(script) {
    const opened = script.nodes.find(({ node }) => opensConnection(script, node));
    if (opened === undefined || script.calls(ENDS)) return;
    const kept = opened.parents.some(
      (one) =>
        one.type === 'AssignmentExpression' &&
        /** @type {any} */ (one.left).object?.name === 'global',
    );
    const done = pgDone(opened.node);
    if (kept || (done !== undefined && script.calls(new RegExp(`^${done}$`)))) return;
    yield [opened.node, 'it is never ended: each call leaves a connection open in a warm process'];
  },

  *'string-built-sql'(script) {
    for (const { node } of [...script.all('CallExpression'), ...script.all('NewExpression')]) {
      const sends =
        node.type === 'NewExpression'
          ? nameOf(node.callee) === 'Request'
          : SENDS_SQL.test(methodOf(node));
      const text = script.valueOf(node.arguments[0]);
      if (sends && text != null && isBuilt(text) && SQL.test(literalsOf(text))) {
        yield [node.arguments[0], 'a value becomes part of the SQL text: pass it as a parameter'];
      }
    }
  },

  *'false-on-success'(script) {
    if (!/^(verify|change_)/.test(script.action)) return;
    for (const { node } of script.all('CallExpression')) {
      const said = nameOf(node.callee) === script.callback ? node.arguments[1] : null;
      if (said?.type === 'BinaryExpression' && said.left.property?.name === 'length') {
        yield [said, 'an UPDATE has no rows: this says false whatever was done'];
      }
    }
  },

  *'missing-user-id'(script) {
    if (script.action !== 'login' && script.action !== 'get_user') return;
    for (const { node } of script.all('CallExpression')) {
      if (nameOf(node.callee) !== script.callback || node.arguments.length < 2) continue;
      const profile = script.valueOf(node.arguments[1]);
      if (profile?.type !== 'ObjectExpression' || hasId(profile)) continue;
      const name = nameOf(node.arguments[1]);
      const later = script.all('AssignmentExpression').some(({ node: { left } }) => {
        return (
          name !== undefined &&
          nameOf(left.object) === name &&
          /^(user_id|id)$/.test(left.property?.name)
        );
      });
      if (!later) yield [node.arguments[1], 'the profile has no user_id: nobody can be imported'];
    }
  },

  *'plaintext-logging'(script) {
    const secret = (PASSWORDS[script.action] ?? []).map((index) => script.params[index]);
    if (script.action === 'create') secret.push(script.params[0]);
    for (const { node } of script.all('CallExpression')) {
      if (nameOf(node.callee.object) !== 'console') continue;
      const told = node.arguments.find((/** @type {Node} */ one) => reveals(one, secret));
      if (told)
        yield [told, 'a secret is written to the log; it is masked here, but not elsewhere'];
    }
  },

  *'secret-in-text'(script) {
    for (const { node } of script.all('Property')) {
      const name = String(node.key.name ?? node.key.value ?? '');
      const text = typeof node.value.value === 'string' && node.value.value !== '';
      if (SECRET_NAME.test(name) && text)
        yield [node, `${name} stands in the script: use configuration`];
    }
  },

  *'module-missing'(script, shipped) {
    for (const [node, name] of requires(script)) {
      const found = resolveIn(shipped, name);
      if (found.kind !== 'missing') continue;
      const nearest = found.nearest ? `; the nearest that is here is '${found.nearest}'` : '';
      yield [node, `'${name}' is not shipped${found.why && `: ${found.why}`}${nearest}`];
    }
  },

  *'module-mapped'(script, shipped) {
    for (const [node, name] of requires(script)) {
      const { kind, version, top, got } = resolveIn(shipped, name);
      if (kind === 'shipped' && version && version !== shipped.get(top)) {
        yield [node, `'${name}' gets ${got}`];
      }
    }
  },

  *'module-shimmed'(script) {
    for (const { node } of [...script.all('CallExpression'), ...script.all('NewExpression')]) {
      const said = shimmed(script, node);
      if (said) yield [node, said];
    }
  },

  *'magic-global'(script) {
    /** @type {Set<string>} */
    const told = new Set();
    for (const { node, parents } of script.all('Identifier')) {
      const parent = parents.at(-1);
      const isName =
        (parent?.type === 'MemberExpression' && parent.property === node && !parent.computed) ||
        (parent?.type === 'Property' && parent.key === node && !parent.shorthand);
      const known = isName || script.declared.has(node.name) || told.has(node.name);
      if (known || !MAGIC_NAMES.includes(node.name) || node.name === 'crypto') continue;
      told.add(node.name);
      yield [node, `${node.name} is used without require: switch magic_globals on, or require it`];
    }
  },

  *'gone-from-node'(script) {
    for (const { node } of script.all('CallExpression')) {
      if (REMOVED_CRYPTO.test(methodOf(node)) && script.moduleOf(node.callee.object) === 'crypto') {
        yield [
          node,
          `${methodOf(node)} is gone from Node; a shim keeps it, its key derivation is weak`,
        ];
      }
    }
    for (const { node } of [...script.all('NewExpression'), ...script.all('CallExpression')]) {
      if (nameOf(node.callee) === 'Buffer') yield [node, 'use Buffer.from or Buffer.alloc'];
    }
  },
};

/** @returns {Generator<[Node, string]>} */
function* requires(/** @type {Script} */ script) {
  for (const { node } of script.all('CallExpression')) {
    const name = required(node);
    if (name !== null) yield [node, name];
  }
}

/** @param {Node[]} parents */
const owner = (parents) => parents.findLast(isFunction);

/** Whether the function around is one that is to call back: its other lines do. */
function mayCallBack(/** @type {Script} */ script, /** @type {Node[]} */ parents) {
  const around = owner(parents);
  return around !== undefined && script.mentionsCallback(around);
}

/** The part of a block before a statement. */
const upTo = (/** @type {Node} */ block, /** @type {Node} */ node) => ({
  start: block.start,
  end: node.end,
});

/** `if (x) callback(…);` and `if (x) { callback(…); }`, which both go on afterwards. */
function callsAndGoesOn(/** @type {Node} */ statement, /** @type {string | undefined} */ callback) {
  if (statement.type !== 'IfStatement' || statement.alternate) return false;
  const inner = statement.consequent;
  const last = inner.type === 'BlockStatement' ? inner.body.at(-1) : inner;
  const call = last?.type === 'ExpressionStatement' ? last.expression : null;
  return (
    call?.type === 'CallExpression' && callback !== undefined && nameOf(call.callee) === callback
  );
}

function opensConnection(/** @type {Script} */ script, /** @type {Node} */ node) {
  if (node.type === 'NewExpression') {
    const name = nameOf(node.callee) ?? node.callee.property?.name;
    return OPENED_BY_NEW.test(name ?? '') && DRIVERS.test(script.moduleOf(node.callee) ?? '');
  }
  if (node.type !== 'CallExpression' || required(node) !== null) return false;
  const from = script.moduleOf(node.callee.object ?? node.callee) ?? '';
  return DRIVERS.test(from) && (OPENS.test(methodOf(node)) || node.callee.type === 'Identifier');
}

/** The name of `done` in `pg.connect(where, (err, client, done) => …)`. */
function pgDone(/** @type {Node} */ call) {
  const callback = call.arguments?.at(-1);
  return isFunction(callback) ? nameOf(callback.params[2]) : undefined;
}

function isBuilt(/** @type {Node} */ text) {
  if (text.type === 'TemplateLiteral') return text.expressions.length > 0;
  return text.type === 'BinaryExpression' && text.operator === '+' && !isConstant(text);
}

/** @returns {boolean} */
function isConstant(/** @type {Node} */ node) {
  if (node.type === 'BinaryExpression') return isConstant(node.left) && isConstant(node.right);
  return node.type === 'Literal';
}

/** @returns {string} */
function literalsOf(/** @type {Node} */ node) {
  if (node.type === 'BinaryExpression') return literalsOf(node.left) + literalsOf(node.right);
  if (node.type === 'TemplateLiteral')
    return node.quasis.map((/** @type {Node} */ one) => one.value.raw).join(' ');
  return typeof node.value === 'string' ? node.value : '';
}

function hasId(/** @type {Node} */ profile) {
  return profile.properties.some(
    (/** @type {Node} */ one) =>
      one.type === 'SpreadElement' ||
      one.computed ||
      /^(user_id|id)$/.test(one.key.name ?? one.key.value),
  );
}

/** @param {Node} node @param {(string | undefined)[]} secrets */
function reveals(node, secrets) {
  if (node.type === 'MemberExpression' && node.property.name === 'password') return true;
  const root = node.type === 'MemberExpression' ? node.object : node;
  const name = nameOf(root);
  if (name === 'configuration') return true;
  return node.type === 'Identifier' && name !== undefined && secrets.includes(name);
}

function shimmed(/** @type {Script} */ script, /** @type {Node} */ node) {
  const method = methodOf(node);
  const plain = node.callee.type === 'Identifier' && node.type === 'CallExpression';
  const from = (script.moduleOf(node.callee.object ?? node.callee) ?? '').replace(/@.*/, '');
  if (required(node) !== null) return null;
  if (plain && (from === 'mysql' || from === 'uuid'))
    return `${from}(…): no release of ${from} can be called`;
  if (from === 'pg' && method === 'connect')
    return 'pg.connect is gone since pg 7; a pool stands behind it';
  if (from === 'tedious' && node.type === 'NewExpression' && !script.calls(/^connect$/)) {
    return 'the driver connects only when asked to; here it does by itself';
  }
  if (from === 'crypto' && method === 'pbkdf2' && node.arguments.length === 5) {
    return 'pbkdf2 without a digest: sha1, as it once was';
  }
  if (from === 'lodash' && OLD_LODASH.test(method))
    return `_.${method} has another name since lodash 4`;
  if (from === 'mongodb' && node.arguments.some(isFunction))
    return 'the driver takes no callbacks since 5';
  return null;
}
