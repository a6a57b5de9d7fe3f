"""Keyword replacement as auth0-deploy-cli does it, in JSON, YAML and scripts (C§6.3).

`##KEY##` becomes the value as it is, `@@KEY@@` (with or without quotes around it) the value as
JSON. One pass: what a value contains is not replaced again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_LEFT: Final = re.compile(r"##([A-Za-z0-9_]{1,100})##|@@([A-Za-z0-9_]{1,100})@@")
_MAX_PARTS: Final = 8


@dataclass(frozen=True, slots=True)
class Keywords:
    """Keywords and their values, which may be secrets."""

    values: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def replace(self, text: str) -> str:
        """The text with every known keyword replaced."""
        if not self.values:
            return text
        return self._pattern().sub(lambda found: self._value(found[0]), text)

    def hide(self, text: str) -> str:
        """The text with values written as keywords again; short ones would hit by chance."""
        shown = {name: _text(value) for name, value in self.values.items()}
        for name, value in sorted(shown.items(), key=lambda item: -len(item[1])):
            if len(value) >= 4:
                text = text.replace(value, f"##{name}##")
        return text

    def lines(self, template: str) -> dict[str, re.Pattern[str] | None]:
        """Lines of a template with keywords in them, and what matches them filled in."""
        if not self.values:
            return {}
        pattern = self._pattern()
        return {
            line: _filled(pattern.split(line))
            for line in template.splitlines()
            if pattern.search(line)
        }

    def _pattern(self) -> re.Pattern[str]:
        names = "|".join(re.escape(name) for name in sorted(self.values, key=len, reverse=True))
        return re.compile(rf'"@@(?:{names})@@"|@@(?:{names})@@|##(?:{names})##')

    def _value(self, found: str) -> str:
        name = found.strip('"')[2:-2]
        value = self.values[name]
        return _text(value) if found.startswith("##") else json.dumps(value, ensure_ascii=False)


def left_in(text: str) -> list[str]:
    """Keywords that nothing was given for."""
    return list(dict.fromkeys(one or other for one, other in _LEFT.findall(text)))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _filled(parts: list[str]) -> re.Pattern[str] | None:
    """None for a line with so many keywords that matching it could take long."""
    if len(parts) > _MAX_PARTS:
        return None
    return re.compile(".*".join(re.escape(part) for part in parts))
