"""Logins, in both modes.

Import mode: the local store first, and its answer stands: a migrated user's legacy password never
works again. Only a user it lacks is tried against the legacy store, and imported on success.
Legacy mode: the legacy store is always the authority; no hash is kept.

A failure of the legacy store changes nothing and never reads like a wrong password.
"""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass, field, replace
from typing import assert_never
from uuid import UUID

import structlog

from services.auth import metrics
from services.auth.caller import Caller
from services.auth.connections import Connection
from services.auth.consequences import (
    BLOCKED,
    BREAKER_OPEN,
    INVALID_PROFILE,
    MFA_REQUIRED,
    UNAVAILABLE,
    UNKNOWN_USER,
    WRONG_CREDENTIALS,
    Refusal,
    explanation,
    refusal,
)
from services.auth.executions import Answer
from services.auth.guard import Attempt, Guard, Limited
from services.auth.logs import USER_IMPORTED, Entry, Logs, console
from services.auth.negative_cache import NegativeCache
from services.auth.padding import Padding
from services.auth.passwords import Passwords, is_foreign
from services.auth.profiles import InvalidProfile, Profile, canonical, normalise
from services.auth.shield import BreakerOpen, Shield
from services.auth.users import DeletedHere, IdentifierTaken, User, Users
from shared import tracing
from shared.contracts import Action, Denied, ExecutionResult, Failed, Succeeded
from shared.errors import Unavailable
from shared.events import EventType
from shared.ledger import Ledger
from shared.sealing import KeyRing

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRequest:
    """Somebody wants to log in."""

    connection: Connection
    identifier: str
    password: str = field(repr=False)
    caller: Caller
    answered: bool = False
    """The caller has been told that it took too long: what still comes of it is no login."""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """They are who they say."""

    user: User
    execution_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """They are not, or nobody can tell."""

    refusal: Refusal
    execution_id: UUID | None = None
    result: ExecutionResult | None = field(default=None, repr=False)
    """Of the script that said so."""
    explained: str | None = None
    """For the tenant log only."""


LoginAnswer = LoggedIn | Refused


class Logins:
    """Decides logins."""

    def __init__(
        self,
        *,
        users: Users,
        passwords: Passwords,
        shield: Shield,
        guard: Guard,
        padding: Padding,
        logs: Logs,
        ledger: Ledger,
        ring: KeyRing,
    ) -> None:
        """`ring` keys the hash by which equal logins share one execution, or one denial."""
        self._users = users
        self._passwords = passwords
        self._shield = shield
        self._guard = guard
        self._padding = padding
        self._logs = logs
        self._ledger = ledger
        self._flight_key = ring.keyed_hash_key("single-flight")
        self._flights: dict[bytes, asyncio.Future[LoginAnswer]] = {}
        self._denials: NegativeCache[Refused] = NegativeCache()

    async def login(self, request: LoginRequest) -> LoginAnswer:
        """Decide one login. Never raises Unavailable: that is an answer too.

        Denials take equally long, whoever they are about.
        """
        began = asyncio.get_running_loop().time()
        answer = await self._answer(request)
        await self._note(request, answer)
        if isinstance(answer, Refused) and answer.refusal.alike:
            told = answer.refusal.counts_toward_lockout
            await self._padding.wait(request.connection, "login", began, told=told)
        return answer

    async def _answer(self, request: LoginRequest) -> LoginAnswer:
        try:
            return await self._decide(request)
        except Limited as error:
            return Refused(error.refusal)
        except BreakerOpen as error:
            return Refused(replace(BREAKER_OPEN, retry_after=error.retry_after))
        except Unavailable as error:
            log.warning("login.unavailable", reason=str(error), next="answered 503")
            after = error.retry_after or UNAVAILABLE.retry_after
            return Refused(replace(UNAVAILABLE, retry_after=after))

    async def _decide(self, request: LoginRequest) -> LoginAnswer:
        connection, ip = request.connection, request.caller.ip
        attempt = await self._guard.look(connection, request.identifier, ip)
        if connection.legacy:
            attempt.admit()
            return await self._shared(request, attempt)
        found = await self._users.credentials(connection.connection_id, request.identifier)
        attempt.admit(own_address=found is not None and found.user.last_ip == ip)
        if found is not None and found.password_hash is not None:
            answer = await self._locally(request, found.user, found.password_hash, attempt)
            return await _counted(attempt, answer)
        if connection.custom_database:
            return await self._shared(request, attempt)
        await self._passwords.burn(request.password)
        return await _counted(attempt, Refused(UNKNOWN_USER))

    async def _locally(
        self, request: LoginRequest, user: User, password_hash: str, attempt: Attempt
    ) -> LoginAnswer:
        if not await self._passwords.verify(password_hash, request.password):
            return Refused(WRONG_CREDENTIALS)
        await attempt.admit_again()
        if is_foreign(password_hash):
            ours = await self._passwords.hash(request.password)
            await self._users.replace_hash(user.user_id, password_hash, ours)
        return await self._admit(request, user, None)

    async def _admit(
        self, request: LoginRequest, user: User, execution_id: UUID | None
    ) -> LoginAnswer:
        """The password was right; is there anything else against it?"""
        if user.blocked:
            return Refused(BLOCKED, execution_id)
        if user.has_factors and not request.connection.ignore_mfa_factors:
            return Refused(MFA_REQUIRED, execution_id)  # never a silent downgrade
        if request.answered:
            return LoggedIn(user, execution_id)
        entry = self._entry(request, "s", execution_id, None, user.user_id)
        if not user.stored:
            await self._logs.write(entry)
            return LoggedIn(user, execution_id)
        noted = await self._users.logged_in(user, entry)
        # What this login alone may know of the user stays with it (C§2.2).
        return LoggedIn(replace(noted, profile=noted.profile | user.profile), execution_id)

    async def _shared(self, request: LoginRequest, attempt: Attempt) -> LoginAnswer:
        """Equal logins at the same time share one execution: single-flight.

        A second click must not ask the legacy store twice, nor import twice.
        """
        key = self._flight(request)
        flying = self._flights.get(key)
        if flying is not None:
            return await _counted(attempt, await self._joined(request, flying))
        now = asyncio.get_running_loop().time()
        denial = self._denials.get(key, changed_at=attempt.changed_at, now=now)
        if denial is not None:
            metrics.NEGATIVE_CACHE.labels(metrics.connection_label(request.connection.name)).inc()
            return await _counted(attempt, denial)
        future: asyncio.Future[LoginAnswer] = asyncio.get_running_loop().create_future()
        self._flights[key] = future
        try:
            answer = await self._reserved(request, attempt, key)
            future.set_result(answer)
        except BaseException as error:
            future.set_exception(
                error if isinstance(error, Exception) else Unavailable("the login was cut off")
            )
            future.exception()  # seen: nobody else may be waiting
            raise
        finally:
            del self._flights[key]
        return answer

    async def _joined(
        self, request: LoginRequest, flying: asyncio.Future[LoginAnswer]
    ) -> LoginAnswer:
        answer = await _join(flying)
        if isinstance(answer, LoggedIn):  # whose line names another caller
            entry = self._entry(request, "s", answer.execution_id, None, answer.user.user_id)
            await self._logs.write(entry)
        return answer

    async def _reserved(self, request: LoginRequest, attempt: Attempt, key: bytes) -> LoginAnswer:
        """Ask the legacy store what it has a budget for; what it denied is denied for moments."""
        self._shield.check(request.connection)
        await attempt.reserve()
        loop = asyncio.get_running_loop()
        asked_at, denied = loop.time(), False
        try:
            said = await self._ask_legacy(request, attempt)
            denied = _is_denial(said, request.connection)
            answer = await _counted(attempt, await self._conclude(request, said))
        except Exception:
            if not denied:  # the store has counted it, whatever became of the answer
                await attempt.undecided()
            raise
        # Cut off, by the end of its replica, it stays counted: the store may have said no.
        if isinstance(answer, Refused) and answer.refusal.counts_toward_lockout:
            again = Refused(answer.refusal, explained="denied as it was moments ago")
            seconds = request.connection.negative_cache_seconds
            self._denials.put(key, again, asked_at=asked_at, seconds=seconds, now=loop.time())
        return answer

    def _flight(self, request: LoginRequest) -> bytes:
        parts = (
            request.connection.connection_id,
            request.connection.revision,
            canonical(request.identifier) or "",
            request.password,
        )
        digest = hmac.new(self._flight_key, digestmod="sha256")
        for part in parts:
            encoded = part.encode()
            digest.update(len(encoded).to_bytes(4, "big") + encoded)
        return digest.digest()

    async def _ask_legacy(self, request: LoginRequest, attempt: Attempt) -> Answer:
        async def late(answer: Answer) -> None:
            said = await self._conclude(replace(request, answered=True), answer)
            if isinstance(said, Refused) and said.refusal.counts_toward_lockout:
                await attempt.denied_late()

        return await self._shield.run(
            request.connection,
            Action.LOGIN,
            [request.identifier, request.password],
            client=request.caller.facts,
            traceparent=request.caller.traceparent,
            late=late,
            charged=True,
        )

    async def _conclude(self, request: LoginRequest, answer: Answer) -> LoginAnswer:
        """From an outcome to an answer, its effect applied once (I8)."""
        outcome = answer.result.outcome
        match outcome:
            case Succeeded():
                return await self._take_over(request, answer)
            case Denied() | Failed():
                if answer.result.attempt > 0:
                    await self._ledger.mark_applied(answer.execution_id)
                refused = refusal(outcome, request.connection)
                return Refused(refused, answer.execution_id, answer.result)
            case never:
                assert_never(never)

    async def _take_over(self, request: LoginRequest, answer: Answer) -> LoginAnswer:
        connection = request.connection
        try:
            profile = normalise(answer.value, non_persistent=connection.non_persistent_attrs)
            user = await self._store(request, profile, answer.execution_id)
        except (InvalidProfile, IdentifierTaken, DeletedHere) as error:
            await self._ledger.mark_applied(answer.execution_id)
            refused = UNKNOWN_USER if isinstance(error, DeletedHere) else INVALID_PROFILE
            return Refused(refused, answer.execution_id, answer.result, f"{error}; not imported")
        for warning in profile.warnings:
            await self._logs.write(
                self._entry(request, "fu", answer.execution_id, warning, user.user_id)
            )
        return await self._admit(request, user, answer.execution_id)

    async def _store(self, request: LoginRequest, profile: Profile, execution_id: UUID) -> User:
        connection = request.connection
        label = metrics.connection_label(connection.name)
        entry = self._entry(request, USER_IMPORTED, execution_id, None, profile.user_id)
        entry = replace(entry, event=self._logs.told(EventType.USER_IMPORTED))
        if not connection.import_mode:
            refreshed = self._entry(request, "scv", execution_id, None, profile.user_id)
            return await self._users.refresh(connection, profile, execution_id, refreshed)
        # Here addresses and usernames are kept in lower case; a legacy store's stay as they are.
        profile = profile.lowered()
        password_hash = await self._passwords.hash(request.password)
        with tracing.span("import user", execution_id=str(execution_id)):
            user = await self._users.import_user(
                connection, profile, password_hash, execution_id, entry
            )
        metrics.MIGRATIONS.labels(label, "imported").inc()
        log.info("user.imported", user_id=user.user_id, execution_id=str(execution_id))
        return user

    async def _note(self, request: LoginRequest, answer: LoginAnswer) -> None:
        """Count it; and the line of a refusal. A success has its own already."""
        label = metrics.connection_label(request.connection.name)
        match answer:
            case LoggedIn():
                metrics.LOGINS.labels(label, "success").inc()
            case Refused(refused):
                metrics.LOGINS.labels(label, refused.result).inc()
                # Who is told to come back at once should be told at once.
                later = refused.status == UNAVAILABLE.status
                await self._logs.write(self._refusal_entry(request, answer), wait=not later)
            case never:
                assert_never(never)

    def _refusal_entry(self, request: LoginRequest, answer: Refused) -> Entry:
        """The detail of a refusal goes to the tenant log only (C§9.1)."""
        refused, result = answer.refusal, answer.result
        outcome = None if result is None else result.outcome
        user_id = None
        if refused.log_type in {"fp", "fu"}:
            said = outcome.user_id if isinstance(outcome, Denied) else None
            user_id = f"auth0|{said}" if said else ""
        text = answer.explained or (explanation(outcome) if outcome else "") or refused.description
        error = {"message": text, "oauthError": refused.error, "type": "oauth-authorization"}
        entry = self._entry(request, refused.log_type, answer.execution_id, text, user_id)
        if refused.counts_toward_lockout or isinstance(outcome, Denied):
            entry = replace(entry, event=self._logs.told(EventType.LOGIN_DENIED))
        details = {"error": error} | ({} if result is None else console(result))
        return replace(entry, details=details)

    def _entry(
        self,
        request: LoginRequest,
        kind: str,
        execution_id: UUID | None,
        description: str | None,
        user_id: str | None,
    ) -> Entry:
        return Entry(
            type=kind,
            caller=request.caller,
            connection_id=request.connection.connection_id,
            user_id=user_id,
            user_name=request.identifier,
            execution_id=execution_id,
            description=description,
        )


def _is_denial(answer: Answer, connection: Connection) -> bool:
    outcome = answer.result.outcome
    return isinstance(outcome, Denied) and refusal(outcome, connection).counts_toward_lockout


async def _counted(attempt: Attempt, answer: LoginAnswer) -> LoginAnswer:
    """What the answer means for the budgets. Raises Limited, when it was one denial too many."""
    if isinstance(answer, LoggedIn):
        await attempt.passed()
    elif answer.refusal.counts_toward_lockout:
        await attempt.denied()
    else:
        await attempt.undecided()
    return answer


async def _join(flying: asyncio.Future[LoginAnswer]) -> LoginAnswer:
    """Wait for another login's answer; our own cancellation must not cancel theirs."""
    await asyncio.wait({flying})
    return flying.result()
