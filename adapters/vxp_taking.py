"""
What a system of the old interface takes at the VXP gateway: lists and counts of what waits, the messages, their end.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

from starlette.responses import Response, StreamingResponse

from adapters.vxp_bodies import Content
from adapters.vxp_desk import Visit, as_json
from adapters.vxp_rows import received_row
from adapters.vxp_shelf import Item
from adapters.vxp_view import MAX_BYTES, is_served_as_sent, normal_copy
from adapters.vxp_words import ErrorCode, Failed, Transport, encoded, read_time, succeeded
from axis.core.directory import View
from axis.core.ids import is_id
from axis.core.model import DocumentKey, Kind


async def received_list(visit: Visit) -> Response:
    """What waits and was not ended."""
    items = await _waiting(visit, visit.kind())
    offset, limit = visit.page()
    return as_json(succeeded(data=[received_row(one) for one in items[offset : offset + limit]]))


async def count_edoc(visit: Visit) -> Response:
    """How many documents wait."""
    return as_json(succeeded(count=len(await _waiting(visit, Kind.EDOC))))


async def count_status(visit: Visit) -> Response:
    """How many statuses wait."""
    return as_json(succeeded(count=len(await _waiting(visit, Kind.STATUS))))


async def _waiting(visit: Visit, kind: Kind | None) -> Sequence[Item]:
    await visit.small_body()
    since = read_time(visit.call.get("fromDate"), name="fromDate")
    until = read_time(visit.call.get("toDate"), name="toDate")
    return [
        one
        for one in await visit.desk.shelf.look(within=visit.limits.list_seconds)
        if one.document.kind is kind
        and (since is None or one.document.header.sent_at >= since)
        and (until is None or one.document.header.sent_at < until + timedelta(seconds=1))
    ]


# --- messages -----------------------------------------------------------------------------------------------------


async def get_edoc(visit: Visit) -> Response:
    """One message, base64 inside JSON."""
    await visit.small_body()
    content, facts = await _content(visit)
    head, tail = encoded(succeeded(**facts, data="")).split(b'"data":""')
    head += b'"data":"'
    size = len(head) + content.base64_size + 1 + len(tail)

    async def pieces() -> AsyncIterator[bytes]:
        yield head
        async for piece in content.pieces():
            yield base64.b64encode(piece)
        yield b'"' + tail

    return StreamingResponse(pieces(), media_type="application/json", headers={"Content-Length": str(size)})


async def download_edoc(visit: Visit) -> Response:
    """One message, raw."""
    await visit.small_body()
    content, facts = await _content(visit)
    headers = {"Content-Length": str(content.size), "X-Axis-Digest": facts["digest"]}
    return StreamingResponse(content.pieces(), media_type="application/octet-stream", headers=headers)


async def _content(visit: Visit) -> tuple[Content, dict[str, str]]:
    """The bytes, the digest of the original, and which view they are."""
    key = _document_key(visit.call.need("docId"))
    item = visit.desk.shelf.find(key)
    if item is None:
        # Ended before, and wanted once more.
        async with visit.desk.station.payload(key, within=visit.limits.answer_seconds) as payload:
            content = await asyncio.to_thread(Content.open, payload.path, body=payload.read)
        return content, {"digest": payload.digest, "view": View.AS_SENT.value}
    document = item.document
    wanted = View.AS_SENT if visit.call.get("view") == View.AS_SENT.value else visit.account.view
    content = await visit.desk.open_content(document, within=visit.limits.answer_seconds)
    item.transport, item.updated_at = Transport.PROCESSING, visit.clock.now()
    if wanted is View.NORMAL and content.size <= MAX_BYTES and not is_served_as_sent(document.tier):
        async with visit.desk.copying:
            copy = await asyncio.to_thread(lambda: normal_copy(content.read()))
        if copy is not None:
            content.close()
            return Content.of(copy), {"digest": document.digest, "view": View.NORMAL.value}
    return content, {"digest": document.digest, "view": View.AS_SENT.value}


def _document_key(text: str) -> DocumentKey:
    if not is_id(text):
        raise Failed(ErrorCode.FILE, f"Khong tim thay van ban {text[:40]}")
    return DocumentKey(text)


# --- how the pick-up went -----------------------------------------------------------------------------------------


async def update_status(visit: Visit) -> Response:
    """`processing` is noted, `done` and `fail` end it."""
    await visit.small_body()
    key = _document_key(visit.call.need("docid"))
    said = visit.call.need("status").lower()
    if said not in {Transport.PROCESSING, Transport.DONE, Transport.FAIL}:
        raise Failed(ErrorCode.REQUEST, "status: processing, done hoac fail")
    wanted = Transport(said)
    item = visit.desk.shelf.find(key)
    if item is None:
        return await _ended_before(visit, key, wanted)
    if wanted is Transport.PROCESSING:
        item.transport, item.updated_at = wanted, visit.clock.now()
        return as_json(succeeded())
    async with visit.in_time():
        if wanted is Transport.DONE:
            await item.document.done()
        else:
            # The axis takes a failure only of what was fetched or handed over: this was.
            await item.document.fail(f"VXP {visit.account.system_id}: fail")
    visit.desk.shelf.remove(key, ended=wanted)
    return as_json(succeeded())


async def _ended_before(visit: Visit, key: DocumentKey, wanted: Transport) -> Response:
    """Repeated, or said of what somebody else ended: noted, and nothing changes."""
    before = visit.desk.shelf.ended(key)
    if before is None:
        # Not found here: is it another's, or was it ended by an earlier process?
        await visit.desk.station.consignment(key, within=visit.limits.answer_seconds)
    if before is not None and before is not wanted:
        return as_json(succeeded(statusDesc=f"Van ban da ket thuc voi trang thai {before.value}"))
    return as_json(succeeded())
