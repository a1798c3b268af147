"""
The VXP gateway: what the vendor's SDK (Java, .NET) calls, so that an agency's software changes an address and a secret.

    POST {base}/sendEdoc            a document or status is judged and recorded before it is answered, within 50 s
    POST {base}/getReceivedEdocList what waits; it stays listed until updateStatus says done or fail
    POST {base}/getEdoc             one message, base64; GET {base}/downloadEdoc the same, raw
    POST {base}/updateStatus        processing | done | fail
    POST {base}/getSentEdocList     what was sent, a row for each receiver
    …                               counts, agencies: see `_OPERATIONS`

Authenticates the caller (`vxp_caller`) and then acts as that station through `adapters.station`: it decides nothing and
keeps no document that could be lost. Every call may be repeated without harm, as these clients do so blindly. Answers
are HTTP 200 and JSON whatever happens (`vxp_words`). docs/vxp.md is the guide for connecting.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message as Received
from starlette.types import Receive, Scope, Send

from adapters.document import Document
from adapters.errors import (
    BadAnswer,
    Closed,
    MemoryUnusable,
    NotAllowed,
    NotAnswered,
    NotFound,
    NotPossible,
    NotProven,
    Recalled,
    StationError,
)
from adapters.station import Station
from adapters.vxp_agencies import (
    Agencies,
    Agency,
    AgencyForm,
    AgencyRefused,
    for_list,
    for_list_qd20,
    for_synchronizing,
)
from adapters.vxp_caller import Call, hash_forms, read_call
from adapters.vxp_shelf import Entry, Item, Register, Shelf
from adapters.vxp_view import View, is_served_as_sent, normal_copy
from adapters.vxp_words import (
    TRANSPORT,
    ErrorCode,
    Failed,
    Transport,
    encoded,
    failed,
    read_time,
    receive_desc,
    refusal,
    send_desc,
    status_desc,
    succeeded,
    written,
)
from axis.core.exchange import Answer, Whereabouts, load
from axis.core.ids import is_id
from axis.core.model import DocumentKey, Kind, StationId, SubmissionState, iso
from axis.core.ports import Clock, Ids
from axis.edxml.message import Edoc, Message
from axis.edxml.reader import Unreadable, read_package

_log = structlog.get_logger(__name__)

BASE: Final = "/XrdAdapter/adapter"
CLOCKS_APART: Final = timedelta(seconds=30)
"""A refusal older than this is an earlier one, whatever the clocks of gateway and axis say."""

_IN_MEMORY_BYTES: Final = 1024 * 1024
_MAX_SMALL_BODY: Final = 64 * 1024
_CHUNK: Final = 3 * 64 * 1024
"""A multiple of three, so that base64 of the chunks is base64 of the whole."""
_MAX_PAGE: Final = 1_000
_ASKED_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One system of the old interface, and the station it is."""

    system_id: str
    secret: bytes = field(repr=False)
    station: Station
    """Over HTTP, not open yet. One process at a time serves a station."""
    folder: Path | None = None
    """Where the list of what was sent is kept; without it the list ends with the process."""
    view: View = View.AS_SENT


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayLimits:
    """What one caller may take."""

    body_bytes: int = 100 * 1024 * 1024
    stall_seconds: float = 20
    """Longest time without a byte of the body."""
    body_seconds: float = 300
    answer_seconds: float = 45
    """Clients give up after 60 s and never ask again."""
    list_seconds: float = 10
    calls: int = 200
    """Calls under way; more are told to come again."""
    max_age: timedelta | None = timedelta(days=30)
    """Oldest time stamp of a client. It is made once in the life of a client's process; None takes any."""


class Gateway:
    """An ASGI application. `async with` opens and closes what it needs."""

    def __init__(
        self,
        accounts: Sequence[Account],
        *,
        agencies: Agencies | None,
        clock: Clock,
        ids: Ids,
        spool: Path | None = None,
        limits: GatewayLimits | None = None,
    ) -> None:
        self._accounts = {one.system_id: one for one in accounts}
        if len(self._accounts) != len(accounts):
            raise NotPossible("two systems with one systemid")
        self._agencies = agencies
        self._clock = clock
        self._ids = ids
        self._spool = spool
        self._limits = limits or GatewayLimits()
        self._desks: dict[str, _Desk] = {}
        self._opening = asyncio.Lock()
        self._under_way = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop in good order; what waits for a station is offered again to the next process."""
        for desk in self._desks.values():
            await desk.close()
        self._desks.clear()

    def secret_of(self, system_id: str) -> bytes | None:
        """For `vxp_caller`."""
        found = self._accounts.get(system_id)
        return found.secret if found is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        incoming = _Incoming(receive)
        response = await self._answer(Request(scope, incoming))
        # A client that is still sending would not read the answer before it has finished.
        await incoming.drain(seconds=self._limits.stall_seconds, most=2 * self._limits.body_bytes)
        with contextlib.suppress(ClientDisconnect, OSError):
            await response(scope, incoming, send)

    async def _answer(self, request: Request) -> Response:
        name = request.url.path.removeprefix(BASE).strip("/")
        is_full = self._under_way >= self._limits.calls
        self._under_way += 1
        try:
            if is_full:
                return _json(failed(ErrorCode.SYSTEM, "He thong dang ban, vui long gui lai"))
            return await self._serve(request, name)
        except Failed as no:
            _log.info("vxp.failed", operation=name[:40], code=no.code.value, cause=no.desc[:200])
            return _json(failed(no.code, no.desc))
        except ClientDisconnect:
            return _json(failed(ErrorCode.REQUEST, "Noi dung bi ngat giua chung"))
        except Exception:  # noqa: BLE001 - a client can show a sentence, never a page or a trace
            _log.error("vxp.fault", operation=name[:40], exc_info=True)
            return _json(failed(ErrorCode.SYSTEM, "Loi he thong, vui long gui lai"))
        finally:
            self._under_way -= 1

    async def _serve(self, request: Request, name: str) -> Response:
        operation = _OPERATIONS.get(name.lower())
        if operation is None or not request.url.path.startswith(BASE):
            raise Failed(ErrorCode.REQUEST, f"Khong co chuc nang {name[:60]}")
        if request.method not in operation.methods:
            allowed = " hoac ".join(sorted(operation.methods))
            raise Failed(ErrorCode.REQUEST, f"{name}: dung phuong thuc {allowed}")
        call = read_call(
            request.scope["headers"], secrets=self, now=self._clock.now(), max_age=self._limits.max_age
        )
        try:
            desk = await self._desk(call.system_id)
            return await operation.serve(self, desk, call, request)
        except StationError as error:
            raise _translated(error) from error

    async def _desk(self, system_id: str) -> _Desk:
        async with self._opening:
            desk = self._desks.get(system_id)
            if desk is None:
                desk = _Desk(self._accounts[system_id])
                await desk.open()
                self._desks[system_id] = desk
            return desk

    # --- sending --------------------------------------------------------------------------------------------------

    async def send_edoc(self, desk: _Desk, call: Call, request: Request) -> Response:
        """Hand in a document or a status; answered when it is judged and recorded."""
        begun = asyncio.get_running_loop().time()
        wanted = call.need("hash-file").lower()
        kind = _kind(call.get("messagetype", Kind.EDOC.value))
        async with self._body(request) as body:
            source = body.matching(wanted)
            message = await asyncio.to_thread(_look, source)
            if message is not None and message.kind is not kind:
                raise Failed(
                    ErrorCode.REQUEST, f"messagetype la {kind.value}, noi dung la {message.kind.value}"
                )
            left = self._limits.answer_seconds - (asyncio.get_running_loop().time() - begun - body.seconds)
            answer = await self._submit(desk, source, digest=body.digest, within=left)
        if answer.state is SubmissionState.REFUSED:
            raise refusal(answer, system_id=call.system_id)
        entry = desk.register.same(digest=answer.digest, document=answer.document)
        if entry is None or answer.state is not SubmissionState.DUPLICATE:
            entry = _entry(answer, message, kind=kind)
            await asyncio.to_thread(desk.register.add, entry)
        return _json(succeeded(DocId=entry.doc_id, sendStatusDesc=send_desc(answer)))

    async def _submit(self, desk: _Desk, source: bytes | Path, *, digest: str, within: float) -> Answer:
        """
        Under a message id made of the bytes, so that the same bytes are the same submission, however often they come.

        What was refused then may be right by now (a receiver was connected, a certificate bound): after an earlier
        refusal the bytes are judged anew, under a fresh id.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + within
        asked_at = self._clock.now()
        # One call at a time for the same bytes: the second finds the answer of the first.
        async with desk.sending(digest):
            answer = await desk.station.submit(source, message_id=f"vxp-{digest}", within=max(within, 0.1))
            if answer.state is SubmissionState.REFUSED and answer.at < asked_at - CLOCKS_APART:
                answer = await desk.station.submit(
                    source,
                    message_id=f"vxp-{digest[:32]}-{self._ids.new(asked_at)}",
                    within=max(deadline - clock(), 0.1),
                )
        return answer

    @contextlib.asynccontextmanager
    async def _body(self, request: Request) -> AsyncIterator[_Body]:
        body = _Body(self._spool)
        begun = asyncio.get_running_loop().time()
        try:
            async for piece in self._pieces(request, most=self._limits.body_bytes):
                if piece:
                    await body.write(piece)
            body.end(seconds=asyncio.get_running_loop().time() - begun)
            yield body
        except OSError as error:
            _log.error("vxp.spool", cause=error.strerror)
            raise Failed(ErrorCode.SYSTEM, "He thong khong luu duoc tep, vui long gui lai") from error
        finally:
            body.discard()

    async def _pieces(self, request: Request, *, most: int) -> AsyncIterator[bytes]:
        """The body, bounded in size and time."""
        declared = request.headers.get("content-length", "")
        too_large = Failed(ErrorCode.REQUEST, f"Tep qua lon, toi da {most} byte")
        if declared.isdecimal() and int(declared) > most:
            raise too_large
        size = 0
        stream = request.stream()
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while True:
                    async with asyncio.timeout(self._limits.stall_seconds):
                        piece = await anext(stream, None)
                    if piece is None:
                        return
                    size += len(piece)
                    if size > most:
                        raise too_large
                    yield piece
        except TimeoutError as error:
            raise Failed(ErrorCode.REQUEST, "Noi dung gui qua cham, vui long gui lai") from error

    async def _small_body(self, request: Request) -> bytes:
        found = bytearray()
        async for piece in self._pieces(request, most=_MAX_SMALL_BODY):
            found += piece
        return bytes(found)

    # --- receiving ------------------------------------------------------------------------------------------------

    async def received_list(self, desk: _Desk, call: Call, request: Request) -> Response:
        """What waits and was not ended."""
        items = await self._waiting(desk, call, request, _kind(call.get("messagetype", Kind.EDOC.value)))
        offset, limit = _page(call)
        return _json(succeeded(data=[_received(one) for one in items[offset : offset + limit]]))

    async def count_edoc(self, desk: _Desk, call: Call, request: Request) -> Response:
        """How many documents wait."""
        return _json(succeeded(count=len(await self._waiting(desk, call, request, Kind.EDOC))))

    async def count_status(self, desk: _Desk, call: Call, request: Request) -> Response:
        """How many statuses wait."""
        return _json(succeeded(count=len(await self._waiting(desk, call, request, Kind.STATUS))))

    async def _waiting(self, desk: _Desk, call: Call, request: Request, kind: Kind) -> Sequence[Item]:
        await self._small_body(request)
        since = read_time(call.get("fromDate"), name="fromDate")
        until = read_time(call.get("toDate"), name="toDate")
        return [
            one
            for one in await desk.shelf.look(within=self._limits.list_seconds)
            if one.document.kind is kind
            and (since is None or one.document.header.sent_at >= since)
            and (until is None or one.document.header.sent_at < until + timedelta(seconds=1))
        ]

    async def get_edoc(self, desk: _Desk, call: Call, request: Request) -> Response:
        """One message, base64 inside JSON."""
        await self._small_body(request)
        content, facts = await self._content(desk, call)
        head, tail = encoded(succeeded(**facts, data="")).split(b'"data":""')
        head += b'"data":"'
        size = len(head) + content.base64_size + 1 + len(tail)

        async def pieces() -> AsyncIterator[bytes]:
            yield head
            async for piece in content.pieces():
                yield base64.b64encode(piece)
            yield b'"' + tail

        return StreamingResponse(
            pieces(), media_type="application/json", headers={"Content-Length": str(size)}
        )

    async def download_edoc(self, desk: _Desk, call: Call, request: Request) -> Response:
        """One message, raw."""
        await self._small_body(request)
        content, facts = await self._content(desk, call)
        headers = {"Content-Length": str(content.size), "X-Axis-Digest": facts["digest"]}
        return StreamingResponse(content.pieces(), media_type="application/octet-stream", headers=headers)

    async def _content(self, desk: _Desk, call: Call) -> tuple[_Content, dict[str, str]]:
        key = _document_key(call.need("docId"))
        item = desk.shelf.find(key)
        if item is None:
            # Ended before, and wanted once more.
            body = await desk.station.fetch(key, within=self._limits.answer_seconds)
            return _Content.of(body), {"digest": hashlib.sha256(body).hexdigest(), "view": View.AS_SENT.value}
        document = item.document
        wanted = View.AS_SENT if call.get("view") == View.AS_SENT.value else desk.account.view
        content = await desk.open_content(document, within=self._limits.answer_seconds)
        item.transport, item.updated_at = Transport.PROCESSING, self._clock.now()
        if wanted is View.NORMAL and not is_served_as_sent(document.tier):
            copy = await asyncio.to_thread(lambda: normal_copy(content.read()))
            if copy is not None:
                content.close()
                return _Content.of(copy), {"digest": document.digest, "view": View.NORMAL.value}
        return content, {"digest": document.digest, "view": View.AS_SENT.value}

    async def update_status(self, desk: _Desk, call: Call, request: Request) -> Response:
        """How the pick-up went: `processing` is noted, `done` and `fail` end it."""
        await self._small_body(request)
        key = _document_key(call.need("docid"))
        said = call.need("status").lower()
        if said not in {Transport.PROCESSING, Transport.DONE, Transport.FAIL}:
            raise Failed(ErrorCode.REQUEST, "status: processing, done hoac fail")
        wanted = Transport(said)
        item = desk.shelf.find(key)
        if item is None:
            return await self._ended_before(desk, key, wanted)
        if wanted is Transport.PROCESSING:
            item.transport, item.updated_at = wanted, self._clock.now()
            return _json(succeeded())
        async with self._in_time():
            if wanted is Transport.DONE:
                await item.document.done()
            else:
                # The axis takes a failure only of what was fetched or handed over: this was.
                await item.document.fail(f"VXP {call.system_id}: fail")
        desk.shelf.remove(key, ended=wanted)
        return _json(succeeded())

    async def _ended_before(self, desk: _Desk, key: DocumentKey, wanted: Transport) -> Response:
        """Repeated, or said of what somebody else ended: noted, and nothing changes."""
        before = desk.shelf.ended(key)
        if before is None:
            # Not found here: is it another's, or was it ended by an earlier process?
            await desk.station.consignment(key, within=self._limits.answer_seconds)
        if before is not None and before is not wanted:
            return _json(succeeded(statusDesc=f"Van ban da ket thuc voi trang thai {before.value}"))
        return _json(succeeded())

    @contextlib.asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._limits.answer_seconds):
                yield
        except TimeoutError as error:
            raise Failed(ErrorCode.SYSTEM, "He thong dang ban, vui long gui lai") from error

    # --- what was sent --------------------------------------------------------------------------------------------

    async def sent_list(self, desk: _Desk, call: Call, request: Request) -> Response:
        """One row for each document and receiver, newest document first."""
        await self._small_body(request)
        since = read_time(call.get("fromDate"), name="fromDate")
        until = read_time(call.get("toDate"), name="toDate")
        offset, limit = _page(call, default=100)
        kind = call.get("messagetype")
        # A docId may be left over from an earlier call of another operation: it counts when it is one of ours, and
        # nothing else says which part of the list is wanted.
        only = desk.register.find(call.get("docId").strip())
        entries: Sequence[Entry]
        if only is not None and since is None and until is None and not call.get("pageSize"):
            entries = [only]
        else:
            entries = desk.register.page(
                kind=_kind(kind) if kind else None, since=since, until=until, offset=offset, limit=limit
            )
        room = asyncio.Semaphore(_ASKED_AT_ONCE)

        async def rows(entry: Entry) -> list[dict[str, Any]]:
            async with room:
                return await self._sent(desk, entry)

        async with self._in_time():
            found = await asyncio.gather(*(rows(entry) for entry in entries))
        return _json(succeeded(data=[row for some in found for row in some]))

    async def _sent(self, desk: _Desk, entry: Entry) -> list[dict[str, Any]]:
        state = SubmissionState.ACCEPTED
        desc = ""
        if entry.document is None:
            answer = await desk.station.answer_to(submission=entry.doc_id)
            state, desc = answer.state, send_desc(answer)
            if answer.document is not None:
                entry = await desk.learn(entry, document=answer.document)
        where: Whereabouts | None = None
        if entry.document is not None:
            with contextlib.suppress(NotFound):
                where = await desk.station.where_is(DocumentKey(entry.document))
        return _sent_rows(entry, where, state=state, desc=desc)

    # --- agencies -------------------------------------------------------------------------------------------------

    async def agencies_list(self, desk: _Desk, call: Call, request: Request) -> Response:
        """Every organ."""
        del desk, call
        await self._small_body(request)
        return self._stream_agencies(for_list, level=None, include_deleted=False)

    async def agencies_list_qd20(self, desk: _Desk, call: Call, request: Request) -> Response:
        """Organs with their codes of Decision 20, of one level if it is given."""
        del desk
        await self._small_body(request)
        level = call.get("level").strip()
        if level and not (level.isdecimal() and len(level) <= 2):
            raise Failed(ErrorCode.REQUEST, "level: can mot so")
        return self._stream_agencies(
            for_list_qd20, level=int(level) if level else None, include_deleted=False
        )

    async def synchronize_unit(self, desk: _Desk, call: Call, request: Request) -> Response:
        """Every organ with its version, closed ones included."""
        del desk, call
        await self._small_body(request)
        return self._stream_agencies(for_synchronizing, level=None, include_deleted=True)

    def _stream_agencies(
        self, row: Callable[[Agency], dict[str, Any]], *, level: int | None, include_deleted: bool
    ) -> Response:
        agencies = self._need_agencies()
        head, tail = encoded(succeeded(data=[])).split(b"[]")

        async def pieces() -> AsyncIterator[bytes]:
            block = bytearray(head + b"[")
            is_first = True
            async for one in agencies.every(level=level, include_deleted=include_deleted):
                block += (b"" if is_first else b",") + encoded(row(one))
                is_first = False
                if len(block) > _CHUNK:
                    yield bytes(block)
                    block.clear()
            yield bytes(block) + b"]" + tail

        return StreamingResponse(pieces(), media_type="application/json")

    async def register_agency(self, desk: _Desk, call: Call, request: Request) -> Response:
        """Register or change an organ."""
        del call
        try:
            value = load(await self._small_body(request))
        except ValueError as error:
            raise Failed(ErrorCode.REQUEST, "Noi dung khong phai JSON") from error
        texts = {name: str(found).strip() for name, found in value.items() if isinstance(found, str | int)}
        code, name = texts.get("code", ""), texts.get("name", "")
        if not code or not name:
            raise Failed(ErrorCode.REQUEST, "Can code va name")
        form = AgencyForm(
            id=texts.get("id", ""),
            parent_code=texts.get("pcode", ""),
            code=code,
            name=name,
            mail=texts.get("mail", ""),
            mobile=texts.get("mobile", ""),
            fax=texts.get("fax", ""),
        )
        await self._change(lambda agencies, station: agencies.register(station, form), desk)
        return _json(succeeded())

    async def delete_agency(self, desk: _Desk, call: Call, request: Request) -> Response:
        """Close an organ."""
        await self._small_body(request)
        code = call.need("AgencyCode")
        await self._change(lambda agencies, station: agencies.remove(station, code), desk)
        return _json(succeeded())

    async def _change(self, act: Callable[[Agencies, StationId], Awaitable[None]], desk: _Desk) -> None:
        agencies = self._need_agencies()
        async with self._in_time():
            try:
                await act(agencies, desk.station.id)
            except AgencyRefused as no:
                raise Failed(ErrorCode.SENDER, no.reason) from no

    def _need_agencies(self) -> Agencies:
        if self._agencies is None:
            raise Failed(ErrorCode.SYSTEM, "Cong nay khong phuc vu danh muc don vi")
        return self._agencies


# --- one account --------------------------------------------------------------------------------------------------


class _Desk:
    """One system's station, shelf and register."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.station = account.station
        self.shelf = Shelf(account.station)
        self._register: Register | None = None
        self._sending: dict[str, asyncio.Lock] = {}
        self._loading: dict[DocumentKey, asyncio.Lock] = {}

    @property
    def register(self) -> Register:
        assert self._register is not None, "an open desk has one"
        return self._register

    async def open(self) -> None:
        folder = self.account.folder
        await self.station.open()
        try:
            self._register = await asyncio.to_thread(
                Register, None if folder is None else folder / "sent.jsonl"
            )
        except StationError:
            await self.station.close()
            raise
        self.shelf.open()

    async def close(self) -> None:
        await self.shelf.close()
        await self.station.close()
        self.register.close()

    @contextlib.asynccontextmanager
    async def sending(self, message_id: str) -> AsyncIterator[None]:
        """One call at a time for the same bytes: the second finds the answer of the first."""
        async with _named_lock(self._sending, message_id):
            yield

    async def open_content(self, document: Document, *, within: float) -> _Content:
        """The verified bytes of a document on the shelf; `fetched` is said."""
        async with _named_lock(self._loading, document.key):
            try:
                async with asyncio.timeout(within):
                    await document.load()
            except TimeoutError as error:
                raise NotAnswered("the payload did not come in time") from error
            if not document.is_loaded:
                raise NotFound("http.not_found", en=f"{document.key} is ended")
            try:
                return await asyncio.to_thread(_Content.open, document)
            finally:
                # What is open stays readable; thousands of documents on a shelf do not stay in memory.
                document.unload()

    async def learn(self, entry: Entry, *, document: DocumentKey) -> Entry:
        """A held message was accepted: its document is known now."""
        known = replace(entry, document=document)
        await asyncio.to_thread(self.register.add, known)
        return known


@contextlib.asynccontextmanager
async def _named_lock(locks: dict[Any, asyncio.Lock], name: object) -> AsyncIterator[None]:
    lock = locks.setdefault(name, asyncio.Lock())
    try:
        async with lock:
            yield
    finally:
        if not lock.locked() and locks.get(name) is lock:
            del locks[name]


class _Incoming:
    """What a client sends, and whether all of it has come."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_over = False

    async def __call__(self) -> Received:
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._is_over = True
        return message

    async def drain(self, *, seconds: float, most: int) -> None:
        """Read and throw away what is left of a body, within bounds."""
        size = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._is_over and size <= most:
                    size += len((await self()).get("body", b""))


# --- bodies -------------------------------------------------------------------------------------------------------


class _Body:
    """The body of a request: in memory while it is small, then in a file; hashed with and without a line end behind."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._pieces = bytearray()
        self._path: Path | None = None
        self._descriptor: int | None = None
        self._hash = hashlib.sha256()
        self._tail = b""
        self.size = 0
        self.seconds = 0.0
        """How long it took to arrive."""
        self.digest = ""
        """SHA-256 of what `matching` gave."""

    async def write(self, piece: bytes) -> None:
        self.size += len(piece)
        pending = self._tail + piece
        self._hash.update(pending[:-2])
        self._tail = pending[-2:]
        self._pieces += piece
        if len(self._pieces) >= _IN_MEMORY_BYTES:
            await asyncio.to_thread(self._flush)

    def _flush(self) -> None:
        if self._descriptor is None:
            self._descriptor, name = tempfile.mkstemp(prefix="axis-vxp-", dir=self._folder)
            self._path = Path(name)
        rest = memoryview(bytes(self._pieces))
        self._pieces.clear()
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def end(self, *, seconds: float) -> None:
        """All of it is here."""
        self.seconds = seconds
        if self._descriptor is not None:
            self._flush()

    def matching(self, wanted: str) -> bytes | Path:
        """
        The bytes the client hashed: the body, or the body without the line end the SDK puts behind every file.

        Raises:
            Failed: it hashed something else.
        """
        if not self.size:
            raise Failed(ErrorCode.REQUEST, "Khong co noi dung")
        without, whole = self._hash, self._hash.copy()
        whole.update(self._tail)
        for found, cut in ((whole, 0), (without, 2)):
            if cut and self._tail != b"\r\n":
                continue
            if wanted in hash_forms(found.digest()):
                self.digest = found.hexdigest()
                return self._without(cut)
        raise Failed(ErrorCode.FILE, "hash-file khong khop noi dung tep")

    def _without(self, cut: int) -> bytes | Path:
        if self._path is None or self._descriptor is None:
            return bytes(self._pieces[: self.size - cut])
        os.ftruncate(self._descriptor, self.size - cut)
        return self._path

    def discard(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        if self._path is not None:
            self._path.unlink(missing_ok=True)


class _Content:
    """The bytes of a message on their way to a client."""

    def __init__(self, *, body: bytes | None, descriptor: int | None, size: int) -> None:
        self._body = body
        self._descriptor = descriptor
        self.size = size

    @classmethod
    def of(cls, body: bytes) -> Self:
        return cls(body=body, descriptor=None, size=len(body))

    @classmethod
    def open(cls, document: Document) -> Self:
        """Opened now, so that it can be read to its end whatever becomes of the document."""
        if document.path is None:
            return cls.of(document.body)
        descriptor = os.open(document.path, os.O_RDONLY)
        return cls(body=None, descriptor=descriptor, size=os.fstat(descriptor).st_size)

    @property
    def base64_size(self) -> int:
        return 4 * ((self.size + 2) // 3)

    def read(self) -> bytes:
        return self._body if self._body is not None else self._part(0, self.size)

    def _part(self, start: int, end: int) -> bytes:
        if self._body is not None:
            return self._body[start:end]
        assert self._descriptor is not None, "content is in memory or in a file"
        found = bytearray()
        while start + len(found) < end:
            piece = os.pread(self._descriptor, end - start - len(found), start + len(found))
            if not piece:
                raise OSError("the file became shorter")
            found += piece
        return bytes(found)

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            for start in range(0, self.size, _CHUNK):
                yield await asyncio.to_thread(self._part, start, min(start + _CHUNK, self.size))
        finally:
            self.close()

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


# --- shapes -------------------------------------------------------------------------------------------------------


def _json(body: Mapping[str, Any]) -> Response:
    return Response(encoded(body), media_type="application/json")


def _translated(error: StationError) -> Failed:
    match error:
        case NotAnswered() | Closed():
            return Failed(
                ErrorCode.SYSTEM, "Truc chua tra loi. Vui long gui lai: cung mot tep khong bi nhan hai lan"
            )
        case NotAllowed():
            return Failed(ErrorCode.SENDER, "Diem ket noi chua duoc phep hoac dang tam dung tren Truc")
        case Recalled():
            return Failed(ErrorCode.FILE, "Van ban da duoc thu hoi truoc khi nhan")
        case NotFound():
            return Failed(ErrorCode.FILE, "Khong tim thay van ban nay")
        case NotProven() | BadAnswer():
            _log.error("vxp.axis_not_believed", cause=str(error))
            return Failed(ErrorCode.SYSTEM, "Truc tra loi khong hop le, vui long bao nguoi van hanh")
        case MemoryUnusable():
            _log.error("vxp.memory", cause=str(error))
            return Failed(ErrorCode.SYSTEM, "He thong khong ghi duoc dia, vui long gui lai")
        case _:
            return Failed(ErrorCode.SYSTEM, f"Truc khong phuc vu: {error}")


def _kind(text: str) -> Kind:
    found = text.strip().lower() or Kind.EDOC.value
    if found not in set(Kind):
        raise Failed(ErrorCode.REQUEST, "messagetype: edoc hoac status")
    return Kind(found)


def _page(call: Call, *, default: int | None = None) -> tuple[int, int]:
    """Offset and length. Page 0 and page 1 are both the first: clients begin with either."""
    size, index = call.get("pageSize").strip(), call.get("pageIndex").strip()
    for name, text in (("pageSize", size), ("pageIndex", index)):
        if text and not (text.isdecimal() and len(text) <= 9):
            raise Failed(ErrorCode.REQUEST, f"{name}: can mot so")
    if not size or int(size) == 0:
        return 0, default if default is not None else 1 << 30
    limit = min(int(size), _MAX_PAGE)
    return max(int(index or 1) - 1, 0) * limit, limit


def _document_key(text: str) -> DocumentKey:
    if not is_id(text):
        raise Failed(ErrorCode.FILE, f"Khong tim thay van ban {text[:40]}")
    return DocumentKey(text)


def _look(source: bytes | Path) -> Message | None:
    """What the message says, for the list of what was sent; None when nobody can read it: the axis says why."""
    try:
        if isinstance(source, bytes):
            return read_package(source).message
        with source.open("rb") as stream:
            return read_package(stream).message
    except Unreadable:
        return None


def _entry(answer: Answer, message: Message | None, *, kind: Kind) -> Entry:
    title = code = document_id = ""
    if isinstance(message, Edoc):
        title, code, document_id = message.subject, message.code.written, message.document_id
    elif message is not None:
        title = message.description
        if message.response_for is not None:
            code, document_id = message.response_for.code, message.response_for.document_id
    return Entry(
        doc_id=answer.submission,
        document=answer.document,
        digest=answer.digest,
        kind=kind.value,
        sender=message.sender.organ_id if message is not None else "",
        title=title[:500],
        code=code[:100],
        document_id=document_id[:200],
        sent_at=iso(answer.at),
    )


def _received(item: Item) -> dict[str, Any]:
    header = item.document.header
    return {
        "docId": header.document,
        "serviceType": "eDoc",
        "messageType": header.kind.value,
        "created_time": written(header.sent_at),
        "updated_time": written(item.updated_at),
        "from": item.sender,
        "to": ",".join(one.code for one in header.deliveries),
        "status": item.transport.value,
        "status_desc": status_desc(header),
    }


def _sent_rows(
    entry: Entry, where: Whereabouts | None, *, state: SubmissionState, desc: str
) -> list[dict[str, Any]]:
    held = state is SubmissionState.HELD
    common = {
        "serviceType": "eDoc",
        "messageType": entry.kind,
        "title": entry.title,
        "notation": entry.code,
        "fromCode": entry.sender,
        "senderDocId": entry.doc_id,
        "receiverDocId": entry.document or "",
        "sentTime": written(datetime.fromisoformat(entry.sent_at)),
        "sendStatus": (
            Transport.PROCESSING
            if held
            else Transport.FAIL
            if state is SubmissionState.REFUSED
            else Transport.DONE
        ).value,
        "sendStatusDesc": desc,
    }
    if where is None or not where.deliveries:
        return [
            {
                **common,
                "toCode": "",
                "receivedTime": "",
                "receiveStatus": Transport.INITIAL.value,
                "receiveStatusDesc": "",
            }
        ]
    return [
        {
            **common,
            "toCode": line.code,
            "receivedTime": written(line.at) if TRANSPORT[line.state] is Transport.DONE else "",
            "receiveStatus": TRANSPORT[line.state].value,
            "receiveStatusDesc": receive_desc(line.state, status=line.status, reason=line.reason),
        }
        for line in where.deliveries
    ]


@dataclass(frozen=True, slots=True)
class _Operation:
    serve: Callable[[Gateway, _Desk, Call, Request], Awaitable[Response]]
    methods: frozenset[str] = frozenset({"POST"})


_EITHER: Final = frozenset({"GET", "POST"})
_OPERATIONS: Final = {
    name.lower(): operation
    for name, operation in {
        "sendEdoc": _Operation(Gateway.send_edoc),
        "getReceivedEdocList": _Operation(Gateway.received_list),
        "getSentEdocList": _Operation(Gateway.sent_list),
        "getEdoc": _Operation(Gateway.get_edoc),
        "downloadEdoc": _Operation(Gateway.download_edoc, _EITHER),
        "updateStatus": _Operation(Gateway.update_status),
        "countReceiveEdoc": _Operation(Gateway.count_edoc, _EITHER),
        "countReceiveStatus": _Operation(Gateway.count_status, _EITHER),
        "getAgenciesList": _Operation(Gateway.agencies_list),
        "getAgenciesListQD20": _Operation(Gateway.agencies_list_qd20),
        "getSynchronizeUnit": _Operation(Gateway.synchronize_unit),
        "registerAgency": _Operation(Gateway.register_agency),
        "deleteAgency": _Operation(Gateway.delete_agency),
    }.items()
}
"""What there is, by name in lower case. Counts are declared GET by the SDK and sent as POST."""
