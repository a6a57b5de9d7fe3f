"""One login is one trace across both services, and its id stands in both logs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from services.auth.clients import REALM_GRANT
from services.standalone.http_client import call
from tests.processes import eventually, system

PASSWORD = "canary-Tr1ckle-pw"
LOGIN = """function login(email, password, callback) {
  setTimeout(() => callback(null, { user_id: '7', email: email }), 5);
}"""


class Collector:
    """What an OpenTelemetry collector would have been sent: OTLP over HTTP, protobuf."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.bodies: list[bytes] = []

    @property
    def spans(self) -> list[tuple[str, Span]]:
        """Service and span, of all that came."""
        found = []
        for body in self.bodies:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                names = {each.key: each.value.string_value for each in resource.resource.attributes}
                for scope in resource.scope_spans:
                    found += [(names["service.name"], span) for span in scope.spans]
        return found


@contextmanager
def collector() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sink.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sink = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        server.shutdown()
        server.server_close()


async def test_a_login_is_one_trace_across_both_services_and_their_logs(
    database_url: str, amqp_url: str, tmp_path: Path
) -> None:
    with collector() as sink:
        async with system(database_url, amqp_url, tmp_path) as its:
            auth = await its.auth(TRICKLE_OTLP_ENDPOINT=sink.url)
            worker = await its.worker(TRICKLE_OTLP_ENDPOINT=sink.url)
            await its.connect("shop", LOGIN)

            answer = await its.login("ada@example.com", PASSWORD)
            assert 200 == answer.status, answer.body
            await eventually(its.settled)
            auth.stop()
            worker.stop()
            logs = its.logs

        spans = sink.spans

    [http] = [
        span
        for service, span in spans
        if span.name == "POST /oauth/token" and _child(spans, span, "execution login")
    ]
    trace = [(service, span) for service, span in spans if span.trace_id == http.trace_id]
    tree = {span.name: (service, _parent(trace, span)) for service, span in trace}
    assert {
        "POST /oauth/token": ("auth", None),
        "execution login": ("auth", "POST /oauth/token"),
        "publish request": ("auth", "execution login"),
        "execute login": ("script_worker", "execution login"),
        "queue": ("script_worker", "execution login"),
        "claim": ("script_worker", "execute login"),
        "script": ("script_worker", "execute login"),
        "publish result": ("script_worker", "execute login"),
        "import user": ("auth", "POST /oauth/token"),
    } == tree
    by_name = {span.name: span for _, span in trace}
    assert by_name["script"].start_time_unix_nano >= by_name["queue"].end_time_unix_nano
    lines = [json.loads(line) for line in logs.splitlines() if line.startswith("{")]
    told = {line["event"] for line in lines if line.get("trace_id") == http.trace_id.hex()}
    assert {"execution.decided", "user.imported"} <= told
    exported = b"".join(sink.bodies)
    for secret in (PASSWORD, "ada@example.com", REALM_GRANT):
        assert secret.encode() not in exported


async def test_a_callers_trace_goes_on_and_a_collector_that_is_away_fails_no_login(
    database_url: str, amqp_url: str, tmp_path: Path
) -> None:
    theirs = "0af7651916cd43dd8448eb211c80319c"
    async with system(database_url, amqp_url, tmp_path) as its:
        await its.auth(TRICKLE_OTLP_ENDPOINT="http://127.0.0.1:9")
        await its.worker(TRICKLE_OTLP_ENDPOINT="http://127.0.0.1:9")
        await its.connect("shop", LOGIN)
        body = {
            "grant_type": REALM_GRANT,
            "client_id": its.client_id,
            "username": "ada@example.com",
            "password": PASSWORD,
            "realm": "shop",
        }

        answer = await call(
            "POST",
            f"{its.url}/oauth/token",
            body=body,
            headers={"traceparent": f"00-{theirs}-b7ad6b7169203331-01"},
        )
        await eventually(its.settled)
        logs = its.logs

    assert 200 == answer.status, answer.body
    lines = [json.loads(line) for line in logs.splitlines() if line.startswith("{")]
    told = {line["event"] for line in lines if line.get("trace_id") == theirs}
    assert {"execution.decided", "user.imported"} <= told


def _parent(trace: list[tuple[str, Span]], span: Span) -> str | None:
    names = {other.span_id: other.name for _, other in trace}
    return names.get(span.parent_span_id)


def _child(spans: list[tuple[str, Span]], span: Span, name: str) -> bool:
    return any(other.name == name and other.parent_span_id == span.span_id for _, other in spans)
