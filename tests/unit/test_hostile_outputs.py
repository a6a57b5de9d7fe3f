"""What scripts answer, and what strangers write: whatever it is, it has one reading, and no crash."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.auth.consequences import refusal
from services.auth.foreign_hashes import CustomHash, stored_form, verify
from services.auth.profiles import InvalidProfile, normalise
from services.auth.storable import storable_value
from services.auth.user_queries import BadQuery, condition
from services.script_worker.frames import Result, ScriptError
from services.script_worker.redaction import ConfigurationForms, Redactor
from services.script_worker.verdicts import Value, verdict
from shared.contracts import FOLD, OUTCOME, Action, Denied, Detail, Failed
from shared.telemetry import child_traceparent
from tests.hostile_messages import NASTY
from tests.unit.connections import connection

TEXTS = st.text(max_size=30) | st.sampled_from(["\0", "a\0@b", "\ud800", "é" * 300, "x" * 5000])
VALUES = st.recursive(
    st.sampled_from(NASTY)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)
_NAMES = (
    "user_id id _id email username email_verified blocked mfa_factors user_metadata app_metadata"
    " metadata name picture phone_number identities access_token refresh_token __proto__ created_at"
)
FIELDS = st.sampled_from(_NAMES.split())
PROFILES = st.builds(
    lambda base, more: base | more,
    st.sampled_from([{}, {"user_id": 7, "email": "ada@example.com"}]),
    st.dictionaries(FIELDS, VALUES, max_size=5),
)
WELL_FORMED = st.text(st.characters(codec="utf-8"), max_size=30) | st.just("\0")
"""Halves of surrogate pairs end where frames are read (test_frames)."""
ERRORS = st.builds(
    ScriptError,
    **dict.fromkeys(("name", "message", "code", "description", "user_id"), st.none() | WELL_FORMED),
) | st.sampled_from([ScriptError(name="ValidationError"), ScriptError(name="UnauthorizedError")])


def result(value: Any, detail: Detail | None = None, error: ScriptError | None = None) -> Result:
    """A frame that a runner sent."""
    ok = detail is None
    return Result("n", ok, value, detail, error, violations=(), heap=0, handles=0)


def outcomes(value: Any) -> None:
    """From a script's value to what is stored: a profile that a database can keep, or why not."""
    try:
        profile = normalise(value)
    except InvalidProfile:
        return
    assert storable_value(asdict(profile))
    assert profile.legacy_id
    assert profile.email_verified in {True, False}


@given(st.sampled_from(Action), PROFILES | VALUES)
def test_every_value_of_a_script_is_a_verdict(action: Action, value: Any) -> None:
    found = verdict(action, result(value))

    if isinstance(found, Value):
        outcomes(found.value)
    else:
        OUTCOME.validate_python(found)
        assert refusal(found, connection()).status in {403, 503}


@given(st.sampled_from(Action), st.sampled_from(sorted(FOLD)), st.none() | ERRORS)
def test_every_error_of_a_script_is_a_verdict_that_travels(
    action: Action, detail: Detail, error: ScriptError | None
) -> None:
    found = verdict(action, result(None, detail, error))

    assert isinstance(found, Denied | Failed)
    found.model_dump_json()
    answer = refusal(found, connection(show_script_messages=True))
    assert 400 <= answer.status < 600
    assert answer.error


@given(PROFILES | VALUES, TEXTS, TEXTS)
def test_no_profile_and_no_text_stops_the_masking(profile: Any, secret: str, text: str) -> None:
    redact = Redactor(ConfigurationForms({"A": secret}), Action.CREATE, (profile,), (), profile)

    assert isinstance(redact.line(text, truncated=True), str)


@given(TEXTS | st.from_regex(r"\A[\w.:*()\"\\ -]{0,60}\Z"))
@example("(" * 3000 + "email:a" + ")" * 3000)
@example("NOT " * 3000 + "email:a")
@example("email:a AND " * 60)
def test_every_query_is_a_condition_or_a_bad_one(text: str) -> None:
    try:
        found = condition(text)
    except BadQuery:
        return
    assert all(f"${number + 1}" in found.sql for number in range(len(found.arguments)))


def refused_with(text: str) -> str:
    """What is said of a hash; an import shows it."""
    try:
        stored_form(text, None)
    except ValueError as error:
        return str(error)
    return ""


@given(
    TEXTS
    | st.from_regex(
        r"\A(\$2[aby]\$|\$argon2id\$|\$pbkdf2-|\{SSHA\}|\$P\$|pbkdf2_)[\w$=,./+]{0,60}\Z"
    )
)
def test_every_hash_of_somebody_else_is_read_or_refused(text: str) -> None:
    assert verify(text, "not the password") in {True, False}
    assert text not in refused_with(text) or len(text) < 12


@given(st.dictionaries(st.sampled_from(sorted(CustomHash.model_fields)), VALUES, max_size=5))
def test_every_custom_hash_is_read_or_refused(given_: dict[str, Any]) -> None:
    try:
        stored_form(None, given_)
    except ValueError:
        return


@given(
    st.none()
    | TEXTS
    | st.from_regex(r"\A[0-9a-fA-F]{1,3}-[0-9a-f]{30,34}-[0-9a-f]{15,17}-\w{1,3}\Z")
)
def test_every_traceparent_is_continued_or_replaced(text: str | None) -> None:
    assert 55 == len(child_traceparent(text))


def test_a_hash_with_a_cost_of_hours_is_refused() -> None:
    with pytest.raises((ValueError, ValidationError)):
        stored_form("$2b$31$" + "a" * 53, None)
