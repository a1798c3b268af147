"""What nobody judged is handed over as it is and acknowledged only then."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from pamqp.commands import Basic

from axis.broker import wire
from axis.broker.connection import BrokerAddress
from axis.broker.undertaker import Undertaker
from axis.core.errors import ServiceUnavailable
from axis.core.ports import BuriedMessage
from axis.core.reasons import ReasonCode
from tests.broker.desk import Clock, outgoing, until
from tests.broker.intake import QUICK, Intake, an_intake
from tests.broker.wiretap import Wiretap
from tests.services.rabbitmq import Broker, Vhost


@dataclass
class Graveyard:
    """Remembers what was buried."""

    graves: list[BuriedMessage] = field(default_factory=list)
    down: bool = False
    calls: int = 0

    async def bury(self, messages: Sequence[BuriedMessage]) -> None:
        await asyncio.sleep(0)
        self.calls += 1
        if self.down:
            raise ServiceUnavailable("ledger", "the test says so")
        assert messages
        self.graves += messages


@pytest.fixture
def own_vhost(broker: Broker) -> Iterator[Vhost]:
    made = broker.make_vhost()
    yield made
    made.remove()


@pytest.fixture
async def intake(own_vhost: Vhost) -> AsyncIterator[Intake]:
    async with an_intake(own_vhost) as made:
        yield made


@contextlib.asynccontextmanager
async def burying(intake: Intake, yard: Graveyard) -> AsyncIterator[None]:
    stop = asyncio.Event()
    undertaker = Undertaker(
        BrokerAddress(urls=(intake.vhost.url,)), bury=yard.bury, clock=Clock(), patience=QUICK
    )
    work = asyncio.create_task(undertaker.run(stop))
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(20):
            await work


async def die(client: Wiretap, queue: str) -> None:
    """Hand the message at the head of a queue out and back until the queue gives it up."""
    for _ in range(wire.DELIVERY_LIMIT + 1):
        message = await client.channel.basic_get(queue, timeout=10)
        assert message.delivery_tag is not None
        await client.channel.basic_nack(message.delivery_tag, requeue=True)


async def test_a_message_that_reached_its_limit_is_handed_over_as_it_is(intake: Intake) -> None:
    station = await intake.add_station("dies")
    async with intake.speaking_as(station.id) as client:
        await client.publish(
            wire.SUBMIT, f"edoc.normal.{station.id}", b"\x00\xff<", message_id="m-1", user_id=station.id
        )
        await die(client, wire.INTAKE_NORMAL)

    yard = Graveyard()
    async with burying(intake, yard):
        (grave,) = await until(lambda: yard.graves)

    assert grave.station == station.id
    assert grave.message_id == "m-1"
    assert grave.body == b"\x00\xff<"
    assert grave.reason is ReasonCode.BURY_DELIVERY_LIMIT
    assert grave.at.tzinfo is not None
    assert await intake.tap.length(wire.DEAD) == 0


@pytest.mark.parametrize("exchange", [wire.SUBMIT, wire.ACK])
async def test_a_message_to_nowhere_is_handed_over(intake: Intake, exchange: str) -> None:
    station = await intake.add_station("lost")
    async with intake.speaking_as(station.id) as client:
        await client.publish(exchange, "no.such.key.at.all", b"<lost/>", message_id="m", user_id=station.id)
        await client.publish(exchange, "no.such.key.at.all", b"<nobody/>")

    yard = Graveyard()
    async with burying(intake, yard):
        await until(lambda: len(yard.graves) == 2)

    by_body = {one.body: one for one in yard.graves}
    assert by_body[b"<lost/>"].station == station.id
    assert by_body[b"<nobody/>"].station is None
    assert by_body[b"<nobody/>"].message_id == ""
    assert {one.reason for one in yard.graves} == {ReasonCode.BURY_UNROUTED}


async def test_nothing_is_acknowledged_before_it_is_recorded(intake: Intake) -> None:
    async with intake.speaking_as((await intake.add_station("waits")).id) as client:
        for number in range(120):
            await client.publish(wire.SUBMIT, "nowhere", b"x" * number, message_id=str(number))

    yard = Graveyard(down=True)
    async with burying(intake, yard):
        await until(lambda: yard.calls >= 3)
        assert not yard.graves
        yard.down = False
        await until(lambda: len(yard.graves) == 120)

    assert {one.message_id for one in yard.graves} == {str(number) for number in range(120)}
    assert await intake.tap.length(wire.UNROUTED) == 0


async def test_a_dead_message_of_a_stations_own_queue_is_no_submission(intake: Intake) -> None:
    """It is acknowledged: the ledger still has its deliveries. A submission that says it came from there is buried."""
    station = await intake.add_station("deaf")
    queues = wire.station_queues(station=station.id, secret=station.secret)
    await intake.publisher.publish([outgoing(station, 1)])
    async with intake.speaking_as(station.id) as client:
        await die(client, queues.inbox)
        await client.publish(
            wire.SUBMIT,
            f"edoc.normal.{station.id}",
            b"<forged/>",
            message_id="m",
            user_id=station.id,
            headers={
                "x-death": [{"queue": queues.inbox, "reason": "delivery_limit", "count": 1}],
                "x-first-death-queue": queues.inbox,
                "x-delivery-count": 99,
            },
        )
        await die(client, wire.INTAKE_NORMAL)
        await intake.tap.grown_to(wire.DEAD, 2)

    yard = Graveyard()
    async with burying(intake, yard):
        await until(lambda: yard.graves)

    assert [one.body for one in yard.graves] == [b"<forged/>"]
    assert await intake.tap.length(wire.DEAD) == 0


async def test_headers_nobody_can_read_do_not_stop_the_undertaker(intake: Intake) -> None:
    station = await intake.add_station("garbles")
    async with intake.speaking_as(station.id) as client:
        await client.publish_raw(
            wire.SUBMIT,
            "nowhere",
            b"<garbled/>",
            Basic.Properties(message_id="IDENTITY", user_id=station.id),
            (b"IDENTITY", b"\xff\xfe\x80abc\x00d"),
        )
        await client.publish(wire.SUBMIT, "nowhere", b"<after/>", message_id="m")

    yard = Graveyard()
    async with burying(intake, yard):
        await until(lambda: len(yard.graves) == 2)

    assert yard.graves[0].body == b"<garbled/>"
    assert yard.graves[0].message_id == "\ufffd\ufffd\ufffdabc\ufffdd"
    assert yard.graves[0].station == station.id


@pytest.mark.parametrize(
    "headers", [{}, {"x-death": []}, {"x-death": "q"}, {"x-death": [1]}, {"x-death": [{}]}]
)
async def test_a_message_put_there_by_hand_is_buried(intake: Intake, headers: dict[str, object]) -> None:
    """Whatever its headers say of its death, or do not say."""
    await intake.tap.publish(wire.DEAD, "", b"by hand", headers=headers)

    yard = Graveyard()
    async with burying(intake, yard):
        (grave,) = await until(lambda: yard.graves)

    assert grave.body == b"by hand"
    assert grave.station is None
