"""Masks what is secret in what a script wrote: the live password and configuration values. Pure.

It sees through the forms in which secrets get printed (JSON, URLs, base64, at any alignment) and
not through what a script computes of them; a script's output stays with its own administrator.
Of a profile or a row of the legacy database that a script prints, what is named like a secret (a
hash, a token) is masked by that name, and second factors wherever they stand once a profile with
them was called back with.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, TypeAlias
from urllib.parse import quote, quote_plus

from shared.contracts import Action

MASK: Final = "[redacted]"
MIN_CONFIGURATION: Final = 4
"""Shorter configuration values (a port, "dev", "1") are no secrets, and masking them would tear
every text apart. Shorter passwords are masked where they stand alone."""
_MIN_ENCODED: Final = 6
_MIN_PARTIAL: Final = 4
_MIN_LINE: Final = 8

_NAME: Final = r"passw(?:or)?d|secret|token|hash|api_?key|private_?key"
_SECRET_NAME: Final = re.compile(rf"{_NAME}|mfa_factors", re.IGNORECASE)
_NAMED: Final = re.compile(
    rf"((?:{_NAME})[\w-]{{0,32}}+(?:\\{{0,7}}+[\"'`])?+\s{{0,3}}+[:=]\s{{0,3}}+)"
    # A quoted value, or a bare one with a digit in it: not the rest of "bad token: try again".
    r"(?:(\\{0,7}+[\"'`])[^\"'`\\]{1,1024}+"
    r"|(?=[^\d\s\"'`\\,;&(){}\[\]]{0,64}+\d)[^\s\"'`\\,;&(){}\[\]]{4,1024}+)"
    # Second factors are lists of objects: the rest of the line.
    r"|(mfa_factors\W{1,12}+).{1,4096}+",
    re.IGNORECASE | re.DOTALL,
)
"""Every repeat is bounded and gives nothing back: a script is hostile."""
_MAX_DEPTH: Final = 8

_PASSWORD_ARGUMENT: Final = {Action.LOGIN: 1, Action.CHANGE_PASSWORD: 1}


Secrets: TypeAlias = tuple[Action, Sequence[Any]]
"""A call whose arguments may hold passwords."""


class Redactor:
    """Masks the secrets of one run. Nothing is computed until there is a text to mask."""

    __slots__ = ("_calls", "_configuration", "_forms", "_profile")

    def __init__(
        self,
        configuration: ConfigurationForms,
        action: Action,
        arguments: Sequence[Any],
        earlier: Iterable[Secrets] = (),
        profile: Any = None,
    ) -> None:
        """`earlier`: calls whose leftovers (a timer that logs) may speak during this one.

        `profile`: what the script called back with.
        """
        self._profile = profile
        self._configuration = configuration
        self._calls = [(action, arguments), *earlier]
        self._forms: list[str] | None = None

    def __repr__(self) -> str:
        return "Redactor(...)"

    def __call__(self, text: str, *, truncated: bool = False) -> str:
        """`text` without secrets; `truncated`: its end may hold the beginning of one.

        Plain searches, longest form first: most texts hold no secret, and compiling a pattern
        for a password that is used once would cost more than all of them.
        """
        if not text:
            return text
        if self._forms is None:
            self._forms = self._all_forms()
        for form in self._forms:
            if form in text:
                text = _masked(text, form)
        return _without_cut_secret(text, self._forms) if truncated else text

    def line(self, text: str, *, truncated: bool) -> str:
        """A line of console output: also without the values that are named like secrets."""
        return _NAMED.sub(rf"\1\2\3{MASK}", self(text, truncated=truncated))

    def _all_forms(self) -> list[str]:
        live = {
            form
            for action, arguments in self._calls
            for password in passwords(action, arguments)
            for form in _forms_of(password)
        }
        for value in _secret_values(self._profile, _MAX_DEPTH):
            live.update(_forms_of(value))
        return sorted(live.union(self._configuration.forms), key=len, reverse=True)


class ConfigurationForms:
    """The forms of a connection's configuration values, computed once, when first needed."""

    def __init__(self, configuration: Mapping[str, str]) -> None:
        self._configuration = configuration

    def __repr__(self) -> str:
        return "ConfigurationForms(...)"

    @cached_property
    def forms(self) -> frozenset[str]:
        """Every form in which a value may show up."""
        return frozenset(form for secret in self._secrets() for form in _forms_of(secret))

    def _secrets(self) -> Iterator[str]:
        for value in self._configuration.values():
            if len(value) >= MIN_CONFIGURATION:
                yield value
                # A private key is printed line by line.
                yield from (line for line in value.splitlines() if len(line) >= _MIN_LINE)


def passwords(action: Action, arguments: Sequence[Any]) -> Iterator[str]:
    """The passwords among an action's arguments (C§1.1)."""
    index = _PASSWORD_ARGUMENT.get(action)
    if index is not None and len(arguments) > index:
        yield from _strings([arguments[index]])
    if action is Action.CREATE and arguments and isinstance(arguments[0], Mapping):
        yield from _strings([arguments[0].get("password")])


def _secret_values(value: Any, depth: int, *, secret: bool = False) -> Iterator[str]:
    """The texts of a profile that stand under the name of a secret."""
    if isinstance(value, str):
        if secret and len(value) >= MIN_CONFIGURATION:
            yield value
    elif depth and isinstance(value, Mapping):
        for name, inner in value.items():
            named = secret or _SECRET_NAME.search(str(name)) is not None
            yield from _secret_values(inner, depth - 1, secret=named)
    elif depth and isinstance(value, list):
        for inner in value:
            yield from _secret_values(inner, depth - 1, secret=secret)


def _strings(values: Iterable[Any]) -> Iterator[str]:
    return (value for value in values if isinstance(value, str) and value)


def _forms_of(secret: str) -> Iterator[str]:
    for written in {secret, _json(secret), _json(secret, ascii_only=True)}:
        yield written
        # Written once more: an inspected text that holds JSON, JSON within JSON.
        yield written.replace("\\", "\\\\")  # util.inspect, in backticks
        yield written.replace("\\", "\\\\").replace("'", "\\'")
        yield _json(written)
        yield _json(written, ascii_only=True)
    if len(secret) >= MIN_CONFIGURATION:
        raw = secret.encode(errors="replace")
        yield quote(raw, safe="")
        yield quote_plus(raw)
        yield quote(raw, safe="!'()*~")  # encodeURIComponent
        yield raw.hex()
        yield from _base64_forms(raw)


def _json(text: str, *, ascii_only: bool = False) -> str:
    return json.dumps(text, ensure_ascii=ascii_only)[1:-1]


def _base64_forms(raw: bytes) -> Iterator[str]:
    """What stays of it in the base64 of a longer text (`user:password`), at each alignment."""
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + raw).rstrip(b"=").decode()
        start = (0, 2, 3)[offset]
        # The last character mixes with whatever follows, unless the group is complete.
        end = len(encoded) if (offset + len(raw)) % 3 == 0 else len(encoded) - 1
        core = encoded[start:end]
        if len(core) >= _MIN_ENCODED:
            yield core
            yield core.replace("+", "-").replace("/", "_")


def _masked(text: str, form: str) -> str:
    if len(form) >= MIN_CONFIGURATION:
        return text.replace(form, MASK)
    # A password of "e" within words would tear the text apart, and give itself away by it.
    return re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", MASK, text)


def _without_cut_secret(text: str, forms: Iterable[str]) -> str:
    longest = max((_overlap(text, form) for form in forms), default=0)
    return text[:-longest] + MASK if longest else text


def _overlap(text: str, form: str) -> int:
    """How many characters at the end of `text` are the beginning of `form`."""
    for length in range(min(len(form) - 1, len(text)), _MIN_PARTIAL - 1, -1):
        if text.endswith(form[:length]):
            return length
    return 0
