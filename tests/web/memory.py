"""
An axis in memory that keeps the promises of `axis.web.services.Desk`, and no more: what the API's tests stand on.

Its messages are no edXML but one tag, so that a test reads like what it says. Two stations exchange documents, a third
looks on, a fourth is suspended. Payloads and uploads lie in real files, receipts and checkpoints are really signed.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from axis.core import credentials
from axis.core.directory import Delegation, Directory, Organ, Station
from axis.core.errors import Ambiguous, NotAllowed, NotFound, ServiceUnavailable, Withdrawn
from axis.core.events import JSON, Event, EventKind
from axis.core.exchange import (
    Answer,
    Ask,
    BatchSignature,
    Consignment,
    DeliveryLine,
    DeliveryRef,
    Duty,
    FeedEntry,
    Outcome,
    Owed,
    OwedBy,
    OwedList,
    OwedQuestion,
    Receipt,
    StationMessage,
    Submitted,
    Whereabouts,
    dump,
    receipt_json,
)
from axis.core.ids import compose
from axis.core.model import (
    PENDING,
    Actor,
    Channel,
    ConsignmentId,
    DeliveryId,
    DeliveryState,
    Digest,
    DocumentKey,
    EventId,
    Kind,
    Lane,
    LegalValue,
    OrganNumber,
    SignaturePolicy,
    StationId,
    StationState,
    SubmissionId,
    SubmissionState,
    Tier,
)
from axis.core.ports import InboundMessage, SubmissionFilter
from axis.core.reasons import Cause, ReasonCode
from axis.ledger.blobs import FileBlobs
from axis.ledger.uploads import Spool
from axis.web.services import Figure, WebLimits, WebServices
from signing.merkle import Tree, leaf_hash, verify_consistency
from signing.note import Checkpoint, LogProof, SigningKey, sign_note
from signing.receipts import BatchReceiptSigner

NOON = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
ORIGIN = "axis.example/log"
LEASE = timedelta(seconds=60)

SENDER = StationId("bo-noi-vu")
RECEIVER = StationId("ha-noi")
STRANGER = StationId("da-nang")
SUSPENDED = StationId("hue")
CODES = {
    SENDER: "000.00.00.G06",
    RECEIVER: "000.00.00.H26",
    STRANGER: "000.00.00.H17",
    SUSPENDED: "000.00.00.H57",
}

_TOLD = frozenset(
    {EventKind.DELIVERY_ACKNOWLEDGED, EventKind.DELIVERY_WITHDRAWN, EventKind.DELIVERY_ANSWERED}
)
"""Events a sender is told of."""

_TAG = re.compile(
    rb'<(document|recall|status) id="([^"]+)" from="([^"]+)" to="([^"]+)"(?: code="([0-9]{2})")?( urgent)?>'
)


def key_of(station: StationId) -> str:
    """The API key of a station of this axis."""
    return credentials.key_of(station, randomness=hashlib.sha256(b"key of " + station.encode()).digest())


class Clock:
    """Time that moves a millisecond whenever somebody looks, and otherwise when a test says so."""

    def __init__(self) -> None:
        self._now = NOON

    def now(self) -> datetime:
        self._now += timedelta(milliseconds=1)
        return self._now

    def pass_by(self, span: timedelta) -> None:
        self._now += span


class Ids:
    """Ids that count."""

    def __init__(self) -> None:
        self._last = 0

    def new(self, at: datetime) -> str:
        self._last += 1
        return compose(at=at, randomness=self._last)


@dataclass
class _Document:
    key: DocumentKey
    name: str
    kind: Kind
    station: StationId
    digest: Digest
    size: int
    at: datetime
    lane: Lane
    report: bytes
    deliveries: list[_Delivery] = field(default_factory=list)


@dataclass
class _Delivery:
    id: DeliveryId
    consignment: ConsignmentId
    document: _Document
    station: StationId
    code: str
    state: DeliveryState
    at: datetime
    reason: ReasonCode | None = None
    status: str | None = None
    attempt: int = 0
    lease_until: datetime | None = None

    def line(self) -> DeliveryLine:
        return DeliveryLine(
            delivery=self.id,
            code=self.code,
            name=f"Organ {self.code}",
            state=self.state,
            reason=self.reason,
            at=self.at,
            status=self.status,
        )


class MemoryAxis:
    """Implements `Desk`, `Keys`, `LogView`, `Uploads`, `Directories` and `Figures` at once."""

    def __init__(self, folder: Path, *, blobs: FileBlobs) -> None:
        self.clock = Clock()
        self.ids = Ids()
        self.blobs = blobs
        self.spool = Spool(folder / "uploads")
        self.folder = folder / "bodies"
        self.is_silent = False
        self.is_over = False
        """Whether the deadline of every receipt has passed."""
        """The ledger does not answer."""
        self.has_bug = False
        """Every admission fails as a bug would."""
        self.admission: asyncio.Event = asyncio.Event()
        """While clear, admissions wait."""
        self.admission.set()
        self.admitted: list[InboundMessage] = []
        self.bodies: list[bytes] = []
        """What was admitted, as bytes, in order."""
        self.said: list[tuple[StationId, StationMessage, str]] = []
        self._receipt_key = SigningKey.from_seed(f"{ORIGIN}/receipts", seed=b"r" * 32)
        self._log_key = SigningKey.from_seed(ORIGIN, seed=b"l" * 32)
        self._signer = BatchReceiptSigner(self._receipt_key)
        self._answers: dict[SubmissionId, tuple[StationId, Answer, Event]] = {}
        self._earlier: dict[tuple[StationId, str, Digest], SubmissionId] = {}
        self._documents: dict[DocumentKey, _Document] = {}
        self._uploaded: set[tuple[StationId, Digest]] = set()
        self._waiting: list[Event] = []
        """Events without a number."""
        self._log: list[Event] = []
        self._notes: dict[int, str] = {}
        self._bell = asyncio.Condition()
        self.stations = {
            name: Station(
                id=name,
                name=f"Station {name}",
                state=StationState.SUSPENDED if name == SUSPENDED else StationState.ACTIVE,
                channel=Channel.AMQP if name == SENDER else Channel.PULL,
                policy=SignaturePolicy.REQUIRED,
                inline_bytes=65_536,
                window=1_000,
                secret=hashlib.sha256(name.encode()).hexdigest()[:16],
            )
            for name in CODES
        }

    def services(self, *, limits: WebLimits | None = None, metrics_token: str | None = None) -> WebServices:
        """Everything the API needs."""
        return WebServices(
            desk=self,
            keys=self,
            log=self,
            payloads=self.blobs,
            uploads=self,
            spool=self.spool,
            directories=self,
            clock=self.clock,
            ids=self.ids,
            folder=self.folder,
            log_origin=ORIGIN,
            log_keys=(self._receipt_key.verifier.text, self._log_key.verifier.text),
            has_broker=True,
            figures=self,
            metrics_token=metrics_token,
            limits=limits or WebLimits(),
        )

    # --- who ------------------------------------------------------------------------------------------------------

    async def key_hash(self, station: StationId) -> str | None:
        self._answer_or_not()
        return credentials.hash_of_key(key_of(station)) if station in self.stations else None

    async def station(self, station: StationId) -> Station:
        self._answer_or_not()
        found = self.stations.get(station)
        if found is None or found.state is StationState.SUSPENDED:
            raise NotAllowed(f"station {station} is not active")
        return found

    async def current(self) -> Directory:
        organs = {
            OrganNumber(number): Organ(
                number=OrganNumber(number), code=code, name=f"Organ {code}", kind="unit"
            )
            for number, code in enumerate(CODES.values())
        }
        return Directory(
            version=1,
            organs=organs,
            codes={organ.code: (organ.number,) for organ in organs.values()},
            stations=self.stations,
            delegations={
                OrganNumber(number): (
                    Delegation(station=name, organ=OrganNumber(number), subtree=True, valid_from=NOON),
                )
                for number, name in enumerate(CODES)
            },
            certificates={},
        )

    def _answer_or_not(self) -> None:
        if self.is_silent:
            raise ServiceUnavailable("ledger", "the test says so")

    # --- handing in -----------------------------------------------------------------------------------------------

    async def admit(self, messages: Sequence[InboundMessage]) -> Sequence[Answer]:
        await self.admission.wait()
        self._answer_or_not()
        if self.has_bug:
            raise ZeroDivisionError("a bug that mentions <document> content")
        return [await self._admit(one) for one in messages]

    async def _admit(self, message: InboundMessage) -> Answer:
        self.admitted.append(message)
        body, cause = await self._bytes_of(message)
        self.bodies.append(body)
        digest = Digest(hashlib.sha256(body).hexdigest())
        assert message.station is not None
        earlier = self._earlier.get((message.station, message.message_id, digest))
        if earlier is not None:
            return self._answers[earlier][1]
        found = _TAG.match(body)
        if cause is None and not body:
            cause = ReasonCode.RECEIVE_EMPTY
        if cause is None and message.declared_digest not in {None, digest}:
            cause = ReasonCode.RECEIVE_DIGEST
        if cause is None and found is None:
            cause = ReasonCode.PARSE_NOT_XML
        if cause is None and found is not None and found[3].decode() != CODES[message.station]:
            cause = ReasonCode.RECEIVE_NOT_YOUR_ORGAN
        if cause is not None or found is None:
            return await self._conclude(message, digest, document=None, cause=cause)
        await self.blobs.put([body if message.by_digest else message.body])
        return await self._conclude(
            message, digest, document=self._accept(message, digest, len(body), found), cause=None
        )

    async def _bytes_of(self, message: InboundMessage) -> tuple[bytes, ReasonCode | None]:
        body = message.body if isinstance(message.body, bytes) else message.body.read_bytes()
        if not message.by_digest:
            return body, None
        assert message.station is not None
        digest = Digest(body.decode("ascii", errors="replace").strip())
        if (message.station, digest) not in self._uploaded:
            return b"", ReasonCode.RECEIVE_NOT_UPLOADED
        return await self.blobs.read(digest), None

    def _accept(
        self, message: InboundMessage, digest: Digest, size: int, found: re.Match[bytes]
    ) -> _Document:
        what, name, _, to, code, urgent = (one.decode() if one else "" for one in found.groups())
        at = self.clock.now()
        assert message.station is not None
        key = DocumentKey(self.ids.new(at))
        document = _Document(
            key=key,
            name=name,
            kind=Kind.STATUS if what == "status" else Kind.EDOC,
            station=message.station,
            digest=digest,
            size=size,
            at=at,
            lane=Lane.URGENT if urgent else Lane.NORMAL,
            report=dump({"v": 1, "document": key, "digest": digest}),
        )
        for station, known in CODES.items():
            if known == to:
                document.deliveries.append(
                    _Delivery(
                        id=DeliveryId(self.ids.new(at)),
                        consignment=ConsignmentId(self.ids.new(at)),
                        document=document,
                        station=station,
                        code=to,
                        state=DeliveryState.WAITING,
                        at=at,
                    )
                )
        if what == "recall":
            self._recall(name, message.station)
        if what == "status":
            self._answered(name, station=message.station, code=code)
        self._documents[key] = document
        return document

    def _recall(self, name: str, station: StationId) -> None:
        for document in self._documents.values():
            if document.name == name and document.station == station:
                for one in document.deliveries:
                    if one.state in PENDING:
                        self._move(
                            one,
                            DeliveryState.WITHDRAWN,
                            EventKind.DELIVERY_WITHDRAWN,
                            ReasonCode.DELIVER_RECALLED,
                        )

    def _answered(self, name: str, *, station: StationId, code: str) -> None:
        for document in self._documents.values():
            for one in document.deliveries:
                if document.name == name and one.station == station:
                    one.status = code
                    self._tell(EventKind.DELIVERY_ANSWERED, one, facts={"status": code})

    async def _conclude(
        self,
        message: InboundMessage,
        digest: Digest,
        *,
        document: _Document | None,
        cause: ReasonCode | None,
    ) -> Answer:
        assert message.station is not None
        at = self.clock.now()
        submission = SubmissionId(self.ids.new(at))
        event = Event(
            id=EventId(self.ids.new(at)),
            kind=EventKind.SUBMISSION_REFUSED if document is None else EventKind.SUBMISSION_ACCEPTED,
            at=at,
            by=Actor(station=message.station),
            submission=submission,
            document=document.key if document is not None else None,
            facts={"digest": digest, "message_id": message.message_id},
        )
        self._waiting.append(event)
        answer = Answer(
            submission=submission,
            state=SubmissionState.REFUSED if document is None else SubmissionState.ACCEPTED,
            message_id=message.message_id,
            digest=digest,
            at=message.received_at,
            headline_vi="Trục đã tiếp nhận." if document else "Trục không tiếp nhận.",
            headline_en="Accepted." if document else "Not accepted.",
            document=document.key if document is not None else None,
            causes=(Cause(code=cause),) if cause is not None else (),
            deliveries=tuple(one.line() for one in document.deliveries) if document is not None else (),
            receipt=self._seal(event.record),
        )
        self._answers[submission] = (message.station, answer, event)
        self._earlier[message.station, message.message_id, digest] = submission
        await self._ring()
        return answer

    def _seal(self, record: bytes) -> Receipt:
        signed = self._signer.sign([record])[0]
        return Receipt(
            record=signed.record,
            batch=BatchSignature(
                index=signed.batch.index,
                size=signed.batch.size,
                path=signed.batch.path,
                root=signed.batch.root,
                key=signed.batch.key,
                signature=signed.batch.signature,
            ),
        )

    # --- taking ---------------------------------------------------------------------------------------------------

    async def inbox(self, station: Station, *, limit: int, at: datetime) -> Sequence[Consignment]:
        self._answer_or_not()
        due = [
            one
            for one in self._deliveries(station.id)
            if one.state is DeliveryState.WAITING and (one.lease_until is None or one.lease_until <= at)
        ]
        due.sort(key=lambda one: (one.document.lane is not Lane.URGENT, one.at))
        for one in due[:limit]:
            one.lease_until = at + LEASE
            one.attempt += 1
            self._move(one, DeliveryState.HANDED_OVER, EventKind.DELIVERY_HANDED_OVER)
        return [self._header(one) for one in due[:limit]]

    def _deliveries(self, station: StationId) -> list[_Delivery]:
        return [
            one
            for document in self._documents.values()
            for one in document.deliveries
            if one.station == station
        ]

    def _header(self, one: _Delivery) -> Consignment:
        document = one.document
        return Consignment(
            consignment=one.consignment,
            document=document.key,
            kind=document.kind,
            lane=document.lane,
            digest=document.digest,
            size=document.size,
            tier=Tier.PASSED,
            value=LegalValue.CHECKING,
            report=Digest(hashlib.sha256(document.report).hexdigest()),
            attempt=one.attempt,
            deliveries=(DeliveryRef(delivery=one.id, code=one.code),),
            deliveries_total=1,
            sent_at=document.at,
        )

    def _mine(self, station: Station, document: DocumentKey) -> _Delivery:
        self._answer_or_not()
        for one in self._deliveries(station.id):
            if one.document.key == document:
                return one
        raise NotFound("document", document)

    async def consignment(self, station: Station, document: DocumentKey) -> Consignment:
        return self._header(self._mine(station, document))

    async def payload(self, station: Station, document: DocumentKey) -> tuple[Digest, int]:
        self._answer_or_not()
        found = self._documents.get(document)
        if found is None or found.station != station.id:
            mine = self._mine(station, document)
            if mine.state is DeliveryState.WITHDRAWN:
                raise Withdrawn(document)
            found = mine.document
        return found.digest, found.size

    async def report(self, station: Station, document: DocumentKey) -> tuple[bytes, str]:
        body = self._mine(station, document).document.report
        return body, dump(receipt_json(self._seal(body))).decode()

    async def valued(self, station: Station, document: DocumentKey) -> Receipt | None:
        self._mine(station, document)
        return None

    async def say(self, station: Station, message: StationMessage, *, message_id: str, at: datetime) -> None:
        self._answer_or_not()
        self.said.append((station.id, message, message_id))
        mine = {one.id: one for one in self._deliveries(station.id)}
        for ack in message.acks:
            one = mine.get(ack.delivery)
            if one is None or one.state not in PENDING:
                continue
            match ack.outcome:
                case Outcome.FETCHED:
                    self._move(one, DeliveryState.FETCHED, EventKind.DELIVERY_FETCHED)
                case Outcome.DONE:
                    self._move(one, DeliveryState.ACKNOWLEDGED, EventKind.DELIVERY_ACKNOWLEDGED)
                case Outcome.FAIL:
                    one.lease_until = at + LEASE
                    self._move(one, DeliveryState.WAITING, EventKind.DELIVERY_OFFERED_AGAIN)
                case Outcome.WITHDRAWN:
                    self._move(one, DeliveryState.WITHDRAWN, EventKind.DELIVERY_WITHDRAWN)
        if message.ask is Ask.RESYNC:
            for one in mine.values():
                if one.state in PENDING:
                    one.lease_until = None
                    self._move(one, DeliveryState.WAITING, EventKind.DELIVERY_OFFERED_AGAIN)
        await self._ring()

    # --- asking ---------------------------------------------------------------------------------------------------

    async def submissions(
        self, station: Station, wanted: SubmissionFilter, *, offset: int, limit: int
    ) -> Sequence[Submitted]:
        self._answer_or_not()
        found = [
            submitted(answer)
            for owner, answer, _ in reversed(self._answers.values())
            if owner == station.id
            and answer.state is not SubmissionState.DUPLICATE
            and wanted.named in {None, answer.submission, answer.document}
            and (wanted.kind is None or wanted.kind is Kind.EDOC)
            and (wanted.since is None or answer.at >= wanted.since)
            and (wanted.until is None or answer.at <= wanted.until)
        ]
        return found[offset : offset + limit]

    async def where_is(self, station: Station, document: str) -> Whereabouts:
        self._answer_or_not()
        found = [
            one
            for one in self._documents.values()
            if one.station == station.id and document in {one.key, one.name}
        ]
        if not found:
            raise NotFound("document", document)
        if len(found) > 1:
            raise Ambiguous(document, tuple(one.key for one in found))
        return Whereabouts(
            document=found[0].key,
            document_id=found[0].name,
            state=SubmissionState.ACCEPTED,
            deliveries=tuple(one.line() for one in found[0].deliveries),
        )

    async def owed(self, station: Station, asked: OwedQuestion, *, limit: int) -> OwedList:
        """Receipts only: a document nobody took is overdue once the test says so."""
        self._answer_or_not()
        found = [
            Owed(
                duty=Duty.RECEIPT,
                document=document.key,
                delivery=one.id,
                document_id=document.name,
                code="",
                subject="",
                sender="",
                receiver=one.code,
                state=one.state,
                status=None,
                due=one.at,
                is_late=True,
            )
            for document in self._documents.values()
            for one in document.deliveries
            if self.is_over
            and asked.duty is Duty.RECEIPT
            and station.id == (one.station if asked.by is OwedBy.ME else document.station)
            and one.id > (asked.after or "")
        ]
        return OwedList(owed=tuple(found[:limit]), next=found[limit - 1].delivery if found[limit:] else None)

    async def answer(
        self, station: Station, *, submission: SubmissionId | None, message_id: str | None
    ) -> Answer:
        self._answer_or_not()
        for key, (owner, answer, event) in reversed(self._answers.items()):
            if owner == station.id and (key == submission or answer.message_id == message_id):
                assert answer.receipt is not None
                index = await self.index_of(event.id)
                if index is None or index >= max(self._notes, default=0):
                    return answer
                return replace(answer, receipt=replace(answer.receipt, proof=await self.proof(index)))
        raise NotFound("submission", str(submission or message_id))

    async def events(self, station: Station, *, after: int, limit: int) -> Sequence[FeedEntry]:
        self._answer_or_not()
        return [
            FeedEntry(index=index, record=event.record.decode())
            for index, event in enumerate(self._log)
            if index > after and station.id in event.stations
        ][:limit]

    async def wait_inbox(self, station: StationId, *, seconds: float) -> None:
        del station  # one bell for all
        await self._hear(seconds)

    async def wait_events(self, station: StationId, *, seconds: float) -> None:
        del station  # one bell for all
        await self._hear(seconds)

    async def _hear(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(min(seconds, 1)), self._bell:
                await self._bell.wait()
        except TimeoutError:
            pass

    async def _ring(self) -> None:
        async with self._bell:
            self._bell.notify_all()

    def _move(
        self, one: _Delivery, state: DeliveryState, kind: EventKind, reason: ReasonCode | None = None
    ) -> None:
        one.state, one.reason, one.at = state, reason, self.clock.now()
        self._tell(kind, one)

    def _tell(self, kind: EventKind, one: _Delivery, *, facts: dict[str, JSON] | None = None) -> None:
        at = self.clock.now()
        self._waiting.append(
            Event(
                id=EventId(self.ids.new(at)),
                kind=kind,
                at=at,
                by=Actor(station=one.station),
                document=one.document.key,
                deliveries=(one.id,),
                stations=(one.document.station,) if kind in _TOLD else (),
                facts=facts or {},
            )
        )

    # --- the log --------------------------------------------------------------------------------------------------

    async def number(self) -> None:
        """What the sequencer does: number everything and sign a checkpoint over it."""
        self._log += self._waiting
        self._waiting.clear()
        size = len(self._log)
        if size not in self._notes:
            text = Checkpoint(origin=ORIGIN, size=size, root=self._tree(size).root).text
            self._notes[size] = sign_note(text, signers=[self._log_key])
        await self._ring()

    def _tree(self, size: int) -> Tree:
        return Tree.over([leaf_hash(event.record) for event in self._log[:size]])

    async def checkpoint(self) -> str | None:
        self._answer_or_not()
        return self._notes[max(self._notes)] if self._notes else None

    async def consistency(self, *, old: int, new: int) -> Sequence[str]:
        if new > len(self._log) or not 0 < old <= new:
            raise NotFound("size", str(new))
        proof = _consistency(old, [leaf_hash(event.record) for event in self._log[:new]], is_whole=True)
        verify_consistency(
            old=old, old_root=self._tree(old).root, new=new, new_root=self._tree(new).root, proof=proof
        )
        return [one.hex() for one in proof]

    async def epochs(self) -> Sequence[FeedEntry]:
        return []

    async def proof(self, index: int) -> str:
        size = max(self._notes, default=0)
        if index >= size:
            raise NotFound("leaf", str(index))
        return LogProof(
            index=index, path=self._tree(size).inclusion(index), checkpoint=self._notes[size]
        ).text

    async def index_of(self, event: EventId) -> int | None:
        return next((index for index, one in enumerate(self._log) if one.id == event), None)

    # --- the rest -------------------------------------------------------------------------------------------------

    async def uploaded(self, station: StationId, digest: Digest) -> bool:
        self._answer_or_not()
        return (station, digest) in self._uploaded

    async def record(self, station: StationId, digest: Digest, *, size: int, at: datetime) -> None:
        del size, at
        self._answer_or_not()
        self._uploaded.add((station, digest))

    async def figures(self, *, at: datetime) -> Sequence[Figure]:
        del at
        self._answer_or_not()
        counts = [one.state for document in self._documents.values() for one in document.deliveries]
        return [
            Figure(
                name="axis_deliveries",
                help="Deliveries by state.",
                value=counts.count(state),
                labels=(("state", state.value),),
            )
            for state in DeliveryState
        ]


def submitted(answer: Answer) -> Submitted:
    """A line of the list of submissions, of a message that says no more than its tag."""
    return Submitted(
        submission=answer.submission,
        document=answer.document,
        digest=answer.digest,
        kind=Kind.EDOC,
        sender="",
        document_id="",
        code="",
        subject="",
        state=answer.state,
        reason=answer.reason,
        received_at=answer.at,
    )


def _consistency(old: int, leaves: list[bytes], *, is_whole: bool) -> list[bytes]:
    """RFC 9162 section 2.1.4.1, as it is written there."""
    if old == len(leaves):
        return [] if is_whole else [Tree.over(leaves).root]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if old <= split:
        return [*_consistency(old, leaves[:split], is_whole=is_whole), Tree.over(leaves[split:]).root]
    return [*_consistency(old - split, leaves[split:], is_whole=False), Tree.over(leaves[:split]).root]
