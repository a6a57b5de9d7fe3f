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
  isObject,
  setImmediate,
  stringify,
} from './primordials.mjs';
import { settleOnce } from './settle-once.mjs';
import { Unfit, valueJson } from './values.mjs';

const MAX_VIOLATIONS = 8;

export class Invocation {
  /** @type {string[]} */
  #violations = [];
  #calls = 0;
  #left = false;
  #late = 0;
  #began = hrtime();

  /**
   * @param {string} id
   * @param {{result_bytes: number, depth: number}} limits
   * @param {(json: string) => void} send
   * @param {() => void} ended called once the result has left
   */
  constructor(id, limits, send, ended) {
    this.idJson = stringify(id);
    this.limits = limits;
    this.send = send;
    this.settle = settleOnce((/** @type {string} */ body) =>
      setImmediate(() => this.#leave(body, ended)),
    );
    this.callback = (/** @type {unknown} */ error, /** @type {unknown} */ value) =>
      this.#called(error, value);
  }

  /** Whether the callback was called. */
  get called() {
    return this.#calls > 0;
  }

  /**
   * @param {unknown} error
   * @param {unknown} value
   */
  #called(error, value) {
    this.#calls += 1;
    const settled = this.settle(this.#body(error, value));
    if (!settled) this.violate(this.#calls > 1 ? 'callback_twice' : 'late_callback', '');
  }

  /**
   * Only truthiness decides (C§3.1): `callback(0, profile)` is a success.
   * @param {unknown} error
   * @param {unknown} value
   */
  #body(error, value) {
    if (this.#calls > 1) return '';
    if (error) return failure('called_back_error', errorJson(error));
    const json = valueJson(value, this.limits);
    return json instanceof Unfit
      ? failure(json.detail, stringify({ name: 'Error', message: json.message }))
      : `"ok":true,"value":${json}`;
  }

  /**
   * There will be no verdict; ignored when there is one already.
   * @param {string} detail
   * @param {unknown} error
   * @returns {boolean}
   */
  fail(detail, error) {
    return this.settle(failure(detail, errorJson(error)));
  }

  /**
   * A rule was broken without changing the outcome.
   * @param {string} kind
   * @param {unknown} what
   */
  violate(kind, what) {
    const json = `"kind":"${kind}","message":${stringify(isObject(what) ? brief(what) : `${String(what)}`)}`;
    if (!this.#left) {
      if (this.#violations.length < MAX_VIOLATIONS)
        this.#violations[this.#violations.length] = json;
    } else if (this.#late++ < MAX_VIOLATIONS) {
      this.send(`{"t":"violation","id":${this.idJson},${json}}`);
    }
  }

  /**
   * @param {string} body
   * @param {() => void} ended
   */
  #leave(body, ended) {
    this.#left = true;
    let violations = '';
    for (let index = 0; index < this.#violations.length; index++) {
      violations += `${index ? ',' : ''}{${this.#violations[index]}}`;
    }
    const us = (hrtime() - this.#began) / 1000n;
    const heap = heapStatistics().used_heap_size;
    const handles = activeResources().length;
    ended();
    this.send(
      `{"t":"result","id":${this.idJson},${body},"us":${us},"violations":[${violations}],` +
        `"heap":${heap},"handles":${handles}}`,
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
