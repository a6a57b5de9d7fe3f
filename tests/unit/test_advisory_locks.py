"""Advisory locks are one space of numbers for a whole database: who shares one waits for strangers."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = re.compile(r"^_LOCK: Final = (\d+)|advisory_xact_lock\((\d+)\)", re.MULTILINE)


def test_no_two_advisory_locks_have_the_same_number() -> None:
    sources = [*(ROOT / "services/auth").rglob("*.py"), *(ROOT / "services/auth").rglob("*.sql")]
    numbers = Counter(
        number
        for source in sources
        for number in {one or other for one, other in LOCK.findall(source.read_text())}
    )

    assert numbers
    assert {} == {number: times for number, times in numbers.items() if times > 1}
