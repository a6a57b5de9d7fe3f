"""Spans, exported by OTLP where an operator asks for it, and nothing at all where nobody does.

One login is one trace: HTTP, execution, publish, queue, claim, script, publish of the result,
import. The context crosses the broker as W3C `traceparent`, so that teams on the queue can join
in with whatever library they use (docs/contracts).

Rule 1: an attribute is an id, a name of ours or a count; never what a caller or a script said.
Rule 2: tracing never fails a login: the exporter works beside, drops what it can't send, and says so.

What we gave up: the instrumentation packages. They name spans after libraries, lose the context in
iterating consumers, and record statements and addresses that must not leave.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from shared.errors import Misconfigured

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span as OtelSpan
    from opentelemetry.trace import Tracer

_SEND_WITHIN: Final = 5.0
_TRACEPARENT: Final = "traceparent"


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of work under way."""

    traceparent: str | None
    """For what continues the trace elsewhere; what was handed in when nothing is traced."""
    _inner: OtelSpan | None = None

    def note(self, **attributes: str | int | float | bool) -> None:
        """Add what became known meanwhile (rule 1)."""
        if self._inner is not None:
            self._inner.set_attributes(_named(attributes))

    def failed(self, why: str) -> None:
        """Mark it as failed, by a word of ours."""
        if self._inner is not None:
            from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415 - optional

            self._inner.set_status(Status(StatusCode.ERROR, why))


class _Tracing:
    def __init__(self, tracer: Tracer, provider: Any) -> None:
        self.tracer = tracer
        self.provider = provider


_tracing: _Tracing | None = None


@contextmanager
def traced(
    service: str, endpoint: str | None, exporter: SpanExporter | None = None
) -> Iterator[None]:
    """Export spans inside the block; `endpoint` is a collector's OTLP/HTTP base URL, or nothing.

    Raises Misconfigured when the packages for it are not installed (the extra `tracing`).
    """
    global _tracing  # noqa: PLW0603 - a process has one tracer, as it has one log
    if endpoint is None and exporter is None:
        yield
        return
    _tracing = _set_up(service, endpoint, exporter)
    try:
        yield
    finally:
        provider, _tracing = _tracing.provider, None
        provider.shutdown()


def _set_up(service: str, endpoint: str | None, exporter: SpanExporter | None) -> _Tracing:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import (  # noqa: PLC0415
            BatchSpanProcessor,
            SimpleSpanProcessor,
        )
    except ImportError:
        text = "TRICKLE_OTLP_ENDPOINT needs the packages of the extra `tracing`"
        raise Misconfigured(text) from None
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    if exporter is not None:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    else:
        sending = OTLPSpanExporter(f"{str(endpoint).rstrip('/')}/v1/traces", timeout=_SEND_WITHIN)
        provider.add_span_processor(BatchSpanProcessor(sending))
    return _Tracing(provider.get_tracer("trickle"), provider)


def span(
    name: str,
    *,
    kind: str = "internal",
    parent: str | None = None,
    since: datetime | None = None,
    **attributes: str | int | float | bool,
) -> AbstractContextManager[Span]:
    """A span around the block, below `parent` (a traceparent) or else below the span around it.

    `kind` is OpenTelemetry's: internal, server, client, producer, consumer. An exception marks it
    as failed by its class alone, for its text may hold what a caller sent.
    """
    if _tracing is None:  # five times a request, so it costs next to nothing
        return nullcontext(Span(parent))
    return _span(_tracing.tracer, name, kind, parent, since, attributes)


@contextmanager
def _span(
    tracer: Tracer,
    name: str,
    kind: str,
    parent: str | None,
    since: datetime | None,
    attributes: Mapping[str, str | int | float | bool],
) -> Iterator[Span]:
    from opentelemetry.trace import SpanKind, use_span  # noqa: PLC0415 - optional

    opened = tracer.start_span(
        name,
        context=_context(parent),
        kind=SpanKind[kind.upper()],
        attributes=_named(attributes),
        start_time=None if since is None else _nanoseconds(since),
    )
    made = Span(_written(opened), opened)
    with use_span(opened, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield made
        except BaseException as error:
            made.failed(type(error).__name__)
            raise


def passed(name: str, *, parent: str | None, began: datetime, ended: datetime) -> None:
    """A span of what nobody was around for: the time in a queue."""
    if _tracing is None:
        return
    opened = _tracing.tracer.start_span(
        name, context=_context(parent), start_time=_nanoseconds(began)
    )
    opened.end(_nanoseconds(max(began, ended)))


def current() -> str | None:
    """The traceparent of the span that we are in, if anything is traced."""
    if _tracing is None:
        return None
    from opentelemetry.trace import get_current_span  # noqa: PLC0415 - optional

    return _written(get_current_span())


def trace_id(traceparent: str | None) -> str | None:
    """The trace that a traceparent belongs to: what log lines carry."""
    return None if traceparent is None else traceparent.split("-")[1]


def _context(parent: str | None) -> Any:
    if parent is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - optional
        TraceContextTextMapPropagator,
    )

    return TraceContextTextMapPropagator().extract({_TRACEPARENT: parent})


def _written(opened: OtelSpan) -> str | None:
    context = opened.get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def _named(attributes: Mapping[str, str | int | float | bool]) -> dict[str, Any]:
    return {f"trickle.{name}": value for name, value in attributes.items()}


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1e9)
