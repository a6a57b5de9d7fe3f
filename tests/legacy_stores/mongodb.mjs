// @ts-check
/**
 * MongoDB as a driver sees it: OP_MSG, and OP_QUERY for the first greeting, SCRAM-SHA-256, and
 * documents in memory. The argument is the password of the user `legacy`.
 */
import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from 'node:crypto';
import { createRequire } from 'node:module';
import { standIn } from './control.mjs';

const load = createRequire(new URL('../../services/script_worker/modules/', import.meta.url));
const { BSON } = load('mongodb');
const OP_REPLY = 1;
const OP_QUERY = 2004;
const OP_MSG = 2013;
const ROUNDS = 4096;
const LIMITS = {
  ...{ maxBsonObjectSize: 16_777_216, maxMessageSizeBytes: 48_000_000, maxWriteBatchSize: 100_000 },
  ...{ minWireVersion: 0, maxWireVersion: 21 },
};

// -- documents ------------------------------------------------------------------------------------

/** @type {Map<string, any[]>} */
const collections = new Map();
function collection(/** @type {string} */ name) {
  if (!collections.has(name)) collections.set(name, []);
  return /** @type {any[]} */ (collections.get(name));
}
const plain = (/** @type {any} */ value) => value?.toHexString?.() ?? value;

/** @param {any} one @param {Record<string, any>} filter @returns {boolean} */
function matches(one, filter) {
  return Object.entries(filter).every(([name, value]) => {
    if (name === '$or') return value.some((/** @type {any} */ each) => matches(one, each));
    if (name.startsWith('$') || value?.constructor === Object) throw new Error(`a filter ${name}`);
    return plain(one[name]) === plain(value);
  });
}

/** @param {any} one @param {Record<string, any>} [fields] */
function projected(one, fields = {}) {
  const names = Object.keys(fields);
  if (names.length === 0) return one;
  const wanted = names.some((name) => fields[name] && name !== '_id');
  const kept = (/** @type {string} */ name) =>
    name === '_id' ? (fields._id ?? 1) : wanted ? fields[name] : !(name in fields);
  return Object.fromEntries(Object.entries(one).filter(([name]) => kept(name)));
}

/** @param {any} one @param {Record<string, any>} change */
function alter(one, change) {
  if (Object.keys(change).some((name) => name.startsWith('$'))) {
    Object.assign(one, change.$set);
    for (const name of Object.keys(change.$unset ?? {})) delete one[name];
    return;
  }
  for (const name of Object.keys(one)) if (name !== '_id') delete one[name];
  Object.assign(one, change);
}

/** @type {Record<string, (command: any) => object>} */
const COMMANDS = {
  find({ find, filter = {}, limit = 0, projection }) {
    const found = collection(find).filter((one) => matches(one, filter));
    const firstBatch = found.slice(0, limit || undefined).map((one) => projected(one, projection));
    return { cursor: { id: BSON.Long.ZERO, ns: `legacy.${find}`, firstBatch } };
  },
  insert({ insert, documents }) {
    const all = documents.map((/** @type {any} */ one) => ({ _id: new BSON.ObjectId(), ...one }));
    collection(insert).push(...all);
    return { n: documents.length };
  },
  update({ update, updates }) {
    let n = 0;
    for (const { q, u, multi } of updates) {
      const found = collection(update).filter((one) => matches(one, q));
      for (const one of multi ? found : found.slice(0, 1)) {
        alter(one, u);
        n += 1;
      }
    }
    return { n, nModified: n };
  },
  delete({ delete: name, deletes }) {
    let n = 0;
    for (const { q, limit } of deletes) {
      const all = collection(name);
      const found = all.filter((one) => matches(one, q));
      for (const one of found.slice(0, limit || undefined)) {
        all.splice(all.indexOf(one), 1);
        n += 1;
      }
    }
    return { n };
  },
  findAndModify({ findAndModify, query, update, new: after }) {
    const one = collection(findAndModify).find((each) => matches(each, query));
    const before = one && { ...one };
    if (one) alter(one, update);
    const lastErrorObject = { n: one ? 1 : 0, updatedExisting: Boolean(one) };
    return { lastErrorObject, value: (after ? one : before) ?? null };
  },
};

// -- who may ask ----------------------------------------------------------------------------------

const hmac = (/** @type {Buffer} */ key, /** @type {string} */ text) =>
  createHmac('sha256', key).update(text).digest();
const fieldsOf = (/** @type {string} */ text) =>
  Object.fromEntries(text.split(',').map((part) => [part[0], part.slice(2)]));

/** One client's proof that it knows the password (RFC 5802, 7677). */
class Authentication {
  known = false;
  #said = '';
  #salt = randomBytes(16);
  #nonce = '';

  start(/** @type {string} */ message) {
    const bare = message.slice(3);
    this.#nonce = fieldsOf(bare).r + randomBytes(12).toString('base64');
    const challenge = `r=${this.#nonce},s=${this.#salt.toString('base64')},i=${ROUNDS}`;
    this.#said = `${bare},${challenge}`;
    return challenge;
  }

  finish(/** @type {string} */ message) {
    const { p: proof } = fieldsOf(message);
    const salted = pbkdf2Sync(process.argv[2], this.#salt, ROUNDS, 32, 'sha256');
    const text = `${this.#said},${message.slice(0, message.lastIndexOf(',p='))}`;
    const key = hmac(salted, 'Client Key');
    const signature = hmac(createHash('sha256').update(key).digest(), text);
    const expected = Buffer.from(key.map((byte, index) => byte ^ signature[index]));
    this.known = timingSafeEqual(expected, Buffer.from(proof, 'base64'));
    return this.known ? `v=${hmac(hmac(salted, 'Server Key'), text).toString('base64')}` : null;
  }
}

/** @param {string} payload @param {boolean} done */
const sasl = (payload, done) => ({
  ...{ conversationId: 1, done, payload: new BSON.Binary(Buffer.from(payload)), ok: 1 },
});

/** @param {number} code @param {string} errmsg */
const failure = (code, errmsg) => ({ ok: 0, code, errmsg });

/** @param {Authentication} client @param {any} command */
function answer(client, command) {
  const payload = () => command.payload.toString('utf8');
  if (command.saslStart) return sasl(client.start(payload()), false);
  if (command.saslContinue) {
    const last = client.finish(payload());
    return last === null ? failure(18, 'Authentication failed.') : sasl(last, true);
  }
  const [name] = Object.keys(command);
  if (name in COMMANDS) {
    if (!client.known) return failure(13, `command ${name} requires authentication`);
    return { ...COMMANDS[name](command), ok: 1 };
  }
  const greeting = { helloOk: true, ismaster: true, isWritablePrimary: true, ok: 1 };
  const mechanisms = { saslSupportedMechs: ['SCRAM-SHA-256'] };
  return { ...greeting, localTime: new Date(), ...LIMITS, ...mechanisms };
}

// -- messages -------------------------------------------------------------------------------------

/** The command of an OP_MSG: its body, and the lists that travel beside it. */
function readMessage(/** @type {Buffer} */ data) {
  let at = 20;
  let body = {};
  let lists = {};
  while (at < data.length) {
    const size = data.readInt32LE(at + 1);
    const part = data.subarray(at + 1, at + 1 + size);
    if (data[at] === 0) body = BSON.deserialize(part);
    else lists = { ...lists, ...listOf(part) };
    at += 1 + size;
  }
  return { ...body, ...lists }; // what a body names first is the command
}

function listOf(/** @type {Buffer} */ part) {
  const end = part.indexOf(0, 4);
  const documents = [];
  for (let at = end + 1; at < part.length; at += part.readInt32LE(at)) {
    documents.push(BSON.deserialize(part.subarray(at, at + part.readInt32LE(at))));
  }
  return { [part.toString('utf8', 4, end)]: documents };
}

/** @param {number} opcode @param {number} replyTo @param {Buffer} head @param {object} body */
function packed(opcode, replyTo, head, body) {
  const content = Buffer.concat([head, BSON.serialize(body)]);
  const header = Buffer.alloc(16);
  for (const [index, value] of [16 + content.length, 1, replyTo, opcode].entries()) {
    header.writeInt32LE(value, index * 4);
  }
  return Buffer.concat([header, content]);
}

/** @param {Authentication} client @param {Buffer} data */
function reply(client, data) {
  const id = data.readInt32LE(4);
  const opcode = data.readInt32LE(12);
  if (opcode === OP_MSG)
    return packed(OP_MSG, id, Buffer.alloc(5), answer(client, readMessage(data)));
  if (opcode !== OP_QUERY) throw new Error(`an operation ${opcode}`);
  const head = Buffer.alloc(20);
  head.writeInt32LE(8, 0);
  head.writeInt32LE(1, 16);
  return packed(OP_REPLY, id, head, answer(client, { hello: 1 }));
}

standIn(
  (socket) => {
    const client = new Authentication();
    let waiting = Buffer.alloc(0);
    socket.on('data', (data) => {
      waiting = Buffer.concat([waiting, data]);
      while (waiting.length >= 16 && waiting.length >= waiting.readInt32LE(0)) {
        const size = waiting.readInt32LE(0);
        socket.write(reply(client, waiting.subarray(0, size)));
        waiting = waiting.subarray(size);
      }
    });
  },
  (command) => COMMANDS[Object.keys(command)[0]](command),
);
