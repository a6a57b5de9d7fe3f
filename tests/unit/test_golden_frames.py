"""The frames that both sides agree on; the harness's suite reads the same file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.script_worker.frames import (
    MAX_FRAME_BYTES,
    Decoder,
    Frame,
    ProtocolError,
    encode,
)

GOLDEN: dict[str, Any] = json.loads(
    Path(__file__).parents[1].joinpath("harness", "frames.json").read_text()
)


def test_both_sides_agree_on_the_largest_frame() -> None:
    assert GOLDEN["max_frame_bytes"] == MAX_FRAME_BYTES


@pytest.mark.parametrize(
    "vector", [*GOLDEN["to_runner"], *GOLDEN["to_worker"]], ids=lambda vector: vector["frame"]["t"]
)
def test_a_frame_is_written_as_its_bytes(vector: dict[str, Any]) -> None:
    assert bytes.fromhex(vector["hex"]) == encode(vector["frame"])


@pytest.mark.parametrize("vector", GOLDEN["to_worker"], ids=lambda vector: vector["frame"]["t"])
def test_what_a_runner_says_is_read_from_its_bytes(vector: dict[str, Any]) -> None:
    (frame,) = Decoder().feed(bytes.fromhex(vector["hex"]))

    assert isinstance(frame, Frame)
    for name in ("id", "ok", "value", "actions", "action", "line", "level", "text", "code"):
        if hasattr(frame, name) and name in vector["frame"]:
            said = vector["frame"][name]
            assert (tuple(said) if name == "actions" else said) == getattr(frame, name)


@pytest.mark.parametrize("vector", GOLDEN["refused"], ids=lambda vector: vector["why"])
def test_what_is_no_frame_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        Decoder().feed(bytes.fromhex(vector["hex"]))
