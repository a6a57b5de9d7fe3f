// @ts-check
/** The golden vectors, which the worker's suite reads too (`tests/unit/test_golden_frames.py`). */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Decoder, encode, MAX_FRAME_BYTES } from '../../services/script_worker/harness/frames.mjs';

const golden = JSON.parse(readFileSync(new URL('./frames.json', import.meta.url), 'utf8'));

test('both sides agree on the largest frame', () => {
  assert.equal(MAX_FRAME_BYTES, golden.max_frame_bytes);
});

for (const { frame, hex } of [...golden.to_runner, ...golden.to_worker]) {
  const bytes = Buffer.from(hex, 'hex');

  test(`${frame.t} is written as its bytes: ${hex.slice(-16)}`, () => {
    assert.equal(encode(JSON.stringify(frame)).toString('hex'), hex);
  });

  test(`${frame.t} is read from its bytes: ${hex.slice(-16)}`, () => {
    const decoder = new Decoder();
    decoder.feed(bytes);
    assert.deepEqual(decoder.next(), frame);
    assert.equal(decoder.next(), undefined);
  });
}

test('a stream reads the same however it is cut', () => {
  const stream = Buffer.concat(
    golden.to_runner.map((/** @type {any} */ { hex }) => Buffer.from(hex, 'hex')),
  );
  for (const size of [1, 2, 3, 5, 7, 64, stream.length]) {
    const decoder = new Decoder();
    const frames = [];
    for (let start = 0; start < stream.length; start += size) {
      decoder.feed(stream.subarray(start, start + size));
      for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
        frames.push(frame);
      }
    }
    assert.deepEqual(
      frames,
      golden.to_runner.map((/** @type {any} */ { frame }) => frame),
    );
  }
});

for (const { why, hex } of golden.refused) {
  test(`refused: ${why}`, () => {
    const decoder = new Decoder();
    decoder.feed(Buffer.from(hex, 'hex'));
    assert.throws(() => decoder.next());
  });
}
