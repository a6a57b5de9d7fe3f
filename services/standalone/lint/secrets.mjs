// @ts-check
/** Passwords and configuration that a script writes to its console. */
import { methodOf, placeOf, propertyOf, rootOf } from './syntax.mjs';

/** @typedef {import('./script.mjs').Script} Script */
/** @typedef {import('./tree.mjs').Binding} Binding */
/** @typedef {any} Node */

/** Where the password stands, or the user who has one. */
const PASSWORD_AT = /** @type {Record<string, number>} */ ({ login: 1, change_password: 1 });
const PASSWORD = /^(password|passwd|pwd|password_?hash)$/i;
const SECRET_KEY = /pass|pwd|secret|token|key|credential|conn|ur[il]|dsn/i;
const SHOWS =
  /^(JSON\.stringify|String|encodeURIComponent|(util\.)?(inspect|format)|Buffer\.from)$/;
const MAX_STEPS = 50;

/** Arguments of `console.log` and its like that show a secret. @returns {Generator<Node>} */
export function* loggedSecrets(/** @type {Script} */ script) {
  for (const call of script.all('CallExpression')) {
    if (rootOf(call.callee)?.name !== 'console' || call.callee.type !== 'MemberExpression')
      continue;
    const told = call.arguments.find((/** @type {Node} */ one) => reveals(script, one));
    if (told) yield told;
  }
}

/** @param {Script} script @param {Node} node @param {number} [steps] @returns {boolean} */
function reveals(script, node, steps = 0) {
  if (node == null || steps > MAX_STEPS) return false;
  const inner = (/** @type {Node} */ one) => reveals(script, one, steps + 1);
  switch (node.type) {
    case 'Identifier':
      return isSecretName(script, node, steps);
    case 'MemberExpression':
      return isSecretMember(node);
    case 'TemplateLiteral':
      return node.expressions.some(inner);
    case 'BinaryExpression':
      return node.operator === '+' && (inner(node.left) || inner(node.right));
    case 'LogicalExpression':
      return (node.operator !== '&&' && inner(node.left)) || inner(node.right);
    case 'ConditionalExpression':
      return inner(node.consequent) || inner(node.alternate);
    case 'ArrayExpression':
      return node.elements.some(inner);
    case 'ObjectExpression':
      return node.properties.some((/** @type {Node} */ one) => inner(one.value ?? one.argument));
    case 'SpreadElement':
      return inner(node.argument);
    case 'CallExpression':
      return shows(node) && node.arguments.some(inner);
    default:
      return false;
  }
}

/** A call whose result still has what it was given. */
function shows(/** @type {Node} */ call) {
  return SHOWS.test(placeOf(call.callee)) || methodOf(call) === 'concat';
}

/** @param {Script} script @param {Node} node @param {number} steps @returns {boolean} */
function isSecretName(script, node, steps) {
  const binding = script.bindingOf(node);
  if (binding === undefined) {
    const all = node.name === 'arguments' && script.action in PASSWORD_AT;
    return node.name === 'configuration' || all;
  }
  if (binding === script.paramAt(PASSWORD_AT[script.action] ?? -1)) return true;
  const last = binding.path.at(-1);
  if (binding.param?.of === script.main) {
    const user = script.action === 'create' && binding.param?.index === 0;
    return user && (last === undefined || last === '*' || PASSWORD.test(last));
  }
  if (last !== undefined) return PASSWORD.test(last) && binding.values.length > 0;
  const [only] = binding.values;
  return binding.values.length === 1 && reveals(script, only, steps + 1);
}

function isSecretMember(/** @type {Node} */ node) {
  const name = propertyOf(node);
  if (rootOf(node)?.name === 'configuration') return name === '' || SECRET_KEY.test(name);
  return PASSWORD.test(name);
}
