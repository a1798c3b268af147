"""The way out: every publish has the broker's own word, whatever happens to the broker meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from axis.broker import wire
from axis.broker.connection import BrokerAddress
from axis.broker.publisher import BrokerPublisher, PublishLimits
from axis.core.directory import Station
from axis.core.errors import InvariantBroken, ServiceUnavailable
from axis.core.exchange import FeedEntry, load, read_events
from axis.core.model import ConsignmentId, DocumentKey, Lane
from axis.core.ports import (
    OutgoingConsignment,
    OutgoingEvents,
    OutgoingReply,
    OutgoingWithdrawal,
    Published,
)
from tests.broker.desk import Clock, a_station, outgoing
from tests.broker.surgery import silence_queue, wake_queue
from tests.broker.wiretap import wiretap
from tests.services.proxy import TCPProxy
from tests.services.rabbitmq import RabbitMQNode, Vhost

QUICK = PublishLimits(timeout_seconds=2, doubtful_seconds=0.5, nacked_seconds=0.2, longest_pause_seconds=0.1)


def a_publisher(url: str, *, limits: PublishLimits | None = None) -> BrokerPublisher:
    return BrokerPublisher(
        BrokerAddress(urls=(url,), connect_seconds=5), clock=Clock(), limits=limits or PublishLimits()
    )


def queues(station: Station) -> wire.StationQueues:
    return wire.station_queues(station=station.id, secret=station.secret)


async def prepare(publisher: BrokerPublisher, *stations: Station) -> None:
    await publisher.declare_hub()
    for station in stations:
        await publisher.declare_station(station=station.id, secret=station.secret)


async def test_every_kind_of_message_lands_in_its_queue(vhost: Vhost) -> None:
    """Consignments go by lane, withdrawals to the urgent queue, everything else to the receipts."""
    station = a_station("kinds")
    async with a_publisher(vhost.url) as publisher, wiretap(vhost.url) as tap:
        await prepare(publisher, station)
        results = await publisher.publish(
            [
                outgoing(station, 1),
                outgoing(station, 2, lane=Lane.URGENT, body=None),
                OutgoingWithdrawal(
                    station=station.id,
                    secret=station.secret,
                    message_id="w",
                    consignment=ConsignmentId("c"),
                    document=DocumentKey("d"),
                ),
                OutgoingEvents(
                    station=station.id,
                    secret=station.secret,
                    message_id="e",
                    entries=[FeedEntry(index=7, record="{}"), FeedEntry(index=9, record="{}")],
                ),
                OutgoingReply(
                    station=station.id,
                    secret=station.secret,
                    message_id="r",
                    correlation_id="q" * 300,
                    body=b"{}",
                ),
            ]
        )

        assert results == [Published.CONFIRMED] * 5
        (normal,) = await tap.drain(queues(station).inbox)
        by_digest, withdrawal = await tap.drain(queues(station).urgent)
        events, reply = await tap.drain(queues(station).receipts)
    assert normal.body == b"<edXML/>"
    assert normal.header.properties.delivery_mode == 2
    assert normal.header.properties.correlation_id == "document-1"
    assert normal.header.properties.message_type == wire.TYPE_CONSIGNMENT
    assert by_digest.body == b""
    assert by_digest.header.properties.headers is not None
    assert by_digest.header.properties.headers[wire.H_BY_DIGEST] is True
    assert withdrawal.header.properties.message_type == wire.TYPE_WITHDRAW
    assert events.header.properties.message_type == wire.TYPE_EVENTS
    assert [one.index for one in read_events(load(events.body))] == [7, 9]
    assert reply.header.properties.correlation_id == "q" * 255


async def test_a_missing_queue_is_unrouted_and_its_neighbours_are_confirmed(vhost: Vhost) -> None:
    """In one window, each of two hundred publishes gets its own result and not its neighbour's."""
    here, nowhere = a_station("here"), a_station("nowhere")
    async with a_publisher(vhost.url) as publisher, wiretap(vhost.url) as tap:
        await prepare(publisher, here)
        expected = [Published.UNROUTED if n % 3 == 0 else Published.CONFIRMED for n in range(200)]

        results = await publisher.publish([outgoing(nowhere if n % 3 == 0 else here, n) for n in range(200)])

        assert expected == results
        assert expected.count(Published.CONFIRMED) == len(await tap.drain(queues(here).inbox))


async def test_a_queue_declared_after_it_was_missing_takes_the_next_attempt(vhost: Vhost) -> None:
    station = a_station("late")
    async with a_publisher(vhost.url) as publisher:
        await publisher.declare_hub()
        assert await publisher.publish([outgoing(station, 1)]) == [Published.UNROUTED]

        await publisher.declare_station(station=station.id, secret=station.secret)

        assert await publisher.publish([outgoing(station, 2)]) == [Published.CONFIRMED]


async def test_the_depth_is_what_waits_in_both_queues_for_documents(vhost: Vhost) -> None:
    station = a_station("deep")
    async with a_publisher(vhost.url) as publisher:
        assert await publisher.depth(station=station.id, secret=station.secret) is None
        await prepare(publisher, station)
        assert await publisher.depth(station=station.id, secret=station.secret) == 0

        await publisher.publish(
            [outgoing(station, 1), outgoing(station, 2), outgoing(station, 3, lane=Lane.URGENT)]
        )

        assert await publisher.depth(station=station.id, secret=station.secret) == 3


async def declare_full(vhost: Vhost, station: Station) -> None:
    """A station's inbox that refuses everything beyond its first message, and is no quorum queue."""
    name = queues(station).inbox
    async with wiretap(vhost.url) as tap:
        await tap.channel.queue_declare(
            name, durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
        )
        await tap.channel.queue_bind(name, wire.INBOX, name)
        await tap.publish(wire.INBOX, name)


async def test_what_the_broker_nacks_is_refused_and_not_stored(vhost: Vhost) -> None:
    full, free = a_station("full"), a_station("free")
    async with a_publisher(vhost.url) as publisher, wiretap(vhost.url) as tap:
        await prepare(publisher, free)
        await declare_full(vhost, full)

        results = await publisher.publish([outgoing(full, 1), outgoing(free, 2), outgoing(full, 3)])

        assert results == [Published.REFUSED, Published.CONFIRMED, Published.REFUSED]
        assert await tap.length(queues(full).inbox) == 1


async def test_a_channel_that_only_nacks_is_replaced(vhost: Vhost) -> None:
    """RabbitMQ 3.10 can nack for ever on a channel that remembers a dead leader; a fresh channel asks afresh."""
    full = a_station("stubborn")
    async with a_publisher(vhost.url, limits=QUICK) as publisher, wiretap(vhost.url) as tap:
        await publisher.declare_hub()
        await declare_full(vhost, full)
        await publisher.publish([outgoing(full, 0)])
        first = publisher._main.lane

        number = 1
        while publisher._main.lane is first:
            assert await publisher.publish([outgoing(full, number)]) == [Published.REFUSED]
            number += 1

        await tap.drain(queues(full).inbox)
        assert await publisher.publish([outgoing(full, number)]) == [Published.CONFIRMED]


async def test_a_channel_that_only_nacks_for_one_queue_is_replaced(vhost: Vhost) -> None:
    """The dead leader is one queue's: those that others confirm on the same channel say nothing about it."""
    full, free = a_station("stuck"), a_station("flowing")
    async with a_publisher(vhost.url, limits=QUICK) as publisher:
        await prepare(publisher, free)
        await declare_full(vhost, full)
        assert await publisher.publish([outgoing(full, 0)]) == [Published.REFUSED]
        first = publisher._main.lane

        async with asyncio.timeout(10):
            while publisher._main.lane is first:
                assert await publisher.publish([outgoing(full, 1), outgoing(free, 1)]) == [
                    Published.REFUSED,
                    Published.CONFIRMED,
                ]


async def test_a_queue_that_nacks_on_fresh_channels_too_costs_fewer_and_fewer_of_them(vhost: Vhost) -> None:
    """A queue that is full stays so; its neighbours must not get a new channel every second for that."""
    full = a_station("brimful")
    limits = replace(QUICK, nacked_seconds=0.05, longest_pause_seconds=0.01)
    async with a_publisher(vhost.url, limits=limits) as publisher:
        await publisher.declare_hub()
        await declare_full(vhost, full)
        fresh_at: list[float] = []
        lane = publisher._main.lane
        async with asyncio.timeout(30):
            while len(fresh_at) < 6:
                assert await publisher.publish([outgoing(full, 1)]) == [Published.REFUSED]
                if publisher._main.lane is not lane:
                    lane = publisher._main.lane
                    fresh_at.append(asyncio.get_running_loop().time())

    lasted = [after - before for before, after in pairwise(fresh_at)]
    # Seen from outside, each begins and ends a little late.
    assert all(seconds >= 0.04 * 2**n for n, seconds in enumerate(lasted)), lasted


async def test_a_station_without_valid_names_is_our_fault(vhost: Vhost) -> None:
    """A secret that could not be escaped in a permission never becomes a queue name."""
    bad = OutgoingConsignment(
        station=a_station().id,
        secret="short",
        message_id="m",
        header=outgoing(a_station()).header,
        body=b"",
    )
    async with a_publisher(vhost.url) as publisher:
        await publisher.declare_hub()
        with pytest.raises(InvariantBroken):
            await publisher.publish([bad])


async def test_bodies_beyond_the_window_go_one_by_one(vhost: Vhost) -> None:
    """The window is bounded in bytes; a body larger than all of it still goes."""
    station = a_station("large")
    limits = PublishLimits(window_bytes=1000)
    async with a_publisher(vhost.url, limits=limits) as publisher, wiretap(vhost.url) as tap:
        await prepare(publisher, station)

        results = await publisher.publish([outgoing(station, n, body=b"x" * 5000) for n in range(20)])

        assert results == [Published.CONFIRMED] * 20
        assert await tap.length(queues(station).inbox) == 20


async def test_no_broker_is_service_unavailable() -> None:
    async with a_publisher("amqp://nobody:nothing@127.0.0.1:1/") as publisher:
        with pytest.raises(ServiceUnavailable, match="broker") as raised:
            await publisher.publish([outgoing(a_station())])
    assert "nothing" not in str(raised.value)


async def test_a_wrong_password_is_service_unavailable_and_not_shown(vhost: Vhost) -> None:
    url = vhost.url_for("nobody", "hunter2")
    async with a_publisher(url) as publisher:
        with pytest.raises(ServiceUnavailable) as raised:
            await publisher.publish([outgoing(a_station())])
    assert "hunter2" not in f"{raised.value!r} {raised.value}"


async def test_a_broker_that_answers_nothing_is_unavailable_in_time(
    vhost: Vhost, tcp_proxy: Callable[[str], TCPProxy]
) -> None:
    station = a_station("frozen")
    proxy = tcp_proxy(vhost.url)
    async with a_publisher(proxy.url(vhost.url), limits=QUICK) as publisher:
        await prepare(publisher, station)
        await publisher.publish([outgoing(station, 1)])
        proxy.freeze()

        with pytest.raises(ServiceUnavailable):
            await publisher.publish([outgoing(station, 2)])

        proxy.thaw()
        assert await publisher.publish([outgoing(station, 3)]) == [Published.CONFIRMED]


async def test_no_message_id_is_published_twice_over_cut_connections(
    vhost: Vhost, tcp_proxy: Callable[[str], TCPProxy]
) -> None:
    """What was confirmed is there exactly once; what was not may be there, and never more than once."""
    station = a_station("cut")
    proxy = tcp_proxy(vhost.url)
    confirmed: list[str] = []
    failures = 0

    async def send(publisher: BrokerPublisher, numbers: Iterable[int]) -> None:
        nonlocal failures
        batch = [outgoing(station, number) for number in numbers]
        try:
            results: Sequence[Published] = await publisher.publish(batch)
        except ServiceUnavailable:
            failures += 1
        else:
            confirmed.extend(
                one.message_id
                for one, result in zip(batch, results, strict=True)
                if result is Published.CONFIRMED
            )

    async with a_publisher(proxy.url(vhost.url), limits=QUICK) as publisher, wiretap(vhost.url) as tap:
        await prepare(publisher, station)
        for turn in range(20):
            start = turn * 100
            under_way = asyncio.gather(
                send(publisher, range(start, start + 50)), send(publisher, range(start + 50, start + 100))
            )
            if turn % 4 == 1:
                await asyncio.sleep(0)
                await asyncio.to_thread(proxy.cut)
            await under_way
        found = Counter(
            message.header.properties.message_id for message in await tap.drain(queues(station).inbox)
        )

    assert failures
    assert {1} == set(found.values())
    assert set(confirmed) <= set(found)
    assert len(confirmed) == len(set(confirmed))


async def test_a_killed_broker_is_unavailable_and_then_serves_again(rabbitmq_node: RabbitMQNode) -> None:
    """After SIGKILL and restart everything confirmed is still there, and the publisher goes on by itself."""
    station = a_station("killed")
    url = rabbitmq_node.broker.url()
    async with a_publisher(url, limits=QUICK) as publisher:
        await prepare(publisher, station)
        assert (
            await publisher.publish([outgoing(station, n) for n in range(10)]) == [Published.CONFIRMED] * 10
        )
        await asyncio.to_thread(rabbitmq_node.await_queue_on_disk, queues(station).inbox)
        await asyncio.to_thread(rabbitmq_node.kill)

        with pytest.raises(ServiceUnavailable):
            await publisher.publish([outgoing(station, 10)])
        await asyncio.to_thread(rabbitmq_node.start)
        assert await publisher.publish([outgoing(station, 11)]) == [Published.CONFIRMED]

    async with wiretap(url) as tap:
        found = [one.header.properties.message_id for one in await tap.drain(queues(station).inbox)]
    assert {f"killed-message-{n}" for n in [*range(10), 11]} <= set(found)
    assert len(found) == len(set(found))


async def test_one_queue_that_confirms_nothing_does_not_stop_the_others(rabbitmq_node: RabbitMQNode) -> None:
    """
    RabbitMQ 3.10 waits for a quorum queue without a leader, and everything behind on the channel waits with it.

    That costs everybody one timeout; from then on the silent station goes a way of its own, until it answers.
    """
    silent, well = a_station("silent"), a_station("well")
    # Long enough for a busy machine to open a channel and confirm a message; a byway is given up sooner.
    limits = replace(QUICK, timeout_seconds=6)
    async with a_publisher(rabbitmq_node.broker.url(), limits=limits) as publisher:
        await prepare(publisher, silent, well)
        # The channel is there: what times out is the queue, and nothing before it.
        assert await publisher.publish([outgoing(well, 100)]) == [Published.CONFIRMED]
        await asyncio.to_thread(silence_queue, rabbitmq_node, queues(silent).inbox)
        with pytest.raises(ServiceUnavailable):
            await publisher.publish([outgoing(silent, 1), outgoing(well, 1)])
        assert list(publisher._byways) == [silent.id]

        stuck = asyncio.create_task(publisher.publish([outgoing(silent, 2), outgoing(well, 2)]))
        results: list[Published] = []
        while not stuck.done():
            results += await publisher.publish([outgoing(well, 3 + len(results))])
            await asyncio.wait({stuck}, timeout=0.05)
        assert await stuck == [Published.REFUSED, Published.CONFIRMED]
        assert set(results) == {Published.CONFIRMED}

        await asyncio.to_thread(wake_queue, rabbitmq_node, queues(silent).inbox)
        number = 10
        while await publisher.publish([outgoing(silent, number)]) != [Published.CONFIRMED]:
            number += 1
        assert not publisher._byways
