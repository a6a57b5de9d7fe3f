// @ts-check
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { BindFailure, load } from '../../services/script_worker/harness/loader.mjs';

const require = createRequire(import.meta.url);

/** @type {[string, string, string][]} the action, the text, what the function answers */
const FOUND = [
  ['login', 'function () { return "me"; }', 'me'],
  ['login', 'function anything() { return "me"; }', 'me'],
  ['login', '() => "me"', 'me'],
  ['login', '// comment\nfunction login() { return "me"; } // trailing', 'me'],
  ['login', '/* comment */ (function () { return "me"; })', 'me'],
  ['login', 'function login() { return "me"; };', 'me'],
  ['login', '"use strict"; function login() { return "me"; }', 'me'],
  ['login', 'function help() { return "no"; }\nfunction login() { return "me"; }', 'me'],
  ['login', 'function login() { return "me"; }\nfunction help() { return "no"; }', 'me'],
  ['login', 'function a() { return "no"; }\nfunction b() { return "me"; }', 'me'],
  ['login', 'const help = () => "no";\nfunction run() { return "me"; }', 'me'],
  ['login', 'const me = "me";\nconst run = () => me;', 'me'],
  ['login', 'module.exports = () => "me";', 'me'],
  ['login', 'module.exports = () => "me"', 'me'],
  ['login', 'exports.login = () => "me"; function login() { return "no"; }', 'me'],
  ['get_user', 'exports.getByEmail = () => "me";', 'me'],
  ['get_user', 'exports.default = () => "me"; exports.login = () => "no";', 'me'],
  ['get_user', 'function other() {}\nfunction getUser() { return "me"; }\nfunction z() {}', 'me'],
  ['delete', 'function remove() { return "me"; }\nfunction z() {}', 'me'],
  ['login', '(function () { module.exports = { default: () => "me" }; })()', 'me'],
  ['login', '// function ghost() {}\nvar run = function () { return "me"; };', 'me'],
  ['login', 'function run() {\n  function nested() {}\n  return "me";\n}\nvar x = 1;', 'me'],
];

for (const [action, text, answer] of FOUND) {
  test(`${action}: ${text.replaceAll('\n', '⏎')}`, () => {
    const script = load(action, text, require);

    assert.ok(!(script instanceof BindFailure), `${/** @type {any} */ (script).error}`);
    assert.equal(script(), answer);
  });
}

/** @type {[string, RegExp, number | null][]} */
const REFUSED = [
  ['', /declares none/, null],
  ['42', /declares none/, null],
  ['const a = 1;', /declares none/, null],
  ['function login() {\n  return ];\n}', /SyntaxError/, 2],
  ['(email, callback) => {\n\n  const = 1;\n}', /SyntaxError/, 3],
  ['const pg = require("pg");\nfunction login() {\n  let a = ;\n}', /SyntaxError/, 3],
  ['const a = 1;\nmissing();\nfunction login() {}', /ReferenceError: missing/, 2],
  ['throw null; function login() {}', /null/, null],
];

for (const [text, why, line] of REFUSED) {
  test(`refused: ${text.replaceAll('\n', '⏎')}`, () => {
    const failure = load('login', text, require);

    assert.ok(failure instanceof BindFailure);
    assert.match(String(failure.error), why);
    if (line !== null) assert.equal(failure.line, line);
  });
}

test('a stack names the script and its line', () => {
  const script = load('login', 'function login() {\n  throw new Error("here");\n}', require);

  assert.ok(!(script instanceof BindFailure));
  assert.throws(
    () => script(),
    (/** @type {Error} */ error) => {
      assert.match(error.stack ?? '', /login\.js:2:9/);
      return true;
    },
  );
});

test('a script is evaluated once', () => {
  const probe = /** @type {any} */ (globalThis);
  for (const text of [
    'probed = (globalThis.probed ?? 0) + 1; function login() {}',
    '(probed++, 1)',
  ]) {
    load('login', text, require);
  }

  assert.equal(probe.probed, 2);
});
