"""Password policies: the five levels and the four extras of a connection, with Auth0's errors.

Pure. Policies guard new passwords only, never a login that migrates: who has an old weak password
keeps it. Codes and texts are what SDKs and Lock parse (C§3.2, PasswordStrengthError).
"""

from __future__ import annotations

import string
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from services.auth.problems import Problem

Level = Literal["none", "low", "fair", "good", "excellent"]
MAX_BYTES: Final = 1024
"""Auth0 ends at bcrypt's 72; argon2id takes any length, at a price."""
_COMMON: Final = 10_000


class History(BaseModel):
    """`password_history`."""

    enable: bool = False
    size: int = Field(default=5, ge=0, le=24)


class Dictionary(BaseModel):
    """`password_dictionary`."""

    enable: bool = False
    dictionary: list[str] = Field(default_factory=list, max_length=2000)


class NoPersonalInfo(BaseModel):
    """`password_no_personal_info`."""

    enable: bool = False


class Complexity(BaseModel):
    """`password_complexity_options`."""

    min_length: int | None = Field(default=None, ge=1, le=128)


class PasswordOptions(BaseModel):
    """The part of a connection's options that speaks of passwords."""

    model_config = ConfigDict(extra="ignore")

    passwordPolicy: Level | None = None  # noqa: N815 - Auth0's spelling
    password_history: History = History()
    password_dictionary: Dictionary = Dictionary()
    password_no_personal_info: NoPersonalInfo = NoPersonalInfo()
    password_complexity_options: Complexity = Complexity()


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a policy, and whether a password keeps it."""

    message: str
    code: str
    verified: bool
    format: list[Any] = field(default_factory=list)
    items: list[Rule] = field(default_factory=list)

    def shape(self) -> dict[str, Any]:
        """As Auth0 writes it."""
        made: dict[str, Any] = {"message": self.message, "code": self.code}
        if self.format:
            made["format"] = self.format
        if self.items:
            made["items"] = [item.shape() for item in self.items]
        return made | {"verified": self.verified}

    def lines(self, depth: int = 0) -> list[str]:
        """As a person reads it."""
        text = self.message
        for value in self.format:
            text = text.replace("%d", str(value), 1) if "%d" in text else text.replace("%s", value)
        inner = [line for item in self.items for line in item.lines(depth + 1)]
        return [f"{'  ' * depth}* {text}", *inner]


_LENGTHS: Final[dict[Level, int]] = {"none": 1, "low": 6, "fair": 8, "good": 8, "excellent": 10}


def rules(password: str, options: PasswordOptions) -> list[Rule]:
    """The policy's rules, judged."""
    level = options.passwordPolicy or "none"
    least = options.password_complexity_options.min_length or _LENGTHS[level]
    found = [
        Rule("At least %d characters in length", "lengthAtLeast", len(password) >= least, [least])
    ]
    kinds = _kinds(password)
    if level == "fair":
        items = [kinds["lowerCase"], kinds["upperCase"], kinds["numbers"]]
        found.append(
            Rule("Should contain:", "shouldContain", all(i.verified for i in items), items=items)
        )
    if level in {"good", "excellent"}:
        items = list(kinds.values())
        text = "Contain at least %d of the following %d types of characters:"
        enough = sum(item.verified for item in items) >= 3
        found.append(Rule(text, "containsAtLeast", enough, [3, 4], items))
    if level == "excellent":
        longest = max((len(list(run)) for _, run in groupby(password)), default=0)
        text = 'No more than %d identical characters in a row (e.g., "%s" not allowed)'
        found.append(Rule(text, "identicalChars", longest <= 2, [2, "aaa"]))
    return found


def _kinds(password: str) -> dict[str, Rule]:
    symbols = set(password) - set(string.ascii_letters + string.digits)
    return {
        code: Rule(message, code, verified)
        for code, message, verified in (
            ("lowerCase", "lower case letters (a-z)", any("a" <= c <= "z" for c in password)),
            ("upperCase", "upper case letters (A-Z)", any("A" <= c <= "Z" for c in password)),
            ("numbers", "numbers (i.e. 0-9)", any("0" <= c <= "9" for c in password)),
            ("specialCharacters", "special characters (e.g. !@#$%^&*)", bool(symbols)),
        )
    }


def objection(
    password: str, options: PasswordOptions, personal: Collection[str | None]
) -> Problem | None:
    """Why a new password is refused, or None. `personal`: what belongs to the user."""
    if not password or len(password.encode()) > MAX_BYTES:
        return _plain("PasswordStrengthError", "invalid_password", "Password is too weak")
    judged = rules(password, options)
    if not all(rule.verified for rule in judged):
        return Problem(
            name="PasswordStrengthError",
            code="invalid_password",
            message="Password is too weak",
            description={"rules": [rule.shape() for rule in judged], "verified": False},
            policy="\n".join(line for rule in judged for line in rule.lines()),
            management_message="PasswordStrengthError: Password is too weak",
        )
    lowered = password.lower()
    if options.password_no_personal_info.enable and _personal(lowered, personal):
        text = "Password contains user information"
        return _plain("PasswordNoUserInfoError", "password_no_user_info_error", text)
    if options.password_dictionary.enable and _common(lowered, options.password_dictionary):
        text = "Password is too common"
        return _plain("PasswordDictionaryError", "password_dictionary_error", text)
    return None


USED_BEFORE: Final = Problem(
    name="PasswordHistoryError",
    code="password_history_error",
    description="Password has previously been used",
    message="Password has previously been used",
    management_message="PasswordHistoryError: Password has previously been used",
)


def _plain(name: str, code: str, text: str) -> Problem:
    return Problem(
        name=name,
        code=code,
        description=text,
        message=text,
        management_message=f"{name}: {text}",
    )


def _personal(lowered: str, personal: Collection[str | None]) -> bool:
    parts = {part for value in personal if value for part in _parts(value.lower())}
    return any(part in lowered for part in parts if len(part) >= 3)


def _parts(value: str) -> list[str]:
    """The local part of an address, and the words of a name."""
    local = value.partition("@")[0]
    return [local, *local.replace(".", " ").replace("_", " ").replace("-", " ").split()]


def _common(lowered: str, settings: Dictionary) -> bool:
    return lowered in _common_passwords() or lowered in {w.lower() for w in settings.dictionary}


@cache
def _common_passwords() -> frozenset[str]:
    return frozenset(FREQUENCY_LISTS["passwords"][:_COMMON])
