"""What no database keeps: NUL, and halves of surrogate pairs."""

from __future__ import annotations

from typing import Any


def storable(text: str) -> bool:
    """Whether Postgres can keep a text."""
    return "\0" not in text and not any("\ud800" <= one <= "\udfff" for one in text)


def storable_value(value: Any) -> bool:
    """Whether it can keep every text in a JSON value, names included."""
    if isinstance(value, dict):
        return all(storable_value(one) for pair in value.items() for one in pair)
    if isinstance(value, list):
        return all(storable_value(one) for one in value)
    return not isinstance(value, str) or storable(value)
