"""
What the HTTP API is given: ports, limits, and what to say of the log. `axis.bootstrap` fills it in.

The API translates envelopes; everything that decides something is behind `Desk`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from axis.core.directory import Station
from axis.core.events import JSON
from axis.core.exchange import (
    Answer,
    Consignment,
    FeedEntry,
    OwedList,
    OwedQuestion,
    Receipt,
    StationMessage,
    Submitted,
    Whereabouts,
)
from axis.core.model import Digest, DocumentKey, StationId, SubmissionId
from axis.core.ports import (
    Clock,
    Directories,
    Ids,
    InboundMessage,
    LogView,
    SubmissionFilter,
    Uploads,
    UploadSpool,
)


class Desk(Protocol):
    """
    Everything a station may do or ask. `axis.flow.desk` keeps these promises.

    Every method but the first takes the station this API has identified. All raise `ServiceUnavailable` when the
    ledger does not answer: nothing was recorded for certain.
    """

    async def station(self, station: StationId) -> Station:
        """
        The station behind a proven identity.

        Raises:
            NotAllowed: unknown or suspended.
        """
        ...

    async def admit(self, messages: Sequence[InboundMessage]) -> Sequence[Answer]:
        """One recorded answer per message, in order."""
        ...

    async def say(self, station: Station, message: StationMessage, *, message_id: str, at: datetime) -> None:
        """Record what the station says of its deliveries; said twice, it counts once."""
        ...

    async def inbox(self, station: Station, *, limit: int, at: datetime) -> Sequence[Consignment]:
        """What waits for the station, urgent first; nobody else gets it while the lease runs."""
        ...

    async def consignment(self, station: Station, document: DocumentKey) -> Consignment:
        """
        The station's consignment of a document with all its pending deliveries.

        Raises:
            NotFound: none of the station's.
        """
        ...

    async def payload(self, station: Station, document: DocumentKey) -> tuple[Digest, int]:
        """
        Digest and size of the bytes the station may fetch.

        Raises:
            NotFound: it neither sent nor receives the document.
            Withdrawn: the document was recalled before the station took it.
        """
        ...

    async def report(self, station: Station, document: DocumentKey) -> tuple[bytes, str]:
        """
        The verification report and the JSON of its receipt.

        Raises:
            NotFound: none of the station's.
        """
        ...

    async def valued(self, station: Station, document: DocumentKey) -> Receipt | None:
        """
        What the files of the document are worth, as a signed record; None while they are being judged.

        Raises:
            NotFound: none of the station's.
        """
        ...

    async def where_is(self, station: Station, document: str) -> Whereabouts:
        """
        Where a document of the station stands; named by its key, else by `DocumentId`.

        Raises:
            NotFound: none of the station's.
            Ambiguous: the name fits several.
        """
        ...

    async def submissions(
        self, station: Station, wanted: SubmissionFilter, *, offset: int, limit: int
    ) -> Sequence[Submitted]:
        """What the station handed in, newest first; what was there already stands in the list once."""
        ...

    async def owed(self, station: Station, asked: OwedQuestion, *, limit: int) -> OwedList:
        """What the station owes, or is owed, oldest first."""
        ...

    async def answer(
        self, station: Station, *, submission: SubmissionId | None, message_id: str | None
    ) -> Answer:
        """
        The answer to an earlier submission, its receipt with the log's proof once there is one.

        Raises:
            NotFound: the station made no such submission.
        """
        ...

    async def events(self, station: Station, *, after: int, limit: int) -> Sequence[FeedEntry]:
        """Later events of the station's documents, behind leaf `after`, in the order of the log."""
        ...

    async def wait_inbox(self, station: StationId, *, seconds: float) -> None:
        """Return when something may wait for the station, at the latest after `seconds`."""
        ...

    async def wait_events(self, station: StationId, *, seconds: float) -> None:
        """Return when there may be a later event, at the latest after `seconds`."""
        ...


class Keys(Protocol):
    """The part of `StationView` that knows API keys."""

    async def key_hash(self, station: StationId) -> str | None:
        """SHA-256 (hex) of the station's API key; None when there is no such station or no key."""
        ...


class OrganPage(Protocol):
    """Some of the organs that changed, whoever read them."""

    @property
    def version(self) -> int:
        """Of the directory when they were read."""
        ...

    @property
    def rows(self) -> Sequence[Mapping[str, JSON]]:
        """Members of `wire.ListedOrgan`, as JSON, in the order of their numbers."""
        ...

    @property
    def next(self) -> int | None:
        """The number behind which the next page begins; None behind the last."""
        ...


class OrganActs(Protocol):
    """
    What a station itself may change of the directory; see `axis.flow.station_acts`.

    Both raise `NotForStations` when it may not, and `ServiceUnavailable` when nobody can tell.
    """

    async def register(
        self, station: StationId, *, code: str, name: str, parent: str, reason: str
    ) -> object: ...

    async def close(self, station: StationId, *, code: str, reason: str) -> object: ...


class Organs(Protocol):
    """The directory of organs by what changed in it."""

    async def page(self, *, since: int, after: int, limit: int) -> OrganPage:
        """At most `limit` organs that changed after version `since`, numbers above `after`."""
        ...


class Payloads(Protocol):
    """The part of `Blobs` the API uses: bytes go out, finished uploads come in."""

    def stream(self, digest: Digest, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The payload in pieces, from `start` to before `end`. Raises `NotFound`."""
        ...

    async def size(self, digest: Digest) -> int | None:
        """Size in bytes, or None when there is no such payload."""
        ...

    async def put(self, payloads: Sequence[bytes | Path]) -> Sequence[Digest]:
        """Store each; a file is moved away. Raises `ServiceUnavailable`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number for operators, as Prometheus reads it."""

    name: str
    """`axis_deliveries`, `axis_oldest_waiting_seconds` …: lower-case letters, digits and low lines."""
    kind: Literal["gauge", "counter"] = "gauge"
    """A counter only grows while the process lives, and its name ends in `_total`."""
    help: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


class Measured(Protocol):
    """A `Figure`, whoever made it."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> Literal["gauge", "counter"]: ...
    @property
    def help(self) -> str: ...
    @property
    def value(self) -> float: ...
    @property
    def labels(self) -> tuple[tuple[str, str], ...]: ...


class Figures(Protocol):
    """What waits and how much there was, for `GET /metrics`."""

    async def figures(self, *, at: datetime) -> Sequence[Measured]:
        """The numbers as of now; figures of one name stand together."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WebLimits:
    """What one caller may take of this process. Each bound is there because its absence stops a server."""

    body_bytes: int = 150 * 1024 * 1024
    """Largest submission and largest upload, as what judges them allows."""
    memory_bytes: int = 256 * 1024
    """Above this a body is written to the spool while it arrives."""
    stall_seconds: float = 20
    """Longest time without a byte, in either direction."""
    least_bytes_per_second: int = 4 * 1024
    """A body that comes slower than this on average, after `stall_seconds`, is given up."""
    head_seconds: float = 10
    """Longest time for a connection to send the head of a request, from its first byte or from its opening."""
    linger_seconds: float = 10
    """How long the rest of a body is read and thrown away after a "no", so that its sender can read the answer."""
    idle_seconds: int = 75
    """How long a connection stays open between requests."""
    requests: int = 2_000
    """Requests under way in this process, long polls included."""
    requests_per_station: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class WebServices:
    """Everything the API needs, wired."""

    desk: Desk
    keys: Keys
    log: LogView
    payloads: Payloads
    uploads: Uploads
    spool: UploadSpool
    directories: Directories
    clock: Clock
    ids: Ids
    folder: Path
    """Where bodies lie while they arrive; on the file system of the payloads, and of no one else's use."""
    log_origin: str
    """Name of the log, as it stands in its checkpoints."""
    log_keys: tuple[str, ...]
    """Verifier keys of receipts and checkpoints, as C2SP signed notes write them."""
    gateway_hash: str | None = field(default=None, repr=False)
    """SHA-256 (hex) of the key of the VXP gateway in this process; it acts for the stations that have such a system."""
    organs: Organs | None = None
    """What `GET /organs` reads; None: this process does not serve it."""
    organ_acts: OrganActs | None = None
    """What `POST /organs` asks; None: likewise."""
    has_broker: bool = False
    """Whether stations have AMQP queues; `whoami` names them then."""
    figures: Figures | None = None
    metrics_token: str | None = field(default=None, repr=False)
    """Who shows it may read the metrics from elsewhere; None: they can only be read on this machine."""
    limits: WebLimits = field(default_factory=WebLimits)
