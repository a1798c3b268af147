"""TLS to the broker, and login by certificate: who has the key of a name is that name, and nobody else gets in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiormq
import pytest
from pamqp.commands import Basic

from axis.broker import wire
from axis.broker.admin import StationUsers
from axis.broker.connection import BrokerAddress, Link, TLSFiles
from axis.broker.management import Management
from axis.broker.publisher import BrokerPublisher
from axis.core.errors import ServiceUnavailable
from axis.core.model import StationId
from axis.core.ports import Published
from tests.broker.desk import Clock, a_station, outgoing, until
from tests.broker.intake import an_intake
from tests.broker.wiretap import PERSISTENT
from tests.services.rabbitmq import RabbitMQNode, Vhost
from tests.services.tls import Authority, Certificate

HERE, THERE = StationId("so-y-te"), StationId("so-noi-vu")


@dataclass
class Fortress:
    """A broker that speaks TLS, with two stations."""

    node: RabbitMQNode
    vhost: Vhost
    authority: Authority

    def address(
        self, certificate: Certificate | None, *, external: bool = True, ca: Path | None = None
    ) -> BrokerAddress:
        """The broker as a client with this certificate comes to it; the password in the address is nobody's."""
        return BrokerAddress(
            urls=(self.node.broker.url(vhost=self.vhost.name, user="nobody", password="nothing"),),
            tls=TLSFiles(
                ca=ca or self.authority.ca_file,
                certificate=certificate.cert_file if certificate else None,
                key=certificate.key_file if certificate else None,
            ),
            external=external,
            connect_seconds=5,
        )

    def hub(self) -> BrokerAddress:
        """With name and password, over TLS."""
        return BrokerAddress(urls=(self.vhost.url,), tls=TLSFiles(ca=self.authority.ca_file))


@pytest.fixture
async def fortress(rabbitmq_tls_node: RabbitMQNode, tls_authority: Authority) -> AsyncIterator[Fortress]:
    vhost = await asyncio.to_thread(rabbitmq_tls_node.broker.make_vhost)
    made = Fortress(node=rabbitmq_tls_node, vhost=vhost, authority=tls_authority)
    async with (
        BrokerPublisher(made.hub(), clock=Clock()) as publisher,
        Management(vhost.management_url, vhost=vhost.name) as management,
    ):
        await publisher.declare_hub()
        for name in (HERE, THERE):
            await StationUsers(management).add(name, secret=a_station(name).secret, password="of its own")
        yield made
    await asyncio.to_thread(vhost.remove)


async def submit(address: BrokerAddress, *, as_station: StationId) -> None:
    """Publish one submission; raises what the broker, or the way to it, says."""
    link = Link(address, name="station")
    try:
        channel = await link.open_channel(confirms=True)
        await channel.basic_publish(
            b"<edXML/>",
            exchange=wire.SUBMIT,
            routing_key=f"edoc.normal.{as_station}",
            properties=Basic.Properties(
                message_id="m", user_id=as_station, delivery_mode=PERSISTENT, content_type=wire.EDXML
            ),
            mandatory=True,
            timeout=10,
        )
    finally:
        await link.close()


async def test_a_certificate_is_the_station_it_names(fortress: Fortress) -> None:
    """Login without a password; what is submitted carries that name, and another's is refused."""
    address = fortress.address(fortress.authority.issue(HERE))

    await submit(address, as_station=HERE)

    with pytest.raises(aiormq.ChannelAccessRefused):
        await submit(address, as_station=THERE)


async def test_a_hub_does_all_its_work_over_tls(fortress: Fortress) -> None:
    """Submissions in, receipts and consignments out, all connections encrypted."""
    station = a_station(HERE)
    address = fortress.address(fortress.authority.issue(HERE))
    link = Link(address, name="station")
    async with an_intake(fortress.vhost, address=fortress.hub()) as intake:
        intake.desk.stations[HERE] = station
        async with intake.consuming():
            await submit(address, as_station=HERE)
            await until(lambda: intake.desk.admitted)
            assert await intake.publisher.publish([outgoing(station, 1)]) == [Published.CONFIRMED]
            queues = wire.station_queues(station=HERE, secret=station.secret)
            channel = await link.open_channel()
            message = await channel.basic_get(queues.inbox)
            assert message.body == b"<edXML/>"

            def connections() -> list[dict[str, object]]:
                listed = fortress.node.broker.api("GET", "connections")
                assert isinstance(listed, list)
                return [one for one in listed if one.get("vhost") == fortress.vhost.name]

            listed = await until(lambda: len(found := connections()) >= 3 and found, what="they are listed")
            assert listed
            assert {one["ssl"] for one in listed} == {True}
        await link.close()


async def test_without_a_certificate_there_is_no_login_by_certificate(fortress: Fortress) -> None:
    with pytest.raises(ServiceUnavailable):
        await submit(fortress.address(None), as_station=HERE)


async def test_a_certificate_that_names_nobody_gets_nowhere(fortress: Fortress) -> None:
    with pytest.raises(ServiceUnavailable):
        await submit(fortress.address(fortress.authority.issue("ke-la")), as_station=HERE)


async def test_an_expired_certificate_gets_nowhere(fortress: Fortress) -> None:
    with pytest.raises(ServiceUnavailable):
        await submit(fortress.address(fortress.authority.issue(HERE, days=-1)), as_station=HERE)


async def test_a_certificate_of_another_authority_gets_nowhere(fortress: Fortress, tmp_path: Path) -> None:
    forged = Authority(tmp_path / "forger", name="Test TLS root").issue(HERE)

    with pytest.raises(ServiceUnavailable):
        await submit(fortress.address(forged), as_station=HERE)


async def test_a_broker_that_cannot_prove_itself_is_not_talked_to(fortress: Fortress, tmp_path: Path) -> None:
    """The root is not the one that issued its certificate: nothing is sent, the login least of all."""
    other = Authority(tmp_path / "other", name="Another root")
    address = fortress.address(fortress.authority.issue(HERE), ca=other.ca_file)

    with pytest.raises(ServiceUnavailable, match=r"(?i)certificate.verify.failed"):
        await submit(address, as_station=HERE)


async def test_a_suspended_station_does_not_get_in_by_certificate_either(fortress: Fortress) -> None:
    async with Management(fortress.vhost.management_url, vhost=fortress.vhost.name) as management:
        await StationUsers(management).suspend(HERE, secret=a_station(HERE).secret)

    with pytest.raises(ServiceUnavailable):
        await submit(fortress.address(fortress.authority.issue(HERE)), as_station=HERE)


async def test_plain_text_to_the_encrypted_port_gets_nowhere(fortress: Fortress) -> None:
    broker = fortress.node.broker
    url = f"amqp://{broker.user}:{broker.password}@127.0.0.1:{broker.port}/"

    link = Link(BrokerAddress(urls=(url,), connect_seconds=3), name="plain")
    with pytest.raises(ServiceUnavailable):
        await link.open_channel()
    await link.close()
