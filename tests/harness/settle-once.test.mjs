// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settleOnce } from '../../services/script_worker/harness/settle-once.mjs';

test('only the first settlement counts', () => {
  /** @type {number[]} */
  const settled = [];
  const settle = settleOnce((/** @type {number} */ value) => settled.push(value));

  assert.deepEqual([settle(1), settle(2), settle(3)], [true, false, false]);
  assert.deepEqual(settled, [1]);
});

test('a settlement that settles again does not count twice', () => {
  /** @type {boolean[]} */
  const inner = [];
  const settle = settleOnce(() => inner.push(settle(undefined)));

  assert.equal(settle(undefined), true);
  assert.deepEqual(inner, [false]);
});

test('a settlement that throws has settled', () => {
  const settle = settleOnce(() => {
    throw new Error('no');
  });

  assert.throws(() => settle(undefined), /no/);
  assert.equal(settle(undefined), false);
});
