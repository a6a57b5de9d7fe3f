// @ts-check
/**
 * Loaded before each Node client: a connection to another machine ends the program, so that no
 * client's call home goes unseen, here or where there is a network.
 */
import net from 'node:net';

const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost']);
const connect = net.Socket.prototype.connect;

/** @param {any[]} given port and host, a path, options, or Node's own normalised list of them */
function hostOf([first, second]) {
  const asked = Array.isArray(first) ? first[0] : first;
  if (asked === null || typeof asked !== 'object')
    return typeof second === 'string' ? second : 'localhost';
  return asked.path ? 'localhost' : (asked.host ?? 'localhost');
}

net.Socket.prototype.connect = function (/** @type {any[]} */ ...given) {
  const host = hostOf(given);
  if (!LOOPBACK.has(host)) {
    console.error(`a connection to ${host}, which is not this machine`);
    process.exit(70);
  }
  return Reflect.apply(connect, this, given);
};
