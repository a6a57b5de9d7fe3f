// @ts-check
/**
 * What `require` gives to scripts: Node's own modules and a locked, vetted set.
 *
 * `name@version` pins (C§4.3) resolve to the version that is shipped: the versions that old
 * scripts pin do not run on a current Node. What changed since is in `shims.mjs`, and each pin
 * that got something else is told to `report`.
 */
import { readFileSync } from 'node:fs';
import { builtinModules, createRequire } from 'node:module';
import { join } from 'node:path';
import { SHIMS } from './shims.mjs';

const PINNED = /^(@?[^@]+)@([^/]+)(\/.*)?$/;
const CLIMBS = /(?:^|[\\/])\.\.?(?:[\\/]|$)/;
const BUILTIN = new Set(builtinModules.map((name) => name.replace(/^node:/, '')));
const REFUSED_BUILTIN = new Set(['cluster', 'inspector', 'inspector/promises', 'repl']);
const MAX_SLIPS = 2; // letters between a name and what was meant by it

const REFUSED = new Map(
  Object.entries({
    couchbase: 'it ships only as a binary for an end-of-life server protocol',
    'azure-storage': 'it was retired by its makers in 2020; use their REST API with axios',
    ibm_db: 'it needs a native driver that its installer downloads',
    oracledb: 'Auth0 removed it in 2023, and it needs client libraries that can not be shipped',
    edge: 'Auth0 removed it in 2023, and it needs a .NET runtime',
    'edge-js': 'it needs a .NET runtime',
    'node-cassandra-cql': 'it is dead since 2015 and does not run on a current Node',
    'mongo-getdb': 'it is dead and does not run on a current driver',
  }),
);

/** What does the same job; null: nothing that is shipped does. */
const NEAREST = new Map(
  Object.entries({
    'aws-sdk': 'axios',
    'azure-storage': 'axios',
    'bcrypt-node': 'bcryptjs',
    'bcrypt-nodejs': 'bcryptjs',
    bluebird: 'q',
    'crypto-js': 'crypto',
    edge: 'tedious',
    'edge-js': 'tedious',
    'firebase-admin': 'axios',
    got: 'axios',
    'isomorphic-fetch': 'node-fetch',
    ldapjs: 'ldapts',
    md5: 'crypto',
    'mongo-getdb': 'mongodb',
    mongojs: 'mongodb',
    'node-uuid': 'uuid',
    'pg-promise': 'pg',
    pbkdf2: 'crypto',
    'promise-mysql': 'mysql2',
    redis: 'ioredis',
    'request-promise': 'request',
    'request-promise-native': 'request',
    sha1: 'crypto',
    twilio: 'axios',
    underscore: 'lodash',
    xml2json: 'xml2js',
    xmldom: 'xml2js',
    xpath: 'xml2js',
    xtend: 'lodash',
    couchbase: null,
    ibm_db: null,
    oracledb: null,
    'node-cassandra-cql': null,
  }),
);

/** Asked for and not loadable here: a pure JavaScript module with the same calls. */
const STAND_INS = new Map([['bcrypt', 'bcryptjs']]);
/** Files that went when a module began to export names. */
const MOVED = new Map(['v1', 'v3', 'v4', 'v5'].map((name) => [`uuid/${name}`, ['uuid', name]]));

/**
 * @typedef {{kind: 'builtin' | 'shipped' | 'missing', request: string, top: string,
 *   version: string, got: string, why: string, nearest: string | null}} Resolution
 */

/**
 * @param {string} root the folder that holds node_modules
 * @param {(asked: string, got: string) => void} [report] told when something else was given
 * @returns {(name: string) => unknown}
 */
export function createScriptRequire(root, report = () => {}) {
  const inner = createRequire(join(root, 'index.js'));
  const shipped = shippedIn(root);
  /** @type {Map<string, unknown>} */
  const shimmed = new Map();
  /** @type {Set<string>} */
  const broken = new Set();

  function loaded(/** @type {string} */ request) {
    const stand = STAND_INS.get(request);
    if (stand === undefined) return inner(request);
    try {
      if (!broken.has(request)) return inner(request);
    } catch {
      broken.add(request); // native, and not built for this machine
    }
    report(request, `${stand}@${shipped.get(stand)}`);
    return inner(stand);
  }

  /** @param {string} request @param {() => unknown} load */
  function shim(request, load) {
    const make = SHIMS.get(request);
    if (make === undefined) return load();
    if (!shimmed.has(request)) shimmed.set(request, make(load()));
    return shimmed.get(request);
  }

  return function require(name) {
    if (typeof name !== 'string' || name === '') throw new TypeError('require takes a name');
    const found = resolveIn(shipped, name);
    if (found.kind === 'missing') throw notFound(name, found);
    if (found.kind === 'builtin') return shim(found.request, () => inner(`node:${found.request}`));
    if (found.version && found.version !== shipped.get(found.top)) report(name, found.got);
    const [request, property] = MOVED.get(found.request) ?? [found.request];
    const exported = shim(request, () => loaded(request));
    return property ? /** @type {any} */ (exported)[property] : exported;
  };
}

/**
 * What `require(name)` comes to, without loading it.
 * @param {ReadonlyMap<string, string>} shipped
 * @param {string} name
 * @returns {Resolution}
 */
export function resolveIn(shipped, name) {
  const bare = name.replace(/^node:/, '');
  const pinned = PINNED.exec(name);
  const request = pinned ? `${pinned[1]}${pinned[3] ?? ''}` : name;
  const top = topOf(request);
  const got = `${top}@${shipped.get(top)}`;
  const found = { request, top, version: pinned?.[2] ?? '', got, why: '', nearest: null };
  if (REFUSED_BUILTIN.has(bare)) {
    return { ...found, kind: 'missing', why: 'it makes no sense inside an action script' };
  }
  if (BUILTIN.has(bare)) return { ...found, kind: 'builtin', request: bare, top: bare, got: bare };
  if (shipped.has(top) && !CLIMBS.test(request)) return { ...found, kind: 'shipped' };
  const why = REFUSED.get(top) ?? '';
  return { ...found, kind: 'missing', why, nearest: nearestTo(shipped, top) };
}

/**
 * The shipped modules and their versions.
 * @param {string} root
 * @returns {Map<string, string>}
 */
export function shippedIn(root) {
  try {
    const project = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    return new Map(Object.entries(project.dependencies ?? {}));
  } catch {
    return new Map();
  }
}

/**
 * What was meant, or what does the same job.
 * @param {ReadonlyMap<string, string>} shipped
 * @param {string} top
 * @returns {string | null}
 */
function nearestTo(shipped, top) {
  const known = NEAREST.get(top);
  if (known !== undefined) return known;
  if (top.length > 64) return null;
  let best = null;
  let least = Math.min(MAX_SLIPS, Math.floor(top.length / 3)) + 1;
  for (const name of [...shipped.keys(), ...BUILTIN]) {
    const slips = distance(top.toLowerCase(), name);
    if (slips < least) [best, least] = [name, slips];
  }
  return best;
}

/**
 * Levenshtein's: letters to add, drop or change.
 * @param {string} one
 * @param {string} other
 */
function distance(one, other) {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let i = 1; i <= one.length; i++) {
    const next = [i];
    for (let j = 1; j <= other.length; j++) {
      const change = row[j - 1] + (one[i - 1] === other[j - 1] ? 0 : 1);
      next[j] = Math.min(change, row[j] + 1, next[j - 1] + 1);
    }
    row = next;
  }
  return row[other.length];
}

/** @param {string} request */
function topOf(request) {
  const parts = request.split('/');
  return request.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0];
}

/**
 * @param {string} name
 * @param {Resolution} found
 */
function notFound(name, { why, nearest }) {
  const because = why ? `: ${why}` : '';
  const instead = nearest ? `; the nearest that is here is '${nearest}'` : '';
  const error = new Error(`Cannot find module '${name}'${because}${instead}`);
  return Object.assign(error, { code: 'MODULE_NOT_FOUND' });
}
