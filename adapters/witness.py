"""
The station as a witness: it remembers the last checkpoint it saw and asks each time that the next one continues it.

A history that was rewritten, shortened or forked is found by the first station that looks, without trusting the
operator. Both checkpoints are kept as evidence under `alarms/`; the old one stays what is compared with, so that the
alarm does not go away by itself. A new epoch (a log restored from a backup, which says so in public) is an alarm, too:
once, and from then on the new history is the one that is watched.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import final

import structlog

from adapters.errors import BadAnswer, HistoryRewritten, Refused
from adapters.line import Line
from adapters.memory import Memory
from signing.errors import SigningError
from signing.merkle import EMPTY_ROOT, ProofError, verify_consistency
from signing.note import Checkpoint, NoteError, read_checkpoint, split_note, verify_checkpoint
from signing.receipts import TrustedKeys

_log = structlog.get_logger(__name__)

_EPOCH = "/epoch-"


@dataclass(frozen=True, slots=True)
class _Seen:
    note: str
    checkpoint: Checkpoint

    @property
    def log(self) -> str:
        return self.checkpoint.origin.partition(_EPOCH)[0]

    @property
    def epoch(self) -> int:
        digits = self.checkpoint.origin.partition(_EPOCH)[2]
        return int(digits) if digits.isdecimal() else 1


@final
class Witness:
    """Compares what the axis shows now with what it showed before."""

    def __init__(self, line: Line, *, memory: Memory, trusted: TrustedKeys | None) -> None:
        self._line = line
        self._memory = memory
        self._trusted = trusted
        self._turn = asyncio.Lock()
        """One look at a time: of two at once the slower could be shown less than the other has remembered."""

    async def look(self) -> Checkpoint | None:
        """
        The newest checkpoint, after making sure that it continues the last one; None before the first.

        Raises:
            HistoryRewritten: it does not.
            BadAnswer: what the axis shows is no checkpoint, or not signed by a pinned key.
        """
        async with self._turn:
            return await self._look()

    async def _look(self) -> Checkpoint | None:
        note = await self._line.checkpoint()
        known = self._memory.checkpoint
        if note is None:
            if known is not None:
                raise self._alarm("no checkpoint is shown any more", seen=known, shown="")
            return None
        shown = self._read(note)
        if known is not None:
            await self._compare(self._read_known(known), shown)
        if note != known:
            await asyncio.to_thread(self._memory.remember_checkpoint, note)
        return shown.checkpoint

    async def _compare(self, seen: _Seen, shown: _Seen) -> None:
        old, new = seen.checkpoint, shown.checkpoint
        if shown.log != seen.log:
            raise self._alarm(
                f"it is another log now: {shown.log}, not {seen.log}", seen=seen.note, shown=shown.note
            )
        if shown.epoch != seen.epoch:
            if shown.epoch > seen.epoch:
                # Said in public, and signed: told once, and watched from here on.
                await asyncio.to_thread(self._memory.remember_checkpoint, shown.note)
            raise self._alarm(
                f"epoch {shown.epoch} instead of {seen.epoch}: the log was restored from a backup",
                seen=seen.note,
                shown=shown.note,
            )
        if new.size < old.size:
            raise self._alarm(
                f"it has {new.size} records, and had {old.size}", seen=seen.note, shown=shown.note
            )
        if old.size == 0:
            return
        if new.size == old.size:
            if new.root != old.root:
                raise self._alarm(f"two roots for {new.size} records", seen=seen.note, shown=shown.note)
            return
        try:
            proof = await self._line.consistency(old=old.size, new=new.size)
        except Refused as error:
            raise self._alarm(
                f"it does not show that {new.size} records continue {old.size}",
                seen=seen.note,
                shown=shown.note,
            ) from error
        try:
            verify_consistency(old=old.size, old_root=old.root, new=new.size, new_root=new.root, proof=proof)
        except ProofError as error:
            raise self._alarm(error.detail, seen=seen.note, shown=shown.note) from error

    def _alarm(self, cause: str, *, seen: str, shown: str) -> HistoryRewritten:
        name = hashlib.sha256(f"{seen}\0{shown}".encode()).hexdigest()[:16]
        kept = self._memory.keep_evidence(name, {"cause": cause, "seen": seen, "shown": shown})
        _log.error("station.history_rewritten", cause=cause, evidence=str(kept) if kept is not None else None)
        return HistoryRewritten(cause, seen=seen, shown=shown)

    def _read(self, note: str) -> _Seen:
        try:
            if self._trusted is not None:
                found = verify_checkpoint(note, keys=self._trusted.log)
            else:
                # Nobody told us whom to trust: history is still compared, its signature is not.
                found = read_checkpoint(split_note(note)[0])
            if found.size == 0 and found.root != EMPTY_ROOT:
                raise NoteError("bad checkpoint", "an empty log with a root")
        except (SigningError, ValueError) as error:
            raise BadAnswer(f"the checkpoint cannot be believed: {error}") from error
        return _Seen(note, found)

    def _read_known(self, note: str) -> _Seen:
        # It was verified when it was remembered, perhaps with a key that is not pinned any more.
        try:
            return _Seen(note, read_checkpoint(split_note(note)[0]))
        except (SigningError, ValueError) as error:
            raise BadAnswer(f"the remembered checkpoint is damaged: {error}") from error
