// @ts-check
/**
 * Enough of TDS 7.4 (MS-TDS) for a driver to log in and to call statements with parameters, on a
 * table in memory. Prints its port; ends with its standard input.
 *
 * A statement is understood by its first word: SELECT … WHERE column = @p, INSERT (…) VALUES (…),
 * UPDATE … SET column = @p WHERE column = @q, DELETE … WHERE column = @p.
 */
import { createServer } from 'node:net';

const [PRELOGIN, LOGIN7, RPC, REPLY] = [18, 16, 3, 4];
const COLUMNS = ['Id', 'Nickname', 'Email', 'Password', 'PasswordSalt'];
const COLLATION = Buffer.from([9, 4, 0xd0, 0, 0x34]);
/** @type {Record<string, string>[]} */
const rows = [];
let nextId = 1;

const utf16 = (/** @type {string} */ text) => Buffer.from(text, 'utf16le');
const u16 = (/** @type {number} */ value) => Buffer.from([value & 255, value >> 8]);
const shortText = (/** @type {string} */ text) => Buffer.concat([Buffer.from([text.length]), utf16(text)]);

function packet(/** @type {Buffer} */ content) {
  const header = Buffer.from([REPLY, 1, 0, 0, 0, 0, 1, 0]);
  header.writeUInt16BE(8 + content.length, 2);
  return Buffer.concat([header, content]);
}

/** DONE, or DONEPROC: the number of rows is good. */
function done(/** @type {number} */ token, /** @type {number} */ count) {
  const body = Buffer.alloc(13);
  body[0] = token;
  body.writeUInt16LE(0x10, 1);
  body.writeBigUInt64LE(BigInt(count), 5);
  return body;
}

/** Version, and that there is no encryption. */
function prelogin() {
  const options = Buffer.from([0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff]);
  return Buffer.concat([options, Buffer.from([15, 0, 0, 0, 0, 0]), Buffer.from([2])]);
}

function loggedIn() {
  const name = shortText('Stand-in');
  const body = Buffer.concat([Buffer.from([1, 0x74, 0, 0, 4]), name, Buffer.from([15, 0, 0, 0])]);
  const ack = Buffer.concat([Buffer.from([0xad]), u16(body.length), body]);
  const collation = Buffer.concat([Buffer.from([0xe3, 8, 0, 7, 5]), COLLATION, Buffer.from([0])]);
  return Buffer.concat([collation, ack, done(0xfd, 0)]);
}

/** The values of an RPC request: texts and integers. */
function parameters(/** @type {Buffer} */ data) {
  let at = data.readUInt32LE(0);
  at += data.readUInt16LE(at) === 0xffff ? 4 : 2 + 2 * data.readUInt16LE(at);
  at += 2;
  const found = [];
  while (at < data.length) {
    const length = data[at];
    const name = data.toString('utf16le', at + 1, at + 1 + 2 * length);
    at += 2 + 2 * length;
    const type = data[at];
    if (type === 0xe7 || type === 0xa7) {
      const longest = data.readUInt16LE(at + 1);
      at += 8;
      let size = 0;
      if (longest === 0xffff) {
        size = data.readUInt32LE(at + 8);
        at += 12;
      } else {
        size = data.readUInt16LE(at);
        at += 2;
      }
      const value = data.toString(type === 0xe7 ? 'utf16le' : 'latin1', at, at + size);
      at += size + (longest === 0xffff ? 4 : 0);
      found.push({ name, value });
    } else if (type === 0x26) {
      const size = data[at + 2];
      found.push({ name, value: String(size ? data.readIntLE(at + 3, size) : '') });
      at += 3 + size;
    } else {
      throw new Error(`a parameter of type ${type}`);
    }
  }
  return found;
}

/** @param {string} sql @param {Record<string, string>} values */
function perform(sql, values) {
  const where = /WHERE\s+(?:\w+\.)?(\w+)\s*=\s*@(\w+)/i.exec(sql);
  const chosen = rows.filter((row) => !where || row[where[1]] === values[where[2]]);
  const verb = /^\s*(\w+)/.exec(sql)?.[1].toUpperCase();
  if (verb === 'SELECT') return chosen;
  if (verb === 'INSERT') {
    const names = /\(([^)]*)\)\s*VALUES/i.exec(sql)?.[1].split(',') ?? [];
    const given = /VALUES\s*\(([^)]*)\)/i.exec(sql)?.[1].split(',') ?? [];
    const row = Object.fromEntries(names.map((name, n) => [name.trim(), values[given[n].trim().slice(1)]]));
    rows.push({ Id: String(nextId++), ...row });
    return 1;
  }
  if (verb === 'UPDATE') {
    for (const [, name, value] of (/SET(.*)WHERE/is.exec(sql)?.[1] ?? '').matchAll(/(\w+)\s*=\s*@(\w+)/g)) {
      for (const row of chosen) row[name] = values[value];
    }
    return chosen.length;
  }
  for (const row of chosen) rows.splice(rows.indexOf(row), 1);
  return chosen.length;
}

function columns() {
  const all = COLUMNS.map((name) =>
    Buffer.concat([Buffer.from([0, 0, 0, 0, 1, 0, 0xe7]), u16(8000), COLLATION, shortText(name)]),
  );
  return Buffer.concat([Buffer.from([0x81]), u16(COLUMNS.length), ...all]);
}

function row(/** @type {Record<string, string>} */ values) {
  const cells = COLUMNS.map((name) => {
    if (values[name] === undefined) return u16(0xffff);
    const text = utf16(values[name]);
    return Buffer.concat([u16(text.length), text]);
  });
  return Buffer.concat([Buffer.from([0xd1]), ...cells]);
}

function execute(/** @type {Buffer} */ data) {
  const [statement, , ...given] = parameters(data);
  const values = Object.fromEntries(given.map(({ name, value }) => [name.replace(/^@/, ''), value]));
  const result = perform(statement.value, values);
  if (typeof result === 'number') return done(0xfe, result);
  return Buffer.concat([columns(), ...result.map(row), done(0xfe, result.length)]);
}

function reply(/** @type {number} */ type, /** @type {Buffer} */ data) {
  if (type === PRELOGIN) return prelogin();
  if (type === LOGIN7) return loggedIn();
  return type === RPC ? execute(data) : done(0xfd, 0);
}

const server = createServer((socket) => {
  let waiting = Buffer.alloc(0);
  let message = Buffer.alloc(0);
  socket.on('error', () => {});
  socket.on('data', (data) => {
    waiting = Buffer.concat([waiting, data]);
    while (waiting.length >= 8 && waiting.length >= waiting.readUInt16BE(2)) {
      const size = waiting.readUInt16BE(2);
      message = Buffer.concat([message, waiting.subarray(8, size)]);
      if (waiting[1] & 1) {
        socket.write(packet(reply(waiting[0], message)));
        message = Buffer.alloc(0);
      }
      waiting = waiting.subarray(size);
    }
  });
});
server.listen(0, '127.0.0.1', () => console.log(/** @type {any} */ (server.address()).port));
process.stdin.on('end', () => process.exit(0)).resume();
