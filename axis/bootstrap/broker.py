"""Everything between an axis and its broker: what a hub runs, the stations' accounts, the topology."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import unquote, urlsplit

from axis.bootstrap.parts import Axis, open_axis
from axis.bootstrap.system import SystemRandomness
from axis.broker.admin import StationUsers
from axis.broker.connection import BrokerAddress, TLSFiles
from axis.broker.consumer import Consumer
from axis.broker.management import Management
from axis.broker.migration import Migration, Say
from axis.broker.publisher import BrokerPublisher
from axis.broker.topology import whole_topology
from axis.broker.undertaker import Undertaker
from axis.core.errors import SettingsError
from axis.core.model import Channel
from axis.core.ports import StationAccounts
from axis.flow.dispatch import Dispatcher, Pace
from axis.settings import Settings


def broker_address(settings: Settings) -> BrokerAddress:
    """
    Where the broker is and who we are there.

    Raises:
        SettingsError: no broker is configured.
    """
    if settings.is_embedded:
        raise SettingsError(("AXIS_BROKER_URL: required for this command",))
    tls = None
    if settings.broker_ca is not None:
        tls = TLSFiles(ca=settings.broker_ca, certificate=settings.broker_cert, key=settings.broker_key)
    return BrokerAddress(
        urls=tuple(one.reveal() for one in settings.broker_urls),
        tls=tls,
        external=settings.broker_external,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerParts:
    """What a hub does with the broker."""

    publisher: BrokerPublisher
    consumer: Consumer
    dispatcher: Dispatcher
    undertaker: Undertaker


@asynccontextmanager
async def open_broker(axis: Axis) -> AsyncIterator[BrokerParts]:
    """
    Everything between an axis and its broker; the hub's exchanges and queues are declared.

    Raises:
        SettingsError: no broker is configured.
        TopologyDiffers: run `axis broker plan`.
        ServiceUnavailable: the broker does not answer.
    """
    address = broker_address(axis.settings)
    async with BrokerPublisher(address, clock=axis.clock) as publisher:
        await publisher.declare_hub()
        yield BrokerParts(
            publisher=publisher,
            consumer=Consumer(
                address,
                desk=axis.desk,
                publisher=publisher,
                clock=axis.clock,
                ids=axis.ids,
                ignore=axis.desk.ignore,
                declare_station=publisher.declare_station,
            ),
            dispatcher=Dispatcher(
                ledger=axis.ledger,
                outbox=axis.outbox,
                blobs=axis.blobs,
                publisher=publisher,
                declare=publisher.declare_station,
                depth=publisher.depth,
                directories=axis.directories,
                clock=axis.clock,
                ids=axis.ids,
                bells=axis.bells,
                pace=Pace(unsettled=timedelta(seconds=axis.settings.reoffer_seconds)),
            ),
            undertaker=Undertaker(address, bury=axis.gravedigger.bury, clock=axis.clock),
        )


@asynccontextmanager
async def open_accounts(settings: Settings) -> AsyncIterator[StationAccounts | None]:
    """
    The stations' users at the broker; None for an embedded axis, which has no broker.

    Raises:
        SettingsError: there is a broker, and its management interface is not configured.
    """
    if settings.is_embedded:
        yield None
        return
    own_user = unquote(urlsplit(settings.broker_urls[0].reveal()).username or "")
    async with open_management(settings) as management:
        yield StationUsers(management, reserved=(own_user,) if own_user else ())


@asynccontextmanager
async def open_management(settings: Settings) -> AsyncIterator[Management]:
    """
    The broker's management interface, in the axis's virtual host.

    Raises:
        SettingsError: it is not configured.
    """
    if settings.broker_management_url is None:
        raise SettingsError(("AXIS_BROKER_MANAGEMENT_URL: required for this command",))
    path = urlsplit(settings.broker_urls[0].reveal()).path
    async with Management(
        settings.broker_management_url.reveal(),
        vhost=unquote(path.removeprefix("/")) or "/",
        ca=settings.broker_ca,
    ) as management:
        yield management


async def plan_topology(settings: Settings, *, say: Say) -> list[dict[str, str]]:
    """
    What differs between the broker and this version's topology; empty when nothing does.

    Raises:
        SettingsError: broker or management interface is not configured.
        ServiceUnavailable: one of them does not answer.
    """
    async with _migration(settings) as migration:
        return [one.row(say) for one in await migration.plan()]


async def apply_topology(
    settings: Settings, *, progress: Callable[[str], None], say: Say
) -> list[dict[str, str]]:
    """
    Bring the broker to this version's topology without losing a message; returns what differed.

    Raises:
        SettingsError: broker or management interface is not configured.
        MoveBlocked: a client has messages in hand and does not acknowledge them.
        ServiceUnavailable: one of them does not answer.
    """
    async with _migration(settings) as migration:
        return [one.row(say) for one in await migration.apply(progress=progress, say=say)]


@asynccontextmanager
async def _migration(settings: Settings) -> AsyncIterator[Migration]:
    address = broker_address(settings)
    async with open_axis(settings) as axis, open_management(settings) as management:
        stations = (await axis.directories.current()).stations.values()
        topology = whole_topology(
            (one.id, one.secret) for one in stations if one.channel is Channel.AMQP and one.secret
        )
        yield Migration(management, address, topology=topology, randomness=SystemRandomness())
