"""`python -m services.auth integrator …`: who else may use the queue, issued and taken back."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import AbstractAsyncContextManager

from services.auth.integrators import Integrator, Integrators
from services.auth.settings import AuthSettings
from shared import broker_rights
from shared.amqp import open_transport
from shared.database import open_database
from shared.topology import Names
from shared.transport import Transport


def add_arguments(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command line of it."""
    parser = commands.add_parser("integrator", help="other teams on the queue, and their keys")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = actions.add_parser("add", help="a new one; its sealing key is shown this once")
    add.add_argument("name")
    add.add_argument("connections", nargs="+", metavar="CONNECTION", help="name or id")
    rotate = actions.add_parser("rotate", help="one more key; the former ones stay valid")
    rotate.add_argument("name")
    revoke = actions.add_parser("revoke", help="a key, or the whole integrator; at once")
    revoke.add_argument("name")
    revoke.add_argument("key_id", nargs="?")
    actions.add_parser("list", help="names, connections, key ids")
    shown = actions.add_parser(
        "definitions", help="permissions for a broker account of the same name, to be imported"
    )
    shown.add_argument("name")
    shown.add_argument("--vhost", default="/")


async def integrator(settings: AuthSettings, arguments: argparse.Namespace) -> int:
    """Do what the command line says. Raises Misconfigured, Unavailable."""
    names = Names(settings.broker_prefix)
    async with open_database(settings.database_dsn, pool_size=1) as database:
        them = Integrators(database, settings.ring)
        match arguments.action:
            case "add":
                key = await them.add(arguments.name, arguments.connections)
                _once(key)
                async with _broker(settings) as transport:
                    await transport.declare(names.base())
                    await them.declare(transport, names)
            case "rotate":
                _once(await them.rotate(arguments.name))
            case "revoke":
                await them.revoke(arguments.name, arguments.key_id)
                if arguments.key_id is None:
                    async with _broker(settings) as transport:
                        for queue in names.integrator(arguments.name, ()).queues:
                            await transport.delete_queue(queue.name)
            case "list":
                for each in await them.all():
                    _print({"name": each.name, "connections": each.connections, "keys": each.keys})
            case _:
                _print(definitions(names, await them.get(arguments.name), arguments.vhost))
    return 0


def definitions(names: Names, its: Integrator, vhost: str = "/") -> dict[str, object]:
    """What the broker has to know of one: rights, queues and bindings; the user is the operator's."""
    rights = broker_rights.integrator(names, its.name, its.connections)
    topology = names.integrator(its.name, its.connections)
    return rights.definitions(its.name, vhost) | broker_rights.queues(topology, vhost)


def _broker(settings: AuthSettings) -> AbstractAsyncContextManager[Transport]:
    return open_transport(settings.amqp_dsn, client_name="integrator")


def _once(key: str) -> None:
    print("the sealing key is shown this once:", file=sys.stderr)  # noqa: T201 - a command for a person
    print(key)  # noqa: T201 - a command for a person


def _print(shown: object) -> None:
    print(json.dumps(shown, indent=2))  # noqa: T201 - a command for a person
