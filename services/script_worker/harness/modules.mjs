// @ts-check
/**
 * What `require` gives to scripts: Node's own modules and a locked, vetted set.
 *
 * `name@version` pins (C§4.3) resolve to the version that is shipped: the versions that old
 * scripts pin do not run on a current Node. Shims for what changed since belong into `SHIMS`.
 */
import { readFileSync } from 'node:fs';
import { builtinModules, createRequire } from 'node:module';
import { join } from 'node:path';

const PINNED = /^(@?[^@]+)@([^/]+)(\/.*)?$/;
const CLIMBS = /(?:^|[\\/])\.\.?(?:[\\/]|$)/;
const BUILTIN = new Set(builtinModules.map((name) => name.replace(/^node:/, '')));
const REFUSED_BUILTIN = new Set(['cluster', 'inspector', 'inspector/promises', 'repl']);

const REFUSED = new Map(
  Object.entries({
    couchbase: 'it ships only as a binary for an end-of-life server protocol',
    'azure-storage': 'it was retired by its makers in 2020; use their REST API with axios',
    ibm_db: 'it needs a native driver that its installer downloads',
    oracledb: 'Auth0 removed it in 2023, and it needs client libraries that can not be shipped',
    edge: 'Auth0 removed it in 2023, and it needs a .NET runtime',
    'edge-js': 'it needs a .NET runtime',
    'node-cassandra-cql': 'it is dead since 2015 and does not run on a current Node',
    'mongo-getdb': 'it is dead and does not run on a current driver; use mongodb',
  }),
);

/** @type {Map<string, (exported: any) => any>} */
const SHIMS = new Map();

/**
 * @param {string} root the folder that holds node_modules
 * @returns {(name: string) => unknown}
 */
export function createScriptRequire(root) {
  const inner = createRequire(join(root, 'index.js'));
  const shipped = shippedIn(root);
  return function require(name) {
    if (typeof name !== 'string' || name === '') throw new TypeError('require takes a name');
    const bare = name.replace(/^node:/, '');
    if (BUILTIN.has(bare)) return builtin(inner, bare);
    const pinned = PINNED.exec(name);
    const request = pinned ? `${pinned[1]}${pinned[3] ?? ''}` : name;
    const top = topOf(request);
    if (!shipped.has(top) || CLIMBS.test(request)) throw notFound(name, REFUSED.get(top));
    const exported = inner(request);
    const shim = SHIMS.get(request);
    return shim ? shim(exported) : exported;
  };
}

/**
 * @param {NodeJS.Require} inner
 * @param {string} name
 */
function builtin(inner, name) {
  if (REFUSED_BUILTIN.has(name)) throw notFound(name, 'it makes no sense inside an action script');
  return inner(`node:${name}`);
}

/** @param {string} root */
function shippedIn(root) {
  try {
    const project = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    return new Set(Object.keys(project.dependencies ?? {}));
  } catch {
    return new Set();
  }
}

/** @param {string} request */
function topOf(request) {
  const parts = request.split('/');
  return request.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0];
}

/**
 * @param {string} name
 * @param {string | undefined} reason
 */
function notFound(name, reason) {
  const why = reason ? `: ${reason}` : '';
  const error = new Error(`Cannot find module '${name}'${why}`);
  return Object.assign(error, { code: 'MODULE_NOT_FOUND' });
}
