"""`trickle try` as a person and as a program call it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
function login(email, password, callback) {
  console.log('hello', email, password, configuration.KEY);
  if (password === 'wrong') return callback(new WrongUsernameOrPasswordError(email, 'no such'));
  if (password === 'nobody') return callback(null);
  if (password === 'spin') for (;;) {}
  if (password === 'twice') callback(null, { user_id: 1 });
  if (password === 'late') setTimeout(callback, 5);
  callback(null, { user_id: 1, email });
}
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "login.js"
    path.write_text(SCRIPT)
    return path


def trickle(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.standalone.cli", "try", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def as_json(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
    done = trickle(*arguments, "--json")
    return done.returncode, json.loads(done.stdout)


def test_the_file_s_name_says_which_action_it_is(script: Path) -> None:
    named = script.rename(script.with_name("get_user.js"))

    done = trickle(named, "--args", '["alice@x.org", "s3cret"]')

    assert (64, True) == (done.returncode, "get_user takes 1 argument" in done.stderr)


def test_a_success_shows_its_value_and_ends_with_0(script: Path) -> None:
    code, shown = as_json(script, "--action", "login", "--args", '["alice@x.org", "s3cret"]')

    assert code == 0
    assert shown["outcome"] == {
        "kind": "succeeded",
        "reason": None,
        "detail": None,
        "message": None,
        "code": None,
        "value": {"user_id": 1, "email": "alice@x.org"},
    }
    assert shown["violations"] == []
    assert [line["text"] for line in shown["console"]] == ["hello alice@x.org [redacted] undefined"]
    assert shown["timings"]["ran_ms"] > 0


@pytest.mark.parametrize("password", ["wrong", "nobody"])
def test_a_denial_ends_with_1(script: Path, password: str) -> None:
    code, shown = as_json(script, "--args", json.dumps(["alice@x.org", password]))

    assert code == 1
    assert (shown["outcome"]["kind"], shown["outcome"]["reason"]) == ("denied", "wrong_password")


def test_a_failure_ends_with_2(script: Path) -> None:
    code, shown = as_json(script, "--args", '["alice@x.org", "spin"]', "--deadline", "0.5")

    assert code == 2
    assert (shown["outcome"]["kind"], shown["outcome"]["detail"]) == ("timed_out", "cpu_bound")


@pytest.mark.parametrize(
    ("password", "kind"), [("twice", "callback_twice"), ("late", "callback_twice")]
)
def test_a_broken_rule_is_shown_also_when_it_is_broken_late(
    script: Path, password: str, kind: str
) -> None:
    code, shown = as_json(script, "--args", json.dumps(["alice@x.org", password]))

    assert code == 0
    assert [violation["kind"] for violation in shown["violations"]] == [kind]


def test_configuration_reaches_the_script_and_stays_out_of_its_console(
    script: Path, tmp_path: Path
) -> None:
    configuration = tmp_path / "configuration.json"
    configuration.write_text('{"KEY": "swordfish"}')
    done = trickle(script, "--args", '["a@x.org", "pw42"]', "--configuration", configuration)

    assert done.returncode == 0
    assert "console.log: hello a@x.org [redacted] [redacted]" in done.stdout
    assert done.stdout.startswith("succeeded\n")


def test_repeated_runs_are_timed(script: Path) -> None:
    code, shown = as_json(script, "--args", '["a@x.org", "pw42"]', "--repeat", "50")

    repeat = shown["timings"]["repeat"]
    assert code == 0
    assert repeat["count"] == 50
    assert 0 < repeat["min_us"] <= repeat["p50_us"] <= repeat["p99_us"] <= repeat["max_us"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.js", "--args", "[]"], "missing.js can't be read: No such file"),
        (["SCRIPT"], "--args"),
        (["SCRIPT", "--args", "[1"], "--args is not JSON"),
        (["SCRIPT", "--args", "{}"], "--args must be a JSON array"),
        (
            ["SCRIPT", "--args", "[1]"],
            "login takes 2 arguments (identifier, password), --args has 1",
        ),
        (["SCRIPT", "--action", "log_in", "--args", "[]"], "invalid choice"),
        (["SCRIPT", "--args", '["a","b"]', "--deadline", "0"], "above 0"),
        (["SCRIPT", "--args", '["a","b"]', "--repeat", "x"], "--repeat"),
        (["SCRIPT", "--args", '["a","b"]', "--configuration", "SCRIPT"], "JSON object"),
        (["SCRIPT", "--args", '["a","b"]', "--context", "[]"], "--context must be a JSON object"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_usage_error_says_what_is_wrong_and_ends_with_64(
    script: Path, arguments: list[str], said: str
) -> None:
    done = trickle(*[str(script) if word == "SCRIPT" else word for word in arguments])

    assert done.returncode == 64
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_help_is_instant_because_nothing_is_imported() -> None:
    code = (
        "import sys; from services.standalone import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'asyncio', 'pydantic', 'uvloop'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=30, check=False
    )

    assert done.returncode == 0
    assert b"try" in done.stdout
