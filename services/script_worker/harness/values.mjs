// @ts-check
/** What a script calls back with, as JSON: serialisable, within the limits, not too deep. */
import { charCodeAt, stringify } from './primordials.mjs';

const QUOTE = 34;
const BACKSLASH = 92;
const OPEN_BRACKET = 91;
const CLOSE_BRACKET = 93;
const OPEN_BRACE = 123;
const CLOSE_BRACE = 125;

/** Why a value can not leave. */
export class Unfit {
  /**
   * @param {'result_not_serializable' | 'result_too_large'} detail
   * @param {string} message
   */
  constructor(detail, message) {
    this.detail = detail;
    this.message = message;
  }
}

/**
 * @param {unknown} value
 * @param {{result_bytes: number, depth: number}} limits
 * @returns {string | Unfit}
 */
export function valueJson(value, limits) {
  let json;
  try {
    json = stringify(value);
  } catch (error) {
    const reason = error instanceof RangeError ? 'it is nested too deeply' : words(error);
    return new Unfit('result_not_serializable', `the result is not JSON: ${reason}`);
  }
  if (json === undefined) return 'null'; // undefined, a function, a symbol
  if (json.length > limits.result_bytes || utf8Length(json) > limits.result_bytes) {
    return new Unfit('result_too_large', `the result is above ${limits.result_bytes} bytes`);
  }
  if (deeperThan(json, limits.depth)) {
    return new Unfit(
      'result_not_serializable',
      `the result is nested more than ${limits.depth} levels deep`,
    );
  }
  return json;
}

/** @param {any} error */
function words(error) {
  try {
    // V8 draws a picture of the circle behind the first line; property names are enough.
    return `${error.message}`.split('\n')[0];
  } catch {
    return 'its toJSON threw';
  }
}

/** @param {string} text */
function utf8Length(text) {
  let length = text.length;
  for (let index = 0; index < text.length; index++) {
    const code = charCodeAt(text, index);
    if (code > 0x7ff) length += 2;
    else if (code > 0x7f) length += 1;
  }
  return length;
}

/**
 * @param {string} json
 * @param {number} limit
 */
function deeperThan(json, limit) {
  let depth = 0;
  let quoted = false;
  for (let index = 0; index < json.length; index++) {
    const code = charCodeAt(json, index);
    if (quoted) {
      if (code === BACKSLASH) index++;
      else if (code === QUOTE) quoted = false;
    } else if (code === QUOTE) quoted = true;
    else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      depth += 1;
      if (depth > limit) return true;
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) depth -= 1;
  }
  return false;
}
