"""
One queue of the broker, served until told to stop: messages in, batches out, acknowledged when somebody says so.

Knows nothing of documents. What must be done before messages may be acknowledged is a `Serve`; this module decides
which messages go together, how many are in hand, and what becomes of those that cannot be served:

- A message that was handed out and came back twice is a *suspect*: it may be the one that killed whoever took it.
  All queues of a process then finish what they have and stand aside, and the suspect is served alone, so that a
  crash counts against it and nobody else. Every channel begins like that, one message at a time, because after a
  crash the culprit is at the head of its queue.
- A message that fails alone rests in hand for a while and goes back to the queue, which counts that, too, and
  buries it at its limit (`wire.DELIVERY_LIMIT`).
- While the ledger does not answer nothing is given back, as that would count against the innocent; and nothing new
  is taken. The broker takes messages back by itself after its `consumer_timeout` (30 minutes): one count an outage.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, TypeVar

import aiormq
import structlog
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from axis.broker import wire
from axis.broker.connection import SERVICE, Link, cause_of
from axis.core.errors import ServiceUnavailable
from axis.core.model import StationId
from axis.core.ports import Clock

_log = structlog.get_logger(__name__)
_Result = TypeVar("_Result")

SUSPECT_FROM: Final = 2
"""Returns after which a message is served alone; one return is what every cut connection costs everybody."""

_RPC_SECONDS: Final = 10
"""A broker that takes longer for an answer than this is taken for gone."""

_FIRST_PAUSE_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """How much of one queue is under way at a time."""

    batch: int
    """Most messages in one call."""
    batch_bytes: int
    """Most bytes of bodies in one call, unless a single message is larger."""
    linger_seconds: float
    """How long the first message of a batch waits for company."""
    parallel: int
    """Most calls at the same time."""
    prefetch: int
    """Most messages handed out and not acknowledged."""
    prefetch_bytes: int = 256 * 1024 * 1024
    """Fewer messages are asked for when those seen lately are so large that `prefetch` of them would be more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for what."""

    drain_seconds: float = 25
    """On stopping: how long messages that were handed out may still be finished."""
    longest_pause_seconds: float = 5
    """Longest pause between tries while a service is not available."""
    rest_seconds: float = 1
    """How long a message that failed alone rests before it goes back for the first time; doubles each time."""
    renew_seconds: float = 10
    """A channel over which nothing came for so long is opened anew: RabbitMQ 3.10 does not always tell a consumer that
    its queue was deleted, and it would wait for ever; nor does another consumer on the same channel help, as messages
    of a new queue of that name may go to the one that is no more."""
    longest_rest_seconds: float = 60
    """Longest such rest. All together it takes some minutes to bury a message: time to mend what made it fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One message as the broker handed it out."""

    tag: int
    station: StationId | None
    """From the validated `user_id`; None when there is none, or when it is not the name of a station."""
    message_id: str
    content_type: str
    headers: Mapping[str, object]
    body: bytes
    returns: int
    """How often it was handed out before and came back."""
    at: datetime

    @classmethod
    def read(cls, message: DeliveredMessage, *, at: datetime) -> Arrival:
        """Take the parts the axis looks at."""
        properties = message.header.properties
        headers: Mapping[str, object] = properties.headers or {}
        user = properties.user_id or ""
        # A sender can write this header, too; that the message came back at all is the queue's own word.
        count = headers.get("x-delivery-count", 1)
        returns = count if isinstance(count, int) else 1
        return cls(
            tag=message.delivery_tag or 0,
            station=StationId(user) if wire.STATION_ID.match(user) else None,
            # No database stores the character 0 in a text.
            message_id=(properties.message_id or "").replace("\0", "\ufffd"),
            content_type=properties.content_type or "",
            headers=headers,
            body=message.body,
            returns=returns if message.redelivered else 0,
            at=at,
        )

    @property
    def is_suspect(self) -> bool:
        """Whether it came back so often that it is served alone."""
        return self.returns >= SUSPECT_FROM


class GaveUp(Exception):
    """The channel is gone, or there is no time left: the broker will hand the messages out again."""


class Attempt:
    """One call's way to try again: as long as its messages can still be acknowledged."""

    def __init__(self, over: asyncio.Event, *, longest_pause_seconds: float) -> None:
        self._over = over
        self._longest = longest_pause_seconds
        self._next = _FIRST_PAUSE_SECONDS

    async def insist(self, call: Callable[[], Awaitable[_Result]]) -> _Result:
        """
        What `call` returns, once the service it needs answers.

        Raises:
            GaveUp: nobody waits for the result any more.
        """
        while True:
            if self._over.is_set():
                raise GaveUp
            try:
                result = await call()
            except ServiceUnavailable as error:
                if self._next == _FIRST_PAUSE_SECONDS:
                    _log.warning("service.waits", service=error.service, cause=error.cause)
                await self.pause()
            else:
                self._next = _FIRST_PAUSE_SECONDS
                return result

    async def pause(self) -> None:
        """
        Wait before the next try, longer each time.

        Raises:
            GaveUp: there will be no next try.
        """
        pause, self._next = self._next, min(self._next * 2, self._longest)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._over.wait()
        if self._over.is_set():
            raise GaveUp


class Serve(Protocol):
    """Does everything that must be done before these messages may be acknowledged."""

    async def __call__(self, arrivals: Sequence[Arrival], attempt: Attempt) -> Mapping[int, Exception]:
        """
        Return what went wrong, by tag: these are tried again alone, all others are acknowledged.
        An exception stands for all of them.

        Raises:
            GaveUp: the channel is gone: nothing is acknowledged.
        """
        ...


class Floor:
    """
    Who may have messages in hand: every queue of the process as many as it likes, or all of them one at a time.

    A queue that wants one message at a time waits until nobody has more, and nobody takes more until it is done.
    """

    def __init__(self) -> None:
        self._together = 0
        self._one_by_one = 0
        self._changed = asyncio.Condition()
        self.turn = asyncio.Lock()
        """Held by the one queue that has a message in hand while all go one by one."""
        self.clear = asyncio.Event()
        """Set while some queue wants everybody to go one by one."""

    @contextlib.asynccontextmanager
    async def one_by_one(self) -> AsyncIterator[None]:
        """For a queue that goes one message at a time; each message under `turn`."""
        self._one_by_one += 1
        self.clear.set()
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: not self._together)
            yield
        finally:
            self._one_by_one -= 1
            if not self._one_by_one:
                self.clear.clear()
            async with self._changed:
                self._changed.notify_all()

    @contextlib.asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        """For a queue that has many messages in hand; it ends this soon after `clear` is set."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._one_by_one)
            self._together += 1
        try:
            yield
        finally:
            self._together -= 1
            async with self._changed:
                self._changed.notify_all()


class _Appetite:
    """How many messages to ask for, so that those in hand do not fill the memory."""

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        # Before anything is known of their size, a few.
        self._average = limits.prefetch_bytes / 16

    def learn(self, size: int) -> None:
        """One more message was seen. A large one counts at once, small ones by and by."""
        self._average = max(size / 4, self._average + (size - self._average) / 16)

    @property
    def prefetch(self) -> int:
        """Between one and the limit of the queue."""
        fitting = int(self._limits.prefetch_bytes / max(self._average, 1))
        return max(1, min(self._limits.prefetch, fitting))

    def has_changed(self, asked: int) -> bool:
        """Whether asking anew, which interrupts the queue for a moment, pays."""
        return self.prefetch >= 2 * asked or 2 * self.prefetch <= asked


class QueueServer:
    """Serves one queue, on one channel after another, until told to stop."""

    def __init__(
        self,
        link: Link,
        *,
        queue: str,
        limits: QueueLimits,
        patience: Patience,
        clock: Clock,
        serve: Serve,
        floor: Floor,
        is_ready: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._link = link
        self._queue = queue
        self._limits = limits
        self._patience = patience
        self._clock = clock
        self._serve = serve
        self._floor = floor
        self._is_ready = is_ready
        self._appetite = _Appetite(limits)
        self._session: _Session | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`, then finish what was handed out, within the time for draining."""
        work = asyncio.create_task(self._for_ever(stop))
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({work}, timeout=self._patience.drain_seconds)
            if not work.done() and self._session is not None and self._session.in_hand:
                _log.warning("queue.not_drained", queue=self._queue, in_hand=self._session.in_hand)
        finally:
            for task in (work, stopped):
                task.cancel()
            await asyncio.gather(work, stopped, return_exceptions=True)

    async def _for_ever(self, stop: asyncio.Event) -> None:
        tries = 0
        is_careful = True
        while not stop.is_set():
            session = self._session = _Session(
                queue=self._queue,
                limits=self._limits,
                patience=self._patience,
                clock=self._clock,
                serve=self._serve,
                floor=self._floor,
                appetite=self._appetite,
                stop=stop,
            )
            was_careful, is_careful = is_careful, True
            try:
                await session.run(self._link, is_ready=self._is_ready, is_careful=was_careful)
                # A channel that was idle gave nothing back: there is nobody to suspect.
                is_careful = not session.is_stale
            except ServiceUnavailable as error:
                _log.warning("queue.unavailable", queue=self._queue, cause=error.cause)
            # A fault of ours must not end the only process that reads the queue.
            except Exception:  # noqa: BLE001 - logged with its trace
                _log.exception("queue.fault", queue=self._queue)
            if not is_careful:
                continue
            tries = 1 if session.served else tries + 1
            pause = min(_FIRST_PAUSE_SECONDS * 2 ** min(tries, 10), self._patience.longest_pause_seconds)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await stop.wait()


class _Session:
    """The life of one channel: messages have their tags from it and can be acknowledged only there."""

    def __init__(
        self,
        *,
        queue: str,
        limits: QueueLimits,
        patience: Patience,
        clock: Clock,
        serve: Serve,
        floor: Floor,
        appetite: _Appetite,
        stop: asyncio.Event,
    ) -> None:
        self._queue = queue
        self._limits = limits
        self._patience = patience
        self._clock = clock
        self._serve = serve
        self._floor = floor
        self._appetite = appetite
        self._stop = stop
        self._over = asyncio.Event()
        self._cause = "the channel was closed"
        self._wake = asyncio.Event()
        self._tags: dict[int, None] = {}
        """Tags not yet acknowledged, in their order."""
        self._waiting: deque[Arrival] = deque()
        self._waiting_bytes = 0
        self._suspects: deque[Arrival] = deque()
        self._resting: set[asyncio.Task[None]] = set()
        self._calls: set[asyncio.Task[None]] = set()
        self.served = 0
        """Messages acknowledged on this channel."""
        self.is_stale = False
        """Nothing came for so long that the channel was given up, with nothing in hand."""

    async def run(
        self, link: Link, *, is_ready: Callable[[], Awaitable[object]] | None, is_careful: bool = True
    ) -> None:
        """
        Serve until `stop`, or until the channel is stale; careful ones begin with one message at a time.

        Raises:
            ServiceUnavailable: the channel broke; what was in hand will be handed out again.
        """
        if is_ready is not None:
            await is_ready()
        self._link = link
        self._channel = channel = await link.open_channel()
        channel.closing.add_done_callback(self._closed)
        channel.on_consumer_cancel_callbacks.add(self._cancelled_by_broker)
        try:
            # A queue that is not there is found out before everybody else is asked to stand aside.
            with link.speaking(channel, "looking for the queue"):
                await channel.queue_declare(self._queue, passive=True, timeout=_RPC_SECONDS)
            while not self._over.is_set():
                if is_careful or self._suspects:
                    await self._one_by_one()
                is_careful = True
                if self._stop.is_set() and not self._suspects:
                    return
                await self._together()
                if self.is_stale and not self._suspects and not self._over.is_set():
                    return
        finally:
            self._over.set()
            tasks = [*self._calls, *self._resting]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await link.close_channel(channel)
        raise ServiceUnavailable(SERVICE, self._cause)

    # --- one by one -----------------------------------------------------------------------------------------------

    async def _one_by_one(self) -> None:
        """Serve suspects, and whatever the queue hands out, one at a time, up to the first that is above suspicion."""
        async with self._floor.one_by_one():
            while not self._over.is_set():
                async with self._floor.turn:
                    arrival = self._suspects.popleft() if self._suspects else await self._get()
                    if arrival is None:
                        return
                    if arrival.is_suspect:
                        _log.info("message.suspect", queue=self._queue, returns=arrival.returns)
                    await self._call([arrival])
                if not arrival.is_suspect and not self._suspects:
                    return

    async def _get(self) -> Arrival | None:
        """The next message of the queue, if there is one and it may be taken."""
        if self._stop.is_set() or self._over.is_set() or not self._room:
            return None
        with self._link.speaking(self._channel, "getting a message"):
            message = await self._channel.basic_get(self._queue, timeout=_RPC_SECONDS)
        if isinstance(message.delivery, Basic.GetEmpty):
            return None
        return self._take(message)

    # --- together -------------------------------------------------------------------------------------------------

    async def _together(self) -> None:
        """Serve many at a time, until somebody must be served alone."""
        async with self._floor.together():
            watchers = [
                asyncio.create_task(_wake_on(event, self._wake))
                for event in (self._stop, self._floor.clear, self._over)
            ]
            try:
                while not self._has_to_leave:
                    await self._consume()
            finally:
                for watcher in watchers:
                    watcher.cancel()

    async def _consume(self) -> None:
        """Ask for as many messages as there is room for, and serve them until it is to be another number."""
        prefetch = min(self._appetite.prefetch, self._room)
        tag = await self._open_tap(prefetch) if prefetch else None
        while not self._has_to_leave and not self._has_to_ask_anew(prefetch):
            self._wake.clear()
            if self._waiting and len(self._calls) < self._limits.parallel:
                await self._linger()
                self._start(self._batch())
            elif not await self._woken() and not self.in_hand:
                self.is_stale = True
        if tag is not None and not self._over.is_set():
            with self._link.speaking(self._channel, "ending the consumer"):
                await self._channel.basic_cancel(tag, timeout=_RPC_SECONDS)
        await self._finish()

    async def _woken(self) -> bool:
        """Wait until something happens; False when nothing did for a long time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience.renew_seconds):
                return await self._wake.wait()
        return False

    async def _open_tap(self, prefetch: int) -> str | None:
        with self._link.speaking(self._channel, "consuming"):
            # What is asked for holds for the next consumer; RabbitMQ cannot change it for one that is there.
            await self._channel.basic_qos(prefetch_count=prefetch, timeout=_RPC_SECONDS)
            consumer = await self._channel.basic_consume(self._queue, self._arrived, timeout=_RPC_SECONDS)
        return consumer.consumer_tag

    @property
    def _has_to_leave(self) -> bool:
        return (
            self._stop.is_set()
            or self._over.is_set()
            or self._floor.clear.is_set()
            or bool(self._suspects)
            or self.is_stale
        )

    def _has_to_ask_anew(self, prefetch: int) -> bool:
        if not prefetch:
            return self._room > 0
        return not self._waiting and self._appetite.has_changed(prefetch)

    async def _linger(self) -> None:
        is_full = len(self._waiting) >= self._limits.batch or self._waiting_bytes >= self._limits.batch_bytes
        if not is_full and self._limits.linger_seconds:
            await asyncio.sleep(self._limits.linger_seconds)

    def _batch(self) -> list[Arrival]:
        batch: list[Arrival] = []
        size = 0
        while self._waiting and len(batch) < self._limits.batch:
            size += len(self._waiting[0].body)
            if batch and size > self._limits.batch_bytes:
                break
            batch.append(self._waiting.popleft())
        self._waiting_bytes -= sum(len(one.body) for one in batch)
        return batch

    def _start(self, batch: Sequence[Arrival]) -> None:
        task = asyncio.create_task(self._call(batch))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        task.add_done_callback(lambda _: self._wake.set())

    async def _finish(self) -> None:
        """Serve what is in hand and above suspicion."""
        while self._calls or (self._waiting and not self._over.is_set()):
            while self._waiting and len(self._calls) < self._limits.parallel:
                self._start(self._batch())
            await asyncio.wait(self._calls, return_when=asyncio.FIRST_COMPLETED)

    # --- messages -------------------------------------------------------------------------------------------------

    async def _arrived(self, message: DeliveredMessage) -> None:
        arrival = self._take(message)
        if arrival.is_suspect:
            self._suspects.append(arrival)
        else:
            self._waiting.append(arrival)
            self._waiting_bytes += len(arrival.body)
        self._wake.set()

    def _take(self, message: DeliveredMessage) -> Arrival:
        arrival = Arrival.read(message, at=self._clock.now())
        self._tags[arrival.tag] = None
        self._appetite.learn(len(arrival.body))
        return arrival

    @property
    def in_hand(self) -> int:
        """How many messages are handed out and not acknowledged."""
        return len(self._tags)

    @property
    def _room(self) -> int:
        return self._limits.prefetch - len(self._resting)

    async def _call(self, batch: Sequence[Arrival]) -> None:
        attempt = Attempt(self._over, longest_pause_seconds=self._patience.longest_pause_seconds)
        faults: Mapping[int, Exception]
        try:
            faults = await self._serve(batch, attempt)
        except GaveUp:
            return
        # Whatever it is, it is ours: the message is innocent until it fails alone.
        except Exception as error:  # noqa: BLE001 - logged below with its message
            faults = {one.tag: error for one in batch}
        await self._acknowledge(one.tag for one in batch if one.tag not in faults)
        faulty = [one for one in batch if one.tag in faults]
        if len(batch) > 1 and faulty:
            self._suspects += faulty
            fault = faults[faulty[0].tag]
            _log.error("batch.fault", queue=self._queue, messages=len(faulty), exc_info=fault)
        for one in faulty if len(batch) == 1 else ():
            self._log_fault(one, faults[one.tag])
            self._rest(one)
        self._wake.set()

    def _log_fault(self, one: Arrival, fault: Exception) -> None:
        _log.error(
            "message.fault",
            queue=self._queue,
            station=one.station,
            message_id=one.message_id,
            returns=one.returns,
            cause=type(fault).__name__,
            # The same place again every time it comes back tells nobody anything.
            exc_info=None if one.returns else fault,
        )

    async def _acknowledge(self, tags: Iterable[int]) -> None:
        done = sorted(tags)
        for tag in done:
            self._tags.pop(tag, None)
        if not done or self._over.is_set():
            return
        is_all_before = not self._tags or next(iter(self._tags)) > done[-1]
        try:
            if is_all_before:
                await self._channel.basic_ack(done[-1], multiple=True, wait=False)
            else:
                for tag in done:
                    await self._channel.basic_ack(tag, wait=False)
        except (aiormq.AMQPError, OSError, RuntimeError) as error:
            # They come again and get the same answer.
            self._end(cause_of(error))
        else:
            self.served += len(done)

    def _rest(self, arrival: Arrival) -> None:
        """Keep a message that failed alone for a while, then give it back to the queue."""
        task = asyncio.create_task(self._give_back(arrival))
        self._resting.add(task)
        task.add_done_callback(self._resting.discard)
        task.add_done_callback(lambda _: self._wake.set())

    async def _give_back(self, arrival: Arrival) -> None:
        rest = self._patience.rest_seconds * 2 ** min(arrival.returns, 20)
        await asyncio.sleep(min(rest, self._patience.longest_rest_seconds))
        try:
            await self._channel.basic_nack(arrival.tag, requeue=True, wait=False)
        except (aiormq.AMQPError, OSError, RuntimeError) as error:
            self._end(cause_of(error))
        self._tags.pop(arrival.tag, None)

    # --- the channel ----------------------------------------------------------------------------------------------

    def _closed(self, closing: asyncio.Future[object]) -> None:
        error = None if closing.cancelled() else closing.exception()
        self._end("the channel was closed" if error is None else cause_of(error))

    async def _cancelled_by_broker(self, _: Basic.Cancel) -> None:
        self._end("the broker ended the consumer: the queue is gone or has no leader")

    def _end(self, cause: str) -> None:
        if not self._over.is_set():
            self._cause = cause
            self._over.set()


async def _wake_on(event: asyncio.Event, wake: asyncio.Event) -> None:
    await event.wait()
    wake.set()
