// @ts-check
import { apply, LEGACY, nextTick, toCallback } from './common.mjs';

const POOL_SIZE = 10; // what pg had until it dropped `connect`

/** `pg.connect(where, (err, client, done))` and `pg.end()`, gone since pg 7. */
export function pg(/** @type {any} */ exported) {
  if (exported.connect) return exported;
  queriesAreEmitters(exported.Client.prototype);
  /** @type {Map<string, any>} */
  const pools = new Map();

  function poolFor(/** @type {any} */ where) {
    const key = JSON.stringify(where) ?? '';
    let pool = pools.get(key);
    if (pool === undefined) {
      const config = typeof where === 'string' ? { connectionString: where } : where;
      pool = new exported.Pool({ max: POOL_SIZE, allowExitOnIdle: true, ...config });
      // An idle client was cut off: the pool has dropped it, and the next call gets another.
      pool.on('error', () => {});
      pools.set(key, pool);
    }
    return pool;
  }

  exported.connect = function connect(/** @type {any} */ where, /** @type {any} */ callback) {
    if (typeof where === 'function') return connect(undefined, where);
    poolFor(where).connect(callback);
  };
  exported.end = (/** @type {any} */ callback) => {
    const ended = Promise.all([...pools.values()].map((pool) => pool.end()));
    pools.clear();
    if (typeof callback === 'function') toCallback(ended, callback, () => undefined);
  };
  return exported;
}

/** `client.query(text).on('row', …)`: what a query without a callback was before pg 7. */
function queriesAreEmitters(/** @type {any} */ prototype) {
  const query = prototype.query;
  if (query[LEGACY]) return;
  prototype.query = function (/** @type {any[]} */ ...args) {
    const asked = apply(query, this, args);
    if (typeof asked?.then !== 'function' || asked.on) return asked;
    let heard = false;
    asked.on = (/** @type {string} */ event, /** @type {Function} */ listener) => {
      heard ||= event === 'error';
      asked.then(
        (/** @type {any} */ result) => {
          const told = event === 'row' ? result.rows : event === 'end' ? [result] : [];
          for (const each of told) nextTick(listener, each, result);
        },
        (/** @type {unknown} */ error) => {
          if (event === 'error') nextTick(listener, error);
          else if (!heard) throw error;
        },
      );
      return asked;
    };
    return asked;
  };
  prototype.query[LEGACY] = true;
}
