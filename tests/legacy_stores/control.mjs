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
  /** @type {Set<import('node:net').Socket>} */
  const open = new Set();
  const cut = () => {
    for (const socket of open) socket.destroy();
  };
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('error', () => {}); // a runner was ended: nothing is to be told to anybody
    socket.on('close', () => open.delete(socket));
    welcome(socket);
  });
  server.listen(0, '127.0.0.1', () => say(/** @type {any} */ (server.address()).port));
  createInterface({ input: process.stdin })
    .on('line', (line) => {
      const command = JSON.parse(line);
      say((command.cut ? cut() : obey(command)) ?? null);
    })
    .on('close', () => process.exit(0));
}
