// @ts-check
/** What a stand-in has in common: it prints its port, obeys its standard input, ends with it. */
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';

/**
 * @param {(socket: import('node:net').Socket) => void} welcome
 * @param {(command: any) => unknown} obey a test's command, a line of JSON, answered by a line
 */
export function standIn(welcome, obey) {
  const say = (/** @type {unknown} */ answer) =>
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  const server = createServer((socket) => {
    socket.on('error', () => {}); // a runner was ended: nothing is to be told to anybody
    welcome(socket);
  });
  server.listen(0, '127.0.0.1', () => say(/** @type {any} */ (server.address()).port));
  createInterface({ input: process.stdin })
    .on('line', (line) => say(obey(JSON.parse(line)) ?? null))
    .on('close', () => process.exit(0));
}
