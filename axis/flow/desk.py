"""
The front desk: everything a station may do or ask, whichever channel it came by.

The AMQP consumer and the HTTP API translate envelopes and call this; nothing else of the axis talks to stations.
Callers that come at the same time share a transaction (`axis.core.together`).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from axis.core.directory import Station
from axis.core.errors import InvariantBroken, NotAllowed, NotFound, Purged
from axis.core.events import JSON, Event, EventKind
from axis.core.exchange import (
    MAX_OWED,
    Answer,
    Ask,
    BadMessage,
    Consignment,
    FeedEntry,
    OwedList,
    OwedQuestion,
    Receipt,
    Statement,
    StationMessage,
    Submitted,
    Whereabouts,
    consignment_json,
    dump,
    load,
    owed_list_json,
    receipt_json,
    whereabouts_json,
)
from axis.core.model import (
    Actor,
    Digest,
    DocumentKey,
    EventId,
    Lane,
    StationId,
    StationState,
    SubmissionId,
)
from axis.core.ports import (
    Blobs,
    Clock,
    Directories,
    Ids,
    InboundMessage,
    Ledger,
    LogView,
    Outbox,
    ReceiptSigner,
    StationView,
    SubmissionFilter,
)
from axis.core.retry import DELIVERIES, Backoff
from axis.core.text import printable
from axis.core.together import Together
from axis.flow.acknowledge import acknowledge, offer_again
from axis.flow.answer import answer_of
from axis.flow.bells import Bells
from axis.flow.dispatch import hand_out, header_of
from axis.flow.pipeline import Pipeline
from axis.flow.receive import LONGEST_MESSAGE_ID

MOST_REFS = 5_000
"""Most deliveries named when a station asks for one consignment, or lists its inbox over HTTP."""
MOST_INLINE_BYTES = 8 * 1024 * 1024
"""Largest payload that is given out inside an AMQP reply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskLimits:
    """How much is done together, and how long a listing counts as handed over."""

    admissions: int = 64
    """Most submissions judged and recorded in one transaction."""
    admissions_at_once: int = 2
    statements: int = 256
    lease: timedelta = timedelta(seconds=60)
    """A pulling station's listing is written down within this time or never was."""
    failures: Backoff = DELIVERIES
    """When what a station failed to take is offered to it again."""
    poll_seconds: float = 1.0
    """Longest time without looking, for what another process recorded."""


class Desk:
    """What stations do and ask. Every method takes the station the transport has authenticated."""

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        ledger: Ledger,
        view: StationView,
        log: LogView,
        outbox: Outbox,
        blobs: Blobs,
        directories: Directories,
        signer: ReceiptSigner,
        clock: Clock,
        ids: Ids,
        bells: Bells,
        limits: DeskLimits | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._ledger = ledger
        self._view = view
        self._log = log
        self._outbox = outbox
        self._blobs = blobs
        self._directories = directories
        self._signer = signer
        self._clock = clock
        self._ids = ids
        self._bells = bells
        self._limits = limits or DeskLimits()
        self._admissions: Together[InboundMessage, Answer] = Together(
            self._admit,
            most=self._limits.admissions,
            parallel=self._limits.admissions_at_once,
            # Urgent ones first, then one of each station after the other: a flood waits for itself.
            turn_of=lambda message: (0 if message.lane is Lane.URGENT else 1, message.station),
        )
        self._statements: Together[Statement, None] = Together(
            self._acknowledge, most=self._limits.statements
        )

    async def station(self, station: StationId) -> Station:
        """
        The station behind a validated identity.

        Raises:
            NotAllowed: unknown or suspended.
        """
        found = (await self.active([station])).get(station)
        if found is None:
            raise NotAllowed(f"station {station} is not active")
        return found

    async def active(self, names: Collection[StationId]) -> Mapping[StationId, Station]:
        """The stations behind validated identities; those that are unknown or suspended are not in it."""
        known = (await self._directories.current()).stations
        found = {name: known[name] for name in names if name in known}
        return {name: one for name, one in found.items() if one.state is not StationState.SUSPENDED}

    # --- handing in -----------------------------------------------------------------------------------------------

    async def admit(self, messages: Sequence[InboundMessage]) -> Sequence[Answer]:
        """
        One answer per message, in order: accepted, refused, held or duplicate, recorded and with its receipt.
        Without messages it asks only whether ledger and blobs answer, before a transport takes any.

        Raises:
            ServiceUnavailable: nothing is known to be recorded; the same messages must be offered again.
        """
        if not messages:
            return await self._pipeline.admit(())
        return await self._admissions.bring(messages)

    async def _admit(self, messages: Sequence[InboundMessage]) -> Sequence[Answer]:
        return await self._pipeline.admit(messages)

    async def answer(
        self, station: Station, *, submission: SubmissionId | None, message_id: str | None
    ) -> Answer:
        """
        The answer to an earlier submission, with its receipt; once the log covers it, with the proof as well.

        Raises:
            NotFound: the station made no such submission.
        """
        event = await self._view.outcome(station.id, submission=submission, message_id=message_id)
        receipt = self._signer.sign([event.record])[0]
        index = await self._log.index_of(event.id)
        if index is not None:
            # Not found: it is numbered, and the next checkpoint is not signed yet.
            with contextlib.suppress(NotFound):
                receipt = replace(receipt, proof=await self._log.proof(index))
        return replace(answer_of(event), receipt=receipt)

    # --- taking ---------------------------------------------------------------------------------------------------

    async def inbox(self, station: Station, *, limit: int, at: datetime) -> Sequence[Consignment]:
        """What waits for a station that pulls, urgent first; listing it hands it over."""
        del at  # the ledger's clock decides
        return await hand_out(
            station,
            limit=limit,
            refs=MOST_REFS,
            lease=self._limits.lease,
            outbox=self._outbox,
            ledger=self._ledger,
            clock=self._clock,
            ids=self._ids,
        )

    async def consignment(self, station: Station, document: DocumentKey) -> Consignment:
        """
        The station's consignment of a document, with all its pending deliveries.

        Raises:
            NotFound: none of the station's.
        """
        ready = await self._view.consignment(station.id, document, refs=MOST_REFS)
        return header_of(ready, attempt=ready.row.attempt)

    async def payload(self, station: Station, document: DocumentKey) -> tuple[Digest, int]:
        """
        Digest and size of the bytes the station may fetch.

        Raises:
            NotFound: it neither sent nor receives the document.
            Withdrawn: the document was recalled before the station took it.
            Purged: the bytes were let go when their time was over (LR-56).
            InvariantBroken: they are gone, and nobody let them go.
        """
        row = await self._view.payload_of(station.id, document)
        if await self._blobs.size(row.digest) is None:
            if await self._view.is_purged(row.digest):
                raise Purged(document, issuer=row.from_code)
            # Never to be taken for a document that does not exist: bytes are lost, or their disk is not there.
            raise InvariantBroken(f"the payload {row.digest} of document {document} is gone")
        return row.digest, row.size

    async def report(self, station: Station, document: DocumentKey) -> tuple[bytes, str]:
        """
        The verification report and its receipt (JSON).

        Raises:
            NotFound: none of the station's.
        """
        return await self._view.report(station.id, document)

    async def valued(self, station: Station, document: DocumentKey) -> Receipt | None:
        """
        What the files of the document are worth, signed; None while they are being judged.

        Raises:
            NotFound: none of the station's.
        """
        record = await self._view.valued(station.id, document)
        return None if record is None else self._signer.sign([record])[0]

    async def where_is(self, station: Station, document: str) -> Whereabouts:
        """
        Where a document the station sent stands, per receiver.

        Raises:
            NotFound: none of the station's.
            Ambiguous: the name fits several.
        """
        return await self._view.where_is(station.id, document)

    async def submissions(
        self, station: Station, wanted: SubmissionFilter, *, offset: int, limit: int
    ) -> Sequence[Submitted]:
        """What the station handed in, newest first."""
        return await self._view.submissions(station.id, wanted, offset=offset, limit=limit)

    async def owed(self, station: Station, asked: OwedQuestion, *, limit: int) -> OwedList:
        """What the station owes, or is owed: receipts, replies, answers to requests; oldest first."""
        return await self._view.owed(
            station.id, asked, at=self._clock.now(), calendar=self._pipeline.calendar, limit=limit
        )

    async def events(self, station: Station, *, after: int, limit: int) -> Sequence[FeedEntry]:
        """Later events of the station's documents, behind leaf `after`."""
        return await self._view.feed(station.id, after=after, limit=limit)

    async def wait_inbox(self, station: StationId, *, seconds: float) -> None:
        """Return when something may wait for the station, at the latest after `seconds`."""
        await self._bells.hear(station, seconds=min(seconds, self._limits.poll_seconds))

    async def wait_events(self, station: StationId, *, seconds: float) -> None:
        """Return when there may be a later event, at the latest after `seconds`."""
        await self._bells.hear(station, seconds=min(seconds, self._limits.poll_seconds))

    # --- saying ---------------------------------------------------------------------------------------------------

    async def say(self, station: Station, message: StationMessage, *, message_id: str, at: datetime) -> None:
        """
        Record what a station says of its deliveries, and offer everything again when it asks for `resync`.

        Raises:
            ServiceUnavailable: not recorded for certain; said again, nothing happens twice.
        """
        await self.say_all([Statement(station=station, message=message, message_id=message_id, at=at)])

    async def say_all(self, said: Sequence[Statement]) -> None:
        """
        `say` for what came together, in order.

        Raises:
            ServiceUnavailable: not recorded for certain; said again, nothing happens twice.
        """
        statements = [one for one in said if one.message.acks]
        if statements:
            await self._statements.bring(statements)
        for station in {
            one.station.id: one.station for one in said if one.message.ask is Ask.RESYNC
        }.values():
            await self._resync(station)

    async def _acknowledge(self, statements: Sequence[Statement]) -> Sequence[None]:
        told = await acknowledge(
            statements,
            ledger=self._ledger,
            clock=self._clock,
            ids=self._ids,
            schedule=self._limits.failures,
        )
        self._bells.ring(told)
        return [None] * len(statements)

    async def _resync(self, station: Station) -> None:
        asked_at = self._clock.now()
        while consignments := await self._outbox.unfinished(station.id, before=asked_at, limit=500):
            await offer_again(
                consignments,
                cause="resync",
                ledger=self._ledger,
                clock=self._clock,
                ids=self._ids,
                by=Actor(station=station.id),
            )
        self._bells.ring([station.id])

    async def ignore(self, *, station: StationId | None, message_id: str, problem: str, at: datetime) -> None:
        """Record an acknowledgement message that says nothing the axis could act on."""
        by = Actor(station=station) if station is not None else Actor(axis="desk")
        event = Event(
            id=EventId(self._ids.new(at)),
            kind=EventKind.ACK_IGNORED,
            at=at,
            by=by,
            facts={
                "message_id": printable(message_id, most=LONGEST_MESSAGE_ID),
                "problem": printable(problem, most=500),
            },
        )
        async with self._ledger.transaction() as tx:
            await tx.append([event])

    # --- asking over AMQP -----------------------------------------------------------------------------------------

    async def ask(self, station: Station, message: StationMessage, *, at: datetime) -> bytes:
        """
        The answer to a question, in JSON; the shapes stand in `axis.core.exchange.Ask`.

        Raises:
            NotFound, Withdrawn, Purged, Ambiguous, BadMessage: as the contract says of each question.
        """
        del at
        if message.ask is Ask.OWED:
            if message.owed is None:
                raise BadMessage("owed", "missing")
            return dump(owed_list_json(await self.owed(station, message.owed, limit=MAX_OWED)))
        if message.document is None:
            raise BadMessage("document", "missing")
        body: dict[str, JSON]
        match message.ask:
            case Ask.WHERE_IS:
                body = whereabouts_json(await self.where_is(station, message.document))
            case Ask.CONSIGNMENT:
                found = await self.consignment(station, DocumentKey(message.document))
                body = {"type": "consignment", **consignment_json(found)}
            case Ask.REPORT:
                report, receipt = await self.report(station, DocumentKey(message.document))
                valued = await self.valued(station, DocumentKey(message.document))
                body = {
                    "type": "report",
                    "document": message.document,
                    "report": report.decode(),
                    "receipt": dict(load(receipt.encode())),
                    "valued": receipt_json(valued) if valued else None,
                }
            case Ask.PAYLOAD:
                digest, size = await self.payload(station, DocumentKey(message.document))
                if size > MOST_INLINE_BYTES:
                    raise BadMessage("document", "too large for a message; fetch it over HTTP")
                content = await self._blobs.read(digest)
                body = {
                    "type": "payload",
                    "document": message.document,
                    "digest": digest,
                    "content": (await asyncio.to_thread(base64.b64encode, content)).decode("ascii"),
                }
            case _:
                raise BadMessage("ask", "not a question")
        return dump(body)
