// @ts-check
/**
 * A runner: binds one connection revision, then runs its scripts, one invocation at a time.
 *
 * Exit codes:
 *    0  CLOSED    the worker closed the channel
 *   70  PROTOCOL  the worker said something we can't read
 */
import { EventEmitter } from 'node:events';
import { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { Console } from './console.mjs';
import {
  errorJson,
  UnauthorizedError,
  ValidationError,
  WrongUsernameOrPasswordError,
} from './errors.mjs';
import { watchExits } from './exits.mjs';
import { Decoder, send } from './frames.mjs';
import { Invocation } from './invocation.mjs';
import { BindFailure, load } from './loader.mjs';
import { installMagicGlobals } from './magic-globals.mjs';
import { Mappings } from './mappings.mjs';
import { createScriptRequire } from './modules.mjs';
import { apply, isObject, onRejection, reallyExit, stringify } from './primordials.mjs';

export const EXIT_CODES = Object.freeze({ CLOSED: 0, PROTOCOL: 70 });
const PROTOCOL = 1;

const channel = new Socket({ fd: 3, readable: true, writable: true });
const decoder = new Decoder();
/** @type {any} */
let limits;
/** @type {Console} */
let lines;
const mappings = new Mappings();
/** @type {(name: string) => unknown} */
let scriptRequire;
/** @type {Record<string, Function>} */
const bound = Object.create(null);
let withContext = false;
/** @type {Invocation | null} */
let current = null;
/** @type {string | null} */
let lastId = null;

/** @type {Record<string, (frame: any) => void>} */
const receivers = Object.assign(Object.create(null), { hello, bind, invoke, close });

/** @param {{proto: number, limits: any, modules: string, preload: string[]}} frame */
function hello(frame) {
  if (frame.proto !== PROTOCOL) reallyExit(EXIT_CODES.PROTOCOL);
  limits = frame.limits;
  lines = new Console(limits, send);
  scriptRequire = createScriptRequire(frame.modules, mappings.report);
  for (const name of frame.preload) {
    try {
      scriptRequire(name);
    } catch {
      // Only a head start: a script that needs it is told the reason then.
    }
  }
  const globals = {
    WrongUsernameOrPasswordError,
    ValidationError,
    UnauthorizedError,
    console: lines.surface(),
  };
  for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
  }
  send(`{"t":"ready","proto":${PROTOCOL},"node":"${process.version}","pid":${process.pid}}`);
}

/** @param {{scripts: Record<string, string>, configuration: Record<string, string>, with_context: boolean, magic_globals?: boolean}} frame */
function bind(frame) {
  const began = process.hrtime.bigint();
  withContext = frame.with_context;
  mappings.forget(); // what was loaded ahead is nobody's
  if (frame.magic_globals) installMagicGlobals(scriptRequire);
  Object.defineProperty(globalThis, 'configuration', { value: Object.freeze(frame.configuration) });
  for (const [action, text] of Object.entries(frame.scripts)) {
    const loaded = load(action, text, scriptRequire);
    if (loaded instanceof BindFailure) {
      const error = errorJson(loaded.error);
      send(
        `{"t":"bind_error","action":${stringify(action)},"line":${loaded.line},"error":${error}}`,
      );
      return;
    }
    bound[action] = loaded;
  }
  const us = (process.hrtime.bigint() - began) / 1000n;
  const actions = stringify(Object.keys(bound));
  send(`{"t":"bound","actions":${actions},"us":${us}${mappings.take()}}`);
}

function ended() {
  current = null;
  lines.attribute(null);
  channel.ref();
}

/** @param {{id: string, action: string, args: unknown[], context: object}} frame */
function invoke(frame) {
  const invocation = new Invocation(frame.id, limits, send, ended, mappings.take);
  current = invocation;
  lastId = invocation.idJson;
  lines.attribute(invocation.idJson);
  // Nothing of ours keeps the loop alive now: if the script leaves nothing pending, it drains.
  channel.unref();
  const args = frame.args;
  if (withContext) args[args.length] = frame.context;
  args[args.length] = invocation.callback;
  let returned;
  try {
    returned = apply(bound[frame.action], undefined, args);
  } catch (error) {
    if (!invocation.fail('threw', error)) invocation.violate('threw_after_callback', error);
    return;
  }
  if (isObject(returned)) watchPromise(invocation, returned);
}

/**
 * A promise alone completes nothing (C§4.1), but its rejection is worth knowing at once.
 * @param {Invocation} invocation
 * @param {any} returned
 */
function watchPromise(invocation, returned) {
  try {
    if (typeof returned.then !== 'function') return;
  } catch {
    return;
  }
  onRejection(returned, (reason) => {
    if (!invocation.fail('rejected', reason)) invocation.violate('rejected_after_callback', reason);
  });
}

function close() {
  reallyExit(EXIT_CODES.CLOSED);
}

process.on('beforeExit', () => {
  channel.ref();
  current?.fail('callback_never_called', {
    name: 'Error',
    message: 'the script ended without calling back, and nothing is pending that could',
  });
});

process.on('uncaughtException', (error, origin) => {
  const rejection = origin === 'unhandledRejection';
  const kind = rejection ? 'unhandled_rejection' : 'uncaught_exception';
  if (current === null) {
    send(`{"t":"fault","id":${lastId},"kind":"${kind}","error":${errorJson(error)}}`);
  } else if (!current.fail(kind, error)) {
    current.violate(rejection ? 'rejected_after_callback' : 'threw_after_callback', error);
  }
});

watchExits((code) => {
  const id = current?.idJson ?? null;
  current?.leave(); // it called back in this very tick, and the first call counts
  send(`{"t":"exit","id":${id},"code":${code}}`);
});

/** Scripts that clean up "all handles" must not find ours. */
function hideChannel() {
  const target = /** @type {any} */ (process);
  const handles = target._getActiveHandles.bind(process);
  target._getActiveHandles = () => {
    const all = handles();
    const others = /** @type {unknown[]} */ ([]);
    for (let index = 0; index < all.length; index++) {
      if (all[index] !== channel) others[others.length] = all[index];
    }
    return others;
  };
}

function nextFrame() {
  try {
    return decoder.next();
  } catch {
    return reallyExit(EXIT_CODES.PROTOCOL);
  }
}

hideChannel();
process.env = {}; // what Node needed of it, it has read
// Own, fixed methods: a script that patches EventEmitter can't cut us off; and a socket's `read`
// would go through `Function.prototype.call`.
Object.defineProperty(channel, 'emit', { value: EventEmitter.prototype.emit });
Object.defineProperty(channel, 'read', { value: Readable.prototype.read });
channel.on('data', (chunk) => {
  decoder.feed(/** @type {Buffer} */ (chunk));
  for (let frame = nextFrame(); frame !== undefined; frame = nextFrame()) {
    const receive = receivers[frame?.t];
    if (receive === undefined) reallyExit(EXIT_CODES.PROTOCOL);
    receive(frame);
  }
});
channel.on('error', close);
channel.on('close', close);
