"""
`sendEdoc` and `getSentEdocList` of the VXP gateway: a message is handed in, and its sender finds it again.

Nothing is kept here: what was sent, under which id and where it is, the axis tells.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from starlette.responses import Response

from adapters.errors import NotFound
from adapters.vxp_bodies import arriving
from adapters.vxp_desk import Visit, as_json
from adapters.vxp_rows import sent_rows
from adapters.vxp_words import ErrorCode, Failed, read_time, refusal, send_desc, succeeded
from axis.core.exchange import Answer, Submitted, Whereabouts
from axis.core.ids import is_id
from axis.core.model import Kind, SubmissionState
from axis.edxml.message import Message
from axis.edxml.reader import Unreadable, read_package

CLOCKS_APART: Final = timedelta(seconds=30)
"""A refusal older than this is an earlier one, whatever the clocks of gateway and axis say."""
_ASKED_AT_ONCE: Final = 8
_LISTED_AT_ONCE: Final = 500
_WHOLE_SECOND: Final = timedelta(microseconds=999_999)
"""`toDate` is said in seconds, and its own second belongs to the window."""


async def send_edoc(visit: Visit) -> Response:
    """Hand in a document or a status; answered when it is judged and recorded."""
    clock = asyncio.get_running_loop().time
    begun = clock()
    wanted = visit.call.need("hash-file").lower()
    kind = visit.kind()
    async with arriving(visit.request, limits=visit.limits.body, spool=visit.spool) as body:
        source = body.matching(wanted)
        message = await asyncio.to_thread(_look, source)
        if message is not None and message.kind is not kind:
            said = (kind or Kind.EDOC).value
            raise Failed(ErrorCode.REQUEST, f"messagetype la {said}, noi dung la {message.kind.value}")
        # The time the body took to come is the client's, not ours.
        deadline = begun + body.seconds + visit.limits.answer_seconds
        answer = await _submit(visit, source, digest=body.digest, deadline=deadline)
        if answer.state is SubmissionState.REFUSED:
            raise refusal(answer, system_id=visit.account.system_id)
        doc_id = await _doc_id(visit, answer, within=max(deadline - clock(), 1.0))
    return as_json(succeeded(DocId=doc_id, sendStatusDesc=send_desc(answer)))


async def _submit(visit: Visit, source: bytes | Path, *, digest: str, deadline: float) -> Answer:
    """
    Under a message id made of the bytes, so that the same bytes are the same submission, however often they come.

    What was refused then may be right by now (a receiver was connected, a certificate bound): after an earlier refusal
    the bytes are judged anew, under a fresh id.
    """
    clock = asyncio.get_running_loop().time
    asked_at = visit.clock.now()
    station = visit.desk.station
    # One call at a time for the same bytes: the second finds the answer of the first.
    async with visit.desk.sending(digest):
        answer = await station.submit(source, message_id=f"vxp-{digest}", within=max(deadline - clock(), 0.1))
        if answer.state is SubmissionState.REFUSED and answer.at < asked_at - CLOCKS_APART:
            fresh = f"vxp-{digest[:32]}-{visit.ids.new(asked_at)}"
            answer = await station.submit(source, message_id=fresh, within=max(deadline - clock(), 0.1))
    return answer


async def _doc_id(visit: Visit, answer: Answer, *, within: float) -> str:
    """The id of the first submission of this document: what every repetition is told."""
    if answer.state is SubmissionState.DUPLICATE and answer.document is not None:
        for first in await visit.desk.station.submissions(named=answer.document, limit=1, within=within):
            return first.submission
    return answer.submission


def _look(source: bytes | Path) -> Message | None:
    """What the message says it is; None when nobody can read it: the axis says why."""
    try:
        if isinstance(source, bytes):
            return read_package(source).message
        with source.open("rb") as stream:
            return read_package(stream).message
    except Unreadable:
        return None


# --- what was sent ------------------------------------------------------------------------------------------------


async def sent_list(visit: Visit) -> Response:
    """One row for each document and receiver, newest document first."""
    await visit.small_body()
    since = read_time(visit.call.get("fromDate"), name="fromDate")
    until = read_time(visit.call.get("toDate"), name="toDate")
    offset, limit = visit.page(default=100)
    room = asyncio.Semaphore(_ASKED_AT_ONCE)

    async def rows(one: Submitted) -> list[dict[str, Any]]:
        async with room:
            return await _rows(visit, one)

    async with visit.in_time():
        listed: Sequence[Submitted] = ()
        # A docId may be left over from an earlier call of another operation: it counts when it is one of ours, and
        # nothing else says which part of the list is wanted.
        name = visit.call.get("docId").strip()
        if is_id(name) and since is None and until is None and not visit.call.get("pageSize"):
            listed = await visit.desk.station.submissions(named=name, limit=1)
        if not listed:
            listed = await _listed(visit, since=since, until=until, offset=offset, limit=limit)
        found = await asyncio.gather(*(rows(one) for one in listed))
    return as_json(succeeded(data=[row for some in found for row in some]))


async def _listed(
    visit: Visit, *, since: datetime | None, until: datetime | None, offset: int, limit: int
) -> Sequence[Submitted]:
    found: list[Submitted] = []
    while len(found) < limit:
        wanted = min(limit - len(found), _LISTED_AT_ONCE)
        part = await visit.desk.station.submissions(
            kind=visit.kind(default=None),
            since=since,
            until=until + _WHOLE_SECOND if until is not None else None,
            offset=offset + len(found),
            limit=wanted,
        )
        found += part
        if len(part) < wanted:
            break
    return found


async def _rows(visit: Visit, one: Submitted) -> list[dict[str, Any]]:
    desc = ""
    where: Whereabouts | None = None
    if one.document is None:
        desc = send_desc(await visit.desk.station.answer_to(submission=one.submission))
    else:
        with contextlib.suppress(NotFound):
            where = await visit.desk.station.where_is(one.document)
    return sent_rows(one, where, desc=desc)
