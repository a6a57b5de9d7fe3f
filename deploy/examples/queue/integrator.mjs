// Ask for an execution over the queue, or follow events: with amqplib alone.
//
//   AMQP_URL=amqp://billing:…@broker/ SEALING_KEY=billing.1:… \
//     node integrator.mjs ask con_… login '["ada@example.com", "password"]'
//   AMQP_URL=… SEALING_KEY=… node integrator.mjs events
//
// Written from docs/contracts/asyncapi.json and docs/integrate-over-the-queue.md. It prints JSON
// lines. TIMEOUT (seconds, 10) is how long `ask` gives the script; EVENTS ends `events` after so
// many; PREFIX (trickle) begins the names on the broker.

import { createCipheriv, createDecipheriv, hkdfSync, randomBytes, randomUUID } from 'node:crypto';
import amqplib from 'amqplib';

const prefix = process.env.PREFIX ?? 'trickle';
const [keyId, encodedKey] = process.env.SEALING_KEY.split(':');
const name = keyId.slice(0, keyId.lastIndexOf('.'));
const remembered = 10_000;

/** Neither refused nor answered. */
class Unanswered extends Error {}

/** Each direction has a key of its own, derived from the sealing key. */
function keyFor(direction) {
  const key = Buffer.from(encodedKey, 'base64');
  return Buffer.from(hkdfSync('sha256', key, '', `trickle/1/${direction}`, 32));
}

/** What sealed data is bound to; no revision is an empty string. */
function associated(direction, request) {
  const microseconds = String(BigInt(Date.parse(request.deadline)) * 1000n);
  const parts = [direction, request.execution_id, request.connection_id];
  return Buffer.from([...parts, '', request.action, microseconds].join('\0'));
}

function seal(direction, request, value) {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', keyFor(direction), nonce);
  cipher.setAAD(associated(direction, request));
  const body = [cipher.update(JSON.stringify(value)), cipher.final()];
  return Buffer.concat([nonce, ...body, cipher.getAuthTag()]).toString('base64');
}

function open(direction, request, sealed) {
  const data = Buffer.from(sealed.data, 'base64');
  const decipher = createDecipheriv('aes-256-gcm', keyFor(direction), data.subarray(0, 12));
  decipher.setAAD(associated(direction, request));
  decipher.setAuthTag(data.subarray(-16));
  return JSON.parse(Buffer.concat([decipher.update(data.subarray(12, -16)), decipher.final()]));
}

/** A UUIDv7 (RFC 9562, section 5.7). */
function executionId() {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** Publish one request and wait for its result. */
async function ask(connection, connectionId, action, values) {
  const milliseconds = Number(process.env.TIMEOUT ?? '10') * 1000;
  const request = {
    schema_version: 1,
    execution_id: executionId(),
    connection_id: connectionId,
    action,
    deadline: new Date(Date.now() + milliseconds).toISOString(),
    requested_at: new Date().toISOString(),
    origin: name,
    reply_to: `${name}.node`,
  };
  request.sealed_arguments = { key_id: keyId, data: seal('arguments', request, values) };

  const channel = await connection.createConfirmChannel();
  const answered = result(channel, request, milliseconds + 20_000);
  channel.publish(`${prefix}.req`, connectionId, Buffer.from(JSON.stringify(request)), {
    contentType: 'application/vnd.trickle.execution+json',
    type: 'trickle.execution.request',
    correlationId: request.execution_id,
    messageId: randomUUID(),
    persistent: true,
    mandatory: true,
    expiration: String(milliseconds),
  });
  const [found] = await Promise.all([answered, channel.waitForConfirms()]); // or the queue is full
  return found;
}

/** A worker that is lost in the last moment is noticed some seconds after the deadline. */
function result(channel, request, within) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Unanswered('no result came')), within);
    channel.on('error', reject); // refused: the connection is not ours
    channel.on('return', () => reject(new Unanswered('no queue takes it: is there such a connection?')));
    const take = (message) => {
      const found = JSON.parse(message.content);
      channel.ack(message);
      if (found.execution_id === request.execution_id) {
        clearTimeout(timer);
        resolve(outcome(request, found));
      }
    };
    channel.consume(`${prefix}.integrator.${name}.replies`, take).catch(reject);
  });
}

/** The outcome, its value in the clear. */
function outcome(request, found) {
  const { sealed_value: sealed, ...rest } = found.outcome;
  const value = sealed === undefined ? {} : { value: open('value', request, sealed) };
  return { ...rest, ...value, execution_id: found.execution_id };
}

/** Print each event once: they come at least once. */
async function follow(connection) {
  let left = Number(process.env.EVENTS ?? '0');
  const seen = new Set(); // a service would keep the ids where it keeps the effects
  const channel = await connection.createChannel();
  await channel.prefetch(100);
  await new Promise((resolve, reject) => {
    const take = (message) => {
      const event = JSON.parse(message.content);
      if (!seen.has(event.event_id)) {
        seen.add(event.event_id);
        if (seen.size > remembered) seen.delete(seen.values().next().value);
        console.log(JSON.stringify(event));
        left -= 1;
      }
      channel.ack(message); // after the effect, so that nothing is lost
      if (left === 0) resolve();
    };
    channel.consume(`${prefix}.integrator.${name}.events`, take).catch(reject);
  });
  await channel.close();
}

const [what, ...given] = process.argv.slice(2);
try {
  const connection = await amqplib.connect(process.env.AMQP_URL);
  if (what === 'events') {
    await follow(connection);
  } else {
    console.log(JSON.stringify(await ask(connection, given[0], given[1], JSON.parse(given[2]))));
  }
  await connection.close();
} catch (error) {
  const refused = error instanceof Unanswered ? '' : 'the broker refuses it, or is not there: ';
  console.error(`${refused}${error.message}`);
  process.exit(1);
}
