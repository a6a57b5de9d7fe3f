"""`trickle lint`: each rule finds its fault, and leaves alone what only looks like it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.standalone import cli
from services.standalone.lint.command import ScriptFile, findings, read
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
    "magic-global": (
        "login",
        "mysql.createPool({}); bcrypt.compare(password, '', callback);",
        "var bcrypt = require('bcrypt'); bcrypt.compare(password, '', callback);",
    ),
    "gone-from-node": (
        "login",
        "var b = new Buffer('x'); callback(null, { user_id: b });",
        "var b = Buffer.from('x'); callback(null, { user_id: b });",
    ),
    "module-mapped": ("login", "require('lodash@2.4.1');" + OK, "require('lodash');" + OK),
    "module-shimmed": (
        "login",
        "var mysql = require('mysql'); var c = mysql({}); c.end(); " + OK,
        "var mysql = require('mysql'); var c = mysql.createConnection({}); c.end(); " + OK,
    ),
}


def rules_of(action: str, text: str) -> set[str]:
    whole = text if text.startswith(("function", "var login", "var x")) else LOGIN.format(body=text)
    return {one.rule for one in findings([ScriptFile(Path("x.js"), Action(action), whole)])[0]}


def test_every_rule_has_a_case() -> None:
    assert set(RULES) == set(CASES)


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_finds_its_fault_and_nothing_that_only_looks_like_it(rule: str) -> None:
    action, bad, good = CASES[rule]

    assert rule in rules_of(action, bad)
    assert rule not in rules_of(action, good)


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
        ("login.js", b"/" * 100_001, "at most 100000"),
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

    assert ["login.js"] == [one.path.name for one in read(tmp_path, None, asked=True)]
