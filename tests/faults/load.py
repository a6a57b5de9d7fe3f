"""The load: people who live their lives through auth's HTTP surface, each step in its turn.

Somebody who can't be sure what became of a change (it failed, or nobody said) is not asked on:
what they may be told next would depend on it. Everybody else knows exactly what is right.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

import aiohttp

from shared.contracts import Action
from tests.faults.accounting import Call, Told
from tests.faults.installation import REALM_GRANT, Installation, Realm, Replica
from tests.faults.store import Key

PEOPLE: Final = 48
"""Who live at the same time."""
PATIENCE: Final = 60.0
"""Seconds after which a caller counts as never answered."""
BACK_OFF: Final = 0.5
_STEPS: Final = {
    "login": 8,
    "wrong password": 1,
    "change password": 1,
    "reset": 1,
    "change e-mail": 1,
    "forgot": 1,
    "verify": 1,
}
_MOVING: Final = 0.04
"""Of all people; their logins cost a password hash each, and the others are what is tried here."""


@dataclass
class _Person:
    number: int
    realm: Realm
    email: str
    secret: str
    random: random.Random
    user_id: str = ""
    changes: int = 0


@dataclass
class Load:
    """People who go on until they are told to stop, as fast as `pace` allows."""

    its: Installation
    seed: int
    pace: float = 0.0
    """Seconds between two requests at least; 0: as fast as it goes."""
    calls: list[Call] = field(default_factory=list)
    stumbles: list[str] = field(default_factory=list)
    """Answers that a person could make nothing of."""
    _people: int = 0
    _next_at: float = 0.0
    _done: bool = False

    async def run(self) -> None:
        """Live until `stop`."""
        connector = aiohttp.TCPConnector(limit=0)
        patience = aiohttp.ClientTimeout(total=PATIENCE)
        async with aiohttp.ClientSession(connector=connector, timeout=patience) as session:
            # Else a DELETE whose connection breaks is sent again behind our back.
            session._retry_connection = False
            self._session = session
            async with asyncio.TaskGroup() as people:
                for _ in range(PEOPLE):
                    people.create_task(self._generations(), name="person")

    def stop(self) -> None:
        """Make no more requests; those that are under way are waited for by `run`."""
        self._done = True

    async def _generations(self) -> None:
        while not self._done:
            self._people += 1
            number = self._people
            dice = random.Random(f"{self.seed} person {number}")  # noqa: S311 - to be repeated
            moving = dice.random() < _MOVING
            realms = [realm for realm in self.its.realms if realm.import_mode == moving]
            realm = dice.choice(realms)
            person = _Person(number, realm, f"u{number}@example.com", f"Secret-{number}", dice)
            try:
                await (self._move(person) if moving else self._live(person))
            except (KeyError, ValueError) as error:
                self.stumbles.append(f"person {number}: {type(error).__name__} {error}")

    async def _move(self, person: _Person) -> None:
        """In import mode: the first login moves them, the others are answered here."""
        self.its.store.add(person.email, person.secret)
        for _ in range(3):
            if not self._done:
                await self._login(person, tag=f"u{person.number}", local=True)

    async def _live(self, person: _Person) -> None:
        """In legacy mode: sign up, live, and in half of all cases leave."""
        if not await self._sign_up(person):
            return
        steps = person.random.choices(
            list(_STEPS), list(_STEPS.values()), k=person.random.randint(6, 16)
        )
        if "verify" in steps:  # once in a life: its key is the address
            first = steps.index("verify")
            steps = [step for n, step in enumerate(steps) if step != "verify" or n == first]
        for step in steps:
            if self._done or not await _LIVED[step](self, person):
                return
        if not self._done and person.random.random() < 0.5:
            await self._delete(person)

    # -- one step each: whether the person knows where they stand afterwards --------------------

    async def _sign_up(self, person: _Person) -> bool:
        call = self._new("sign-up", person)
        password = f"{person.secret}#{call.number}"
        call.keys = ((Action.CREATE, person.email), (Action.LOGIN, str(call.number)))
        body = self._as_client(connection=person.realm.name, email=person.email, password=password)
        said = await self._send(call, "POST", "/dbconnections/signup", body)
        if call.told is not Told.DONE:
            return False
        person.user_id = f"auth0|{said['_id']}"
        return True

    async def _log_in(self, person: _Person) -> bool:
        return await self._login(person)

    async def _login(self, person: _Person, tag: str = "", *, local: bool = False) -> bool:
        call = self._new("login", person)
        call.local, tag = local, tag or str(call.number)
        call.keys = ((Action.LOGIN, tag),)
        call.right_password = True
        await self._token(call, person, f"{person.secret}#{tag}")
        return True

    async def _wrong_password(self, person: _Person) -> bool:
        call = self._new("wrong password", person)
        call.right_password, call.keys = False, ((Action.LOGIN, str(call.number)),)
        await self._token(call, person, f"not-{person.secret}#{call.number}")
        return True

    async def _token(self, call: Call, person: _Person, password: str) -> None:
        body = self._as_client(
            grant_type=REALM_GRANT,
            username=person.email,
            password=password,
            realm=person.realm.name,
        )
        await self._send(call, "POST", "/oauth/token", body)

    async def _change_password(self, person: _Person) -> bool:
        call = self._new("change password", person)
        secret, call.keys = self._new_secret(person, call)
        body = {"password": f"{secret}#{call.number}", "connection": person.realm.name}
        return await self._changed(call, person, "PATCH", body, secret=secret)

    async def _reset(self, person: _Person) -> bool:
        """With the link that a support desk would hand out."""
        ticket = await self._ticket("password-change", {"user_id": person.user_id})
        if ticket is None:
            return True
        call = self._new("reset", person)
        secret, call.keys = self._new_secret(person, call)
        form = {"ticket": ticket, "password": f"{secret}#{call.number}"}
        await self._send(call, "POST", "/u/reset-password", form)
        person.secret = secret
        return call.told is Told.DONE

    async def _change_email(self, person: _Person) -> bool:
        call = self._new("change e-mail", person)
        person.changes += 1
        email = f"u{person.number}.{person.changes}@example.com"
        call.keys = ((Action.CHANGE_EMAIL, email),)
        body = {"email": email, "connection": person.realm.name}
        return await self._changed(call, person, "PATCH", body, email=email)

    async def _changed(
        self, call: Call, person: _Person, method: str, body: dict[str, Any], **new: str
    ) -> bool:
        await self._send(call, method, f"/api/v2/users/{quote(person.user_id)}", body, bearer=True)
        for name, value in new.items():
            setattr(person, name, value)
        return call.told is Told.DONE

    async def _forgot(self, person: _Person) -> bool:
        call = self._new("forgot password", person)
        body = self._as_client(connection=person.realm.name, email=person.email)
        await self._send(call, "POST", "/dbconnections/change_password", body)
        return True

    async def _verify(self, person: _Person) -> bool:
        ticket = await self._ticket("email-verification", {"user_id": person.user_id})
        if ticket is None:
            return True
        call = self._new("verify", person)
        call.keys = ((Action.VERIFY, person.email),)
        await self._send(call, "POST", "/u/email-verification", {"ticket": ticket})
        return True  # whether the address is verified decides nothing here

    async def _delete(self, person: _Person) -> None:
        call = self._new("delete", person)
        call.keys = ((Action.DELETE, person.user_id.removeprefix("auth0|")),)
        path = f"/api/v2/users/{quote(person.user_id)}"
        await self._send(call, "DELETE", path, None, bearer=True)

    def _new_secret(self, person: _Person, call: Call) -> tuple[str, tuple[Key, ...]]:
        person.changes += 1
        secret = f"Secret-{person.number}-{person.changes}"
        return secret, ((Action.CHANGE_PASSWORD, str(call.number)),)

    # -- over HTTP ------------------------------------------------------------------------------

    def _new(self, flow: str, person: _Person) -> Call:
        call = Call(len(self.calls) + 1, flow, "", 0.0, person.realm.budget)
        self.calls.append(call)
        return call

    def _as_client(self, **body: Any) -> dict[str, Any]:
        return {"client_id": self.its.system.client_id, **body}

    async def _ticket(self, kind: str, body: dict[str, Any]) -> str | None:
        """No script is asked for one, so that it does not count."""
        call = Call(0, "ticket", "", 0.0, 0.0)
        said = await self._send(call, "POST", f"/api/v2/tickets/{kind}", body, bearer=True)
        if call.told is not Told.DONE:
            return None
        return str(parse_qs(urlsplit(said["ticket"]).query)["ticket"][0])

    async def _send(
        self,
        call: Call,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        *,
        bearer: bool = False,
    ) -> Any:
        """One request to a replica that is up; what it said, noted in `call`."""
        await self._turn()
        headers = {"authorization": f"Bearer {self.its.system.bearer}"} if bearer else {}
        loop = asyncio.get_running_loop()
        while True:
            replica = await self._balance()
            call.replica, call.began = replica.name, loop.time()
            try:
                async with self._session.request(
                    method, replica.url + path, json=body, headers=headers, allow_redirects=False
                ) as response:
                    said = await response.read()
                    call.status, call.ended = response.status, loop.time()
                    call.told = _told(response.status, said)
                    answer = await response.json() if said[:1] == b"{" else None
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.05)  # nobody took it: another replica may
                continue
            except TimeoutError:
                call.told = Told.NOTHING
            except aiohttp.ClientError:
                call.told = Told.BROKEN
            else:
                if call.told in {Told.LATER, Told.LIMITED}:
                    await asyncio.sleep(BACK_OFF)  # as `Retry-After` asks, or half of it
                return answer
            call.ended = loop.time()
            return None

    async def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        self._next_at = max(self._next_at + self.pace, loop.time())
        if self.pace:
            await asyncio.sleep(self._next_at - loop.time())

    async def _balance(self) -> Replica:
        while not (up := [replica for replica in self.its.auths if replica.up]):
            await asyncio.sleep(0.05)
        return random.choice(up)  # noqa: S311 - as a balancer does


_LIVED: Final[dict[str, Callable[[Load, _Person], Any]]] = {
    "login": Load._log_in,
    "wrong password": Load._wrong_password,
    "change password": Load._change_password,
    "reset": Load._reset,
    "change e-mail": Load._change_email,
    "forgot": Load._forgot,
    "verify": Load._verify,
}


def _told(status: int, said: bytes) -> Told:
    if status < 400:
        return Told.DONE
    if status == 503:
        return Told.LATER
    if status == 429:
        return Told.LIMITED
    if status >= 500:
        return Told.INTERNAL
    if b"invalid_grant" in said or b"Wrong email or password" in said:
        return Told.DENIED
    return Told.FAILED
