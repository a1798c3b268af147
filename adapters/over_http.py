"""
The way to the axis over HTTP: requests of `axis.web.wire`, one attempt each.

Receiving is a long poll. Listing the inbox hands a consignment over, so a listing that was lost on its way, or one a
dead process had, is asked back with `resync` before the next; what is still in the caller's hands is recognised.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import httpx2
import structlog

from adapters.errors import (
    Ambiguous,
    BadAnswer,
    Closed,
    NotAllowed,
    NotAnswered,
    NotFound,
    NotPossible,
    Purged,
    Recalled,
    Refused,
    StationError,
)
from adapters.line import Arrival, Withdrawal, check_names
from adapters.mailbox import Mailbox
from adapters.memory import Memory
from adapters.package import Package
from adapters.pauses import Pauses
from adapters.payload import Payload
from axis.core.exchange import (
    Answer,
    Ask,
    BadMessage,
    Consignment,
    FeedEntry,
    OwedList,
    OwedQuestion,
    StationMessage,
    Submitted,
    Whereabouts,
    answer_json,
    dump,
    load,
    read_answer,
    read_consignment,
    read_events,
    read_owed_list,
    read_submitted,
    read_whereabouts,
    station_message_json,
)
from axis.core.model import DocumentKey, Kind, SubmissionId, iso
from axis.core.reasons import ReasonCode
from axis.web import wire

_log = structlog.get_logger(__name__)
_Shape = TypeVar("_Shape")

PIECE_BYTES: Final = 4 * 1024 * 1024
"""What one request of an upload carries: what a cut connection costs at most."""
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""Longest body of an answer that is not a payload."""
LISTING: Final = 10
"""Most consignments listed at a time: one urgent document waits for so many at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPLimits:
    """How long a request may take."""

    connect_seconds: float = 10
    answer_seconds: float = 60
    """Silence of the other side that counts as no answer."""
    wait_seconds: int = 25
    """How long a long poll waits; less than what proxies on the way cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    status: int
    body: bytes


class OverHTTP:
    """`adapters.line.Line` over HTTP."""

    def __init__(
        self,
        url: str,
        *,
        station: str,
        key: str,
        memory: Memory,
        receipts: Mailbox,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
        limits: HTTPLimits | None = None,
    ) -> None:
        self._station = station
        self._memory = memory
        self._receipts = receipts
        self._limits = limits or HTTPLimits()
        self._was_allowed = False
        try:
            self._client = httpx2.AsyncClient(
                base_url=url.rstrip("/"),
                headers=_who(station, key),
                timeout=httpx2.Timeout(
                    self._limits.answer_seconds, connect=self._limits.connect_seconds, pool=None
                ),
                limits=httpx2.Limits(max_connections=20, max_keepalive_connections=10),
                verify=tls if tls is not None else True,
                proxy=proxy,
                # What the machine's environment says of proxies and certificates is not part of the contract.
                trust_env=False,
            )
        except (httpx2.InvalidURL, ValueError) as error:
            raise NotPossible(f"not an address: {_host(url)}") from error

    @property
    def was_allowed(self) -> bool:
        """Whether the axis has accepted the key since the beginning."""
        return self._was_allowed

    async def close(self) -> None:
        await self._client.aclose()

    # --- handing in -----------------------------------------------------------------------------------------------

    async def submit(self, package: Package, *, message_id: str, seconds: float | None) -> Answer:
        """The answer; `NotAnswered` when it takes longer than `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                answer = await self._submit(package, message_id=message_id)
                if answer.reason is ReasonCode.RECEIVE_NOT_UPLOADED:
                    # It was uploaded longer ago than the axis keeps it: once more, from the beginning.
                    answer = await self._submit(package, message_id=message_id)
        except TimeoutError as error:
            raise NotAnswered(f"no answer within {seconds:g} s") from error
        return answer

    async def _submit(self, package: Package, *, message_id: str) -> Answer:
        headers = {
            wire.IDEMPOTENCY_KEY: message_id,
            wire.LANE: package.lane.value,
            wire.DIGEST: package.digest,
            "Content-Type": wire.BY_DIGEST if package.by_digest else wire.EDXML,
        }
        if package.by_digest:
            await self.upload(package)
            content = package.digest.encode()
        else:
            content = package.body
        path = wire.STATUSES if package.kind is Kind.STATUS else wire.SUBMISSIONS
        reply = await self._ask("POST", wire.BASE + path, headers=headers, content=content)
        return _read(reply, read_answer)

    async def hand_over(self, package: Package, *, message_id: str) -> None:
        answer = await self.submit(package, message_id=message_id, seconds=None)
        await self._receipts.put([dump(answer_json(answer))])

    async def answer_to(self, *, submission: SubmissionId | None, message_id: str | None) -> Answer:
        query = {"submission": submission, "message_id": message_id}
        reply = await self._ask("GET", wire.BASE + wire.RECEIPTS, query=query)
        return _read(reply, read_answer)

    async def upload(self, package: Package) -> None:
        """
        Upload a payload in pieces, from where an earlier attempt ended.

        Raises:
            Refused: the bytes are not those of the digest, or there are too many.
        """
        path = wire.path(wire.UPLOADS, package.digest)
        try:
            state = _read(await self._ask("GET", path), wire.read_upload)
        except NotFound:
            state = wire.Upload(digest=package.digest, offset=0, complete=False)
        while not state.complete:
            start = state.offset
            end = min(start + PIECE_BYTES, package.size)
            if start > end:
                raise BadAnswer(f"the upload of {package.digest} holds {start} bytes, more than it has")
            # All bytes there and not complete: the answer to the last piece was never given. An empty one asks for it.
            content = await asyncio.to_thread(_slice, package, start, end)
            piece = wire.Piece(start=start, end=end - 1, total=package.size)
            reply = await self._ask(
                "PUT",
                path,
                headers={"Content-Range": piece.header, "Content-Type": wire.EDXML},
                content=content,
                expected=frozenset({409}),
            )
            if reply.status == 409:
                # Something of an earlier attempt arrived late: the axis knows how far it is.
                moved = _read(await self._ask("GET", path), wire.read_upload)
                if moved.offset == start and not moved.complete:
                    raise _error(reply)
                state = moved
            else:
                state = _read(reply, wire.read_upload)
                if state.offset <= start and not state.complete:
                    raise BadAnswer(f"the upload of {package.digest} stays at {start} bytes")

    # --- taking ---------------------------------------------------------------------------------------------------

    def arrivals(self, *, window: int) -> HTTPArrivals:
        return HTTPArrivals(self, station=self._station, window=window)

    async def inbox(self, *, limit: int) -> tuple[Consignment, ...]:
        """What waits; listing it hands it over."""
        wait = self._limits.wait_seconds
        reply = await self._ask(
            "GET", wire.BASE + wire.INBOX, query={"limit": limit, "wait": wait}, more_seconds=wait
        )
        return _read(reply, wire.read_inbox)

    async def fetch(self, header: Consignment, payload: Payload) -> None:
        headers = {"Range": f"bytes={payload.have}-"} if payload.have else {}
        async with self._stream("GET", wire.path(wire.PAYLOAD, header.document), headers=headers) as response:
            if response.status_code not in {200, 206}:
                raise _error(_Reply(status=response.status_code, body=await _whole(response)))
            if response.status_code == 200 and payload.have:
                payload.restart()
            async for piece in response.aiter_raw():
                payload.write(piece)
        if payload.have < payload.size:
            raise NotAnswered(f"the payload was cut off after {payload.have} of {payload.size} bytes")

    async def consignment(self, document: DocumentKey) -> Consignment:
        return _read(await self._ask("GET", wire.path(wire.CONSIGNMENT, document)), read_consignment)

    async def report(self, document: DocumentKey) -> wire.SignedReport:
        return _read(await self._ask("GET", wire.path(wire.REPORT, document)), wire.read_report)

    async def say(self, message: StationMessage) -> None:
        await self._ask(
            "POST",
            wire.BASE + wire.ACKS,
            headers={"Content-Type": wire.JSON_TYPE},
            content=dump(station_message_json(message)),
        )

    # --- asking ---------------------------------------------------------------------------------------------------

    async def where_is(self, document: str) -> Whereabouts:
        reply = await self._ask("GET", wire.path(wire.WHERE_IS, document), expected=frozenset({409}))
        if reply.status == 409:
            problem = wire.read_problem(reply.status, reply.body)
            raise Ambiguous(document, candidates=tuple(one.en for one in problem.details))
        return _read(reply, read_whereabouts)

    async def submissions(
        self,
        *,
        kind: Kind | None,
        since: datetime | None,
        until: datetime | None,
        named: str | None,
        offset: int,
        limit: int,
    ) -> tuple[Submitted, ...]:
        query: dict[str, str | int | None] = {
            "kind": kind.value if kind is not None else None,
            "since": iso(since) if since is not None else None,
            "until": iso(until) if until is not None else None,
            "named": named,
            "offset": offset,
            "limit": min(limit, wire.MAX_PAGE),
        }
        reply = await self._ask("GET", wire.BASE + wire.SUBMISSIONS, query=query)
        return _read(reply, _read_submissions)

    async def owed(self, asked: OwedQuestion) -> OwedList:
        query = {"duty": asked.duty.value, "by": asked.by.value, "after": asked.after, "limit": wire.MAX_PAGE}
        return _read(await self._ask("GET", wire.BASE + wire.OWED, query=query), read_owed_list)

    def feed(self) -> HTTPFeed:
        return HTTPFeed(self, memory=self._memory, station=self._station)

    async def events(self, *, after: int) -> tuple[FeedEntry, ...]:
        """Events behind leaf `after`; waits a while when there are none."""
        wait = self._limits.wait_seconds
        reply = await self._ask(
            "GET",
            wire.BASE + wire.EVENTS,
            query={"after": after, "limit": wire.MAX_PAGE, "wait": wait},
            more_seconds=wait,
        )
        return _read(reply, read_events)

    async def organs(self, *, since: int, after: int, limit: int) -> wire.OrganList:
        query = {"since": since, "after": after, "limit": min(limit, wire.MAX_ORGANS)}
        reply = await self._ask("GET", wire.BASE + wire.ORGANS, query=query)
        return await asyncio.to_thread(_read, reply, wire.read_organs)

    async def change_organ(self, asked: wire.OrganRequest) -> None:
        await self._ask(
            "POST",
            wire.BASE + wire.ORGANS,
            headers={"Content-Type": wire.JSON_TYPE},
            content=dump(wire.organ_request_json(asked)),
        )

    async def whoami(self) -> wire.Whoami:
        return _read(await self._ask("GET", wire.BASE + wire.WHOAMI), wire.read_whoami)

    @property
    def shows_log(self) -> bool:
        return True

    async def checkpoint(self) -> str | None:
        try:
            reply = await self._ask("GET", wire.BASE + wire.CHECKPOINT)
        except NotFound:
            return None
        try:
            return reply.body.decode()
        except UnicodeDecodeError as error:
            raise BadAnswer("the checkpoint is not text") from error

    async def consistency(self, *, old: int, new: int) -> tuple[bytes, ...]:
        reply = await self._ask("GET", wire.BASE + wire.CONSISTENCY, query={"old": old, "new": new})
        return _read(reply, _hashes)

    # --- one request ----------------------------------------------------------------------------------------------

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int | None] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        more_seconds: float = 0,
        expected: frozenset[int] = frozenset(),
    ) -> _Reply:
        """
        One request and its whole answer.

        Raises:
            StationError: what the status says, unless it is one of `expected`.
        """
        async with self._stream(
            method, path, query=query, headers=headers, content=content, more_seconds=more_seconds
        ) as response:
            reply = _Reply(status=response.status_code, body=await _whole(response))
        if 200 <= reply.status < 300:
            self._was_allowed = True
            return reply
        if reply.status in expected:
            return reply
        raise _error(reply, retry_after=response.headers.get("Retry-After"))

    @contextlib.asynccontextmanager
    async def _stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int | None] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        more_seconds: float = 0,
    ) -> AsyncIterator[httpx2.Response]:
        params = {name: value for name, value in (query or {}).items() if value is not None}
        timeout = httpx2.Timeout(
            self._limits.answer_seconds + more_seconds, connect=self._limits.connect_seconds, pool=None
        )
        if self._client.is_closed:
            raise Closed("the station was closed")
        try:
            async with self._client.stream(
                method,
                path,
                params=params,
                headers={"Accept-Encoding": "identity", **(headers or {})},
                content=content,
                timeout=timeout,
            ) as response:
                yield response
        except httpx2.InvalidURL as error:
            raise NotPossible(f"no such address can be asked: {error}") from error
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise NotAnswered(f"{type(error).__name__}: {error}") from error
        except RuntimeError as error:
            # The library's word for a client that is closed while it is asked.
            if self._client.is_closed:
                raise Closed("the station was closed") from error
            raise


class HTTPArrivals:
    """The inbox, by long poll. One task asks at a time; any number may wait."""

    def __init__(self, line: OverHTTP, *, station: str, window: int) -> None:
        self._line = line
        self._window = window
        self._pauses = Pauses(station=station)
        self._ready: deque[Arrival | Withdrawal] = deque()
        self._in_hand = 0
        self._settled = asyncio.Event()
        self._asking = asyncio.Lock()
        self._closing = asyncio.Event()
        self._is_in_step = False
        """False: what was listed before may have been lost on its way, and must be asked back."""

    async def next(self) -> Arrival | Withdrawal:
        while not self._ready:
            async with self._asking:
                if not self._ready:
                    await self._look()
        self._in_hand += 1
        return self._ready.popleft()

    async def _look(self) -> None:
        look = asyncio.ensure_future(self._look_once())
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait({look, closing}, return_when=asyncio.FIRST_COMPLETED)
            if self._closing.is_set():
                raise Closed("nothing more is received")
            await look
        finally:
            for task in (look, closing):
                task.cancel()
            await asyncio.gather(look, closing, return_exceptions=True)

    async def _look_once(self) -> None:
        while self._in_hand >= self._window:
            self._settled.clear()
            await self._settled.wait()
        try:
            if not self._is_in_step:
                await self._line.say(StationMessage(ask=Ask.RESYNC))
                self._is_in_step = True
            self._is_in_step = False
            found = await self._line.inbox(limit=min(LISTING, self._window - self._in_hand))
            self._is_in_step = True
        except NotAllowed as error:
            if not self._line.was_allowed:
                raise
            # A suspended station is resumed one day.
            await self._wait_after(error)
        except (NotAnswered, Refused, BadAnswer) as error:
            await self._wait_after(error)
        else:
            self._pauses.reset()
            self._ready.extend(
                Arrival(header=one, body=None, settle=self._settle, is_kept=False)
                for one in found
                if _is_named(one)
            )

    async def _wait_after(self, error: StationError) -> None:
        at_least = error.retry_after_seconds if isinstance(error, NotAnswered) else None
        pause = self._pauses.take(at_least=at_least)
        _log.warning("station.waiting", channel="http", cause=str(error), pause_s=round(pause, 1))
        await asyncio.sleep(pause)

    async def _settle(self) -> None:
        self._in_hand -= 1
        self._settled.set()

    def withdrawals(self) -> Sequence[Withdrawal]:
        """None: over HTTP a recall shows when the payload is fetched."""
        return ()

    def put_back(self, arrival: Arrival | Withdrawal, *, last: bool = False) -> None:
        self._in_hand -= 1
        if last:
            self._ready.append(arrival)
        else:
            self._ready.appendleft(arrival)

    async def close(self) -> None:
        self._closing.set()
        self._ready.clear()


class HTTPFeed:
    """Events by long poll, from where the memory says."""

    def __init__(self, line: OverHTTP, *, memory: Memory, station: str) -> None:
        self._line = line
        self._memory = memory
        self._pauses = Pauses(station=station)
        self._ready: deque[FeedEntry] = deque()

    async def first(self) -> FeedEntry:
        while not self._ready:
            try:
                self._ready.extend(await self._line.events(after=self._memory.feed))
            except NotAllowed:
                if not self._line.was_allowed:
                    raise
                await self._pauses.wait()
            except NotAnswered as error:
                await self._pauses.wait(at_least=error.retry_after_seconds)
            except (BadAnswer, Refused) as error:
                _log.warning("station.waiting", channel="http", cause=str(error))
                await self._pauses.wait()
            else:
                self._pauses.reset()
        return self._ready[0]

    async def forget_first(self) -> None:
        entry = self._ready.popleft()
        await asyncio.to_thread(self._memory.advance_feed, entry.index)


# --- reading answers ----------------------------------------------------------------------------------------------


async def _whole(response: httpx2.Response) -> bytes:
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise BadAnswer(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)


def _read(reply: _Reply, reader: Callable[[Mapping[str, Any]], _Shape]) -> _Shape:
    try:
        return reader(load(reply.body))
    except BadMessage as error:
        raise BadAnswer(str(error)) from error


def _hashes(value: Mapping[str, Any]) -> tuple[bytes, ...]:
    hashes = value.get("hashes")
    if not isinstance(hashes, list) or not all(isinstance(one, str) for one in hashes):
        raise BadMessage("hashes", "a list of texts expected")
    try:
        return tuple(bytes.fromhex(one) for one in hashes)
    except ValueError as error:
        raise BadMessage("hashes", "hexadecimal expected") from error


def _error(reply: _Reply, *, retry_after: str | None = None) -> StationError:
    problem = wire.read_problem(reply.status, reply.body)
    said = f"HTTP {reply.status} {problem.code}: {problem.en}"
    if problem.may_pass:
        seconds = float(retry_after) if retry_after is not None and retry_after.isdecimal() else None
        return NotAnswered(said, retry_after_seconds=seconds)
    if reply.status in {401, 403}:
        return NotAllowed(said)
    kind = {404: NotFound, 410: Recalled}.get(reply.status, Refused)
    if problem.code == wire.HTTPReason.PURGED:
        kind = Purged
    return kind(
        problem.code,
        en=problem.en,
        vi=problem.vi,
        next_en=problem.next_en,
        request=problem.request,
        details=problem.details,
    )


def _is_named(header: Consignment) -> bool:
    try:
        check_names(header)
    except BadMessage as error:
        # It stays pending at the axis, where the operator sees it.
        _log.error("station.unreadable", queue="inbox", cause=str(error))
        return False
    return True


def _slice(package: Package, start: int, end: int) -> bytes:
    if isinstance(package.source, bytes):
        return package.source[start:end]
    try:
        with package.source.open("rb") as stream:
            stream.seek(start)
            content = stream.read(end - start)
    except OSError as error:
        raise NotPossible(f"{package.source}: {error.strerror}") from error
    if len(content) != end - start:
        raise NotPossible(f"{package.source} became shorter while it was uploaded")
    return content


def _read_submissions(value: Mapping[str, Any]) -> tuple[Submitted, ...]:
    listed = value.get("submissions")
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise BadMessage("submissions", "not a list of objects")
    return tuple(read_submitted(one) for one in listed)


def _who(station: str, key: str) -> dict[str, str]:
    headers = {"Authorization": wire.bearer(key), "User-Agent": "axis-station/1"}
    # A gateway's own key, in the name of a station it may act for.
    return headers if wire.station_of_key(key) == station else {**headers, wire.ACTS_FOR: station}


def _host(url: str) -> str:
    # An address may hold a password: only where it leads is shown.
    return urlsplit(url).netloc.rpartition("@")[2] or "(empty)"
