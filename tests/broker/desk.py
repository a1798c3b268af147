"""
Builders and fakes for the broker's tests: messages, a clock, ids, and a desk that remembers what it was told.

The fakes keep what the real ones promise and no more: the desk answers the same submission the same way, and a
message that is named poisonous makes it behave as a bug would.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from axis.core.directory import Station
from axis.core.errors import AxisError, ServiceUnavailable
from axis.core.exchange import Answer, Consignment, DeliveryRef, Statement, StationMessage
from axis.core.ids import compose
from axis.core.model import (
    Channel,
    ConsignmentId,
    DeliveryId,
    Digest,
    DocumentKey,
    Kind,
    Lane,
    LegalValue,
    SignaturePolicy,
    StationId,
    StationState,
    SubmissionId,
    SubmissionState,
    Tier,
)
from axis.core.ports import InboundMessage, Outgoing, OutgoingConsignment, Published

_Fact = TypeVar("_Fact")

NOON = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)


class Clock:
    """Time that moves a millisecond whenever somebody looks."""

    def __init__(self) -> None:
        self._now = NOON

    def now(self) -> datetime:
        self._now += timedelta(milliseconds=1)
        return self._now


class Ids:
    """Ids that count."""

    def __init__(self) -> None:
        self._last = 0

    def new(self, at: datetime) -> str:
        self._last += 1
        return compose(at=at, randomness=self._last)


def a_station(name: str = "bo-noi-vu", *, state: StationState = StationState.ACTIVE) -> Station:
    return Station(
        id=StationId(name),
        name=name,
        state=state,
        channel=Channel.AMQP,
        policy=SignaturePolicy.REQUIRED,
        inline_bytes=65_536,
        window=1_000,
        secret=hashlib.sha256(name.encode()).hexdigest()[:16],
    )


def a_consignment(number: int = 1, *, lane: Lane = Lane.NORMAL) -> Consignment:
    return Consignment(
        consignment=ConsignmentId(f"consignment-{number}"),
        document=DocumentKey(f"document-{number}"),
        kind=Kind.EDOC,
        lane=lane,
        digest=Digest("0" * 64),
        size=5,
        tier=Tier.PASSED,
        value=LegalValue.ORIGINAL,
        report=None,
        attempt=1,
        deliveries=(DeliveryRef(delivery=DeliveryId(f"delivery-{number}"), code="000.00.00.H26"),),
        deliveries_total=1,
        sent_at=NOON,
    )


def outgoing(
    station: Station, number: int = 1, *, body: bytes | None = b"<edXML/>", lane: Lane = Lane.NORMAL
) -> OutgoingConsignment:
    return OutgoingConsignment(
        station=station.id,
        secret=station.secret,
        message_id=f"{station.id}-message-{number}",
        header=a_consignment(number, lane=lane),
        body=body,
    )


@dataclass
class Said:
    """One thing a station said or asked, as the desk heard it."""

    station: StationId
    message: StationMessage
    at: datetime
    message_id: str = ""


@dataclass
class Ignored:
    """One message the desk was told to take note of and nothing else."""

    station: StationId | None
    message_id: str
    problem: str


@dataclass
class Desk:
    """What the consumer talks to: answers every submission, remembers everything."""

    stations: dict[StationId, Station]
    batches: list[list[InboundMessage]] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    asked: list[Said] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)
    down: bool = False
    """The ledger does not answer."""
    poison: bytes | None = None
    """A body that makes admission fail as a bug would; a delivery of this name does the same to statements."""
    gate: asyncio.Event | None = None
    """Admission waits here before anything is recorded."""
    no: AxisError | None = None
    """What a question is answered with instead of an answer."""
    refused_calls: int = 0
    """Calls that were told that the ledger does not answer."""
    under_way: int = 0
    most_under_way: int = 0

    @property
    def admitted(self) -> list[InboundMessage]:
        return [one for batch in self.batches for one in batch]

    async def _look(self) -> None:
        await asyncio.sleep(0)
        if self.down:
            self.refused_calls += 1
            raise ServiceUnavailable("ledger", "the test says so")

    async def active(self, names: Collection[StationId]) -> Mapping[StationId, Station]:
        found = {name: self.stations[name] for name in names if name in self.stations}
        return {name: one for name, one in found.items() if one.state is not StationState.SUSPENDED}

    async def admit(self, messages: Sequence[InboundMessage]) -> Sequence[Answer]:
        await self._look()
        if not messages:
            return []
        self.under_way += 1
        self.most_under_way = max(self.under_way, self.most_under_way)
        try:
            if self.gate is not None:
                await self.gate.wait()
            if self.poison is not None and any(one.body == self.poison for one in messages):
                raise ZeroDivisionError("a bug")
            self.batches.append(list(messages))
            return [_answer(one) for one in messages]
        finally:
            self.under_way -= 1

    async def say_all(self, said: Sequence[Statement]) -> None:
        await self._look()
        if any(ack.delivery.encode() == self.poison for one in said for ack in one.message.acks):
            raise ZeroDivisionError("a bug")
        self.said += [
            Said(station=one.station.id, message=one.message, at=one.at, message_id=one.message_id)
            for one in said
        ]

    async def ask(self, station: Station, message: StationMessage, *, at: datetime) -> bytes:
        await self._look()
        if self.no is not None:
            raise self.no
        self.asked.append(Said(station=station.id, message=message, at=at))
        return b'{"type":"where_is"}'

    async def ignore(self, *, station: StationId | None, message_id: str, problem: str, at: datetime) -> None:
        await self._look()
        assert at.tzinfo is not None
        self.ignored.append(Ignored(station=station, message_id=message_id, problem=problem))


def _answer(message: InboundMessage) -> Answer:
    body = message.body if isinstance(message.body, bytes) else message.body.read_bytes()
    refused = message.station is None or not message.message_id or not body.startswith(b"<")
    return Answer(
        submission=SubmissionId("submission"),
        state=SubmissionState.REFUSED if refused else SubmissionState.ACCEPTED,
        message_id=message.message_id,
        digest=Digest(hashlib.sha256(body).hexdigest()),
        at=message.received_at,
        headline_vi="",
        headline_en="",
        document=None if refused else DocumentKey("document"),
    )


class Outbox:
    """A publisher that keeps what it is given."""

    def __init__(self, *, before: Callable[[], Awaitable[None]] | None = None) -> None:
        self.sent: list[Outgoing] = []
        self._before = before

    async def publish(self, outgoing: Sequence[Outgoing]) -> Sequence[Published]:
        if self._before is not None:
            await self._before()
        self.sent += outgoing
        return [Published.CONFIRMED] * len(outgoing)


async def until(fact: Callable[[], _Fact], *, within_s: float = 15, what: str = "the fact holds") -> _Fact:
    """Return the first truthy value of `fact`; fail when there is none in time."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not (value := fact()):
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"{what}: not within {within_s:g} s")
        await asyncio.sleep(0.01)
    return value
