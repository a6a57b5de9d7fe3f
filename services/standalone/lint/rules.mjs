// @ts-check
/**
 * What is looked for. A rule yields `[node, message]`; its severity is in `rules.py`.
 * Rules err on the side of silence: a finding that is wrong is read once, and never again.
 */
import { createRequire } from 'node:module';
import { GONE, MAGIC_NAMES } from '../../script_worker/harness/magic-globals.mjs';
import { resolveIn } from '../../script_worker/harness/modules.mjs';
import { SHIMS } from '../../script_worker/harness/shims.mjs';
import { Callback, ENDS } from './callback.mjs';
import { builtSql, falseOnSuccess, neverEnded, shimmed } from './drivers.mjs';
import { loggedSecrets } from './secrets.mjs';
import {
  isFunction,
  methodOf,
  nameOf,
  propertyNamed,
  propertyOf,
  required,
  rootOf,
  topOf,
  within,
} from './syntax.mjs';

/** @typedef {import('./script.mjs').Script} Script */
/** @typedef {any} Node */
/** @typedef {Generator<[Node, string]>} Findings */
/** @typedef {{callback: Callback, shipped: ReadonlyMap<string, string>}} Known */

const POSITIONS = /** @type {Record<string, number>} */ ({
  login: 2,
  get_user: 1,
  create: 1,
  verify: 1,
  change_password: 2,
  change_email: 3,
  delete: 1,
});
const ERROR_NAME = /^(e|er|err|error)$/;
const SECRET_NAME = /^(password|passwd|pwd|secret|apikey|api_key|token)$/i;
const URL_WITH_SECRET = /^[a-z][a-z0-9+.]*:\/\/[^\s:/@]+:[^\s@]+@/i;
const ID = /^(user_id|id)$/;
const WEB_CRYPTO = /^(subtle|getRandomValues|randomUUID)$/; // Node's own global has these
const UNCOUNTED = /^(Unauthorized|Validation)Error$/;
const WRONG = 'wrong|incorrect|invalid|bad|mismatch';
const CREDENTIAL = 'password|credential|username';
const WRONG_PASSWORD = new RegExp(
  `\\b(${WRONG})\\b.*\\b(${CREDENTIAL})|\\b(${CREDENTIAL})s?\\b.*\\b(${WRONG})`,
  'i',
);
const node = createRequire(import.meta.url);

/** Everything that is found in a script, rule by rule. @returns {Generator<[string, Node, string]>} */
export function* judge(
  /** @type {Script} */ script,
  /** @type {ReadonlyMap<string, string>} */ shipped,
) {
  const known = { callback: new Callback(script, POSITIONS[script.action]), shipped };
  for (const [rule, find] of Object.entries(RULES)) {
    for (const [place, message] of find(script, known)) yield [rule, place, message];
  }
}

/** @type {Record<string, (script: Script, known: Known) => Findings>} */
const RULES = {
  *'not-a-function'({ main, root }) {
    if (main === null) yield [root, 'no function is declared that could be called'];
  },

  *'argument-count'(script) {
    const { main, params, action } = script;
    const wanted = POSITIONS[action] + 1;
    const takesAny = main?.params.some((/** @type {Node} */ one) => one.type === 'RestElement');
    if (!main || takesAny || usesArguments(script)) return;
    const got = params.length;
    if (got === wanted + 1) {
      yield [main, `${got} parameters: the last but one is the context, if that is switched on`];
    } else if (got !== wanted) {
      yield [main, `${got} parameters, but ${action} is called with ${wanted}`];
    }
  },

  *'never-calls-back'(script, { callback }) {
    if (!script.main || script.params.length === 0 || usesArguments(script)) return;
    if (callback.binding !== undefined && callback.binding.references.length === 0) {
      yield [
        script.main,
        `${callback.name} is never called, nor handed on: only the time limit ends this`,
      ];
    }
  },

  *'path-without-callback'(_script, { callback }) {
    for (const one of callback.silentReturns) {
      yield [one, `returns, and nothing before it leads to ${callback.name}`];
    }
    for (const one of callback.silentEnds) {
      yield [one, `a path to the end of this function does not lead to ${callback.name}`];
    }
  },

  *'error-ignored'(script, { callback }) {
    for (const { references, param } of script.bindings) {
      const name = param?.index === 0 ? nameOf(param.of.params[0]) : undefined;
      if (!name || !ERROR_NAME.test(name) || references.length > 0) continue;
      const call = param && param.of !== script.main ? script.parentOf(param.of) : null;
      if (call?.type !== 'CallExpression' || !callback.isIn(param?.of.body)) continue;
      if (ENDS.test(methodOf(call)) || /^(then|catch|on|once)$/.test(methodOf(call))) continue;
      yield [
        param?.of,
        `${name} is never looked at: a failure of the store reads as something else`,
      ];
    }
  },

  *'callback-twice'(script, { callback }) {
    for (const call of script.all('CallExpression')) {
      const then = call.callee.object;
      if (methodOf(call) !== 'catch' || then?.type !== 'CallExpression') continue;
      const [given, other] = then.arguments;
      const both = methodOf(then) === 'then' && other === undefined && answers(callback, given);
      if (both && answers(callback, call.arguments[0])) {
        yield [
          call,
          `what throws inside then after ${callback.name} comes to catch, and calls again`,
        ];
      }
    }
    for (const one of callback.secondCalls) {
      yield [one, `${callback.name} was called before: a return is missing`];
    }
  },

  *'connection-not-ended'(script) {
    for (const one of neverEnded(script)) {
      yield [one, 'it is never ended: each call leaves a connection open in a warm process'];
    }
  },

  *'string-built-sql'(script) {
    for (const one of builtSql(script)) {
      yield [one, 'a value becomes part of the SQL text: pass it as a parameter'];
    }
  },

  *'false-on-success'(script, { callback }) {
    if (!/^(verify|change_)/.test(script.action)) return;
    for (const one of falseOnSuccess(script, callback)) {
      yield [one, 'an UPDATE has no rows: this says false whatever was done'];
    }
  },

  *'denial-not-counted'(script) {
    if (script.action !== 'login') return;
    for (const one of script.all('NewExpression', 'CallExpression')) {
      const name = nameOf(one.callee) ?? '';
      if (!UNCOUNTED.test(name) || !script.globals.includes(one.callee)) continue;
      if (one.arguments.some(saysWrongPassword)) {
        yield [one, `${name} is no denial: only WrongUsernameOrPasswordError counts as a guess`];
      }
    }
  },

  *'missing-user-id'(script, { callback }) {
    if (script.action !== 'login' && script.action !== 'get_user') return;
    for (const call of script.all('CallExpression')) {
      if (!callback.calls(call) || call.arguments.length < 2) continue;
      const [error, profile] = call.arguments;
      if (error.type === 'NewExpression' || (error.type === 'Literal' && error.value)) continue;
      if (profilesOf(script, profile).some(([one, named]) => !hasId(script, one, named))) {
        yield [profile, 'the profile has no user_id: nobody can be imported'];
      }
    }
  },

  *'plaintext-logging'(script) {
    for (const one of loggedSecrets(script)) {
      yield [one, 'a secret is written to the log; it is masked here, but not elsewhere'];
    }
  },

  *'secret-in-text'(script) {
    for (const { key, value } of script.all('Property')) {
      const name = String(key.name ?? key.value ?? '');
      const text = typeof value.value === 'string' && value.value !== '';
      if (SECRET_NAME.test(name) && text)
        yield [key, `${name} stands in the script: use configuration`];
    }
    for (const one of script.all('Literal')) {
      if (typeof one.value !== 'string' || !URL_WITH_SECRET.test(one.value)) continue;
      yield [one, 'an address with a password stands in the script: use configuration'];
    }
  },

  *'module-missing'(script, { shipped }) {
    for (const [place, name] of requires(script)) {
      const found = resolveIn(shipped, name);
      if (found.kind !== 'missing') continue;
      const nearest = found.nearest ? `; the nearest that is here is '${found.nearest}'` : '';
      yield [place, `'${name}' is not shipped${found.why && `: ${found.why}`}${nearest}`];
    }
  },

  *'module-mapped'(script, { shipped }) {
    for (const [place, name] of requires(script)) {
      const { kind, version, top, got } = resolveIn(shipped, name);
      if (kind === 'shipped' && version && version !== shipped.get(top)) {
        yield [place, `'${name}' gets ${got}`];
      }
    }
  },

  *'module-shimmed'(script) {
    for (const call of script.all('CallExpression', 'NewExpression')) {
      const said = required(call) === null ? shimmed(script, call) : null;
      if (said) yield [call, said];
    }
  },

  *'magic-global'(script) {
    /** @type {Set<string>} */
    const told = new Set();
    for (const one of script.globals) {
      const { name } = one;
      const parent = script.parentOf(one);
      if (told.has(name) || !MAGIC_NAMES.includes(name) || isAskedFor(script, name)) continue;
      if (name === 'crypto' && WEB_CRYPTO.test(propertyOf(parent))) continue;
      told.add(name);
      const gone = /** @type {Record<string, string>} */ (GONE)[name];
      const switched = `${name} is used without require: switch magic_globals on, or require it`;
      yield [one, gone ? `${name} is gone: ${gone}` : switched];
    }
  },

  *threads(script) {
    for (const [place, name] of requires(script)) {
      if (topOf(name) === 'worker_threads') {
        yield [place, 'a thread reserves more memory than a script has by default'];
      }
    }
  },

  *'gone-from-node'(script, { shipped }) {
    for (const call of script.globals.map((one) => script.parentOf(one))) {
      const made =
        /^(Call|New)Expression$/.test(call?.type) && script.globals.includes(call.callee);
      if (made && nameOf(call.callee) === 'Buffer') yield [call, 'use Buffer.from or Buffer.alloc'];
    }
    for (const { call, name, here } of goneFromNode(script, shipped)) {
      if (here) yield [call, `${name} is gone from Node; a shim keeps it`];
    }
  },

  *'missing-in-node'(script, { shipped }) {
    for (const { call, name, here } of goneFromNode(script, shipped)) {
      if (!here) yield [call, `${name} is gone from Node`];
    }
  },
};

/** Whether a text, however it is put together, says that somebody is not who they say. */
function saysWrongPassword(/** @type {Node} */ given) {
  const parts = [...within(given)].map(({ value }) => value?.raw ?? value);
  return WRONG_PASSWORD.test(parts.filter((one) => typeof one === 'string').join(' '));
}

/** Calls of what Node's own modules do not have, and whether a shim has it. */
function* goneFromNode(
  /** @type {Script} */ script,
  /** @type {ReadonlyMap<string, string>} */ shipped,
) {
  for (const call of script.all('CallExpression', 'NewExpression')) {
    const origin = script.originOf(call.callee);
    const [name, ...more] = origin?.path ?? [];
    const { kind, request } = resolveIn(shipped, origin?.name ?? '');
    if (kind !== 'builtin' || more.length > 0 || !name || name === 'default') continue;
    const builtin = node(`node:${request}`);
    if (name in builtin) continue;
    yield { call, name: `${request}.${name}`, here: name in (SHIMS.get(request)?.(builtin) ?? {}) };
  }
}

/** @returns {Findings} */
function* requires(/** @type {Script} */ script) {
  for (const call of script.all('CallExpression', 'ImportExpression')) {
    const name = required(call);
    if (name !== null) yield [call, name];
  }
}

function usesArguments(/** @type {Script} */ script) {
  return script.globals.some(({ name }) => name === 'arguments');
}

/** `typeof mysql`, and `global.mysql = …`: the script knows that it may not be there. */
function isAskedFor(/** @type {Script} */ script, /** @type {string} */ name) {
  return (
    script
      .all('UnaryExpression')
      .some(({ operator, argument }) => operator === 'typeof' && nameOf(argument) === name) ||
    script
      .all('AssignmentExpression')
      .some(
        ({ left }) =>
          left.type === 'MemberExpression' &&
          propertyOf(left) === name &&
          /^global(This)?$/.test(rootOf(left)?.name),
      )
  );
}

/** The callback, or a function that calls it. */
function answers(/** @type {Callback} */ callback, /** @type {Node} */ given) {
  if (!isFunction(given)) return callback.is(given);
  for (const one of within(given.body)) if (callback.calls(one)) return true;
  return false;
}

/** The object literals that an expression may be, and what leads to each. @returns {Node[][]} */
function profilesOf(/** @type {Script} */ script, /** @type {Node} */ given, steps = 0) {
  const value = script.valueOf(given);
  if (value?.type === 'ObjectExpression') return [[value, given]];
  if (value?.type === 'ConditionalExpression' && steps < 20) {
    return [value.consequent, value.alternate].flatMap((one) => profilesOf(script, one, steps + 1));
  }
  return [];
}

/** @param {Script} script @param {Node} profile @param {Node} given as it is called back with */
function hasId(script, profile, given) {
  const open = profile.properties.some(
    (/** @type {Node} */ one) => one.type === 'SpreadElement' || one.computed,
  );
  if (open || ['user_id', 'id', 'toJSON'].some((key) => propertyNamed(profile, key))) return true;
  const { references } = script.bindingOf(given) ?? { references: [] };
  return references.some((one) => mayAddId(script, one, given));
}

/** `profile.user_id = …`, `profile[x] = …`, and whatever else is given the profile to fill. */
function mayAddId(
  /** @type {Script} */ script,
  /** @type {Node} */ one,
  /** @type {Node} */ given,
) {
  const parent = script.parentOf(one);
  if (one === given) return false;
  if (parent?.type === 'MemberExpression' && parent.object === one) {
    const written = script.parentOf(parent)?.left === parent;
    return written && (ID.test(propertyOf(parent)) || propertyOf(parent) === '');
  }
  const handed = parent?.type === 'CallExpression' && parent.arguments.includes(one);
  return handed ? rootOf(parent.callee)?.name !== 'console' : false;
}
