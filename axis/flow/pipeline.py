"""
One batch of messages, from a transport's hands into the ledger. Read this file first.

    1 receive   size, station, message id, digest                    axis.flow.receive
    2 parse     hardened, streaming; bytes become a message          axis.flow.parse
    3 validate  business rules, secrecy, sender's delegation         axis.flow.validate
    4 verify    signature tier, certificate, organ binding           axis.flow.verify
    5 route     receivers and directory become deliveries            axis.flow.route
    6 record    documents, deliveries, events: one transaction       axis.flow.record
    7 answer    a signed receipt; only now may the transport acknowledge

Each stage takes the type the previous one returned, so skipping verification does not type-check. A refusal is a
result, not an exception; a cause that is ours is a hold, never a refusal. When this function raises, nothing was
recorded for certain and the transport must offer the same messages again.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog

from axis.core.calendar import Calendar
from axis.core.errors import ServiceUnavailable
from axis.core.exchange import Answer
from axis.core.model import Digest, StationId, SubmissionId
from axis.core.ports import Blobs, Clock, Ids, InboundMessage, Ledger, ReceiptSigner
from axis.core.reasons import Cause, Detail, ReasonCode
from axis.edxml.message import PriorityScale
from axis.flow.bells import Bells
from axis.flow.deadlines import SHIPPED_CALENDAR
from axis.flow.decide import Judged, inbound_of
from axis.flow.outcomes import Hold, Refusal
from axis.flow.parse import parse
from axis.flow.quota import Meter
from axis.flow.receive import Inbound, World, receive
from axis.flow.record import record
from axis.flow.route import route
from axis.flow.validate import validate
from axis.flow.verify import verify

log = structlog.get_logger(__name__)

_IN_A_THREAD = 256 * 1024
"""Messages above this are judged in a thread: hashing and parsing release the lock for long enough to pay."""


class Uploads(Protocol):
    """What stations uploaded and may submit by digest."""

    async def uploaded(self, station: StationId, digest: Digest) -> bool:
        """Whether this station uploaded this payload, in full, in the last 24 hours."""
        ...


def judge(inbound: Inbound, *, world: World) -> Judged:
    """Steps 2 to 5: pure, bounded in time and memory, the same for the same world."""
    world = _as_sent_by(inbound, world)
    parsed = parse(inbound, world=world)  # 2
    if isinstance(parsed, Refusal):
        return parsed
    valid = validate(parsed, world=world)  # 3
    if isinstance(valid, Refusal | Hold):
        return valid
    verified = verify(valid, world=world)  # 4
    if isinstance(verified, Refusal | Hold):
        return verified
    return route(verified, world=world)  # 5


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """The seven steps with their ports."""

    ledger: Ledger
    blobs: Blobs
    uploads: Uploads
    signer: ReceiptSigner
    clock: Clock
    ids: Ids
    bells: Bells
    world: Callable[[], Awaitable[World]]
    calendar: Calendar = SHIPPED_CALENDAR
    """What is late and what is due."""
    meter: Meter | None = None
    """How much each station hands in; None: nobody counts."""

    async def admit(self, messages: Sequence[InboundMessage]) -> Sequence[Answer]:
        """
        Judge and record a batch; one answer per message, in order.

        Raises:
            ServiceUnavailable: database or disk did not take it. Nothing may be acknowledged.
        """
        world = await self.world()
        judged = [await self._judge(message, world) for message in messages]
        try:
            return await self.settle(judged)
        except ServiceUnavailable:
            self._give_back(judged)
            raise

    async def settle(self, judged: Sequence[Judged]) -> Sequence[Answer]:
        """Steps 6 and 7 for messages that have been judged: payloads first, then the one transaction."""
        await self._keep_payloads(judged)
        recorded = await record(  # 6, 7
            judged,
            ledger=self.ledger,
            clock=self.clock,
            ids=self.ids,
            signer=self.signer,
            calendar=self.calendar,
        )
        for answer, one in zip(recorded.answers, judged, strict=True):
            _canonical_line(answer, inbound_of(one))
        self.bells.ring(recorded.stations)
        return recorded.answers

    async def judge_again(self, inbound: Inbound) -> Judged:
        """Steps 2 to 5 for what was held or buried before."""
        return await self._judge_inbound(inbound, await self.world())

    async def _judge(self, message: InboundMessage, world: World) -> Judged:
        payload: bytes | Path | None = None
        if message.by_digest and message.station is not None:
            payload = await self._uploaded(message.station, message.body)
        submission = SubmissionId(self.ids.new(message.received_at))
        content = payload or message.body
        is_large = isinstance(content, Path) or len(content) > _IN_A_THREAD
        step_1 = partial(receive, message, submission=submission, payload=payload, world=world)
        inbound, cause = await asyncio.to_thread(step_1) if is_large else step_1()  # 1
        if cause is not None:
            return Refusal(inbound=inbound, causes=(cause,))
        cause = self._over_quota(inbound)
        if cause is not None:
            return Refusal(inbound=inbound, causes=(cause,), keep_bytes=False)
        return await self._judge_inbound(inbound, world)

    def _over_quota(self, inbound: Inbound) -> Cause | None:
        if self.meter is None or inbound.station is None:
            return None
        wait = self.meter.take(inbound.station, octets=inbound.size, at=inbound.received_at)
        if wait is None:
            return None
        seconds = math.ceil(wait.total_seconds())
        detail = Detail(path="$", vi=f"Gửi lại sau {seconds} giây", en=f"Send again in {seconds} s")
        return Cause(code=ReasonCode.RECEIVE_QUOTA, details=(detail,))

    def _give_back(self, judged: Sequence[Judged]) -> None:
        for one in judged:
            inbound = inbound_of(one)
            if self.meter is not None and inbound.station is not None and not _is_over_quota(one):
                self.meter.give_back(inbound.station, octets=inbound.size)

    async def _judge_inbound(self, inbound: Inbound, world: World) -> Judged:
        try:
            if inbound.size > _IN_A_THREAD:
                return await asyncio.to_thread(judge, inbound, world=world)
            return judge(inbound, world=world)
        except Exception as fault:
            log.exception("message.fault", submission=inbound.submission, digest=inbound.digest)
            detail = Detail(path="$", vi=type(fault).__name__, en=type(fault).__name__)
            return Hold(inbound=inbound, causes=(Cause(code=ReasonCode.AXIS_FAULT, details=(detail,)),))

    async def _uploaded(self, station: StationId, body: bytes | Path) -> Path | None:
        digest = _named_digest(body)
        if digest is None or not await self.uploads.uploaded(station, digest):
            return None
        return self.blobs.path(digest) if await self.blobs.size(digest) is not None else None

    async def _keep_payloads(self, judged: Sequence[Judged]) -> None:
        """What is judged is stored before the transaction says so; a secrecy hit never is, nor what was not read."""
        kept: dict[Digest, bytes | Path] = {}
        for one in judged:
            inbound = inbound_of(one)
            if isinstance(one, Refusal) and not one.keep_bytes:
                # What was uploaded and not looked at stays: it may be submitted again.
                if isinstance(inbound.payload, Path) and not _is_over_quota(one):
                    await self.blobs.remove([inbound.digest])
            elif inbound.size and not inbound.after_hold:
                kept[inbound.digest] = inbound.payload
        await self.blobs.put(list(kept.values()))


def _is_over_quota(one: Judged) -> bool:
    return isinstance(one, Refusal) and one.causes[0].code is ReasonCode.RECEIVE_QUOTA


def _as_sent_by(inbound: Inbound, world: World) -> World:
    """The world with the numbering of urgency that the sending station's software has."""
    station = world.directory.stations.get(inbound.station) if inbound.station is not None else None
    if station is None or station.priority_scale == world.priority_scale.value:
        return world
    return replace(world, priority_scale=PriorityScale(station.priority_scale))


def _named_digest(body: bytes | Path) -> Digest | None:
    """The digest a by-digest submission consists of."""
    text = "" if isinstance(body, Path) else body.decode("ascii", errors="replace").strip().lower()
    return Digest(text) if len(text) == 64 else None


def _canonical_line(answer: Answer, inbound: Inbound) -> None:
    """The one line of log per message: identifiers and outcome, never content."""
    facts: Mapping[str, object] = {
        "station": inbound.station,
        "submission": answer.submission,
        "document": answer.document,
        "message_id": inbound.message_id,
        "digest": inbound.digest,
        "size": inbound.size,
        "reason": answer.reason.value if answer.reason else None,
        "deliveries": len(answer.deliveries),
    }
    log.info(
        f"submission.{answer.state.value}",  # noqa: G004 - one of the four states, not free text
        **{name: value for name, value in facts.items() if value is not None},
    )
