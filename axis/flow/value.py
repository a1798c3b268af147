"""
The legal value of a document, from the signatures inside its attachments. Off the road: delivery never waits for it.

    1 take     documents whose value is being checked; they are ours for a while, renewed as long as we work on them
    2 unpack   one after the other: its attachments, out of the received bytes, into files
    3 judge    file by file, in a process that can be killed
    4 record   the values and what was found in each file, unless somebody else has; sender and receivers are told

A crash anywhere costs the time of step 1: another process takes the documents, or the same one again; one that was
taken before and nothing came of it is taken alone, so that it costs no other its tries. A file that hangs, eats memory
or brings its process down is tried again and then costs the document its value, with the reason at that file. What
nobody can tell yet (revocation) stays "being checked", and so does everything for want of roots: those are ours to
mend.

Never changes what was accepted, never stops a delivery, and never looks into a file in the hub's own process.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Protocol

import structlog

from axis.core.directory import Directory
from axis.core.errors import AxisError, ServiceUnavailable
from axis.core.events import JSON, Event, EventKind
from axis.core.model import (
    Actor,
    Attachment,
    DeliveryState,
    DocumentKey,
    EventId,
    LegalValue,
    StationId,
    Tier,
    iso,
)
from axis.core.ports import Blobs, Clock, Directories, Ids, Ledger, ToValue, Valuations
from axis.core.rows import DeliveryRow, DocumentRow
from axis.core.text import printable
from axis.flow.bells import Bells
from signing.certificates import SPKI
from signing.pdf import OURS, DocumentJudgement, PdfReason, PdfReport, PdfSignature, RoleKeys, document_value
from signing.policy import CURRENT_POLICY, Policy
from signing.skeleton import Limits, Part, read_skeleton

log = structlog.get_logger(__name__)

_BY = Actor(axis="value")
_MOST_TEXT = 200
_FOLDER = "judging"


class Judge(Protocol):
    """Judges single files, see `axis.flow.judges`."""

    @property
    def file_bytes(self) -> int: ...

    async def judge(self, file: Path, *, at: datetime, keys: RoleKeys) -> PdfReport | None: ...

    def interrupt(self) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ValuePace:
    """How patiently."""

    batch: int = 32
    """Most documents taken at a time, and recorded in one transaction."""
    record_seconds: float = 1.0
    """What is judged is recorded after this time, though more of the batch is to be judged."""
    lease: timedelta = timedelta(seconds=30)
    renew_seconds: float = 10.0
    sweep_seconds: float = 1.0
    ours_again: timedelta = timedelta(seconds=3)
    """After a fault of the judging."""
    most_crashes: int = 3
    most_excesses: int = 2
    """Of time or memory: a file that takes too much twice takes too much."""
    most_takings: int = 6
    """So often a document was taken and nothing came of it, not even a fault: it is not opened any more."""
    not_yet: timedelta = timedelta(seconds=30)
    """The shortest pause while nobody can tell; it grows with the age of the document."""
    not_yet_longest: timedelta = timedelta(minutes=15)


class Unjudgeable(AxisError):
    """It cannot be judged now, for a cause that is ours: stored bytes that are gone or changed, no roots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Valued:
    """What is to be recorded of a document."""

    document: DocumentRow
    round: int
    judgement: DocumentJudgement
    files: Sequence[tuple[Attachment, PdfReport]]


class Valuer:
    """Values documents, one for each of its judges at a time; any number of these may run."""

    def __init__(
        self,
        *,
        judges: Sequence[Judge],
        ledger: Ledger,
        valuations: Valuations,
        blobs: Blobs,
        directories: Directories,
        clock: Clock,
        ids: Ids,
        bells: Bells,
        folder: Path,
        limits: Limits,
        policy: Policy = CURRENT_POLICY,
        pace: ValuePace | None = None,
    ) -> None:
        """`folder` is for files while they are judged; several processes may share it. `policy` is the judges'."""
        self._judges = judges
        self._ledger = ledger
        self._valuations = valuations
        self._blobs = blobs
        self._directories = directories
        self._clock = clock
        self._ids = ids
        self._bells = bells
        self._folder = folder / _FOLDER
        self._limits = limits
        self._policy = policy
        self._pace = pace or ValuePace()

    async def run(self, stop: asyncio.Event, *, is_alone: bool = False) -> None:
        """
        Value what is due until `stop`; what is being judged then is left to be judged again.

        Where no other process can be at work (`is_alone`), what the one before was judging is free at once.
        """
        try:
            if is_alone:
                with contextlib.suppress(ServiceUnavailable):
                    await self._valuations.free()
            async with asyncio.TaskGroup() as group:
                for judge in self._judges:
                    group.create_task(self._serve(judge, stop))
                group.create_task(self._interrupt_at(stop))
        finally:
            for judge in self._judges:
                judge.close()

    async def _interrupt_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        for judge in self._judges:
            judge.interrupt()

    async def _serve(self, judge: Judge, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                has_taken = await self.turn(judge, stop=stop)
            except ServiceUnavailable as trouble:
                log.warning("value.waiting", service=trouble.service, cause=trouble.cause)
                has_taken = False
            if not has_taken:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._pace.sweep_seconds):
                        await stop.wait()

    async def turn(self, judge: Judge, *, stop: asyncio.Event | None = None) -> bool:
        """Take documents and judge them; whether there were any."""
        at = self._clock.now()
        taken = await self._valuations.take(  # 1
            at=at, until=at + self._pace.lease, limit=self._pace.batch
        )
        if not taken:
            return False
        stop = stop or asyncio.Event()
        loop = asyncio.get_running_loop()
        ours = {one.document.id for one in taken}
        async with self._held(ours), self._scratch() as folder:
            directory = await self._directories.current()
            valued: list[_Valued] = []
            record_at = loop.time() + self._pace.record_seconds
            for number, one in enumerate(taken):
                if stop.is_set():
                    await self._put_off(one, timedelta(), tries=one.tries - 1)
                    continue
                found = await self._value(one, judge, stop, directory, folder / str(number))
                if found is not None:
                    valued.append(found)
                else:
                    ours.discard(one.document.id)
                if loop.time() > record_at:
                    await self._record(valued)  # 4
                    valued = []
                    record_at = loop.time() + self._pace.record_seconds
            await self._record(valued)  # 4
        return True

    async def _value(
        self, taken: ToValue, judge: Judge, stop: asyncio.Event, directory: Directory, folder: Path
    ) -> _Valued | None:
        """What is to be recorded; None: it was put off."""
        document = taken.document
        if document.tier is Tier.INDETERMINATE:
            # Whether it was signed by its sender at all is settled first.
            await self._put_off(taken, self._pause(document), tries=0)
            return None
        try:
            return await self._judge(taken, judge, stop, directory, folder)
        except (Unjudgeable, OSError) as why:
            log.error("value.impossible", document=document.id, cause=str(why))  # noqa: TRY400 - the cause is named
            await self._put_off(taken, self._pause(document), tries=0)
        except ServiceUnavailable:
            raise
        except Exception:
            # A fault of ours in one document must neither stop the hub nor be tried at once for ever.
            log.exception("value.fault", document=document.id)
            await self._put_off(taken, self._pace.ours_again, tries=taken.tries)
        return None

    async def _judge(
        self, taken: ToValue, judge: Judge, stop: asyncio.Event, directory: Directory, folder: Path
    ) -> _Valued | None:
        files = await self._look_into(taken, judge, directory, folder)
        if stop.is_set() and any(report.reason is PdfReason.CRASH for _, report in files):
            await self._put_off(taken, timedelta(), tries=taken.tries - 1)
            return None
        if self._may_be_ours(taken, files):
            await self._put_off(taken, self._pace.ours_again, tries=taken.tries)
            return None
        final = [(file, _given_up(report)) for file, report in files]
        judgement = document_value([(file.content_id, report) for file, report in final])
        if judgement.value.value == LegalValue.CHECKING.value:
            await self._put_off(taken, self._pause(taken.document), tries=0)
            return None
        return _Valued(document=taken.document, round=taken.round, judgement=judgement, files=final)

    def _may_be_ours(self, taken: ToValue, files: Sequence[tuple[Attachment, PdfReport]]) -> bool:
        """Whether a file failed by a fault of the judging, and has not failed so often that it counts."""
        faults = {report.reason for _, report in files} & OURS
        most = self._pace.most_crashes if PdfReason.CRASH in faults else self._pace.most_excesses
        return bool(faults) and taken.tries < most

    def _pause(self, document: DocumentRow) -> timedelta:
        age = self._clock.now() - document.accepted_at
        return min(max(age / 2, self._pace.not_yet), self._pace.not_yet_longest)

    async def _put_off(self, taken: ToValue, pause: timedelta, *, tries: int) -> None:
        await self._valuations.put_off(
            taken.document.id, until=self._clock.now() + pause, tries=max(tries, 0)
        )

    # --- 2, 3 -----------------------------------------------------------------------------------------------------

    async def _look_into(
        self, taken: ToValue, judge: Judge, directory: Directory, folder: Path
    ) -> Sequence[tuple[Attachment, PdfReport]]:
        """Every attachment with what was found in it; its files lie in `folder` while they are judged."""
        document = taken.document
        if taken.tries > self._pace.most_takings:
            # Whoever opened it has died of it, again and again; a file is opened for its verdict, not for that.
            return [(one, PdfReport(reason=PdfReason.GIVEN_UP)) for one in document.attachments]
        if not document.attachments:
            return ()
        try:
            found = await asyncio.to_thread(
                _unpack,
                self._blobs.path(document.digest),
                folder,
                document=document,
                limits=self._limits,
                most=judge.file_bytes,
            )
            bound = directory.bound(document.sender, at=document.received_at)
            keys = RoleKeys(organ=frozenset(SPKI(one.spki) for one in bound))
            reports: dict[str, PdfReport] = {}
            for digest, path in found.items():
                report = await judge.judge(path, at=document.received_at, keys=keys)
                if report is None:
                    raise Unjudgeable("no roots for the signatures in attachments can be read")
                reports[digest] = report
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return [(one, reports[one.sha256]) for one in document.attachments]

    @asynccontextmanager
    async def _held(self, documents: AbstractSet[DocumentKey]) -> AsyncIterator[None]:
        """Keep the documents ours while the block runs."""
        renewing = asyncio.ensure_future(self._renew(documents))
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.wait({renewing})

    async def _renew(self, documents: AbstractSet[DocumentKey]) -> None:
        while True:
            await asyncio.sleep(self._pace.renew_seconds)
            # Should one become another's, the work is done twice and recorded once.
            with contextlib.suppress(ServiceUnavailable):
                await self._valuations.keep(sorted(documents), until=self._clock.now() + self._pace.lease)

    @asynccontextmanager
    async def _scratch(self) -> AsyncIterator[Path]:
        """A folder for the files of what was taken, gone afterwards."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=self._folder))
        try:
            yield folder
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    # --- 4 --------------------------------------------------------------------------------------------------------

    async def _record(self, valued: Sequence[_Valued]) -> None:
        if not valued:
            return
        events: dict[DocumentKey, Event] = {}
        async with self._ledger.transaction() as tx:
            # Not there: another process was quicker, the document's own verdict ended the question, or a list came.
            rows = await tx.being_valued({one.document.id: one.round for one in valued})
            carried: dict[DocumentKey, list[DeliveryRow]] = {}
            for delivery in await tx.deliveries_of(sorted(rows)):
                carried.setdefault(delivery.document, []).append(delivery)
            at = self._clock.now()
            for one in valued:
                row = rows.get(one.document.id)
                if row is not None:
                    events[row.id] = Event(
                        id=EventId(self._ids.new(at)),
                        kind=EventKind.DOCUMENT_VALUED,
                        at=at,
                        by=_BY,
                        document=row.id,
                        stations=_stations(row, carried.get(row.id, ())),
                        facts=_facts(row, one.judgement, one.files, policy=self._policy),
                        previous=row.head,
                    )
            await tx.append(list(events.values()))
        for one in valued:
            if one.document.id in events:
                log.info(
                    "document.valued",
                    document=one.document.id,
                    value=one.judgement.value.value,
                    files=len(one.files),
                    seconds=round((at - one.document.accepted_at).total_seconds(), 1),
                )
        self._bells.ring({station for event in events.values() for station in event.stations})


def _stations(document: DocumentRow, deliveries: Sequence[DeliveryRow]) -> tuple[StationId, ...]:
    """Sender's first, then every receiver's from whom it was not taken back."""
    receivers = {
        one.station
        for one in deliveries
        if one.station is not None and one.state is not DeliveryState.WITHDRAWN
    }
    return (document.station, *sorted(receivers - {document.station}))


def _facts(
    document: DocumentRow,
    judgement: DocumentJudgement,
    files: Sequence[tuple[Attachment, PdfReport]],
    *,
    policy: Policy,
) -> Mapping[str, JSON]:
    return {
        "kind": document.kind.value,
        "before": document.value.value,
        "value": judgement.value.value,
        "policy": policy.version,
        "judged_for": iso(document.received_at),
        "files": [
            {
                "content_id": file.content_id,
                "name": file.name,
                "sha256": file.sha256,
                "reason": report.reason.value,
                "inside_zip": _text(report.inside_zip),
                "signatures": [_signature(one) for one in report.signatures],
            }
            for file, report in files
        ],
    }


def _signature(one: PdfSignature) -> dict[str, JSON]:
    signer: JSON = None
    if one.signer is not None:
        signer = {
            "subject": _text(one.signer.subject),
            "issuer": _text(one.signer.issuer),
            "serial": one.signer.serial,
        }
    return {
        "field": _text(one.field),
        "reason": one.reason.value,
        "role": one.role.value,
        "signer": signer,
        "claimed_at": _moment(one.claimed_at),
        "timestamp": _moment(one.timestamp),
        "intact": one.is_intact,
        "trusted": one.is_trusted,
        "covers_whole_file": one.covers_whole_file,
        "changes_after": one.changes_after,
        "above": list(one.above),
    }


def _moment(at: datetime | None) -> str | None:
    # What a signer's clock claims may be without a zone: then it is no moment, and stands as it was written.
    return None if at is None else (iso(at) if at.tzinfo is not None else at.isoformat())


def _text(text: str | None) -> str | None:
    """Of a stranger's making: halves of a pair cannot stand in a record."""
    return None if text is None else printable(text, most=_MOST_TEXT)


def _given_up(report: PdfReport) -> PdfReport:
    return replace(report, reason=PdfReason.GIVEN_UP) if report.reason is PdfReason.CRASH else report


async def remove_leftovers(folder: Path, *, before: datetime) -> None:
    """Remove what killed processes left of files they were judging, in the folder a `Valuer` was given."""
    await asyncio.to_thread(_remove_old, folder / _FOLDER, before.timestamp())


# --- in a thread --------------------------------------------------------------------------------------------------


class _Files:
    """Writes decoded attachments into a folder; implements `PartSink`. No more of one than shows that it is too large."""

    def __init__(self, folder: Path, *, most: int) -> None:
        self._folder = folder
        self._most = most
        self._open: BinaryIO | None = None
        self._left = 0
        self.found: dict[str, Path] = {}

    def begin(self, index: int) -> None:
        self._open = (self._folder / str(index)).open("xb")
        self._left = self._most + 1

    def write(self, index: int, chunk: bytes) -> None:
        del index
        assert self._open is not None, "a part begins before its bytes"
        self._open.write(chunk[: self._left])
        self._left -= min(self._left, len(chunk))

    def end(self, part: Part) -> None:
        self.close()
        self.found[part.sha256] = self._folder / str(part.index)

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None


def _unpack(
    payload: Path, folder: Path, *, document: DocumentRow, limits: Limits, most: int
) -> dict[str, Path]:
    """
    The attachments of an accepted message as files, by digest.

    Raises:
        Unjudgeable: the stored bytes are gone, or are not those that were accepted.
    """
    folder.mkdir(mode=0o700)
    files = _Files(folder, most=most)
    try:
        with payload.open("rb") as source:
            skeleton = read_skeleton(source, limits=limits, sink=files)
    except FileNotFoundError as gone:
        raise Unjudgeable(f"payload {document.digest} is not there") from gone
    finally:
        files.close()
    missing = [one.sha256 for one in document.attachments if one.sha256 not in files.found]
    if skeleton.sha256 != document.digest or missing:
        raise Unjudgeable(f"payload {document.digest} has other bytes than were accepted")
    wanted = {one.sha256 for one in document.attachments}
    return {digest: path for digest, path in files.found.items() if digest in wanted}


def _remove_old(folder: Path, before: float) -> None:
    with contextlib.suppress(FileNotFoundError):
        for path in folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    shutil.rmtree(path, ignore_errors=True)
