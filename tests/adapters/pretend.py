"""
An axis that the station's client is tested against: it keeps what the contracts promise to a station, and no more.

Messages are real edXML, receipts and checkpoints are really signed, deliveries move only as `axis.core.lifecycle`
allows. It judges nothing: whatever can be parsed is accepted. It implements the `Desk` of `axis.web`, so that HTTP is
served by the axis's own application, and `tests.adapters.broker_door` serves the same desk over RabbitMQ.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from axis.core.credentials import hash_of_key
from axis.core.directory import Directory, Station
from axis.core.errors import Ambiguous, NotAllowed, NotFound, Purged, Withdrawn
from axis.core.events import JSON, Event, EventKind
from axis.core.exchange import (
    MAX_OWED,
    Ack,
    Answer,
    Ask,
    BatchSignature,
    Consignment,
    DeliveryLine,
    DeliveryRef,
    Duty,
    FeedEntry,
    Notice,
    Outcome,
    Owed,
    OwedBy,
    OwedList,
    OwedQuestion,
    Receipt,
    Statement,
    StationMessage,
    Submitted,
    Whereabouts,
    consignment_json,
    dump,
    owed_list_json,
    receipt_json,
    whereabouts_json,
)
from axis.core.ids import compose
from axis.core.lifecycle import DeliveryStep, next_delivery_state
from axis.core.model import (
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
    RequestKind,
    SignaturePolicy,
    StationId,
    StationState,
    SubmissionId,
    SubmissionState,
    Tier,
)
from axis.core.ports import InboundMessage, SubmissionFilter
from axis.core.reasons import Cause, ReasonCode
from axis.edxml.message import Edoc
from axis.edxml.reader import Unreadable, read_package
from axis.ledger.blobs import FileBlobs
from axis.ledger.uploads import Spool
from axis.web.services import WebLimits, WebServices
from signing.merkle import EMPTY_ROOT, Tree, carry_out, leaf_hash, plan_consistency
from signing.note import Checkpoint, LogProof, SigningKey, origin_of, sign_note
from signing.receipts import BatchReceiptSigner, TrustedKeys
from tests.web.memory import submitted

NOON = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
ORIGIN = "axis.example/log"
RECEIPT_KEY = SigningKey.from_seed(f"{ORIGIN}/receipts", seed=b"r" * 32)
LOG_KEY = SigningKey.from_seed(ORIGIN, seed=b"l" * 32)
TRUSTED = TrustedKeys(receipts=(RECEIPT_KEY.verifier,), log=(LOG_KEY.verifier,))
REFS = 50

_STEP = {
    Outcome.FETCHED: DeliveryStep.FETCH,
    Outcome.DONE: DeliveryStep.ACKNOWLEDGE,
    Outcome.FAIL: DeliveryStep.OFFER_AGAIN,
    Outcome.WITHDRAWN: DeliveryStep.WITHDRAW,
}


class Clock:
    """Time that moves a millisecond whenever somebody looks."""

    def __init__(self) -> None:
        self._now = NOON

    def now(self) -> datetime:
        self._now += timedelta(milliseconds=1)
        return self._now


class Ids:
    """Ids that count; `mark` keeps those of two parties apart."""

    def __init__(self, mark: int = 0) -> None:
        self._last = mark << 60

    def new(self, at: datetime) -> str:
        self._last += 1
        return compose(at=at, randomness=self._last)


@dataclass
class _Parcel:
    """One document for one station, and where each of its deliveries stands."""

    id: ConsignmentId
    station: StationId
    document: DocumentKey
    body: bytes
    kind: Kind
    lane: Lane
    states: dict[DeliveryId, DeliveryState]
    codes: dict[DeliveryId, str]
    report: bytes
    notices: tuple[Notice, ...] = ()
    digest: Digest | None = None
    """What the header claims, when it is not the truth."""
    is_recalled: bool = False
    is_purged: bool = False
    attempt: int = 0
    inline: bool = True

    def is_due(self) -> bool:
        return any(state is DeliveryState.WAITING for state in self.states.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One submission as it arrived."""

    message_id: str
    digest: Digest
    size: int
    lane: Lane
    by_digest: bool


@dataclass
class _Sent:
    """A document a station under test has sent."""

    key: DocumentKey
    station: StationId
    document_id: str
    lines: list[DeliveryLine] = field(default_factory=list)


class PretendAxis:
    """The axis. `offer`, `recall`, `tell` make things happen; `taken`, `said` show what stations did."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.ids = Ids()
        self.blobs = FileBlobs(folder / "blobs")
        self.spool = Spool(folder / "uploads")
        self._folder = folder / "bodies"
        self.stations: dict[StationId, Station] = {}
        self._keys: dict[StationId, str] = {}
        self.taken: list[Taken] = []
        self.sayings: list[Sequence[Ack]] = []
        """Message by message."""
        self.asked: list[Ask] = []
        self.owing: list[tuple[StationId, OwedBy, Owed]] = []
        """Who is shown which answer that is owed, as whose duty; by delivery."""
        self.owed_page = MAX_OWED
        self.resyncs = 0
        self.speaks = asyncio.Event()
        """While clear, submissions are taken and not answered."""
        self.speaks.set()
        self.lose_listings: Callable[[], None] | None = None
        """Called between handing over a listing and answering with it."""
        self.forget_answers = 0
        """So many receipts are lost on their way, over AMQP."""
        self.outcome: dict[str, SubmissionState] = {}
        """By message id: what to answer instead of `accepted`."""
        self.forger: SigningKey | None = None
        """Signs receipts with this key instead."""
        self._parcels: dict[ConsignmentId, _Parcel] = {}
        self._sent: dict[DocumentKey, _Sent] = {}
        self._read: dict[Digest, Edoc] = {}
        self._answers: dict[SubmissionId, tuple[StationId, Answer, Event]] = {}
        self._earlier: dict[tuple[StationId, str, Digest], SubmissionId] = {}
        self._uploaded: set[tuple[StationId, Digest]] = set()
        self.log: list[bytes] = []
        self._told: dict[StationId, list[FeedEntry]] = {}
        self.epoch = 1
        self.stir = asyncio.Event()
        """Set whenever something may be due; the doors wait for it."""
        self.refs = REFS

    def add_station(self, name: str) -> tuple[Station, str]:
        """A station and its key."""
        station = Station(
            id=StationId(name),
            name=f"Station {name}",
            state=StationState.ACTIVE,
            channel=Channel.AMQP,
            policy=SignaturePolicy.LABELLED,
            inline_bytes=65_536,
            window=1_000,
            secret=hashlib.sha256(name.encode()).hexdigest()[:16],
        )
        self.stations[station.id] = station
        key = self._keys[station.id] = f"{name}.{hashlib.sha256(b'key' + name.encode()).hexdigest()}"
        return station, key

    def services(self, *, limits: WebLimits | None = None) -> WebServices:
        """What the axis's own application needs to serve this one over HTTP."""
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
            folder=self._folder,
            log_origin=ORIGIN,
            log_keys=(RECEIPT_KEY.verifier.text, LOG_KEY.verifier.text),
            has_broker=True,
            limits=limits or WebLimits(stall_seconds=5),
        )

    # --- what a test makes happen ---------------------------------------------------------------------------------

    def owe(self, station: StationId, duty: Duty, *, by: OwedBy) -> Owed:
        """An answer that is owed, as the station is shown it."""
        at = self.clock.now()
        is_request = duty is Duty.REQUEST
        one = Owed(
            duty=duty,
            document=DocumentKey(self.ids.new(at)),
            delivery=DeliveryId(self.ids.new(at)),
            document_id="000.00.00.G22,2026/03/02,1/VPCP-TTĐT",
            code="1/VPCP-TTĐT",
            subject="Trích yếu",
            sender="000.00.00.G22",
            receiver="000.00.00.H41",
            state=DeliveryState.ACKNOWLEDGED,
            status="01" if is_request else None,
            due=None if is_request else at,
            is_late=not is_request,
            request=RequestKind.RECALL if is_request else None,
            requested_by=DocumentKey(self.ids.new(at)) if is_request else None,
            requested_at=at if is_request else None,
            is_rejected=is_request,
        )
        self.owing.append((station, by, one))
        return one

    def offer(
        self,
        station: StationId,
        body: bytes,
        *,
        lane: Lane = Lane.NORMAL,
        codes: Sequence[str] = ("000.00.00.H41",),
        inline: bool = True,
        claim: Digest | None = None,
        notices: tuple[Notice, ...] = (),
    ) -> ConsignmentId:
        """A document for the station. `claim` is what the header says of its bytes when that is not true."""
        at = self.clock.now()
        document = DocumentKey(self.ids.new(at))
        try:
            message = read_package(body).message
            kind, sender = message.kind, message.sender.organ_id
        except Unreadable:
            kind, sender = Kind.EDOC, ""
        digest = Digest(hashlib.sha256(body).hexdigest())
        ids = [DeliveryId(self.ids.new(at)) for _ in codes]
        parcel = _Parcel(
            id=ConsignmentId(self.ids.new(at)),
            station=station,
            document=document,
            body=body,
            kind=kind,
            lane=lane,
            states=dict.fromkeys(ids, DeliveryState.WAITING),
            codes=dict(zip(ids, codes, strict=True)),
            report=dump(
                {
                    "v": 1,
                    "document": document,
                    "digest": claim or digest,
                    "tier": "passed",
                    "sender": {"code": sender, "name": f"Organ {sender}"},
                }
            ),
            notices=notices,
            digest=claim,
            inline=inline,
        )
        self._parcels[parcel.id] = parcel
        self.stir.set()
        return parcel.id

    def offer_again(self, consignment: ConsignmentId) -> None:
        """The same deliveries once more, whatever became of them."""
        parcel = self._parcels[consignment]
        for delivery in parcel.states:
            parcel.states[delivery] = DeliveryState.WAITING
        self.stir.set()

    def recall(self, consignment: ConsignmentId) -> _Parcel:
        """Withdraw what waits; what was handed over is answered by the station."""
        parcel = self._parcels[consignment]
        parcel.is_recalled = True
        for delivery, state in parcel.states.items():
            if state is DeliveryState.WAITING:
                parcel.states[delivery] = DeliveryState.WITHDRAWN
        self.stir.set()
        return parcel

    def let_go(self, consignment: ConsignmentId) -> None:
        """Its bytes are kept no longer."""
        self._parcels[consignment].is_purged = True

    def states(self, consignment: ConsignmentId) -> list[DeliveryState]:
        return list(self._parcels[consignment].states.values())

    def document_of(self, consignment: ConsignmentId) -> DocumentKey:
        return self._parcels[consignment].document

    def recorded(self, message_id: str) -> int:
        """How many submissions with this message id there are."""
        return sum(answer.message_id == message_id for _, answer, _ in self._answers.values())

    def outcomes(self, consignment: ConsignmentId) -> list[Outcome]:
        """What was said of its first delivery, in order."""
        first = next(iter(self._parcels[consignment].states))
        return [one.outcome for said in self.sayings for one in said if one.delivery == first]

    def reason(self, consignment: ConsignmentId) -> str:
        """What was last said to be wrong with its first delivery."""
        first = next(iter(self._parcels[consignment].states))
        return [one.reason for said in self.sayings for one in said if one.delivery == first][-1]

    def tell(
        self, station: StationId, kind: EventKind, *, facts: Mapping[str, JSON] | None = None
    ) -> FeedEntry:
        """A later event of one of the station's documents."""
        at = self.clock.now()
        event = Event(
            id=EventId(self.ids.new(at)),
            kind=kind,
            at=at,
            by=Actor(axis="test"),
            stations=(station,),
            facts=facts or {},
        )
        entry = FeedEntry(index=self._append(event.record), record=event.record.decode())
        self._told.setdefault(station, []).append(entry)
        self.stir.set()
        return entry

    def told(self, station: StationId) -> Sequence[FeedEntry]:
        return self._told.get(station, [])

    def _append(self, record: bytes) -> int:
        self.log.append(record)
        return len(self.log) - 1

    # --- who ------------------------------------------------------------------------------------------------------

    async def key_hash(self, station: StationId) -> str | None:
        key = self._keys.get(station)
        return hash_of_key(key) if key is not None else None

    async def station(self, station: StationId) -> Station:
        found = self.stations.get(station)
        if found is None or found.state is StationState.SUSPENDED:
            raise NotAllowed(f"station {station} is not active")
        return found

    async def active(self, names: Collection[StationId]) -> Mapping[StationId, Station]:
        found = {name: self.stations[name] for name in names if name in self.stations}
        return {name: one for name, one in found.items() if one.state is not StationState.SUSPENDED}

    def suspend(self, station: StationId, *, suspended: bool = True) -> None:
        state = StationState.SUSPENDED if suspended else StationState.ACTIVE
        self.stations[station] = replace(self.stations[station], state=state)

    async def current(self) -> Directory:
        return Directory(
            version=1, organs={}, codes={}, stations=self.stations, delegations={}, certificates={}
        )

    async def uploaded(self, station: StationId, digest: Digest) -> bool:
        return (station, digest) in self._uploaded

    async def record(self, station: StationId, digest: Digest, *, size: int, at: datetime) -> None:
        del size, at
        self._uploaded.add((station, digest))

    # --- handing in -----------------------------------------------------------------------------------------------

    async def admit(self, messages: Sequence[InboundMessage]) -> Sequence[Answer]:
        answers = [await self._admit(one) for one in messages]
        await self.speaks.wait()
        return answers

    async def _admit(self, message: InboundMessage) -> Answer:
        assert message.station is not None
        body = message.body if isinstance(message.body, bytes) else message.body.read_bytes()
        cause: ReasonCode | None = None
        if message.by_digest:
            digest = Digest(body.decode())
            if not await self.uploaded(message.station, digest):
                cause = ReasonCode.RECEIVE_NOT_UPLOADED
            else:
                body = await self.blobs.read(digest)
        digest = Digest(hashlib.sha256(body).hexdigest())
        self.taken.append(
            Taken(
                message_id=message.message_id,
                digest=digest,
                size=len(body),
                lane=message.lane,
                by_digest=message.by_digest,
            )
        )
        earlier = self._earlier.get((message.station, message.message_id, digest))
        if earlier is not None:
            return self._answers[earlier][1]
        state = self.outcome.get(message.message_id, SubmissionState.ACCEPTED)
        document_id = ""
        codes: tuple[str, ...] = ()
        if cause is None:
            try:
                found = read_package(body).message
            except Unreadable:
                cause = ReasonCode.PARSE_NOT_XML
            else:
                if isinstance(found, Edoc):
                    self._read[digest] = found
                    document_id, codes = found.document_id, tuple(one.organ_id for one in found.receivers)
        if cause is not None:
            state = SubmissionState.REFUSED
        return self._conclude(message, digest, state=state, cause=cause, document_id=document_id, codes=codes)

    def _conclude(
        self,
        message: InboundMessage,
        digest: Digest,
        *,
        state: SubmissionState,
        cause: ReasonCode | None,
        document_id: str,
        codes: Sequence[str],
    ) -> Answer:
        at = self.clock.now()
        assert message.station is not None
        submission = SubmissionId(self.ids.new(at))
        document = DocumentKey(self.ids.new(at)) if state is SubmissionState.ACCEPTED else None
        event = Event(
            id=EventId(self.ids.new(at)),
            kind=EventKind(f"submission.{state.value}"),
            at=at,
            by=Actor(station=message.station),
            submission=submission,
            document=document,
            facts={"digest": digest, "message_id": message.message_id},
        )
        self._append(event.record)
        lines = [
            DeliveryLine(
                delivery=DeliveryId(self.ids.new(at)),
                code=code,
                name=f"Organ {code}",
                state=DeliveryState.WAITING,
                at=at,
            )
            for code in codes
        ]
        if document is not None:
            self._sent[document] = _Sent(
                key=document, station=message.station, document_id=document_id, lines=lines
            )
        answer = Answer(
            submission=submission,
            state=state,
            message_id=message.message_id,
            digest=digest,
            at=message.received_at,
            headline_vi="Trục đã tiếp nhận." if cause is None else "Trục không tiếp nhận.",
            headline_en="Accepted." if cause is None else "Not accepted.",
            document=document,
            causes=(Cause(code=cause),) if cause is not None else (),
            deliveries=tuple(lines) if document is not None else (),
            receipt=self._seal(event.record),
        )
        self._answers[submission] = (message.station, answer, event)
        self._earlier[message.station, message.message_id, digest] = submission
        return answer

    def _seal(self, record: bytes) -> Receipt:
        signed = BatchReceiptSigner(self.forger or RECEIPT_KEY).sign([record])[0]
        batch = signed.batch
        return Receipt(
            record=signed.record,
            batch=BatchSignature(
                index=batch.index,
                size=batch.size,
                path=batch.path,
                root=batch.root,
                key=batch.key,
                signature=batch.signature,
            ),
        )

    async def answer(
        self, station: Station, *, submission: SubmissionId | None, message_id: str | None
    ) -> Answer:
        for name, (whose, answer, event) in self._answers.items():
            if whose == station.id and (name == submission or answer.message_id == message_id):
                assert answer.receipt is not None
                proof = await self.proof(self.log.index(event.record))
                return replace(answer, receipt=replace(answer.receipt, proof=proof))
        raise NotFound("submission", submission or message_id or "")

    async def submissions(
        self, station: Station, wanted: SubmissionFilter, *, offset: int, limit: int
    ) -> Sequence[Submitted]:
        found = [
            self._named(submitted(answer))
            for whose, answer, _ in reversed(self._answers.values())
            if whose == station.id
            and answer.state is not SubmissionState.DUPLICATE
            and wanted.named in {None, answer.submission, answer.document}
        ]
        return found[offset : offset + limit]

    def _named(self, line: Submitted) -> Submitted:
        """The same with what the document says of itself."""
        found = self._read.get(line.digest)
        if found is None:
            return line
        return replace(
            line,
            sender=found.sender.organ_id,
            document_id=found.document_id,
            code=found.code.written,
            subject=found.subject,
        )

    # --- taking ---------------------------------------------------------------------------------------------------

    def due(self, station: StationId, *, limit: int = 1_000) -> list[_Parcel]:
        """What waits, urgent first; taking the list hands it over."""
        found = [one for one in self._parcels.values() if one.station == station and one.is_due()]
        found.sort(key=lambda one: one.lane is not Lane.URGENT)
        for one in found[:limit]:
            self.hand_over(one)
        return found[:limit]

    def hand_over(self, parcel: _Parcel) -> None:
        parcel.attempt += 1
        self._move(parcel, list(parcel.states), DeliveryStep.HAND_OVER)

    async def inbox(self, station: Station, *, limit: int, at: datetime) -> Sequence[Consignment]:
        del at
        found = [self.header(one, refs=5_000) for one in self.due(station.id, limit=limit)]
        if found and self.lose_listings is not None:
            lose, self.lose_listings = self.lose_listings, None
            await asyncio.to_thread(lose)
        return found

    def header(self, parcel: _Parcel, *, refs: int | None = None) -> Consignment:
        pending = [
            DeliveryRef(delivery=one, code=parcel.codes[one])
            for one, state in parcel.states.items()
            if state in {DeliveryState.WAITING, DeliveryState.HANDED_OVER, DeliveryState.FETCHED}
        ]
        return Consignment(
            consignment=parcel.id,
            document=parcel.document,
            kind=parcel.kind,
            lane=parcel.lane,
            digest=parcel.digest or Digest(hashlib.sha256(parcel.body).hexdigest()),
            size=len(parcel.body),
            tier=Tier.PASSED,
            value=LegalValue.CHECKING,
            report=Digest(hashlib.sha256(parcel.report).hexdigest()),
            attempt=parcel.attempt,
            deliveries=tuple(pending[: refs or self.refs]),
            deliveries_total=len(pending),
            notices=parcel.notices,
            sent_at=NOON,
        )

    def _mine(self, station: StationId, document: DocumentKey) -> _Parcel:
        for one in self._parcels.values():
            if one.station == station and one.document == document:
                return one
        raise NotFound("document", document)

    async def consignment(self, station: Station, document: DocumentKey) -> Consignment:
        return self.header(self._mine(station.id, document), refs=5_000)

    async def payload(self, station: Station, document: DocumentKey) -> tuple[Digest, int]:
        parcel = self._mine(station.id, document)
        if parcel.is_recalled:
            raise Withdrawn(document)
        if parcel.is_purged:
            raise Purged(document, issuer="000.00.00.G22")
        (digest,) = await self.blobs.put([parcel.body])
        return digest, len(parcel.body)

    async def report(self, station: Station, document: DocumentKey) -> tuple[bytes, str]:
        report = self._mine(station.id, document).report
        return report, dump(receipt_json(self._seal(report))).decode()

    async def valued(self, station: Station, document: DocumentKey) -> Receipt | None:
        self._mine(station.id, document)
        return None

    async def say(self, station: Station, message: StationMessage, *, message_id: str, at: datetime) -> None:
        del message_id, at
        self.sayings.append(message.acks)
        for ack in message.acks:
            for parcel in self._parcels.values():
                if parcel.station == station.id and ack.delivery in parcel.states:
                    self._move(parcel, [ack.delivery], _STEP[ack.outcome])
        if message.ask is Ask.RESYNC:
            self.resyncs += 1
            for parcel in self._parcels.values():
                if parcel.station == station.id:
                    self._move(parcel, list(parcel.states), DeliveryStep.OFFER_AGAIN)
        self.stir.set()

    async def say_all(self, said: Sequence[Statement]) -> None:
        for one in said:
            await self.say(one.station, one.message, message_id=one.message_id, at=one.at)

    def _move(self, parcel: _Parcel, deliveries: Sequence[DeliveryId], step: DeliveryStep) -> None:
        for one in deliveries:
            after = next_delivery_state(parcel.states[one], step)
            if after is not None:
                parcel.states[one] = after

    # --- asking ---------------------------------------------------------------------------------------------------

    async def where_is(self, station: Station, document: str) -> Whereabouts:
        found = [
            one
            for one in self._sent.values()
            if one.station == station.id and document in {one.key, one.document_id}
        ]
        if not found:
            raise NotFound("document", document)
        if len(found) > 1:
            raise Ambiguous(document, tuple(one.key for one in found))
        return Whereabouts(
            document=found[0].key,
            document_id=found[0].document_id,
            state=SubmissionState.ACCEPTED,
            deliveries=tuple(found[0].lines),
        )

    async def owed(self, station: Station, asked: OwedQuestion, *, limit: int) -> OwedList:
        found = [
            one
            for whose, by, one in self.owing
            if (whose, by, one.duty) == (station.id, asked.by, asked.duty)
            and one.delivery > (asked.after or "")
        ]
        page = tuple(found[: min(limit, self.owed_page)])
        return OwedList(owed=page, next=page[-1].delivery if len(found) > len(page) else None)

    async def ask(self, station: Station, message: StationMessage) -> bytes:
        """Questions over AMQP, as `axis.core.exchange.Ask` says."""
        assert message.ask is not None
        self.asked.append(message.ask)
        if message.owed is not None:
            return dump(owed_list_json(await self.owed(station, message.owed, limit=MAX_OWED)))
        assert message.document is not None
        key = DocumentKey(message.document)
        match message.ask:
            case Ask.WHERE_IS:
                return dump(whereabouts_json(await self.where_is(station, message.document)))
            case Ask.CONSIGNMENT:
                found = await self.consignment(station, key)
                return dump({"type": "consignment", **consignment_json(found)})
            case Ask.REPORT:
                report, receipt = await self.report(station, key)
                return dump(
                    {
                        "type": "report",
                        "document": key,
                        "report": report.decode(),
                        "receipt": json.loads(receipt),
                    }
                )
            case _:
                digest, _ = await self.payload(station, key)
                content = base64.b64encode(await self.blobs.read(digest)).decode()
                return dump({"type": "payload", "document": key, "digest": digest, "content": content})

    async def events(self, station: Station, *, after: int, limit: int) -> Sequence[FeedEntry]:
        return [one for one in self.told(station.id) if one.index > after][:limit]

    async def wait_inbox(self, station: StationId, *, seconds: float) -> None:
        del station
        await asyncio.sleep(min(seconds, 0.02))

    async def wait_events(self, station: StationId, *, seconds: float) -> None:
        del station
        await asyncio.sleep(min(seconds, 0.02))

    # --- the log --------------------------------------------------------------------------------------------------

    def _tree(self, size: int | None = None) -> Tree:
        return Tree.over([leaf_hash(one) for one in self.log[:size]])

    async def checkpoint(self) -> str | None:
        if not self.log:
            return None
        tree = self._tree()
        found = Checkpoint(
            origin=origin_of(ORIGIN, epoch=self.epoch), size=tree.size, root=tree.root or EMPTY_ROOT
        )
        return sign_note(found.text, signers=[LOG_KEY])

    async def consistency(self, *, old: int, new: int) -> Sequence[str]:
        if not 0 < old <= new <= len(self.log):
            raise NotFound("sizes", f"{old}, {new}")
        return [one.hex() for one in carry_out(plan_consistency(old, new), self._tree(new).hashes)]

    async def epochs(self) -> Sequence[FeedEntry]:
        return []

    async def proof(self, index: int) -> str:
        note = await self.checkpoint()
        assert note is not None
        return LogProof(index=index, path=self._tree().inclusion(index), checkpoint=note).text

    async def index_of(self, event: EventId) -> int | None:
        del event
        return None
