"""What each account on the broker may do, and no more: RabbitMQ permissions as data.

A permission is three patterns over names of exchanges and queues (configure, write, read); a topic
permission narrows what may be published to a topic exchange by routing key. Who declares, binds or
dead-letters needs rights on both ends, which is why some patterns are wider than one would think.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from shared.topology import Names
from shared.transport import Topology

_NOTHING: Final = "^$"


@dataclass(frozen=True, slots=True)
class Rights:
    """One account's; `topics` maps exchange to what may be published there, by routing key."""

    configure: str
    write: str
    read: str
    topics: Mapping[str, str] = field(default_factory=dict)

    def definitions(self, user: str, vhost: str = "/") -> dict[str, Any]:
        """As `rabbitmqctl import_definitions` and the management API take it."""
        return {
            "permissions": [
                {
                    "user": user,
                    "vhost": vhost,
                    "configure": self.configure,
                    "write": self.write,
                    "read": self.read,
                }
            ],
            "topic_permissions": [
                {
                    "user": user,
                    "vhost": vhost,
                    "exchange": exchange,
                    "write": pattern,
                    "read": _NOTHING,
                }
                for exchange, pattern in self.topics.items()
            ],
        }


def auth(names: Names) -> Rights:
    """auth: declares everything, publishes requests, consumes replies, dead letters and orphans."""
    return Rights(
        configure=_under(names, ".*"),
        write=_under(names, ".*"),
        # Not what integrators consume. Its requests it reads only because they dead-letter.
        read=_under(names, r"(req(\..*)?|reply(\..*)?|dead|orphan|worker|control|events)"),
    )


def worker(names: Names) -> Rights:
    """A worker: consumes requests, publishes results; can't ask, and tells no other worker."""
    ours = r"(req(\..*)?|reply|dead|orphan|control(\.worker\..*)?|events|worker)"
    return Rights(
        configure=_under(names, ours),
        write=_under(names, r"(req\..*|reply|dead|orphan|control\.worker\..*|worker)"),
        read=_under(names, r"(req(\..*)?|reply|dead|orphan|control(\.worker\..*)?|worker)"),
    )


def integrator(names: Names, name: str, connections: Iterable[str]) -> Rights:
    """Another team: publishes requests for its connections, consumes its two queues."""
    ids = "|".join(map(re.escape, connections))
    return Rights(
        configure=_NOTHING,
        write=_exactly(names.requests),
        read=_exactly(
            names.integrator_queue(name, "replies"), names.integrator_queue(name, "events")
        ),
        topics={names.requests: f"^({ids})$" if ids else _NOTHING},
    )


def exchanges(topology: Topology, vhost: str = "/") -> list[dict[str, Any]]:
    """What queues may be bound to, as definitions."""
    return [
        {
            "name": exchange.name,
            "vhost": vhost,
            "type": exchange.kind,
            "durable": True,
            "auto_delete": False,
            "internal": False,
            "arguments": {"alternate-exchange": exchange.alternate} if exchange.alternate else {},
        }
        for exchange in topology.exchanges
    ]


def queues(topology: Topology, vhost: str = "/") -> dict[str, Any]:
    """Queues and bindings, as definitions."""
    return {
        "queues": [
            {
                "name": queue.name,
                "vhost": vhost,
                "durable": True,
                "auto_delete": False,
                "arguments": queue.arguments,
            }
            for queue in topology.queues
        ],
        "bindings": [
            {
                "source": binding.exchange,
                "vhost": vhost,
                "destination": binding.queue,
                "destination_type": "queue",
                "routing_key": binding.routing_key,
                "arguments": {},
            }
            for binding in topology.bindings
        ],
    }


def _under(names: Names, rest: str) -> str:
    return rf"^{re.escape(names.prefix)}\.{rest}$"


def _exactly(*known: str) -> str:
    return f"^({'|'.join(map(re.escape, known))})$"
