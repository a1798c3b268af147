"""
Where the axis touches the world: one Protocol per kind of I/O, implemented in `axis.ledger`, `axis.broker` and
`axis.bootstrap`. Everything else is pure and is called directly.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from pathlib import Path
from typing import Protocol

from axis.core.calendar import Calendar
from axis.core.directory import Directory, Station
from axis.core.events import Event
from axis.core.exchange import (
    Answer,
    Consignment,
    DeliveryRef,
    FeedEntry,
    Notice,
    OwedList,
    OwedQuestion,
    Receipt,
    Submitted,
    Whereabouts,
)
from axis.core.model import (
    ConsignmentId,
    DeliveryId,
    Digest,
    DocumentKey,
    EventId,
    Kind,
    Lane,
    OrganNumber,
    StationId,
    SubmissionId,
)
from axis.core.reasons import ReasonCode
from axis.core.rows import BuriedRow, Claim, ConsignmentRow, DeliveryRow, DocumentRow, SubmissionRow


class Clock(Protocol):
    """The only reader of the time."""

    def now(self) -> datetime:
        """Aware, in any zone; records show Vietnam time."""
        ...


class Ids(Protocol):
    """The only source of ids."""

    def new(self, at: datetime) -> str:
        """A fresh time-ordered id for the moment `at`."""
        ...


class Randomness(Protocol):
    """The only source of secrets."""

    def take(self, size: int) -> bytes:
        """`size` bytes that nobody can guess."""
        ...


class NotOurs(Exception):
    """Sealed under another key, bound to something else, or changed since."""


class Vault(Protocol):
    """Keeps secrets the axis must be able to say again. Raises `SettingsError` when its key file cannot be used."""

    def seal(self, secret: bytes, *, bound_to: str) -> str:
        """The secret as it may lie in a database; it opens for `bound_to` only."""
        ...

    def unseal(self, sealed: str, *, bound_to: str) -> bytes:
        """
        The secret again.

        Raises:
            NotOurs: this is not what was sealed for `bound_to` under a key of ours.
        """
        ...

    def renewed(self) -> AbstractContextManager[None]:
        """
        Inside, a new key seals and the one before it opens still; at the end that one is gone.

        A block that raises, or dies, leaves both: everything opens, and the next one goes on with the same new key.

        Raises:
            ServiceUnavailable: another process is at it.
        """
        ...


class Blobs(Protocol):
    """
    Payloads by SHA-256, each stored once.

    A crash at any moment leaves either the whole blob or none: temporary file, fsync, rename, fsync of the folder.
    Raises `ServiceUnavailable` when the disk does not take the bytes.
    """

    async def put(self, payloads: Sequence[bytes | Path]) -> Sequence[Digest]:
        """
        Store each payload (bytes, or a finished file that is moved in) and return the digests in order.
        When this returns, the bytes survive a power cut.
        """
        ...

    async def read(self, digest: Digest) -> bytes:
        """The whole payload. Raises `NotFound`."""
        ...

    def stream(self, digest: Digest, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The payload in pieces, from `start` to before `end`. Raises `NotFound`."""
        ...

    async def size(self, digest: Digest) -> int | None:
        """Size in bytes, or None when there is no such blob."""
        ...

    def path(self, digest: Digest) -> Path:
        """Where the finished blob lies, for readers that need a file."""
        ...

    async def remove(self, digests: Sequence[Digest]) -> None:
        """Delete; a missing blob is no error."""
        ...


class Uploads(Protocol):
    """Which payloads a station uploaded itself, and may therefore submit by digest."""

    async def uploaded(self, station: StationId, digest: Digest) -> bool:
        """Whether this station uploaded this payload, in full, in the last 24 hours."""
        ...

    async def record(self, station: StationId, digest: Digest, *, size: int, at: datetime) -> None:
        """It has, at this moment. The payload lies in `Blobs` already."""
        ...


class UploadSpool(Protocol):
    """
    Uploads on their way in, in pieces, each of one station: another station's pieces are never seen or added to.

    Raises `ServiceUnavailable` when the disk does not take the bytes.
    """

    async def offset(self, station: StationId, digest: Digest) -> int:
        """How many bytes have arrived; 0 when there is no such upload."""
        ...

    async def append(
        self, station: StationId, digest: Digest, *, offset: int, pieces: AsyncIterator[bytes]
    ) -> int:
        """
        Add what comes, and return how many bytes there are now. What came before `pieces` broke off is kept.

        Raises:
            WrongOffset: `offset` is not where the upload ends, or another request is adding to it now.
            UploadRefused: it has become too large, or the station has too many under way.
        """
        ...

    async def finish(self, station: StationId, digest: Digest) -> Path:
        """
        The complete file, verified against its digest; `Blobs.put` moves it away.

        Raises:
            UploadRefused: other bytes than the digest says; they are gone.
            NotFound: there is no such upload.
        """
        ...

    async def discard(self, station: StationId, digest: Digest) -> None:
        """Forget the upload; one that does not exist is no error."""
        ...

    async def expire(self, *, before: datetime) -> int:
        """Forget uploads that nothing was added to since `before`; how many there were."""
        ...


class StationAccounts(Protocol):
    """
    Accounts of stations at the broker: user, rights and queues.

    Every call brings the account to the state it names, whatever was there before, so that one that was cut off is
    mended by the same call again. Raises `ServiceUnavailable` when the broker does not answer.
    """

    async def add(self, station: StationId, *, secret: str, password: str) -> None:
        """A user of that name and password that may use the station's own queues and keys, and nothing else."""
        ...

    async def suspend(self, station: StationId, *, secret: str) -> None:
        """The user has no rights and no connections; queues and what lies in them stay."""
        ...

    async def resume(self, station: StationId, *, secret: str) -> None:
        """The user has its rights again, and the password it had."""
        ...

    async def rotate(self, station: StationId, *, secret: str, password: str) -> None:
        """The user has this password; connections made with another one are closed. Rights stay as they are."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingConsignment:
    """A consignment on its way into a station's queue."""

    station: StationId
    secret: str
    message_id: str
    """Unique per publish and attempt; never reused, whatever happens to the first."""
    header: Consignment
    body: bytes | None
    """The payload, or None when the station fetches it by digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingAnswer:
    """A receipt for a submission, on its way into the station's `receipts` queue."""

    station: StationId
    secret: str
    message_id: str
    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingEvents:
    """Later events of the station's documents, in the order of the log, on their way into its `receipts` queue."""

    station: StationId
    secret: str
    message_id: str
    entries: Sequence[FeedEntry]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingReply:
    """The answer to something a station asked over AMQP; `correlation_id` is the message id of the question."""

    station: StationId
    secret: str
    message_id: str
    correlation_id: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingWithdrawal:
    """A notice in the urgent queue: these consignments must not reach the DMS any more."""

    station: StationId
    secret: str
    message_id: str
    consignment: ConsignmentId
    document: DocumentKey
    deliveries: tuple[DeliveryId, ...] = ()
    """Which of them; none means all."""


Outgoing = OutgoingConsignment | OutgoingAnswer | OutgoingEvents | OutgoingReply | OutgoingWithdrawal


@unique
class Published(StrEnum):
    """What became of one publish."""

    CONFIRMED = "confirmed"
    UNROUTED = "unrouted"
    """Returned: no such queue. Nothing was stored."""
    REFUSED = "refused"
    """Nacked by the broker (queue full, or its leader is moving): try again later."""


class Publisher(Protocol):
    """Puts messages into station queues: persistent, mandatory, confirmed."""

    async def publish(self, outgoing: Sequence[Outgoing]) -> Sequence[Published]:
        """
        Publish all in a window of confirms; one result each, in order. A message counts as sent only when CONFIRMED.

        Raises:
            ServiceUnavailable: the broker does not answer; any of them may or may not have arrived.
        """
        ...


class ReceiptSigner(Protocol):
    """Signs records in batches (one signature over the batch's Merkle root)."""

    def sign(self, records: Sequence[bytes]) -> Sequence[Receipt]:
        """One receipt per record, in order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundMessage:
    """
    One message as a transport hands it over; nothing in it has been judged.

    `station` is the validated identity (broker user or HTTP credential); routing key, CC and BCC are never evidence.
    """

    station: StationId | None
    message_id: str
    body: bytes | Path
    """The bytes, or the file an upload left in the spool."""
    lane: Lane
    received_at: datetime
    """First time the axis saw it: the legal time of sending."""
    declared_digest: Digest | None = None
    """Digest the sender named, when it named one."""
    by_digest: bool = False
    """The body is the digest of a payload this station uploaded before."""
    envelope_problem: str = ""
    """What the transport cannot make sense of in the properties of the message; such a one is refused unread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuriedMessage:
    """
    A message that nobody judged: it killed whoever took it, or its address does not exist. Nobody has parsed it.

    The broker may hand the same one over twice, when the acknowledgement was lost after it was recorded.
    """

    station: StationId | None
    """From the validated `user_id`; None when there is none, or when it is not the name of a station."""
    message_id: str
    body: bytes
    reason: ReasonCode
    """`BURY_DELIVERY_LIMIT` or `BURY_UNROUTED`."""
    at: datetime
    """When the axis read it from where it had come to lie."""


class Transaction(Protocol):
    """
    One transaction of the ledger: all of it is true afterwards, or none of it.

    Rows that decide something are read for update in the order of their ids, and consignments before their
    deliveries, so that two transactions cannot wait for each other.
    """

    async def answered(
        self, keys: Sequence[tuple[StationId, str, Digest]]
    ) -> Mapping[tuple[StationId, str, Digest], SubmissionId]:
        """Earlier submissions with this (station, message id, digest)."""
        ...

    async def claim(self, claims: Sequence[Claim]) -> Mapping[str, Claim]:
        """
        Claim every key, first come first served, and return those that somebody else holds.

        Waits for a transaction that is claiming the same key now. What was claimed here is written by `append` of
        the event that names it, and given back when the transaction does not commit.
        """
        ...

    async def holders(self, keys: Sequence[str]) -> Mapping[str, Claim]:
        """Who occupies these keys now; nothing is claimed."""
        ...

    async def submissions(self, ids: Sequence[SubmissionId]) -> Mapping[SubmissionId, SubmissionRow]: ...

    async def documents(self, ids: Sequence[DocumentKey]) -> Mapping[DocumentKey, DocumentRow]: ...

    async def documents_named(
        self, *, sender: OrganNumber | None, document_id: str, code: str, kind: Kind
    ) -> Sequence[DocumentRow]:
        """Documents by the sender's `DocumentId`, else by number/notation; newest first, at most 20."""
        ...

    async def family(self, root: DocumentKey) -> Sequence[DocumentRow]:
        """
        Everything that carries a document, oldest first, not locked: its first sending, the supplementary ones, and
        the updates of it. A recall is about all of them.
        """
        ...

    async def documents_coded(self, code: str, *, senders: Sequence[OrganNumber]) -> Sequence[DocumentRow]:
        """Documents of these organs by `number/notation`, compared as people do; newest first, at most 20."""
        ...

    async def codes_in_use(
        self, codes: Sequence[tuple[OrganNumber, str]]
    ) -> AbstractSet[tuple[OrganNumber, str]]:
        """Those of these senders' codes for which `documents_coded` finds something."""
        ...

    async def receivers(self, root: DocumentKey) -> Mapping[OrganNumber, DeliveryId]:
        """Organs that have a delivery of the document or of a supplementary sending of it; locked until commit."""
        ...

    async def being_valued(self, rounds: Mapping[DocumentKey, int]) -> Mapping[DocumentKey, DocumentRow]:
        """Those whose legal value is still being checked in that round; that it is, is locked until commit."""
        ...

    async def begin_round(self) -> None:
        """Whatever is being judged now is judged again: what was found by the lists of before is not recorded."""
        ...

    async def deliveries(self, ids: Sequence[DeliveryId]) -> Mapping[DeliveryId, DeliveryRow]: ...

    async def deliveries_of(self, documents: Sequence[DocumentKey]) -> Sequence[DeliveryRow]:
        """Every delivery of the documents, not locked: whoever acts on one locks its consignment first."""
        ...

    async def deliveries_in(self, consignments: Sequence[ConsignmentId]) -> Sequence[DeliveryRow]: ...

    async def consignments_of(self, deliveries: Sequence[DeliveryId]) -> Mapping[DeliveryId, ConsignmentRow]:
        """The consignments that carry these deliveries, locked; a delivery that has none is left out."""
        ...

    async def consignments(self, ids: Sequence[ConsignmentId]) -> Mapping[ConsignmentId, ConsignmentRow]: ...

    async def buried(self, ids: Sequence[SubmissionId]) -> Mapping[SubmissionId, BuriedRow]: ...

    async def events(self, ids: Sequence[EventId]) -> Mapping[EventId, Event]: ...

    async def replay_plan(self, plan: str) -> tuple[str, Sequence[tuple[str, str]]]:
        """
        State of a replay plan, locked, and its next items (kind, id) that are still planned, at most 100.

        Raises:
            NotFound: no such plan.
        """
        ...

    async def directory_version(self) -> int:
        """The directory's version, locked until commit."""
        ...

    async def number_pairs(
        self, counts: Mapping[tuple[OrganNumber, OrganNumber], int]
    ) -> Mapping[tuple[OrganNumber, OrganNumber], int]:
        """
        The first free delivery number from one organ (first) to another, where so many are taken for each.

        Waits for a transaction that numbers the same pair now. Every number taken is in an event that is appended in
        this transaction, or the transaction does not commit: so there are no gaps.
        """
        ...

    async def append(self, events: Sequence[Event]) -> None:
        """Insert the events and everything that follows from them."""
        ...

    async def keep_reports(self, reports: Sequence[tuple[DocumentKey, bytes, str]]) -> None:
        """Keep signed verification reports: document, report, signature."""
        ...

    async def pace_hold(self, submission: SubmissionId, *, next_try_at: datetime | None, tries: int) -> None:
        """When a hold is tried again; None: not by itself."""
        ...

    async def pace(
        self, consignments: Sequence[ConsignmentId], *, due_at: datetime | None, lease_until: datetime | None
    ) -> None:
        """When consignments may be offered, and until when a publisher has them; `due_at` None leaves it."""
        ...

    async def keep_secrets(self, station: StationId, *, secret: str | None, key_hash: str | None) -> None:
        """Set the queue-name suffix and the hash of the key of a station that exists; None leaves one as it is."""
        ...

    async def vxp_secrets(self) -> Mapping[str, str]:
        """The sealed secrets of VXP systems."""
        ...

    async def keep_vxp_secret(self, system: str, *, sealed: str) -> None:
        """Set the sealed secret of a VXP system that exists."""
        ...


class Ledger(Protocol):
    """The store of the axis. Raises `ServiceUnavailable` when the database does not answer."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """A writing transaction; commits when the block ends without an error."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A consignment with everything that is said of it on the wire."""

    row: ConsignmentRow
    document: DocumentRow
    deliveries: tuple[DeliveryRef, ...]
    """Those still pending and not asked back, at most as many as were asked for."""
    deliveries_total: int
    notices: tuple[Notice, ...]
    """Warnings recorded with the acceptance."""
    asked_back: tuple[DeliveryRef, ...] = ()
    """Those pending whose sender wants them back: their station is told so, and says whether its DMS has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """What one caller may publish now and nobody else."""

    taken: Mapping[StationId, Sequence[ConsignmentId]]
    """Of every station that was looked at."""
    more: frozenset[StationId] = frozenset()
    """Stations that may have more: a limit was reached."""

    @property
    def consignments(self) -> Sequence[ConsignmentId]:
        """Of all stations, in their order."""
        return [one for part in self.taken.values() for one in part]


class Outbox(Protocol):
    """
    What waits in the ledger to be done: consignments to offer, holds to try again, events to push.

    Only paces and reads; what became of it is recorded through a `Transaction`. Raises `ServiceUnavailable`.
    """

    async def stations_due(self, *, at: datetime) -> Sequence[StationId]:
        """Stations with a consignment that waits, is due and is not leased at `at`."""
        ...

    async def lease(
        self, stations: Sequence[Station], *, at: datetime, until: datetime, per_station: int, most: int
    ) -> Leased:
        """
        Waiting consignments of the stations that are due, urgent first, then oldest first; leased until `until`.

        At most `per_station` of each, and at most what its window leaves beside those handed over or fetched; at most
        `most` in all, stations in the order given. Two callers never get the same one while the lease runs.
        """
        ...

    async def ready(self, ids: Sequence[ConsignmentId], *, refs: int) -> Sequence[Ready]:
        """The consignments in the order given, each with at most `refs` pending deliveries; unlocked reading."""
        ...

    async def unfinished(
        self, station: StationId, *, before: datetime, limit: int
    ) -> Sequence[ConsignmentId]:
        """Consignments handed over or fetched before `before` and not settled, oldest first."""
        ...

    async def stations_unfinished(self, *, before: datetime) -> Sequence[StationId]:
        """Stations that have such consignments."""
        ...

    async def holds_due(self, *, at: datetime, until: datetime, limit: int) -> Sequence[SubmissionRow]:
        """Held submissions whose next try has come, oldest first; nobody else gets them before `until`."""
        ...

    async def unpushed(self, station: StationId, *, limit: int) -> Sequence[FeedEntry]:
        """Events the station is told of and has not been pushed yet, in the order of the log."""
        ...

    async def stations_unpushed(self) -> Sequence[StationId]:
        """Active stations that take their documents over AMQP and have such events."""
        ...

    async def pushed(self, station: StationId, *, index: int) -> None:
        """Everything up to this leaf index lies in the station's queue."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ToValue:
    """A document whose attachments wait to be judged."""

    document: DocumentRow
    tries: int
    """How often it has been taken, this time included, since its last result."""
    round: int
    """What is found now is recorded as long as this is the round."""


class Valuations(Protocol):
    """
    Documents whose legal value is being checked. Paces only; what was found is recorded through a `Transaction`.

    Raises `ServiceUnavailable`.
    """

    async def take(self, *, at: datetime, until: datetime, limit: int) -> Sequence[ToValue]:
        """
        Those that are due, oldest first; nobody else gets them before `until`. What was taken before is taken alone.
        """
        ...

    async def keep(self, documents: Sequence[DocumentKey], *, until: datetime) -> None:
        """Nobody else gets them before `until`: they are still being judged. One that is valued stays so."""
        ...

    async def put_off(self, document: DocumentKey, *, until: datetime, tries: int) -> None:
        """It may be taken again at `until`, and counts as taken so often then."""
        ...

    async def free(self) -> None:
        """Nobody has any of them: for the only process of an axis, when it starts."""
        ...


class Directories(Protocol):
    """The directory as of now. Raises `ServiceUnavailable`."""

    async def current(self) -> Directory:
        """The newest snapshot; the same object as long as its version stands."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionFilter:
    """Which of its submissions a station wants to see; what is None does not matter."""

    kind: Kind | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Both are of the receipt, and both are included."""
    named: str | None = None
    """Id of a submission, or of the document that came of it."""


class StationView(Protocol):
    """
    What one station may see, and nothing of anybody else: every reading takes the station whose eyes it is for.

    Raises `NotFound` for what does not exist and for what is not the station's: the two look the same on purpose.
    """

    async def key_hash(self, station: StationId) -> str | None:
        """SHA-256 (hex) of the station's API key; None when there is no such station or no key."""
        ...

    async def consignment(self, station: StationId, document: DocumentKey, *, refs: int) -> Ready:
        """The station's newest consignment of the document."""
        ...

    async def submissions(
        self, station: StationId, wanted: SubmissionFilter, *, offset: int, limit: int
    ) -> Sequence[Submitted]:
        """
        What the station handed in, newest first: accepted, held and refused. What was there already is in the list once.
        """
        ...

    async def payload_of(self, station: StationId, document: DocumentKey) -> DocumentRow:
        """
        The document, when the station has a delivery of it that is not withdrawn, or sent it itself.

        Raises:
            NotFound: it has none.
            Withdrawn: every delivery of it was withdrawn.
        """
        ...

    async def is_purged(self, digest: Digest) -> bool:
        """Whether a payload was let go when its time was over."""
        ...

    async def report(self, station: StationId, document: DocumentKey) -> tuple[bytes, str]:
        """Verification report and the JSON of its receipt; raises what `payload_of` does."""
        ...

    async def valued(self, station: StationId, document: DocumentKey) -> bytes | None:
        """The record that says what the document is worth, None while it is judged; raises what `payload_of` does."""
        ...

    async def where_is(self, station: StationId, document: str) -> Whereabouts:
        """
        Where a document of the station stands, named by the axis's id or by `DocumentId`, over all its receivers.

        What is held has no document yet: it goes by the id of its submission, or by its `DocumentId`.

        Raises:
            Ambiguous: the DocumentId fits several of its documents.
        """
        ...

    async def owed(
        self, station: StationId, asked: OwedQuestion, *, at: datetime, calendar: Calendar, limit: int
    ) -> OwedList:
        """
        What the station owes for what it received, or is owed for what it sent, as of `at`; at most `limit`.

        Receipts and replies whose deadline lies more than 366 days back are left to the operators.
        """
        ...

    async def outcome(
        self, station: StationId, *, submission: SubmissionId | None, message_id: str | None
    ) -> Event:
        """The newest outcome event of a submission of the station, named by either."""
        ...

    async def feed(self, station: StationId, *, after: int, limit: int) -> Sequence[FeedEntry]:
        """Events the station is told of, behind leaf `after` (-1 from the beginning), in the order of the log."""
        ...


class LogView(Protocol):
    """The Merkle log, for everybody: it holds hashes only."""

    async def checkpoint(self) -> str | None:
        """The newest signed note, None before the first."""
        ...

    async def consistency(self, *, old: int, new: int) -> Sequence[str]:
        """
        Hashes (hex) that show that the log of size `new` continues that of size `old`, RFC 9162 section 2.1.4.

        Raises:
            NotFound: no such sizes.
        """
        ...

    async def proof(self, index: int) -> str:
        """
        `tlog-proof@v1` of a leaf against the newest checkpoint.

        Raises:
            NotFound: no checkpoint covers that leaf yet.
        """
        ...

    async def index_of(self, event: EventId) -> int | None:
        """The leaf index of an event, None before it is numbered."""
        ...

    async def epochs(self) -> Sequence[FeedEntry]:
        """The records that say that the log went on from an older copy, in order; empty for one that never did."""
        ...
