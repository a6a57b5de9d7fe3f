"""The legacy store's stand-in, which keeps books of its own: what was started, what took effect.

Scripts reach it in two ways. The *store* is what they change, over a link that faults may hit. The
*witness* is told of each start first, over a link that nobody touches, so that a script that was
started twice is seen even when one of the two never got through to the store.

Every request has a key that no other has (`key_of`), found again in the sealed arguments of its
execution: that is how an entry here is matched with the ledger, without asking the ledger.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, cast

from shared.contracts import Action

Key = tuple[Action, str]
_SLOWEST: Final = 0.4
"""Seconds that one answer in fifty takes: something has to be under way when a fault strikes."""


def key_of(action: Action, arguments: list[Any]) -> Key:
    """What tells a request from all others: the load never uses one of these twice.

    But for `get_user`, and logins in import mode: they may run again anyway.
    """
    match action:
        case Action.CREATE:
            return action, str(arguments[0]["email"])
        case Action.LOGIN | Action.CHANGE_PASSWORD:
            return action, str(arguments[1]).partition("#")[2]
        case Action.CHANGE_EMAIL:
            return action, str(arguments[1])
        case Action.GET_USER | Action.VERIFY | Action.DELETE:
            return action, str(arguments[0])


class Start(NamedTuple):
    """A script began."""

    at: datetime
    nonce: str
    pid: int


@dataclass(slots=True)
class Person:
    """Somebody with an account there."""

    id: str
    email: str
    secret: str = field(repr=False)
    verified: bool = False

    def profile(self) -> dict[str, Any]:
        """What `login` and `get_user` call back with."""
        return {"user_id": self.id, "email": self.email, "email_verified": self.verified}


class Store:
    """Listens on two ports: `port` for the store, `witness_port` for its witness."""

    def __init__(self, seed: int) -> None:
        """`async with` starts it; the seed decides how long answers take."""
        self._random = random.Random(f"{seed} store")  # noqa: S311 - to be repeated, not secret
        self._ids = count(1)
        self._by_id: dict[str, Person] = {}
        self._by_email: dict[str, Person] = {}
        self.starts: defaultdict[Key, list[Start]] = defaultdict(list)
        self.effects: defaultdict[Key, list[str]] = defaultdict(list)
        """Nonces of the runs that changed something, by key."""

    async def __aenter__(self) -> Self:
        """Listen."""
        loop = asyncio.get_running_loop()
        listening = [
            await loop.create_server(lambda: _Lines(self.answer), "127.0.0.1", 0),
            await loop.create_server(lambda: _Lines(self.note), "127.0.0.1", 0),
        ]
        self.port, self.witness_port = (one.sockets[0].getsockname()[1] for one in listening)
        self._listening = listening
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Stop listening."""
        for one in self._listening:
            one.close()

    def add(self, email: str, secret: str) -> Person:
        """Somebody has an account."""
        person = Person(f"p{next(self._ids)}", email, secret)
        self._by_id[person.id] = self._by_email[email] = person
        return person

    def person(self, email: str) -> Person | None:
        """Who has this address."""
        return self._by_email.get(email)

    def note(self, said: dict[str, Any], _: Callable[[dict[str, Any]], None]) -> None:
        """The witness: a script began."""
        key = key_of(Action(said["action"]), said["args"])
        self.starts[key].append(Start(datetime.now(UTC), said["nonce"], said["pid"]))

    def answer(self, said: dict[str, Any], reply: Callable[[dict[str, Any]], None]) -> None:
        """The store: do it at once, say so a little later."""
        action, args = Action(said["action"]), said["args"]
        value = _DO[action](self, *args)
        if not action.idempotent and "error" not in value:
            self.effects[key_of(action, args)].append(said["nonce"])
        wait = self._random.expovariate(200)
        if self._random.random() < 0.02:
            wait = self._random.uniform(0.05, _SLOWEST)
        asyncio.get_running_loop().call_later(wait, reply, value | {"nonce": said["nonce"]})

    def _login(self, email: str, password: str) -> dict[str, Any]:
        person = self.person(email)
        if person is None or person.secret != password.partition("#")[0]:
            return {"error": "wrong", "id": None if person is None else person.id}
        return {"value": person.profile()}

    def _get_user(self, email: str) -> dict[str, Any]:
        person = self.person(email)
        return {"value": None if person is None else person.profile()}

    def _create(self, user: dict[str, Any]) -> dict[str, Any]:
        if user["email"] in self._by_email:
            return {"error": "taken"}
        self.add(user["email"], user["password"].partition("#")[0])
        return {"value": True}

    def _verify(self, email: str) -> dict[str, Any]:
        person = self.person(email)
        if person is None:
            return {"error": "nobody"}
        person.verified = True
        return {"value": True}

    def _change_password(self, email: str, password: str) -> dict[str, Any]:
        person = self.person(email)
        if person is None:
            return {"error": "nobody"}
        person.secret = password.partition("#")[0]
        return {"value": True}

    def _change_email(self, email: str, new: str, verified: bool) -> dict[str, Any]:
        person = self.person(email)
        if person is None:
            return {"error": "nobody"}
        del self._by_email[email]
        person.email, person.verified = new, verified
        self._by_email[new] = person
        return {"value": True}

    def _delete(self, id_: str) -> dict[str, Any]:
        person = self._by_id.pop(id_, None)
        if person is None:
            return {"error": "nobody"}
        del self._by_email[person.email]
        return {"value": True}


_DO: Final[dict[Action, Callable[..., dict[str, Any]]]] = {
    Action.LOGIN: Store._login,
    Action.GET_USER: Store._get_user,
    Action.CREATE: Store._create,
    Action.VERIFY: Store._verify,
    Action.CHANGE_PASSWORD: Store._change_password,
    Action.CHANGE_EMAIL: Store._change_email,
    Action.DELETE: Store._delete,
}


class _Lines(asyncio.Protocol):
    """JSON, one object a line, both ways."""

    def __init__(
        self, heard: Callable[[dict[str, Any], Callable[[dict[str, Any]], None]], None]
    ) -> None:
        self._heard = heard
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._heard(json.loads(line), self._reply)

    def _reply(self, value: dict[str, Any]) -> None:
        if not self._transport.is_closing():
            self._transport.write(json.dumps(value).encode() + b"\n")


_PRELUDE: Final = """
  const dial = (name, port) => {
    const known = global[name];
    if (known && !known.destroyed) return known;
    const socket = global[name] = require('net').connect(Number(port), '127.0.0.1');
    socket.setNoDelay(true);
    socket.waiting = new Map();
    let rest = '';
    const settle = (said) => {
      const waits = socket.waiting.get(said.nonce);
      socket.waiting.delete(said.nonce);
      if (waits) waits(said);
    };
    socket.on('data', (chunk) => {
      const lines = (rest + chunk).split('\\n');
      rest = lines.pop();
      for (const line of lines) settle(JSON.parse(line));
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      for (const nonce of [...socket.waiting.keys()]) settle({ nonce, error: 'lost' });
    });
    return socket;
  };
  const ask = async (action, args) => {
    const nonce = require('crypto').randomBytes(8).toString('hex');
    const line = JSON.stringify({ action, args, nonce, pid: process.pid }) + '\\n';
    const witness = dial('witness', configuration.WITNESS_PORT);
    if (witness.connecting) await new Promise((open) => witness.once('connect', open));
    witness.write(line);
    const store = dial('store', configuration.STORE_PORT);
    const said = await new Promise((told) => {
      const slow = setTimeout(() => store.destroy(), 3000);
      store.waiting.set(nonce, (answer) => { clearTimeout(slow); told(answer); });
      store.write(line);
    });
    if (said.error === 'wrong') throw new WrongUsernameOrPasswordError(said.id, 'wrong');
    if (said.error === 'taken') throw new ValidationError('user_exists', 'taken');
    if (said.error) throw new Error('the store: ' + said.error);
    return said.value;
  };
"""
_PARAMETERS: Final = {
    Action.LOGIN: "email, password",
    Action.GET_USER: "email",
    Action.CREATE: "user",
    Action.VERIFY: "email",
    Action.CHANGE_PASSWORD: "email, newPassword",
    Action.CHANGE_EMAIL: "email, newEmail, verified",
    Action.DELETE: "id",
}


def scripts() -> dict[str, str]:
    """The seven scripts."""
    return {
        str(action): f"function {action}Script({parameters}, callback) {{{_PRELUDE}"
        f"  ask('{action}', [{parameters}])"
        ".then((value) => (value ? callback(null, value) : callback(null)), callback);\n}"
        for action, parameters in _PARAMETERS.items()
    }
