"""What a campaign has to say, as Markdown that reads well on a screen too."""

from __future__ import annotations

import os
import platform
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from tests.faults.accounting import Breach, Call, Told, tally
from tests.faults.campaign import Campaign
from tests.faults.installation import AUTHS, REALMS, WORKERS
from tests.faults.scheduler import Struck

_NAMED: Final = 50
"""Violations that are written out."""
_AFTER: Final = 2.0
"""Seconds after a fault's end in which what callers meet is put down to it."""
_COLUMNS: Final = (
    Told.DONE,
    Told.DENIED,
    Told.FAILED,
    Told.LATER,
    Told.LIMITED,
    Told.BROKEN,
)


def lines(campaign: Campaign, command: str) -> Iterator[str]:
    """The whole report."""
    yield from _summary(campaign, command)
    yield from _faults(campaign)
    yield from _callers(campaign)
    yield from _executions(campaign)
    yield from _violations(campaign)


def _summary(campaign: Campaign, command: str) -> Iterator[str]:
    calls, evidence = campaign.load.calls, campaign.evidence
    minutes, seconds = divmod(round(campaign.seconds), 60)
    yield "# The fault campaign"
    yield ""
    yield f"Written by `{command}` on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; do not edit."
    yield ""
    yield (
        f"{AUTHS} replicas of auth and {WORKERS} workers over one RabbitMQ and one Postgres, each"
        " replica behind links of its own, on"
        f" {os.cpu_count()} cores ({platform.machine()}, Python {platform.python_version()})."
        " `tests/faults` says what is injected, who keeps which book, and how they are compared."
    )
    yield ""
    yield f"**{_verdict(campaign)}**"
    yield ""
    yield f"- seed {campaign.order.seed}; {minutes} min {seconds} s under fault"
    yield (
        f"- {len(calls):,} HTTP requests that need a script, {len(evidence.published):,} executions"
        f" published, {campaign.copies:,} of them published again by the campaign"
    )
    yield f"- {len(campaign.scheduler.struck):,} faults injected"
    yield (
        f"- {sum(map(len, evidence.starts.values())):,} scripts started,"
        f" {sum(map(len, evidence.effects.values())):,} changes made in the legacy store"
    )
    if not campaign.clocks:
        yield "- clocks were not stepped: libfaketime was not to be had"
    yield ""


def _verdict(campaign: Campaign) -> str:
    asked, made = campaign.order.requests, len(campaign.load.calls)
    short = "" if made >= asked else f" (the time was over before {asked:,} requests were made)"
    return f"{len(campaign.violations)} violations in {made:,} requests{short}."


def _faults(campaign: Campaign) -> Iterator[str]:
    yield "## Faults, and what callers met meanwhile"
    yield ""
    yield (
        "Callers whose request was under way during a fault of the kind or within"
        f" {_AFTER:.0f} s after it. Faults overlap, so that one caller may count for several."
    )
    yield ""
    yield _row("fault", "times", *_COLUMNS, "longest answer")
    yield _row(*["---"] + ["--:"] * (len(_COLUMNS) + 2))
    by_kind: defaultdict[str, list[Struck]] = defaultdict(list)
    for one in campaign.scheduler.struck:
        by_kind[one.kind].append(one)
    calls = sorted(campaign.load.calls, key=lambda call: call.began)
    for kind in campaign.scheduler.kinds:
        struck = by_kind.get(kind.name, [])
        met = _met(struck, calls)
        told = Counter(call.told for call in met)
        longest = max((call.ended - call.began for call in met), default=0.0)
        yield _row(
            kind.name,
            len(struck),
            *(told.get(column, 0) for column in _COLUMNS),
            f"{longest:.1f} s",
        )
    yield ""


def _met(struck: Sequence[Struck], calls: Sequence[Call]) -> list[Call]:
    """Each caller once, however many faults of the kind they met."""
    spans = sorted((one.began, one.ended + _AFTER) for one in struck)
    return [
        call
        for call in calls
        if any(began <= call.ended and call.began <= ended for began, ended in spans)
    ]


def _callers(campaign: Campaign) -> Iterator[str]:
    yield "## What callers were told"
    yield ""
    by_flow: defaultdict[str, list[Call]] = defaultdict(list)
    for call in campaign.load.calls:
        by_flow[call.flow].append(call)
    yield _row("request", "number", *_COLUMNS, "median", "longest")
    yield _row(*["---"] + ["--:"] * (len(_COLUMNS) + 3))
    for flow, calls in sorted(by_flow.items()):
        told = Counter(call.told for call in calls)
        took = [call.ended - call.began for call in calls]
        yield _row(
            flow,
            len(calls),
            *(told.get(column, 0) for column in _COLUMNS),
            f"{statistics.median(took) * 1000:.0f} ms",
            f"{max(took):.1f} s",
        )
    budgets = ", ".join(f"{realm.budget:.0f}" for realm in REALMS)
    yield ""
    yield (
        f"Scripts had {budgets} seconds, by connection; every caller has to be answered within"
        f" that and {campaign.order.margin:g} s, not counting the time in which its own replica was stopped."
        " `denied` is the answer to a wrong password; `failed` every other refusal."
    )
    yield ""


def _executions(campaign: Campaign) -> Iterator[str]:
    yield "## What the ledger holds"
    yield ""
    rows = campaign.evidence.recorded.values()
    outcomes = Counter(row.outcome or "none" for row in rows)
    yield _row("outcome", "executions")
    yield _row("---", "--:")
    for outcome, number in outcomes.most_common():
        yield _row(outcome, f"{number:,}")
    attempts = Counter(row.attempt for row in rows)
    yield ""
    yield (
        "Attempts: "
        + ", ".join(f"{number:,} with {attempt}" for attempt, number in sorted(attempts.items()))
        + " (0: decided without a run)."
    )
    memory = ", ".join(f"{name} {used >> 20}" for name, used in sorted(campaign.heaviest.items()))
    yield f"Most memory seen, MiB: {memory}."
    yield ""


def _violations(campaign: Campaign) -> Iterator[str]:
    yield "## Violations"
    yield ""
    found = tally(campaign.violations)
    yield _row("promise", "broken")
    yield _row("---", "--:")
    for breach in Breach:
        yield _row(f"{breach}", found.get(breach, 0))
    yield ""
    for violation in campaign.violations[:_NAMED]:
        yield f"- {violation}"
    if len(campaign.violations) > _NAMED:
        yield f"- and {len(campaign.violations) - _NAMED} more"


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"
