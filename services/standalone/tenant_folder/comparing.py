"""How what a folder wants differs from what the server has: options, scripts, configuration. Pure.

Rule 1: a stored configuration value is write-only, so it can't be compared: it is told as "sent",
and neither as a change nor as unchanged.
Rule 2: options that the folder does not name stay as they are (C§6.4); `customScripts` and
`configuration` are replaced as a whole.
Rule 3: what is shown holds keywords and never their values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import unified_diff
from typing import Any, Final

from services.standalone.tenant_folder.keywords import Keywords
from services.standalone.tenant_folder.plan import ConfigurationChange, ScriptChange, Verb

_MISSING: Final = object()
_INVISIBLE: Final = "  (only the value of a keyword differs, or the ends of lines)"


def merged_options(
    current: Mapping[str, Any], wanted: Mapping[str, Any], *, keep_configuration: bool
) -> dict[str, Any]:
    """What a PATCH sends: the server's options with the folder's over them (C§6.4)."""
    base = dict(current)
    older = bool(wanted.get("requires_username") or wanted.get("validation"))
    if wanted.get("attributes") and not older:
        base.pop("validation", None)
        base.pop("requires_username", None)
    elif older and not wanted.get("attributes"):
        base.pop("attributes", None)
    merged = {**base, **wanted}
    if current.get("enable_script_context"):
        merged["enable_script_context"] = True  # not to be switched off again (C§1.2)
    if keep_configuration and "configuration" in wanted:
        stored = current.get("configuration") or {}
        merged["configuration"] = {
            name: stored.get(name, value) for name, value in wanted["configuration"].items()
        }
    return merged


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal; 1 is not true here."""
    return _canonical(one) == _canonical(other)


def _canonical(value: Any) -> str:
    return "" if value is _MISSING else json.dumps(value, sort_keys=True)


def differing(current: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What of `wanted` the server has not, or has otherwise."""
    return {
        key: value for key, value in wanted.items() if not same(value, current.get(key, _MISSING))
    }


def told(current: Mapping[str, Any], changed: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys that change; with their values where they are too plain to be secrets."""
    return tuple(
        _told(key, current.get(key, _MISSING), changed.get(key, _MISSING))
        for key in sorted(changed)
    )


def plain(option: str) -> bool:
    """Whether an option is compared as a whole; scripts and configuration have their own ways."""
    return option not in ("customScripts", "configuration")


def changed_options(current: Mapping[str, Any], merged: Mapping[str, Any]) -> tuple[str, ...]:
    """The plain options that change, as `told`."""
    return tuple(
        _told(key, current.get(key, _MISSING), merged.get(key, _MISSING))
        for key in sorted({*current, *merged})
        if plain(key) and not same(current.get(key, _MISSING), merged.get(key, _MISSING))
    )


def _told(key: str, old: Any, new: Any) -> str:
    if isinstance(new, bool | int | float) and (
        old is _MISSING or isinstance(old, bool | int | float)
    ):
        before = "" if old is _MISSING else f"{json.dumps(old)} -> "
        return f"{key}: {before}{json.dumps(new)}"
    return f"{key}: removed" if new is _MISSING else key


def changed_configuration(
    current: Mapping[str, Any], merged: Mapping[str, Any]
) -> ConfigurationChange:
    """Which configuration values come, go, change, or are sent again."""
    stored, given = current.get("configuration") or {}, merged.get("configuration") or {}
    both = sorted(name for name in given if name in stored and given[name] != stored[name])
    # An empty text is stored as it is, so that it can be compared (C§7.4).
    certain = [name for name in both if "" in (given[name], stored[name])]
    return ConfigurationChange(
        added=tuple(sorted(given.keys() - stored.keys())),
        removed=tuple(sorted(stored.keys() - given.keys())),
        changed=tuple(certain),
        sent=tuple(name for name in both if name not in certain),
    )


def changed_scripts(
    current: Mapping[str, Any],
    merged: Mapping[str, Any],
    templates: Mapping[str, str],
    keywords: Keywords,
) -> tuple[ScriptChange, ...]:
    """Which action scripts come, go or change; `templates`: the folder's, keywords unfilled."""
    old, new = current.get("customScripts") or {}, merged.get("customScripts") or {}
    changes = []
    for key in sorted({*old, *new}):
        if old.get(key) != new.get(key):
            verb: Verb = "update" if key in old and key in new else "create"
            verb = verb if key in new else "delete"
            template = templates.get(key, "") if key in new else ""
            diff = _diff(key, old.get(key, ""), template, keywords)
            changes.append(ScriptChange(key, verb, diff))
    return tuple(changes)


def _diff(key: str, old: str, template: str, keywords: Keywords) -> tuple[str, ...]:
    """A unified diff in which keywords stand for their values, on both sides."""
    before = _hidden(old, template, keywords)
    lines = unified_diff(
        before, template.splitlines(), f"server/{key}.js", f"folder/{key}.js", lineterm="", n=3
    )
    return tuple(lines) or (_INVISIBLE,)


def _hidden(old: str, template: str, keywords: Keywords) -> list[str]:
    """The stored script's lines; one that is a template's line filled in is shown as that."""
    filled = keywords.lines(template)
    shown = []
    for line in keywords.hide(old).splitlines():
        match = next(
            (
                one
                for one, pattern in filled.items()
                if pattern is not None and len(line) < 2000 and pattern.fullmatch(line)
            ),
            None,
        )
        shown.append(line if match is None else match)
    return shown
