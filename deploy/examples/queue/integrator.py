"""Ask for an execution over the queue, or follow events: with aio-pika and cryptography alone.

    AMQP_URL=amqp://billing:…@broker/ SEALING_KEY=billing.1:… \
        python integrator.py ask con_… login '["ada@example.com", "password"]'
    AMQP_URL=… SEALING_KEY=… python integrator.py events

Written from docs/contracts/asyncapi.json and docs/integrate-over-the-queue.md. It prints JSON lines.
TIMEOUT (seconds, 10) is how long `ask` gives the script; EVENTS ends `events` after so many;
PREFIX (trickle) begins the names on the broker.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import sys
import time
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PREFIX = os.environ.get("PREFIX", "trickle")
KEY_ID, _, ENCODED = os.environ["SEALING_KEY"].partition(":")
NAME = KEY_ID.rpartition(".")[0]
REMEMBERED = 10_000


def cipher(direction: str) -> AESGCM:
    """Each direction has a key of its own, derived from the sealing key."""
    info = f"trickle/1/{direction}".encode()
    return AESGCM(HKDF(SHA256(), 32, salt=None, info=info).derive(base64.b64decode(ENCODED)))


def associated(direction: str, request: dict[str, Any], microseconds: int) -> bytes:
    """What sealed data is bound to; no revision is an empty string."""
    parts = [direction, request["execution_id"], request["connection_id"]]
    return "\0".join([*parts, "", request["action"], str(microseconds)]).encode()


def execution_id() -> str:
    """A UUIDv7 (RFC 9562, section 5.7)."""
    value = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    return str(UUID(int=value & ~(0xF << 76) & ~(0b11 << 62) | 0x7 << 76 | 0b10 << 62))


async def ask(channel: AbstractChannel, connection_id: str, action: str, arguments: Any) -> Any:
    """Publish one request and wait for its result."""
    seconds = float(os.environ.get("TIMEOUT", "10"))
    microseconds = time.time_ns() // 1000 + int(seconds * 1_000_000)
    request: dict[str, Any] = {
        "schema_version": 1,
        "execution_id": execution_id(),
        "connection_id": connection_id,
        "action": action,
        "deadline": instant(microseconds),
        "requested_at": instant(time.time_ns() // 1000),
        "origin": NAME,
        "reply_to": f"{NAME}.python",
    }
    nonce = os.urandom(12)
    sealed = cipher("arguments").encrypt(
        nonce, json.dumps(arguments).encode(), associated("arguments", request, microseconds)
    )
    data = base64.b64encode(nonce + sealed).decode()
    request["sealed_arguments"] = {"key_id": KEY_ID, "data": data}

    replies = await channel.get_queue(f"{PREFIX}.integrator.{NAME}.replies", ensure=False)
    exchange = await channel.get_exchange(f"{PREFIX}.req", ensure=False)
    await exchange.publish(  # returns when the broker has confirmed it
        aio_pika.Message(
            json.dumps(request).encode(),
            content_type="application/vnd.trickle.execution+json",
            type="trickle.execution.request",
            correlation_id=request["execution_id"],
            message_id=secrets.token_hex(16),
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            expiration=seconds,
        ),
        routing_key=connection_id,
        mandatory=True,
    )
    # A worker that is lost in the last moment is noticed some seconds after the deadline.
    async with asyncio.timeout(seconds + 20), replies.iterator() as messages:
        async for message in messages:
            async with message.process():
                result = json.loads(message.body)
                if result["execution_id"] == request["execution_id"]:
                    return opened(request, microseconds, result)
    return None


def opened(request: dict[str, Any], microseconds: int, result: dict[str, Any]) -> dict[str, Any]:
    """The outcome, its value in the clear."""
    outcome: dict[str, Any] = result["outcome"]
    if outcome["kind"] == "succeeded":
        data = base64.b64decode(outcome.pop("sealed_value")["data"])
        bound = associated("value", request, microseconds)
        outcome["value"] = json.loads(cipher("value").decrypt(data[:12], data[12:], bound))
    return outcome | {"execution_id": result["execution_id"]}


def instant(microseconds: int) -> str:
    """RFC 3339, to the microsecond: the seal is bound to exactly this."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest).isoformat()


async def follow(channel: AbstractChannel) -> None:
    """Print each event once: they come at least once."""
    left = int(os.environ.get("EVENTS", "0"))
    seen: OrderedDict[str, None] = OrderedDict()
    await channel.set_qos(100)
    queue = await channel.get_queue(f"{PREFIX}.integrator.{NAME}.events", ensure=False)
    async with queue.iterator() as messages:
        async for message in messages:
            if take(message, seen):
                left -= 1
            await message.ack()  # after the effect, so that nothing is lost
            if left == 0:
                return


def take(message: AbstractIncomingMessage, seen: OrderedDict[str, None]) -> bool:
    """Whether an event is new. A service would keep the ids where it keeps the effects."""
    event = json.loads(message.body)
    if event["event_id"] in seen:
        return False
    seen[event["event_id"]] = None
    if len(seen) > REMEMBERED:
        seen.popitem(last=False)
    print(json.dumps(event), flush=True)
    return True


async def main() -> None:
    """Do what the command line says."""
    connection = await aio_pika.connect(os.environ["AMQP_URL"])
    async with connection:
        channel = await connection.channel()
        if sys.argv[1] == "events":
            await follow(channel)
        else:
            given = json.loads(sys.argv[4])
            print(json.dumps(await ask(channel, sys.argv[2], sys.argv[3], given)), flush=True)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except aio_pika.exceptions.AMQPError as error:  # a connection that is not ours, for one
        sys.exit(f"the broker refuses it, or is not there: {error!r}")
    except TimeoutError:
        sys.exit("no result came")
