"""A small JSON client for our own HTTP surface, as the demo and `up` need it."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_WAIT: Final = 30.0
"""Seconds: above the 20-second deadline of a script and its margin."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: status, JSON body (or text), headers in lower case."""

    status: int
    body: Any
    headers: dict[str, str]


async def call(
    method: str,
    url: str,
    *,
    body: Any = None,
    bearer: str | None = None,
    headers: Mapping[str, str] | None = None,
    wait: float = _WAIT,
) -> Answer:
    """Send one request, without blocking the loop. Raises OSError when nobody listens."""
    return await asyncio.to_thread(_call, method, url, body, bearer, headers or {}, wait)


def _call(
    method: str, url: str, body: Any, bearer: str | None, more: Mapping[str, str], wait: float
) -> Answer:
    headers = {"accept": "application/json", **more}
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        headers["content-type"] = "application/json"
    if bearer is not None:
        headers["authorization"] = f"Bearer {bearer}"
    request = urllib.request.Request(url, data=data, headers=headers, method=method)  # noqa: S310 - our own URL
    try:
        with urllib.request.urlopen(request, timeout=wait) as response:  # noqa: S310
            return _answer(response.status, response.read(), dict(response.headers))
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error.code, error.read(), dict(error.headers))


def _answer(status: int, raw: bytes, headers: dict[str, str]) -> Answer:
    text = raw.decode(errors="replace")
    try:
        body = json.loads(text)
    except ValueError:
        body = text
    return Answer(status, body, {name.lower(): value for name, value in headers.items()})
