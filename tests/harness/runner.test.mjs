// @ts-check
/** One runner over its life: the greeting, several calls, what it says between them, its end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { corpus, Runner } from './driver.mjs';

const CLOSED = 0;
const PROTOCOL = 70;
const LOGIN = `function login(how, password, callback) {
  global.calls = (global.calls || 0) + 1;
  const profile = { user_id: 1, calls };
  switch (how) {
    case 'stall': return;
    case 'wait': return setTimeout(callback, 1e6, null, profile);
    case 'chatter':
      for (let i = 0; i < 1000; i++) console.log(i);
      return callback(null, profile);
    case 'log': console.warn('%s!', how, { a: 1 }); return callback(null, profile);
    case 'later': callback(null, profile); return setTimeout(() => console.log('later'), 5);
    case 'modules':
      return callback(null, Object.keys(require('module')._pathCache).map(String));
    default: return callback(null, profile);
  }
}`;

test('it greets, binds and answers, with figures', async () => {
  await using runner = new Runner();
  const ready = await runner.next('ready');
  const bound = await runner.bind({ login: LOGIN });
  const result = await runner.invoke('n1');

  assert.deepEqual(ready, {
    t: 'ready',
    proto: 1,
    node: process.version,
    pid: runner.process.pid,
  });
  assert.deepEqual([bound.t, bound.actions], ['bound', ['login']]);
  assert.deepEqual([result.id, result.value.calls, result.violations], ['n1', 1, []]);
  assert.ok(result.us >= 0 && result.heap > 0 && result.handles >= 0);
});

test('global lasts, and a stalled call does not spoil the next', async () => {
  await using runner = new Runner();
  await runner.bind({ login: LOGIN });

  const seen = [];
  for (const how of ['x', 'stall', 'x', 'stall', 'x']) {
    const result = await runner.invoke(`n${seen.length}`, [how, '']);
    seen.push(result.ok ? result.value.calls : result.detail);
  }

  assert.deepEqual(seen, [1, 'callback_never_called', 3, 'callback_never_called', 5]);
});

test('a call that stalls is told within milliseconds', async () => {
  await using runner = new Runner();
  await runner.bind({ login: LOGIN });
  await runner.invoke('warm', ['x', '']);
  const began = performance.now();
  await runner.invoke('n', ['stall', '']);

  assert.ok(performance.now() - began < 100); // twenty seconds elsewhere
});

test('an idle runner stays, however long nothing comes', async () => {
  await using runner = new Runner();
  await runner.bind({ login: LOGIN });
  await runner.invoke('n1', ['stall', '']);
  await new Promise((resolve) => setTimeout(resolve, 50));

  assert.equal((await runner.invoke('n2')).ok, true);
});

test('several scripts are bound, the broken one names itself', async () => {
  await using runner = new Runner();
  const broken = 'function getUser(email, callback) {\n\n  callback(;\n}';
  const answer = await runner.bind({ login: LOGIN, get_user: broken });

  assert.deepEqual([answer.t, answer.action, answer.line], ['bind_error', 'get_user', 3]);
  assert.equal(answer.error.name, 'SyntaxError');
});

test('console lines carry level, text and the call they belong to', async () => {
  await using runner = new Runner();
  await runner.bind({ login: LOGIN });
  await runner.invoke('n1', ['log', '']);
  const line = runner.frames.find(({ t }) => t === 'log');

  assert.deepEqual(line, {
    t: 'log',
    id: 'n1',
    level: 'warn',
    text: 'log! { a: 1 }',
    truncated: false,
  });
});

test('lines are capped for each call anew, and the last one says so', async () => {
  await using runner = new Runner();
  await runner.bind({ login: LOGIN });
  for (const id of ['n1', 'n2']) {
    await runner.invoke(id, ['chatter', '']);
    const lines = runner.frames.filter((frame) => frame.t === 'log' && frame.id === id);

    assert.equal(lines.length, 200);
    assert.deepEqual(
      lines.map(({ truncated }) => truncated),
      [...Array(199).fill(false), true],
    );
  }
});

test('what is logged between calls belongs to none', async () => {
  await using runner = new Runner();
  await runner.bind({ login: LOGIN });
  await runner.invoke('n1', ['later', '']);
  const line = await runner.next('log');

  assert.deepEqual([line.id, line.text], [null, 'later']);
});

test('the context comes before the callback', async () => {
  await using runner = new Runner();
  const script = '(email, context, callback) => callback(null, { user_id: email, context })';
  await runner.bind({ get_user: script }, { withContext: true });
  const result = await runner.invoke('n', ['a'], { action: 'get_user', context: { b: 1 } });

  assert.deepEqual(result.value, { user_id: 'a', context: { b: 1 } });
});

test('preloading is a head start that may fail', async () => {
  await using runner = new Runner({ preload: ['left-pad', 'couchbase', 'lodash'] });

  assert.equal((await runner.next('ready')).t, 'ready');
  assert.equal((await runner.bind({ login: LOGIN })).t, 'bound');
});

test('it ends when asked, when the channel closes, and for what it can not read', async () => {
  /** @type {[number, (runner: Runner) => void][]} */
  const ways = [
    [CLOSED, (runner) => runner.send({ t: 'close' })],
    [CLOSED, (runner) => runner.channel.end()],
    [PROTOCOL, (runner) => runner.send({ t: 'sing' })],
    [PROTOCOL, (runner) => runner.channel.write(Buffer.alloc(8, 0xff))],
    [PROTOCOL, (runner) => runner.channel.write(Buffer.from('00000002{]', 'utf8'))],
    [PROTOCOL, (runner) => runner.channel.write(Buffer.from([0, 0, 0, 2, 0x7b, 0x5d]))],
  ];
  for (const [code, end] of ways) {
    await using runner = new Runner();
    await runner.next('ready');
    end(runner);

    assert.equal(await runner.ended, code, `${end}`);
    assert.equal(runner.stderr, '');
  }
});

test('it ends when the channel closes in the middle of a call', async () => {
  await using runner = new Runner();
  await runner.bind({ login: LOGIN });
  runner.invoke('n', ['wait', '']);
  await new Promise((resolve) => setTimeout(resolve, 20));
  runner.channel.end();

  assert.equal(await runner.ended, CLOSED);
});

test('another version of the protocol is refused', async () => {
  await using runner = new Runner({ proto: 2 });

  assert.equal(await runner.ended, PROTOCOL);
});

test('the names of errors and globals are what scripts know', async () => {
  await using runner = new Runner();
  await runner.bind(
    {
      login: `(email, password, callback) => callback(null, {
        keys: Object.keys(globalThis).includes('configuration'),
        types: [typeof WrongUsernameOrPasswordError, typeof ValidationError,
          typeof UnauthorizedError, typeof configuration, typeof global, typeof require],
        frozen: Object.isFrozen(configuration),
      })`,
    },
    { configuration: { A: 'b' } },
  );
  const { value } = await runner.invoke('n');

  assert.deepEqual(value.types, [...Array(3).fill('function'), 'object', 'object', 'function']);
  assert.deepEqual([value.keys, value.frozen], [false, true]);
});

const hostile = corpus().filter(({ name }) => /^(patches|replaces|pollutes|destroys)-/.test(name));

for (const { name, text } of hostile) {
  test(`the next call is heard after what ${name} did`, { timeout: 5000 }, async () => {
    await using runner = new Runner();
    await runner.bind({ login: text });
    await runner.invoke('n1');
    const second = await runner.invoke('n2');

    assert.equal(second.id, 'n2'); // whatever became of the script itself
  });
}

test('a script that closes all handles between calls does not find ours', async () => {
  await using runner = new Runner();
  const script = `(email, password, callback) => {
    callback(null, { user_id: 1 });
    setTimeout(() => {
      const handles = process._getActiveHandles();
      for (const handle of handles) handle.destroy?.();
      console.log('all closed');
    }, 5);
  }`;
  await runner.bind({ login: script });
  await runner.invoke('n1');
  const line = await runner.next('log');

  assert.equal(line?.text, 'all closed');
  assert.equal((await runner.invoke('n2')).ok, true);
});
