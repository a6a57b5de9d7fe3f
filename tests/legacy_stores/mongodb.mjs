// @ts-check
/**
 * Enough of MongoDB's wire protocol for a driver to find, insert, update and delete in memory:
 * OP_MSG, and OP_QUERY for the first greeting. Prints its port; ends with its standard input.
 */
import { createRequire } from 'node:module';
import { createServer } from 'node:net';

const require = createRequire(new URL('../../services/script_worker/modules/', import.meta.url));
const { BSON } = require('mongodb');
const OP_REPLY = 1;
const OP_QUERY = 2004;
const OP_MSG = 2013;

/** @type {Map<string, any[]>} */
const collections = new Map();
const collection = (/** @type {string} */ name) => {
  if (!collections.has(name)) collections.set(name, []);
  return /** @type {any[]} */ (collections.get(name));
};
const plain = (/** @type {any} */ value) => value?.toHexString?.() ?? value;
const matches = (/** @type {any} */ one, /** @type {any} */ filter) =>
  Object.entries(filter).every(([name, value]) => plain(one[name]) === plain(value));

/** @type {Record<string, (command: any) => object>} */
const COMMANDS = {
  find({ find, filter = {}, limit = 0 }) {
    const found = collection(find).filter((one) => matches(one, filter));
    const firstBatch = limit > 0 ? found.slice(0, limit) : found;
    return { cursor: { id: BSON.Long.ZERO, ns: `legacy.${find}`, firstBatch } };
  },
  insert({ insert, documents }) {
    collection(insert).push(...documents);
    return { n: documents.length };
  },
  update({ update, updates }) {
    let n = 0;
    for (const { q, u, multi } of updates) {
      for (const one of collection(update).filter((each) => matches(each, q))) {
        if (n > 0 && !multi) break;
        Object.assign(one, u.$set);
        n += 1;
      }
    }
    return { n, nModified: n };
  },
  delete({ delete: name, deletes }) {
    let n = 0;
    for (const { q, limit } of deletes) {
      const all = collection(name);
      for (const one of all.filter((each) => matches(each, q)).slice(0, limit || undefined)) {
        all.splice(all.indexOf(one), 1);
        n += 1;
      }
    }
    return { n };
  },
};

function answer(/** @type {any} */ command) {
  const [name] = Object.keys(command);
  const work = COMMANDS[name];
  if (work) return { ...work(command), ok: 1 };
  const greeting = { helloOk: true, ismaster: true, isWritablePrimary: true, localTime: new Date() };
  const limits = { maxBsonObjectSize: 16777216, maxMessageSizeBytes: 48000000, maxWriteBatchSize: 100000 };
  return { ...greeting, ...limits, minWireVersion: 0, maxWireVersion: 21, ok: 1 };
}

/** The command of an OP_MSG: its body, and the lists that travel beside it. */
function readMessage(/** @type {Buffer} */ data) {
  let at = 20;
  let command = {};
  while (at < data.length) {
    const kind = data[at];
    const size = data.readInt32LE(at + 1);
    const part = data.subarray(at + 1, at + 1 + size);
    if (kind === 0) {
      command = { ...BSON.deserialize(part), ...command };
    } else {
      const end = part.indexOf(0, 4);
      const documents = [];
      for (let place = end + 1; place < size; place += part.readInt32LE(place)) {
        documents.push(BSON.deserialize(part.subarray(place, place + part.readInt32LE(place))));
      }
      command = { ...command, [part.toString('utf8', 4, end)]: documents };
    }
    at += 1 + size;
  }
  return command;
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

function reply(/** @type {Buffer} */ data) {
  const id = data.readInt32LE(4);
  if (data.readInt32LE(12) === OP_MSG) {
    // The body comes first in the object, so that its name is the command's.
    const command = readMessage(data);
    const order = Object.keys(command).sort((one) => (one in COMMANDS ? -1 : 1));
    const sorted = Object.fromEntries(order.map((name) => [name, /** @type {any} */ (command)[name]]));
    return packed(OP_MSG, id, Buffer.alloc(5), answer(sorted));
  }
  const head = Buffer.alloc(20);
  head.writeInt32LE(8, 0);
  head.writeInt32LE(1, 16);
  return data.readInt32LE(12) === OP_QUERY ? packed(OP_REPLY, id, head, answer({ hello: 1 })) : null;
}

const server = createServer((socket) => {
  let waiting = Buffer.alloc(0);
  socket.on('error', () => {});
  socket.on('data', (data) => {
    waiting = Buffer.concat([waiting, data]);
    while (waiting.length >= 16 && waiting.length >= waiting.readInt32LE(0)) {
      const size = waiting.readInt32LE(0);
      const said = reply(waiting.subarray(0, size));
      if (said) socket.write(said);
      waiting = waiting.subarray(size);
    }
  });
});
server.listen(0, '127.0.0.1', () => console.log(/** @type {any} */ (server.address()).port));
process.stdin.on('end', () => process.exit(0)).resume();
