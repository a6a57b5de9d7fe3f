"""What leaves in a log line, and how traces go on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from shared.telemetry import child_traceparent, new_traceparent, redact

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SECRET = "correct horse battery"


def redacted(**event: Any) -> dict[str, Any]:
    return dict(redact(None, "info", event))


@pytest.mark.parametrize(
    "event",
    [
        {"password": SECRET},
        {"new_password": SECRET},
        {"Authorization": SECRET},
        {"body": {"client_secret": SECRET}},
        {"headers": [{"cookie": SECRET}]},
        {"configuration": {"LEGACY_URL": SECRET}},
        {"value": SecretStr(SECRET)},
        {"problem": f"cannot reach postgresql://user:{SECRET.replace(' ', '')}@db/x"},
        {"event": f"amqp://guest:{SECRET.replace(' ', '')}@mq/ is away"},
    ],
    ids=str,
)
def test_a_secret_does_not_leave(event: dict[str, Any]) -> None:
    said = str(redacted(**event))

    assert SECRET not in said
    assert SECRET.replace(" ", "") not in said


def test_what_is_no_secret_stays() -> None:
    event = {"event": "tokens.swept", "tokens": 3, "execution_id": "e1", "users": [1, "a"]}

    assert event == redacted(**event)


def test_a_callers_trace_goes_on_under_a_span_of_our_own() -> None:
    child = child_traceparent(CALLER)

    assert CALLER.split("-")[1] == child.split("-")[1]
    assert CALLER.split("-")[2] != child.split("-")[2]
    assert child.endswith("-01")


@given(st.none() | st.text() | st.just(f"00-{'0' * 32}-b7ad6b7169203331-01"))
def test_a_malformed_trace_is_not_taken_over(incoming: str | None) -> None:
    version, trace, span, flags = child_traceparent(incoming).split("-")

    assert ("00", 32, 16, "01") == (version, len(trace), len(span), flags)
    assert trace not in (incoming or "")


def test_two_new_traces_differ() -> None:
    assert new_traceparent() != new_traceparent()
