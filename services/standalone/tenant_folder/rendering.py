"""A plan as people and as programs read it. No configuration value stands in either."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from services.standalone.tenant_folder.plan import Change, Plan

_SIGN: Final = {"create": "+", "update": "~", "delete": "-", "unchanged": "="}


def as_text(plan: Plan) -> Iterator[str]:
    """One paragraph a change."""
    for notice in plan.notices:
        yield f"note: {notice}"
    for change in plan.changes:
        yield f"{_SIGN[change.verb]} {change.verb} {change.kind} {change.name}" + _warning(change)
        for line in _details(change):
            yield f"    {line}"
    yield summary(plan)


def summary(plan: Plan) -> str:
    """The last line."""
    counts = {
        verb: sum(change.verb == verb for change in plan.changes)
        for verb in ("create", "update", "delete", "unchanged")
    }
    told = ", ".join(
        f"{number} to {verb}" for verb, number in counts.items() if verb != "unchanged"
    )
    text = f"plan: {told}, {counts['unchanged']} unchanged" if plan.changed else "no change"
    sent = sum(len(change.configuration.sent) for change in plan.changes)
    if sent:
        text += f"; {_values(sent)} will be written again: what is stored can't be compared"
    return text


def as_json(plan: Plan) -> dict[str, Any]:
    """Every key is always there."""
    return {
        "changes": [_json(change) for change in plan.changes],
        "notices": list(plan.notices),
        "summary": summary(plan),
    }


def _json(change: Change) -> dict[str, Any]:
    return {
        "kind": change.kind,
        "name": change.name,
        "verb": change.verb,
        "id": change.id,
        "fields": list(change.fields),
        "scripts": [
            {"key": one.key, "verb": one.verb, "diff": list(one.diff)} for one in change.scripts
        ],
        "configuration": {
            "added": list(change.configuration.added),
            "removed": list(change.configuration.removed),
            "changed": list(change.configuration.changed),
            "sent": list(change.configuration.sent),
        },
        "enabled_clients": {"on": list(change.clients_on), "off": list(change.clients_off)},
    }


def _warning(change: Change) -> str:
    return " and all its users" if (change.kind, change.verb) == ("connection", "delete") else ""


def _details(change: Change) -> Iterator[str]:
    if change.verb == "create":
        yield from [", ".join(change.fields)] if change.fields else []
    else:
        yield from change.fields
    configuration = change.configuration
    for word, names in (
        ("set", configuration.added),
        ("changed", configuration.changed),
        ("removed", configuration.removed),
        ("written again", configuration.sent),
    ):
        if names:
            yield f"configuration: {', '.join(names)}: {word}"
    if change.clients_on:
        yield f"enabled_clients: on: {', '.join(change.clients_on)}"
    if change.clients_off:
        yield f"enabled_clients: off: {', '.join(change.clients_off)}"
    for script in change.scripts:
        yield f"script {script.key}: {script.verb}"
        yield from (f"  {line}" for line in script.diff)


def _values(number: int) -> str:
    return f"{number} configuration value{'' if number == 1 else 's'}"
