// @ts-check
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Invocation } from '../../services/script_worker/harness/invocation.mjs';

/**
 * @param {(invocation: Invocation) => void} act
 * @returns {Promise<any[]>} what was sent
 */
async function sent(act) {
  /** @type {any[]} */
  const frames = [];
  const limits = { result_bytes: 1000, depth: 8 };
  const invocation = new Invocation(
    'n',
    limits,
    (json) => frames.push(JSON.parse(json)),
    () => {},
  );
  act(invocation);
  await turn();
  return frames;
}

test('the reply leaves one macrotask later', async () => {
  await sent((invocation) => {
    const { send } = invocation;
    let left = false;
    invocation.send = (json) => {
      left = true;
      send(json);
    };
    invocation.callback(null, 1);
    assert.equal(left, false);
  });
});

test('what is changed after the callback does not change the result', async () => {
  const profile = { user_id: 1 };
  const [result] = await sent((invocation) => {
    invocation.callback(null, profile);
    profile.user_id = 2;
  });

  assert.deepEqual(result.value, { user_id: 1 });
});

test('a callback that comes after a failure is late, not second', async () => {
  const [result] = await sent((invocation) => {
    assert.equal(invocation.fail('threw', new Error('first')), true);
    invocation.callback(null, { user_id: 1 });
  });

  assert.equal(result.detail, 'threw');
  assert.deepEqual(
    result.violations.map((/** @type {any} */ one) => one.kind),
    ['late_callback'],
  );
});

test('violations after the result are frames of their own, and bounded', async () => {
  /** @type {Invocation | undefined} */
  let kept;
  const frames = await sent((invocation) => {
    kept = invocation;
    invocation.callback(null, 1);
  });
  for (let count = 0; count < 100; count++) kept?.callback(null, 2);

  assert.equal(frames[0].value, 1);
  assert.deepEqual([...new Set(frames.slice(1).map((one) => one.t))], ['violation']);
  assert.ok(frames.length < 20);
});

test('violations on a result are bounded', async () => {
  const [result] = await sent((invocation) => {
    for (let count = 0; count < 100; count++) invocation.callback(null, count);
  });

  assert.equal(result.value, 0);
  assert.ok(result.violations.length < 20);
});

test('a script that calls back at the end of its stack gets one outcome', async () => {
  const frames = await sent(({ callback }) => {
    let called = false;
    const deeper = () => {
      try {
        deeper();
      } catch (error) {
        if (called) return;
        callback(error, null); // may run out of stack itself: then the caller tries again
        called = true;
      }
    };
    deeper();
  });

  assert.equal(frames.filter(({ t }) => t === 'result').length, 1);
});

test('an error crosses with the listed fields alone', async () => {
  const error = Object.assign(new Error('status code 500'), {
    code: 'ERR_BAD_RESPONSE',
    config: { data: 'secret' },
    response: 'secret',
    statusCode: 500,
    status_code: 502,
    description: 'd',
    user_id: 7,
  });
  const [result] = await sent(({ callback }) => callback(error, null));

  const { stack, ...rest } = result.error;
  assert.match(stack, /invocation\.test/);
  assert.deepEqual(rest, {
    name: 'Error',
    message: 'status code 500',
    code: 'ERR_BAD_RESPONSE',
    description: 'd',
    user_id: 7,
    status_code: 502,
  });
});

test('a text given as an error has no name', async () => {
  const [result] = await sent(({ callback }) => callback('no luck', null));

  assert.deepEqual(result.error, { message: 'no luck' });
});
