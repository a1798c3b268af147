"""
Bound certificates that end soon: said 60, 30, 14 and 7 days before, and when they have ended.

An organ whose next certificate is bound already, and lasts longer, needs no warning: both sign while they overlap
(LR-64). Said once a step: in the log, and as an event to the station that sends for the organ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog

from axis.core.directory import BoundCertificate, Directory, Organ
from axis.core.events import Event, EventKind
from axis.core.model import Actor, Digest, EventId, OrganNumber, iso
from axis.core.ports import Clock, Directories, Ids, Ledger

log = structlog.get_logger(__name__)

STEPS: Final = (60, 30, 14, 7, 0)
"""Days before the end; 0: it has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A certificate that ends soon, or has ended, and nothing follows it."""

    organ: Organ
    certificate: BoundCertificate
    ends: datetime
    step: int
    """The last of `STEPS` that was reached."""
    days: int
    """Whole days left, 0 when it has ended."""


class Warned(Protocol):
    """Which steps were said. Raises `ServiceUnavailable`."""

    async def warned(self) -> Sequence[tuple[Digest, OrganNumber, int]]:
        """Certificate, organ, and the last step that was said."""
        ...


def endings(directory: Directory, *, at: datetime) -> list[Ending]:
    """Certificates to warn of, the most pressing first."""
    found = []
    for number, bound in directory.certificates.items():
        in_use = [one for one in bound if one.revoked_at is None and one.valid_to is not None]
        last = max(in_use, key=lambda one: one.valid_to or at, default=None)
        if last is None or last.valid_to is None or any(one.valid_to is None for one in bound):
            continue
        left = last.valid_to - at
        reached = [step for step in STEPS if left <= timedelta(days=step)]
        if reached and number in directory.organs:
            found.append(
                Ending(
                    organ=directory.organs[number],
                    certificate=last,
                    ends=last.valid_to,
                    step=reached[-1],
                    days=max(0, left.days),
                )
            )
    return sorted(found, key=lambda one: one.ends)


class ExpiryKeeper:
    """Says what was not said yet. Two of them may say the same twice, never not at all."""

    def __init__(
        self, *, ledger: Ledger, directories: Directories, warned: Warned, clock: Clock, ids: Ids
    ) -> None:
        self._ledger = ledger
        self._directories = directories
        self._warned = warned
        self._clock = clock
        self._ids = ids

    async def turn(self) -> int:
        """
        Warn of what reached its next step; how many.

        Raises:
            ServiceUnavailable: some other time.
        """
        at = self._clock.now()
        directory = await self._directories.current()
        said = {(digest, organ): step for digest, organ, step in await self._warned.warned()}
        events = []
        for one in endings(directory, at=at):
            before = said.get((one.certificate.fingerprint, one.organ.number))
            if before is not None and before <= one.step:
                continue
            log.error(
                "certificate.ending",
                organ=one.organ.code,
                serial=one.certificate.serial,
                ends=iso(one.ends),
                days=one.days,
            )
            events.append(self._event(one, directory, at=at))
        if events:
            async with self._ledger.transaction() as tx:
                await tx.append(events)
        return len(events)

    def _event(self, one: Ending, directory: Directory, *, at: datetime) -> Event:
        station = directory.station_of(one.organ.number, at=at)
        return Event(
            id=EventId(self._ids.new(at)),
            kind=EventKind.CERTIFICATE_ENDING,
            at=at,
            by=Actor(axis="expiry"),
            stations=(station.id,) if station is not None else (),
            facts={
                "organ": one.organ.number,
                "code": one.organ.code,
                "fingerprint": one.certificate.fingerprint,
                "serial": one.certificate.serial,
                "ends": iso(one.ends),
                "step": one.step,
            },
        )
