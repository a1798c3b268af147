"""Least privilege, tried: two stations, every operation, on a real server with users made by the axis."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiormq
import pytest

from axis.broker import wire
from axis.broker.admin import HUB, NOTHING, StationUsers, password_hash, permissions
from axis.broker.connection import BrokerAddress
from axis.broker.management import Management, ManagementRefused
from axis.broker.publisher import BrokerPublisher
from axis.broker.topology import TopologyDiffers
from axis.core.errors import InvalidAct, ServiceUnavailable
from axis.core.model import StationId
from axis.core.ports import Published
from tests.broker.desk import Clock, a_station, outgoing, until
from tests.broker.intake import an_intake, receipts_of
from tests.broker.permissions import (
    DENIED,
    DOCUMENT,
    FORGED,
    MISSING,
    TABLE,
    YES,
    Row,
    Scene,
    permissions_table,
)
from tests.broker.wiretap import Wiretap, wiretap
from tests.services.rabbitmq import Broker, ManagementError, Vhost

PASSWORD = "a-password-that-is-nowhere-in-a-log"


@dataclass
class Town:
    """A hub's topology and the means to make stations in it."""

    vhost: Vhost
    users: StationUsers
    publisher: BrokerPublisher

    def name(self) -> StationId:
        """Users are not in a virtual host: every station of a test has a name of its own."""
        return StationId(f"s-{secrets.token_hex(6)}")

    async def add(self, station: StationId, *, password: str = PASSWORD) -> wire.StationQueues:
        secret = a_station(station).secret
        await self.users.add(station, secret=secret, password=password)
        return wire.station_queues(station=station, secret=secret)

    def url(self, station: StationId, password: str = PASSWORD) -> str:
        return self.vhost.url_for(station, password)


@pytest.fixture
async def town(vhost: Vhost) -> AsyncIterator[Town]:
    management = Management(vhost.management_url, vhost=vhost.name)
    publisher = BrokerPublisher(BrokerAddress(urls=(vhost.url,)), clock=Clock())
    async with management, publisher:
        await publisher.declare_hub()
        yield Town(vhost=vhost, users=StationUsers(management), publisher=publisher)


async def attempt(client: Wiretap, row: Row, scene: Scene) -> str:
    """What came of it, in the words of the table."""
    try:
        await row.operation(client, scene)
    except aiormq.ChannelAccessRefused:
        return DENIED
    except aiormq.ChannelPreconditionFailed as error:
        return FORGED if "user_id" in str(error) else f"406: {error}"
    except aiormq.ChannelNotFoundEntity:
        return MISSING
    return YES


@pytest.mark.threat(
    "a station acts as another or reads what is another's", control="least privilege at the broker"
)
async def test_every_operation_comes_out_as_the_table_says(town: Town) -> None:
    """Each row on a fresh channel; afterwards the other station's queues are as they were."""
    me, other = town.name(), town.name()
    mine, others = await town.add(me), await town.add(other)
    await town.publisher.publish([outgoing(a_station(me), 1), outgoing(a_station(other), 1)])
    scene = Scene(me=me, mine=mine, other=other, others=others)

    found = {}
    for row in TABLE:
        async with wiretap(town.url(me)) as client:
            found[row.what] = await attempt(client, row, scene)

    assert found == {row.what: row.expected for row in TABLE}
    async with wiretap(town.url(other)) as client:
        assert await client.length(others.inbox) == 1
        assert await client.length(others.receipts) == 0


def test_the_document_is_the_table() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == permissions_table()


async def test_copies_by_cc_and_bcc_belong_to_whoever_sent_them(town: Town) -> None:
    """They reach intake queues only, each with the sender's own validated name."""
    me, other = town.name(), town.name()
    await town.add(me)
    others = await town.add(other)
    async with wiretap(town.vhost.url) as tap:
        for queue in (*wire.INTAKES, wire.UNROUTED):
            await tap.drain(queue)
        async with wiretap(town.url(me)) as client:
            await client.publish(
                wire.SUBMIT,
                f"edoc.normal.{me}",
                message_id="m",
                user_id=me,
                headers={"CC": [f"edoc.urgent.{other}"], "BCC": [others.inbox, f"status.normal.{other}"]},
            )

        copies = [await tap.drain(queue) for queue in wire.INTAKES]
        assert await tap.length(others.inbox) == 0

    assert [len(found) for found in copies] == [1, 1, 1, 0]
    assert {one.header.properties.user_id for found in copies for one in found} == {me}


async def test_a_station_cannot_use_the_management_interface(town: Town) -> None:
    me = town.name()
    await town.add(me)
    broker = town.vhost.broker
    stranger = Broker(
        host=broker.host,
        port=broker.port,
        user=me,
        password=PASSWORD,
        management_url=broker.management_url,
    )

    for path in ("whoami", "queues", "definitions", f"users/{me}"):
        with pytest.raises(ManagementError) as raised:
            await asyncio.to_thread(stranger.api, "GET", path)
        assert raised.value.status == 401


async def test_a_station_cannot_enter_another_virtual_host(town: Town) -> None:
    me = town.name()
    await town.add(me)

    with pytest.raises(aiormq.AMQPError):
        async with wiretap(town.vhost.broker.url(vhost="/", user=me, password=PASSWORD)):
            pass


async def can_submit(town: Town, station: StationId, password: str = PASSWORD) -> bool:
    try:
        async with wiretap(town.url(station, password)) as client:
            await client.publish(wire.SUBMIT, f"edoc.normal.{station}", message_id="m", user_id=station)
    except aiormq.AMQPError:
        return False
    return True


async def test_suspended_it_can_do_nothing_and_its_connections_end(town: Town) -> None:
    """At once, not when a channel happens to forget what it was allowed; its messages stay; resumed, all is as before."""
    me = town.name()
    queues = await town.add(me)
    secret = a_station(me).secret
    connection = aiormq.Connection(town.url(me))
    await connection.connect()
    channel = await connection.channel()
    await channel.basic_publish(b"<edXML/>", exchange=wire.SUBMIT, routing_key=f"edoc.normal.{me}")
    await town.publisher.publish([outgoing(a_station(me), 1)])

    await town.users.suspend(me, secret=secret)

    await until(lambda: connection.is_closed, what="its connection ended")
    assert not await can_submit(town, me)
    await town.users.suspend(me, secret=secret)

    await town.users.resume(me, secret=secret)

    assert await can_submit(town, me)
    async with wiretap(town.url(me)) as client:
        assert await client.take(queues.inbox) is not None


async def test_rotated_the_old_password_is_worth_nothing(town: Town) -> None:
    """Neither for a new connection nor for one that was open."""
    me = town.name()
    await town.add(me)
    connection = aiormq.Connection(town.url(me))
    await connection.connect()

    await town.users.rotate(me, secret=a_station(me).secret, password="another")

    await until(lambda: connection.is_closed, what="its connection ended")
    assert not await can_submit(town, me)
    assert await can_submit(town, me, "another")


async def test_rotating_gives_a_suspended_station_no_rights(town: Town) -> None:
    me = town.name()
    await town.add(me)
    secret = a_station(me).secret
    await town.users.suspend(me, secret=secret)

    await town.users.rotate(me, secret=secret, password="another")

    assert not await can_submit(town, me, "another")


async def test_added_again_it_has_exactly_a_stations_rights(town: Town) -> None:
    """Whatever was there before: here a user that could do everything, with a connection open."""
    me = town.name()
    url = await asyncio.to_thread(town.vhost.add_user, me, "old", configure=".*", write=".*", read=".*")
    connection = aiormq.Connection(url)
    await connection.connect()

    await town.add(me)

    await until(lambda: connection.is_closed, what="its connection ended")
    found = town.vhost.api("GET", f"permissions/{{vhost}}/{me}")
    assert isinstance(found, dict)
    expected = permissions(me, secret=a_station(me).secret)
    assert {name: found[name] for name in expected} == expected
    assert not await can_submit(town, me, "old")
    assert await can_submit(town, me)


async def test_removed_it_is_gone(town: Town) -> None:
    me = town.name()
    queues = await town.add(me)
    secret = a_station(me).secret

    await town.users.remove(me, secret=secret)
    await town.users.remove(me, secret=secret)

    assert queues.inbox not in town.vhost.queue_names()
    assert not await can_submit(town, me)
    with pytest.raises(InvalidAct, match="no user"):
        await town.users.resume(me, secret=secret)


async def test_what_the_hub_publishes_reaches_a_station_just_added(town: Town) -> None:
    me = town.name()
    await town.add(me)

    assert await town.publisher.publish([outgoing(a_station(me), 1)]) == [Published.CONFIRMED]


async def test_users_that_are_not_stations_are_never_touched(town: Town) -> None:
    """The axis's own user and operators of the broker, also when their names would do for a station."""
    operator = town.name()
    await asyncio.to_thread(town.vhost.add_user, operator, "word", tags="monitoring")
    secret = a_station(operator).secret
    own = StationId(town.vhost.broker.user)

    for name in (operator, own, StationId("guest")):
        with pytest.raises(InvalidAct):
            await town.users.add(name, secret=secret, password="mine now")
        with pytest.raises(InvalidAct):
            await town.users.suspend(name, secret=secret)
        with pytest.raises(InvalidAct):
            await town.users.rotate(name, secret=secret, password="mine now")
        with pytest.raises(InvalidAct):
            await town.users.remove(name, secret=secret)

    assert town.vhost.broker.version


@pytest.mark.parametrize("name", ["a.b", "UPPER", ".*", "a|b", "x" * 40, "../guest", "a b", ""])
async def test_a_name_that_would_need_escaping_is_refused(town: Town, name: str) -> None:
    with pytest.raises(InvalidAct):
        await town.users.add(StationId(name), secret="0123456789abcdef", password=PASSWORD)
    with pytest.raises(InvalidAct):
        await town.users.add(town.name(), secret=".*", password=PASSWORD)


async def test_queues_of_another_kind_are_said(town: Town) -> None:
    me = town.name()
    queues = wire.station_queues(station=me, secret=a_station(me).secret)
    async with wiretap(town.vhost.url) as tap:
        await tap.channel.queue_declare(queues.inbox, durable=True)

    with pytest.raises(TopologyDiffers):
        await town.add(me)

    assert not await can_submit(town, me), "rights are given last"


async def test_no_broker_is_service_unavailable_and_no_password_is_said() -> None:
    async with Management("http://admin:hunter2@127.0.0.1:1", vhost="/") as management:
        with pytest.raises(ServiceUnavailable) as raised:
            await StationUsers(management).add(
                StationId("so-y-te"), secret="0123456789abcdef", password=PASSWORD
            )
    said = f"{raised.value!r} {raised.value} {raised.value.__cause__!r}"
    assert "hunter2" not in said
    assert PASSWORD not in said


async def test_a_station_can_be_added_before_any_hub_has_started(broker: Broker) -> None:
    """On a broker that has nothing yet; the hub that comes later finds what it would have declared itself."""
    vhost = broker.make_vhost()
    station = StationId(f"s-{secrets.token_hex(6)}")
    try:
        async with Management(vhost.management_url, vhost=vhost.name) as management:
            await StationUsers(management).add(
                station, secret=a_station(station).secret, password="of its own " + "x" * 30
            )
        async with BrokerPublisher(BrokerAddress(urls=(vhost.url,)), clock=Clock()) as publisher:
            await publisher.declare_hub()

            published = await publisher.publish([outgoing(a_station(station), 1)])
    finally:
        vhost.remove()

    assert published == [Published.CONFIRMED]


async def test_the_wrong_administrator_is_refused_and_no_password_is_said(vhost: Vhost) -> None:
    scheme, _, rest = vhost.management_url.partition("://")
    url = f"{scheme}://nobody:hunter2@{rest.rpartition('@')[2]}"
    async with Management(url, vhost=vhost.name) as management:
        with pytest.raises(ManagementRefused, match="401") as raised:
            await StationUsers(management).add(
                StationId("so-y-te"), secret="0123456789abcdef", password=PASSWORD
            )
    assert "hunter2" not in str(raised.value)


async def test_only_the_hash_of_a_password_leaves_the_process(
    town: Town, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is what the broker keeps, and nothing the axis prints or logs shows the password or the hash."""
    me = town.name()
    await town.add(me)

    kept = town.vhost.broker.api("GET", f"users/{me}")
    assert isinstance(kept, dict)
    assert kept["password_hash"] == password_hash(me, PASSWORD)
    printed = capsys.readouterr()
    said = (
        caplog.text
        + printed.out
        + printed.err
        + json.dumps([record.getMessage() for record in caplog.records])
    )
    assert PASSWORD not in said
    assert password_hash(me, PASSWORD) not in said


async def test_the_hubs_own_user_needs_no_more_than_its_names(broker: Broker) -> None:
    """It declares everything, takes submissions and answers them; it is no operator and no administrator."""
    vhost = await asyncio.to_thread(broker.make_vhost)
    hub = f"hub-{secrets.token_hex(4)}"
    url = await asyncio.to_thread(vhost.add_user, hub, "word", configure=HUB, write=HUB, read=HUB)
    try:
        async with an_intake(vhost, address=BrokerAddress(urls=(url,))) as intake:
            station = await intake.add_station(f"s-{secrets.token_hex(4)}")
            async with intake.speaking_as(station.id) as client, intake.consuming():
                await client.publish(
                    wire.SUBMIT, f"edoc.urgent.{station.id}", message_id="m", user_id=station.id
                )
                receipt = await client.expect(receipts_of(station))
    finally:
        await asyncio.to_thread(vhost.remove)

    assert receipt.header.properties.correlation_id == "m"


def test_a_station_configures_nothing() -> None:
    assert permissions(StationId("so-y-te"), secret="0123456789abcdef")["configure"] == NOTHING
