// @ts-check
/**
 * The corpus against a runner alone. What only the worker can see is left to its own suite
 * (`level: process`), and so is the verdict on a value: here it is only passed on.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pass } from 'node:timers/promises';
import { corpus, Runner } from './driver.mjs';

const LATE_WITHIN = 60;
const CLASSES = {
  WrongUsernameOrPasswordError: 'wrong_password',
  ValidationError: 'validation',
  UnauthorizedError: 'unauthorized',
};
const all = corpus();

test('the corpus is there', () => {
  assert.ok(all.length >= 50);
});

for (const { name, text, says } of all.filter(({ says }) => says.level !== 'process')) {
  const json = (/** @type {string} */ key, /** @type {any} */ or) =>
    key in says ? JSON.parse(says[key]) : or;
  const action = says.action ?? 'login';

  test(name, { timeout: 20_000 }, async () => {
    await using runner = new Runner();
    const binding = await runner.bind(
      { [action]: text },
      { configuration: json('configuration', {}), withContext: 'context' in says },
    );
    if (says.detail === 'bind_error') {
      assert.equal(binding.t, 'bind_error');
      return;
    }
    assert.equal(binding.t, 'bound', JSON.stringify(binding));

    const context = json('context', {});
    const end = await runner.invoke('nonce', json('args', undefined), { action, context });

    expectOutcome(end, says);
    if (says.violations) await pass(LATE_WITHIN);
    const broken = [
      ...(end?.violations ?? []).map((/** @type {any} */ violation) => violation.kind),
      ...runner.frames.filter(({ t }) => t === 'violation').map(({ kind }) => kind),
      ...runner.frames.filter(({ t }) => t === 'fault').map(() => 'fault_after_callback'),
    ];
    assert.deepEqual([...new Set(broken)], says.violations ? [says.violations] : []);
    if ('value' in says) assert.deepEqual(end.value, json('value', null));
  });
}

/**
 * @param {any} end
 * @param {Record<string, string>} says
 */
function expectOutcome(end, says) {
  const seen = JSON.stringify(end);
  if (says.detail === 'process_died') assert.equal(end, undefined, seen);
  else if (says.detail === 'process_exit') assert.equal(end.t, 'exit', seen);
  else if (says.outcome === 'denied' && end.ok) assert.ok(!end.value, seen);
  else if (says.outcome === 'denied') {
    assert.equal(Reflect.get(CLASSES, end.error.name), says.reason, seen);
  } else if (says.outcome === 'succeeded' || says.detail === 'invalid_profile') {
    assert.equal(end.ok, true, seen);
  } else {
    assert.equal(end.detail, says.detail, seen);
    assert.ok(`${end.error.message}`.includes(says.message ?? ''), seen);
  }
}
