"""What stands ahead of every login, sign-up and reset: budgets of identifiers and addresses.

budget       counts                               of whom                         default
address      denied logins                        an address                      100 a day
identifier   denied logins                        an identifier from an address   10, until 30 days of quiet
lockout      denied logins                        an identifier from anywhere     one less than the store's own lock-out
sign_up      sign-ups                             an address                      50 a day
reset        mails with a link                    an address                      50 a day
calls        scripts                              a connection                    100 a second

Rule 1: known, unknown and migrated users are counted alike, or the limits would tell them apart.
Rule 2: what reaches the legacy store is charged before it does, and given back unless it was
denied: however many come at once, the store sees no more than the budget.
Rule 3: a failure never counts: an outage locks nobody out. A denial always does, also one that
comes after its caller was answered: the store has counted it.
Rule 4: a right password empties what was counted for its identifier, unless that was used up
before it was found to be right.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

import structlog

from services.auth import metrics
from services.auth.addresses import AddressLimits, counted, within
from services.auth.budgets import EMPTY, EVERYTHING, Budget, Budgets, Charge, Standing
from services.auth.connections import Connection
from services.auth.consequences import TOO_MANY_ATTEMPTS, TOO_MANY_REQUESTS, Refusal
from services.auth.problems import FlowEnded, Problem
from services.auth.profiles import canonical
from shared.database import Database
from shared.errors import Unavailable
from shared.sealing import KeyRing

log = structlog.get_logger(__name__)

ATTEMPTS: Final = 10
"""Denied logins of an identifier from one address, as at Auth0."""
_BLOCKED_FOR: Final = timedelta(days=30).total_seconds()
_IDENTIFIER: Final = Budget("identifier", ATTEMPTS, 0.0, _BLOCKED_FOR)
_BLOCKS: Final = ("identifier", "lockout")
_REMEMBER_CHANGE: Final = 120.0
"""Seconds: longer than a negative cache remembers, and a login takes."""

_BLOCKED: Final = """
SELECT l.connection_id, c.name, l.ip FROM limits l JOIN connections c USING (connection_id)
WHERE l.subject = ANY($1::bytea[]) AND ($2::text IS NULL OR l.connection_id = $2)
  AND l.budget = ANY($3::text[]) AND limits_level(l.level, l.since, l.leak, l.quiet) + 1 > l.capacity
ORDER BY c.name, l.ip NULLS FIRST LIMIT 1000
"""
_UNBLOCK: Final = """
DELETE FROM limits WHERE subject = ANY($1::bytea[]) AND ($2::text IS NULL OR connection_id = $2)
  AND budget = ANY($3::text[])
"""
_CHANGED: Final = """
INSERT INTO limits (key, budget, capacity, leak, quiet, level, since, granted)
SELECT key, 'changed', 0, 0, $2, 0, now(), 0 FROM unnest($1::bytea[]) AS k (key) ORDER BY key
ON CONFLICT (key) DO UPDATE SET since = now()
"""


class Limited(FlowEnded):
    """A budget is used up"""

    def __init__(self, refusal: Refusal) -> None:
        """`refusal` is the answer to a login; other flows end with the same words."""
        super().__init__(
            Problem(
                status=refusal.status,
                name="TooManyRequestsError",
                code=refusal.error,
                description=refusal.description,
            )
        )
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Blocked:
    """Somebody may not log in: `ip` alone, or from anywhere."""

    identifier: str
    connection: str
    ip: str | None


@dataclass(slots=True)
class Attempt:
    """One login, as the budgets see it. Made by `Guard.look`."""

    _budgets: Budgets
    _charges: Sequence[Charge]
    _call: Charge
    """The connection's."""
    _seen: dict[bytes, Standing]
    changed_at: float | None
    """When the identifier last got a new password, by the loop's clock."""
    _reserved: bool = field(default=False)
    _own_address: bool = field(default=False)
    _overlooked: Charge | None = field(default=None)
    """A budget that is used up, and did not keep this user out."""

    def admit(self, *, own_address: bool = False) -> None:
        """Raises Limited when a budget is used up.

        `own_address`: this user logged in from there the last time, and is not kept out by what
        others do elsewhere.
        """
        self._own_address, self._overlooked = own_address, None
        for charge in self._charges:
            wait = charge.budget.wait(self._seen.get(charge.key, EMPTY))
            if not wait:
                continue
            if not (own_address and charge.budget.name == "lockout"):
                raise limited(charge, wait)
            self._overlooked = charge

    async def admit_again(self) -> None:
        """After a right password was verified here. Raises Limited.

        However many guesses come at once, those beyond the budget must not find it.
        """
        if self._charges:
            self._seen = await self._budgets.look([charge.key for charge in self._charges])
            self.admit(own_address=self._own_address)

    async def denied(self) -> None:
        """Count a denial. Raises Limited when there was one too many, or was before."""
        if self._reserved:
            return
        full = self._overlooked
        # The others count all the same, or guesses from a user's own address would be free.
        await _charge(self._budgets, [one for one in self._charges if one is not full])
        if full is not None:
            raise limited(full, max(full.budget.wait(self._seen[full.key]), 1.0))

    async def reserve(self) -> None:
        """Before the legacy store is asked. Raises Limited."""
        await _charge(self._budgets, [*self._charges, self._call])
        self._reserved = True

    async def passed(self) -> None:
        """The password was right."""
        amounts = {}
        reserved = self._taken_back()
        for charge in self._charges:
            if charge.budget.name == "address":
                if reserved:
                    amounts[charge.key] = 1.0
            elif reserved or self._seen.get(charge.key, EMPTY).level:
                amounts[charge.key] = EVERYTHING
        await self._budgets.give_back(amounts)

    def _taken_back(self) -> bool:
        """Whether there is something to give back, for the first who asks.

        Should its answer be lost it stays in doubt, and counted: given back twice it would make
        room for a guess.
        """
        reserved, self._reserved = self._reserved, False
        return reserved

    async def denied_late(self) -> None:
        """The store said no after its caller was answered, and this was given back as undecided.

        Each budget by itself: what is full by now stays full, and the others count all the same.
        """
        await asyncio.gather(*(self._budgets.take([charge]) for charge in self._charges))

    async def undecided(self) -> None:
        """Nobody said no: it doesn't count."""
        if self._taken_back():
            await self._budgets.give_back({charge.key: 1.0 for charge in self._charges})


class Guard:
    """Keeps the budgets."""

    def __init__(self, database: Database, ring: KeyRing, limits: AddressLimits) -> None:
        """`ring` keys the hashes."""
        self._database = database
        self._keyed = hmac.new(ring.keyed_hash_key("limits"), digestmod=hashlib.sha256)
        self._limits = limits
        self._budgets = Budgets(database)
        self._address = Budget.per_day("address", limits.failures_per_address)
        self._sign_up = Budget.per_day("sign_up", limits.sign_ups_per_address)
        self._reset = Budget.per_day("reset", limits.resets_per_address)

    async def look(self, connection: Connection, identifier: str, ip: str | None) -> Attempt:
        """The standing of whoever tries to log in; one statement, shared with others. Unavailable."""
        charges = self._charges(connection, identifier, ip)
        changed = self._changed(connection.connection_id, identifier)
        seen = await self._budgets.look([*(charge.key for charge in charges), changed])
        change = seen.pop(changed, None)
        now = asyncio.get_running_loop().time()
        changed_at = None if change is None else now - change.age
        return Attempt(self._budgets, charges, self._call(connection), seen, changed_at)

    async def sign_up(self, ip: str | None) -> None:
        """Somebody signs up. Raises Limited, Unavailable."""
        await self._of_address(self._sign_up, ip)

    async def reset(self, ip: str | None) -> None:
        """Somebody asks for a mail. Raises Limited, Unavailable."""
        await self._of_address(self._reset, ip)

    async def call(self, connection: Connection) -> None:
        """A script is about to run. Raises Limited, Unavailable."""
        await _charge(self._budgets, [self._call(connection)])

    async def changed(self, connection_id: str, identifiers: Collection[str | None]) -> None:
        """Their password is a new one: nothing counts any more, no denial is remembered.

        Never raises Unavailable: the password is changed already, and what is left over ends by
        itself.
        """
        known = [identifier for identifier in identifiers if identifier]
        if not known:
            return
        keys = list({self._changed(connection_id, identifier) for identifier in known})
        try:
            await self._database.execute(_CHANGED, keys, _REMEMBER_CHANGE)
            await self.unblock(known, connection_id)
        except Unavailable as error:
            log.warning("limits.kept", reason=str(error), next="they end by themselves")

    async def blocks(
        self, identifiers: Collection[str | None], connection_id: str | None = None
    ) -> list[Blocked]:
        """From where these identifiers are blocked, in one connection or in all."""
        known = {self._subject(one): one for one in identifiers if one}
        found = []
        for subject, identifier in known.items():
            rows = await self._database.fetch(_BLOCKED, [subject], connection_id, list(_BLOCKS))
            found += [Blocked(identifier, row["name"], row["ip"]) for row in rows]
        return found

    async def unblock(
        self, identifiers: Collection[str | None], connection_id: str | None = None
    ) -> None:
        """Let them try again."""
        subjects = [self._subject(one) for one in identifiers if one]
        await self._database.execute(_UNBLOCK, subjects, connection_id, list(_BLOCKS))

    async def is_blocked(self, ip: str) -> bool:
        """Whether a budget of this address is used up."""
        charges = self._charges_of(ip)
        seen = await self._budgets.look([charge.key for charge in charges])
        return any(charge.budget.wait(seen.get(charge.key, EMPTY)) for charge in charges)

    async def unblock_address(self, ip: str) -> None:
        """Empty the budgets of an address."""
        await self._budgets.give_back({one.key: EVERYTHING for one in self._charges_of(ip)})

    async def forget_old(self) -> None:
        """Housekeeping."""
        await self._budgets.forget_old()

    def _charges(self, connection: Connection, identifier: str, ip: str | None) -> list[Charge]:
        connection_id, subject = connection.connection_id, self._subject(identifier)
        charges = []
        limited_address = ip is not None and not within(ip, self._limits.exempt)
        if ip is not None and limited_address:
            charges.append(self._of(self._address, counted(ip)))
            if connection.brute_force_protection:
                key = self._hash("identifier", connection_id, _name(identifier), counted(ip))
                charges.append(Charge(key, _IDENTIFIER, connection_id, subject, ip))
        lockout = connection.lockout_attempts
        if connection.custom_database and lockout is not None:
            quiet = connection.lockout_seconds
            budget = Budget("lockout", lockout - 1, 0.0, quiet)
            key = self._hash("lockout", connection_id, _name(identifier))
            charges.append(Charge(key, budget, connection_id, subject))
        return charges

    def _call(self, connection: Connection) -> Charge:
        budget = Budget.per("calls", connection.calls_per_second, 1.0)
        key = self._hash("calls", connection.connection_id)
        return Charge(key, budget, connection.connection_id)

    def _charges_of(self, ip: str) -> list[Charge]:
        budgets = (self._address, self._sign_up, self._reset)
        return [self._of(budget, counted(ip)) for budget in budgets]

    def _of(self, budget: Budget, address: str) -> Charge:
        return Charge(self._hash(budget.name, address), budget)

    async def _of_address(self, budget: Budget, ip: str | None) -> None:
        if ip is not None and not within(ip, self._limits.exempt):
            await _charge(self._budgets, [self._of(budget, counted(ip))])

    def _changed(self, connection_id: str, identifier: str) -> bytes:
        return self._hash("changed", connection_id, _name(identifier))

    def _subject(self, identifier: str) -> bytes:
        return self._hash("subject", _name(identifier))

    def _hash(self, *parts: str) -> bytes:
        digest = self._keyed.copy()
        for part in parts:
            encoded = part.encode(errors="surrogatepass")
            digest.update(len(encoded).to_bytes(4, "big") + encoded)
        return digest.digest()[:16]


async def _charge(budgets: Budgets, charges: Sequence[Charge]) -> None:
    if not charges:
        return
    full = await budgets.take(charges)
    for charge in charges:
        if charge.key in full:
            raise limited(charge, max(charge.budget.wait(full[charge.key]), 1.0))


def limited(charge: Charge, wait: float) -> Limited:
    """The answer to who has used up this budget, to come back in `wait` seconds."""
    budget = charge.budget
    metrics.LIMITED.labels(budget.name).inc()
    match budget.name:
        case "identifier":
            return Limited(TOO_MANY_ATTEMPTS)
        case "lockout":
            return Limited(replace(TOO_MANY_ATTEMPTS, retry_after=timedelta(seconds=wait)))
        case name:
            changes: dict[str, Any] = {"log_type": "api_limit"} if name == "calls" else {}
            refusal = replace(
                TOO_MANY_REQUESTS,
                retry_after=timedelta(seconds=wait),
                limit=int(budget.capacity),
                **changes,
            )
            return Limited(refusal)


def _name(identifier: str) -> str:
    return canonical(identifier) or ""
