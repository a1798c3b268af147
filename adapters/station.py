"""
The client an agency's document-management system uses: the same calls over AMQP and over HTTP.

    async with Station("amqps://axis.example:5671/axis", credentials, http="https://axis.example", state=Path("state")) as station:
        answer = await station.submit(Path("document.edxml"))       # accepted, refused, held or duplicate, with a receipt
        async for document in station.receive():                    # urgent ones first, each of them once
            store(document.body)                                    # verified bytes
            await document.done()                                   # "my system has it": not before

The address chooses the channel (`amqps`, `amqp`, `https`, `http`); `http=` beside an AMQP address serves what a broker
cannot: payloads above 8 MiB, `whoami`, the log. A connection that breaks is opened again, for ever; a call that gets no
answer raises `NotAnswered` after the time it was given and may be repeated with the same message id.

What must survive a crash lies in `state` (see `adapters.memory`); without it everything works, and a crash may cost a
document handed out twice. Runs in one event loop. `adapters.sync` is the same for programs without one.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeVar, overload
from urllib.parse import urlsplit

import structlog

from adapters.document import Document, Report
from adapters.errors import (
    BadAnswer,
    Closed,
    HistoryRewritten,
    NotAnswered,
    NotFound,
    NotPossible,
    StationError,
)
from adapters.inbox import Inbox
from adapters.line import Line
from adapters.machine import SystemClock, SystemIds
from adapters.mailbox import Mailbox
from adapters.memory import Memory, write_whole
from adapters.over_amqp import AMQPLimits, OverAMQP
from adapters.over_http import HTTPLimits, OverHTTP
from adapters.package import Package, read_source
from adapters.pauses import Pauses
from adapters.payload import Payload
from adapters.proof import prove_answer, prove_receipt, prove_report
from adapters.reader import Reader, Source
from adapters.witness import Witness
from axis.broker.wire import STATION_ID
from axis.core.events import Event, read_record
from axis.core.exchange import (
    MAX_ACKS,
    Ack,
    Answer,
    Ask,
    BadMessage,
    Consignment,
    Duty,
    FeedEntry,
    Outcome,
    OwedBy,
    OwedList,
    OwedQuestion,
    Receipt,
    StationMessage,
    Submitted,
    Whereabouts,
    answer_json,
    dump,
    load,
    read_answer,
)
from axis.core.ids import is_id
from axis.core.model import (
    VIETNAM,
    DeliveryId,
    Digest,
    DocumentKey,
    Kind,
    Lane,
    StationId,
    SubmissionId,
    SubmissionState,
)
from axis.core.ports import Clock, Ids
from axis.edxml.message import (
    Edoc,
    Party,
    PriorityScale,
    ResponseFor,
    StaffInfo,
    Status,
    StatusCode,
    WrittenTime,
)
from axis.edxml.organ_code import normal
from axis.edxml.writer import status_bytes
from axis.web.wire import MAX_ORGANS, MESSAGE_ID, OrganAct, OrganList, OrganRequest, Whoami
from signing.note import Checkpoint
from signing.receipts import TrustedKeys, VerifiedReceipt

_log = structlog.get_logger(__name__)
_Result = TypeVar("_Result")
_Raw = TypeVar("_Raw")

WINDOW: Final = 8
"""Documents under way at a time. What a caller holds longer than the broker's patience (30 minutes) comes again."""
ASK_SECONDS: Final = 60.0
SUBMIT_SECONDS: Final = 300.0
WITNESS_SECONDS: Final = 300.0
"""How often the log is looked at, beside once at every start."""

_GRACE_SECONDS: Final = 0.5
_LOOPBACK: Final = ("127.", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What `axis station add` hands out."""

    station: StationId
    key: str = field(repr=False)
    """
    The API key `<station>.<secret>`; what stands behind the dot is the password at the broker. Over HTTP also the key of
    a central gateway that may act for this station.
    """
    queue_secret: str | None = field(default=None, repr=False)
    """The 16 characters the station's queue names end in; without them they are asked for over HTTP."""

    @property
    def password(self) -> str:
        """What the broker takes, the station's name being the user."""
        return self.key.partition(".")[2] or self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver:
    """A submission whose answer nobody waits for: it comes out of `receipts()`."""

    message_id: str
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A later event of one of the station's documents."""

    index: int
    """Its number in the log."""
    record: str
    """The canonical record: what the log's proof is about."""
    event: Event | None
    """The same, read; None for an event of a kind this program does not know yet."""


class Station:
    """
    One station's connection to the axis. `async with station:` opens and closes it.

    Every method raises `StationError`s only, beside what `axis.edxml` says of a message it cannot read or write.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        *,
        http: str | None = None,
        state: Path | None = None,
        receipts: Path | None = None,
        trusted: TrustedKeys | None = None,
        on_alarm: Callable[[HistoryRewritten], None] | None = None,
        scale: PriorityScale = PriorityScale.ZERO_TO_FOUR,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
        unsafe_without_tls: bool = False,
        witness_seconds: float = WITNESS_SECONDS,
        amqp_limits: AMQPLimits | None = None,
        http_limits: HTTPLimits | None = None,
        clock: Clock | None = None,
        ids: Ids | None = None,
    ) -> None:
        """
        Check the settings; nothing is opened yet.

        Args:
            url: The channel: `amqps://host:5671/vhost` or `https://host`. User and password come from `credentials`.
            credentials: Who we are.
            http: The axis's HTTP address, beside an AMQP one.
            state: Folder of what must survive a crash; one process at a time.
            receipts: Folder where every answer is kept as a file, for reconciliation.
            trusted: Keys of the axis's receipts and log, pinned. With them every receipt is verified.
            on_alarm: Called when the log shown does not continue the log seen before.
            scale: How this system numbers urgency.
            tls: Roots, and a client certificate where one is needed; else the machine's roots.
            proxy: Address of an HTTP proxy.
            unsafe_without_tls: Allow a plain connection to another machine. The key is then readable on the way.
            witness_seconds: How often the log is looked at.
            amqp_limits: Patience with the broker.
            http_limits: Patience with the web.
            clock: For tests.
            ids: For tests.

        Raises:
            NotPossible: the settings cannot work.
        """
        if STATION_ID.match(credentials.station) is None:
            raise NotPossible(f"not a station id: {credentials.station!r}")
        for address in (url, http):
            if address is not None:
                _check_address(address, unsafe_without_tls=unsafe_without_tls)
        if urlsplit(http or "https:").scheme not in {"http", "https"}:
            raise NotPossible("http= takes an address that begins with https:")
        self._url = url
        self._http = http
        self._credentials = credentials
        self._state = state
        self._keep_in = receipts
        self._trusted = trusted
        self._on_alarm = on_alarm
        self._scale = scale
        self._tls = tls
        self._proxy = proxy
        self._witness_seconds = witness_seconds
        self._amqp_limits = amqp_limits
        self._http_limits = http_limits
        self._clock: Clock = clock or SystemClock()
        self._ids: Ids = ids or SystemIds()
        self._opened: _Opened | None = None
        self.alarm: HistoryRewritten | None = None
        """The last alarm about the log, or None."""

    @property
    def id(self) -> StationId:
        """Its name."""
        return self._credentials.station

    # --- opening and closing --------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """
        Take the state folder and get ready; connections are opened when they are needed.

        Raises:
            MemoryUnusable: the state folder is damaged, somebody else's, or in use.
        """
        if self._opened is not None:
            return
        memory = await asyncio.to_thread(Memory, station=self.id, folder=self._state)
        try:
            receipts = Mailbox("receipts", memory=memory)
            line = self._line(memory, receipts)
        except BaseException:
            memory.close()
            raise
        witness = Witness(line, memory=memory, trusted=self._trusted)
        self._opened = _Opened(memory=memory, line=line, receipts=receipts, witness=witness)
        if line.shows_log:
            self._opened.watching = asyncio.ensure_future(self._watch(witness))

    def _line(self, memory: Memory, receipts: Mailbox) -> Line:
        def over_http(url: str) -> OverHTTP:
            return OverHTTP(
                url,
                station=self.id,
                key=self._credentials.key,
                memory=memory,
                receipts=receipts,
                tls=self._tls,
                proxy=self._proxy,
                limits=self._http_limits,
            )

        if urlsplit(self._url).scheme in {"http", "https"}:
            return over_http(self._url)
        return OverAMQP(
            self._url,
            station=self.id,
            password=self._credentials.password,
            queue_secret=self._credentials.queue_secret,
            memory=memory,
            events=Mailbox("events", memory=memory),
            receipts=receipts,
            http=over_http(self._http) if self._http is not None else None,
            clock=self._clock,
            ids=self._ids,
            tls=self._tls,
            limits=self._amqp_limits,
        )

    async def close(self) -> None:
        """Stop in good order. What was handed out and not ended comes again; who still waits gets `Closed`."""
        opened, self._opened = self._opened, None
        if opened is None:
            return
        if opened.watching is not None:
            opened.watching.cancel()
            await asyncio.gather(opened.watching, return_exceptions=True)
        if opened.inbox is not None:
            await opened.inbox.aclose()
        for reader in list(opened.readers.values()):
            await reader.aclose()
        await opened.line.close()
        await asyncio.to_thread(opened.memory.close)

    def _open_one(self) -> _Opened:
        if self._opened is None:
            raise Closed("the station is not open")
        return self._opened

    # --- handing in -----------------------------------------------------------------------------------------------

    @overload
    async def submit(
        self,
        package: bytes | Path,
        *,
        lane: Lane | None = None,
        message_id: str | None = None,
        wait: Literal[True] = True,
        by_digest: bool = False,
        within: float | None = SUBMIT_SECONDS,
    ) -> Answer: ...

    @overload
    async def submit(
        self,
        package: bytes | Path,
        *,
        lane: Lane | None = None,
        message_id: str | None = None,
        wait: Literal[False],
        by_digest: bool = False,
        within: float | None = SUBMIT_SECONDS,
    ) -> HandedOver: ...

    async def submit(
        self,
        package: bytes | Path,
        *,
        lane: Lane | None = None,
        message_id: str | None = None,
        wait: bool = True,
        by_digest: bool = False,
        within: float | None = SUBMIT_SECONDS,
    ) -> Answer | HandedOver:
        """
        Hand in a document or a status, as its signed bytes.

        Args:
            package: The bytes, or the file that holds them. Above 8 MiB it is uploaded first and named by its digest.
            lane: Urgent or normal; chosen from the document's own priority when not given.
            message_id: Made once and kept over all attempts; give your own to be able to repeat after a crash.
            wait: False returns when the axis or its broker has it; the answer then comes out of `receipts()`.
            by_digest: Upload it first, whatever its size.
            within: Seconds; None for ever.

        Returns:
            What became of it. A refusal is an answer, too: `state`, `causes`, `headline_vi`.

        Raises:
            NotAnswered: not in time. Repeat with the same `message_id`, which the error carries, and nothing happens
                twice.
            NotProven: with pinned keys: the answer's receipt does not prove what the answer says.
            NotPossible: the file cannot be read; or it is too large for AMQP, and there is no HTTP address.
        """
        opened = self._open_one()
        message_id = message_id or self._ids.new(self._clock.now())
        if MESSAGE_ID.match(message_id) is None:
            raise NotPossible("a message id has 1 to 255 visible ASCII characters")
        found = await asyncio.to_thread(
            read_source, package, lane=lane, by_digest=by_digest, scale=self._scale
        )
        try:
            if not wait:
                await self._insist(
                    lambda _: opened.line.hand_over(found, message_id=message_id), within=within
                )
                return HandedOver(message_id=message_id, digest=found.digest)
            answer = await self._insist(
                lambda left: opened.line.submit(found, message_id=message_id, seconds=left), within=within
            )
        except NotAnswered as error:
            error.message_id = message_id
            raise
        self._check_answer(answer, found, message_id=message_id)
        await self._keep(answer)
        return answer

    def _check_answer(self, answer: Answer, package: Package, *, message_id: str) -> None:
        if answer.message_id != message_id:
            raise BadAnswer(f"the answer is to {answer.message_id!r}, not to {message_id!r}")
        if answer.digest != package.digest and answer.state is not SubmissionState.REFUSED:
            raise BadAnswer(f"the answer is about {answer.digest}, not about {package.digest}")
        if self._trusted is not None:
            prove_answer(answer, keys=self._trusted)

    def receipts(self) -> Reader[Answer]:
        """
        Answers no call waits for: of `submit(wait=False)`, and what arrived after a call had given up or crashed.

        `async with station.receipts() as receipts`: one reader at a time. An answer counts as read when the next one is
        asked for. What is decided after a hold comes out of `events()`.
        """
        return self._reader("receipts", self._open_one().receipts, self._read_receipt)

    async def _read_receipt(self, letter: bytes) -> Answer | None:
        answer = _read_letter(letter)
        if answer is not None:
            if self._trusted is not None:
                prove_answer(answer, keys=self._trusted)
            await self._keep(answer)
        return answer

    async def answer_to(
        self,
        *,
        submission: SubmissionId | None = None,
        message_id: str | None = None,
        within: float | None = ASK_SECONDS,
    ) -> Answer:
        """
        The answer to an earlier submission as it stands now; its receipt has the log's proof as soon as there is one.

        Raises:
            NotFound: the station made no such submission.
            NotPossible: over AMQP without an HTTP address.
        """
        line = self._open_one().line
        answer = await self._insist(
            lambda _: line.answer_to(submission=submission, message_id=message_id), within=within
        )
        if self._trusted is not None:
            prove_answer(answer, keys=self._trusted)
        await self._keep(answer)
        return answer

    async def _keep(self, answer: Answer) -> None:
        """Keep the answer as a file where the station keeps them."""
        if self._keep_in is None:
            return
        if not is_id(answer.submission):
            raise BadAnswer("submission: an id expected")
        path = self._keep_in / f"{answer.submission}.json"
        try:
            await asyncio.to_thread(self._keep_in.mkdir, parents=True, exist_ok=True)
        except OSError as error:
            raise NotPossible(f"{self._keep_in}: {error.strerror}") from error
        await asyncio.to_thread(write_whole, path, dump(answer_json(answer)))

    # --- receiving ------------------------------------------------------------------------------------------------

    def receive(self, *, window: int = WINDOW, lazy: bool = False) -> Inbox:
        """
        Documents and statuses for this station as they come, urgent ones first: `async for document in station.receive()`.

        At most `window` of them are under way: handed out and not ended, or fetched ahead. Connections that break are
        opened again, for ever. One inbox at a time; several tasks may read it.

        A lazy inbox hands out headers; the bytes come with `await document.load()`, and `fetched` is said then. For
        callers that show what has come and let somebody else decide; over HTTP only, as a broker does not wait so long.
        """
        opened = self._open_one()
        if window < 1:
            raise NotPossible("a window of less than one document")
        if lazy and urlsplit(self._url).scheme not in {"http", "https"}:
            raise NotPossible(
                "a lazy inbox needs HTTP: a broker takes back what is not ended within half an hour"
            )
        if opened.inbox is not None and not opened.inbox.is_closed:
            raise NotPossible("the station is receiving already; let several tasks read the same inbox")
        opened.inbox = Inbox(
            opened.line,
            memory=opened.memory,
            station=self.id,
            window=window,
            lazy=lazy,
            read_report=self._report,
        )
        return opened.inbox

    async def fetch(self, document: DocumentKey, *, within: float | None = ASK_SECONDS) -> bytes:
        """
        The bytes of a document this station has a delivery of, once more; nothing is said of it.

        Raises:
            NotFound: it has none.
            Recalled: it was taken back before it was taken.
        """
        async with self.payload(document, within=within) as payload:
            return await asyncio.to_thread(payload.read)

    @asynccontextmanager
    async def payload(
        self, document: DocumentKey, *, within: float | None = ASK_SECONDS
    ) -> AsyncIterator[Payload]:
        """The same, verified: in a file when it is large, and gone after the block. Raises what `fetch` raises."""
        opened = self._open_one()
        header = await self.consignment(document, within=within)
        payload = Payload(size=header.size, digest=header.digest, spool=opened.memory.spool)
        try:
            await self._insist(lambda _: opened.line.fetch(header, payload), within=within)
            if not await asyncio.to_thread(payload.is_verified):
                raise BadAnswer("the bytes are not those of the digest in the header")
            yield payload
        finally:
            payload.discard()

    async def consignment(self, document: DocumentKey, *, within: float | None = ASK_SECONDS) -> Consignment:
        """
        What the axis says of a document for this station, with the deliveries that are still pending.

        Raises:
            NotFound: this station has none.
        """
        line = self._open_one().line
        return await self._insist(lambda _: line.consignment(document), within=within)

    async def resync(self, *, within: float | None = ASK_SECONDS) -> None:
        """Ask the axis to offer again everything it handed over and that was not ended."""
        await self._say(StationMessage(ask=Ask.RESYNC), within=within)

    async def say(self, acks: Sequence[Ack], *, within: float | None = ASK_SECONDS) -> None:
        """
        Say how deliveries ended that are not at hand as a `Document` any more: for systems that keep their ids.

        `done` is remembered as well: what comes again is not handed out.
        """
        opened = self._open_one()
        taken = [one.delivery for one in acks if one.outcome is Outcome.DONE]
        if taken:
            await asyncio.to_thread(opened.memory.remember_done, taken)
        for begin in range(0, len(acks), MAX_ACKS):
            await self._say(StationMessage(acks=tuple(acks[begin : begin + MAX_ACKS])), within=within)

    async def _say(self, message: StationMessage, *, within: float | None) -> None:
        line = self._open_one().line
        await self._insist(lambda _: line.say(message), within=within)

    async def _report(self, header: Consignment) -> Report:
        if header.report is None:
            raise NotFound("http.not_found", en=f"document {header.document} has no verification report")
        line = self._open_one().line
        found = await self._insist(lambda _: line.report(header.document), within=ASK_SECONDS)
        return prove_report(found, header=header, keys=self._trusted)

    # --- statuses -------------------------------------------------------------------------------------------------

    async def send_status(
        self, status: Status, *, message_id: str | None = None, within: float | None = SUBMIT_SECONDS
    ) -> Answer:
        """
        Write an edXML status and hand it in.

        Raises:
            axis.edxml.writer.Unwritable: it lacks something the format requires.
        """
        return await self.submit(status_bytes(status), message_id=message_id, within=within)

    async def answer(
        self,
        document: Document,
        code: StatusCode,
        *,
        description: str = "",
        organ: str | None = None,
        staff: StaffInfo | None = None,
        message_id: str | None = None,
        within: float | None = SUBMIT_SECONDS,
    ) -> Answer:
        """
        Answer a received document with a status, such as `StatusCode.REGISTERED` (03).

        `organ` is the code of the receiving organ that answers; needed when the document came for several.

        Raises:
            NotPossible: it is a status itself, or it is not clear which organ answers.
        """
        status = await self.status_for(
            document, code, description=description, organ=organ, staff=staff, at=self._clock.now()
        )
        return await self.send_status(status, message_id=message_id, within=within)

    async def status_for(
        self,
        document: Document,
        code: StatusCode,
        *,
        at: datetime,
        description: str = "",
        organ: str | None = None,
        staff: StaffInfo | None = None,
    ) -> Status:
        """The status `answer` would send."""
        message = await document.message()
        if not isinstance(message, Edoc):
            raise NotPossible("a status is not answered with a status")
        return Status(
            sender=_answering(document, message, organ),
            response_for=ResponseFor(
                organ_id=message.sender.organ_id,
                code=message.code.written,
                promulgation_date=message.promulgation.date,
                document_id=message.document_id,
            ),
            staff=staff,
            status_code=code.written,
            description=description,
            timestamp=WrittenTime.of(at.astimezone(VIETNAM)),
        )

    # --- asking ---------------------------------------------------------------------------------------------------

    def events(self) -> Reader[Told]:
        """
        Later events of the station's documents, in the order of the log: taken, failed, withdrawn, returned, value judged.

        `async with station.events() as events`: one reader at a time. Goes on where the last reading ended, also after a
        crash; an event counts as read when the next one is asked for.
        """
        return self._reader("events", self._open_one().line.feed(), _told)

    async def where_is(
        self, document: DocumentKey | str, *, within: float | None = ASK_SECONDS
    ) -> Whereabouts:
        """
        Where a document this station sent stands, per receiver; named by the axis's id or by its own `DocumentId`.

        Raises:
            NotFound: it sent no such document.
            Ambiguous: the DocumentId fits several.
        """
        line = self._open_one().line
        return await self._insist(lambda _: line.where_is(document), within=within)

    async def submissions(
        self,
        *,
        kind: Kind | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        named: str | None = None,
        offset: int = 0,
        limit: int = 100,
        within: float | None = ASK_SECONDS,
    ) -> Sequence[Submitted]:
        """
        What this station handed in, newest first: accepted, held and refused. Kept by the axis, so it survives whatever
        is lost here. What was there already stands in the list once. Over HTTP.

        Args:
            kind: Documents or statuses only.
            since: Received then or later.
            until: Received then or earlier.
            named: One submission, by its id or by that of its document.
            offset: So many newer ones are left out.
            limit: At most so many, and never more than 500.
            within: Seconds; None for ever.
        """
        line = self._open_one().line
        return await self._insist(
            lambda _: line.submissions(
                kind=kind, since=since, until=until, named=named, offset=offset, limit=limit
            ),
            within=within,
        )

    async def owed(
        self,
        duty: Duty,
        *,
        by: OwedBy = OwedBy.ME,
        after: DeliveryId | None = None,
        within: float | None = ASK_SECONDS,
    ) -> OwedList:
        """
        The answers this station owes, or is owed, oldest first; at most 500 in a page.

        Kept by the axis: whoever lost its events finds here what is open. Requests stand in the list from the day they
        are made; receipts and replies once their deadline has passed, for 366 days.

        Args:
            duty: Receipts (01 to 06), replies (`DueDate`), or answers to recalls, take-backs and updates (15).
            by: `ME`, for what this station received; `OTHERS`, for what it sent.
            after: `next` of the page before.
            within: Seconds; None for ever.
        """
        line = self._open_one().line
        asked = OwedQuestion(duty=duty, by=by, after=after)
        return await self._insist(lambda _: line.owed(asked), within=within)

    async def organs(
        self,
        *,
        since: int = 0,
        after: int = 0,
        limit: int = MAX_ORGANS,
        within: float | None = ASK_SECONDS,
    ) -> OrganList:
        """
        The directory, page by page in the order of the organs' numbers; closed organs are in it. Over HTTP.

        A copy of version n and all pages `since=n` make a copy of the version the first of these pages names. A version
        below n: the axis went on from an older copy of its ledger; read the whole list again.

        Args:
            since: Organs that changed after this version only; 0: all.
            after: `next` of the page before.
            limit: At most so many, and never more than 5,000.
            within: Seconds; None for ever.
        """
        line = self._open_one().line
        return await self._insist(lambda _: line.organs(since=since, after=after, limit=limit), within=within)

    async def register_organ(
        self, code: str, *, name: str, parent: str = "", within: float | None = ASK_SECONDS
    ) -> None:
        """
        Register an organ below `parent`, one this station speaks for with everything under it; or give one that stands
        there another name. Recorded as the station's act; said twice, it counts once. Over HTTP.

        Raises:
            Refused: the station may not, or the code or the name cannot be (`http.not_your_organ`, with the words).
        """
        asked = OrganRequest(act=OrganAct.REGISTER, code=code, name=name, parent=parent)
        await self._change_organ(asked, within=within)

    async def close_organ(self, code: str, *, within: float | None = ASK_SECONDS) -> None:
        """
        Close such an organ, when no open one stands below it; what was accepted for it is still delivered. Over HTTP.

        Raises:
            Refused: as above.
        """
        await self._change_organ(OrganRequest(act=OrganAct.CLOSE, code=code), within=within)

    async def _change_organ(self, asked: OrganRequest, *, within: float | None) -> None:
        line = self._open_one().line
        await self._insist(lambda _: line.change_organ(asked), within=within)

    async def whoami(self, *, within: float | None = ASK_SECONDS) -> Whoami:
        """What the axis knows of this station: organs, policy, queues, keys to pin."""
        line = self._open_one().line
        return await self._insist(lambda _: line.whoami(), within=within)

    def verify_receipt(self, receipt: Receipt) -> VerifiedReceipt:
        """
        Verify a receipt offline, with the pinned keys.

        Raises:
            NotProven: naming the step that failed.
            NotPossible: no keys were given.
        """
        if self._trusted is None:
            raise NotPossible("no keys are pinned: give the station `trusted`")
        return prove_receipt(receipt, keys=self._trusted)

    # --- the log --------------------------------------------------------------------------------------------------

    async def witness(self, *, within: float | None = ASK_SECONDS) -> Checkpoint | None:
        """
        Look at the log now: the newest checkpoint, once it was shown to continue the last one that was seen.

        Raises:
            HistoryRewritten: it does not. Both checkpoints are in the error, and in the state folder.
        """
        witness = self._open_one().witness
        try:
            return await self._insist(lambda _: witness.look(), within=within)
        except HistoryRewritten as alarm:
            self._raise_alarm(alarm)
            raise

    async def _watch(self, witness: Witness) -> None:
        while True:
            try:
                await self._insist(lambda _: witness.look(), within=self._witness_seconds)
            except HistoryRewritten as alarm:
                self._raise_alarm(alarm)
            except StationError as error:
                _log.warning("station.log_not_seen", cause=str(error))
            await asyncio.sleep(self._witness_seconds)

    def _raise_alarm(self, alarm: HistoryRewritten) -> None:
        known, self.alarm = self.alarm, alarm
        is_new = known is None or (known.seen, known.shown) != (alarm.seen, alarm.shown)
        if is_new and self._on_alarm is not None:
            self._on_alarm(alarm)

    # --- trying again ---------------------------------------------------------------------------------------------

    async def _insist(
        self, attempt: Callable[[float | None], Awaitable[_Result]], *, within: float | None
    ) -> _Result:
        """Try until it works or the time is over; `attempt` is told how much of it is left."""
        clock = asyncio.get_running_loop().time
        deadline = None if within is None else clock() + within
        pauses = Pauses(station=self.id)
        while True:
            left = None if deadline is None else max(0.0, deadline - clock())
            try:
                # The attempt itself knows best what is missing when the time is over: it gets a moment to say so.
                async with asyncio.timeout(None if left is None else left + _GRACE_SECONDS):
                    return await attempt(left)
            except TimeoutError as error:
                raise NotAnswered(f"no answer within {within:g} s") from error
            except NotAnswered as error:
                pause = pauses.take(at_least=error.retry_after_seconds)
                if deadline is not None and clock() + pause >= deadline:
                    raise
                _log.debug("station.again", cause=str(error), pause_s=round(pause, 1))
                await asyncio.sleep(pause)

    def _reader(
        self, name: str, source: Source[_Raw], read: Callable[[_Raw], Awaitable[_Result | None]]
    ) -> Reader[_Result]:
        """The one reader of this name, until it is closed."""
        readers = self._open_one().readers
        if name in readers:
            raise NotPossible(f"somebody is reading the {name} already")
        reader = Reader(source, read=read, release=lambda: readers.pop(name, None))
        readers[name] = reader
        return reader


@dataclass(slots=True, kw_only=True)
class _Opened:
    """What a station has while it is open."""

    memory: Memory
    line: Line
    receipts: Mailbox
    witness: Witness
    watching: asyncio.Task[None] | None = None
    inbox: Inbox | None = None
    readers: dict[str, Reader[Any]] = field(default_factory=dict)


def _check_address(url: str, *, unsafe_without_tls: bool) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise NotPossible("not an address") from error
    if parts.scheme not in {"amqp", "amqps", "http", "https"} or not host:
        raise NotPossible(f"an address begins with amqps:// or https://, not with {parts.scheme!r}")
    if parts.scheme in {"amqp", "http"} and not host.startswith(_LOOPBACK) and not unsafe_without_tls:
        raise NotPossible(f"without TLS the key could be read on its way to {host}: use {parts.scheme}s://")


def _answering(document: Document, message: Edoc, organ: str | None) -> Party:
    codes = [one.code for one in document.deliveries]
    if organ is None:
        if len(codes) != 1:
            raise NotPossible(f"the document came for {len(codes)} organs: say which of them answers")
        organ = codes[0]
    wanted = normal(organ)
    return next((one for one in message.receivers if normal(one.organ_id) == wanted), Party(organ_id=organ))


def _read_letter(letter: bytes) -> Answer | None:
    try:
        return read_answer(load(letter))
    except BadMessage as error:
        # It was readable when it came: a newer program kept it.
        _log.error("station.unreadable", queue="receipts", cause=str(error))
        return None


async def _told(entry: FeedEntry) -> Told:
    try:
        event: Event | None = read_record(entry.record.encode())
    except (ValueError, KeyError, TypeError, AttributeError):
        event = None
    return Told(index=entry.index, record=entry.record, event=event)
