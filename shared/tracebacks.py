"""Where an exception came from, without what it says.

The text of an exception that is not ours may quote what somebody sent: a driver quotes the value
that it can't encode, `int()` what is no number, and a URL's parser half of a password. So that a
crash shows classes and places; the texts of our own errors name ids only (`shared.errors`).
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Final

from shared.errors import ServiceError

_MAX_FRAMES: Final = 30


def described(error: BaseException) -> str:
    """Class and frames of an exception, of its causes and of the members of a group."""
    return "\n".join(_lines(error, "", set()))


def _lines(error: BaseException, indent: str, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if earlier is not None and id(earlier) not in seen:
        yield from _lines(earlier, indent, seen)
        yield f"{indent}which led to"
    yield f"{indent}{_name(error)}"
    for frame, line in list(traceback.walk_tb(error.__traceback__))[-_MAX_FRAMES:]:
        code = frame.f_code
        yield f"{indent}  {code.co_filename}:{line} in {code.co_qualname}"
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _lines(inner, f"{indent}  | ", seen)


def _name(error: BaseException) -> str:
    kind = type(error)
    name = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    return f"{name}: {error}" if isinstance(error, ServiceError) else name
