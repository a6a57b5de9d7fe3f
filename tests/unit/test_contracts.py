"""A message's body is encoded once, and never another message's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shared.contracts import Action, Detail, ExecutionResult, Failed
from shared.execution_ids import mint


def result() -> ExecutionResult:
    now = datetime.now(UTC)
    return ExecutionResult(
        execution_id=mint(now),
        connection_id="con_" + "a" * 16,
        revision="0" * 32,
        action=Action.LOGIN,
        deadline=now + timedelta(seconds=20),
        outcome=Failed.of(Detail.THREW, "first"),
        attempt=1,
    )


def test_a_body_is_encoded_once_and_read_back_equal() -> None:
    made = result()

    assert made.encoded is made.encoded
    assert made == ExecutionResult.model_validate_json(made.encoded)
    assert made.model_dump_json().encode() == made.encoded


def test_a_changed_copy_has_a_body_of_its_own() -> None:
    made = result()
    before = made.encoded

    copy = made.model_copy(update={"attempt": 2})

    assert before != copy.encoded
    assert 2 == ExecutionResult.model_validate_json(copy.encoded).attempt
