"""A changed topology reaches the broker, and no message is lost on the way, whoever is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace

import pytest

from axis.broker import wire
from axis.broker.connection import BrokerAddress, Link
from axis.broker.management import MOVER, Management
from axis.broker.migration import SECOND, Change, Difference, Migration, MoveBlocked, MovePace
from axis.broker.topology import Topology, declare, hub_topology, whole_topology
from axis.core.errors import ServiceUnavailable
from axis.core.model import StationId
from axis.core.ports import Published
from tests.broker.desk import a_station, outgoing, until
from tests.broker.intake import QUICK, Intake, an_intake
from tests.broker.mover import BRISK, Dice, english
from tests.broker.surgery import hurry_statistics
from tests.broker.wiretap import Wiretap, wiretap
from tests.services.processes import make_folder
from tests.services.rabbitmq import RabbitMQNode, Vhost

OLD: Mapping[str, object] = {"x-queue-type": "quorum", "x-delivery-limit": 3}


@pytest.fixture(scope="module")
def brisk_node() -> Iterator[RabbitMQNode]:
    """A node of this module that tells its statistics often, so that nobody waits for them."""
    with RabbitMQNode(make_folder("axis-rabbitmq")) as node:
        hurry_statistics(node)
        yield node


@pytest.fixture
def vhost(brisk_node: RabbitMQNode) -> Iterator[Vhost]:
    made = brisk_node.broker.make_vhost()
    yield made
    made.remove()


@contextlib.asynccontextmanager
async def migrating(
    vhost: Vhost, *, topology: Topology | None = None, pace: MovePace = BRISK
) -> AsyncIterator[Migration]:
    async with Management(vhost.management_url, vhost=vhost.name) as management:
        yield Migration(
            management,
            BrokerAddress(urls=(vhost.url,)),
            topology=topology or hub_topology(),
            randomness=Dice(),
            pace=pace,
        )


def changes(found: Sequence[Difference]) -> set[tuple[str, Change]]:
    return {(one.name, one.change) for one in found}


async def age(vhost: Vhost, tap: Wiretap, *queues: str, arguments: Mapping[str, object] = OLD) -> None:
    """The hub's topology as an earlier version might have left it: these queues with other arguments."""
    topology = hub_topology()
    link = Link(BrokerAddress(urls=(vhost.url,)), name="age")
    others = Topology(
        exchanges=topology.exchanges,
        queues=tuple(one for one in topology.queues if one.name not in queues),
        bindings=tuple(one for one in topology.bindings if one.queue not in queues),
    )
    try:
        await declare(await link.open_channel(), others)
    finally:
        await link.close()
    for queue in queues:
        # The library's own type is narrower than what AMQP takes.
        await tap.channel.queue_declare(queue, durable=True, arguments=dict(arguments))  # type: ignore[arg-type]
        for binding in topology.bindings:
            if binding.queue == queue:
                await tap.channel.queue_bind(queue, binding.exchange, binding.key)


async def test_an_empty_broker_gets_everything(vhost: Vhost) -> None:
    """And then there is nothing left to do."""
    topology = whole_topology([(StationId("so-y-te"), "0123456789abcdef")])
    async with migrating(vhost, topology=topology) as migration:
        plan = await migration.plan()
        lines: list[str] = []

        done = await migration.apply(progress=lines.append, say=english)

        assert done == plan
        assert (wire.SUBMIT, Change.EXCHANGE_MISSING) in changes(plan)
        assert ("station.so-y-te.0123456789abcdef.inbox", Change.BINDING_MISSING) in changes(plan)
        assert await migration.plan() == []
    assert lines


async def test_what_the_hub_declared_is_what_the_plan_wants(vhost: Vhost) -> None:
    async with an_intake(vhost) as intake, migrating(vhost) as migration:
        assert await intake.tap.length(wire.INTAKE_NORMAL) == 0
        assert await migration.plan() == []


async def test_a_plan_changes_nothing(vhost: Vhost) -> None:
    async with wiretap(vhost.url) as tap, migrating(vhost) as migration:
        await age(vhost, tap, wire.INTAKE_NORMAL)
        before = vhost.api("GET", "definitions/{vhost}")

        plan = await migration.plan()

    assert changes(plan) == {(wire.INTAKE_NORMAL, Change.QUEUE_DIFFERS)}
    assert plan[0].row(english)["step"].startswith("carry")
    assert "x-delivery-limit=3" in plan[0].row(lambda vi, _: vi)["what"]
    assert vhost.api("GET", "definitions/{vhost}") == before


@pytest.mark.parametrize(
    "arguments",
    [OLD, {}, {"x-queue-type": "classic", "x-max-length": 100_000}],
    ids=["quorum", "plain", "classic"],
)
async def test_a_queue_gets_other_arguments_and_keeps_its_messages(
    vhost: Vhost, arguments: Mapping[str, object]
) -> None:
    """As they are: bytes, sender's validated name, ids and headers, in their order; also those without an id."""
    async with an_intake(vhost) as intake, migrating(vhost) as migration:
        await intake.tap.channel.queue_delete(wire.INTAKE_NORMAL)
        await age(vhost, intake.tap, wire.INTAKE_NORMAL, arguments=arguments)
        station = await intake.add_station("writes")
        async with intake.speaking_as(station.id) as client:
            for number in range(150):
                await client.publish(
                    wire.SUBMIT,
                    f"edoc.normal.{station.id}",
                    b"<%d/>" % number,
                    message_id=None if number % 50 == 7 else f"m-{number % 140}",
                    user_id=station.id,
                    content_type=wire.EDXML,
                    headers={wire.H_DIGEST: "0" * 64, "x": number},
                )

        await migration.apply(progress=lambda _: None, say=english)

        assert await migration.plan() == []
        found = await intake.tap.drain(wire.INTAKE_NORMAL)
    assert [one.body for one in found] == [b"<%d/>" % number for number in range(150)]
    assert [one.header.properties.message_id for one in found] == [
        None if number % 50 == 7 else f"m-{number % 140}" for number in range(150)
    ]
    assert {one.header.properties.user_id for one in found} == {station.id}
    assert {one.header.properties.content_type for one in found} == {wire.EDXML}
    assert [dict(one.header.properties.headers or {})["x"] for one in found] == list(range(150))
    assert not [name for name in vhost.queue_names() if name.startswith(SECOND)]
    assert vhost.broker.api("GET", "users") == [
        one
        for one in vhost.broker.api("GET", "users") or []  # type: ignore[attr-defined] # a list of objects
        if one["name"] != MOVER
    ]


async def test_what_a_client_has_in_hand_is_waited_for(vhost: Vhost) -> None:
    """Given back, it is carried; acknowledged, it is gone; kept for ever, it stops the move without a loss."""
    async with wiretap(vhost.url) as tap, wiretap(vhost.url) as holder, migrating(vhost) as migration:
        await age(vhost, tap, wire.INTAKE_ACK)
        for number in range(3):
            await tap.publish(wire.ACK, "so-y-te", b"%d" % number, message_id=f"m-{number}")
        tags = [(await holder.channel.basic_get(wire.INTAKE_ACK)).delivery_tag or 0 for _ in range(3)]

        async with migrating(
            vhost, pace=MovePace(quiet_seconds=1.5, blocked_seconds=4, settle_seconds=0)
        ) as hasty:
            with pytest.raises(MoveBlocked, match="does not acknowledge"):
                await hasty.apply(progress=lambda _: None, say=english)
        assert (wire.INTAKE_ACK, Change.QUEUE_DIFFERS) in changes(await migration.plan())

        work = asyncio.create_task(migration.apply(progress=lambda _: None, say=english))
        await until(lambda: SECOND + wire.INTAKE_ACK in vhost.queue_names())
        await holder.channel.basic_ack(tags[0])
        await holder.channel.basic_nack(tags[1], requeue=True)
        await asyncio.wait({work}, timeout=3)
        assert not work.done()
        await holder.channel.basic_nack(tags[2], requeue=True)
        await work

        assert sorted(one.body for one in await tap.drain(wire.INTAKE_ACK)) == [b"1", b"2"]
        assert await migration.plan() == []


async def test_under_way_stations_and_hub_go_on(vhost: Vhost) -> None:
    """Both directions under load: every confirmed submission is answered, every confirmed consignment is there."""
    async with an_intake(vhost) as intake:
        intake.be(patience=replace(QUICK, renew_seconds=1))
        await intake.tap.channel.queue_delete(wire.INTAKE_NORMAL)
        await age(vhost, intake.tap, wire.INTAKE_NORMAL)
        station = await intake.add_station("busy", with_queues=False)
        queues = wire.station_queues(station=station.id, secret=station.secret)
        for name in (queues.inbox, queues.receipts):
            await intake.tap.channel.queue_declare(name, durable=True, arguments=dict(OLD))  # type: ignore[arg-type]
            await intake.tap.channel.queue_bind(name, wire.INBOX, name)
        topology = whole_topology([(station.id, station.secret)])
        async with migrating(vhost, topology=topology) as migration, intake.consuming():
            moved = asyncio.create_task(migration.apply(progress=lambda _: None, say=english))
            submitted, delivered = await _traffic(intake, station.id, until_done=moved)
            await moved
            await until(
                lambda: submitted <= {one.message_id for one in intake.desk.admitted}, what="all are admitted"
            )
            assert await migration.plan() == []
        found = {one.header.properties.message_id for one in await intake.tap.drain(queues.inbox)}
        answered = {one.header.properties.correlation_id for one in await intake.tap.drain(queues.receipts)}

    assert len(submitted) > 50
    assert delivered <= found
    assert submitted <= answered


async def _traffic(
    intake: Intake, name: StationId, *, until_done: asyncio.Task[list[Difference]]
) -> tuple[set[str], set[str]]:
    """Submissions and consignments, one after another, until the task is done; those that were confirmed."""
    submitted, delivered = set(), set()
    station = a_station(name)
    number = 0
    async with intake.speaking_as(name) as client:
        while not until_done.done():
            number += 1
            await client.publish(wire.SUBMIT, f"edoc.normal.{name}", message_id=f"m-{number}", user_id=name)
            submitted.add(f"m-{number}")
            one = outgoing(station, number)
            if await intake.publisher.publish([one]) == [Published.CONFIRMED]:
                delivered.add(one.message_id)
            await asyncio.wait({until_done}, timeout=0.05)
    return submitted, delivered


async def run_mover(vhost: Vhost, *, dies_at: int) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.broker.mover",
        vhost.url,
        vhost.management_url,
        vhost.name,
        str(dies_at),
    )
    return await process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("dies_at", range(1, 9))
async def test_killed_at_any_step_it_is_finished_by_the_next_run(vhost: Vhost, dies_at: int) -> None:
    """`apply` dies by SIGKILL after each of the eight steps of a queue; a plan says so, and the next run ends it."""
    async with wiretap(vhost.url) as tap, migrating(vhost) as migration:
        await age(vhost, tap, wire.INTAKE_NORMAL)
        for number in range(60):
            await tap.publish(wire.SUBMIT, "edoc.normal.x", b"<edXML/>", message_id=f"m-{number}")
        assert await run_mover(vhost, dies_at=dies_at) == -9
        await tap.publish(wire.SUBMIT, "edoc.normal.x", b"<edXML/>", message_id="meanwhile")
        assert (MOVER, Change.MOVER_LEFT) in changes(await migration.plan())

        await migration.apply(progress=lambda _: None, say=english)

        assert await migration.plan() == []
        found = {one.header.properties.message_id for one in await tap.drain(wire.INTAKE_NORMAL)}
    assert found == {"meanwhile", *(f"m-{number}" for number in range(60))}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("growing", [SECOND + wire.INTAKE_NORMAL, wire.INTAKE_NORMAL], ids=["there", "back"])
async def test_sigkill_of_the_broker_in_the_middle_loses_nothing(
    rabbitmq_node: RabbitMQNode, growing: str
) -> None:
    """While three thousand messages are carried there, or back; after the restart the next run finishes."""
    vhost = Vhost(broker=rabbitmq_node.broker, name="/")
    pace = MovePace(settle_seconds=1.5, quiet_seconds=7, window=20)
    carrying = asyncio.Event()

    def progress(line: str) -> None:
        if line.endswith("diverted" if growing.startswith(SECOND) else "bound"):
            carrying.set()

    async def kill() -> None:
        await carrying.wait()
        async with wiretap(vhost.url) as tap:
            await tap.grown_to(growing, 200)
        await asyncio.to_thread(rabbitmq_node.kill)

    async with wiretap(vhost.url) as tap:
        await age(vhost, tap, wire.INTAKE_NORMAL)
        await asyncio.gather(
            *(
                tap.publish(wire.SUBMIT, "edoc.normal.x", b"<edXML/>" * 50, message_id=f"m-{number}")
                for number in range(3_000)
            )
        )
        await asyncio.to_thread(rabbitmq_node.await_queue_on_disk, wire.INTAKE_NORMAL)
    async with migrating(vhost, pace=pace) as migration:
        killing = asyncio.create_task(kill())
        with pytest.raises(ServiceUnavailable):
            await migration.apply(progress=progress, say=english)
        await asyncio.gather(killing, return_exceptions=True)
        await asyncio.to_thread(rabbitmq_node.start)
        assert await migration.plan()

        await migration.apply(progress=progress, say=english)

        assert await migration.plan() == []
    async with wiretap(vhost.url) as tap:
        found = {one.header.properties.message_id for one in await tap.drain(wire.INTAKE_NORMAL)}
    assert found == {f"m-{number}" for number in range(3_000)}


async def test_bindings_and_exchanges_are_put_right(vhost: Vhost) -> None:
    """A missing binding, one nobody asked for, an exchange without its alternate, a user left behind."""
    async with an_intake(vhost) as intake, migrating(vhost) as migration:
        channel = intake.tap.channel
        await channel.queue_unbind(wire.INTAKE_URGENT, wire.SUBMIT, "edoc.urgent.*")
        await channel.queue_declare("spy", durable=True)
        await channel.queue_bind("spy", wire.SUBMIT, "#")
        await channel.exchange_delete(wire.ACK)
        await channel.exchange_declare(wire.ACK, exchange_type="topic", durable=True)
        await asyncio.to_thread(vhost.add_user, MOVER, "left behind")

        plan = changes(await migration.plan())
        await migration.apply(progress=lambda _: None, say=english)

        assert (wire.INTAKE_URGENT, Change.BINDING_MISSING) in plan
        assert ("spy", Change.BINDING_EXTRA) in plan
        assert (wire.ACK, Change.EXCHANGE_DIFFERS) in plan
        assert (wire.INTAKE_ACK, Change.BINDING_MISSING) in plan
        assert (MOVER, Change.MOVER_LEFT) in plan
        assert await migration.plan() == []
        await intake.tap.publish(wire.SUBMIT, "edoc.urgent.x", message_id="m")
        await intake.tap.publish(wire.ACK, "no.such.key", message_id="m")
        assert await intake.tap.length("spy") == 0
        assert await intake.tap.length(wire.INTAKE_URGENT) == 1
        assert await intake.tap.length(wire.UNROUTED) == 1


@pytest.mark.slow
async def test_a_queue_that_lost_its_leader_is_said_and_left_alone(rabbitmq_node: RabbitMQNode) -> None:
    """
    A lone RabbitMQ 3.10 node killed right after it made a quorum queue comes back with one that answers nobody.
    Deleting it by hand and applying again makes it work.
    """
    vhost = Vhost(broker=rabbitmq_node.broker, name="/")
    pace = MovePace(silent_seconds=12)
    async with wiretap(vhost.url) as tap:
        await age(vhost, tap)
        await asyncio.to_thread(rabbitmq_node.await_queue_on_disk, wire.INTAKE_ACK)
        station = StationId("so-y-te")
        topology = whole_topology([(station, "0123456789abcdef")])
        link = Link(BrokerAddress(urls=(vhost.url,)), name="late")
        await declare(await link.open_channel(), topology)
        os.kill(rabbitmq_node.pid, signal.SIGKILL)
        await link.close()
    await asyncio.to_thread(rabbitmq_node.kill)
    await asyncio.to_thread(rabbitmq_node.start)
    async with migrating(vhost, topology=topology, pace=pace) as migration:
        plan = changes(await migration.plan())
        silent = {name for name, change in plan if change is Change.QUEUE_SILENT}
        assert silent or not rabbitmq_node.broker.version.startswith("3.")
        assert all(name.startswith("station.") for name in silent)

        await migration.apply(progress=lambda _: None, say=english)
        assert silent <= set(vhost.queue_names())

        for name in silent:
            await asyncio.to_thread(vhost.api, "DELETE", f"queues/{{vhost}}/{name}")
        await migration.apply(progress=lambda _: None, say=english)
        assert await migration.plan() == []
    async with wiretap(vhost.url) as tap:
        for name in sorted(silent):
            await tap.publish(wire.INBOX, name, b"heard", message_id="m", mandatory=True)
            assert await tap.length(name) == 1


async def test_no_broker_is_service_unavailable() -> None:
    async with Management("http://a:b@127.0.0.1:1", vhost="/") as management:
        migration = Migration(
            management,
            BrokerAddress(urls=("amqp://a:b@127.0.0.1:1/",)),
            topology=hub_topology(),
            randomness=Dice(),
        )
        with pytest.raises(ServiceUnavailable):
            await migration.plan()
