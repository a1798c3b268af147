"""An axis's intake on a real broker, as the tests of the consumer set it up: hub, stations with broker users, a desk."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

from axis.broker import wire
from axis.broker.connection import BrokerAddress
from axis.broker.consumer import Consumer, IntakeLimits
from axis.broker.publisher import BrokerPublisher, PublishLimits
from axis.broker.serving import Patience
from axis.core.directory import Station
from axis.core.model import StationId
from axis.core.ports import Publisher
from tests.broker.desk import Clock, Desk, Ids, a_station
from tests.broker.wiretap import Wiretap, wiretap
from tests.services.rabbitmq import Vhost

QUICK = Patience(drain_seconds=10, longest_pause_seconds=0.2, rest_seconds=0.01, longest_rest_seconds=0.05)
PASSWORD = "a password of the tests"


@dataclass
class Intake:
    """Everything around a consumer."""

    vhost: Vhost
    tap: Wiretap
    publisher: BrokerPublisher
    desk: Desk
    clock: Clock = field(default_factory=Clock)
    ids: Ids = field(default_factory=Ids)
    limits: IntakeLimits = field(default_factory=lambda: IntakeLimits(patience=QUICK))
    address: BrokerAddress | None = None
    """Of the hub, when it is not the plain one of the virtual host."""

    async def add_station(self, name: str, *, with_queues: bool = True) -> Station:
        """A station with queues and a broker user of its name that may do anything; rights are tested elsewhere."""
        station = a_station(name)
        self.desk.stations[station.id] = station
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        await asyncio.to_thread(self.vhost.add_user, name, PASSWORD, **everything)
        if with_queues:
            await self.publisher.declare_station(station=station.id, secret=station.secret)
        return station

    @contextlib.asynccontextmanager
    async def speaking_as(self, station: StationId) -> AsyncIterator[Wiretap]:
        """A client logged in as the station."""
        async with wiretap(self.vhost.url_for(station, PASSWORD)) as client:
            yield client

    def consumer(self, *, url: str | None = None, publisher: Publisher | None = None) -> Consumer:
        return Consumer(
            self.address or BrokerAddress(urls=(url or self.vhost.url,), connect_seconds=5),
            desk=self.desk,
            publisher=publisher or self.publisher,
            clock=self.clock,
            ids=self.ids,
            ignore=self.desk.ignore,
            declare_station=self.publisher.declare_station,
            limits=self.limits,
        )

    @contextlib.asynccontextmanager
    async def consuming(
        self, *, url: str | None = None, publisher: Publisher | None = None
    ) -> AsyncIterator[Callable[[], None]]:
        """A consumer at work; what is yielded tells it to stop, as leaving the block does."""
        stop = asyncio.Event()
        work = asyncio.create_task(self.consumer(url=url, publisher=publisher).run(stop))
        try:
            yield stop.set
        finally:
            stop.set()
            async with asyncio.timeout(self.limits.patience.drain_seconds + 10):
                await work

    def be(self, **changes: object) -> None:
        """Change limits before a consumer is made."""
        # The names are those of IntakeLimits; a wrong one fails at once.
        self.limits = replace(self.limits, **changes)  # type: ignore[arg-type]


def receipts_of(station: Station) -> str:
    return wire.station_queues(station=station.id, secret=station.secret).receipts


@contextlib.asynccontextmanager
async def an_intake(
    vhost: Vhost, *, publish_limits: PublishLimits | None = None, address: BrokerAddress | None = None
) -> AsyncIterator[Intake]:
    """A hub's topology in this virtual host and what a consumer needs, without a consumer yet."""
    plain = BrokerAddress(urls=(vhost.url,), connect_seconds=5)
    publisher = BrokerPublisher(address or plain, clock=Clock(), limits=publish_limits)
    context = address.tls.context() if address is not None and address.tls is not None else None
    async with publisher, wiretap(vhost.url, context=context) as tap:
        await publisher.declare_hub()
        yield Intake(vhost=vhost, tap=tap, publisher=publisher, desk=Desk(stations={}), address=address)
