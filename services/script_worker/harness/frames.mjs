// @ts-check
/**
 * The frames on fd 3: u32 big-endian length, then UTF-8 JSON. Golden vectors, shared with the
 * worker's side: `tests/harness/frames.json`.
 *
 * Writes are synchronous: frames leave in order, also just before an exit, and no patched event
 * emitter stands between us and the worker.
 */
import {
  BufferConcat,
  BufferFrom,
  parse,
  readUInt32BE,
  subarray,
  utf8,
  writeSync,
  writeUInt32BE,
} from './primordials.mjs';

export const MAX_FRAME_BYTES = 4 * 1024 * 1024;
const FD = 3;
const sleeper = new Int32Array(new SharedArrayBuffer(4));
const wait = Atomics.wait;

/**
 * @param {string} json
 * @returns {Buffer}
 */
export function encode(json) {
  const frame = BufferFrom(`0000${json}`, 'utf8');
  writeUInt32BE(frame, frame.length - 4, 0);
  return frame;
}

/** @param {string} json a frame's payload, already serialised */
export function send(json) {
  let rest = encode(json);
  while (rest.length > 0) {
    try {
      const written = writeSync(FD, rest);
      if (written === rest.length) return;
      rest = subarray(rest, written);
    } catch (error) {
      // The worker reads slower than we write: its buffer is full, for a millisecond or so.
      if (/** @type {any} */ (error).code !== 'EAGAIN') throw error;
      wait(sleeper, 0, 0, 1);
    }
  }
}

/** Cuts a byte stream into frames. */
export class Decoder {
  /** @type {Buffer} */
  #data = BufferFrom('');

  /** @param {Buffer} chunk */
  feed(chunk) {
    this.#data = this.#data.length === 0 ? chunk : BufferConcat([this.#data, chunk]);
  }

  /** @returns {any} the next whole frame, or undefined; throws for what is none */
  next() {
    const data = this.#data;
    if (data.length < 4) return undefined;
    const end = 4 + readUInt32BE(data, 0);
    if (end - 4 > MAX_FRAME_BYTES) throw new RangeError(`a frame of ${end - 4} bytes`);
    if (data.length < end) return undefined;
    this.#data = subarray(data, end);
    return parse(utf8(data, 'utf8', 4, end));
  }
}
