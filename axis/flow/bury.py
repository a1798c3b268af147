"""
What died before anyone judged it: digest, bytes to a blob, a `buried` row, a word to its sender if it has one.

Never parses: the message may be the one that brings parsers down. An operator looks at it and replays it, which
admits it at step 1 with its time of receipt unchanged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import structlog

from axis.core.directory import Directory
from axis.core.events import JSON, Event, EventKind
from axis.core.model import Actor, Digest, EventId, StationId, SubmissionId, iso
from axis.core.ports import Blobs, BuriedMessage, Clock, Directories, Ids, Ledger
from axis.core.rows import Claim
from axis.core.text import printable
from axis.flow.bells import Bells
from axis.flow.claims import claim_key
from axis.flow.receive import LONGEST_MESSAGE_ID

log = structlog.get_logger(__name__)

_BY = Actor(axis="bury")


class Gravedigger:
    """Records buried messages; the same message found twice is buried once."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        blobs: Blobs,
        directories: Directories,
        clock: Clock,
        ids: Ids,
        bells: Bells,
    ) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._directories = directories
        self._clock = clock
        self._ids = ids
        self._bells = bells

    async def bury(self, messages: Sequence[BuriedMessage]) -> None:
        """
        Keep the bytes and record every message.

        Raises:
            ServiceUnavailable: nothing is certain; the same messages are offered again.
        """
        directory = await self._directories.current()
        await self._blobs.put([one.body for one in messages])
        ready = [
            (one, SubmissionId(self._ids.new(one.at)), claim_key("buried", *_marks(one))) for one in messages
        ]
        async with self._ledger.transaction() as tx:
            taken = await tx.claim(
                [Claim(key=key, submission=submission, document=None) for _, submission, key in ready]
            )
            events = [
                self._event(one, submission, key, directory)
                for one, submission, key in ready
                if key not in taken
            ]
            await tx.append(events)
        for one, submission, key in ready:
            if key not in taken:
                log.error(
                    "submission.buried",
                    submission=submission,
                    station=one.station,
                    message_id=printable(one.message_id, most=LONGEST_MESSAGE_ID),
                    reason=one.reason.value,
                    size=len(one.body),
                )
        self._bells.ring({one.station for one in messages if one.station is not None})

    def _event(self, one: BuriedMessage, submission: SubmissionId, key: str, directory: Directory) -> Event:
        at = self._clock.now()
        digest = Digest(hashlib.sha256(one.body).hexdigest())
        known = one.station if one.station is not None and one.station in directory.stations else None
        facts: dict[str, JSON] = {
            "message_id": printable(one.message_id, most=LONGEST_MESSAGE_ID),
            "digest": digest,
            "size": len(one.body),
            "reason": one.reason.value,
            "received_at": iso(one.at),
            "claims": [key],
        }
        told: tuple[StationId, ...] = ()
        if known is not None:
            facts["station"] = known
            told = (known,)
        return Event(
            id=EventId(self._ids.new(at)),
            kind=EventKind.SUBMISSION_BURIED,
            at=at,
            by=_BY,
            submission=submission,
            stations=told,
            facts=facts,
        )


def _marks(one: BuriedMessage) -> tuple[str, str, str]:
    return (
        one.station or "",
        printable(one.message_id, most=LONGEST_MESSAGE_ID),
        hashlib.sha256(one.body).hexdigest(),
    )
