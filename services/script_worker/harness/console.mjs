// @ts-check
/** The console that scripts see: each line becomes a frame, capped per invocation. */
import { apply, format, slice, stringify } from './primordials.mjs';

const LEVELS = /** @type {const} */ (['log', 'info', 'warn', 'error', 'debug', 'trace']);
const AS_LOG = ['dir', 'dirxml', 'table', 'group', 'groupCollapsed'];
const SILENT = ['groupEnd', 'clear', 'count', 'countReset', 'time', 'timeEnd', 'timeLog'];

/** Captures, cuts and sends what scripts write. */
export class Console {
  #lines = 0;
  #chars = 0;
  #cut = false;
  /** @type {string | null} */
  #id = null;

  /**
   * @param {{console_bytes: number, console_lines: number, line_chars: number}} limits
   * @param {(json: string) => void} send
   */
  constructor(limits, send) {
    this.limits = limits;
    this.send = send;
  }

  /** @param {string | null} idJson the invocation that owns what follows; null: none */
  attribute(idJson) {
    this.#id = idJson;
    this.#lines = this.#chars = 0;
    this.#cut = false;
  }

  /**
   * @param {string} level
   * @param {unknown[]} args
   */
  write(level, args) {
    if (this.#cut) return;
    let text;
    try {
      text = apply(format, undefined, args);
    } catch {
      text = '[a value that can not be shown]';
    }
    const truncated = text.length > this.limits.line_chars;
    if (truncated) text = slice(text, 0, this.limits.line_chars);
    this.#lines += 1;
    this.#chars += text.length;
    // The last line that fits says so itself; everything after it is dropped unsent.
    this.#cut =
      this.#lines >= this.limits.console_lines || this.#chars >= this.limits.console_bytes;
    const flags = `"truncated":${truncated || this.#cut}`;
    this.send(
      `{"t":"log","id":${this.#id ?? 'null'},"level":"${level}","text":${stringify(text)},${flags}}`,
    );
  }

  /** @returns {object} what stands as `console` in scripts */
  surface() {
    /** @type {Record<string, (...args: unknown[]) => void>} */
    const surface = {};
    for (const level of LEVELS) surface[level] = (...args) => this.write(level, args);
    for (const name of AS_LOG) surface[name] = (...args) => this.write('log', args);
    for (const name of SILENT) surface[name] = () => {};
    surface.assert = (held, ...args) => {
      if (!held) this.write('error', ['Assertion failed', ...args]);
    };
    return surface;
  }
}
