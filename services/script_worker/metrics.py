"""The worker's metrics. Label values are closed sets; ids never become labels.

Names: docs/metrics.md, generated from here. Buckets end above the 20-second deadline, so that a
time-out and a slow success can be told apart.
"""

from __future__ import annotations

from typing import Final, assert_never

from prometheus_client import Counter, Gauge, Histogram

from services.script_worker.pool_events import (
    Connected,
    LateViolation,
    Leased,
    PoolEvent,
    Retired,
    Started,
)
from services.script_worker.sandbox.levels import Level
from shared.contracts import ExecutionResult
from shared.telemetry import labelled

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 15, 20, 25)

EXECUTION_SECONDS: Final = Histogram(
    "script_worker_execution_duration_seconds",
    "Time a script ran, from the invocation to its outcome.",
    ["action", "outcome"],
    buckets=_SECONDS,
)
QUEUE_WAIT_SECONDS: Final = Histogram(
    "script_worker_queue_wait_seconds",
    "Time from a request's mint to its delivery.",
    buckets=_SECONDS,
)
VIOLATIONS: Final = Counter(
    "script_worker_violations_total", "Broken callback rules, by kind.", ["kind"]
)
DELIVERIES: Final = Counter(
    "script_worker_messages_total",
    "Deliveries settled; duplicate counts copies of a decided request besides.",
    ["disposition"],
)
RESULTS: Final = Counter(
    "script_worker_reply_publish_total", "Results published, by what the broker said.", ["outcome"]
)
SLOTS: Final = Gauge("script_worker_slots", "Executions that can be, and are, in hand.", ["state"])
LEASES: Final = Gauge("script_worker_leases", "Claims held by this worker.")
RUNNERS_STARTED: Final = Counter("script_worker_runner_starts_total", "Node processes started.")
RUNNER_START_SECONDS: Final = Histogram(
    "script_worker_runner_start_duration_seconds",
    "Time from the spawn of a Node process to its readiness.",
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5),
)
RUNNERS_RETIRED: Final = Counter(
    "script_worker_runner_exits_total", "Node processes retired, by reason.", ["reason"]
)
RUNNERS: Final = Gauge("script_worker_runners", "Node processes by state.", ["state"])
LEASED: Final = Counter(
    "script_worker_runner_leases_total",
    "Invocations by the state of the process they got: warm, blank or cold.",
    ["source"],
)
EGRESS: Final = Counter(
    "script_worker_egress_connects_total", "Connects of scripts, by verdict.", ["verdict"]
)
ISOLATION: Final = Gauge(
    "script_worker_isolation",
    "1 for the level of the sandbox that this machine gives, 0 for the others.",
    ["level"],
)
CONNECTED: Final = Gauge("script_worker_amqp_connected", "1 while the broker is connected.")


def observe(result: ExecutionResult) -> None:
    """Count one recorded outcome."""
    kind = str(result.outcome.kind)
    ran = labelled(EXECUTION_SECONDS, str(result.action), kind)
    ran.observe(result.timings.ran.total_seconds())
    QUEUE_WAIT_SECONDS.observe(result.timings.queued.total_seconds())
    for violation in result.violations:
        VIOLATIONS.labels(str(violation.kind)).inc()


def observe_isolation(reached: Level) -> None:
    """Publish the level."""
    for level in Level:
        ISOLATION.labels(str(level)).set(level is reached)


def observe_pool(event: PoolEvent) -> None:
    """Count what happens to Node processes."""
    match event:
        case Started(took):
            RUNNERS_STARTED.inc()
            RUNNER_START_SECONDS.observe(took.total_seconds())
        case Leased(source):
            labelled(LEASED, source).inc()
        case Retired(reason):
            RUNNERS_RETIRED.labels(str(reason)).inc()
        case LateViolation(_, kind):
            VIOLATIONS.labels(str(kind)).inc()
        case Connected(verdict, times):
            EGRESS.labels(str(verdict)).inc(times)
        case never:
            assert_never(never)
