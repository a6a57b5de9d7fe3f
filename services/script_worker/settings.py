"""The script worker's settings: read once in `__main__`, handed on as values."""

from __future__ import annotations

import os
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from services.script_worker.egress import EgressRules, destinations_of
from services.script_worker.sandbox.levels import Level
from shared.egress import Destination
from shared.settings import ServiceSettings


def _words(value: object) -> object:
    """A comma-separated text, as it stands in the environment."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


def _destination(text: str) -> str:
    Destination.parse(text)
    return text


def _network(text: str) -> str:
    return str(ip_network(text))


_Port = Annotated[int, Field(ge=1, le=65535)]
_Words = BeforeValidator(_words)
Destinations = Annotated[tuple[Annotated[str, AfterValidator(_destination)], ...], NoDecode, _Words]
Networks = Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], NoDecode, _Words]
Ports = Annotated[tuple[_Port, ...], NoDecode, _Words]


class WorkerSettings(ServiceSettings):
    """What an operator can choose. Everything else is a constant with its reason beside it."""

    concurrency: int = Field(
        default=16, ge=1, le=512, description="executions in hand at once; prefetch adds up to it"
    )
    processes_per_connection: int = Field(
        default=4, ge=1, le=64, description="Node processes that one connection may use at once"
    )
    max_processes: int = Field(
        default=32, ge=1, le=1024, description="Node processes in all, blanks included"
    )
    blanks: int = Field(
        default=2, ge=0, le=32, description="Node processes kept ready for a new connection"
    )
    memory_per_process: int = Field(
        default=384 * 1024 * 1024,
        ge=64 * 1024 * 1024,
        description="bytes a script may allocate beyond an idle Node process",
    )
    node: Path | None = Field(
        default=None, description="the Node executable; default: the one of the installed wheel"
    )
    isolation_required: Level = Field(
        default=Level.RLIMITS,
        description="the least sandbox to run scripts in (docs/security.md); with less than that"
        " the worker does not start, exit code 78",
    )
    egress_default: Literal["allow", "deny"] = Field(
        default="allow",
        description="deny: the scripts of a connection reach what its `egress_allow` lists, and"
        " nothing else; needs the sandbox's level full",
    )
    egress_allow: Destinations = Field(
        default=(),
        description="`host:port`, comma-separated: what scripts may reach without being listed"
        " by their connection",
    )
    egress_refuse: Networks = Field(
        default=(), description="networks (CIDR), comma-separated, that no script may reach"
    )
    egress_ports: Ports | None = Field(
        default=None, description="the only TCP ports that scripts may connect to, comma-separated"
    )
    egress_to_own_database: bool = Field(
        default=False,
        description="scripts may connect to the server of `DATABASE_URL`, because a legacy"
        " database is on it too",
    )
    modules: Path | None = Field(
        default=None, description="folder whose node_modules scripts may require"
    )

    @property
    def egress_rules(self) -> EgressRules:
        """What scripts may connect to, with our own services among what they may not."""
        database = destinations_of(self.database_dsn)
        broker = () if self.amqp_url is None else destinations_of(self.amqp_dsn)
        metrics = (Destination("127.0.0.1", self.metrics_port),) if self.metrics_port else ()
        return EgressRules(
            own=(*database, *broker, *metrics),
            shared=database if self.egress_to_own_database else (),
            refused=self.egress_refuse,
            ports=self.egress_ports,
            open=self.egress_default == "allow",
            allowed=tuple(map(Destination.parse, self.egress_allow)),
        )

    @property
    def worker_name(self) -> str:
        """Names this process to the broker and the database."""
        return f"script-worker-{os.getpid()}"
