"""The delivery protocol as an explicit-state model of one request, explored exhaustively.

Two workers, one auth replica and its caller, a queue with redelivery and TTL, the dead-letter
consumer, the reaper, the outbox. Any worker may crash between any two steps, any link may drop
(the worker goes on as a zombie), leases and the deadline may run out at any moment, messages may
be duplicated, replies lost, the replica may die.

The decisions are those of `shared.execution_states`, called and not copied: a mutant replaces one
of them, or drops one rule of the protocol, and the exploration has to object.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from shared import execution_states
from shared.execution_states import State

UNRUN, LOST, UNKNOWN = "unrun", "lost", "unknown"
WAITING, DEAD = "waiting", "dead"


class Worker(NamedTuple):
    """Where a worker stands: what it does next, with what, and whether the delivery is its."""

    step: str = "idle"
    attempt: int = 0
    outcome: str = ""
    holds: bool = False


class World(NamedTuple):
    """Everything that matters for one request."""

    queue: int = 1
    dead: int = 0
    workers: tuple[Worker, Worker] = (Worker(), Worker())
    state: State = State.NONE
    attempt: int = 0
    lease_dead: bool = False
    passed: bool = False
    outcome: str = ""
    published: bool = False
    replies: tuple[str, ...] = ()
    caller: str = WAITING
    following: bool = False
    starts: int = 0
    applied: int = 0
    crashes: int = 0
    cuts: int = 0
    copies: int = 0
    losses: int = 0
    deaths: int = 0
    forgotten: int = 0


@dataclass(frozen=True)
class Protocol:
    """The rules; a mutant has one of them different."""

    idempotent: bool
    crashes: int = 1
    cuts: int = 1
    copies: int = 1
    losses: int = 1
    deaths: int = 0
    forgotten: int = 0
    """Commits that the ledger's server may lose in a crash: not promised, and so 0."""
    may_claim: Callable[..., bool] = execution_states.may_claim
    may_record: Callable[..., bool] = execution_states.may_record
    may_decide_unrun: Callable[[State], bool] = execution_states.may_decide_unrun
    may_decide_lost: Callable[..., bool] = execution_states.may_decide_lost
    may_apply: Callable[[State], bool] = execution_states.may_apply
    owes_publication: Callable[[State], bool] = execution_states.owes_publication
    tombstone: bool = True
    outbox: bool = True
    reaper: bool = True
    dead_letters: bool = True
    reconcile: bool = True
    record_first: bool = True
    ack_last: bool = True


Step = tuple[str, World]


def steps(world: World, rules: Protocol) -> Iterator[Step]:
    """What can happen without a fault."""
    for index in (0, 1):
        yield from _worker_steps(world, rules, index)
    yield from _time_steps(world)
    yield from _housekeeping_steps(world, rules)
    yield from _auth_steps(world, rules)


def faults(world: World, rules: Protocol) -> Iterator[Step]:
    """What can go wrong, while the budget lasts."""
    for index, worker in enumerate(world.workers):
        back = world.queue + worker.holds
        if worker.step != "idle" and world.crashes < rules.crashes:
            gone = _with(world, index, Worker())
            yield "crash", gone._replace(queue=back, crashes=world.crashes + 1)
        if worker.holds and world.cuts < rules.cuts:
            zombie = _with(world, index, worker._replace(holds=False))
            yield "cut", zombie._replace(queue=back, cuts=world.cuts + 1)
    if world.copies < rules.copies and not world.passed:
        yield "copied request", world._replace(queue=world.queue + 1, copies=world.copies + 1)
    if world.replies and world.copies < rules.copies:
        again = (*world.replies, world.replies[0])
        yield "copied reply", world._replace(replies=again, copies=world.copies + 1)
    if world.replies and world.losses < rules.losses:
        yield "lost reply", world._replace(replies=world.replies[1:], losses=world.losses + 1)
    if world.caller != DEAD and world.deaths < rules.deaths:
        yield "auth dies", world._replace(caller=DEAD, following=False, deaths=world.deaths + 1)
    if world.state is State.CLAIMED and world.forgotten < rules.forgotten:
        state = State.CLAIMED if world.attempt > 1 else State.NONE
        before = world._replace(state=state, attempt=world.attempt - 1, lease_dead=True)
        yield "a claim is forgotten", before._replace(forgotten=world.forgotten + 1)


def _worker_steps(world: World, rules: Protocol, index: int) -> Iterator[Step]:
    worker = world.workers[index]
    match worker.step:
        case "idle" if world.queue:
            taken = _with(world, index, Worker("claiming", holds=True))
            yield "take", taken._replace(queue=world.queue - 1)
        case "claiming":
            yield from _claim(world, rules, index)
        case "starting":
            run = _with(world, index, worker._replace(step="recording"))
            yield "run", run._replace(starts=world.starts + 1)
        case "recording":
            yield from _record(world, rules, index)
        case "publishing":
            told = _with(world, index, worker._replace(step="marking"))
            yield "publish", told._replace(replies=(*world.replies, worker.outcome))
        case "marking":
            after = "acking" if rules.record_first else "late recording"
            marked = _with(world, index, worker._replace(step=after))
            published = world.published or world.state is not State.CLAIMED
            yield "mark", marked._replace(published=published)
        case "late recording":
            yield from _record(world, rules, index, then="acking")
        case "acking":
            yield "ack", _with(world, index, Worker())


def _claim(world: World, rules: Protocol, index: int) -> Iterator[Step]:
    worker = world.workers[index]
    if rules.may_claim(
        world.state,
        deadline_passed=world.passed,
        lease_dead=world.lease_dead,
        idempotent=rules.idempotent,
        attempt=world.attempt,
    ):
        attempt = world.attempt + 1
        holds = worker.holds and rules.ack_last
        claimed = _with(world, index, Worker("starting", attempt, holds=holds))
        yield "claim", claimed._replace(state=State.CLAIMED, attempt=attempt, lease_dead=False)
    elif world.state not in (State.NONE, State.CLAIMED):
        step = "acking" if world.published else "publishing"
        yield "read", _with(world, index, worker._replace(step=step, outcome=world.outcome))
    elif world.state is State.NONE and rules.may_decide_unrun(world.state):
        yield "decide expired", _decide(world, UNRUN)


def _record(world: World, rules: Protocol, index: int, then: str = "publishing") -> Iterator[Step]:
    worker = world.workers[index]
    outcome = f"ran {worker.attempt}"
    if not rules.record_first and then == "publishing":
        yield "skip", _with(world, index, worker._replace(step="publishing", outcome=outcome))
    elif rules.may_record(world.state, attempt=worker.attempt, claimed_attempt=world.attempt):
        decided = _decide(world, outcome)
        yield "record", _with(decided, index, worker._replace(step=then, outcome=outcome))
    else:
        yield "discard", _with(world, index, Worker("claiming", holds=worker.holds))


def _time_steps(world: World) -> Iterator[Step]:
    if not world.passed:
        yield "deadline", world._replace(passed=True)
    if world.passed and world.queue:
        yield "expire", world._replace(queue=world.queue - 1, dead=world.dead + 1)
    if world.state is State.CLAIMED and not world.lease_dead:
        yield "lease dies", world._replace(lease_dead=True)


def _housekeeping_steps(world: World, rules: Protocol) -> Iterator[Step]:
    if world.dead and rules.dead_letters:
        buried = world._replace(dead=world.dead - 1)
        unrun = rules.may_decide_unrun(world.state)
        yield "bury", _decide(buried, UNRUN) if unrun else buried
    elif world.dead:
        yield "drop", world._replace(dead=world.dead - 1)
    if rules.reaper and rules.may_decide_lost(
        world.state,
        deadline_passed=world.passed,
        lease_dead=world.lease_dead,
        idempotent=rules.idempotent,
        attempt=world.attempt,
    ):
        yield "reap", _decide(world, LOST)
    if rules.outbox and not world.published and world.outcome:
        replies = (*world.replies, world.outcome)
        yield "outbox", world._replace(published=True, replies=replies)


def _auth_steps(world: World, rules: Protocol) -> Iterator[Step]:
    if world.replies:
        outcome, rest = world.replies[0], world.replies[1:]
        caller = outcome if world.caller == WAITING else world.caller
        yield "reply", _apply(world._replace(replies=rest, caller=caller), rules)
    if world.caller == WAITING and world.passed:
        yield from _give_up(world, rules)
    if world.following and world.outcome:
        yield "follow", _apply(world._replace(following=False), rules)


def _give_up(world: World, rules: Protocol) -> Iterator[Step]:
    if not rules.tombstone:
        yield "give up silently", world._replace(caller=UNRUN)
    elif rules.may_decide_unrun(world.state):
        yield "tombstone", _decide(world, UNRUN)._replace(caller=UNRUN)
    elif world.outcome and rules.reconcile:
        yield "reconcile", _apply(world._replace(caller=world.outcome), rules)
    elif not world.outcome:
        yield "time out", world._replace(caller=UNKNOWN, following=True)


def _decide(world: World, outcome: str) -> World:
    return world._replace(state=State.DECIDED, outcome=outcome)


def _apply(world: World, rules: Protocol) -> World:
    if not rules.may_apply(world.state):
        return world
    return world._replace(state=State.APPLIED, applied=world.applied + 1)


def _with(world: World, index: int, worker: Worker) -> World:
    pair = list(world.workers)
    pair[index] = worker
    pair.sort()  # the workers are alike: half as many worlds
    return world._replace(workers=(pair[0], pair[1]))


def violation(before: World | None, world: World, rules: Protocol) -> str | None:
    """The first broken promise, by the invariant's number; None if all hold."""
    if before is not None and before.outcome and before.outcome != world.outcome:
        return "I1: an outcome was overwritten"
    said = {*world.replies, *(one.outcome for one in world.workers if one.step == "marking")}
    if said - {world.outcome}:
        return "I2: a result was published that is not the recorded outcome"
    if not rules.idempotent and world.starts > 1:
        return "I4: a script that may not be repeated was started twice"
    if world.outcome == UNRUN and world.starts:
        return "I5: a request that is said not to have run was run"
    if world.applied > 1:
        return "I8: an effect was applied twice"
    if world.caller not in {WAITING, DEAD, UNKNOWN, world.outcome}:
        return "the caller was told what is not so"
    return None


def finished(world: World) -> bool:
    """Every promise kept: decided, published, its effect applied, nothing left lying about.

    What never ran owes no effect. Nor does what ran for a replica that died with its reply: nobody
    holds the password any more, so that the next login runs the script again (I7).
    """
    owes = world.outcome.startswith("ran") and world.caller != DEAD
    return (
        bool(world.outcome)
        and world.published
        and (world.applied == 1 or not owes)
        and world.caller != WAITING
        and not (world.queue or world.dead or world.replies)
        and all(worker.step == "idle" for worker in world.workers)
    )


@dataclass
class Explored:
    """What an exploration found."""

    worlds: int = 0
    edges: int = 0
    broken: str | None = None
    stuck: World | None = None
    path: list[str] = field(default_factory=list)


def explore(rules: Protocol, limit: int = 3_000_000) -> Explored:
    """Visit every reachable world, breadth first; stop at the first broken promise.

    At the end, every world must have a way to a finished one by steps that are no faults.
    """
    found = Explored()
    start = World()
    came: dict[World, tuple[World, str] | None] = {start: None}
    backward: defaultdict[World, list[World]] = defaultdict(list)
    ends: list[World] = []
    todo = deque([start])
    while todo:
        world = todo.popleft()
        progress = False
        for label, after in steps(world, rules):
            progress = True
            backward[after].append(world)
            if _visit(found, rules, came, todo, world, label, after):
                return found
        for label, after in faults(world, rules):
            if _visit(found, rules, came, todo, world, label, after):
                return found
        if not progress and finished(world):
            ends.append(world)
        if len(came) > limit:
            raise RuntimeError("the model grew beyond its limit")
    found.worlds = len(came)
    _find_stuck(found, came, backward, ends)
    return found


def _visit(
    found: Explored,
    rules: Protocol,
    came: dict[World, tuple[World, str] | None],
    todo: deque[World],
    world: World,
    label: str,
    after: World,
) -> bool:
    found.edges += 1
    found.broken = violation(world, after, rules)
    if after not in came:
        came[after] = (world, label)
        todo.append(after)
    if found.broken:
        found.path = [*_path(came, world), label]
    return found.broken is not None


def _path(came: dict[World, tuple[World, str] | None], world: World) -> list[str]:
    labels = []
    step = came[world]
    while step is not None:
        labels.append(step[1])
        step = came[step[0]]
    return labels[::-1]


def _find_stuck(
    found: Explored,
    came: dict[World, tuple[World, str] | None],
    backward: dict[World, list[World]],
    ends: list[World],
) -> None:
    reached = set(ends)
    todo = deque(ends)
    while todo:
        for before in backward.get(todo.popleft(), ()):
            if before not in reached:
                reached.add(before)
                todo.append(before)
    for world in came:
        if world not in reached:
            found.stuck = world
            found.path = _path(came, world)
            return
