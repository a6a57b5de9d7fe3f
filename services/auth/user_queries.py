"""The part of Auth0's user search that we understand: a query as SQL, with parameters.

`field:value` and `field:"a value"`, `*` at the end of a value, `_exists_:field`, `NOT` or `-`
before a term, `AND` and `OR` between terms (`AND` binds closer), parentheses. Fields: those of
`FIELDS`, and `user_metadata.x`, `app_metadata.x`. Anything else is an error, never an empty list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from shared.errors import ServiceError


def _instant(column: str) -> str:
    """As answers write it (C§2.3), so that `created_at:2024-01*` finds a month."""
    return f"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"


FIELDS: Final = {
    "user_id": "u.user_id",
    "email": "lower(u.email)",
    "username": "lower(u.username)",
    "name": "lower(u.profile->>'name')",
    "nickname": "lower(u.profile->>'nickname')",
    "given_name": "lower(u.profile->>'given_name')",
    "family_name": "lower(u.profile->>'family_name')",
    "phone_number": "u.profile->>'phone_number'",
    "identities.user_id": "u.legacy_id",
    "identities.connection": "lower(c.name)",
    "identities.provider": "'auth0'",
    "email_verified": "u.email_verified::text",
    "blocked": "u.blocked::text",
    "logins_count": "u.logins_count::text",
    "created_at": _instant("u.created_at"),
    "updated_at": _instant("u.updated_at"),
    "last_login": _instant("u.last_login"),
}
_LOWERED: Final = {name for name, sql in FIELDS.items() if sql.startswith("lower(")}
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<open>\()|(?P<close>\))|(?P<and>AND\b|&&)|(?P<or>OR\b|\|\|)|(?P<not>NOT\b|!|-(?=\S))"
    r"|(?P<field>[A-Za-z_][\w.\-]*):(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<bare>[^\s()\"]+)))"
)
_METADATA: Final = re.compile(
    r"^(user_metadata|app_metadata)\.([A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]+)*)$"
)
_MAX_TERMS: Final = 50


class BadQuery(ServiceError):
    """The query can't be understood"""


@dataclass(frozen=True, slots=True)
class Condition:
    """A WHERE clause and its parameters."""

    sql: str
    arguments: list[Any]


def condition(query: str) -> Condition:
    """The query as SQL. Raises BadQuery."""
    reader = _Reader(_tokens(query))
    sql = reader.alternatives()
    if reader.more:
        raise BadQuery(f"unexpected {reader.kind} in the query")
    return Condition(sql, reader.arguments)


def _tokens(query: str) -> list[re.Match[str]]:
    found, place = [], 0
    while query[place:].strip():
        match = _TOKEN.match(query, place)
        if match is None:
            raise BadQuery(f"the query can't be read from its character {place + 1} on")
        found.append(match)
        place = match.end()
        if len(found) > 4 * _MAX_TERMS:
            raise BadQuery(f"the query has more than {_MAX_TERMS} terms")
    return found


class _Reader:
    """Recursive descent over the tokens."""

    def __init__(self, tokens: list[re.Match[str]]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self.arguments: list[Any] = []

    @property
    def more(self) -> bool:
        return self._at < len(self._tokens)

    @property
    def kind(self) -> str:
        match = self._tokens[self._at]
        return next(name for name in ("open", "close", "and", "or", "not", "field") if match[name])

    def alternatives(self) -> str:
        parts = [self._all()]
        while self.more and self.kind == "or":
            self._at += 1
            parts.append(self._all())
        return f"({' OR '.join(parts)})"

    def _all(self) -> str:
        parts = [self._term()]
        while self.more and self.kind not in {"or", "close"}:
            if self.kind == "and":
                self._at += 1
            parts.append(self._term())
        return f"({' AND '.join(parts)})"

    def _term(self) -> str:
        if not self.more:
            raise BadQuery("the query ends too early")
        match, kind = self._tokens[self._at], self.kind
        self._at += 1
        if kind == "not":
            return f"NOT {self._term()}"
        if kind == "open":
            self._depth += 1
            if self._depth > _MAX_TERMS:
                raise BadQuery("the query is nested too deeply")
            inner = self.alternatives()
            if not self.more or self.kind != "close":
                raise BadQuery("a parenthesis is not closed")
            self._at += 1
            return inner
        if kind != "field":
            raise BadQuery(f"unexpected {kind} in the query")
        return self._field(match)

    def _field(self, match: re.Match[str]) -> str:
        name, quoted = match["field"], match["quoted"]
        value = match["bare"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        if name == "_exists_":
            return f"{self._column(value)} IS NOT NULL"
        column = self._column(name)
        if name in _LOWERED:
            value = value.lower()
        if quoted is None and value == "*":
            return f"{column} IS NOT NULL"
        if quoted is None and "*" in value:
            return self._begins(column, value)
        self.arguments.append(value)
        return f"coalesce({column} = ${len(self.arguments)}, false)"

    def _begins(self, column: str, value: str) -> str:
        if value.index("*") != len(value) - 1:
            raise BadQuery("* is understood at the end of a value only")
        self.arguments.append(value[:-1])
        return f"coalesce(starts_with({column}, ${len(self.arguments)}), false)"

    def _column(self, name: str) -> str:
        if name in FIELDS:
            return FIELDS[name]
        match = _METADATA.match(name)
        if match is None:
            raise BadQuery(f"the field {name[:60]!r} can't be searched")
        self.arguments.append(match[2].split("."))
        return f"(u.{match[1]} #>> ${len(self.arguments)}::text[])"
