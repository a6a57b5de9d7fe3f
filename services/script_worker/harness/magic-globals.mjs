// @ts-check
/**
 * The globals that scripts had without `require` up to Node 12 (C§4.4), for connections that ask
 * for them. Each is a getter: nothing is loaded before a script touches it. `Buffer`, once one of
 * them, is a global of Node's own.
 */

const { apply } = Reflect;
const POOL_LIMIT = 30;
export const GONE = {
  Auth0: "require('auth0') has another interface since version 3",
  azure_storage: 'its makers retired it in 2020; use their REST API with axios',
  couchbase: 'its driver can not be shipped',
  cql: 'its driver is dead since 2015',
  ip: 'read the addresses of a request from the script context instead',
  Pubnub: 'it is not shipped; use its REST API with axios',
  xmldom: "it is not shipped; the nearest that is here is 'xml2js'",
  xpath: "it is not shipped; the nearest that is here is 'xml2js'",
};

/** @typedef {(name: string) => any} Require */

/** @type {Record<string, (require: Require) => unknown>} */
const MAGIC = {
  _: (require) => require('lodash'),
  async: (require) => require('async'),
  bcrypt: (require) => require('bcrypt'),
  crypto: (require) => require('node:crypto'),
  jwt: (require) => require('jsonwebtoken'),
  Knex: (require) => knex(require('knex')),
  mongo: (require) => mongo(require('mongodb')),
  mysql: (require) => require('mysql'),
  mysql_pool: (require) => mysqlPool(require('mysql')),
  ObjectID: (require) => require('mongodb').ObjectID,
  pbkdf2: (require) => require('easy-pbkdf2')(),
  pg: (require) => require('pg'),
  postgres: (require) => postgres(require('pg')),
  q: (require) => require('q'),
  Q: (require) => require('q'),
  querystring: (require) => require('node:querystring'),
  request: (require) => require('request'),
  sqlserver: (require) => sqlserver(require('tedious')),
  uuid: (require) => require('uuid'),
  xml2js: (require) => require('xml2js'),
  xtend: (require) => xtend(require('lodash')),
};
export const MAGIC_NAMES = Object.freeze([...Object.keys(MAGIC), ...Object.keys(GONE)]);

/** @param {Require} require */
export function installMagicGlobals(require) {
  for (const [name, make] of Object.entries(MAGIC)) lazy(name, () => make(require));
  for (const [name, why] of Object.entries(GONE)) {
    lazy(name, () => {
      throw new ReferenceError(`the magic global '${name}' is gone: ${why}`);
    });
  }
}

/**
 * @param {string} name
 * @param {() => unknown} make
 */
function lazy(name, make) {
  const settle = (/** @type {unknown} */ value) =>
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
  Object.defineProperty(globalThis, name, {
    configurable: true,
    set: settle,
    get: () => {
      const value = make();
      settle(value);
      return value;
    },
  });
}

/** `postgres(conString, callback)`, and `postgres.connect` of the module that it stood for. */
function postgres(/** @type {any} */ pg) {
  const call = (/** @type {any[]} */ ...args) => apply(pg.connect, pg, args);
  return Object.assign(call, { connect: pg.connect, Client: pg.Client, Pool: pg.Pool });
}

/** One pool for each set of options: a script asks anew at each call. */
function mysqlPool(/** @type {any} */ mysql) {
  const pools = new Map();
  return (/** @type {any} */ options) => {
    const key = JSON.stringify(options);
    if (!pools.has(key)) {
      const given =
        typeof options === 'string' ? options : { connectionLimit: POOL_LIMIT, ...options };
      pools.set(key, mysql.createPool(given));
    }
    return pools.get(key);
  };
}

/** `mongo(url, (db) => …)` or `(error, db)`; one client for each URL, as mongo-getdb kept them. */
function mongo(/** @type {any} */ { MongoClient }) {
  const clients = new Map();
  return (/** @type {string} */ url, /** @type {Function} */ callback) => {
    if (!clients.has(url)) clients.set(url, new MongoClient(url));
    clients.get(url).connect((/** @type {unknown} */ error, /** @type {any} */ client) => {
      if (error) clients.delete(url);
      if (callback.length > 1) return error ? callback(error) : callback(null, client.db());
      if (error) throw error; // it has no other way out
      callback(client.db());
    });
  };
}

/** `sqlserver.connect(config)` connects by itself; `Request` and `Types` are tedious's. */
function sqlserver(/** @type {any} */ { Connection, Request, TYPES, ISOLATION_LEVEL }) {
  function connect(/** @type {any} */ config, /** @type {any} */ callback) {
    const connection = new Connection(config);
    connection.connect(callback);
    return connection;
  }
  return { connect, Connection, Request, Types: TYPES, TYPES, ISOLATION_LEVEL };
}

/** `Knex({…})` and, as up to version 0.7, `Knex.initialize({…})`. */
function knex(/** @type {any} */ made) {
  made.initialize ??= made;
  return made;
}

/** Into a new object, unlike `Object.assign`. */
function xtend(/** @type {any} */ lodash) {
  return (/** @type {object[]} */ ...parts) => lodash.assign({}, ...parts);
}
