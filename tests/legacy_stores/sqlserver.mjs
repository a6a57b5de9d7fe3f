// @ts-check
/**
 * SQL Server as a driver sees it: TDS, with SQLite behind it, whose SQL is near enough to
 * Transact-SQL for what membership tables are asked. The arguments are the password of the user
 * `legacy`, and a file with a key and a certificate for who asks for encryption.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { Duplex } from 'node:stream';
import { createSecureContext, TLSSocket } from 'node:tls';
import { standIn } from './control.mjs';
import * as tds from './tds.mjs';

const { PACKET } = tds;
const [password, certificate] = process.argv.slice(2);
const LOGIN_FAILED = 18456;
const BAD_STATEMENT = 102;

const database = new DatabaseSync(':memory:');
database.exec("ATTACH ':memory:' AS dbo");
database.function('NEWID', () => randomUUID().toUpperCase());
for (const name of ['GETDATE', 'GETUTCDATE']) {
  database.function(name, () => new Date().toISOString());
}

/** @param {string} sql @param {Record<string, any>} values */
function perform(sql, values) {
  const statement = database.prepare(sql);
  statement.setAllowUnknownNamedParameters(true);
  const columns = statement.columns();
  if (columns.length === 0) return tds.done(tds.DONE_PROC, Number(statement.run(values).changes));
  const rows = /** @type {Record<string, unknown>[]} */ (statement.all(values));
  const typed = columns.map(({ name, type }) => ({ name, type: tds.typeOf(type) }));
  const counted = tds.done(tds.DONE_IN_PROC, rows.length);
  return Buffer.concat([tds.table(typed, rows), counted, tds.done(tds.DONE_PROC, 0)]);
}

/** @param {number} type @param {Buffer} content */
function answer(type, content) {
  if (type === PACKET.login) {
    const given = tds.readLogin(content);
    if (given.user === 'legacy' && given.password === password) return tds.loggedIn();
    return tds.refusal(LOGIN_FAILED, `Login failed for user '${given.user}'.`);
  }
  // A batch is what a driver sends by itself: settings of the session.
  if (type !== PACKET.rpc) return tds.done(tds.DONE, 0);
  try {
    const { sql, values } = tds.readCall(content);
    return perform(sql, values);
  } catch (error) {
    return tds.refusal(BAD_STATEMENT, String(error));
  }
}

/** Messages in, answers out, over anything. */
function converse(/** @type {import('node:stream').Duplex} */ stream) {
  const messages = new tds.Messages();
  stream.on('data', (data) => {
    for (const { type, content } of messages.take(data)) {
      stream.write(tds.packets(PACKET.reply, answer(type, content)));
    }
  });
}

/** TLS whose handshake travels inside PRELOGIN packets, and what follows bare. */
function encrypted(/** @type {import('node:net').Socket} */ socket) {
  const handshake = new tds.Messages();
  let bare = false;
  const records = new Duplex({
    read() {},
    write(chunk, _encoding, next) {
      socket.write(bare ? chunk : tds.packets(PACKET.prelogin, chunk), () => next());
    },
  });
  socket.on('data', (data) => {
    bare ||= data[0] !== PACKET.prelogin;
    if (bare) records.push(data);
    else for (const { content } of handshake.take(data)) records.push(content);
  });
  const pem = readFileSync(certificate);
  const secureContext = createSecureContext({ key: pem, cert: pem, maxVersion: 'TLSv1.2' });
  const stream = new TLSSocket(/** @type {any} */ (records), { isServer: true, secureContext });
  stream.on('error', () => {});
  return stream;
}

standIn(
  (socket) => {
    const greeting = new tds.Messages();
    const greet = (/** @type {Buffer} */ data) => {
      for (const { content } of greeting.take(data)) {
        socket.off('data', greet);
        const secret = tds.wantsEncryption(content);
        socket.write(tds.packets(PACKET.reply, tds.prelogin(secret)));
        converse(secret ? encrypted(socket) : socket);
      }
    };
    socket.on('data', greet);
  },
  ({ script, sql, values = {} }) =>
    script === undefined ? database.prepare(sql).all(values) : database.exec(script),
);
