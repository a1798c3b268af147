"""
One way to the axis: what `over_amqp` and `over_http` both do, so that `Station` need not know which it has.

Every method is one attempt. `NotAnswered` means that another may succeed; who calls decides whether there is one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from adapters.package import Package
from adapters.payload import Payload
from axis.core.exchange import (
    Answer,
    BadMessage,
    Consignment,
    FeedEntry,
    OwedList,
    OwedQuestion,
    StationMessage,
    Submitted,
    Whereabouts,
)
from axis.core.ids import is_id
from axis.core.model import ConsignmentId, DeliveryId, DocumentKey, Kind, SubmissionId
from axis.web.wire import DIGEST_SHAPE, OrganList, OrganRequest, SignedReport, Whoami


async def nothing_to_settle() -> None:
    """For what a transport does not have to be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A consignment as a transport hands it over; nothing of it has been checked."""

    header: Consignment
    body: bytes | None
    """The payload, or None where it must be fetched."""
    settle: Callable[[], Awaitable[None]] = nothing_to_settle
    """Tell the transport that it need not keep this any more. Never before the axis has been told."""
    session: int = 0
    """The connection it came by, where what was not settled comes again by the next one."""
    is_kept: bool = True
    """Whether the transport keeps it until it is settled; else only the axis does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """The axis takes a consignment back, or some of its deliveries."""

    consignment: ConsignmentId
    document: DocumentKey
    deliveries: tuple[DeliveryId, ...] = ()
    """Which of them; none means all."""
    settle: Callable[[], Awaitable[None]] = nothing_to_settle


def check_names(header: Consignment) -> None:
    """
    Make sure that what a header names can be the name of a file: whoever keeps documents names files so.

    Raises:
        BadMessage: an id or a digest has another shape.
    """
    for member, name in (("document", header.document), ("consignment", header.consignment)):
        if not is_id(name):
            raise BadMessage(member, "an id expected")
    for member, digest in (("digest", header.digest), ("report", header.report)):
        if digest is not None and DIGEST_SHAPE.match(digest) is None:
            raise BadMessage(member, "64 hexadecimal digits expected")
    if header.size < 0:
        raise BadMessage("size", "a number of bytes expected")


class Arrivals(Protocol):
    """What comes for the station, urgent first."""

    async def next(self) -> Arrival | Withdrawal:
        """
        The next one, whenever it comes.

        Raises:
            NotAllowed: the credentials were refused, and never accepted since the beginning.
            Closed: nothing comes any more.
        """
        ...

    def withdrawals(self) -> Sequence[Withdrawal]:
        """Those that have come and that `next` has not given."""
        ...

    def put_back(self, arrival: Arrival | Withdrawal, *, last: bool = False) -> None:
        """It was not looked at: `next` gives it first, or after all others."""
        ...

    async def close(self) -> None:
        """Take nothing more; what was not settled will come again."""
        ...


class Feed(Protocol):
    """Later events of the station's documents. One reader."""

    async def first(self) -> FeedEntry:
        """The oldest one that was not read, whenever it comes."""
        ...

    async def forget_first(self) -> None:
        """It was read."""
        ...


class Line(Protocol):
    """One way to the axis."""

    async def submit(self, package: Package, *, message_id: str, seconds: float | None) -> Answer:
        """Hand a package in and wait for the answer, at most so long."""
        ...

    async def hand_over(self, package: Package, *, message_id: str) -> None:
        """Hand a package in; its answer comes to the unread receipts."""
        ...

    async def answer_to(self, *, submission: SubmissionId | None, message_id: str | None) -> Answer:
        """The answer to an earlier submission, as it stands now."""
        ...

    def arrivals(self, *, window: int) -> Arrivals:
        """Begin to receive; at most `window` documents are under way at a time."""
        ...

    async def fetch(self, header: Consignment, payload: Payload) -> None:
        """The payload of a consignment, from `payload.have` on."""
        ...

    async def consignment(self, document: DocumentKey) -> Consignment:
        """The header with all its deliveries."""
        ...

    async def report(self, document: DocumentKey) -> SignedReport: ...

    async def say(self, message: StationMessage) -> None:
        """Returns when the axis, or its broker, has it for certain."""
        ...

    async def where_is(self, document: str) -> Whereabouts: ...

    async def submissions(
        self,
        *,
        kind: Kind | None,
        since: datetime | None,
        until: datetime | None,
        named: str | None,
        offset: int,
        limit: int,
    ) -> Sequence[Submitted]: ...

    async def owed(self, asked: OwedQuestion) -> OwedList:
        """A page of what this station owes, or is owed."""
        ...

    def feed(self) -> Feed: ...

    async def organs(self, *, since: int, after: int, limit: int) -> OrganList:
        """A page of the organs that changed after version `since` of the directory."""
        ...

    async def change_organ(self, asked: OrganRequest) -> None:
        """Register or close an organ below those the station speaks for."""
        ...

    async def whoami(self) -> Whoami: ...

    @property
    def shows_log(self) -> bool:
        """Whether `checkpoint` and `consistency` can be asked on this line."""
        ...

    async def checkpoint(self) -> str | None:
        """The newest signed note, None before the first."""
        ...

    async def consistency(self, *, old: int, new: int) -> tuple[bytes, ...]:
        """The proof that one size of the log continues another."""
        ...

    async def close(self) -> None: ...
