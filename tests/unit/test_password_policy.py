"""The five levels and four extras of a password policy (C§3.2)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.password_policy import Level, PasswordOptions, objection, rules


def refused(password: str, personal: tuple[str | None, ...] = (), **options: Any) -> str | None:
    """The name of the error, or None."""
    found = objection(password, PasswordOptions.model_validate(options), personal)
    return None if found is None else found.name


@pytest.mark.parametrize(
    ("level", "good", "bad"),
    [
        ("none", ["a"], [""]),
        ("low", ["abcdef"], ["abcde"]),
        ("fair", ["abcdeF12"], ["abcdefg1", "ABCDEFG1", "abcdeFGH", "abcdF12"]),
        ("good", ["abcdeF12", "abcdef1!", "ABCDEF1!"], ["abcdefg1", "abcF12!"]),
        ("excellent", ["abcdefghF1", "aabbaabbF1"], ["abcdefgF1", "abcdefffF1"]),
    ],
)
def test_levels(level: Level, good: list[str], bad: list[str]) -> None:
    assert [None] * len(good) == [refused(one, passwordPolicy=level) for one in good]
    expected = ["PasswordStrengthError"] * len(bad)
    assert expected == [refused(one, passwordPolicy=level) for one in bad]


def test_a_connection_without_a_policy_takes_any_password() -> None:
    assert refused("a") is None


@pytest.mark.parametrize("password", ["", "x" * 1025, "é" * 513])
def test_there_is_a_longest_and_a_shortest(password: str) -> None:
    assert "PasswordStrengthError" == refused(password)


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        ("my-ada.lovelace-1", "PasswordNoUserInfoError"),
        ("LOVELACE-x", "PasswordNoUserInfoError"),
        ("augusta", "PasswordNoUserInfoError"),
        ("example-com", None),
        ("xy-marks", None),
    ],
)
def test_personal_information(password: str, expected: str | None) -> None:
    options = {"password_no_personal_info": {"enable": True}}
    personal = ("ada.lovelace@example.com", None, "Augusta King", "xy")

    assert expected == refused(password, personal, **options)


@given(st.text(max_size=40), st.sampled_from(["none", "low", "fair", "good", "excellent"]))
def test_a_verdict_is_what_its_rules_say(password: str, level: Level) -> None:
    options = PasswordOptions(passwordPolicy=level)

    found = objection(password, options, ())

    verified = all(rule.verified for rule in rules(password, options)) and bool(password)
    assert verified == (found is None)
    if found is not None and password:
        shown = found.public()["description"]
        assert {"rules", "verified"} == set(shown)
        assert any(not rule["verified"] for rule in shown["rules"])
