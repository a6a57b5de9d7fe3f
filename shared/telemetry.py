"""Logs, trace context and the metrics port.

Logs are one JSON object a line. A redaction step masks what is named like a secret, whoever
logs it; nobody should, and a test plants marked passwords to see that nobody does.
Trace context is W3C's: `traceparent` comes in over HTTP, travels in the message, and stands on
every log line of the execution.
"""

from __future__ import annotations

import asyncio
import json
import logging
import platform
import re
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from functools import lru_cache
from importlib.metadata import version
from typing import Any, Final, TypeVar

import structlog
from prometheus_client import REGISTRY, Histogram, Info
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics import MetricWrapperBase
from pydantic import SecretBytes, SecretStr
from pydantic_core import PydanticSerializationError, to_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.beside import beside
from shared.http_server import listening, serve_http
from shared.tracebacks import described

log = structlog.get_logger(__name__)

M = TypeVar("M", bound=MetricWrapperBase)

_SECRET_NAME: Final = re.compile(
    r"password|secret|token|credential|authorization|cookie|api_?key|private|configuration|"
    r"profile|dsn|database_url|amqp_url|key_ring",
    re.IGNORECASE,
)
_MASK: Final = "[redacted]"
_TRACEPARENT: Final = re.compile(r"^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$")
_URL_PASSWORD: Final = re.compile(r"(\w+://[^\s:/@]*:)[^\s@]+@")

LOOP_LAG: Final = Histogram(
    "event_loop_lag_seconds",
    "How late the event loop woke up from a short sleep.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
)
_LAG_EVERY: Final = 0.5
BUILD: Final = Info("trickle_build", "The release that runs.")
BUILD.info({"version": version("trickle"), "python": platform.python_version()})


@lru_cache(maxsize=1024)
def labelled(metric: M, *values: str) -> M:
    """A metric's child, found once: label values are closed sets, and `labels` takes a lock."""
    child: M = metric.labels(*values)
    return child


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask secret-named values, secret types, and passwords inside URLs, at any depth."""
    for name, value in event.items():
        event[name] = _masked("" if name == "event" else name, value)
    return event


@lru_cache(maxsize=4096)
def _named_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


def _masked(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value  # a count of tokens is no token
    if isinstance(value, SecretStr | SecretBytes) or _named_secret(name):
        return _MASK
    if isinstance(value, str):
        return _URL_PASSWORD.sub(rf"\1{_MASK}@", value) if "://" in value else value
    if isinstance(value, Mapping):
        return {key: _masked(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked("", inner) for inner in value]
    return value


def configure_logging(level: str, form: str) -> None:
    """Send structlog's and the standard library's lines to standard error, redacted."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(_described),
        redact,
    ]
    last = (
        structlog.processors.JSONRenderer(serializer=_json)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
    )
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(formatter)
    logging.basicConfig(handlers=[lines], level=max(_number(level), logging.WARNING), force=True)


def _described(exc_info: tuple[Any, BaseException, Any]) -> str:
    return described(exc_info[1])


def _json(event: Mapping[str, Any], **options: Any) -> str:
    """A line; what JSON can't say is said by its repr, as the renderer would."""
    try:
        return to_json(event, fallback=repr).decode()
    except PydanticSerializationError:  # a lone surrogate, which JSON can only escape
        return json.dumps(event, **options)


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


def new_traceparent() -> str:
    """A trace of our own (W3C Trace Context, section 3.2): sampled."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def known_traceparent(incoming: str | None) -> str | None:
    """What a caller sent, if it is one (W3C Trace Context, section 3.2); else nothing."""
    match = _TRACEPARENT.match(incoming or "")
    if match is None or set(match[1]) == {"0"} or set(match[2]) == {"0"}:
        return None
    return match[0]


def child_traceparent(incoming: str | None) -> str:
    """Continue the caller's trace under a span of our own; a malformed one starts a new trace."""
    known = known_traceparent(incoming)
    if known is None:
        return new_traceparent()
    version, trace, _, flags = known.split("-")
    return f"{version}-{trace}-{secrets.token_hex(8)}-{flags}"


async def watch_loop() -> None:
    """Measure how late the event loop runs, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        before = loop.time()
        await asyncio.sleep(_LAG_EVERY)
        LOOP_LAG.observe(max(loop.time() - before - _LAG_EVERY, 0.0))


@asynccontextmanager
async def metrics_server(
    host: str,
    port: int,
    ready: Callable[[], bool],
    facts: Callable[[], Mapping[str, str]] = dict,
) -> AsyncIterator[int]:
    """Serve /metrics, /livez and /readyz on a port of their own; yields the port.

    /livez answers when the event loop turns, and asks nothing else: an outage of the broker must
    not restart the fleet. /readyz asks `ready`, and adds `facts` that an operator looks for there.
    """

    async def metrics(http_request: Request) -> Response:
        encode, content_type = choose_encoder(http_request.headers.get("accept", ""))
        return Response(encode(REGISTRY), media_type=content_type)

    async def livez(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def readyz(_: Request) -> Response:
        ok = ready()
        return JSONResponse({"ready": ok, **facts()}, status_code=200 if ok else 503)

    app = Starlette(
        routes=[Route("/metrics", metrics), Route("/livez", livez), Route("/readyz", readyz)]
    )
    with listening(host, port, "TRICKLE_METRICS_PORT") as at:
        async with serve_http(app, at) as bound, beside(watch_loop(), "loop lag"):
            yield bound
