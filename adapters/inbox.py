"""
Receiving: from what a transport hands over to documents in the caller's hands, each of them once.

    1 taken before?     its `done` was lost: said again, not handed out
    2 taken back?       `withdrawn` is said, not handed out
    3 in hand already?  it came again after a break: the caller has it
    4 complete          all deliveries of the header, every byte, the digest
    5 `fetched` is said
    6 handed out; the transport keeps it until `done` or `fail` was said

A lazy inbox hands out before the bytes of 4, and without 5: they follow when the caller asks for them.

What is said of several documents at the same time goes in one message.

A crash anywhere before `done` makes it come again. A crash after makes step 1 answer it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Self, TypeVar

import structlog

from adapters.document import Document, Report
from adapters.errors import (
    BadAnswer,
    Closed,
    NotAllowed,
    NotAnswered,
    NotFound,
    NotPossible,
    Recalled,
)
from adapters.line import Arrival, Line, Withdrawal
from adapters.memory import Memory
from adapters.pauses import Pauses
from adapters.payload import Payload
from axis.core.exchange import MAX_ACKS, Ack, Consignment, Outcome, StationMessage
from axis.core.model import ConsignmentId, DeliveryId
from axis.core.together import Together

_log = structlog.get_logger(__name__)
_Result = TypeVar("_Result")

_FETCHES: Final = 6
"""Attempts to fetch a payload (some 10 s) before the documents behind it are looked at first."""
_IN_PASSING: Final = 256 * 1024
"""Bytes that are hashed sooner than a thread is asked to; they lie in memory."""
_DOWNLOADS: Final = 2
"""Times a payload is fetched from the beginning before it counts as wrong."""


@dataclass(slots=True)
class _InHand:
    """A consignment between its arrival and its end."""

    arrivals: list[Arrival]
    """What the transport keeps for it: one for each time it came."""
    document: Document | None = None
    """None as long as it was not handed out."""


class Inbox:
    """
    Documents as they come, urgent ones first: `async for document in inbox`. Ends when it is closed.

    May be read by several tasks at a time, each with its own `anext`.
    """

    def __init__(
        self,
        line: Line,
        *,
        memory: Memory,
        station: str,
        window: int,
        lazy: bool = False,
        read_report: Callable[[Consignment], Awaitable[Report]],
    ) -> None:
        self._line = line
        self._memory = memory
        self._station = station
        self._is_lazy = lazy
        self._read_report = read_report
        self._arrivals = line.arrivals(window=window)
        self._in_hand: dict[ConsignmentId, _InHand] = {}
        self._acks: Together[Ack, None] = Together(self._say_together, most=MAX_ACKS)
        self._is_closed = False

    def __aiter__(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is received."""
        return self._is_closed

    async def aclose(self) -> None:
        """Receive nothing more. What the caller has can still be ended; what it never ends comes again."""
        self._is_closed = True
        await self._arrivals.close()

    async def __anext__(self) -> Document:
        """
        The next document, whenever it comes: a connection that breaks is opened again, for ever.

        Raises:
            NotAllowed: the credentials were refused, and never accepted since the beginning.
            MemoryUnusable: the state folder cannot be written; nothing is handed out that could not be remembered.
        """
        while not self._is_closed:
            try:
                arrival = await self._arrivals.next()
            except Closed:
                break
            try:
                if isinstance(arrival, Withdrawal):
                    self._arrivals.put_back(arrival)
                    await self._honour_withdrawals()
                    continue
                document = await self._take(arrival)
            except Closed:
                break
            if document is not None:
                return document
        raise StopAsyncIteration

    # --- steps ----------------------------------------------------------------------------------------------------

    async def _take(self, arrival: Arrival) -> Document | None:
        header = arrival.header
        if await self._is_settled(arrival):  # 1, 2
            return None
        held = self._in_hand.get(header.consignment)
        if held is not None:  # 3
            if arrival.is_kept:
                held.arrivals.append(arrival)
            else:
                await arrival.settle()
            return None
        held = self._in_hand[header.consignment] = _InHand(arrivals=[arrival])
        payload: Payload | None = None
        try:
            header = await self._complete(header)  # 4
            if not self._is_lazy:
                payload = await self._payload(arrival, header)
            await self._honour_withdrawals()
            header = await self._without_withdrawn(header)
            if not header.deliveries or (payload is None and not self._is_lazy):
                await self._end_unseen(held, header, payload)
                return None
            if not self._is_lazy:
                await self._say(header, Outcome.FETCHED)  # 5
        except NotAnswered as error:
            # What it needs is out of reach: the others must not wait behind it.
            _log.warning("station.put_last", document=header.document, cause=str(error))
            self._let_go(held, last=True)
            return None
        except BaseException:
            if payload is not None:
                payload.discard()
            self._let_go(held)
            raise
        held.document = Document(header=header, payload=payload, keeper=self)  # 6
        return held.document

    def _let_go(self, held: _InHand, *, last: bool = False) -> None:
        """It was not handed out: it is looked at once more, now or after the others."""
        del self._in_hand[held.arrivals[0].header.consignment]
        for one in reversed(held.arrivals):
            self._arrivals.put_back(one, last=last)

    async def _is_settled(self, arrival: Arrival) -> bool:
        """Steps 1 and 2: whether nothing is left to do for it but to say so."""
        header = arrival.header
        if self._memory.is_done([one.delivery for one in header.deliveries]):
            _log.info("station.taken_before", document=header.document, attempt=header.attempt)
            await self._say(await self._complete(header), Outcome.DONE)
        else:
            is_open = header.consignment in self._in_hand or header.deliveries_total > len(header.deliveries)
            if is_open or (await self._without_withdrawn(header)).deliveries:
                return False
        await arrival.settle()
        return True

    async def _complete(self, header: Consignment) -> Consignment:
        """The header with all its deliveries: a message names the first fifty."""
        if len(header.deliveries) >= header.deliveries_total:
            return header
        try:
            full = await self._insist(lambda: self._line.consignment(header.document))
        except NotFound:
            # Nothing of it is pending any more.
            return header
        if full.consignment != header.consignment:
            return header
        return replace(header, deliveries=full.deliveries)

    async def _payload(self, arrival: Arrival, header: Consignment) -> Payload | None:
        """The verified bytes; None when they cannot be had, and that was said."""
        try:
            return await self._verified(header, arrival.body)
        except Recalled:
            await asyncio.to_thread(self._memory.remember_withdrawn, header.consignment)
            return None
        except (BadAnswer, NotFound, NotPossible) as error:
            _log.error("station.not_received", document=header.document, cause=str(error))
            await self._say(header, Outcome.FAIL, reason=str(error)[:500])
            return None

    async def _verified(self, header: Consignment, body: bytes | None) -> Payload:
        """
        The bytes of a document, every one of them.

        Raises:
            BadAnswer: they are not those of the digest in the header.
            Recalled: they are not given out any more.
            NotAnswered: they are out of reach.
        """
        payload = Payload(size=header.size, digest=header.digest, spool=self._memory.spool)
        is_verified = False
        try:
            for _ in range(_DOWNLOADS):
                if body is None:
                    await self._insist(partial(self._line.fetch, header, payload), tries=_FETCHES)
                elif len(body) <= _IN_PASSING:
                    payload.write(body)
                else:
                    await asyncio.to_thread(payload.write, body)
                is_verified = (
                    payload.is_verified()
                    if header.size <= _IN_PASSING
                    else await asyncio.to_thread(payload.is_verified)
                )
                if is_verified:
                    return payload
                payload.restart()
        finally:
            if not is_verified:
                payload.discard()
        raise BadAnswer("the bytes are not those of the digest in the header")

    async def _end_unseen(self, held: _InHand, header: Consignment, payload: Payload | None) -> None:
        """It was taken back, or it could not be received: the caller never sees it."""
        await self._without_withdrawn(header)
        if payload is not None:
            payload.discard()
        self._in_hand.pop(header.consignment, None)
        for arrival in held.arrivals:
            await arrival.settle()

    async def _honour_withdrawals(self) -> None:
        notices = deque(self._arrivals.withdrawals())
        try:
            while notices:
                await self._withdraw(notices[0])
                notices.popleft()
        finally:
            for notice in reversed(notices):
                self._arrivals.put_back(notice)

    async def _withdraw(self, notice: Withdrawal) -> None:
        """The axis takes a consignment back, or a part of it: it must know whether the caller has it by now."""
        held = self._in_hand.get(notice.consignment)
        if held is None:
            await self._drop_unseen(notice)
        elif held.document is None:
            # Step 4 is at work on it, and looks before it hands it out.
            await asyncio.to_thread(self._memory.remember_withdrawn, *_names(notice))
        else:
            header = held.document.header
            asked = [
                one for one in header.deliveries if not notice.deliveries or one.delivery in notice.deliveries
            ]
            is_whole = len(asked) == len(header.deliveries)
            if is_whole:
                held.document.mark_withdrawn()
            if is_whole and not held.document.is_loaded:
                await self._forget_unseen(held.document)
            elif asked:
                await self._say(replace(header, deliveries=tuple(asked)), Outcome.FETCHED)
        await notice.settle()

    async def _drop_unseen(self, notice: Withdrawal) -> None:
        """It has not come yet, or it was ended before: remembered first, so that it is not handed out when it comes."""
        if notice.deliveries and self._memory.is_done(list(notice.deliveries)):
            await self._say_of(notice.deliveries, Outcome.DONE)
            return
        await asyncio.to_thread(self._memory.remember_withdrawn, *_names(notice))
        # An axis that does not name the deliveries is answered when they come.
        await self._say_of(notice.deliveries, Outcome.WITHDRAWN)

    async def _without_withdrawn(self, header: Consignment) -> Consignment:
        """The header without what the axis took back; that is said of each."""
        if self._memory.is_withdrawn(header.consignment):
            gone = header.deliveries
        else:
            gone = tuple(one for one in header.deliveries if self._memory.is_withdrawn(one.delivery))
        await self._say_of([one.delivery for one in gone], Outcome.WITHDRAWN)
        left = tuple(one for one in header.deliveries if one not in gone)
        return replace(header, deliveries=left, deliveries_total=len(left)) if gone else header

    async def _forget_unseen(self, document: Document) -> None:
        """It was handed out without its bytes, and now never will have any."""
        await asyncio.to_thread(self._memory.remember_withdrawn, document.header.consignment)
        await self.end(document, Outcome.WITHDRAWN, "")

    # --- what a document needs ------------------------------------------------------------------------------------

    async def end(self, document: Document, outcome: Outcome, reason: str) -> None:
        """Say how it ended, and only then let the transport forget it."""
        header = document.header
        if outcome is Outcome.DONE:
            # Remembered first: if we die before it is said, it comes again, is recognised and said then.
            await asyncio.to_thread(self._memory.remember_done, [one.delivery for one in header.deliveries])
        await self._say(header, outcome, reason=reason)
        held = self._in_hand.pop(header.consignment, None)
        for arrival in held.arrivals if held is not None else ():
            await arrival.settle()

    async def load(self, document: Document) -> Payload:
        """
        Steps 4 and 5 for a document that was handed out without its bytes.

        Raises:
            Recalled: it was taken back, and is at its end.
            BadAnswer: the bytes are not those of the header.
            NotAnswered: they are out of reach.
        """
        try:
            payload = await self._verified(document.header, None)
        except Recalled:
            document.mark_withdrawn()
            await self._forget_unseen(document)
            raise
        await self._say(document.header, Outcome.FETCHED)
        return payload

    async def report_on(self, header: Consignment) -> Report:
        """The verified report of a document."""
        return await self._read_report(header)

    async def _say(self, header: Consignment, outcome: Outcome, *, reason: str = "") -> None:
        await self._say_of([one.delivery for one in header.deliveries], outcome, reason=reason)

    async def _say_of(self, deliveries: Sequence[DeliveryId], outcome: Outcome, *, reason: str = "") -> None:
        acks = [Ack(delivery=one, outcome=outcome, reason=reason) for one in deliveries]
        if not acks:
            return
        if not reason:
            await self._insist(partial(self._acks.bring, acks))
            return
        # In words of the caller's, which might not be taken: nobody else's go with them.
        for begin in range(0, len(acks), MAX_ACKS):
            await self._insist(partial(self._say_together, acks[begin : begin + MAX_ACKS]))

    async def _say_together(self, acks: Sequence[Ack]) -> Sequence[None]:
        await self._line.say(StationMessage(acks=tuple(acks)))
        return [None] * len(acks)

    async def _insist(
        self, attempt: Callable[[], Awaitable[_Result]], *, tries: int | None = None
    ) -> _Result:
        """Again and again until it works: a suspended station is resumed one day, a broken line is mended."""
        pauses = Pauses(station=self._station)
        while True:
            try:
                return await attempt()
            except NotAnswered as error:
                if tries is not None:
                    tries -= 1
                    if tries <= 0:
                        raise
                _log.warning("station.waiting", cause=str(error))
                await pauses.wait(at_least=error.retry_after_seconds)
            except NotAllowed as error:
                _log.warning("station.waiting", cause=str(error))
                await pauses.wait()


def _names(notice: Withdrawal) -> Sequence[str]:
    return notice.deliveries or (notice.consignment,)
