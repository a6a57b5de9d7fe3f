// @ts-check
/** The part of TDS 7.4 (MS-TDS) that drivers need: packets, tokens, the values of parameters. */

export const PACKET = { batch: 1, rpc: 3, reply: 4, login: 16, prelogin: 18 };
export const DONE = 0xfd;
export const DONE_IN_PROC = 0xff;
export const DONE_PROC = 0xfe;
const PACKET_SIZE = 4096;
const LATIN = Buffer.from([9, 4, 0xd0, 0, 0x34]); // SQL_Latin1_General_CP1_CI_AS
const DAY = 86_400_000;
const EPOCH = Date.UTC(1900, 0, 1);
const ENCRYPTION = 1;
const NO_ENCRYPTION = 2;

const u16 = (/** @type {number} */ value) => Buffer.from([value & 255, value >> 8]);
const utf16 = (/** @type {string} */ text) => Buffer.from(text, 'utf16le');
const shortText = (/** @type {string} */ text) =>
  Buffer.concat([Buffer.from([text.length]), utf16(text)]);

/** @param {number} type @param {Buffer} content */
export function packets(type, content) {
  const all = [];
  const room = PACKET_SIZE - 8;
  for (let at = 0; at === 0 || at < content.length; at += room) {
    const part = content.subarray(at, at + room);
    const header = Buffer.from([type, at + room < content.length ? 0 : 1, 0, 0, 0, 0, 1, 0]);
    header.writeUInt16BE(8 + part.length, 2);
    all.push(header, part);
  }
  return Buffer.concat(all);
}

// -- what is read ---------------------------------------------------------------------------------

/** Cuts what arrives into messages. */
export class Messages {
  #waiting = Buffer.alloc(0);
  #message = Buffer.alloc(0);

  /** @param {Buffer} data @returns {Generator<{type: number, content: Buffer}>} */
  *take(data) {
    this.#waiting = Buffer.concat([this.#waiting, data]);
    while (this.#waiting.length >= 8 && this.#waiting.length >= this.#waiting.readUInt16BE(2)) {
      const size = this.#waiting.readUInt16BE(2);
      const [type, status] = this.#waiting;
      this.#message = Buffer.concat([this.#message, this.#waiting.subarray(8, size)]);
      this.#waiting = this.#waiting.subarray(size);
      if (!(status & 1)) continue;
      const content = this.#message;
      this.#message = Buffer.alloc(0);
      yield { type, content };
    }
  }
}

class Reader {
  at = 0;
  constructor(/** @type {Buffer} */ data) {
    this.data = data;
  }

  get more() {
    return this.at < this.data.length;
  }

  bytes(/** @type {number} */ count) {
    this.at += count;
    return this.data.subarray(this.at - count, this.at);
  }

  number(/** @type {number} */ size) {
    return this.bytes(size).readUIntLE(0, size);
  }

  /** A value in chunks, as texts of any length come. */
  chunks() {
    if (this.bytes(8).equals(Buffer.alloc(8, 0xff))) return null;
    const all = [];
    for (let size = this.number(4); size > 0; size = this.number(4)) all.push(this.bytes(size));
    return Buffer.concat(all);
  }
}

/** User and password of a LOGIN7. */
export function readLogin(/** @type {Buffer} */ data) {
  const field = (/** @type {number} */ place) => {
    const start = data.readUInt16LE(place);
    return data.subarray(start, start + 2 * data.readUInt16LE(place + 2));
  };
  const hidden = field(44).map((byte) => ((byte ^ 0xa5) << 4) | ((byte ^ 0xa5) >> 4));
  const password = Buffer.from(hidden).toString('utf16le');
  return { user: field(40).toString('utf16le'), password };
}

/** Whether a PRELOGIN asks for encryption. */
export function wantsEncryption(/** @type {Buffer} */ data) {
  for (let at = 0; data[at] !== 0xff; at += 5) {
    if (data[at] === ENCRYPTION) return [1, 3].includes(data[data.readUInt16BE(at + 1)]);
  }
  return false;
}

/** The text of a batch. */
export function readBatch(/** @type {Buffer} */ data) {
  return data.toString('utf16le', data.readUInt32LE(0));
}

/** The statement and the values of `sp_executesql`. */
export function readCall(/** @type {Buffer} */ data) {
  const reader = new Reader(data);
  reader.at = data.readUInt32LE(0);
  const length = reader.number(2);
  reader.at += (length === 0xffff ? 2 : 2 * length) + 2;
  const given = [];
  while (reader.more) given.push(readParameter(reader));
  const [statement, , ...values] = given;
  const named = values.map(({ name, value }) => [name.replace(/^@/, ''), value]);
  return { sql: String(statement.value), values: Object.fromEntries(named) };
}

function readParameter(/** @type {Reader} */ reader) {
  const name = reader.bytes(2 * reader.number(1)).toString('utf16le');
  reader.at += 1;
  return { name, value: readValue(reader, reader.number(1)) };
}

/** @param {Reader} reader @param {number} type @returns {string | number | Buffer | null} */
function readValue(reader, type) {
  const long = LONG_TYPES[type];
  if (long !== undefined) {
    const longest = reader.number(2);
    if (long !== 'bytes') reader.at += LATIN.length;
    const size = longest === 0xffff ? 0 : reader.number(2);
    const bytes =
      longest === 0xffff ? reader.chunks() : size === 0xffff ? null : reader.bytes(size);
    return bytes === null || long === 'bytes' ? bytes : bytes.toString(long);
  }
  const decode = SHORT_TYPES[type];
  if (decode === undefined) throw new Error(`a parameter of type 0x${type.toString(16)}`);
  reader.at += 1;
  const size = reader.number(1);
  return size === 0 ? null : decode(reader.bytes(size));
}

/** @type {Record<number, 'utf16le' | 'latin1' | 'bytes'>} */
const LONG_TYPES = { 231: 'utf16le', 239: 'utf16le', 167: 'latin1', 175: 'latin1', 165: 'bytes' };
/** @type {Record<number, (bytes: Buffer) => string | number>} */
const SHORT_TYPES = {
  36: guidText,
  38: (bytes) => bytes.readIntLE(0, Math.min(bytes.length, 6)),
  104: (bytes) => bytes[0],
  109: (bytes) => (bytes.length === 8 ? bytes.readDoubleLE() : bytes.readFloatLE()),
  111: (bytes) =>
    new Date(EPOCH + bytes.readInt32LE() * DAY + bytes.readUInt32LE(4) / 0.3).toISOString(),
};

function guidText(/** @type {Buffer} */ bytes) {
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  const hex = Buffer.from(order.map((place) => bytes[place]))
    .toString('hex')
    .toUpperCase();
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

// -- what is written ------------------------------------------------------------------------------

/** Version 15, and whether there is encryption. */
export function prelogin(/** @type {boolean} */ encrypted) {
  const options = Buffer.from([0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff]);
  return Buffer.concat([options, Buffer.from([15, 0, 0, 0, 0, 0, encrypted ? 1 : NO_ENCRYPTION])]);
}

export function loggedIn() {
  const server = Buffer.concat([
    Buffer.from([1, 0x74, 0, 0, 4]),
    shortText('Stand-in'),
    Buffer.from([15, 0, 0, 0]),
  ]);
  const collation = Buffer.from([0xe3, 8, 0, 7, LATIN.length, ...LATIN, 0]);
  return Buffer.concat([collation, Buffer.from([0xad]), u16(server.length), server, done(DONE, 0)]);
}

/** @param {number} number @param {string} message */
export function refusal(number, message) {
  const body = Buffer.concat([
    Buffer.from([number & 255, (number >> 8) & 255, 0, 0, 1, 14]),
    u16(message.length),
    utf16(message),
    shortText('Stand-in'),
    shortText(''),
    Buffer.from([1, 0, 0, 0]),
  ]);
  const failed = done(DONE, 0);
  failed[1] = 2;
  return Buffer.concat([Buffer.from([0xaa]), u16(body.length), body, failed]);
}

/** @param {number} token @param {number} count */
export function done(token, count) {
  const body = Buffer.alloc(13);
  body[0] = token;
  body[1] = token === DONE_IN_PROC ? 0x11 : 0x10;
  body.writeUInt32LE(count, 5);
  return body;
}

/**
 * @typedef {{info: Buffer, encode: (value: any) => Buffer}} Type
 * @typedef {{name: string, type: Type}} Column
 */

/** @param {number} id @param {number} size @param {(value: any) => Buffer} bytes @returns {Type} */
const short = (id, size, bytes) => ({
  info: Buffer.from([id, size]),
  encode: (value) =>
    value === null ? Buffer.from([0]) : Buffer.concat([Buffer.from([size]), bytes(value)]),
});

/** @type {[RegExp, Type][]} */
const TYPES = [
  [/^int/i, short(0x26, 4, (value) => Buffer.from(new Int32Array([value]).buffer))],
  [/^bit/i, short(0x68, 1, (value) => Buffer.from([value ? 1 : 0]))],
  [/^uniqueidentifier/i, short(0x24, 16, guidBytes)],
  [/^datetime/i, short(0x6f, 8, instantBytes)],
];
/** @type {Type} */
const TEXT = {
  info: Buffer.concat([Buffer.from([0xe7]), u16(8000), LATIN]),
  encode: (value) => {
    const text = value === null ? null : utf16(String(value));
    return text === null ? u16(0xffff) : Buffer.concat([u16(text.length), text]);
  },
};

/** What a column's declaration stands for. */
export function typeOf(/** @type {string | null} */ declared) {
  return TYPES.find(([pattern]) => declared !== null && pattern.test(declared))?.[1] ?? TEXT;
}

function guidBytes(/** @type {string} */ text) {
  const bytes = Buffer.from(text.replaceAll('-', ''), 'hex');
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  return Buffer.from(order.map((place) => bytes[place]));
}

function instantBytes(/** @type {string} */ text) {
  const since = Date.parse(text) - EPOCH;
  const bytes = Buffer.alloc(8);
  bytes.writeInt32LE(Math.floor(since / DAY));
  bytes.writeUInt32LE(Math.round((since % DAY) * 0.3), 4);
  return bytes;
}

/** @param {Column[]} columns @param {Record<string, unknown>[]} rows */
export function table(columns, rows) {
  const heads = columns.map(({ name, type }) =>
    Buffer.concat([Buffer.from([0, 0, 0, 0, 1, 0]), type.info, shortText(name)]),
  );
  const lines = rows.map((row) =>
    Buffer.concat([
      Buffer.from([0xd1]),
      ...columns.map(({ name, type }) => type.encode(row[name] ?? null)),
    ]),
  );
  return Buffer.concat([Buffer.from([0x81]), u16(columns.length), ...heads, ...lines]);
}
