// @ts-check
/** Drives one real runner over fd 3, as the worker does, and reads what scripts expect. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Decoder, encode } from '../../services/script_worker/harness/frames.mjs';

const here = (/** @type {string} */ path) => fileURLToPath(new URL(path, import.meta.url));
const MAIN = here('../../services/script_worker/harness/main.mjs');
const SCRIPTS = here('../action_scripts/');
export const MODULES = here('../../services/script_worker/modules');
export const LIMITS = {
  result_bytes: 1024 * 1024,
  console_bytes: 64 * 1024,
  console_lines: 200,
  line_chars: 4096,
  depth: 64,
};

/** A runner process. `frames` is all it has said; `next` waits for what it has not said yet. */
export class Runner {
  /** @type {any[]} */
  frames = [];
  #read = 0;
  /** @type {() => void} */
  #wake = () => {};

  /** @param {{preload?: string[], proto?: number}} [options] */
  constructor({ preload = [], proto = 1 } = {}) {
    const flags = ['--max-old-space-size=256', '--disable-sigusr1', '--no-deprecation'];
    this.process = spawn(process.execPath, [...flags, MAIN], {
      env: { TZ: 'UTC' },
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    });
    this.stderr = '';
    this.process.stderr?.setEncoding('utf8').on('data', (text) => {
      this.stderr += text;
    });
    const decoder = new Decoder();
    this.channel = /** @type {import('node:net').Socket} */ (this.process.stdio[3]);
    this.channel.on('data', (chunk) => {
      decoder.feed(chunk);
      for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
        this.frames.push(frame);
      }
      this.#wake();
    });
    this.channel.on('error', () => {}); // it died; `ended` tells
    /** @type {Promise<number | string>} the exit code, or the signal */
    this.ended = new Promise((resolve) => {
      this.process.on('close', (code, signal) => {
        this.over = true;
        this.#wake();
        resolve(signal ?? code ?? 'unknown');
      });
    });
    this.over = false;
    this.send({ t: 'hello', proto, limits: LIMITS, modules: MODULES, preload });
  }

  /** @param {object} frame */
  send(frame) {
    this.channel.write(encode(JSON.stringify(frame)));
  }

  /**
   * @param {...string} types
   * @returns {Promise<any>} the next frame of one of these types, or undefined when it is over
   */
  async next(...types) {
    for (;;) {
      while (this.#read < this.frames.length) {
        const frame = this.frames[this.#read++];
        if (types.includes(frame.t)) return frame;
      }
      if (this.over) return undefined;
      await new Promise((resolve) => {
        this.#wake = () => resolve(undefined);
      });
    }
  }

  /**
   * @param {Record<string, string>} scripts
   * @param {{configuration?: object, withContext?: boolean, magicGlobals?: boolean}} [options]
   */
  bind(scripts, { configuration = {}, withContext = false, magicGlobals = false } = {}) {
    const flags = { with_context: withContext, magic_globals: magicGlobals };
    this.send({ t: 'bind', scripts, configuration, ...flags });
    return this.next('bound', 'bind_error');
  }

  /**
   * @param {string} id
   * @param {unknown[]} [args]
   * @param {{action?: string, context?: object}} [options]
   */
  invoke(id, args = ['alice@example.com', 'correct horse'], options = {}) {
    const { action = 'login', context = {} } = options;
    this.send({ t: 'invoke', id, action, args, context, remaining_ms: 5000 });
    return this.next('result', 'exit');
  }

  async [Symbol.asyncDispose]() {
    this.process.kill('SIGKILL');
    await this.ended;
  }
}

/** The files of the corpus with what their first comment lines say. */
export function corpus() {
  return readdirSync(SCRIPTS)
    .filter((file) => file.endsWith('.js'))
    .map((file) => {
      const text = readFileSync(`${SCRIPTS}${file}`, 'utf8');
      /** @type {Record<string, string>} */
      const says = {};
      for (const line of text.split('\n')) {
        if (!line.startsWith('//')) break;
        const found = /^\/\/ ([a-z_]+): (.*)$/.exec(line);
        if (found) says[found[1]] = found[2].trim();
      }
      return { name: file.slice(0, -3), text, says };
    });
}
