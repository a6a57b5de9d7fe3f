// @ts-check
/**
 * One invocation and the callback rules (C§4.5): exactly once, last, after the work is done.
 *
 * The first call wins. Its reply leaves one macrotask later, so that a second call or a throw in
 * the same tick still stands on the result. What comes after that is a violation of its own.
 */
import { brief, errorJson } from './errors.mjs';
import {
  activeResources,
  heapStatistics,
  hrtime,
  setImmediate,
  stringify,
} from './primordials.mjs';
import { settleOnce } from './settle-once.mjs';
import { Unfit, valueJson } from './values.mjs';

const MAX_VIOLATIONS = 8;
const UNREADABLE = failure(
  'result_not_serializable',
  '{"name":"Error","message":"the result could not be read: out of stack"}',
);

export class Invocation {
  /** @type {string[]} */
  #violations = [];
  #body = UNREADABLE;
  #calls = 0;
  #scheduled = false;
  #settled = false;
  #left = false;
  #late = 0;
  #began = hrtime();

  /**
   * @param {string} id
   * @param {{result_bytes: number, depth: number}} limits
   * @param {(json: string) => void} send
   * @param {() => void} ended called just before the result leaves
   * @param {() => string} [notes] more members for the result's JSON, each after a comma
   */
  constructor(id, limits, send, ended, notes = () => '') {
    this.idJson = stringify(id);
    this.limits = limits;
    this.send = send;
    this.notes = notes;
    this.ended = ended;
    /** Told how to read the outcome, not the outcome: reading runs code of the script's. */
    this.settle = settleOnce((/** @type {() => string} */ read) => {
      this.#settled = true;
      this.#body = read();
    });
    this.callback = (/** @type {unknown} */ error, /** @type {unknown} */ value) =>
      this.#called(error, value);
  }

  /**
   * @param {unknown} error
   * @param {unknown} value
   */
  #called(error, value) {
    this.#schedule();
    this.#calls += 1;
    const settled = this.settle(() => this.#read(error, value));
    if (!settled) this.violate(this.#calls > 1 ? 'callback_twice' : 'late_callback', '');
  }

  /**
   * There will be no verdict; ignored when there is one already.
   * @param {string} detail
   * @param {unknown} error
   * @returns {boolean}
   */
  fail(detail, error) {
    this.#schedule();
    return this.settle(() => failure(detail, errorJson(error)));
  }

  /** Before all else: a script that is out of stack fails here, and may call once more. */
  #schedule() {
    if (this.#scheduled) return;
    setImmediate(() => this.leave());
    this.#scheduled = true;
  }

  /**
   * Only truthiness decides (C§3.1): `callback(0, profile)` is a success.
   * @param {unknown} error
   * @param {unknown} value
   */
  #read(error, value) {
    if (error) return failure('called_back_error', errorJson(error));
    const json = valueJson(value, this.limits);
    return json instanceof Unfit
      ? failure(json.detail, stringify({ name: 'Error', message: json.message }))
      : `"ok":true,"value":${json}`;
  }

  /**
   * A rule was broken without changing the outcome.
   * @param {string} kind
   * @param {unknown} what
   */
  violate(kind, what) {
    const json = `"kind":"${kind}","message":${stringify(brief(what))}`;
    if (!this.#left) {
      const count = this.#violations.length;
      if (count < MAX_VIOLATIONS) this.#violations[count] = json;
    } else if (this.#late++ < MAX_VIOLATIONS) {
      this.send(`{"t":"violation","id":${this.idJson},${json}}`);
    }
  }

  /** Send the outcome, if there is one that has not left yet. */
  leave() {
    if (!this.#settled || this.#left) return;
    this.#left = true;
    let violations = '';
    for (let index = 0; index < this.#violations.length; index++) {
      violations += `${index ? ',' : ''}{${this.#violations[index]}}`;
    }
    const us = (hrtime() - this.#began) / 1000n;
    const heap = heapStatistics().used_heap_size;
    const handles = activeResources().length;
    this.ended();
    this.send(
      `{"t":"result","id":${this.idJson},${this.#body},"us":${us},"violations":[${violations}],` +
        `"heap":${heap},"handles":${handles}${this.notes()}}`,
    );
  }
}

/**
 * @param {string} detail
 * @param {string} error
 */
function failure(detail, error) {
  return `"ok":false,"detail":"${detail}","error":${error}`;
}
