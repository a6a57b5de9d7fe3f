"""The launcher's poll: an event is for who was there when it happened."""

from __future__ import annotations

import os

from services.script_worker.sandbox.watching import Watch


def test_a_descriptor_that_was_closed_and_given_out_again_does_not_hear_of_the_old_ones_events() -> (
    None
):
    watch, called = Watch(), list[str]()
    pipes = [os.pipe() for _ in range(2)]
    readers = [reader for reader, _ in pipes]

    def replace_the_other(_: int) -> None:
        other = readers[1]
        watch.remove(other)
        os.close(other)
        assert os.dup(readers[0]) == other
        watch.add(other, lambda _: called.append("new"))
        called.append("first")

    watch.add(readers[0], replace_the_other)
    watch.add(readers[1], lambda _: called.append("old"))
    for _, writer in pipes:
        os.write(writer, b"x")
    watch.handle(watch.wait())

    assert called == ["first"]
    for descriptor in (descriptor for pipe in pipes for descriptor in pipe):
        os.close(descriptor)
