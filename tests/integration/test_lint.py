"""`trickle lint`: each rule finds its fault, and leaves alone what only looks like it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from services.standalone import cli
from services.standalone.lint.command import ScriptFile, findings, passed_over, read
from services.standalone.lint.rules import RULES
from shared.contracts import Action

TESTS = Path(__file__).parents[1]
LOGIN = "function login(email, password, callback) {{\n{body}\n}}"
OK = "callback(null, { user_id: 1 });"

CASES: dict[str, tuple[str, str, str]] = {
    # rule: (action, with the fault, without it); a body is a login's
    "syntax-error": ("login", "function login( {", LOGIN.format(body=OK)),
    "not-a-function": ("login", "var x = 1;", "var login = function (e, p, cb) { cb(); };"),
    "never-calls-back": ("login", "return email;", "setTimeout(callback, 5);"),
    "module-missing": ("login", "require('oracledb');" + OK, "require('lodash');" + OK),
    "missing-user-id": (
        "login",
        "var profile = { email: email }; callback(null, profile);",
        "var profile = { email: email }; profile.user_id = 7; callback(null, profile);",
    ),
    "argument-count": (
        "get_user",
        "function g(callback) { callback(); }",
        "function g(email, callback) { callback(); }",
    ),
    "path-without-callback": (
        "login",
        "if (!email) return; " + OK,
        "if (!email) return callback(); " + OK,
    ),
    "callback-twice": (
        "login",
        "if (!email) callback(new Error('x')); " + OK,
        "if (!email) { callback(new Error('x')); return; } " + OK,
    ),
    "error-ignored": (
        "login",
        "f(function (err, rows) { callback(null, rows[0]); });",
        "f(function (err, rows) { callback(err, rows); });",
    ),
    "connection-not-ended": (
        "login",
        "var c = require('mysql').createConnection({}); c.query('SELECT 1', callback);",
        "var c = require('mysql').createConnection({});"
        " c.query('SELECT 1', function (err, r) { c.end(); callback(err, r); });",
    ),
    "string-built-sql": (
        "login",
        "var sql = 'SELECT * FROM u WHERE e = ' + email; db.query(sql, callback);",
        "var sql = 'SELECT * FROM u ' + 'WHERE e = ?'; db.query(sql, [email], callback);",
    ),
    "plaintext-logging": ("login", "console.log(password);" + OK, "console.log(email);" + OK),
    "secret-in-text": (
        "login",
        "f({ password: 'hunter2' }, callback);",
        "f({ password: configuration.PASSWORD }, callback);",
    ),
    "false-on-success": (
        "verify",
        "function v(email, callback) { f(function (err, r) { callback(err, r.length > 0); }); }",
        "function v(email, callback) { f(function (err, r) { callback(err, r.rowCount > 0); }); }",
    ),
    "denial-not-counted": (
        "login",
        "callback(new UnauthorizedError('Wrong email or password.'));",
        "callback(new UnauthorizedError('Your password has expired.'));",
    ),
    "magic-global": (
        "login",
        "mysql.createPool({}); bcrypt.compare(password, '', callback);",
        "var bcrypt = require('bcrypt'); bcrypt.compare(password, '', callback);",
    ),
    "threads": (
        "login",
        "var t = require('node:worker_threads'); " + OK,
        "var t = require('timers'); " + OK,
    ),
    "gone-from-node": (
        "login",
        "var b = new Buffer('x'); callback(null, { user_id: b });",
        "var b = Buffer.from('x'); callback(null, { user_id: b });",
    ),
    "missing-in-node": (
        "login",
        "if (require('tls').createSecurePair(email)) return callback(); " + OK,
        "if (require('crypto').createCipher(email, 'x')) return callback(); " + OK,
    ),
    "module-mapped": ("login", "require('lodash@2.4.1');" + OK, "require('lodash');" + OK),
    "module-shimmed": (
        "login",
        "var mysql = require('mysql'); var c = mysql({}); c.end(); " + OK,
        "var mysql = require('mysql'); var c = mysql.createConnection({}); c.end(); " + OK,
    ),
}


MONGO = "var c = new (require('mongodb').MongoClient)('m'); "
PG = "var pg = require('pg'); pg.connect('x', function (err, client%s) { client.query('SELECT 1', %s); });"
FAULTS: list[tuple[str, str, str]] = [
    # rule, action, a script (or the body of a login) that has its fault
    (
        "denial-not-counted",
        "login",
        "callback(new ValidationError('bad_password', `The password of ${email} is incorrect`));",
    ),
    ("callback-twice", "login", "callback(new Error('x')); callback(null, { user_id: 1 });"),
    ("callback-twice", "login", "callback(); setTimeout(callback, 5);"),
    ("callback-twice", "login", "if (!email) callback(); f(function () { callback(); });"),
    ("callback-twice", "login", "rows.forEach(function (r) { callback(null, { user_id: r }); });"),
    ("callback-twice", "login", "for (const r of rows) callback(null, { user_id: r });"),
    ("callback-twice", "login", "f().then((u) => callback(null, u)).catch((e) => callback(e));"),
    ("path-without-callback", "login", "f((err, u) => { if (!err) callback(null, u); });"),
    (
        "path-without-callback",
        "login",
        "try { callback(null, f()); } catch (e) { console.log(1); }",
    ),
    (
        "path-without-callback",
        "login",
        "f(function (err) { if (err) { log(err); return; } callback(); });",
    ),
    (
        "path-without-callback",
        "login",
        MONGO + "c.connect((err) => { if (err) callback(err); c.close(); });",
    ),
    ("connection-not-ended", "login", PG % ("", "callback")),
    ("connection-not-ended", "login", PG % (", done", "callback")),
    (
        "connection-not-ended",
        "login",
        MONGO + "c.db().collection('u').findOne({}).then(g, callback);",
    ),
    (
        "connection-not-ended",
        "login",
        "var c = require('mysql').createConnection({}); request.end(); c.query('SELECT 1', callback);",
    ),
    (
        "string-built-sql",
        "login",
        "var q = 'SELECT 1 WHERE e='; q += email; db.query(q, callback);",
    ),
    ("string-built-sql", "login", "db.query({ sql: `SELECT 1 WHERE e=${email}` }, callback);"),
    ("string-built-sql", "login", "db.query('SELECT 1 WHERE e=?'.replace('?', email), callback);"),
    ("string-built-sql", "login", "db.query(['SELECT 1 WHERE e=', email].join(''), callback);"),
    ("string-built-sql", "login", "c.execSql(new Request('SELECT ' + email, callback));"),
    ("missing-user-id", "login", "callback(null, email ? { email } : null);"),
    ("plaintext-logging", "login", "console.log('as ' + password); callback();"),
    ("plaintext-logging", "login", "console.error(`${password}`); callback();"),
    (
        "plaintext-logging",
        "login",
        "var b = { password }; console.log(JSON.stringify(b)); callback();",
    ),
    ("plaintext-logging", "login", "console.log(configuration); callback();"),
    (
        "plaintext-logging",
        "create",
        "function c(user, callback) { console.log(user); callback(); }",
    ),
    (
        "plaintext-logging",
        "create",
        "function c({ password }, cb) { console.log(password); cb(); }",
    ),
    (
        "plaintext-logging",
        "change_password",
        "function c(email, secret, callback) { console.log({ secret }); callback(); }",
    ),
    ("module-shimmed", "login", "f(require('uuid/v4')()); callback();"),
    ("module-shimmed", "login", "require('lodash').indexBy([]); callback();"),
    (
        "module-shimmed",
        "login",
        "require('jsonwebtoken').sign({}, 'k', { expiresInMinutes: 5 }); callback();",
    ),
    ("module-shimmed", "login", "require('crypto').pbkdf2('p', 's', 1, 20, callback);"),
    ("module-shimmed", "login", MONGO + "c.connect(function (err) { callback(err); });"),
    ("module-shimmed", "login", "new (require('tedious').Connection)({}).on('connect', callback);"),
    ("secret-in-text", "login", "f('mysql://root:hunter2@db/users', callback);"),
    ("magic-global", "login", "xpath.select('a'); callback();"),
    ("not-a-function", "login", "42"),
    ("syntax-error", "login", "import fs from 'fs';"),
]
LOOKALIKES: list[tuple[str, str, str]] = [
    (
        "denial-not-counted",
        "login",
        "callback(new ValidationError('login', 'invalid e-mail address: ' + email));",
    ),
    (
        "denial-not-counted",
        "login",
        "callback(new WrongUsernameOrPasswordError(email, 'Wrong password.'));",
    ),
    # rule, action, a script (or the body of a login) that only looks like it
    (
        "missing-user-id",
        "login",
        "var u = {}; u.user_id = 7; callback(null, email ? u : null);",
    ),
    ("callback-twice", "login", "if (x) { callback(); } else { callback(new Error('no')); }"),
    ("callback-twice", "login", "f((e) => { if (e) callback(e); if (!e) callback(); });"),
    ("callback-twice", "login", "f().then((u) => callback(null, u), callback);"),
    ("callback-twice", "login", "for (const r of rows) { if (r) return callback(); } callback();"),
    (
        "callback-twice",
        "login",
        "request.on('error', callback); request.on('end', () => callback());",
    ),
    (
        "path-without-callback",
        "login",
        "var over = false; f((e) => { if (over) return; over = true; callback(e); });",
    ),
    ("path-without-callback", "login", "rows.forEach((r) => { if (r) return; callback(); });"),
    (
        "path-without-callback",
        "login",
        "f((e, r) => { if (e) return callback(e); step(r); });"
        " function step(r) { callback(null, r); }",
    ),
    ("path-without-callback", "login", "f(function (err) { if (err) throw err; callback(); });"),
    (
        "path-without-callback",
        "login",
        "var r = new Request('SELECT 1', function (e) { callback(e); });"
        " c.on('connect', function (err) { if (err) return callback(err); c.execSql(r); });",
    ),
    (
        "path-without-callback",
        "login",
        "switch (email) { case 'a': return callback(); default: callback(); }",
    ),
    ("path-without-callback", "login", "f().then((u) => { if (!u) return; callback(); }).then(g);"),
    ("connection-not-ended", "login", PG % (", done", "function (e) { done(); callback(e); }")),
    (
        "connection-not-ended",
        "login",
        "global.p = global.p || new (require('pg').Pool)(); global.p.query('', callback);",
    ),
    (
        "connection-not-ended",
        "login",
        "var p = new (require('pg').Pool)(); function login(a, b, cb) { p.query('', cb); }",
    ),
    (
        "string-built-sql",
        "login",
        "var t = 'users'; db.query('SELECT * FROM ' + t + ' WHERE e=?', [email], callback);",
    ),
    ("string-built-sql", "login", "db.query(`SELECT * FROM ${configuration.TABLE}`, callback);"),
    ("string-built-sql", "login", "db.query('SELECT 1 WHERE e=' + mysql.escape(email), callback);"),
    ("string-built-sql", "login", "http.query('name=' + email, callback);"),
    (
        "string-built-sql",
        "login",
        "var q = email + ' selects'; f((e) => { var q = 'SELECT 1'; db.query(q, callback); });",
    ),
    (
        "missing-user-id",
        "login",
        "const p = { email }; Object.assign(p, { user_id: 1 }); callback(null, p);",
    ),
    ("missing-user-id", "login", "const p = { email }; p['user_id'] = 1; callback(null, p);"),
    ("missing-user-id", "login", "callback(null, { ...row, email });"),
    ("missing-user-id", "login", "callback(new Error('x'), { code: 1 });"),
    (
        "missing-user-id",
        "login",
        "f(() => { var u = { email }; g(u); }); h((e, u) => callback(e, u));",
    ),
    ("missing-user-id", "verify", "function v(email, callback) { callback(null, { email }); }"),
    (
        "plaintext-logging",
        "login",
        "console.log(!!password, password.length, hash(password)); callback();",
    ),
    ("plaintext-logging", "login", "console.log(configuration.TABLE); callback();"),
    (
        "plaintext-logging",
        "create",
        "function c(user, callback) { console.log(user.email); callback(); }",
    ),
    (
        "plaintext-logging",
        "verify",
        "function v(user, callback) { console.log(user); callback(); }",
    ),
    ("module-shimmed", "login", "require('lodash').first([]); callback();"),
    ("module-shimmed", "login", "require('uuid').v4(); callback();"),
    ("module-shimmed", "login", "require('crypto').pbkdf2('p', 's', 1, 20, 'sha1', callback);"),
    (
        "module-shimmed",
        "login",
        MONGO + "c.connect().then((d) => { d.close(); callback(); }, callback);",
    ),
    (
        "module-shimmed",
        "login",
        "var c = new (require('tedious').Connection)({}); c.on('connect', callback); c.connect();",
    ),
    ("magic-global", "login", "f({ request: 1 }); x.uuid(); callback();"),
    ("magic-global", "login", "f((_, r) => callback(null, r));"),
    ("magic-global", "login", "try { f(); } catch (q) { return callback(q); } callback();"),
    (
        "magic-global",
        "login",
        "const { request = 1, uuid: { ip } } = z; g(request, ip); callback();",
    ),
    ("magic-global", "login", "crypto.randomUUID(); callback();"),
    ("magic-global", "login", "typeof mysql === 'undefined' ? f(callback) : mysql(callback);"),
    (
        "false-on-success",
        "verify",
        "function v(email, callback) { var u = f(email); callback(null, u.length > 0); }",
    ),
    ("error-ignored", "login", "c.end(function (err) { callback(null, { user_id: 1 }); });"),
    ("gone-from-node", "login", "function Buffer() {} new Buffer(); callback();"),
    ("not-a-function", "login", "(function () { module.exports = make(); })()"),
    (
        "argument-count",
        "login",
        "function login(a, b, callback) { callback(null, h()); } function h() {}",
    ),
    ("argument-count", "login", "function login(email, ...rest) { rest.pop()(); }"),
    (
        "syntax-error",
        "login",
        "'use strict'; function login(a, b, cb) { cb?.(null, { user_id: 1n }); };",
    ),
]


def rules_of(action: str, text: str) -> set[str]:
    return {one.rule for one in findings([script(action, text)])[0]}


def script(action: str, text: str) -> ScriptFile:
    starts = ("function ", "var login", "var x", "42", "import", "(function", "'use", "var p = new")
    whole = text if text.startswith(starts) else LOGIN.format(body=text)
    return ScriptFile(Path("x.js"), Action(action), whole)


def test_every_rule_has_a_case() -> None:
    assert set(RULES) == set(CASES)


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_finds_its_fault_and_nothing_that_only_looks_like_it(rule: str) -> None:
    action, bad, good = CASES[rule]

    assert rule in rules_of(action, bad)
    assert rule not in rules_of(action, good)


def test_each_fault_is_found_in_its_other_forms() -> None:
    found = findings([script(action, text) for _, action, text in FAULTS])

    missed = [
        (rule, text)
        for (rule, _, text), listed in zip(FAULTS, found, strict=True)
        if rule not in {one.rule for one in listed}
    ]
    assert [] == missed


def test_nothing_is_found_where_only_the_looks_are_alike() -> None:
    found = findings([script(action, text) for _, action, text in LOOKALIKES])

    wrong = [
        (rule, text)
        for (rule, _, text), listed in zip(LOOKALIKES, found, strict=True)
        if rule in {one.rule for one in listed}
    ]
    assert [] == wrong


@pytest.mark.parametrize(
    "text",
    [
        "async (email, password, callback) => { callback(null, { id: 7 }); }",
        "function login(email, password, context, callback) { callback(null, { user_id: 1 }); }",
        "function login() { arguments[2](null, { user_id: 1 }); }",
        "module.exports = function (email, password, callback) { callback(); };",
        "const bcrypt = require('bcrypt');\nfunction login(e, p, cb) { bcrypt.compare(p, e, cb); }",
    ],
)
def test_other_ways_to_write_a_script_are_no_error(text: str) -> None:
    found = findings([ScriptFile(Path("x.js"), Action.LOGIN, text)])[0]

    assert [] == [one for one in found if one.severity == "error"]


def test_places_are_where_an_editor_shows_them() -> None:
    text = "function login(email, password, callback) { require('oracledb'); callback(); }"

    found = findings([ScriptFile(Path("x.js"), Action.LOGIN, text)])[0]

    assert [(1, text.index("require") + 1)] == [(one.line, one.column) for one in found]


def test_a_syntax_error_is_shown_in_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "login.js").write_text("function login(a, b, cb) {\n  const \x1b[2J = ;\n}")

    cli.main(["lint", str(tmp_path)])

    printed = capsys.readouterr().out
    assert "|   const  [2J = ;" in printed
    assert "\x1b" not in printed


@pytest.mark.parametrize("text", ["(" * 50_000, "f(" + "[" * 50_000, "x=" + "'a'+" * 20_000 + "1"])
def test_a_script_too_deep_to_be_read_is_told_and_does_not_hide_the_others(text: str) -> None:
    deep, other = findings([script("login", f"function l() {{ {text} }}"), script("login", OK)])

    assert ["syntax-error"] == [one.rule for one in deep]
    assert [] == other


def test_every_script_of_the_corpus_is_read() -> None:
    scripts = [
        ScriptFile(path, Action.LOGIN, path.read_text(encoding="utf-8", errors="replace"))
        for path in sorted((TESTS / "action_scripts").glob("*.js"))
    ]

    assert len(scripts) == len(findings(scripts)) > 150


def test_old_scripts_are_told_what_works_by_a_shim_only(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = cli.main(["lint", str(TESTS / "legacy_scripts" / "mysql"), "--json"])

    printed = json.loads(capsys.readouterr().out)
    rules = {one["rule"] for script in printed["scripts"] for one in script["findings"]}
    assert (0, 7) == (code, len(printed["scripts"]))
    assert {
        "module-shimmed",
        "connection-not-ended",
        "false-on-success",
        "string-built-sql",
        "module-mapped",
    } == rules


def test_the_exit_code_is_what_the_threshold_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "login.js"
    file.write_text(LOGIN.format(body="console.log(password);" + OK))

    codes = [cli.main(["lint", str(file), *more]) for more in ([], ["--fail-on", "warning"])]
    file.write_text("function login( {")
    codes += [cli.main(["lint", str(file), *more]) for more in ([], ["--fail-on", "never"])]

    assert [0, 1, 1, 0] == codes
    assert "plaintext-logging" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("nothing.js", None, "can't be read"),
        ("strange.js", b"1", "use --action"),
        ("login.js", b"\xff\xfe", "can't be read"),
        ("login.js", "é".encode() * 51_201, "at most 102400"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(SystemExit) as ended:
        cli.main(["lint", str(tmp_path / name)])

    assert 64 == ended.value.code
    assert said in capsys.readouterr().err


def test_a_folder_is_searched_for_actions(tmp_path: Path) -> None:
    for name in ("login.js", "helper.js", "node_modules/create.js"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")

    scripts = list(read(tmp_path, None, asked=True))

    assert ["login.js"] == [one.path.name for one in scripts]
    assert [tmp_path / "helper.js"] == passed_over([tmp_path], scripts)


def test_no_script_that_works_on_its_store_has_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = cli.main(["lint", str(TESTS / "legacy_scripts")])

    assert 0 == code, capsys.readouterr().out


def test_it_ends_quietly_when_nobody_reads_on() -> None:
    script = TESTS / "legacy_scripts" / "axios" / "login.js"
    command = [sys.executable, "-m", "services.standalone.cli", "lint", str(script)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=TESTS.parent
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()

        assert b"" == process.stderr.read()
    assert cli.NOBODY_READS == process.returncode
