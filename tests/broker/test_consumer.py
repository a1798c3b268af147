"""The way in: every message is answered, whatever it is and whatever happens; none takes its neighbours along."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace

import aiormq
import pytest
from pamqp.commands import Basic

from axis.broker import wire
from axis.broker.consumer import NORMAL, IntakeLimits
from axis.broker.publisher import PublishLimits
from axis.broker.serving import Patience
from axis.core.errors import Ambiguous, AxisError, NotAllowed, NotFound, Purged, ServiceUnavailable, Withdrawn
from axis.core.exchange import Ack, Ask, Outcome, StationMessage, dump, station_message_json
from axis.core.model import DeliveryId, Lane, StationId, StationState
from axis.core.ports import Outgoing, Published
from tests.broker.desk import Outbox, until
from tests.broker.intake import PASSWORD, QUICK, Intake, an_intake, receipts_of
from tests.broker.surgery import silence_queue
from tests.broker.wiretap import Wiretap
from tests.services.proxy import TCPProxy
from tests.services.rabbitmq import Broker, RabbitMQNode, Vhost


@pytest.fixture
def own_vhost(broker: Broker) -> Iterator[Vhost]:
    """A virtual host of this test alone: what one leaves in the intake queues must not reach the next."""
    made = broker.make_vhost()
    yield made
    made.remove()


@pytest.fixture
async def intake(own_vhost: Vhost) -> AsyncIterator[Intake]:
    async with an_intake(own_vhost) as made:
        yield made


async def submit(
    client: Wiretap,
    station: StationId,
    number: int = 1,
    *,
    body: bytes = b"<edXML/>",
    key: str = "edoc.normal",
    headers: dict[str, object] | None = None,
) -> None:
    await client.publish(
        wire.SUBMIT,
        f"{key}.{station}",
        body,
        message_id=f"m-{number}",
        user_id=station,
        content_type=wire.EDXML,
        headers=headers,
    )


async def is_empty(tap: Wiretap) -> bool:
    """Whether no intake queue has a ready message; with the consumer stopped: whether all were acknowledged."""
    return not any([await tap.length(queue) for queue in wire.INTAKES])


def correlation(messages: Sequence[aiormq.abc.DeliveredMessage]) -> list[str | None]:
    return [one.header.properties.correlation_id for one in messages]


# --- submissions --------------------------------------------------------------------------------------------------


async def test_every_submission_is_answered(intake: Intake) -> None:
    """Over all three queues, with the lane of its queue, under message ids that are all different."""
    station = await intake.add_station("so-y-te")
    async with intake.speaking_as(station.id) as client:
        for number in range(60):
            key = ("edoc.normal", "edoc.urgent", "status.normal")[number % 3]
            await submit(client, station.id, number, key=key)

    async with intake.consuming():
        await until(lambda: len(intake.desk.admitted) == 60, what="all are admitted")

    answers = await intake.tap.drain(receipts_of(station))
    assert sorted(correlation(answers), key=str) == sorted(f"m-{number}" for number in range(60))
    assert len({one.header.properties.message_id for one in answers}) == 60
    assert {one.header.properties.message_type for one in answers} == {wire.TYPE_RECEIPT}
    assert Counter(one.lane for one in intake.desk.admitted) == {Lane.NORMAL: 40, Lane.URGENT: 20}
    assert {one.station for one in intake.desk.admitted} == {station.id}
    assert await is_empty(intake.tap)


async def test_what_a_message_says_of_itself_is_handed_on(intake: Intake) -> None:
    station = await intake.add_station("tells")
    async with intake.speaking_as(station.id) as client:
        await client.publish(
            wire.SUBMIT,
            f"edoc.normal.{station.id}",
            b"f" * 64,
            message_id="by digest",
            user_id=station.id,
            content_type=wire.BY_DIGEST,
            headers={wire.H_DIGEST: "A" * 64},
        )

    async with intake.consuming():
        await until(lambda: intake.desk.admitted)

    (message,) = intake.desk.admitted
    assert message.by_digest
    assert message.declared_digest == "A" * 64
    assert message.body == b"f" * 64
    assert message.message_id == "by digest"


async def test_batches_are_bounded_in_count_and_bytes(intake: Intake) -> None:
    """And a single message larger than all the bytes of a batch goes alone."""
    station = await intake.add_station("batches")
    intake.be(normal=replace(NORMAL, batch=10, batch_bytes=4_000, linger_seconds=0.05, parallel=1))
    async with intake.speaking_as(station.id) as client:
        for number in range(100):
            size = 6_000 if number == 50 else 1_000 if number > 50 else 10
            await submit(client, station.id, number, body=b"<" * size)

    async with intake.consuming():
        await until(lambda: len(intake.desk.admitted) == 100)

    sizes = [[len(one.body) for one in batch if isinstance(one.body, bytes)] for batch in intake.desk.batches]
    assert max(len(batch) for batch in sizes) == 10
    assert all(sum(batch) <= 4_000 or batch == [6_000] for batch in sizes)


async def test_nothing_is_acknowledged_while_the_ledger_is_down(intake: Intake) -> None:
    """A consumer that is stopped then leaves everything in the queue; when the ledger is back all are answered."""
    station = await intake.add_station("patient")
    intake.be(patience=replace(QUICK, drain_seconds=0.3))
    async with intake.consuming():
        async with intake.speaking_as(station.id) as client:
            await submit(client, station.id, 0)
            await until(lambda: intake.desk.admitted)
            intake.desk.down = True
            for number in range(1, 21):
                await submit(client, station.id, number)
        await until(lambda: intake.desk.refused_calls >= 3, what="it is tried again and again")
    assert [one.message_id for one in intake.desk.admitted] == ["m-0"]
    await intake.tap.grown_to(wire.INTAKE_NORMAL, 20)

    async with intake.consuming():
        await until(lambda: intake.desk.refused_calls >= 6)
        intake.desk.down = False
        await until(lambda: len(intake.desk.admitted) == 21)

    assert len(await intake.tap.drain(receipts_of(station))) == 21
    assert await is_empty(intake.tap)


async def test_nothing_is_taken_before_the_ledger_answers(intake: Intake) -> None:
    """Every message handed out and given back counts against it, so an outage must not hand them out."""
    station = await intake.add_station("untouched")
    intake.desk.down = True
    async with intake.speaking_as(station.id) as client:
        await submit(client, station.id)

    async with intake.consuming():
        await until(lambda: intake.desk.refused_calls >= 8)

    message = await intake.tap.take(wire.INTAKE_NORMAL)
    assert message is not None
    assert not message.redelivered


async def test_nothing_is_acknowledged_before_its_receipt_is_published(intake: Intake) -> None:
    station = await intake.add_station("receipted")
    tries = 0

    async def fail() -> None:
        nonlocal tries
        tries += 1
        raise ServiceUnavailable("broker", "the test says so")

    intake.be(patience=replace(QUICK, drain_seconds=0.3))
    async with intake.speaking_as(station.id) as client:
        await submit(client, station.id)

    async with intake.consuming(publisher=Outbox(before=fail)):
        await until(lambda: tries >= 3)

    assert intake.desk.admitted
    await intake.tap.grown_to(wire.INTAKE_NORMAL, 1)


async def test_a_receipt_that_must_be_sent_again_has_a_new_message_id(intake: Intake) -> None:
    """The first may have arrived after all, and the client library mixes up answers to the same id."""
    station = await intake.add_station("anew")
    offered: list[str] = []

    class Flaky(Outbox):
        async def publish(self, outgoing: Sequence[Outgoing]) -> Sequence[Published]:
            offered.extend(one.message_id for one in outgoing)
            if len(offered) == 1:
                raise ServiceUnavailable("broker", "the test says so")
            if len(offered) == 2:
                return [Published.REFUSED]
            return await super().publish(outgoing)

    outbox = Flaky()
    async with intake.speaking_as(station.id) as client:
        await submit(client, station.id)
    async with intake.consuming(publisher=outbox):
        await until(lambda: outbox.sent)

    assert len(offered) == 3
    assert len(set(offered)) == 3


async def test_a_missing_receipts_queue_is_declared_and_used(intake: Intake) -> None:
    station = await intake.add_station("new-here", with_queues=False)
    async with intake.speaking_as(station.id) as client:
        await submit(client, station.id, 1)
        await submit(client, station.id, 2)

    async with intake.consuming():
        await until(lambda: len(intake.desk.admitted) == 2)

    assert sorted(correlation(await intake.tap.drain(receipts_of(station))), key=str) == ["m-1", "m-2"]


async def test_what_calls_itself_something_else_is_handed_on_with_what_is_wrong(intake: Intake) -> None:
    """Another content type, another version of the contract: refused with that reason, and the next one passes."""
    station = await intake.add_station("foreign")
    async with intake.speaking_as(station.id) as client:
        for number, (kind, version) in enumerate(
            [("text/html", None), (wire.EDXML, "2"), (wire.EDXML, "1"), ("text/xml; charset=utf-8", 1)]
        ):
            await client.publish(
                wire.SUBMIT,
                f"edoc.normal.{station.id}",
                message_id=f"m-{number}",
                user_id=station.id,
                content_type=kind,
                headers=None if version is None else {wire.H_VERSION: version},
            )

    async with intake.consuming():
        await until(lambda: len(intake.desk.admitted) == 4)

    problems = {one.message_id: one.envelope_problem for one in intake.desk.admitted}
    assert problems == {
        "m-0": "content type 'text/html'",
        "m-1": "x-axis-version '2'",
        "m-2": "",
        "m-3": "",
    }


async def test_a_suspended_station_is_recorded_and_not_answered(intake: Intake) -> None:
    station = await intake.add_station("suspended")
    intake.desk.stations[station.id] = replace(station, state=StationState.SUSPENDED)
    async with intake.speaking_as(station.id) as client:
        await submit(client, station.id)

    async with intake.consuming():
        await until(lambda: intake.desk.admitted)

    assert await intake.tap.length(receipts_of(station)) == 0
    assert await is_empty(intake.tap)


async def test_one_queue_that_takes_no_answers_does_not_stop_the_intake(rabbitmq_node: RabbitMQNode) -> None:
    """Its answers stay in the ledger, and everybody else's arrive."""
    vhost = Vhost(broker=rabbitmq_node.broker, name="/")
    limits = PublishLimits(timeout_seconds=2, doubtful_seconds=0.2)
    async with an_intake(vhost, publish_limits=limits) as intake:
        silent, well = await intake.add_station("silent"), await intake.add_station("well")
        await asyncio.to_thread(silence_queue, rabbitmq_node, receipts_of(silent))
        intake.be(answer_seconds=0.5, deaf_seconds=60)
        async with intake.speaking_as(silent.id) as one, intake.speaking_as(well.id) as other:
            for number in range(40):
                await submit(one, silent.id, number)
                await submit(other, well.id, number)

        async with intake.consuming():
            await until(lambda: len(intake.desk.admitted) >= 80)

        assert await is_empty(intake.tap)
        answered = set(correlation(await intake.tap.drain(receipts_of(well))))
        assert answered == {f"m-{number}" for number in range(40)}


# --- who is speaking ----------------------------------------------------------------------------------------------


async def test_without_user_id_there_is_no_station(intake: Intake) -> None:
    """Neither the routing key nor a header makes one; the message is recorded as nobody's and not answered."""
    station = await intake.add_station("absent")
    async with intake.speaking_as(station.id) as client:
        await client.publish(
            wire.SUBMIT,
            f"edoc.normal.{station.id}",
            message_id="m-1",
            headers={"user_id": station.id, "x-axis-station": station.id},
        )

    async with intake.consuming():
        await until(lambda: intake.desk.admitted)

    assert [one.station for one in intake.desk.admitted] == [None]
    assert await intake.tap.length(receipts_of(station)) == 0
    assert await is_empty(intake.tap)


async def test_a_forged_user_id_does_not_get_past_the_broker(intake: Intake) -> None:
    honest, thief = await intake.add_station("honest"), await intake.add_station("thief")
    async with intake.speaking_as(thief.id) as client:
        with pytest.raises(aiormq.ChannelPreconditionFailed, match="user_id"):
            await submit(client, honest.id)

    assert await is_empty(intake.tap)


async def test_the_key_of_another_station_does_not_make_one_that_station(intake: Intake) -> None:
    """Without rights that forbid it (they are tested elsewhere) the message still belongs to whoever sent it."""
    victim, thief = await intake.add_station("victim"), await intake.add_station("thief-two")
    async with intake.speaking_as(thief.id) as client:
        await client.publish(
            wire.SUBMIT,
            f"edoc.normal.{victim.id}",
            message_id="m-1",
            user_id=thief.id,
            headers={"CC": [f"edoc.urgent.{victim.id}"]},
        )

    async with intake.consuming():
        await until(lambda: len(intake.desk.admitted) == 2)

    assert {one.station for one in intake.desk.admitted} == {thief.id}


async def test_a_user_whose_name_is_no_station_id_is_nobody(intake: Intake) -> None:
    name = "Ông Trùm"
    await asyncio.to_thread(intake.vhost.add_user, name, PASSWORD, write=".*")
    async with intake.speaking_as(StationId(name)) as client:
        await client.publish(wire.SUBMIT, "edoc.normal.x", message_id="m", user_id=name)

    async with intake.consuming():
        await until(lambda: intake.desk.admitted)

    assert [one.station for one in intake.desk.admitted] == [None]


# --- hostile messages ---------------------------------------------------------------------------------------------


async def test_properties_nobody_can_read_neither_stop_the_queue_nor_their_neighbours(intake: Intake) -> None:
    """Not UTF-8, a zero, a table nested three hundred deep, a time nobody can say, a digest that is a list, no id."""
    station = await intake.add_station("hostile")
    table: dict[str, object] = {}
    for _ in range(300):
        table = {"a": table}
    async with intake.speaking_as(station.id) as client:
        await submit(client, station.id, 1)
        await client.publish_raw(
            wire.SUBMIT,
            f"edoc.normal.{station.id}",
            b"<not utf-8/>",
            Basic.Properties(message_id="IDENTITY", user_id=station.id),
            (b"IDENTITY", b"\xff\xfe\x80abcd\x00"),
        )
        await client.publish_raw(
            wire.SUBMIT,
            f"edoc.normal.{station.id}",
            b"<late/>",
            Basic.Properties(message_id="late", user_id=station.id, headers={"when": "EIGHTEEN"}),
            # A time stamp in the year 292277026596, and an empty value to fill up.
            (b"S\x00\x00\x00\x08EIGHTEEN", b"T\x7f" + b"\xff" * 7 + b"\x02abV"),
        )
        await client.publish(
            wire.SUBMIT,
            f"edoc.normal.{station.id}",
            b"<deep/>",
            message_id="deep",
            user_id=station.id,
            headers=table,
        )
        await client.publish(wire.SUBMIT, f"edoc.normal.{station.id}", b"<no id/>", user_id=station.id)
        await submit(client, station.id, 2, headers={wire.H_DIGEST: [1, 2, 3]})
        await submit(client, station.id, 3)

    async with intake.consuming():
        await until(lambda: len(intake.desk.admitted) == 7)

    by_body = {one.body: one.message_id for one in intake.desk.admitted}
    assert by_body[b"<not utf-8/>"] == "\ufffd\ufffd\ufffdabcd\ufffd"
    assert by_body[b"<late/>"] == "late"
    assert by_body[b"<deep/>"] == "deep"
    assert by_body[b"<no id/>"] == ""
    assert {"m-1", "m-2", "m-3"} <= set(correlation(await intake.tap.drain(receipts_of(station))))
    assert await is_empty(intake.tap)


async def test_a_poisonous_message_is_buried_and_its_neighbours_pass(intake: Intake) -> None:
    """It makes admission fail as a bug would: it is tried alone, up to its limit, and ends in axis.dead."""
    station = await intake.add_station("poisoned")
    intake.desk.poison = b"<poison/>"
    async with intake.speaking_as(station.id) as client:
        for number in range(40):
            await submit(client, station.id, number, body=b"<poison/>" if number == 7 else b"<edXML/>")

    async with intake.consuming():
        dead = await intake.tap.expect(wire.DEAD)
        await until(lambda: len(intake.desk.admitted) == 39)

    assert dead.body == b"<poison/>"
    assert dead.header.properties.message_id == "m-7"
    assert dead.header.properties.user_id == station.id
    answered = correlation(await intake.tap.drain(receipts_of(station)))
    assert sorted(answered, key=str) == sorted(f"m-{number}" for number in range(40) if number != 7)
    assert await is_empty(intake.tap)


async def test_suspects_are_served_alone_and_others_together(intake: Intake) -> None:
    """What came back twice is never in a batch, and nothing else is under way meanwhile."""
    station = await intake.add_station("suspects")
    async with intake.speaking_as(station.id) as client:
        for number in range(10):
            await submit(client, station.id, number, body=b"<suspect/>")
            await submit(client, station.id, number, body=b"<suspect/>", key="edoc.urgent")
        for queue in (wire.INTAKE_NORMAL, wire.INTAKE_URGENT):
            for _ in range(2):
                tags = [(await client.channel.basic_get(queue)).delivery_tag for _ in range(10)]
                for tag in tags:
                    assert tag is not None
                    await client.channel.basic_nack(tag, requeue=True)
        for number in range(10, 60):
            await submit(client, station.id, number)
            await submit(client, station.id, number, key="edoc.urgent")

    alone: list[bool] = []
    admit = intake.desk.admit

    async def watch(messages: Sequence[object]) -> Sequence[object]:
        is_suspect = any(getattr(one, "body", b"") == b"<suspect/>" for one in messages)
        if is_suspect:
            alone.append(len(messages) == 1 and intake.desk.under_way == 0)
        return await admit(messages)  # type: ignore[arg-type]

    intake.desk.admit = watch  # type: ignore[method-assign, assignment]
    async with intake.consuming():
        await until(lambda: len(intake.desk.admitted) == 120)

    assert alone == [True] * 20
    assert max(len(batch) for batch in intake.desk.batches) > 1


# --- connections that break ---------------------------------------------------------------------------------------


async def test_over_cut_connections_everything_is_answered(
    intake: Intake, tcp_proxy: Callable[[str], TCPProxy]
) -> None:
    station = await intake.add_station("cut-off")
    proxy = tcp_proxy(intake.vhost.url)
    async with intake.speaking_as(station.id) as client, intake.consuming(url=proxy.url(intake.vhost.url)):
        for number in range(300):
            await submit(client, station.id, number)
            if number % 60 == 59:
                await until(lambda: intake.desk.batches)
                await asyncio.to_thread(proxy.cut)
        await until(lambda: len({one.message_id for one in intake.desk.admitted}) == 300, within_s=60)
        answered: set[str | None] = set()
        while len(answered) < 300:
            answered |= set(correlation([await intake.tap.expect(receipts_of(station))]))

    assert await is_empty(intake.tap)
    assert await intake.tap.length(wire.DEAD) == 0


async def test_a_broken_connection_ends_the_wait_for_the_ledger(
    intake: Intake, tcp_proxy: Callable[[str], TCPProxy]
) -> None:
    """What cannot be acknowledged any more is not recorded a second time by the old session."""
    station = await intake.add_station("both-gone")
    proxy = tcp_proxy(intake.vhost.url)
    async with intake.speaking_as(station.id) as client, intake.consuming(url=proxy.url(intake.vhost.url)):
        await submit(client, station.id, 0)
        await until(lambda: intake.desk.admitted)
        intake.desk.down = True
        await submit(client, station.id, 1)
        await until(lambda: intake.desk.refused_calls >= 2)
        await asyncio.to_thread(proxy.cut)
        calls = intake.desk.refused_calls
        await until(lambda: intake.desk.refused_calls > calls + 5)
        intake.desk.down = False
        await until(lambda: len(intake.desk.admitted) >= 2)

    assert [one.message_id for one in intake.desk.admitted] == ["m-0", "m-1"]


async def test_a_queue_that_appears_later_is_served(own_vhost: Vhost) -> None:
    """Consumers may start before anybody declared the topology, or while an operator mends it."""
    async with an_intake(own_vhost) as intake:
        station = await intake.add_station("early")
        await intake.tap.channel.queue_delete(wire.INTAKE_URGENT)
        async with intake.speaking_as(station.id) as client, intake.consuming():
            await submit(client, station.id, 1)
            await until(lambda: len(intake.desk.admitted) == 1, what="the other queues are served")

            await intake.publisher.declare_hub()
            await submit(client, station.id, 2, key="edoc.urgent")
            await until(lambda: len(intake.desk.admitted) == 2)


async def test_after_sigkill_of_the_broker_it_goes_on(rabbitmq_node: RabbitMQNode) -> None:
    vhost = Vhost(broker=rabbitmq_node.broker, name="/")
    async with an_intake(vhost) as intake:
        station = await intake.add_station("survivor")
        await asyncio.to_thread(rabbitmq_node.await_queue_on_disk, receipts_of(station))
        async with intake.consuming():
            async with intake.speaking_as(station.id) as client:
                intake.desk.down = True
                for number in range(50):
                    await submit(client, station.id, number)
            await asyncio.to_thread(rabbitmq_node.kill)
            await asyncio.to_thread(rabbitmq_node.start)
            intake.desk.down = False
            await until(lambda: len({one.message_id for one in intake.desk.admitted}) == 50, within_s=60)
            async with intake.speaking_as(station.id) as client:
                answered: set[str | None] = set()
                while len(answered) < 50:
                    answered |= set(correlation([await client.expect(receipts_of(station))]))
                assert await client.length(wire.DEAD) == 0


# --- stopping -----------------------------------------------------------------------------------------------------


async def test_on_stop_what_was_taken_is_finished(intake: Intake) -> None:
    station = await intake.add_station("drained")
    intake.desk.gate = asyncio.Event()
    async with intake.speaking_as(station.id) as client, intake.consuming() as stop:
        for number in range(5):
            await submit(client, station.id, number)
        await until(lambda: intake.desk.under_way)

        stop()
        intake.desk.gate.set()

    async with intake.consuming():
        await until(lambda: len(intake.desk.admitted) >= 5)
    assert await is_empty(intake.tap)
    assert sorted(one.message_id for one in intake.desk.admitted) == [f"m-{number}" for number in range(5)]
    assert len(await intake.tap.drain(receipts_of(station))) == 5


async def test_on_stop_nobody_waits_longer_than_the_time_for_draining(intake: Intake) -> None:
    """What hangs is broken off, not acknowledged, and handed out again."""
    station = await intake.add_station("hanging")
    intake.be(patience=replace(QUICK, drain_seconds=0.5))
    intake.desk.gate = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with intake.speaking_as(station.id) as client, intake.consuming() as stop:
        await submit(client, station.id)
        await until(lambda: intake.desk.under_way)
        stop()
        began = loop.time()

    assert loop.time() - began < 5
    assert not intake.desk.admitted
    await intake.tap.grown_to(wire.INTAKE_NORMAL, 1)


# --- what stations say --------------------------------------------------------------------------------------------


async def say(client: Wiretap, station: StationId, number: int, message: StationMessage | bytes) -> None:
    body = message if isinstance(message, bytes) else dump(station_message_json(message))
    await client.publish(
        wire.ACK, station, body, message_id=f"s-{number}", user_id=station, content_type=wire.JSON_TYPE
    )


def acks(*deliveries: str, outcome: Outcome = Outcome.DONE) -> StationMessage:
    return StationMessage(acks=tuple(Ack(delivery=DeliveryId(one), outcome=outcome) for one in deliveries))


async def test_statements_about_a_delivery_are_recorded_in_their_order(intake: Intake) -> None:
    """Fetched before done, for each of twenty deliveries, although many are under way at a time."""
    station = await intake.add_station("talks")
    async with intake.speaking_as(station.id) as client:
        for number in range(20):
            await say(client, station.id, number, acks(f"d-{number}", outcome=Outcome.FETCHED))
        for number in range(20):
            await say(client, station.id, 100 + number, acks(f"d-{number}", f"d-{(number + 1) % 20}"))
        for number in range(20):
            await say(client, station.id, 200 + number, acks(f"d-{number}", outcome=Outcome.FAIL))

    async with intake.consuming():
        await until(lambda: len(intake.desk.said) == 60)

    assert await is_empty(intake.tap)
    for number in range(20):
        heard = [
            one.message_id
            for one in intake.desk.said
            if DeliveryId(f"d-{number}") in {ack.delivery for ack in one.message.acks}
        ]
        first, *middle, last = heard
        assert (first, last) == (f"s-{number}", f"s-{200 + number}")
        assert middle == sorted(
            [f"s-{100 + number}", f"s-{100 + (number - 1) % 20}"], key=lambda one: int(one[2:])
        )


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not an object"),
        (b"{}", "neither acks nor ask"),
        (b'{"acks":[{"delivery":"d","outcome":"burnt"}]}', "outcome"),
        (b'{"acks":[{"delivery":"\\u0000","outcome":"done"}]}', "delivery"),
        (b'{"acks":[' + b'{"delivery":"d","outcome":"done"},' * 1001 + b"{}]}", "more than"),
        (b'{"ask":"everything"}', "ask"),
    ],
    ids=["empty", "not utf-8", "deep", "list", "nothing", "outcome", "zero", "too many", "ask"],
)
async def test_what_says_nothing_is_taken_note_of(intake: Intake, body: bytes, says: str) -> None:
    station = await intake.add_station("mumbles")
    async with intake.speaking_as(station.id) as client:
        await say(client, station.id, 1, body)
        await say(client, station.id, 2, acks("d"))

    async with intake.consuming():
        await until(lambda: intake.desk.ignored and intake.desk.said)

    (ignored,) = intake.desk.ignored
    assert ignored.station == station.id
    assert ignored.message_id == "s-1"
    assert says in ignored.problem
    assert await is_empty(intake.tap)


async def test_a_statement_without_identity_is_taken_note_of(intake: Intake) -> None:
    """No user, a suspended station, no message id, a foreign content type."""
    station, suspended = await intake.add_station("known"), await intake.add_station("sleeps")
    intake.desk.stations[suspended.id] = replace(suspended, state=StationState.SUSPENDED)
    body = dump(station_message_json(acks("d")))
    async with intake.speaking_as(station.id) as client, intake.speaking_as(suspended.id) as other:
        await client.publish(wire.ACK, station.id, body, message_id="anonymous")
        await client.publish(
            wire.ACK, station.id, body, message_id="typed", user_id=station.id, content_type="text/html"
        )
        await client.publish_raw(
            wire.ACK, station.id, body, Basic.Properties(user_id=station.id, content_type=wire.JSON_TYPE)
        )
        await other.publish(wire.ACK, suspended.id, body, message_id="asleep", user_id=suspended.id)

    async with intake.consuming():
        await until(lambda: len(intake.desk.ignored) == 4)

    problems = {one.message_id: (one.station, one.problem) for one in intake.desk.ignored}
    assert problems["anonymous"] == (None, "the sender is not an active station")
    assert problems["typed"] == (station.id, "content type 'text/html'")
    assert problems[""] == (station.id, "no message id")
    assert problems["asleep"] == (suspended.id, "the sender is not an active station")
    assert not intake.desk.said
    assert await is_empty(intake.tap)


async def test_questions_are_answered_in_the_receipts_queue(intake: Intake) -> None:
    station = await intake.add_station("asks")
    async with intake.speaking_as(station.id) as client:
        await say(client, station.id, 1, StationMessage(ask=Ask.WHERE_IS, document="12/QĐ-BNV"))
        await say(client, station.id, 2, StationMessage(ask=Ask.RESYNC))

    async with intake.consuming():
        await until(lambda: intake.desk.asked and intake.desk.said)

    (reply,) = await intake.tap.drain(receipts_of(station))
    assert reply.header.properties.message_type == wire.TYPE_REPLY
    assert reply.header.properties.correlation_id == "s-1"
    assert reply.body == b'{"type":"where_is"}'
    assert [one.message.ask for one in intake.desk.said] == [Ask.RESYNC]


@pytest.mark.parametrize(
    ("no", "error"),
    [
        (NotFound("document", "x"), "not_found"),
        (NotAllowed("no"), "not_allowed"),
        (Withdrawn("x"), "recalled"),
        (Purged("x", issuer="000.00.00.G22"), "purged"),
        (Ambiguous("x", ("a", "b")), "ambiguous"),
    ],
)
async def test_a_question_without_answer_is_answered(intake: Intake, no: AxisError, error: str) -> None:
    station = await intake.add_station("wonders")
    intake.desk.no = no
    async with intake.speaking_as(station.id) as client:
        await say(client, station.id, 1, StationMessage(ask=Ask.REPORT, document="x"))

    async with intake.consuming():
        reply = await intake.tap.expect(receipts_of(station))

    answer = json.loads(reply.body)
    assert (answer["type"], answer["error"], answer["document"]) == ("error", error, "x")


async def test_a_poisonous_statement_is_buried_and_its_neighbours_are_recorded_once(intake: Intake) -> None:
    station = await intake.add_station("toxic")
    intake.desk.poison = b"d-3"
    async with intake.speaking_as(station.id) as client:
        for number in range(10):
            await say(client, station.id, number, acks(f"d-{number}"))

    async with intake.consuming():
        dead = await intake.tap.expect(wire.DEAD)
        await until(lambda: len(intake.desk.said) == 9)

    assert dead.header.properties.message_id == "s-3"
    assert sorted(one.message_id for one in intake.desk.said) == [f"s-{n}" for n in range(10) if n != 3]


def test_limits_have_room_for_the_contract() -> None:
    """A batch holds at least one message of the largest size the contract allows."""
    limits = IntakeLimits()

    for queue in (limits.urgent, limits.normal, limits.status, limits.ack):
        assert queue.batch_bytes >= wire.MAX_SUBMIT_BYTES
        assert queue.prefetch >= queue.batch
    assert limits.patience == Patience()
    assert limits.patience.drain_seconds < 30
