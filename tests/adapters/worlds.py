"""
The contract's worlds for the pretended axis: one behind RabbitMQ, one behind the axis's own HTTP application.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from adapters.errors import HistoryRewritten
from adapters.over_amqp import AMQPLimits
from adapters.over_http import HTTPLimits
from adapters.station import Credentials, Station
from axis.core.events import EventKind
from axis.core.exchange import Ack, Duty, Outcome, Owed, OwedBy
from axis.core.model import ConsignmentId, DeliveryState, Digest, DocumentKey, Lane
from axis.web.app import create_app
from axis.web.server import serve
from signing.receipts import TrustedKeys
from tests.adapters.broker_door import BrokerDoor
from tests.adapters.pretend import TRUSTED, PretendAxis
from tests.services.proxy import TCPProxy
from tests.services.rabbitmq import Vhost

AMQP_LIMITS = AMQPLimits(
    connect_seconds=3, heartbeat_seconds=1, confirm_seconds=1, answer_seconds=5, reply_seconds=2
)
HTTP_LIMITS = HTTPLimits(connect_seconds=1, answer_seconds=1, wait_seconds=1)
"""A second of patience, so that a frozen connection does not cost a minute."""


class PretendWorld:
    """What both have in common."""

    def __init__(self, axis: PretendAxis, *, network: TCPProxy, credentials: Credentials) -> None:
        self.axis = axis
        self.network = network
        self.trusted: TrustedKeys = TRUSTED
        self.credentials = credentials
        self.offered: dict[DocumentKey, ConsignmentId] = {}

    async def offer(
        self,
        body: bytes,
        *,
        lane: Lane = Lane.NORMAL,
        codes: Sequence[str] = ("000.00.00.H41",),
        claim: Digest | None = None,
    ) -> DocumentKey:
        consignment = self.axis.offer(self.credentials.station, body, lane=lane, codes=codes, claim=claim)
        document = self.axis.document_of(consignment)
        self.offered[document] = consignment
        return document

    async def offer_again(self, document: DocumentKey) -> None:
        self.axis.offer_again(self.offered[document])

    async def recall(self, document: DocumentKey) -> None:
        self.axis.recall(self.offered[document])

    def let_go(self, document: DocumentKey) -> None:
        self.axis.let_go(self.offered[document])

    def states(self, document: DocumentKey) -> Sequence[DeliveryState]:
        return self.axis.states(self.offered[document])

    def outcomes(self, document: DocumentKey) -> Sequence[Outcome]:
        return self.axis.outcomes(self.offered[document])

    def sayings(self) -> Sequence[Sequence[Ack]]:
        return self.axis.sayings

    def reason(self, document: DocumentKey) -> str:
        return self.axis.reason(self.offered[document])

    def submissions(self, message_id: str) -> int:
        return self.axis.recorded(message_id)

    def lane_of(self, message_id: str) -> Lane:
        return next(one.lane for one in self.axis.taken if one.message_id == message_id)

    def owe(self, duty: Duty, *, by: OwedBy) -> Owed:
        return self.axis.owe(self.credentials.station, duty, by=by)

    def list_by(self, number: int) -> None:
        self.axis.owed_page = number

    async def tell(self, kind: EventKind) -> str:
        return self.axis.tell(self.credentials.station, kind).record


class AMQPWorld(PretendWorld):
    """Over RabbitMQ."""

    def __init__(
        self,
        axis: PretendAxis,
        *,
        network: TCPProxy,
        web: TCPProxy,
        credentials: Credentials,
        door: BrokerDoor,
        url: str,
    ) -> None:
        super().__init__(axis, network=network, credentials=credentials)
        self.web = web
        self.door = door
        self._url = url

    def connect(
        self,
        *,
        state: Path | None = None,
        trusted: TrustedKeys | None = None,
        receipts: Path | None = None,
        credentials: Credentials | None = None,
        http: str | None = None,
    ) -> Station:
        return Station(
            self.network.url(self.door.vhost.url),
            credentials or self.credentials,
            http=http,
            state=state,
            trusted=trusted,
            receipts=receipts,
            amqp_limits=AMQP_LIMITS,
            http_limits=HTTP_LIMITS,
        )

    def connect_with_http(
        self,
        *,
        state: Path | None = None,
        trusted: TrustedKeys | None = None,
        credentials: Credentials | None = None,
    ) -> Station:
        return self.connect(
            state=state, trusted=trusted, credentials=credentials, http=self.web.url(self._url)
        )

    async def recall(self, document: DocumentKey) -> None:
        await self.door.withdraw(self.offered[document])

    async def suspend(self, *, suspended: bool) -> None:
        self.axis.suspend(self.credentials.station, suspended=suspended)
        await self.door.suspend(self.credentials.station, suspended=suspended)


class HTTPWorld(PretendWorld):
    """Over the axis's own HTTP application."""

    def __init__(self, axis: PretendAxis, *, network: TCPProxy, credentials: Credentials, url: str) -> None:
        super().__init__(axis, network=network, credentials=credentials)
        self.web = network
        self.url = url

    def connect(
        self,
        *,
        state: Path | None = None,
        trusted: TrustedKeys | None = None,
        receipts: Path | None = None,
        credentials: Credentials | None = None,
        on_alarm: Callable[[HistoryRewritten], None] | None = None,
        witness_seconds: float = 300,
    ) -> Station:
        return Station(
            self.network.url(self.url),
            credentials or self.credentials,
            state=state,
            trusted=trusted,
            receipts=receipts,
            on_alarm=on_alarm,
            witness_seconds=witness_seconds,
            http_limits=HTTP_LIMITS,
        )

    def connect_with_http(self, *, state: Path | None = None, trusted: TrustedKeys | None = None) -> Station:
        return self.connect(state=state, trusted=trusted)

    async def suspend(self, *, suspended: bool) -> None:
        self.axis.suspend(self.credentials.station, suspended=suspended)


@asynccontextmanager
async def served(axis: PretendAxis) -> AsyncIterator[str]:
    """The axis's own application over this axis, on loopback; its address."""
    stop = asyncio.Event()
    address: asyncio.Queue[str] = asyncio.Queue()
    serving = asyncio.ensure_future(
        serve(create_app(axis.services()), host="127.0.0.1", port=0, stop=stop, ready=address.put_nowait)
    )
    try:
        async with asyncio.timeout(10):
            found = await address.get()
        yield found
    finally:
        stop.set()
        await serving


@asynccontextmanager
async def http_world(folder: Path, tcp_proxy: Callable[[str], TCPProxy]) -> AsyncIterator[HTTPWorld]:
    """One station over HTTP."""
    axis = PretendAxis(folder)
    station, key = axis.add_station("bo-noi-vu")
    async with served(axis) as url:
        yield HTTPWorld(
            axis,
            network=tcp_proxy(url),
            credentials=Credentials(station=station.id, key=key),
            url=url,
        )


@asynccontextmanager
async def amqp_world(
    folder: Path, vhost: Vhost, tcp_proxy: Callable[[str], TCPProxy], *, name: str
) -> AsyncIterator[AMQPWorld]:
    """One station over RabbitMQ; `name` keeps it apart from those of other tests in this virtual host."""
    axis = PretendAxis(folder)
    door = BrokerDoor(axis, vhost)
    await door.open()
    try:
        station, key, _ = await door.add_station(name)
        async with served(axis) as url:
            yield AMQPWorld(
                axis,
                network=tcp_proxy(vhost.url),
                web=tcp_proxy(url),
                credentials=Credentials(station=station.id, key=key, queue_secret=station.secret),
                door=door,
                url=url,
            )
    finally:
        await door.close()
