"""
The whole topology of the broker as data, and its declaration.

Every exchange, queue and binding the axis uses is listed here and nowhere else. Declaring is idempotent; where the
broker holds something of the same name that differs, declaring stops with `TopologyDiffers`, and
`axis.broker.migration` brings the two together without losing a message.

Why it looks as it does: docs/broker.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import aiormq

from axis.broker import wire
from axis.broker.connection import SERVICE, cause_of
from axis.core.errors import AxisError, ServiceUnavailable
from axis.core.model import StationId

Argument = str | int | bool
_NONE: Final[Mapping[str, Argument]] = MappingProxyType({})


class TopologyDiffers(AxisError):
    """The broker holds something of this name with other properties; `axis broker plan` shows what."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name} in the broker differs from the topology; run `axis broker plan`: {problem}")
        self.name = name
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A durable exchange."""

    name: str
    kind: str
    arguments: Mapping[str, Argument] = field(default_factory=lambda: _NONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A durable queue."""

    name: str
    arguments: Mapping[str, Argument]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Binding:
    """From an exchange to a queue."""

    exchange: str
    queue: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A set of exchanges, queues and bindings that are declared together, in this order."""

    exchanges: tuple[Exchange, ...] = ()
    queues: tuple[Queue, ...] = ()
    bindings: tuple[Binding, ...] = ()


_QUORUM: Final[Mapping[str, Argument]] = MappingProxyType(
    {
        "x-queue-type": "quorum",
        # A message that was handed out so often and never settled kills who takes it: it is buried, not lost.
        "x-delivery-limit": wire.DELIVERY_LIMIT,
        "x-dead-letter-exchange": wire.DEAD,
        # The queue keeps a dead letter until the dead-letter queue has confirmed it; this needs reject-publish,
        # as dropping the oldest message to make room would be a loss nobody sees.
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
)
_LAST_RESORT: Final[Mapping[str, Argument]] = MappingProxyType(
    {
        "x-queue-type": "quorum",
        # There is nowhere to go from here, so no number of tries may end in the void: RabbitMQ 4 would drop
        # after 20 if nothing were said, and 3.10 knows no word for "never".
        "x-delivery-limit": 1_000_000_000,
        "x-overflow": "reject-publish",
    }
)


def last_resort_queue(name: str) -> Queue:
    """A queue that takes everything and gives nothing up."""
    return Queue(name=name, arguments=_LAST_RESORT)


def hub_topology() -> Topology:
    """What every axis has, however many stations."""
    return Topology(
        exchanges=(
            Exchange(name=wire.DEAD, kind="fanout"),
            Exchange(name=wire.UNROUTED, kind="fanout"),
            Exchange(name=wire.SUBMIT, kind="topic", arguments={"alternate-exchange": wire.UNROUTED}),
            Exchange(name=wire.ACK, kind="topic", arguments={"alternate-exchange": wire.UNROUTED}),
            # No alternate here: the hub publishes mandatory and must hear that a station's queue is missing.
            Exchange(name=wire.INBOX, kind="direct"),
        ),
        queues=(
            last_resort_queue(wire.DEAD),
            last_resort_queue(wire.UNROUTED),
            *(Queue(name=name, arguments=_QUORUM) for name in wire.INTAKES),
        ),
        bindings=(
            Binding(exchange=wire.DEAD, queue=wire.DEAD, key=""),
            Binding(exchange=wire.UNROUTED, queue=wire.UNROUTED, key=""),
            Binding(exchange=wire.SUBMIT, queue=wire.INTAKE_URGENT, key="edoc.urgent.*"),
            Binding(exchange=wire.SUBMIT, queue=wire.INTAKE_NORMAL, key="edoc.normal.*"),
            Binding(exchange=wire.SUBMIT, queue=wire.INTAKE_STATUS, key="status.normal.*"),
            Binding(exchange=wire.ACK, queue=wire.INTAKE_ACK, key="*"),
        ),
    )


def station_topology(queues: wire.StationQueues) -> Topology:
    """The three queues of one station. Only the axis declares them; the station cannot configure anything."""
    names = (queues.urgent, queues.inbox, queues.receipts)
    return Topology(
        queues=tuple(Queue(name=name, arguments=_QUORUM) for name in names),
        bindings=tuple(Binding(exchange=wire.INBOX, queue=name, key=name) for name in names),
    )


def whole_topology(stations: Iterable[tuple[StationId, str]]) -> Topology:
    """Everything of one axis: the hub's part and that of every station, given by id and secret."""
    hub = hub_topology()
    parts = [
        station_topology(wire.station_queues(station=station, secret=secret))
        for station, secret in sorted(stations)
    ]
    return Topology(
        exchanges=hub.exchanges,
        queues=(*hub.queues, *(queue for part in parts for queue in part.queues)),
        bindings=(*hub.bindings, *(binding for part in parts for binding in part.bindings)),
    )


async def declare(channel: aiormq.Channel, topology: Topology, *, timeout_seconds: float = 30) -> None:
    """
    Declare everything in `topology` on an open channel. What is there already stays as it is.

    Raises:
        TopologyDiffers: something of the same name has other properties. The channel is closed by then.
        ServiceUnavailable: the broker did not answer.
    """
    name = ""
    try:
        async with asyncio.timeout(timeout_seconds):
            for exchange in topology.exchanges:
                name = exchange.name
                await channel.exchange_declare(
                    name, exchange_type=exchange.kind, durable=True, arguments=dict(exchange.arguments)
                )
            for queue in topology.queues:
                name = queue.name
                await channel.queue_declare(name, durable=True, arguments=dict(queue.arguments))
            for binding in topology.bindings:
                name = binding.queue
                await channel.queue_bind(binding.queue, binding.exchange, binding.key)
    except aiormq.ChannelPreconditionFailed as error:
        raise TopologyDiffers(name, cause_of(error)) from error
    except (aiormq.AMQPError, OSError, RuntimeError, TimeoutError) as error:
        raise ServiceUnavailable(SERVICE, f"declaring {name}: {cause_of(error)}") from error
