"""A rival: FastStream's echo, as its documentation shows one."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from faststream import FastStream
from faststream.rabbit import RabbitBroker

QUEUE = "rival.faststream"


async def serve(amqp_url: str) -> None:
    """Echo until killed."""
    broker = RabbitBroker(amqp_url, logger=None)

    @broker.subscriber(QUEUE)
    async def echo(body: dict[str, Any]) -> dict[str, Any]:
        return body

    await FastStream(broker).run()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
