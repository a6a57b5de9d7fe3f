"""What is generated under docs/ is fresh, and the contracts in it hold for real messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator

from services.standalone import asyncapi, documents
from shared.contracts import (
    Action,
    Denied,
    DeniedReason,
    Detail,
    ExecutionRequest,
    ExecutionResult,
    Failed,
    Outcome,
    RunnerFacts,
    Sealed,
    Succeeded,
    Timings,
    Violation,
    ViolationKind,
)
from shared.topology import Names

ROOT = Path(__file__).parents[2]
BOUND: dict[str, Any] = {
    "execution_id": UUID("01938f6e-7b7a-7c54-9b0c-2f4f6d3a1b22"),
    "connection_id": "con_0000000000000001",
    "revision": "0" * 32,
    "action": Action.LOGIN,
    "deadline": datetime(2026, 1, 1, tzinfo=UTC),
}
SEALED = Sealed(key_id="k1", data="AAAA")


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((documents.DOCS / "contracts" / f"{name}.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_every_generated_document_is_fresh() -> None:
    assert [] == documents.stale()


def test_a_request_obeys_its_schema() -> None:
    request = ExecutionRequest(
        **BOUND, reply_to="r", sealed_arguments=SEALED, requested_at=BOUND["deadline"]
    )

    validator("execution-request").validate(json.loads(request.model_dump_json()))


@pytest.mark.parametrize(
    "outcome",
    [
        Succeeded(sealed_value=SEALED),
        Denied(reason=DeniedReason.WRONG_PASSWORD),
        Failed.of(Detail.CPU_BOUND, "it never ends"),
    ],
    ids=lambda outcome: str(outcome.kind),
)
def test_a_result_obeys_its_schema(outcome: Outcome) -> None:
    result = ExecutionResult(
        **BOUND,
        outcome=outcome,
        attempt=1,
        timings=Timings(ran=timedelta(milliseconds=3)),
        violations=(Violation(kind=ViolationKind.CALLBACK_TWICE),),
        runner=RunnerFacts(pid=7),
    )

    validator("execution-result").validate(json.loads(result.model_dump_json()))


def test_an_outcome_without_its_kind_is_against_the_schema() -> None:
    result = ExecutionResult(**BOUND, outcome=Failed.of(Detail.THREW), attempt=1)
    said = json.loads(result.model_dump_json())
    del said["outcome"]["kind"]

    assert not validator("execution-result").is_valid(said)


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = asyncapi.document()

    for reference in references(document):
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        assert place


def test_the_asyncapi_document_has_what_a_reader_of_it_needs() -> None:
    document = asyncapi.document()

    assert document["asyncapi"].startswith("3.")
    for operation in document["operations"].values():
        assert operation["action"] in {"send", "receive"}
        channel = operation["channel"]["$ref"]
        assert all(message["$ref"].startswith(f"{channel}/") for message in operation["messages"])
    for channel in document["channels"].values():
        assert channel["bindings"]["amqp"]["is"] in {"queue", "routingKey"}
        named = set(channel.get("parameters", {}))
        assert all(f"{{{name}}}" in channel["address"] for name in named)


def test_the_asyncapi_document_names_the_queues_that_are_declared() -> None:
    names = Names()
    declared = {
        *names.base().queues,
        *names.connection("{connection_id}").queues,
        *names.integrator("{integrator}", ()).queues,
    }

    told = {
        channel["address"]: channel["bindings"]["amqp"]["queue"]["x-arguments"]
        for channel in asyncapi.document()["channels"].values()
        if channel["bindings"]["amqp"]["is"] == "queue"
    }

    # No message ever goes through the queue that workers are counted by.
    carrying = {queue for queue in declared if queue.name != names.workers}
    assert {queue.name: queue.arguments for queue in carrying} == told


@pytest.mark.parametrize("file", ["requirements.lock", "dev", "pyproject.toml"])
def test_no_host_stands_in_what_installs_us(file: str) -> None:
    """A lock with addresses would break, or leak, on every machine with a mirror of its own."""
    text = (ROOT / file).read_text(encoding="utf-8")

    assert "https://" not in text
    assert "http://" not in text


@pytest.mark.parametrize("project", ["modules", "harness"])
def test_no_host_stands_in_the_locks_of_javascript(project: str) -> None:
    lock = json.loads((ROOT / "services/script_worker" / project / "package-lock.json").read_text())

    assert all("resolved" not in package for package in lock["packages"].values())


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            yield reference
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)
