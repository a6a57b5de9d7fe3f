// @ts-check
import { apply, LEGACY, like, nextTick, toCallback } from './common.mjs';

export const WITH_CALLBACK = {
  MongoClient: 'connect close',
  Db:
    'createCollection command collections stats renameCollection dropCollection dropDatabase ' +
    'createIndex removeUser indexInformation',
  Admin: 'command buildInfo serverInfo serverStatus ping listDatabases',
  AbstractCursor: 'hasNext next tryNext toArray close',
  FindCursor: 'count explain',
  Collection:
    'insertOne insertMany bulkWrite updateOne replaceOne updateMany deleteOne deleteMany rename ' +
    'drop findOne options isCapped createIndex createIndexes dropIndex dropIndexes indexExists ' +
    'indexInformation estimatedDocumentCount countDocuments distinct indexes count ' +
    'findOneAndDelete findOneAndReplace findOneAndUpdate',
};
const SELECTION_MS = 10_000; // the driver's own half minute is above any script's time limit
const PARTS = ['db', 'server', 'replset', 'replSet', 'mongos']; // of version 2: options in options
const OLD_OPTIONS = new Map([
  ['poolsize', 'maxPoolSize'],
  ['minsize', 'minPoolSize'],
  ['rs_name', 'replicaSet'],
  ['compression', 'compressors'],
  ['sslca', 'ca'],
  ['sslcert', 'cert'],
  ['sslcrl', 'crl'],
  ['sslkey', 'key'],
  ['sslpass', 'passphrase'],
]);
const GONE_OPTIONS = new Set(
  (
    'acceptablelatencyms auto_reconnect autoreconnect buffermaxentries connectwithnoprimary ' +
    'domainsenabled explicitlyignoresession ha hainterval keepalive logger loggerlevel monitoring ' +
    'native_parser numberofretries promiselibrary reconnectinterval reconnecttries safe ' +
    'secondaryacceptablelatencyms serverselectiontryonce size slave_ok slaveok socketoptions store ' +
    'strategy uri_decode_auth usecreateindex usefindandmodify usenewurlparser userecoverytoken ' +
    'useunifiedtopology validateoptions waitqueuemultiple waitqueuesize'
  ).split(' '),
);
const FIND_OPTIONS = /^(limit|skip|batchSize|min|max|maxTimeMS|numberOfRetries|timeout|partial)$/;

/** Callbacks, which the driver dropped with version 5, and the names that it dropped before. */
export function mongodb(/** @type {any} */ exported) {
  for (const [name, methods] of Object.entries(WITH_CALLBACK)) {
    for (const method of methods.split(' ')) takeCallback(exported[name].prototype, method);
  }
  addOldMethods(exported);

  class MongoClient extends exported.MongoClient {
    constructor(/** @type {string} */ uri, /** @type {any} */ options) {
      const where = clientUri(uri);
      super(where, clientOptions(options, where));
    }

    /** @param {any} uri @param {any} [options] @param {any} [callback] @returns {any} */
    static connect(uri, options, callback) {
      if (typeof options === 'function') return MongoClient.connect(uri, undefined, options);
      const connecting = (async () => new MongoClient(uri, options).connect())();
      return typeof callback === 'function' ? toCallback(connecting, callback) : connecting;
    }
  }

  // Old scripts write `ObjectID(text)` without `new`.
  const ObjectID = new Proxy(exported.ObjectId, {
    apply: (target, _self, args) => Reflect.construct(target, args),
  });
  const connect = MongoClient.connect;
  const call = (/** @type {any[]} */ ...args) => apply(connect, MongoClient, args);
  return like(call, exported, { MongoClient, ObjectID, ObjectId: ObjectID, connect });
}

/**
 * @param {any} given
 * @param {unknown} uri
 */
function clientOptions(given, uri) {
  /** @type {Record<string, any>} */
  const options = {};
  for (const [name, value] of Object.entries(flat(given ?? {}))) {
    const current = optionToday(name, value);
    if (current !== null) options[current[0]] ??= current[1];
  }
  if (options.auth?.user) {
    const { user, ...auth } = options.auth;
    options.auth = { username: user, ...auth };
  }
  if (!/[?&]serverSelectionTimeoutMS=/i.test(String(uri))) {
    options.serverSelectionTimeoutMS ??= SELECTION_MS;
  }
  return options;
}

/** `{ server: { socketOptions: { … } } }` as one object. */
function flat(/** @type {Record<string, any>} */ given) {
  const { ...options } = given;
  for (const name of PARTS) {
    if (typeof options[name] !== 'object') continue;
    const { socketOptions, ...part } = options[name] ?? {};
    delete options[name];
    Object.assign(options, { ...socketOptions, ...part, ...options });
  }
  return options;
}

/**
 * An option's name and value of today, or null if nothing has to be said instead.
 * @param {string} name
 * @param {any} value
 * @returns {[string, any] | null}
 */
function optionToday(name, value) {
  const plain = name.toLowerCase();
  if (GONE_OPTIONS.has(plain)) return null;
  if (plain === 'sslvalidate' || plain === 'sslverifycertificate') {
    return String(value) === 'false' ? ['tlsAllowInvalidCertificates', true] : null;
  }
  return [OLD_OPTIONS.get(plain) ?? name, value];
}

/** Without the options that the driver would refuse, and the others under their present names. */
function clientUri(/** @type {any} */ uri) {
  const at = typeof uri === 'string' ? uri.indexOf('?') : -1;
  if (at === -1) return uri;
  const options = [];
  for (const part of uri.slice(at + 1).split('&')) {
    const [name, ...value] = part.split('=');
    const current = optionToday(name, value.join('='));
    if (current !== null) options.push(current.join('='));
  }
  return options.length > 0 ? `${uri.slice(0, at)}?${options.join('&')}` : uri.slice(0, at);
}

/**
 * @param {any} prototype
 * @param {string} name
 */
function takeCallback(prototype, name) {
  const method = prototype[name];
  if (typeof method !== 'function' || method[LEGACY]) return;
  prototype[name] = function (/** @type {any[]} */ ...args) {
    const callback = typeof args.at(-1) === 'function' ? args.pop() : undefined;
    mendArguments(name, args, callback !== undefined);
    const mend = (/** @type {any} */ result) => mendResult(name, result, args);
    if (callback === undefined) return mendLater(apply(method, this, args), mend);
    return toCallback(begin(method, this, args), callback, mend);
  };
  prototype[name][LEGACY] = true;
}

/**
 * @param {string} name
 * @param {any[]} args
 * @param {boolean} called whether the script asked for a callback
 */
function mendArguments(name, args, called) {
  if (name === 'findOne' || name === 'find') args[1] = findOptions(args[1]);
  // Until version 5 the outcome was `{ value, lastErrorObject, ok }`.
  if (called && name.startsWith('findOneAnd')) {
    const at = name === 'findOneAndDelete' ? 1 : 2;
    const { returnOriginal, ...options } = args[at] ?? {};
    if (returnOriginal === false) options.returnDocument ??= 'after';
    args[at] = { includeResultMetadata: true, ...options };
  }
}

/** `find(query, { email: 1 })` and `{ fields: … }` were both ways to ask for a projection. */
function findOptions(/** @type {any} */ given) {
  if (given === null || typeof given !== 'object') return given;
  const { fields, ...options } = given;
  if (fields !== undefined) return { projection: fields, ...options };
  const names = Object.keys(given);
  const projects = names.every(
    (name) => (given[name] === 1 || given[name] === 0) && !FIND_OPTIONS.test(name),
  );
  return names.length > 0 && projects ? { projection: given } : given;
}

/**
 * What results were read for: `ops`, `result.n`. Hidden, so that a result still looks new.
 * @param {string} name
 * @param {any} result
 * @param {any[]} args
 */
function mendResult(name, result, args) {
  if (result === null || typeof result !== 'object') return result;
  if (name === 'insertOne' || name === 'insertMany') {
    const ops = Array.isArray(args[0]) ? args[0] : [args[0]];
    const counted = { insertedCount: ops.length, result: { ok: 1, n: ops.length } };
    return hide(result, { ops, insertedIds: [result.insertedId], ...counted });
  }
  if (name === 'updateOne' || name === 'updateMany' || name === 'replaceOne') {
    const { matchedCount, upsertedCount, modifiedCount } = result;
    const n = matchedCount + (upsertedCount ?? 0);
    return hide(result, { result: { ok: 1, n, nModified: modifiedCount } });
  }
  if (name === 'deleteOne' || name === 'deleteMany') {
    return hide(result, { result: { ok: 1, n: result.deletedCount } });
  }
  return result;
}

/**
 * @param {any} result
 * @param {Record<string, unknown>} fields
 */
function hide(result, fields) {
  for (const [name, value] of Object.entries(fields)) {
    if (name in result) continue;
    Object.defineProperty(result, name, { value, configurable: true, writable: true });
  }
  return result;
}

/** @param {any} exported */
function addOldMethods({ MongoClient, Db, Collection, AbstractCursor }) {
  // Version 2 called back with a database where version 3 has the client: ours answers as both.
  add(MongoClient, {
    collection(/** @type {any[]} */ ...args) {
      const db = /** @type {any} */ (this).db();
      return apply(db.collection, db, args);
    },
    collections(/** @type {any[]} */ ...args) {
      const db = /** @type {any} */ (this).db();
      return apply(db.collections, db, args);
    },
  });
  add(Db, {
    db(/** @type {string} */ name) {
      return /** @type {any} */ (this).client.db(name);
    },
    close(/** @type {any[]} */ ...args) {
      const { client } = /** @type {any} */ (this);
      return apply(client.close, client, args);
    },
  });
  const { collection } = Db.prototype;
  Db.prototype.collection = function (/** @type {any[]} */ ...args) {
    const callback = typeof args.at(-1) === 'function' ? args.pop() : undefined;
    const found = apply(collection, this, args);
    if (callback !== undefined) nextTick(callback, null, found);
    return found;
  };
  add(Collection, OLD_COLLECTION);
  add(AbstractCursor, OLD_CURSOR);
  const { forEach } = AbstractCursor.prototype;
  AbstractCursor.prototype.forEach = function (
    /** @type {any} */ visit,
    /** @type {any} */ callback,
  ) {
    const done = apply(forEach, this, [visit]);
    return typeof callback === 'function' ? toCallback(done, callback) : done;
  };
  const { find, aggregate } = Collection.prototype;
  Collection.prototype.find = function (/** @type {any[]} */ ...args) {
    const callback = typeof args.at(-1) === 'function' ? args.pop() : undefined;
    mendArguments('find', args, false);
    const cursor = apply(find, this, args);
    if (callback !== undefined) nextTick(callback, null, cursor);
    return cursor;
  };
  Collection.prototype.aggregate = function (/** @type {any[]} */ ...args) {
    const callback = typeof args.at(-1) === 'function' ? args.pop() : undefined;
    const cursor = apply(aggregate, this, args);
    if (callback !== undefined) toCallback(cursor.toArray(), callback, listAndCursor);
    return cursor;
  };
}

/** Version 2 called back with a list where version 3 has a cursor. */
function listAndCursor(/** @type {unknown[]} */ list) {
  const toArray = (/** @type {any} */ callback) =>
    typeof callback === 'function' ? nextTick(callback, null, list) : Promise.resolve(list);
  return hide(list, { toArray });
}

/**
 * @param {any} constructor
 * @param {Record<string, Function>} methods
 */
function add({ prototype }, methods) {
  for (const [name, method] of Object.entries(methods)) {
    if (!(name in prototype)) Object.defineProperty(prototype, name, { value: method });
  }
}

const OLD_CURSOR = {
  /** @this {any} */
  nextObject(/** @type {any[]} */ ...args) {
    return apply(this.next, this, args);
  },
  /** Each document, then null. @this {any} */
  each(/** @type {(error: unknown, document?: unknown) => void} */ callback) {
    this.toArray((/** @type {unknown} */ error, /** @type {unknown[]} */ documents) => {
      if (error) return callback(error);
      for (const document of [...documents, null]) callback(null, document);
    });
  },
};

export const OLD_COLLECTION = {
  /** @this {any} */
  insert(/** @type {any} */ documents, /** @type {any[]} */ ...rest) {
    const method = Array.isArray(documents) ? this.insertMany : this.insertOne;
    return apply(method, this, [documents, ...rest]);
  },
  /** @this {any} */
  save(/** @type {any} */ document, /** @type {any[]} */ ...rest) {
    if (document._id === undefined) return apply(this.insertOne, this, [document, ...rest]);
    const callback = typeof rest.at(-1) === 'function' ? [rest.pop()] : [];
    const options = { ...rest[0], upsert: true };
    return apply(this.replaceOne, this, [{ _id: document._id }, document, options, ...callback]);
  },
  /** @this {any} */
  update(/** @type {any} */ selector, /** @type {any} */ change, /** @type {any[]} */ ...rest) {
    const { multi } = typeof rest[0] === 'object' && rest[0] !== null ? rest[0] : {};
    const many = multi ? this.updateMany : this.updateOne;
    const method = hasOperators(change) ? many : this.replaceOne;
    return apply(method, this, [selector, change, ...rest]);
  },
  /** @this {any} */
  findAndModify(
    /** @type {any} */ selector,
    /** @type {any} */ sort,
    /** @type {any} */ change,
    /** @type {any[]} */ ...rest
  ) {
    const callback = typeof rest.at(-1) === 'function' ? [rest.pop()] : [];
    const { new: after, remove, fields, ...given } = rest[0] ?? {};
    const options = { sort, projection: fields, includeResultMetadata: true, ...given };
    if (remove) return apply(this.findOneAndDelete, this, [selector, options, ...callback]);
    const method = hasOperators(change) ? this.findOneAndUpdate : this.findOneAndReplace;
    options.returnDocument ??= after ? 'after' : 'before';
    return apply(method, this, [selector, change, options, ...callback]);
  },
  /** @this {any} */
  findAndRemove(
    /** @type {any} */ selector,
    /** @type {any} */ sort,
    /** @type {any[]} */ ...rest
  ) {
    const callback = typeof rest.at(-1) === 'function' ? [rest.pop()] : [];
    return this.findAndModify(selector, sort, {}, { ...rest[0], remove: true }, ...callback);
  },
  /** @this {any} */
  remove(/** @type {any} */ selector, /** @type {any[]} */ ...rest) {
    if (typeof selector === 'function') return this.deleteMany({}, selector);
    const options = typeof rest[0] === 'object' && rest[0] !== null ? rest[0] : {};
    const method = options.single || options.justOne ? this.deleteOne : this.deleteMany;
    return apply(method, this, [selector ?? {}, ...rest]);
  },
  /** @this {any} */
  ensureIndex(/** @type {any[]} */ ...args) {
    return apply(this.createIndex, this, args);
  },
};

/** Whether it changes fields, and does not replace the document. */
function hasOperators(/** @type {any} */ change) {
  return Object.keys(change).some((name) => name.startsWith('$'));
}

/**
 * @param {Function} method
 * @param {any} self
 * @param {any[]} args
 */
async function begin(method, self, args) {
  return apply(method, self, args); // what it throws at once reaches the callback too
}

/**
 * @param {any} returned
 * @param {(value: any) => any} mend
 */
function mendLater(returned, mend) {
  return typeof returned?.then === 'function' ? returned.then(mend) : returned;
}
