"""The corpus `tests/hostile_scripts/`: whatever a script does, it hurts itself alone.

The attacked workers are processes of their own, so that their deaths are seen, too. The same corpus, in
an environment that has more, is `./dev hostile --pod`, and one test here.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.hostile.attacks import all_attacks
from tests.hostile.environments import WORKERS, Where, must_run, run
from tests.hostile.pod import NotPossible

ATTACKS = all_attacks()


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    """Of the whole corpus."""
    return list(run(Where.AS_IS))


def left_out(reason: str) -> None:
    if must_run():
        pytest.fail(reason)
    pytest.skip(reason)


def test_the_corpus_is_there() -> None:
    assert len(ATTACKS) >= 80
    assert [attack.name for attack in ATTACKS if "attack" not in attack.says] == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [attack.name for attack in ATTACKS])
def test_an_attack_hurts_its_own_process_alone(lines: list[dict[str, Any]], name: str) -> None:
    (line,) = (line for line in lines if line.get("attack") == name)

    assert [] == line["problems"], line["came_to"]
    if line["verdict"] == "not run":
        left_out(f"needs isolation {line['needs']}")


def test_the_workers_live_on(lines: list[dict[str, Any]]) -> None:
    ends = [line["problems"] for line in lines if "attack" not in line]

    assert [[]] * WORKERS == ends


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nor_does_one_in_a_restricted_pod() -> None:
    lines: list[dict[str, Any]] = []
    try:
        lines += run(Where.POD)
    except NotPossible as reason:
        left_out(str(reason))

    assert [] == [problem for line in lines for problem in line["problems"]]
    assert {attack.name for attack in ATTACKS} == {
        line["attack"] for line in lines if line.get("verdict") == "held"
    }
    environments = [line["environment"] for line in lines if "environment" in line]
    assert WORKERS == len(environments)
    for facts in environments:
        assert facts["uid"] != 0
        assert facts["capabilities"] == facts["bounding"] == 0
        assert (facts["no_new_privs"], facts["seccomp"]) == (1, 2)
        assert "/" not in facts["writable"]
