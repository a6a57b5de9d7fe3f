"""What `shared.transport` promises, held against both transports."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

import aio_pika
import pytest
import trustme
from yarl import URL

from shared.amqp import open_transport
from shared.amqp.tap import Tap, TappedConnection
from shared.amqp.wire import HEARTBEAT
from shared.errors import Misconfigured, Rejected, Unavailable, Unroutable
from shared.inprocess import InProcessBroker
from shared.topology import Names
from shared.transport import (
    Delivery,
    Exchange,
    Message,
    Queue,
    QueueBinding,
    QueueFacts,
    Topology,
    Transport,
)
from tests.proxy import Proxy

WITHIN = timedelta(seconds=5)
CONNECTION = "con_0000000000000000"
Open = Callable[[str], Awaitable[Transport]]


@dataclass
class Bench:
    """One transport under test, and the means to break its links."""

    open: Open
    names: Names
    cut: Callable[[Transport], Awaitable[None]]
    refuse: Callable[[Transport], Awaitable[None]]
    mend: Callable[[Transport], Awaitable[None]]


class Inbox:
    """Takes deliveries over, and lets a test wait for them."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Delivery] = asyncio.Queue()

    def __call__(self, delivery: Delivery) -> None:
        self.queue.put_nowait(delivery)

    async def next(self) -> Delivery:
        async with asyncio.timeout(15):
            return await self.queue.get()


@asynccontextmanager
async def in_process(names: Names) -> AsyncIterator[Bench]:
    broker = InProcessBroker()

    async def open_(name: str) -> Transport:
        return broker.transport(name)

    async def cut(transport: Transport) -> None:
        transport.cut()  # type: ignore[attr-defined]
        await transport.relink()  # type: ignore[attr-defined]

    async def refuse(transport: Transport) -> None:
        transport.cut()  # type: ignore[attr-defined]

    async def mend(transport: Transport) -> None:
        await transport.relink()  # type: ignore[attr-defined]

    yield Bench(open_, names, cut, refuse, mend)


@asynccontextmanager
async def over_rabbitmq(url: str, names: Names, *, fast: bool) -> AsyncIterator[Bench]:
    parts = urlsplit(url)
    async with AsyncExitStack() as owned:
        proxy = await owned.enter_async_context(Proxy(parts.port or 5672))
        place = f"{parts.username}:{parts.password}@127.0.0.1:{proxy.port}"

        async def open_(name: str) -> Transport:
            through = parts._replace(netloc=place).geturl()
            return await owned.enter_async_context(
                open_transport(through, client_name=name, fast=fast)
            )

        async def cut(_: Transport) -> None:
            proxy.cut()

        async def refuse(_: Transport) -> None:
            proxy.refuse()

        async def mend(_: Transport) -> None:
            proxy.accept()

        yield Bench(open_, names, cut, refuse, mend)


@pytest.fixture(params=["in-process", "rabbitmq", "rabbitmq, all by the client"])
async def bench(request: pytest.FixtureRequest, names: Names) -> AsyncIterator[Bench]:
    if request.param == "in-process":
        async with in_process(names) as found:
            yield found
    else:
        url, fast = request.getfixturevalue("amqp_url"), request.param == "rabbitmq"
        async with over_rabbitmq(url, names, fast=fast) as found:
            yield found


def message(text: str = "hello", **fields: object) -> Message:
    return Message(body=text.encode(), type="test", correlation_id="c1", **fields)  # type: ignore[arg-type]


async def prepared(bench: Bench, name: str = "client") -> Transport:
    transport = await bench.open(name)
    await transport.declare(bench.names.base())
    await transport.declare(bench.names.connection(CONNECTION))
    return transport


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


async def test_a_confirmed_message_arrives_with_its_properties(bench: Bench) -> None:
    transport, inbox = await prepared(bench), Inbox()
    await transport.consume(bench.names.request_queue(CONNECTION), prefetch=1, handler=inbox)
    sent = message(reply_to="replica-1", headers={"traceparent": "00-abc", "n": 7})

    await transport.publish(bench.names.requests, CONNECTION, sent, within=WITHIN)
    delivery = await inbox.next()
    delivery.ack()

    got = delivery.message
    assert (sent.body, sent.type, sent.correlation_id) == (got.body, got.type, got.correlation_id)
    assert (sent.message_id, sent.reply_to) == (got.message_id, got.reply_to)
    assert dict(sent.headers).items() <= dict(got.headers).items()
    assert CONNECTION == delivery.routing_key
    assert not delivery.redelivered
    assert delivery.dead_letter_reason is None


async def test_a_message_for_nobody_is_unroutable(bench: Bench) -> None:
    transport = await prepared(bench)

    with pytest.raises(Unroutable):
        await transport.publish(
            bench.names.requests, "con_unknown000000000", message(), within=WITHIN
        )


async def test_a_full_queue_rejects(bench: Bench) -> None:
    transport = await bench.open("client")
    names = bench.names
    small = Topology(
        exchanges=(Exchange(names.requests, "topic"),),
        queues=(Queue(f"{names.requests}.small", max_length=2),),
        bindings=(QueueBinding(names.requests, f"{names.requests}.small", "small"),),
    )
    await transport.declare(small)

    async def fill() -> None:
        for _ in range(50):
            await transport.publish(names.requests, "small", message(), within=WITHIN)

    with pytest.raises(Rejected):
        await fill()


async def test_what_expires_is_dead_lettered_with_its_reason(bench: Bench) -> None:
    transport, inbox = await prepared(bench), Inbox()
    await transport.consume(bench.names.dead, prefetch=10, handler=inbox)

    brief = message("late", expiration=timedelta(milliseconds=50))
    await transport.publish(bench.names.requests, CONNECTION, brief, within=WITHIN)
    delivery = await inbox.next()
    delivery.ack()

    assert b"late" == delivery.message.body
    assert "expired" == delivery.dead_letter_reason


async def test_what_is_rejected_is_dead_lettered_with_its_reason(bench: Bench) -> None:
    transport, inbox, dead = await prepared(bench), Inbox(), Inbox()
    await transport.consume(bench.names.request_queue(CONNECTION), prefetch=1, handler=inbox)
    await transport.consume(bench.names.dead, prefetch=10, handler=dead)

    await transport.publish(bench.names.requests, CONNECTION, message("bad"), within=WITHIN)
    (await inbox.next()).reject()
    delivery = await dead.next()
    delivery.ack()

    assert b"bad" == delivery.message.body
    assert "rejected" == delivery.dead_letter_reason


async def test_a_message_delivered_too_often_is_dead_lettered(bench: Bench) -> None:
    transport, dead = await bench.open("client"), Inbox()
    names = bench.names
    await transport.declare(names.base())
    queue = Queue(f"{names.requests}.few", dead_letter_exchange=names.dead, delivery_limit=2)
    binding = QueueBinding(names.requests, queue.name, "few")
    await transport.declare(Topology(queues=(queue,), bindings=(binding,)))
    await transport.consume(queue.name, prefetch=1, handler=lambda delivery: delivery.requeue())
    await transport.consume(names.dead, prefetch=10, handler=dead)

    await transport.publish(names.requests, "few", message("again"), within=WITHIN)
    delivery = await dead.next()
    delivery.ack()

    assert "delivery_limit" == delivery.dead_letter_reason


async def test_a_consumer_holds_no_more_than_its_prefetch(bench: Bench) -> None:
    transport, inbox = await prepared(bench), Inbox()
    await transport.consume(bench.names.request_queue(CONNECTION), prefetch=2, handler=inbox)
    for number in range(5):
        await transport.publish(
            bench.names.requests, CONNECTION, message(str(number)), within=WITHIN
        )

    held = [await inbox.next(), await inbox.next()]
    await asyncio.sleep(0.1)
    waiting = inbox.queue.qsize()
    held[0].ack()
    third = await inbox.next()
    for delivery in (held[1], third):
        delivery.ack()

    assert 0 == waiting
    assert b"2" == third.message.body


async def test_prefetch_counts_for_each_consumer(bench: Bench) -> None:
    transport, first, second = await prepared(bench), Inbox(), Inbox()
    other = "con_1111111111111111"
    await transport.declare(bench.names.connection(other))
    await transport.consume(bench.names.request_queue(CONNECTION), prefetch=1, handler=first)
    await transport.consume(bench.names.request_queue(other), prefetch=3, handler=second)
    for _ in range(3):
        for key in (CONNECTION, other):
            await transport.publish(bench.names.requests, key, message(), within=WITHIN)

    await until(lambda: first.queue.qsize() == 1 and second.queue.qsize() == 3)
    await asyncio.sleep(0.05)

    assert (1, 3) == (first.queue.qsize(), second.queue.qsize())


async def test_a_lost_link_brings_redelivery_and_makes_old_settlements_harmless(
    bench: Bench,
) -> None:
    transport, inbox = await prepared(bench), Inbox()
    await transport.consume(bench.names.request_queue(CONNECTION), prefetch=1, handler=inbox)
    await transport.publish(bench.names.requests, CONNECTION, message("twice"), within=WITHIN)
    first = await inbox.next()

    await bench.cut(transport)
    second = await inbox.next()
    first.ack()
    second.ack()

    assert b"twice" == second.message.body
    assert second.redelivered


async def test_work_outlives_the_link_that_brought_it(bench: Bench) -> None:
    """I9: a handler hands over; what was handed over is not cancelled when the link drops."""
    transport = await prepared(bench)
    done: asyncio.Queue[bytes] = asyncio.Queue()
    owned: set[asyncio.Task[None]] = set()

    async def work(delivery: Delivery) -> None:
        await asyncio.sleep(0.2)
        done.put_nowait(delivery.message.body)
        delivery.ack()

    def handler(delivery: Delivery) -> None:
        owned.add(asyncio.get_running_loop().create_task(work(delivery)))

    await transport.consume(bench.names.request_queue(CONNECTION), prefetch=1, handler=handler)
    await transport.publish(bench.names.requests, CONNECTION, message("kept"), within=WITHIN)
    await until(lambda: bool(owned))
    await bench.cut(transport)

    async with asyncio.timeout(10):
        assert b"kept" == await done.get()
    await asyncio.wait(owned)


async def test_a_reply_without_its_replica_reaches_the_orphans(bench: Bench) -> None:
    transport, replies, orphans = await prepared(bench), Inbox(), Inbox()
    await transport.consume(bench.names.orphans, prefetch=10, handler=orphans)
    subscription = await transport.consume_exclusive(
        f"{bench.names.replies}.r1", {bench.names.replies: "r1"}, prefetch=10, handler=replies
    )

    await transport.publish(bench.names.replies, "r1", message("mine"), within=WITHIN)
    (await replies.next()).ack()
    await transport.publish(bench.names.replies, "r2", message("nobody's"), within=WITHIN)
    orphan = await orphans.next()
    orphan.ack()
    await subscription.cancel()

    assert b"nobody's" == orphan.message.body


async def test_after_a_reconnect_replies_flow_again_and_we_are_told(bench: Bench) -> None:
    transport, replies = await prepared(bench), Inbox()
    told = asyncio.Event()

    async def reconnected() -> None:
        told.set()

    transport.on_reconnect(reconnected)
    await transport.consume_exclusive(
        f"{bench.names.replies}.r1", {bench.names.replies: "r1"}, prefetch=10, handler=replies
    )

    await bench.cut(transport)
    async with asyncio.timeout(20):
        await told.wait()
    await until(lambda: transport.connected)
    await transport.publish(bench.names.replies, "r1", message("again"), within=WITHIN)
    delivery = await replies.next()
    delivery.ack()

    assert b"again" == delivery.message.body


async def test_without_a_link_publishing_fails_at_once(bench: Bench) -> None:
    transport = await prepared(bench)

    await bench.refuse(transport)
    await until(lambda: not transport.connected)
    before = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable):
        await transport.publish(bench.names.requests, CONNECTION, message(), within=WITHIN)
    took = asyncio.get_running_loop().time() - before
    await bench.mend(transport)
    await until(lambda: transport.connected)
    await transport.publish(bench.names.requests, CONNECTION, message(), within=WITHIN)

    assert took < 1


async def test_control_messages_reach_every_worker(bench: Bench) -> None:
    transport, inboxes = await prepared(bench), [Inbox(), Inbox()]
    for inbox in inboxes:
        await transport.consume_exclusive(
            f"{bench.names.control}.worker", {bench.names.control: "#"}, prefetch=4, handler=inbox
        )

    await transport.publish(bench.names.control, "", message("changed"), within=WITHIN)

    for inbox in inboxes:
        delivery = await inbox.next()
        delivery.ack()
        assert b"changed" == delivery.message.body


async def test_a_deleted_queue_takes_nothing(bench: Bench) -> None:
    transport = await prepared(bench)

    await transport.delete_queue(bench.names.request_queue(CONNECTION))
    await transport.delete_queue(bench.names.request_queue(CONNECTION))

    with pytest.raises(Unroutable):
        await transport.publish(bench.names.requests, CONNECTION, message(), within=WITHIN)


async def test_a_cancelled_subscription_takes_nothing_more(bench: Bench) -> None:
    transport, inbox = await prepared(bench), Inbox()
    queue = bench.names.request_queue(CONNECTION)
    subscription = await transport.consume(queue, prefetch=5, handler=inbox)

    await subscription.cancel()
    await transport.publish(bench.names.requests, CONNECTION, message(), within=WITHIN)
    await asyncio.sleep(0.1)

    assert 0 == inbox.queue.qsize()


async def test_topology_that_exists_otherwise_is_a_misconfiguration(bench: Bench) -> None:
    transport = await prepared(bench)
    other = Queue(bench.names.request_queue(CONNECTION), max_length=1)

    with pytest.raises(Misconfigured):
        await transport.declare(Topology(queues=(other,)))


async def test_consuming_a_missing_queue_is_a_misconfiguration(bench: Bench) -> None:
    transport, inbox = await prepared(bench), Inbox()

    with pytest.raises(Misconfigured):
        await transport.consume(f"{bench.names.requests}.nowhere", prefetch=1, handler=inbox)


async def test_many_publishes_in_flight_are_all_confirmed(bench: Bench) -> None:
    transport, inbox = await prepared(bench), Inbox()
    await transport.consume(bench.names.request_queue(CONNECTION), prefetch=100, handler=inbox)

    async with asyncio.TaskGroup() as tasks:
        for number in range(100):
            body = message(str(number))
            tasks.create_task(
                transport.publish(bench.names.requests, CONNECTION, body, within=WITHIN)
            )
    bodies = set()
    for _ in range(100):
        delivery = await inbox.next()
        delivery.ack()
        bodies.add(delivery.message.body)

    assert {str(number).encode() for number in range(100)} == bodies


async def test_a_look_counts_consumers_and_waiting_messages_and_touches_nothing(
    bench: Bench,
) -> None:
    transport, worker, inbox = await prepared(bench), await bench.open("worker"), Inbox()
    queue = bench.names.request_queue(CONNECTION)
    await transport.publish(bench.names.requests, CONNECTION, message(), within=WITHIN)
    await transport.publish(bench.names.requests, CONNECTION, message(), within=WITHIN)
    await until_seen(transport, queue, QueueFacts(consumers=0, waiting=2))

    subscription = await worker.consume(queue, prefetch=1, handler=inbox)
    await until_seen(transport, queue, QueueFacts(consumers=1, waiting=1))
    await subscription.cancel()
    (await inbox.next()).requeue()

    await until_seen(transport, queue, QueueFacts(consumers=0, waiting=2))
    assert await transport.look(f"{queue}.missing") is None
    assert QueueFacts(consumers=0, waiting=2) == await transport.look(queue)


async def until_seen(transport: Transport, queue: str, facts: QueueFacts) -> None:
    async with asyncio.timeout(15):
        while await transport.look(queue) != facts:
            await asyncio.sleep(0.02)


async def test_a_client_that_takes_no_transport_of_ours_does_everything_itself(
    amqp_url: str, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(self: aio_pika.Connection, timeout: float | None = None) -> None:
        self.kwargs.pop("transport_factory")
        await aio_pika.Connection.connect(self, timeout)

    monkeypatch.setattr(TappedConnection, "connect", refuses)
    async with open_transport(amqp_url, client_name="old") as transport:
        inbox = Inbox()
        await transport.declare(names.base())
        await transport.declare(names.connection(CONNECTION))
        await transport.consume(names.request_queue(CONNECTION), prefetch=1, handler=inbox)
        await transport.publish(names.requests, CONNECTION, message("kept"), within=WITHIN)
        delivery = await inbox.next()
        delivery.ack()

    assert b"kept" == delivery.message.body


async def test_a_key_longer_than_amqp_allows_is_unroutable(bench: Bench) -> None:
    transport = await prepared(bench)

    with pytest.raises(Unroutable):
        await transport.publish(bench.names.replies + "x", "k" * 300, message(), within=WITHIN)


async def test_what_is_unbound_goes_to_the_other_queue_alone(bench: Bench) -> None:
    """As a connection moves between its own queue and a lane."""
    transport, own, lane = await prepared(bench), Inbox(), Inbox()
    names = bench.names
    await transport.declare(names.connection(CONNECTION, 7))
    await transport.consume(names.request_queue(CONNECTION), prefetch=10, handler=own)
    await transport.consume(names.request_queue(CONNECTION, 7), prefetch=10, handler=lane)
    await transport.publish(names.requests, CONNECTION, message("both"), within=WITHIN)
    copies = [await own.next(), await lane.next()]

    await transport.unbind(names.binding(CONNECTION))
    await transport.unbind(names.binding(CONNECTION))
    await transport.unbind(names.binding("con_unknown000000000"))
    await transport.publish(names.requests, CONNECTION, message("one"), within=WITHIN)

    assert b"one" == (await lane.next()).message.body
    assert own.queue.empty()
    assert [b"both", b"both"] == [copy.message.body for copy in copies]


async def test_tls_goes_through_our_transport_too() -> None:
    authority = trustme.CA()
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(serving)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(8))
        await writer.drain()
        writer.close()

    class Provider:
        async def get_context(self) -> ssl.SSLContext:
            return trusting

    async with await asyncio.start_server(echo, "127.0.0.1", 0, ssl=serving) as server:
        port = server.sockets[0].getsockname()[1]
        tap = Tap()
        reader, writer = await tap.create(
            URL(f"amqps://localhost:{port}"), ssl_context_provider=Provider()
        )
        writer.write(HEARTBEAT)
        heard = await reader.readexactly(8)
        writer.close()

    assert HEARTBEAT == heard
    assert tap.stream is reader


async def test_a_consumer_that_is_cancelled_while_its_link_is_set_up_again_stays_cancelled(
    bench: Bench,
) -> None:
    transport, taken, never = await prepared(bench), Inbox(), Inbox()
    queue, told, tasks = bench.names.request_queue(CONNECTION), asyncio.Event(), set()

    def cancel_the_other(delivery: Delivery) -> None:
        taken(delivery)
        if delivery.redelivered:  # so the link is being set up again, one consumer after the other
            tasks.add(asyncio.get_running_loop().create_task(other.cancel()))

    async def reconnected() -> None:
        told.set()

    transport.on_reconnect(reconnected)
    await transport.consume(bench.names.orphans, prefetch=1, handler=cancel_the_other)
    other = await transport.consume(queue, prefetch=10, handler=never)
    await transport.publish(bench.names.replies, "nobody", message(), within=WITHIN)
    await taken.next()
    await bench.cut(transport)
    await taken.next()
    async with asyncio.timeout(20):
        await told.wait()
    await asyncio.wait(tasks)

    assert QueueFacts(consumers=0, waiting=0) == await transport.look(queue)
