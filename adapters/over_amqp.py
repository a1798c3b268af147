"""
The way to the axis over AMQP: one connection, opened when first needed and opened anew after it broke.

Channels: one that publishes with confirms, one that reads the station's `receipts` queue, one per inbox. The client
library's own reconnecting connection is not used: it restores consumers and channels behind its caller's back, and its
caller must know, as delivery tags and outstanding confirms of the old channel mean nothing on the new one.

What the broker alone cannot do (uploads, whoami, the log) is asked over HTTP where there is an address for it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar

import aiormq
import structlog
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from adapters.amqp_link import Consumer, Link, address_of, reject, settle, translated, was_asked_to_stop
from adapters.errors import (
    Ambiguous,
    BadAnswer,
    Closed,
    MemoryUnusable,
    NotAllowed,
    NotAnswered,
    NotFound,
    NotPossible,
    Purged,
    Recalled,
    Refused,
)
from adapters.line import Arrival, Withdrawal, check_names
from adapters.mailbox import Mailbox
from adapters.memory import Memory
from adapters.over_http import OverHTTP
from adapters.package import Package
from adapters.pauses import Pauses
from adapters.payload import Payload
from axis.broker import wire
from axis.core.exchange import (
    Answer,
    Ask,
    BadMessage,
    Consignment,
    FeedEntry,
    NoAnswer,
    OwedList,
    OwedQuestion,
    StationMessage,
    Submitted,
    Whereabouts,
    dump,
    feed_json,
    load,
    read_answer,
    read_consignment,
    read_events,
    read_feed,
    read_owed_list,
    read_whereabouts,
    station_message_json,
)
from axis.core.model import ConsignmentId, DeliveryId, DocumentKey, Kind, Lane, StationId, SubmissionId
from axis.core.ports import Clock, Ids
from axis.core.reasons import ReasonCode
from axis.web.wire import OrganList, OrganRequest, SignedReport, Whoami, read_report

_log = structlog.get_logger(__name__)
_Shape = TypeVar("_Shape")

LETTERS: Final = 100
"""Most receipts, events and replies taken from the queue at a time."""
NOTICES: Final = 50
"""Room in the urgent consumer beyond the window, so that a withdrawal gets through when the caller's hands are full."""

_PERSISTENT: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class AMQPLimits:
    """How long the broker and the axis behind it may be silent."""

    connect_seconds: float = 10
    heartbeat_seconds: int = 10
    """A broker silent for three times as long is taken for gone."""
    confirm_seconds: float = 15
    answer_seconds: float = 600
    """A submission that was confirmed and not answered for so long is sent again: its receipt was lost."""
    reply_seconds: float = 30


class OverAMQP:
    """`adapters.line.Line` over AMQP."""

    def __init__(
        self,
        url: str,
        *,
        station: StationId,
        password: str,
        queue_secret: str | None,
        memory: Memory,
        events: Mailbox,
        receipts: Mailbox,
        http: OverHTTP | None,
        clock: Clock,
        ids: Ids,
        tls: ssl.SSLContext | None = None,
        limits: AMQPLimits | None = None,
    ) -> None:
        self._station = station
        self._queues = None if queue_secret is None else _queues(station, queue_secret)
        self._memory = memory
        self._events = events
        self._receipts = receipts
        self._http = http
        self._clock = clock
        self._ids = ids
        self._limits = limits or AMQPLimits()
        self._link = Link(
            address_of(url, station=station, password=password, heartbeat=self._limits.heartbeat_seconds),
            tls=tls,
            connect_seconds=self._limits.connect_seconds,
        )
        self._lane: aiormq.Channel | None = None
        self._opening = asyncio.Lock()
        self._answers: dict[str, asyncio.Future[Answer]] = {}
        self._replies: dict[str, asyncio.Future[Mapping[str, Any]]] = {}
        self._letters: asyncio.Task[None] | None = None
        self._reading = asyncio.Event()
        self._inboxes: set[AMQPArrivals] = set()
        self._is_closed = False

    async def close(self) -> None:
        self._is_closed = True
        for inbox in list(self._inboxes):
            await inbox.close()
        if self._letters is not None:
            self._letters.cancel()
            await asyncio.gather(self._letters, return_exceptions=True)
        waiting: list[asyncio.Future[Any]] = [*self._answers.values(), *self._replies.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(Closed("the station was closed"))
                # Whoever waits hears it; where nobody does any more, it is no fault.
                future.exception()
        await self._link.close()
        if self._http is not None:
            await self._http.close()

    # --- handing in -----------------------------------------------------------------------------------------------

    async def submit(self, package: Package, *, message_id: str, seconds: float | None) -> Answer:
        if message_id in self._answers:
            # Two messages of one id on one channel: the library would mix up their confirms.
            raise NotPossible(f"message {message_id} is being submitted already")
        waiting: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answers[message_id] = waiting
        handed_over = False
        limit = self._limits.answer_seconds
        try:
            async with asyncio.timeout(limit if seconds is None else min(seconds, limit)):
                await self.await_reading()
                await self._send(package, message_id=message_id)
                handed_over = True
                answer = await waiting
                if answer.reason is ReasonCode.RECEIVE_NOT_UPLOADED and package.by_digest:
                    self._answers[message_id] = waiting = asyncio.get_running_loop().create_future()
                    await self._send(package, message_id=message_id)
                    answer = await waiting
        except TimeoutError as error:
            raise NotAnswered(
                "handed over; the axis has not answered yet" if handed_over else "the broker does not answer",
                message_id=message_id,
                handed_over=handed_over,
            ) from error
        finally:
            self._answers.pop(message_id, None)
        return answer

    async def hand_over(self, package: Package, *, message_id: str) -> None:
        self._read_letters()
        await self._send(package, message_id=message_id)

    async def _send(self, package: Package, *, message_id: str) -> None:
        if package.by_digest:
            await self._need_http(
                "a message of more than 8 MiB is uploaded over HTTP: give the station an HTTP address, too"
                if package.size > wire.MAX_SUBMIT_BYTES
                else "a submission by digest is uploaded over HTTP: give the station an HTTP address, too"
            ).upload(package)
        await self._publish(
            package.digest.encode() if package.by_digest else await asyncio.to_thread(_body, package),
            exchange=wire.SUBMIT,
            key=wire.submit_key(kind=package.kind, lane=package.lane, station=self._station),
            message_id=message_id,
            content_type=wire.BY_DIGEST if package.by_digest else wire.EDXML,
            headers={wire.H_DIGEST: package.digest},
        )

    async def answer_to(self, *, submission: SubmissionId | None, message_id: str | None) -> Answer:
        http = self._need_http(
            "over AMQP alone an answer is given again to the same bytes with the same message id;"
            " to look it up, give the station an HTTP address, too"
        )
        return await http.answer_to(submission=submission, message_id=message_id)

    # --- taking ---------------------------------------------------------------------------------------------------

    def arrivals(self, *, window: int) -> AMQPArrivals:
        inbox = AMQPArrivals(self, self._link, station=self._station, window=window)
        self._inboxes.add(inbox)
        return inbox

    def forget_inbox(self, inbox: AMQPArrivals) -> None:
        """It is closed."""
        self._inboxes.discard(inbox)

    async def queues(self) -> wire.StationQueues:
        """
        The station's queues: from the credentials, else the axis is asked.

        Raises:
            NotPossible: neither knows them.
        """
        if self._queues is None:
            http = self._need_http(
                "the names of the station's queues end in a secret handed out with its key:"
                " give it with the credentials, or give the station an HTTP address, too"
            )
            found = (await http.whoami()).queues
            if found is None:
                raise NotPossible("the axis has no queues for this station; connect over HTTP")
            self._queues = wire.StationQueues(urgent=found.urgent, inbox=found.inbox, receipts=found.receipts)
        return self._queues

    async def fetch(self, header: Consignment, payload: Payload) -> None:
        if self._http is not None:
            await self._http.fetch(header, payload)
            return
        if header.size > wire.MAX_SUBMIT_BYTES:
            raise NotPossible(
                f"document {header.document} has {header.size} bytes: give the station an HTTP address to fetch it"
            )
        reply = await self._ask(Ask.PAYLOAD, header.document)
        content = reply.get("content")
        if not isinstance(content, str):
            raise BadAnswer("content: text expected")
        try:
            found = await asyncio.to_thread(base64.b64decode, content, validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadAnswer("content: base64 expected") from error
        payload.restart()
        payload.write(found)

    async def consignment(self, document: DocumentKey) -> Consignment:
        return _read(await self._ask(Ask.CONSIGNMENT, document), read_consignment)

    async def report(self, document: DocumentKey) -> SignedReport:
        return _read(await self._ask(Ask.REPORT, document), read_report)

    async def say(self, message: StationMessage) -> None:
        await self._publish(
            dump(station_message_json(message)),
            exchange=wire.ACK,
            key=self._station,
            message_id=self._new_id(),
            content_type=wire.JSON_TYPE,
        )

    # --- asking ---------------------------------------------------------------------------------------------------

    async def where_is(self, document: str) -> Whereabouts:
        return _read(await self._ask(Ask.WHERE_IS, document), read_whereabouts)

    async def submissions(
        self,
        *,
        kind: Kind | None,
        since: datetime | None,
        until: datetime | None,
        named: str | None,
        offset: int,
        limit: int,
    ) -> tuple[Submitted, ...]:
        http = self._need_http("what was handed in is listed over HTTP: give the station an address")
        return await http.submissions(
            kind=kind, since=since, until=until, named=named, offset=offset, limit=limit
        )

    async def owed(self, asked: OwedQuestion) -> OwedList:
        return _read(await self._question(StationMessage(ask=Ask.OWED, owed=asked)), read_owed_list)

    def feed(self) -> AMQPFeed:
        return AMQPFeed(self, self._events)

    async def organs(self, *, since: int, after: int, limit: int) -> OrganList:
        http = self._need_http("the directory is given over HTTP: give the station an HTTP address")
        return await http.organs(since=since, after=after, limit=limit)

    async def change_organ(self, asked: OrganRequest) -> None:
        http = self._need_http("the directory is changed over HTTP: give the station an HTTP address")
        await http.change_organ(asked)

    async def whoami(self) -> Whoami:
        return await self._need_http("only HTTP tells a station who it is: give it an HTTP address").whoami()

    @property
    def shows_log(self) -> bool:
        return self._http is not None

    async def checkpoint(self) -> str | None:
        return await self._need_http("the log is shown over HTTP: give the station an address").checkpoint()

    async def consistency(self, *, old: int, new: int) -> tuple[bytes, ...]:
        http = self._need_http("the log is shown over HTTP: give the station an address")
        return await http.consistency(old=old, new=new)

    async def _ask(self, question: Ask, document: str) -> Mapping[str, Any]:
        return await self._question(StationMessage(ask=question, document=document))

    async def _question(self, message: StationMessage) -> Mapping[str, Any]:
        """One question and its reply; a new message id for every attempt."""
        message_id = self._new_id()
        waiting: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._replies[message_id] = waiting
        try:
            async with asyncio.timeout(self._limits.reply_seconds):
                await self.await_reading()
                await self._publish(
                    dump(station_message_json(message)),
                    exchange=wire.ACK,
                    key=self._station,
                    message_id=message_id,
                    content_type=wire.JSON_TYPE,
                )
                reply = await waiting
        except TimeoutError as error:
            raise NotAnswered(f"no reply within {self._limits.reply_seconds:g} s") from error
        finally:
            self._replies.pop(message_id, None)
        if reply.get("type") == "error":
            raise _said_no(reply, message.document or str(message.ask))
        return reply

    def _need_http(self, otherwise: str) -> OverHTTP:
        if self._http is None:
            raise NotPossible(otherwise)
        return self._http

    def _new_id(self) -> str:
        return self._ids.new(self._clock.now())

    # --- publishing -----------------------------------------------------------------------------------------------

    async def _publish(
        self,
        body: bytes,
        *,
        exchange: str,
        key: str,
        message_id: str,
        content_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Returns when the broker has it on disk."""
        if self._is_closed:
            raise Closed("the station was closed")
        lane = await self._open_lane()
        try:
            await lane.basic_publish(
                body,
                exchange=exchange,
                routing_key=key,
                properties=Basic.Properties(
                    content_type=content_type,
                    delivery_mode=_PERSISTENT,
                    headers=dict(headers or {}),
                    message_id=message_id,
                    user_id=self._station,
                    timestamp=self._clock.now(),
                ),
                mandatory=True,
                timeout=self._limits.confirm_seconds,
                wait=False,
            )
        except asyncio.CancelledError as error:
            if was_asked_to_stop():
                raise
            raise NotAnswered("the connection broke") from error
        except TimeoutError as error:
            # A broker that takes bytes and answers nothing would cost every later call the same time.
            self._link.break_off()
            raise NotAnswered(f"no confirm within {self._limits.confirm_seconds:g} s") from error
        except aiormq.DeliveryError as error:
            # Nacked. A channel of RabbitMQ 3.10 can go on nacking for ever after the leader of its queues died,
            # although there is a new one (rabbitmq-server PR 9241): the next attempt opens a fresh one.
            self._drop_lane(lane)
            raise NotAnswered("the broker takes nothing at the moment") from error
        # A closed channel rejects its futures with whatever closed it, even with a bare Exception.
        except Exception as error:
            raise translated(error) from error

    async def _open_lane(self) -> aiormq.Channel:
        async with self._opening:
            if self._lane is None or self._lane.is_closed:
                self._lane = await self._link.open_channel(confirms=True)
            return self._lane

    def _drop_lane(self, lane: aiormq.Channel) -> None:
        if self._lane is lane:
            self._lane = None
            self._link.close_channel(lane)

    # --- receipts, events and replies -----------------------------------------------------------------------------

    def _read_letters(self) -> None:
        """Begin to read the `receipts` queue; once begun, it is read until the station is closed."""
        if self._letters is None or self._letters.done():
            self._letters = asyncio.ensure_future(self._serve_letters())
            self._letters.add_done_callback(_look_at)

    async def await_reading(self) -> None:
        """
        Wait until the `receipts` queue is read. What is wrong with it is known to whoever waits for an answer.

        Raises:
            StationError: it cannot be read, and never could.
        """
        self._read_letters()
        assert self._letters is not None
        reading = asyncio.ensure_future(self._reading.wait())
        try:
            await asyncio.wait({reading, self._letters}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reading.cancel()
        if self._letters.done() and not self._letters.cancelled():
            problem = self._letters.exception()
            if problem is not None:
                raise problem

    async def _serve_letters(self) -> None:
        pauses = Pauses(station=self._station)
        try:
            while True:
                try:
                    await self._read_letters_once(pauses)
                except (NotAnswered, NotAllowed, BadAnswer, Refused, MemoryUnusable) as error:
                    # A disk that takes nothing keeps the letters where they are: with the broker.
                    if isinstance(error, NotAllowed) and not self._link.was_open:
                        raise
                    _log.warning("station.waiting", channel="amqp", queue="receipts", cause=str(error))
                await pauses.wait()
        finally:
            self._reading.clear()

    async def _read_letters_once(self, pauses: Pauses) -> None:
        queue = (await self.queues()).receipts
        consumer = Consumer(self._link, prefetch={queue: LETTERS})
        async with consumer:
            self._reading.set()
            pauses.reset()
            while messages := await consumer.take():
                await self._sort(messages)

    async def _sort(self, messages: Sequence[DeliveredMessage]) -> None:
        """Every letter goes to whoever waits for it, else to its mailbox; only then is it acknowledged."""
        events: list[tuple[int, bytes]] = []
        receipts: list[bytes] = []
        told: list[tuple[asyncio.Future[Any], Any]] = []
        kept: list[DeliveredMessage] = []
        for message in messages:
            try:
                self._read_letter(message, events=events, receipts=receipts, told=told)
            except BadMessage as error:
                # The operator finds it among the dead letters; trying it again would change nothing.
                _log.error("station.unreadable", queue="receipts", cause=str(error))
                await reject(message)
            else:
                kept.append(message)
        new = {index: body for index, body in events if not self._memory.has_heard(index)}
        if new:
            await self._events.put(list(new.values()))
            await asyncio.to_thread(self._memory.remember_heard, list(new))
        if receipts:
            await self._receipts.put(receipts)
        for future, value in told:
            if not future.done():
                future.set_result(value)
        for message in kept:
            await settle(message)

    def _read_letter(
        self,
        message: DeliveredMessage,
        *,
        events: list[tuple[int, bytes]],
        receipts: list[bytes],
        told: list[tuple[asyncio.Future[Any], Any]],
    ) -> None:
        properties = message.header.properties
        value = load(message.body)
        match properties.message_type:
            case wire.TYPE_RECEIPT:
                answer = read_answer(value)
                waiting = self._answers.get(answer.message_id)
                if waiting is not None and not waiting.done():
                    told.append((waiting, answer))
                else:
                    receipts.append(message.body)
            case wire.TYPE_EVENTS:
                events += [(one.index, dump(feed_json(one))) for one in read_events(value)]
            case wire.TYPE_REPLY:
                reply = self._replies.get(properties.correlation_id or "")
                if reply is not None:
                    told.append((reply, value))
            case other:
                raise BadMessage("type", f"{other!r} is no letter")


class AMQPFeed:
    """Events that were pushed to the station."""

    def __init__(self, line: OverAMQP, events: Mailbox) -> None:
        self._line = line
        self._events = events

    async def first(self) -> FeedEntry:
        if not await self._events.has_some():
            await self._line.await_reading()
        return _read(load(await self._events.first()), read_feed)

    async def forget_first(self) -> None:
        await self._events.forget_first()


class AMQPArrivals:
    """The station's inbox, urgent queue first. Consumes again after every break, until it is closed."""

    def __init__(self, line: OverAMQP, link: Link, *, station: str, window: int) -> None:
        self._line = line
        self._link = link
        self._window = window
        self._pauses = Pauses(station=station)
        self._station = station
        self._notices: deque[Withdrawal] = deque()
        self._ready: dict[Lane, deque[Arrival]] = {Lane.URGENT: deque(), Lane.NORMAL: deque()}
        self._stirred = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False
        self._session = 0
        """Counts connections: what an earlier one delivered is delivered again by the broker."""

    async def next(self) -> Arrival | Withdrawal:
        while True:
            if self._is_closed:
                raise Closed("nothing more is received")
            if self._task is None:
                self._task = asyncio.ensure_future(self._serve())
            if self._notices:
                return self._notices.popleft()
            for waiting in self._ready.values():
                if waiting:
                    return waiting.popleft()
            if self._task.done():
                task, self._task = self._task, None
                task.result()
                continue
            self._stirred.clear()
            await self._stirred.wait()

    def withdrawals(self) -> Sequence[Withdrawal]:
        found = tuple(self._notices)
        self._notices.clear()
        return found

    def put_back(self, arrival: Arrival | Withdrawal, *, last: bool = False) -> None:
        if isinstance(arrival, Withdrawal):
            self._notices.appendleft(arrival)
        elif arrival.session == self._session and last:
            self._ready[arrival.header.lane].append(arrival)
        elif arrival.session == self._session:
            self._ready[arrival.header.lane].appendleft(arrival)
        self._stirred.set()

    async def close(self) -> None:
        self._is_closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._stirred.set()
        self._line.forget_inbox(self)

    async def _serve(self) -> None:
        try:
            while True:
                try:
                    await self._receive()
                except (NotAnswered, NotAllowed, BadAnswer, Refused) as error:
                    if isinstance(error, NotAllowed) and not self._link.was_open:
                        raise
                    _log.warning("station.waiting", channel="amqp", queue="inbox", cause=str(error))
                finally:
                    self._forget()
                await self._pauses.wait()
        finally:
            self._stirred.set()

    async def _receive(self) -> None:
        queues = await self._line.queues()
        consumer = Consumer(
            self._link, prefetch={queues.urgent: self._window + NOTICES, queues.inbox: self._window}
        )
        async with consumer:
            self._pauses.reset()
            while messages := await consumer.take():
                for message in messages:
                    lane = Lane.URGENT if consumer.queue_of(message) == queues.urgent else Lane.NORMAL
                    try:
                        self._sort(message, lane=lane)
                    except BadMessage as error:
                        _log.error("station.unreadable", queue="inbox", cause=str(error))
                        await reject(message)
                self._stirred.set()

    def _sort(self, message: DeliveredMessage, *, lane: Lane) -> None:
        properties = message.header.properties
        headers: Mapping[str, object] = properties.headers or {}

        done = partial(settle, message)

        match properties.message_type:
            case wire.TYPE_CONSIGNMENT:
                header = wire.read_consignment_headers(headers, lane=lane)
                check_names(header)
                body = None if headers.get(wire.H_BY_DIGEST) else message.body
                self._ready[lane].append(
                    Arrival(header=header, body=body, settle=done, session=self._session)
                )
            case wire.TYPE_WITHDRAW:
                value = load(message.body)
                consignment, document = value.get("consignment"), value.get("document")
                if not isinstance(consignment, str) or not isinstance(document, str):
                    raise BadMessage("consignment", "text expected")
                named = value.get("deliveries", [])
                if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
                    raise BadMessage("deliveries", "a list of texts expected")
                self._notices.append(
                    Withdrawal(
                        consignment=ConsignmentId(consignment),
                        document=DocumentKey(document),
                        deliveries=tuple(DeliveryId(one) for one in named),
                        settle=done,
                    )
                )
            case other:
                raise BadMessage("type", f"{other!r} is nothing an inbox holds")

    def _forget(self) -> None:
        """The connection is gone: the broker delivers again whatever was not acknowledged on it."""
        self._session += 1
        self._notices.clear()
        for waiting in self._ready.values():
            waiting.clear()


def _look_at(task: asyncio.Task[None]) -> None:
    # Whoever waits for letters is told why there are none; nobody needs to hear it twice.
    if not task.cancelled():
        task.exception()


def _said_no(reply: Mapping[str, Any], document: str) -> Refused:
    said = str(reply.get("error"))
    match said:
        case NoAnswer.NOT_FOUND:
            return NotFound(
                "http.not_found",
                vi=f"không có {document}, hoặc điểm kết nối không được biết tới",
                en=f"no {document}, or none that this station may know of",
            )
        case NoAnswer.RECALLED:
            return Recalled(
                ReasonCode.DELIVER_RECALLED.value,
                vi=f"{document} đã bị thu hồi",
                en=f"{document} was recalled",
            )
        case NoAnswer.PURGED:
            issuer = str(reply.get("issuer"))[:100]
            return Purged(
                "http.purged",
                vi=f"Trục không còn giữ {document}; bản gốc ở {issuer}",
                en=f"the axis keeps {document} no longer; {issuer} has the original",
            )
        case NoAnswer.AMBIGUOUS:
            found = reply.get("candidates")
            names = tuple(str(one) for one in found) if isinstance(found, list) else ()
            return Ambiguous(document, candidates=names)
        case _:
            return Refused(f"amqp.{said}"[:80], en=str(reply.get("problem") or said))


def _read(value: Mapping[str, Any], reader: Callable[[Mapping[str, Any]], _Shape]) -> _Shape:
    try:
        return reader(value)
    except BadMessage as error:
        raise BadAnswer(str(error)) from error


def _body(package: Package) -> bytes:
    try:
        return package.body
    except OSError as error:
        raise NotPossible(f"{package.source!r}: {error.strerror}") from error


def _queues(station: StationId, secret: str) -> wire.StationQueues:
    try:
        return wire.station_queues(station=station, secret=secret)
    except ValueError as error:
        raise NotPossible("a queue secret has 16 characters a-z and 0-9") from error
