"""Secrets don't leave with what a script writes."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.script_worker.redaction import MASK, ConfigurationForms, Redactor
from shared.contracts import Action

PASSWORD = 'pä"ss\\w0rd & more?'
FORMS = {
    "plain": PASSWORD,
    "json": json.dumps({"password": PASSWORD}),
    "json without escapes": json.dumps({"password": PASSWORD}, ensure_ascii=False),
    "json in json": json.dumps(json.dumps({"password": PASSWORD})),
    "json, inspected": "`" + json.dumps(PASSWORD, ensure_ascii=False).replace("\\", "\\\\") + "`",
    "url": "https://x/?p=" + quote(PASSWORD, safe=""),
    "form": "p=" + quote_plus(PASSWORD),
    "base64": base64.b64encode(PASSWORD.encode()).decode(),
    "basic auth": base64.b64encode(f"alice:{PASSWORD}".encode()).decode(),
    "basic auth of al": base64.b64encode(f"al:{PASSWORD}".encode()).decode(),
    "basic auth of bob": base64.b64encode(f"bob:{PASSWORD}".encode()).decode(),
    "hex": PASSWORD.encode().hex(),
}


def redactor(
    action: Action = Action.LOGIN,
    arguments: tuple[Any, ...] = ("alice", PASSWORD),
    **configuration: str,
) -> Redactor:
    return Redactor(ConfigurationForms(configuration), action, arguments)


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS.keys())
def test_a_password_is_masked_in_every_form(text: str) -> None:
    assert MASK in redactor()(f"before {text} after")


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        (Action.LOGIN, ("alice", "hunter2")),
        (Action.CHANGE_PASSWORD, ("alice@example.com", "hunter2")),
        (Action.CREATE, ({"email": "alice@example.com", "password": "hunter2"},)),
    ],
)
def test_every_action_with_a_password_has_it_masked(
    action: Action, arguments: tuple[Any, ...]
) -> None:
    text = "alice@example.com tried hunter2 twice: hunter2"

    assert f"alice@example.com tried {MASK} twice: {MASK}" == redactor(action, arguments)(text)


def test_configuration_values_are_masked_unless_they_are_too_short() -> None:
    redact = redactor(DB_URL="postgres://u:p@h/d", STAGE="dev")

    assert f"{MASK} in dev" == redact("postgres://u:p@h/d in dev")


def test_a_private_key_is_masked_line_by_line() -> None:
    redact = redactor(KEY="-----BEGIN KEY-----\nMIIEvQIBADANBgkq\n-----END KEY-----\n")

    assert f"log {MASK}" == redact("log MIIEvQIBADANBgkq")


@given(st.integers(min_value=4, max_value=15))
def test_a_secret_cut_off_by_truncation_is_masked_too(length: int) -> None:
    secret = "correct-horse-battery"
    redact = redactor(arguments=("alice", secret))

    assert f"logged {MASK}" == redact("logged " + secret[:length], truncated=True)


@pytest.mark.parametrize("arguments", [(), ("alice",), ("alice", None), ("alice", 7), ("a", "")])
def test_odd_arguments_mask_nothing_and_break_nothing(arguments: tuple[Any, ...]) -> None:
    assert redactor(arguments=arguments)("as it was") == "as it was"


def test_a_short_password_is_masked_where_it_stands_alone() -> None:
    redact = redactor(arguments=("alice", "e"))

    assert f"the password is {MASK}, p={MASK}" == redact("the password is e, p=e")


@given(st.text(min_size=4), st.text())
def test_no_text_keeps_the_password(password: str, around: str) -> None:
    masked = redactor(arguments=("alice", password))(f"{around}\0{password}\0{around}")

    # A password made of the mask's own letters shows up in the mask, and says nothing.
    assert password not in masked.replace(MASK, "") or password in MASK * 2


def test_the_repr_shows_no_secret() -> None:
    shown = repr(redactor()) + repr(ConfigurationForms({"KEY": "s3cret"}))

    assert "s3cret" not in shown
    assert PASSWORD not in shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  access_token: 'eyJ0',", f"  access_token: '{MASK}',"),
        ('{"password_hash":"$2b$10$ab/c."}', f'{{"password_hash":"{MASK}"}}'),
        (r"{\"secret\":\"ab\"}", rf"{{\"secret\":\"{MASK}\"}}"),
        ("https://old.example/?api_key=ab12&user=1", f"https://old.example/?api_key={MASK}&user=1"),
        ("hash: `$2b$10`", f"hash: `{MASK}`"),
        ("mfa_factors: [ { phone: [Object] } ]", f"mfa_factors: [ {{ {MASK}"),
        ("bad token: try again", "bad token: try again"),
        ("password: undefined, hash: [Object]", "password: undefined, hash: [Object]"),
    ],
)
def test_what_a_line_names_like_a_secret_is_masked(text: str, expected: str) -> None:
    assert expected == redactor().line(text, truncated=False)


def test_second_factors_that_were_called_back_with_are_masked_wherever_they_stand() -> None:
    profile = {"name": "Alice", "mfa_factors": [{"phone": {"value": "+4930123456"}}]}
    redact = Redactor(ConfigurationForms({}), Action.LOGIN, ("alice", PASSWORD), (), profile)

    assert f"Alice has {MASK}" == redact.line("Alice has +4930123456", truncated=False)


def test_a_hostile_line_costs_no_more_than_a_long_one() -> None:
    """Counted by time, generously: a pattern that gives back takes minutes for these."""
    for text in ("token" * 800 + ":", "secret: " * 500, ("token" + "-" * 32 + "\\" * 7) * 90):
        assert len(redactor().line(text, truncated=False)) <= len(text) * 3
