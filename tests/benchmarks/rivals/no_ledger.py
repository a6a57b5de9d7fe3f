"""Our pipeline with a ledger that writes nothing: what the ledger costs, by leaving it out.

`python -m tests.benchmarks.rivals.no_ledger` is a worker with it. It promises nothing: no claim
is exclusive and no outcome survives.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from uuid import UUID

from services.script_worker import __main__ as worker_main
from services.script_worker import app
from shared.contracts import ExecutionRequest, ExecutionResult
from shared.ledger import Claim, Granted, Ledger


class NoLedger(Ledger):
    """Grants everything at once."""

    async def claim(self, request: ExecutionRequest, worker: UUID) -> Claim:
        """Yours."""
        return Granted(1, request.deadline - self._database.now())

    async def record(self, result: ExecutionResult) -> bool:
        """Fine."""
        return True

    def note_published(self, execution_id: UUID) -> None:
        """Fine."""

    async def mark_applied(self, execution_id: UUID) -> bool:
        """Fine."""
        return True

    async def renew(self, worker: UUID, held: Collection[tuple[UUID, int]]) -> set[UUID]:
        """Yours."""
        return {pair[0] for pair in held}


if __name__ == "__main__":
    vars(app)["Ledger"] = NoLedger
    sys.exit(worker_main.main())
