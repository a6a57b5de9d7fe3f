// @ts-check
/** What `require` and the magic globals give, without a server behind any driver. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { MAGIC_NAMES } from '../../services/script_worker/harness/magic-globals.mjs';
import { createScriptRequire, shippedIn } from '../../services/script_worker/harness/modules.mjs';
import { SHIMS } from '../../services/script_worker/harness/shims.mjs';
import { MODULES, Runner } from './driver.mjs';

/** @type {[string, string][]} */
const told = [];
const require = createScriptRequire(MODULES, (asked, got) => told.push([asked, got]));
const load = (/** @type {string} */ name) => /** @type {any} */ (require(name));

test('mysql is callable, and still a module', () => {
  const mysql = load('mysql');
  const connection = mysql({ host: '127.0.0.1' });

  assert.equal(connection.constructor, mysql.createConnection({}).constructor);
  assert.equal(typeof mysql.createPool, 'function');
  assert.equal(mysql.escape("'"), "'\\''");
  assert.ok(mysql.Types.VARCHAR);
  assert.equal(load('mysql'), mysql);
});

test('pg connects through a pool for each connection string', async () => {
  const pg = load('pg');
  const error = await new Promise((resolve) => pg.connect('postgres://u@127.0.0.1:1/d', resolve));

  assert.equal(/** @type {any} */ (error).code, 'ECONNREFUSED');
  await new Promise((resolve) => pg.end(resolve));
});

test('a pin gets what is shipped, and that is told', () => {
  told.length = 0;

  assert.equal(load('lodash@2.4.1').contains([1], 1), true);
  assert.equal(load('uuid@3.4.0')().length, 36);
  assert.equal(load('uuid/v4')().length, 36);
  assert.deepEqual(
    told.map(([asked, got]) => [asked, got.replace(/@.*/, '')]),
    [
      ['lodash@2.4.1', 'lodash'],
      ['uuid@3.4.0', 'uuid'],
    ],
  );
});

test('what is pinned to the shipped version is nothing to tell', () => {
  told.length = 0;
  load('async@2.6.4');

  assert.deepEqual(told, []);
});

const MISSING = /** @type {[string, RegExp][]} */ ([
  ['lodahs', /'lodash'$/],
  ['ldapjs@1.0.0', /Cannot find module 'ldapjs@1\.0\.0'; .*'ldapts'$/],
  ['mongo-getdb', /dead.*'mongodb'$/],
  ['oracledb', /Auth0 removed it in 2023/],
  ['zzzzzzzz', /Cannot find module 'zzzzzzzz'$/],
]);
for (const [name, message] of MISSING) {
  test(`a module that is not here, ${name}, names the nearest`, () => {
    assert.throws(() => require(name), { code: 'MODULE_NOT_FOUND', message });
  });
}

test('pbkdf2 without a digest is SHA-1', async () => {
  const crypto = load('crypto');
  const key = await new Promise((resolve, reject) =>
    crypto.pbkdf2('pw', 'salt', 2, 20, (/** @type {any} */ error, /** @type {any} */ key) =>
      error ? reject(error) : resolve(key),
    ),
  );

  assert.deepEqual(key, crypto.pbkdf2Sync('pw', 'salt', 2, 20, 'sha1'));
  assert.deepEqual(key, crypto.pbkdf2Sync('pw', 'salt', 2, 20));
  assert.notDeepEqual(key, crypto.pbkdf2Sync('pw', 'salt', 2, 20, 'sha256'));
  assert.equal(typeof crypto.randomBytes, 'function');
});

test('a cipher by password reads what OpenSSL wrote', () => {
  // printf legacy | openssl enc -aes192 -md md5 -nosalt -k secret -base64
  const { createCipher, createDecipher } = load('crypto');
  const cipher = createCipher('aes192', 'secret');
  const text = cipher.update('legacy', 'utf8', 'base64') + cipher.final('base64');
  const back = createDecipher('aes192', 'secret');

  assert.equal(text, '/pKqOp3BiqNik15KS9eEOA==');
  assert.equal(back.update(text, 'base64', 'utf8') + back.final('utf8'), 'legacy');
});

test('a token ends when its old options say so', () => {
  const jwt = load('jsonwebtoken@5.7.0');
  const { exp, iat } = jwt.decode(jwt.sign({ sub: 'u' }, 'key', { expiresInMinutes: 5 }));

  assert.equal(exp - iat, 300);
});

test('an ObjectID needs no new, and keeps its class', () => {
  const { ObjectID, ObjectId, MongoClient } = load('mongodb@2.0.27');
  const id = ObjectID('5f0000000000000000000001');

  assert.ok(id instanceof ObjectId);
  assert.equal(String(id), '5f0000000000000000000001');
  assert.ok(new MongoClient('mongodb://127.0.0.1:1', { poolSize: 3, autoReconnect: true }));
});

test('mongodb tells a refused connection to a callback, and to a promise', async () => {
  const { MongoClient } = load('mongodb@3.1.4');
  const options = { serverSelectionTimeoutMS: 50 };
  const url = 'mongodb://127.0.0.1:1';

  const error = await new Promise((resolve) => MongoClient.connect(url, options, resolve));
  const other = await new Promise((resolve) => new MongoClient(url, options).connect(resolve));

  assert.match(String(error), /ECONNREFUSED/);
  assert.match(String(other), /ECONNREFUSED/);
  await assert.rejects(new MongoClient(url, options).connect(), /ECONNREFUSED/);
  await assert.rejects(MongoClient.connect(url, options), /ECONNREFUSED/);
  assert.match(
    String(await new Promise((resolve) => MongoClient.connect('http://no', resolve))),
    /Invalid scheme/,
  );
});

const OLD_ADDRESSES = /** @type {[string, object | undefined][]} */ ([
  ['?poolSize=5&auto_reconnect=true&ssl=false&sslValidate=false', undefined],
  ['', { server: { poolSize: 5, socketOptions: { keepAlive: 1, connectTimeoutMS: 50 } } }],
  ['', { auth: { user: 'u', password: 'p' }, useNewUrlParser: true, numberOfRetries: 5 }],
  ['', { sslValidate: false, sslCA: ['x'], bufferMaxEntries: 0, replset: { rs_name: 'x' } }],
]);
for (const [query, options] of OLD_ADDRESSES) {
  test(`options of old drivers, ${query || JSON.stringify(options)}, are no error`, () => {
    const { MongoClient } = load('mongodb');
    const client = new MongoClient(`mongodb://127.0.0.1:1/d${query}`, options);

    assert.equal(client.options.serverSelectionTimeoutMS, 10_000);
    if (/poolSize/.test(query + JSON.stringify(options))) {
      assert.equal(client.options.maxPoolSize, 5);
    }
    if (/sslValidate/.test(query + JSON.stringify(options))) {
      assert.equal(client.options.rejectUnauthorized, false);
    }
  });
}

test("an address's own time limit for finding a server stays", () => {
  const { MongoClient } = load('mongodb');
  const client = new MongoClient('mongodb://127.0.0.1:1/d?serverSelectionTimeoutMS=70');

  assert.equal(client.options.serverSelectionTimeoutMS, 70);
  assert.equal(client.options.rejectUnauthorized, undefined);
});

test('a collection may be asked for with a callback', async () => {
  const db = new (load('mongodb').MongoClient)('mongodb://127.0.0.1:1').db('d');
  const found = await new Promise((resolve) =>
    db.collection('users', (/** @type {any} */ _, /** @type {any} */ users) => resolve(users)),
  );

  assert.equal(found.namespace, 'd.users');
  assert.equal(db.collection('users').namespace, 'd.users');
});

test('a query is an emitter on every client, also on one that a script made', () => {
  const { Client } = load('pg@4.3.0');
  const asked = new Client('postgres://u@127.0.0.1:1/d').query('SELECT 1');

  assert.equal(
    asked.on('row', () => {}),
    asked,
  );
  assert.equal(typeof asked.then, 'function');
});

test('a number is a text where a text is looked for', () => {
  const { Request, TYPES } = load('tedious');
  const request = new Request('SELECT 1', () => {});
  for (const value of [7, 'x', null, undefined]) request.addParameter('a', TYPES.VarChar, value);
  request.addParameter('b', TYPES.Int, 7);

  assert.deepEqual(
    request.parameters.map((/** @type {any} */ one) => one.value),
    ['7', 'x', null, undefined, 7],
  );
});

test('util still answers what it was asked', () => {
  const util = load('util');

  assert.ok(util.isFunction(test) && util.isString('') && util.isNullOrUndefined(null));
  assert.ok(util.isArray([]) && util.isError(new TypeError('x')) && !util.isObject(null));
  assert.equal(util.format('%s', 1), '1');
  assert.equal(load('node:util').types, util.types);
});

test('tedious connects by itself, with the configuration of old', async () => {
  const { Connection } = load('tedious@1.11.0');
  const connection = new Connection({
    userName: 'sa',
    password: 'x',
    server: '127.0.0.1',
    options: { port: 1 },
  });

  const error = await new Promise((resolve) => connection.on('connect', resolve));

  assert.match(String(error), /Could not connect/);
});

test('a magic global is loaded when it is touched, and only where asked for', async () => {
  const script = `function (email, password, callback) {
    callback(null, { user_id: 1, found: [typeof request.get, typeof _.pluck, typeof mysql_pool,
      typeof mysql.createConnection, typeof postgres, typeof pg.connect, typeof mongo, typeof q.defer,
      typeof sqlserver.connect, typeof sqlserver.Types, typeof pbkdf2.verify, typeof jwt.sign,
      typeof crypto.createHash, typeof uuid, typeof xml2js.parseString, typeof ObjectID, typeof Q,
      typeof Knex, typeof async.series, typeof bcrypt.compare, typeof querystring.parse] });
  }`;
  await using runner = new Runner();
  await runner.bind({ login: script }, { magicGlobals: true });
  const { value, error } = await runner.invoke('a');
  assert.equal(error, undefined);

  assert.equal(
    value.found.join(' ').replaceAll('function', 'f'),
    'f f f f f f f f f object f f f f f f f f f f f',
  );

  await using plain = new Runner();
  await plain.bind({ login: script });
  assert.match((await plain.invoke('a')).error.message, /request is not defined/);
});

test('a magic global that is gone says what to do, and may be replaced', async () => {
  const login = `(email, password, callback) => {
    request = 'mine';
    try { cql.connect(); } catch (error) { callback(null, { user_id: request, why: error.message }); }
  }`;
  await using runner = new Runner();
  await runner.bind({ login }, { magicGlobals: true });

  assert.deepEqual((await runner.invoke('a')).value, {
    user_id: 'mine',
    why: "the magic global 'cql' is gone: its driver is dead since 2015",
  });
});

test('a mapping stands on the next frame, once, whatever was loaded ahead', async () => {
  const login = `const _ = require('lodash@4.17.4');
    function login(email, password, callback) {
      require('pg@4.5.7');
      require('lodash@4.17.4');
      callback(null, { user_id: 1 });
    }`;
  await using runner = new Runner({ preload: ['pg', 'lodash@4.17.4'] });
  const bound = await runner.bind({ login });
  const first = await runner.invoke('a');
  const second = await runner.invoke('b');
  const asked = (/** @type {any} */ frame) => frame.mapped?.map((/** @type {any} */ m) => m.asked);

  assert.deepEqual(asked(bound), ['lodash@4.17.4']);
  assert.deepEqual(asked(first), ['pg@4.5.7']);
  assert.equal(asked(second), undefined);
});

test('the page for authors names everything that is there', () => {
  const page = readFileSync(new URL('../../docs/scripts.md', import.meta.url), 'utf8');
  const there = [...shippedIn(MODULES).keys(), ...SHIMS.keys(), ...MAGIC_NAMES];

  assert.deepEqual(
    there.filter((name) => !page.includes(`\`${name}\``)),
    [],
  );
});
