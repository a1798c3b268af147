"""The station's client over AMQP, with a real RabbitMQ: the whole contract, and what is AMQP's own."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from adapters import inbox as inbox_module
from adapters.errors import NotAllowed, NotAnswered, NotPossible
from adapters.over_amqp import OverAMQP
from axis.broker.wire import INTAKE_ACK, station_queues
from axis.core.events import EventKind
from axis.core.exchange import Ask, Outcome
from axis.core.model import DeliveryState, Lane, SubmissionState
from tests.adapters.contract import StationContract, first, package, until
from tests.adapters.worlds import AMQPWorld, amqp_world
from tests.services.proxy import TCPProxy
from tests.services.rabbitmq import RabbitMQNode, Vhost


@pytest.fixture(name="world")
async def _world(
    tmp_path: Path, vhost: Vhost, tcp_proxy: Callable[[str], TCPProxy], request: pytest.FixtureRequest
) -> AsyncIterator[AMQPWorld]:
    name = "t" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]
    async with amqp_world(tmp_path / "axis", vhost, tcp_proxy, name=name) as world:
        yield world


class TestContract(StationContract):
    """Everything a station may rely on."""


# --- withdrawals --------------------------------------------------------------------------------------------------


async def test_a_withdrawal_of_what_the_caller_has_is_answered_with_fetched(world: AMQPWorld) -> None:
    """The caller sees that it was taken back; the axis hears that it came too late."""
    document = await world.offer(package(1))

    async with world.connect() as station, station.receive() as inbox:
        found = await first(inbox)
        await world.recall(document)
        later = await world.offer(package(2))
        assert (await first(inbox)).key == later
        await until(lambda: world.outcomes(document) == [Outcome.FETCHED, Outcome.FETCHED])

    assert found.is_withdrawn


async def test_a_withdrawal_that_overtakes_its_document_is_remembered(
    world: AMQPWorld, tmp_path: Path
) -> None:
    """The notice is read by one process, the document comes to the next one: it is not handed out."""
    document = await world.offer(package(1))
    await world.recall(document)

    async with world.connect(state=tmp_path) as station:
        memory = station._open_one().memory
        async with station.receive() as inbox:
            waiting = asyncio.ensure_future(anext(inbox))
            await until(lambda: memory.is_withdrawn(world.offered[document]))
            waiting.cancel()
            await asyncio.wait({waiting})
    await world.door.hand_over(world.offered[document])
    async with world.connect(state=tmp_path) as station, station.receive() as inbox:
        later = await world.offer(package(2))
        found = await first(inbox)

    assert later == found.key
    await until(lambda: world.states(document) == [DeliveryState.WITHDRAWN])


async def test_what_was_recalled_before_its_bytes_were_asked_for_is_not_handed_out(world: AMQPWorld) -> None:
    """Too large for its message and without HTTP: the axis says so before its notice comes, and the caller goes on."""
    document = await world.offer(package(1, attached=1024 * 1024))
    await until(lambda: world.states(document) == [DeliveryState.HANDED_OVER])
    world.axis.recall(world.offered[document])
    later = await world.offer(package(2))

    async with world.connect() as station, station.receive() as inbox:
        assert (await first(inbox)).key == later
        await until(lambda: world.outcomes(document) == [Outcome.WITHDRAWN])


# --- messages that are wrong --------------------------------------------------------------------------------------


@pytest.mark.parametrize("queue", ["inbox", "urgent", "receipts"])
async def test_a_message_nobody_can_read_is_buried_and_the_others_come(world: AMQPWorld, queue: str) -> None:
    """Wrong type, no headers, no JSON, wrong members: each lies among the dead letters, and nothing stops."""
    letters = [
        (None, b"nothing"),
        ("consignment", b"no headers"),
        ("withdraw", b"{}"),
        ("withdraw", b"\xff"),
        ("receipt", b"[]"),
        ("receipt", b'{"state": 5}'),
        ("event", b'{"index": "x", "record": ""}'),
        ("reply", b"{" * 5_000),
        ("strange", b"{}"),
    ]
    for kind, body in letters:
        await world.door.drop(world.credentials.station, queue, kind=kind, body=body)
    document = await world.offer(package(), lane=Lane.URGENT if queue == "urgent" else Lane.NORMAL)

    async with world.connect() as station, station.receive() as inbox:
        found = await first(inbox)
        answer = await station.submit(package())

    assert document == found.key
    assert SubmissionState.ACCEPTED is answer.state
    buried: list[bytes] = []
    async with asyncio.timeout(20):
        while len(buried) < len(letters):
            buried += await world.door.dead()
    assert [body for _, body in letters] == buried


async def test_events_that_come_twice_or_out_of_order_are_read_once(world: AMQPWorld) -> None:
    """What was pushed again after a failure is recognised by its number in the log."""
    world.door.is_paused = True
    for _ in range(4):
        await world.tell(EventKind.DELIVERY_FETCHED)
    station_id = world.credentials.station
    numbers = [one.index for one in world.axis.told(station_id)]
    for position in (0, 2, 1, 2, 3, 0, 3):
        await world.door.push(station_id, numbers[position])

    async with world.connect() as station, station.events() as events:
        found = [(await first(events)).index for _ in range(4)]
        await world.tell(EventKind.DOCUMENT_VALUED)
        last = world.axis.told(station_id)[-1].index
        await world.door.push(station_id, last)
        found.append((await first(events)).index)

    assert [numbers[0], numbers[2], numbers[1], numbers[3], last] == found


async def test_answers_to_nobody_do_not_pile_up(world: AMQPWorld, tmp_path: Path) -> None:
    """Thousands of events nobody reads do not keep a submission from its answer."""
    for _ in range(400):
        await world.tell(EventKind.DELIVERY_FETCHED)

    async with world.connect(state=tmp_path) as station:
        answers = [await station.submit(package(number), within=30) for number in range(5)]
        async with station.events() as events:
            found = [(await first(events)).record for _ in range(400)]

    assert {SubmissionState.ACCEPTED} == {one.state for one in answers}
    assert [one.record for one in world.axis.told(world.credentials.station)] == found


# --- without HTTP, and with ---------------------------------------------------------------------------------------


async def test_what_a_broker_cannot_do_is_said_clearly(world: AMQPWorld, tmp_path: Path) -> None:
    """Too large for a message, by digest, whoami, the log: each says that an HTTP address is missing."""
    large = tmp_path / "large.edxml"
    large.write_bytes(package(attached=7 * 1024 * 1024))

    async with world.connect() as station:
        for attempt in (
            station.submit(large),
            station.submit(package(), by_digest=True),
            station.whoami(),
            station.witness(),
            station.answer_to(message_id="x"),
        ):
            with pytest.raises(NotPossible, match="HTTP"):
                await attempt

    assert world.axis.taken == []


async def test_a_payload_by_digest_comes_over_the_broker_too(world: AMQPWorld) -> None:
    """A system that has only AMQP asks for what does not travel inside the message, up to 8 MiB."""
    body = package(attached=200_000)
    await world.offer(body)

    async with world.connect() as station, station.receive() as inbox:
        found = await first(inbox)
        taken = found.body

    assert body == taken
    assert world.axis.asked == [Ask.PAYLOAD]


async def test_queue_names_are_asked_for(world: AMQPWorld) -> None:
    """Without the secret in the credentials, `whoami` tells them."""
    forgetful = replace(world.credentials, queue_secret=None)
    document = await world.offer(package())

    async with world.connect_with_http(credentials=forgetful) as station, station.receive() as inbox:
        found = await first(inbox)
    async with world.connect(credentials=forgetful) as station:
        with pytest.raises(NotPossible, match="secret"):
            await anext(station.receive())

    assert document == found.key


# --- the broker ---------------------------------------------------------------------------------------------------


async def test_a_message_as_somebody_else_is_refused_by_the_broker(world: AMQPWorld) -> None:
    """The broker compares `user_id` with who is logged in: another station's key does not open its name."""
    _, key, _ = await world.door.add_station("other" + world.credentials.station)
    wrong = replace(world.credentials, key=key)

    async with world.connect(credentials=wrong) as station:
        with pytest.raises(NotAllowed):
            await station.submit(package(), within=10)

    assert world.axis.taken == []


async def test_a_full_intake_is_waited_for(world: AMQPWorld) -> None:
    """The broker nacks while the queue is full; the submission goes in as soon as there is room, once."""
    await world.door.stop()
    await world.door.limit_intake(1)

    async with world.connect() as station:

        async def fill() -> None:
            for number in range(100):
                await station.submit(package(number), wait=False, within=1)

        with pytest.raises(NotAnswered, match="takes nothing"):
            await fill()
        sending = asyncio.ensure_future(station.submit(package(), message_id="patient"))
        with pytest.raises(NotAnswered, match="takes nothing"):
            await station.submit(package(), wait=False, within=2)
        assert not sending.done()
        await world.door.limit_intake(None)
        await world.door.open()
        async with asyncio.timeout(30):
            answer = await sending

    assert SubmissionState.ACCEPTED is answer.state
    assert world.submissions("patient") == 1


async def test_a_lost_receipt_is_asked_for_by_sending_again(world: AMQPWorld) -> None:
    """Confirmed and never answered: after a while the same message goes out again, and counts once."""
    world.axis.forget_answers = 1

    async with world.connect(trusted=world.trusted) as station:
        answer = await station.submit(package(), message_id="lost", within=30)

    assert SubmissionState.ACCEPTED is answer.state
    assert world.submissions("lost") == 1
    assert len(world.axis.taken) == 2


async def test_a_confirmed_submission_without_answer_says_so(world: AMQPWorld) -> None:
    """The axis is silent: the caller learns that the document is safe and only the answer is missing."""
    world.axis.speaks.clear()

    async with world.connect() as station:
        with pytest.raises(NotAnswered) as silence:
            await station.submit(package(), message_id="silent", within=2)
        world.axis.speaks.set()
        answer = await station.submit(package(), message_id="silent")

    assert silence.value.handed_over
    assert SubmissionState.ACCEPTED is answer.state
    assert world.submissions("silent") == 1


async def test_one_message_id_is_under_way_once(world: AMQPWorld) -> None:
    """Two calls with the same id at the same time: the second is refused, as their confirms could be mixed up."""
    async with world.connect() as station:
        sending = asyncio.ensure_future(station.submit(package(), message_id="twin"))
        await until(lambda: "twin" in station._open_one().line._answers)  # type: ignore[attr-defined]
        with pytest.raises(NotPossible, match="already"):
            await station.submit(package(), message_id="twin")
        await sending


async def test_weeks_of_broken_connections_leave_nothing_behind(world: AMQPWorld) -> None:
    """Forty cuts later there are as many tasks, channels and letters waited for as after the first."""

    async def exchange(number: int) -> None:
        document = await world.offer(package(number))
        found = await first(inbox)
        assert document == found.key
        await found.done()
        await station.submit(package(number))

    def under_way() -> tuple[int, ...]:
        line = station._open_one().line
        assert isinstance(line, OverAMQP)
        return (len(line._answers), len(line._replies), len(line._link._farewells), len(inbox._in_hand))

    async with world.connect() as station, station.receive() as inbox:
        for number in range(5):
            await exchange(number)
            world.network.cut()
        await exchange(5)
        await until(lambda: under_way() == (0, 0, 0, 0))
        tasks = len(asyncio.all_tasks())
        for number in range(40):
            world.network.cut()
            await exchange(10 + number)
        await until(lambda: under_way() == (0, 0, 0, 0))
        # A cut connection of the test's own broker door or proxy may end a moment later.
        await until(lambda: len(asyncio.all_tasks()) <= tasks + 1)
    assert not [task for task in asyncio.all_tasks() if "adapters" in repr(task.get_coro())]


# --- a broker that dies -------------------------------------------------------------------------------------------


async def test_a_broker_that_is_killed_and_comes_back_loses_nothing(
    tmp_path: Path, rabbitmq_node: RabbitMQNode, tcp_proxy: Callable[[str], TCPProxy]
) -> None:
    """SIGKILL between hand-out and `done`: the same station object goes on by itself afterwards."""
    vhost = rabbitmq_node.broker.make_vhost()
    async with amqp_world(tmp_path / "axis", vhost, tcp_proxy, name="survivor") as world:
        documents = [await world.offer(package(number)) for number in range(6)]
        async with world.connect(state=tmp_path / "state") as station, station.receive() as inbox:
            found = [await first(inbox) for _ in range(3)]
            queues = station_queues(
                station=world.credentials.station, secret=world.credentials.queue_secret or ""
            )
            for queue in (queues.inbox, INTAKE_ACK):
                await asyncio.to_thread(rabbitmq_node.await_queue_on_disk, queue)
            await asyncio.to_thread(rabbitmq_node.kill)
            ending = [asyncio.ensure_future(one.done()) for one in found]
            await asyncio.to_thread(rabbitmq_node.start)
            await world.door.reopen()
            async with asyncio.timeout(60):
                await asyncio.gather(*ending)
                rest = []
                for _ in range(3):
                    rest.append(await anext(inbox))
                    await rest[-1].done()
            await until(
                lambda: {DeliveryState.ACKNOWLEDGED} == {world.states(one)[0] for one in documents},
                within_s=30,
            )

    assert sorted(documents) == sorted(one.key for one in (*found, *rest))


async def test_a_payload_out_of_reach_does_not_hold_up_the_others(
    world: AMQPWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP is away, the broker is not: what came inside its message is handed out, the other one later."""
    monkeypatch.setattr(inbox_module, "_FETCHES", 2)
    by_digest = await world.offer(package(1, attached=200_000))
    world.web.refuse()

    async with world.connect_with_http() as station, station.receive() as inbox:
        waiting = asyncio.ensure_future(anext(inbox))
        inside = await world.offer(package(2))
        async with asyncio.timeout(20):
            found = await waiting
        await found.done()
        world.web.accept()
        later = await first(inbox, within_s=30)
        await later.done()
        await until(lambda: world.states(by_digest) == [DeliveryState.ACKNOWLEDGED])

    assert (inside, by_digest) == (found.key, later.key)
    assert Outcome.FAIL not in world.outcomes(by_digest)
