"""
Holds: what was recorded as "not yet" is judged again by itself, and after its age limit it waits for a person.

A hold is never turned into a refusal by the passing of time: its cause is ours, or nobody can tell. The legal time of
sending stays the time of receipt, whenever the verdict comes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from axis.core.errors import ServiceUnavailable
from axis.core.exchange import Answer
from axis.core.model import SignaturePolicy, SubmissionState
from axis.core.ports import Blobs, Clock, Directories, Ledger, Outbox
from axis.core.reasons import Cause, ReasonCode
from axis.core.rows import SubmissionRow
from axis.flow.bells import Bells
from axis.flow.decide import Judged
from axis.flow.outcomes import Hold
from axis.flow.pipeline import Pipeline
from axis.flow.receive import Inbound

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldPace:
    """How patiently."""

    batch: int = 50
    lease: timedelta = timedelta(seconds=60)
    sweep_seconds: float = 1.0
    alert_after: timedelta = timedelta(hours=1)
    """An operator is told of a hold that is older (design section 8)."""
    longest: timedelta = timedelta(hours=24)
    """Older holds are not tried by themselves any more."""


class HoldKeeper:
    """Tries held submissions again; any number of these may run."""

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        ledger: Ledger,
        outbox: Outbox,
        blobs: Blobs,
        directories: Directories,
        clock: Clock,
        bells: Bells,
        pace: HoldPace | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._ledger = ledger
        self._outbox = outbox
        self._blobs = blobs
        self._directories = directories
        self._clock = clock
        self._bells = bells
        self._pace = pace or HoldPace()

    async def run(self, stop: asyncio.Event) -> None:
        """Try what is due until `stop`."""
        while not stop.is_set():
            try:
                tried = await self.turn()
            except ServiceUnavailable as trouble:
                log.warning("hold.waiting", service=trouble.service, cause=trouble.cause)
                tried = 0
            if not tried:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._pace.sweep_seconds):
                        await stop.wait()

    async def turn(self) -> int:
        """Try one batch; returns how many."""
        at = self._clock.now()
        rows = await self._outbox.holds_due(at=at, until=at + self._pace.lease, limit=self._pace.batch)
        if rows:
            await self.try_now(rows)
        return len(rows)

    async def try_now(self, rows: Sequence[SubmissionRow]) -> Sequence[Answer]:
        """
        Judge these held submissions against the world as it is now, and record what became of them.

        Raises:
            ServiceUnavailable: they stay held and are tried again.
        """
        at = self._clock.now()
        directory = await self._directories.current()
        judged: list[Judged] = []
        for row in rows:
            station = directory.stations.get(row.station) if row.station is not None else None
            inbound = Inbound(
                submission=row.id,
                station=row.station,
                policy=station.policy if station is not None else SignaturePolicy.REQUIRED,
                message_id=row.message_id,
                payload=self._blobs.path(row.digest),
                digest=row.digest,
                size=row.size,
                lane=row.lane,
                received_at=row.received_at,
                after_hold=True,
            )
            if await self._blobs.size(row.digest) is None:
                # The bytes were kept when it was held: that they cannot be had now is ours to mend.
                outcome: Judged = Hold(inbound=inbound, causes=(Cause(code=ReasonCode.AXIS_STORAGE),))
            else:
                outcome = await self._pipeline.judge_again(inbound)
            judged.append(self._aged(outcome, at=at))
        answers = await self._pipeline.settle(judged)
        over = [
            answer
            for answer in answers
            if answer.state is SubmissionState.HELD and answer.reason is ReasonCode.AXIS_HELD_TOO_LONG
        ]
        if over:
            async with self._ledger.transaction() as tx:
                for answer in over:
                    await tx.pace_hold(answer.submission, next_try_at=None, tries=0)
        self._bells.ring({row.station for row in rows if row.station is not None})
        return answers

    def _aged(self, judged: Judged, *, at: datetime) -> Judged:
        if not isinstance(judged, Hold):
            return judged
        age = at - judged.inbound.received_at
        if age >= self._pace.alert_after:
            log.error(
                "hold.too_old",
                submission=judged.inbound.submission,
                station=judged.inbound.station,
                hours=round(age.total_seconds() / 3600, 1),
                reason=judged.causes[0].code.value,
            )
        if age < self._pace.longest:
            return judged
        return replace(judged, causes=(Cause(code=ReasonCode.AXIS_HELD_TOO_LONG), *judged.causes))
