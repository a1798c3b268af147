"""How a queue is served, in its parts: the floor, the appetite, the patience of one call."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence

import aiormq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axis.broker.connection import BrokerAddress, Link
from axis.broker.serving import (
    Arrival,
    Attempt,
    Floor,
    GaveUp,
    Patience,
    QueueLimits,
    QueueServer,
    _Appetite,
)
from axis.core.errors import ServiceUnavailable
from tests.broker.desk import Clock, until
from tests.broker.wiretap import wiretap
from tests.services.rabbitmq import Vhost

LIMITS = QueueLimits(
    batch=64, batch_bytes=1 << 24, linger_seconds=0, parallel=2, prefetch=128, prefetch_bytes=1 << 28
)


@given(sizes=st.lists(st.integers(0, 1 << 27), max_size=200))
def test_what_is_asked_for_is_at_least_one_and_at_most_the_limit(sizes: list[int]) -> None:
    appetite = _Appetite(LIMITS)

    for size in sizes:
        appetite.learn(size)

        assert 1 <= appetite.prefetch <= LIMITS.prefetch


@pytest.mark.parametrize(("size", "expected"), [(1_000, 128), (4 << 20, 64), (16 << 20, 16), (1 << 28, 1)])
def test_after_many_messages_of_a_size_so_many_are_asked_for_as_fit(size: int, expected: int) -> None:
    appetite = _Appetite(LIMITS)

    for _ in range(200):
        appetite.learn(size)

    assert abs(appetite.prefetch - expected) <= 1


def test_one_large_message_is_felt_at_once_and_forgotten_by_and_by() -> None:
    appetite = _Appetite(LIMITS)
    for _ in range(200):
        appetite.learn(1_000)

    appetite.learn(128 << 20)

    assert appetite.prefetch == 8
    for _ in range(100):
        appetite.learn(1_000)
    assert appetite.prefetch == 128


async def test_nobody_has_many_while_somebody_goes_one_by_one() -> None:
    """Eight queues that change their mind a thousand times."""
    floor = Floor()
    dice = random.Random(7)
    many = one_by_one = 0
    alone = 0

    async def queue() -> None:
        nonlocal many, one_by_one, alone
        for _ in range(100):
            if dice.random() < 0.5:
                async with floor.one_by_one():
                    one_by_one += 1
                    assert not many
                    for _ in range(dice.randrange(3)):
                        async with floor.turn:
                            alone += 1
                            assert alone == 1
                            assert not many
                            await asyncio.sleep(0)
                            alone -= 1
                    one_by_one -= 1
            else:
                async with floor.together():
                    many += 1
                    assert not one_by_one
                    await asyncio.sleep(0)
                    many -= 1

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(queue())
    assert not floor.clear.is_set()


async def test_who_has_many_is_told_to_make_way() -> None:
    floor = Floor()
    order: list[str] = []

    async def careful() -> None:
        async with floor.one_by_one():
            order.append("one by one")

    async with floor.together():
        task = asyncio.create_task(careful())
        await floor.clear.wait()
        order.append("leaves")
    await task

    assert order == ["leaves", "one by one"]


async def test_a_waiter_that_is_cancelled_leaves_the_floor_free() -> None:
    floor = Floor()
    async with floor.together():
        waiter = asyncio.create_task(_enter(floor))
        await floor.clear.wait()
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)

    async with asyncio.timeout(5), floor.together():
        assert not floor.clear.is_set()


async def _enter(floor: Floor) -> None:
    async with floor.one_by_one():
        raise AssertionError("it was not free")


async def test_a_call_is_tried_until_its_service_answers() -> None:
    attempt = Attempt(asyncio.Event(), longest_pause_seconds=0.01)
    tries = 0

    async def call() -> int:
        nonlocal tries
        tries += 1
        if tries < 5:
            raise ServiceUnavailable("ledger", "not yet")
        return tries

    assert await attempt.insist(call) == 5


async def test_a_call_nobody_waits_for_is_given_up_at_once() -> None:
    """Also from within a long pause."""
    over = asyncio.Event()
    attempt = Attempt(over, longest_pause_seconds=60)
    attempt._next = 60
    tries = 0

    async def call() -> None:
        nonlocal tries
        tries += 1
        raise ServiceUnavailable("ledger", "never")

    waiting = asyncio.create_task(attempt.insist(call))
    await asyncio.sleep(0)
    over.set()

    async with asyncio.timeout(5):
        with pytest.raises(GaveUp):
            await waiting
    with pytest.raises(GaveUp):
        await attempt.insist(call)
    assert tries == 1


async def test_other_errors_are_the_callers() -> None:
    async def call() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Attempt(asyncio.Event(), longest_pause_seconds=1).insist(call)


async def test_a_channel_the_broker_forgot_is_opened_anew(vhost: Vhost) -> None:
    """RabbitMQ 3.10 does not always say that a queue was deleted; nobody waits at an empty place for ever."""
    served: list[bytes] = []

    async def serve(arrivals: Sequence[Arrival], attempt: Attempt) -> Mapping[int, Exception]:
        served.extend(one.body for one in arrivals)
        return {}

    link = Link(BrokerAddress(urls=(vhost.url,)), name="forgotten")
    server = QueueServer(
        link,
        queue="forgotten",
        limits=LIMITS,
        patience=Patience(renew_seconds=0.2, drain_seconds=5),
        clock=Clock(),
        serve=serve,
        floor=Floor(),
    )
    stop = asyncio.Event()
    async with wiretap(vhost.url) as tap:
        await tap.channel.queue_declare("forgotten", durable=True, arguments={"x-queue-type": "quorum"})
        work = asyncio.create_task(server.run(stop))
        await tap.publish("", "forgotten", b"first", message_id="1")
        await until(lambda: served == [b"first"])

        def consuming() -> aiormq.Channel | None:
            channel = server._session._channel if server._session is not None else None
            return channel if channel is not None and channel.consumers else None

        channel = await until(consuming, what="it consumes")
        assert channel is not None
        for tag in list(channel.consumers):
            await channel.basic_cancel(tag)

        await tap.publish("", "forgotten", b"second", message_id="2")
        await until(lambda: served == [b"first", b"second"], what="it consumes again")
        stop.set()
        await work
    await link.close()
