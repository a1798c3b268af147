"""
The way into the axis over AMQP: submissions, statuses and acknowledgements out of the four intake queues.

The station of a message is the broker's validated `user_id` and nothing else. A message is acknowledged to the
broker only when its answer is recorded and the receipt lies in the station's queue; until then the broker keeps it.
Nothing is parsed here and nothing is judged: whatever arrives is handed to the desk, which always has an answer.

How messages are taken, and what happens to one that kills whoever takes it: `axis.broker.serving`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final, Protocol

import structlog

from axis.broker import wire
from axis.broker.connection import BrokerAddress, Link
from axis.broker.envelope import UNREADABLE
from axis.broker.serving import (
    Arrival,
    Attempt,
    Floor,
    GaveUp,
    Patience,
    QueueLimits,
    QueueServer,
    Serve,
)
from axis.broker.topology import TopologyDiffers
from axis.core.directory import Station
from axis.core.exchange import (
    NO_ANSWER,
    Answer,
    Ask,
    BadMessage,
    Statement,
    StationMessage,
    dump,
    no_answer_json,
    read_station_message,
)
from axis.core.model import Digest, Lane, StationId
from axis.core.ports import (
    Clock,
    Ids,
    InboundMessage,
    Outgoing,
    OutgoingAnswer,
    OutgoingReply,
    Published,
    Publisher,
)

_log = structlog.get_logger(__name__)


class FrontDesk(Protocol):
    """What the consumer needs of `axis.flow.desk.Desk`."""

    async def active(self, names: Collection[StationId]) -> Mapping[StationId, Station]:
        """By validated identity; those that are unknown or suspended are not in it."""
        ...

    async def admit(self, messages: Sequence[InboundMessage]) -> Sequence[Answer]:
        """
        One answer per message, in order. Raises `ServiceUnavailable`: nothing was recorded.
        Without messages it asks only whether the ledger answers.
        """
        ...

    async def say_all(self, said: Sequence[Statement]) -> None:
        """Record acknowledgements, in order, and take note of `resync`."""
        ...

    async def ask(self, station: Station, message: StationMessage, *, at: datetime) -> bytes:
        """Answer a question in JSON."""
        ...


class Ignore(Protocol):
    """Records an acknowledgement message that says nothing the axis could act on."""

    async def __call__(
        self, *, station: StationId | None, message_id: str, problem: str, at: datetime
    ) -> None:
        """Raises `ServiceUnavailable`: not recorded, try again."""
        ...


class Declarer(Protocol):
    """Makes the queues of a station anew when they are gone: `BrokerPublisher.declare_station`."""

    async def __call__(self, *, station: StationId, secret: str) -> None:
        """Raises `ServiceUnavailable`."""
        ...


URGENT: Final = QueueLimits(batch=64, batch_bytes=16 << 20, linger_seconds=0.002, parallel=3, prefetch=256)
NORMAL: Final = QueueLimits(batch=64, batch_bytes=16 << 20, linger_seconds=0.005, parallel=2, prefetch=128)
STATUS: Final = QueueLimits(batch=64, batch_bytes=16 << 20, linger_seconds=0.005, parallel=1, prefetch=128)
ACK: Final = QueueLimits(batch=256, batch_bytes=16 << 20, linger_seconds=0.002, parallel=1, prefetch=512)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeLimits:
    """
    Limits per queue. Urgent documents have a queue, a share of the prefetch and calls of the desk to themselves, so
    that they never stand behind normal ones.
    """

    urgent: QueueLimits = URGENT
    normal: QueueLimits = NORMAL
    status: QueueLimits = STATUS
    ack: QueueLimits = ACK
    patience: Patience = field(default_factory=Patience)
    answer_seconds: float = 10
    """
    How long a station's queue may refuse an answer while the broker takes others. The answer is then left in the
    ledger: one broken queue must not stop the intake for everybody.
    """
    deaf_seconds: float = 60
    """How long such a station gets only one try an answer."""


class Consumer:
    """
    Serves the four intake queues until told to stop.

    `run` returns only after `stop` is set; a broker or ledger that is away for hours is waited for.
    """

    def __init__(
        self,
        address: BrokerAddress,
        *,
        desk: FrontDesk,
        publisher: Publisher,
        clock: Clock,
        ids: Ids,
        ignore: Ignore,
        declare_station: Declarer | None = None,
        limits: IntakeLimits | None = None,
        name: str = "axis in",
    ) -> None:
        self._desk = desk
        self._publisher = publisher
        self._clock = clock
        self._ids = ids
        self._ignore = ignore
        self._declare_station = declare_station
        self._limits = limits or IntakeLimits()
        self._link = Link(address, name=name)
        self._deaf_until: dict[StationId, float] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Take messages until `stop`, then finish what was taken, within the time for draining."""
        limits = self._limits
        floor = Floor()
        servers = [
            QueueServer(
                self._link,
                queue=queue,
                limits=of_queue,
                patience=limits.patience,
                clock=self._clock,
                serve=serve,
                floor=floor,
                is_ready=lambda: self._desk.admit(()),
            )
            for queue, of_queue, serve in (
                (wire.INTAKE_URGENT, limits.urgent, self._submissions(Lane.URGENT)),
                (wire.INTAKE_NORMAL, limits.normal, self._submissions(Lane.NORMAL)),
                (wire.INTAKE_STATUS, limits.status, self._submissions(Lane.NORMAL)),
                (wire.INTAKE_ACK, limits.ack, self._statements),
            )
        ]
        try:
            async with asyncio.TaskGroup() as group:
                for server in servers:
                    group.create_task(server.run(stop))
        finally:
            await self._link.close()

    # --- submissions ----------------------------------------------------------------------------------------------

    def _submissions(self, lane: Lane) -> Serve:
        async def serve(arrivals: Sequence[Arrival], attempt: Attempt) -> Mapping[int, Exception]:
            messages = [_submission(one, lane=lane) for one in arrivals]
            answers = await attempt.insist(lambda: self._desk.admit(messages))
            stations = await self._senders(arrivals, attempt)
            letters = [
                _receipt(stations[message.station], answer)
                for message, answer in zip(messages, answers, strict=True)
                # Who is not a station has no queue to be answered in; what it sent is recorded all the same.
                if message.station is not None and message.station in stations
            ]
            await self._post(letters, attempt)
            return {}

        return serve

    # --- letters to stations --------------------------------------------------------------------------------------

    async def _post(self, letters: Sequence[_Letter], attempt: Attempt) -> None:
        """
        Publish until every letter is confirmed, each attempt under a new message id.

        A queue that is missing is declared anew once. What cannot be delivered even then, or is refused for too
        long, is left in the ledger, where the station finds it: a submission sent again gets the same answer.
        """
        waiting = list(letters)
        declared: set[StationId] = set()
        loop = asyncio.get_running_loop()
        patient_until = loop.time() + self._limits.answer_seconds
        while waiting:
            results = await attempt.insist(partial(self._publish, waiting))
            refused = []
            missing: dict[StationId, _Letter] = {}
            for letter, result in zip(waiting, results, strict=True):
                name = letter.station.id
                if result is Published.CONFIRMED:
                    self._deaf_until.pop(name, None)
                elif result is Published.UNROUTED:
                    if self._declare_station is None or name in declared:
                        self._leave_in_ledger(letter, result)
                    else:
                        missing[name] = letter
                elif loop.time() > patient_until or loop.time() < self._deaf_until.get(name, 0):
                    self._deaf_until[name] = loop.time() + self._limits.deaf_seconds
                    self._leave_in_ledger(letter, result)
                else:
                    refused.append(letter)
            again = [
                letter
                for letter, result in zip(waiting, results, strict=True)
                if result is Published.UNROUTED and letter.station.id in missing
            ]
            for letter in missing.values():
                await self._declare(letter.station, attempt)
            declared |= missing.keys()
            if refused:
                await attempt.pause()
            waiting = refused + again

    async def _publish(self, letters: Sequence[_Letter]) -> Sequence[Published]:
        at = self._clock.now()
        return await self._publisher.publish([one.under(self._ids.new(at)) for one in letters])

    async def _declare(self, station: Station, attempt: Attempt) -> None:
        declare = self._declare_station
        assert declare is not None
        try:
            await attempt.insist(lambda: declare(station=station.id, secret=station.secret))
        except TopologyDiffers as error:
            _log.error("station.topology_differs", station=station.id, queue=error.name)

    def _leave_in_ledger(self, letter: _Letter, result: Published) -> None:
        _log.error("answer.left_in_ledger", station=letter.station.id, published=result.value)

    # --- what stations say ----------------------------------------------------------------------------------------

    async def _senders(self, arrivals: Sequence[Arrival], attempt: Attempt) -> Mapping[StationId, Station]:
        names = {one.station for one in arrivals if one.station is not None}
        return await attempt.insist(lambda: self._desk.active(names))

    async def _statements(self, arrivals: Sequence[Arrival], attempt: Attempt) -> Mapping[int, Exception]:
        """What is said of deliveries together and in order; then, each for itself, what is asked or says nothing."""
        speakers = await self._senders(arrivals, attempt)
        said: dict[int, Statement] = {}
        others: list[tuple[Arrival, Station | None, StationMessage | None, str]] = []
        for arrival in arrivals:
            message, problem = _statement(arrival)
            speaker = speakers.get(arrival.station) if arrival.station is not None else None
            if message is None or speaker is None:
                others.append((arrival, speaker, message, problem or "the sender is not an active station"))
                continue
            if message.acks or message.ask is Ask.RESYNC:
                said[arrival.tag] = Statement(
                    station=speaker, message=message, message_id=arrival.message_id, at=arrival.at
                )
            if message.ask is not None and message.ask is not Ask.RESYNC:
                others.append((arrival, speaker, message, ""))
        faults = await self._say(said, attempt)
        async with asyncio.TaskGroup() as group:
            for arrival, speaker, message, problem in others:
                if arrival.tag not in faults:
                    group.create_task(
                        self._other(arrival, speaker, message, problem, attempt=attempt, faults=faults)
                    )
        for fault in faults.values():
            if isinstance(fault, GaveUp):
                raise fault
        return faults

    async def _say(self, said: Mapping[int, Statement], attempt: Attempt) -> dict[int, Exception]:
        """All of it in one call; when that cannot be, one after the other: what is wrong with one stays with it."""
        if not said:
            return {}
        try:
            await attempt.insist(lambda: self._desk.say_all(list(said.values())))
        except GaveUp:
            raise
        except Exception:  # noqa: BLE001 - said, and told apart below
            # Whose fault it is shows below; that it happened must not be hidden by all of them passing alone.
            _log.exception("statements.one_by_one", statements=len(said))
        else:
            return {}
        faults: dict[int, Exception] = {}
        for tag, one in said.items():
            try:
                await attempt.insist(partial(self._desk.say_all, [one]))
            # Its neighbours are recorded and acknowledged; this one is tried again alone.
            except Exception as error:  # noqa: BLE001 - returned to the caller, who logs it
                faults[tag] = error
        return faults

    async def _other(
        self,
        arrival: Arrival,
        speaker: Station | None,
        message: StationMessage | None,
        problem: str,
        *,
        attempt: Attempt,
        faults: dict[int, Exception],
    ) -> None:
        try:
            if message is None or speaker is None:
                await attempt.insist(
                    lambda: self._ignore(
                        station=arrival.station,
                        message_id=arrival.message_id,
                        problem=problem,
                        at=arrival.at,
                    )
                )
            else:
                body = await self._reply(speaker, message, arrival=arrival, attempt=attempt)
                await self._post([_reply_letter(speaker, arrival, body)], attempt)
        except Exception as error:  # noqa: BLE001 - returned to the caller, who logs it
            faults[arrival.tag] = error

    async def _reply(
        self, station: Station, message: StationMessage, *, arrival: Arrival, attempt: Attempt
    ) -> bytes:
        try:
            return await attempt.insist(lambda: self._desk.ask(station, message, at=arrival.at))
        except NO_ANSWER as error:
            return dump(no_answer_json(message, error))


@dataclass(frozen=True, slots=True)
class _Letter:
    """Something a station is told, under whatever message id the next attempt has."""

    station: Station
    under: Callable[[str], Outgoing]


def _receipt(station: Station, answer: Answer) -> _Letter:
    return _Letter(
        station,
        lambda message_id: OutgoingAnswer(
            station=station.id, secret=station.secret, message_id=message_id, answer=answer
        ),
    )


def _reply_letter(station: Station, question: Arrival, body: bytes) -> _Letter:
    return _Letter(
        station,
        lambda message_id: OutgoingReply(
            station=station.id,
            secret=station.secret,
            message_id=message_id,
            correlation_id=question.message_id,
            body=body,
        ),
    )


# --- reading the envelope -----------------------------------------------------------------------------------------


def _submission(arrival: Arrival, *, lane: Lane) -> InboundMessage:
    declared = arrival.headers.get(wire.H_DIGEST)
    return InboundMessage(
        station=arrival.station,
        message_id=arrival.message_id,
        body=arrival.body,
        lane=lane,
        received_at=arrival.at,
        # Not judged here: a digest that is none matches nothing.
        declared_digest=Digest(str(declared)[:64]) if declared is not None else None,
        by_digest=arrival.content_type == wire.BY_DIGEST,
        envelope_problem=_envelope_problem(arrival, types=wire.SUBMITTED),
    )


def _envelope_problem(arrival: Arrival, *, types: Collection[str]) -> str:
    version = str(arrival.headers.get(wire.H_VERSION, "1"))
    if version not in wire.VERSIONS:
        return f"{wire.H_VERSION} {version[:100]!r}"
    if arrival.content_type.partition(";")[0].strip().lower() not in types:
        return f"content type {arrival.content_type[:100]!r}"
    return ""


def _statement(arrival: Arrival) -> tuple[StationMessage | None, str]:
    if UNREADABLE in arrival.headers:
        return None, f"headers: {arrival.headers[UNREADABLE]}"
    problem = _envelope_problem(arrival, types=("", wire.JSON_TYPE))
    if problem:
        return None, problem
    try:
        message = read_station_message(arrival.body)
    except BadMessage as bad:
        return None, str(bad)[:500]
    if not arrival.message_id:
        return None, "no message id"
    return message, ""
