// @ts-check
import { like, nextTick } from './common.mjs';

/** A connection that connects by itself, as before version 9, and takes the configuration of then. */
export function tedious(/** @type {any} */ exported) {
  class Connection extends exported.Connection {
    #asked = false;
    #itself = false;

    constructor(/** @type {any} */ config) {
      super(authenticated(config));
      // Nobody listens before there is a listener, and a current script connects by itself: so the
      // first `on('connect')` is what asks, also one that comes after a hash was made.
      const begin = (/** @type {string} */ event) => {
        if (event !== 'connect') return;
        this.removeListener('newListener', begin);
        nextTick(() => {
          if (this.#asked) return;
          this.#itself = true;
          super.connect();
        });
      };
      this.on('newListener', begin);
    }

    connect(/** @type {any} */ listener) {
      if (!this.#itself) {
        this.#asked = true;
        return super.connect(listener);
      }
      if (typeof listener !== 'function') return;
      if (this.state === this.STATE.CONNECTING) this.once('connect', listener);
      else nextTick(listener, this.closed ? new Error('the connection is closed') : undefined);
    }
  }

  class Request extends exported.Request {
    addParameter(/** @type {any[]} */ ...args) {
      args[2] = textFor(args[1], args[2]);
      return super.addParameter(...args);
    }

    emit(/** @type {string} */ event, /** @type {any[]} */ ...args) {
      if (event === 'row' && Array.isArray(args[0])) nameColumns(args[0]);
      return super.emit(event, ...args);
    }
  }

  const TYPES = { UniqueIdentifierN: exported.TYPES.UniqueIdentifier, ...exported.TYPES };
  return like({}, exported, { Connection, Request, TYPES });
}

/** Until version 10 what is no text became one, such as a number that is looked for as VarChar. */
function textFor(/** @type {any} */ type, /** @type {any} */ value) {
  const text = /^N?(VarChar|Char|Text)$/.test(type?.name);
  const streamed = typeof value?.[Symbol.asyncIterator] === 'function';
  return text && value != null && !streamed ? String(value) : value;
}

/** Until version 0.2 a column was found by its place and by its name. */
function nameColumns(/** @type {any} */ columns) {
  for (const column of columns) {
    const name = column?.metadata?.colName;
    if (name && !(name in columns)) Object.defineProperty(columns, name, { value: column });
  }
}

/**
 * `{ userName, password, server }` is the form until version 6, whose defaults come with it: no
 * encryption, and a server's certificate is not looked at.
 * @param {any} config
 */
function authenticated(config) {
  if (config === null || typeof config !== 'object' || config.authentication) return config;
  const { userName, password, domain, ...rest } = config;
  if (userName === undefined && password === undefined) return config;
  const type = domain === undefined ? 'default' : 'ntlm';
  const options = { encrypt: false, trustServerCertificate: true, ...rest.options };
  return { ...rest, options, authentication: { type, options: { userName, password, domain } } };
}
