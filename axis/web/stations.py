"""
What stations call: hand in, upload, take, acknowledge, ask. Each endpoint reads its envelope and asks the desk.

A submission that was judged is answered with 202, whatever the judgement: accepted, held, refused and duplicate are
states of a recorded answer. Only what was not recorded at all is an error.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Header, Query, Request
from pydantic import AwareDatetime
from starlette.responses import Response, StreamingResponse

from axis.broker.wire import station_queues
from axis.core.directory import Directory, Station
from axis.core.errors import InvariantBroken, WrongOffset
from axis.core.events import JSON
from axis.core.exchange import (
    Answer,
    Ask,
    BadMessage,
    Duty,
    OwedBy,
    OwedQuestion,
    answer_json,
    consignment_json,
    dump,
    events_json,
    load,
    owed_list_json,
    read_receipt,
    read_station_message,
    submitted_json,
    whereabouts_json,
)
from axis.core.ids import is_id
from axis.core.model import (
    Channel,
    DeliveryId,
    Digest,
    DocumentKey,
    Kind,
    Lane,
    OrganNumber,
    SubmissionId,
)
from axis.core.ports import InboundMessage, SubmissionFilter
from axis.core.reasons import ReasonCode
from axis.web import shapes, wire
from axis.web.bodies import Body, arriving, check_plain, declared_size, read_body, read_small
from axis.web.identity import Caller, services_of
from axis.web.problems import NotServed, about, no, too_large
from axis.web.ranges import OutOfBounds, read_range
from axis.web.services import WebServices
from axis.web.visit import visit_of
from axis.web.wire import HTTPCause, HTTPReason, Piece, Upload

router = APIRouter(prefix=wire.BASE, tags=["station"])

_ORGANS_REASON = f"POST {wire.ORGANS}"
_MOST_DIGEST_BYTES = 1024
"""A body that should only be a digest."""
_MOST_NAME = 512
"""Longest `DocumentId` or message id that is looked for."""
_DEFAULT_PAGE = 50

Limit = Annotated[int, Query(ge=1, le=wire.MAX_PAGE, description="Most entries in the answer.")]
Wait = Annotated[
    int,
    Query(ge=0, le=wire.MAX_WAIT_SECONDS, description="Seconds to wait for something when there is nothing."),
]
_Page = TypeVar("_Page", bound=Sequence[Any])


def _answer(body: dict[str, JSON], *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(content=dump(body), status_code=status, headers=headers, media_type=wire.JSON_TYPE)


# --- handing in ---------------------------------------------------------------------------------------------------


@router.post(
    wire.SUBMISSIONS,
    status_code=202,
    summary="Hand in an edXML message",
    responses=shapes.answers(202, shapes.Answer, "Judged and recorded; `state` says how."),
    openapi_extra=shapes.SUBMISSION_BODY,
)
async def submit(
    request: Request,
    caller: Caller,
    lane: Annotated[
        Lane, Header(alias=wire.LANE, description="Chooses the queue, nothing else.")
    ] = Lane.NORMAL,
) -> Response:
    """
    Hand in a signed edXML message, or the digest of one that was uploaded before.

    The same bytes with the same `Idempotency-Key`, sent again, get the same answer. Refused, held and duplicate
    submissions are answered with 202, too: `state`, `causes` and `headline` say what happened and what to do.
    """
    return await _submit(request, caller, lane)


@router.post(
    wire.STATUSES,
    status_code=202,
    summary="Hand in an edXML status",
    responses=shapes.answers(202, shapes.Answer, "Judged and recorded; `state` says how."),
    openapi_extra=shapes.SUBMISSION_BODY,
)
async def submit_status(request: Request, caller: Caller) -> Response:
    """Hand in an edXML status (01-06, 13, 15, 16) that answers a document. The same as a submission otherwise."""
    return await _submit(request, caller, Lane.NORMAL)


async def _submit(request: Request, caller: Station, lane: Lane) -> Response:
    services, visit = services_of(request), visit_of(request.scope)
    message_id = _message_id(request)
    declared = request.headers.get(wire.DIGEST)
    by_digest = _media_type(request) == wire.BY_DIGEST
    if by_digest:
        content = await read_small(request, most=_MOST_DIGEST_BYTES, limits=services.limits)
        body = Body(content=content, size=len(content))
    else:
        body = await read_body(request, folder=services.folder, name=visit.id, limits=services.limits)
    message = InboundMessage(
        station=caller.id,
        message_id=message_id,
        body=body.content,
        lane=lane,
        # Once it has arrived to its end: nobody hands in by opening a connection before midnight (LR-29).
        received_at=services.clock.now(),
        declared_digest=Digest(declared.strip()[:64]) if declared is not None else None,
        by_digest=by_digest,
    )
    answer = await _admit(message, body, services)
    visit.facts |= {"submission": answer.submission, "state": answer.state.value, "size": body.size}
    if answer.document is not None:
        visit.facts["document"] = answer.document
    if answer.reason is not None:
        visit.facts["reason"] = answer.reason.value
    return _answer(answer_json(answer), status=202)


async def _admit(message: InboundMessage, body: Body, services: WebServices) -> Answer:
    admission = asyncio.ensure_future(services.desk.admit([message]))

    def done(finished: asyncio.Future[Sequence[Answer]]) -> None:
        body.discard()
        if not finished.cancelled():
            finished.exception()

    # The desk admits many at a time and does not stop for one caller that went away: the file stays until it is done.
    admission.add_done_callback(done)
    return (await asyncio.shield(admission))[0]


def _message_id(request: Request) -> str:
    given = request.headers.getlist(wire.IDEMPOTENCY_KEY)
    if len(given) != 1 or wire.MESSAGE_ID.match(given[0]) is None:
        raise no(
            ReasonCode.RECEIVE_NO_MESSAGE_ID,
            about(
                wire.IDEMPOTENCY_KEY,
                vi="cần đúng một trường, 1-255 ký tự ASCII nhìn thấy được",
                en="exactly one header of 1-255 visible ASCII characters expected",
            ),
        )
    return given[0]


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


# --- uploads ------------------------------------------------------------------------------------------------------


@router.put(
    wire.UPLOADS,
    status_code=201,
    summary="Upload a payload, whole or in pieces",
    responses={
        **shapes.answers(201, shapes.Upload, "Complete and verified; it may be submitted for 24 hours."),
        202: {"model": shapes.Upload, "description": "More is to come, from `offset` on."},
        200: {"model": shapes.Upload, "description": "The piece came before, and the upload is complete."},
    },
    openapi_extra=shapes.UPLOAD_BODY,
)
async def upload(request: Request, caller: Caller, digest: str) -> Response:
    """
    Upload a payload under its SHA-256.

    Without `Content-Range` the body is the whole payload. With it the body is one piece, which must begin where the
    last one ended; what arrived before a connection broke counts, and 409 tells the `Upload-Offset` to go on from.
    """
    services, visit = services_of(request), visit_of(request.scope)
    name = _digest(digest)
    visit.facts["digest"] = name
    piece = _piece(request, services)
    check_plain(request)
    if piece is None:
        await services.spool.discard(caller.id, name)
    try:
        offset = await services.spool.append(
            caller.id,
            name,
            offset=piece.start if piece is not None else 0,
            pieces=arriving(
                request,
                most=piece.size if piece is not None else services.limits.body_bytes,
                limits=services.limits,
            ),
        )
    except WrongOffset as wrong:
        # Perhaps the answer to its last piece was lost on the way, and it sends that piece again.
        is_last = piece is not None and piece.end + 1 == piece.total
        if is_last and (stands := await _complete_upload(caller, name, services)) is not None:
            return _upload(stands, status=200)
        if piece is None or piece.start == wrong.offset:
            # The right piece, while another request still has the upload: a connection that died is not known to yet.
            raise no(HTTPReason.TOO_MANY) from wrong
        raise
    visit.facts["size"] = offset
    if piece is not None and offset < piece.total:
        return _upload(Upload(digest=name, offset=offset, complete=False), status=202)
    if not offset:
        raise no(ReasonCode.RECEIVE_EMPTY)
    await services.payloads.put([await services.spool.finish(caller.id, name)])
    await services.uploads.record(caller.id, name, size=offset, at=services.clock.now())
    return _upload(Upload(digest=name, offset=offset, complete=True), status=201)


@router.get(
    wire.UPLOADS,
    summary="How far an upload has come",
    responses=shapes.answers(200, shapes.Upload, "`offset` bytes have arrived; go on from there."),
)
async def upload_offset(request: Request, caller: Caller, digest: str) -> Response:
    """How much of an upload has arrived. One that was never begun stands at 0."""
    services = services_of(request)
    name = _digest(digest)
    offset = await services.spool.offset(caller.id, name)
    if not offset and (stands := await _complete_upload(caller, name, services)) is not None:
        return _upload(stands, status=200)
    return _upload(Upload(digest=name, offset=offset, complete=False), status=200)


async def _complete_upload(caller: Station, digest: Digest, services: WebServices) -> Upload | None:
    if not await services.uploads.uploaded(caller.id, digest):
        return None
    size = await services.payloads.size(digest)
    return Upload(digest=digest, offset=size, complete=True) if size is not None else None


def _upload(upload: Upload, *, status: int) -> Response:
    return _answer(wire.upload_json(upload), status=status, headers={wire.UPLOAD_OFFSET: str(upload.offset)})


def _digest(text: str) -> Digest:
    if wire.DIGEST_SHAPE.match(text) is None:
        raise no(HTTPReason.NOT_FOUND, about("digest", vi="cần 64 chữ số hex", en="64 hex digits expected"))
    return Digest(text)


def _piece(request: Request, services: WebServices) -> Piece | None:
    header = request.headers.get("content-range")
    if header is None:
        return None
    try:
        piece = wire.read_piece(header)
    except BadMessage as bad:
        raise no(HTTPReason.HEADER, about(bad.path, vi="không đúng cấu trúc", en=bad.problem)) from bad
    if declared_size(request) not in {None, piece.size}:
        raise no(
            HTTPReason.HEADER,
            about("Content-Range", vi="khác Content-Length", en="does not agree with Content-Length"),
        )
    if piece.total > services.limits.body_bytes:
        raise too_large(services.limits.body_bytes)
    return piece


# --- taking -------------------------------------------------------------------------------------------------------


@router.get(
    wire.INBOX,
    summary="What waits for the station",
    responses=shapes.answers(200, shapes.Inbox, "Leased to the caller; empty when nothing came in time."),
)
async def inbox(request: Request, caller: Caller, limit: Limit = _DEFAULT_PAGE, wait: Wait = 0) -> Response:
    """
    Consignments that wait for the station, urgent first. Listing hands them over; what is not acknowledged comes again.

    With `wait` the answer comes when there is something, or empty after that many seconds.
    """
    services = services_of(request)

    async def look() -> Sequence[Any]:
        return await services.desk.inbox(caller, limit=limit, at=services.clock.now())

    async def wake(seconds: float) -> None:
        await services.desk.wait_inbox(caller.id, seconds=seconds)

    found = await _poll(request, look, wake, seconds=wait)
    visit_of(request.scope).facts["entries"] = len(found)
    return _answer(wire.inbox_json(found))


@router.get(
    wire.CONSIGNMENT,
    summary="One consignment with all its deliveries",
    responses=shapes.answers(200, shapes.Consignment, "The newest consignment of the document."),
)
async def consignment(request: Request, caller: Caller, document: str) -> Response:
    """The station's consignment of a document, with every pending delivery in it."""
    found = await services_of(request).desk.consignment(caller, _document(request, document))
    return _answer(consignment_json(found))


@router.get(
    wire.PAYLOAD,
    summary="The bytes of a document",
    responses={
        **shapes.bytes_of(200, wire.EDXML, "The whole message, byte for byte as its sender sent it."),
        206: {"description": "The part `Range` asks for."},
    },
)
async def payload(request: Request, caller: Caller, document: str) -> Response:
    """
    The edXML message of a document the station receives or sent, byte for byte. One `Range` is served.

    410 `deliver.recalled`: it was recalled before the station took it, and is not given out any more.
    410 `http.purged`: the axis keeps it no longer; the detail `issuer` says who has the original.
    """
    services = services_of(request)
    digest, size = await services.desk.payload(caller, _document(request, document))
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": f'"{digest}"',
        "Content-Disposition": "attachment",
        wire.DIGEST: digest,
    }
    start, end, status = 0, size, 200
    unchanged = request.headers.get("if-range", headers["ETag"]) == headers["ETag"]
    try:
        asked = read_range(request.headers.get("range"), size=size) if unchanged else None
    except OutOfBounds as beyond:
        raise NotServed(
            HTTPCause(code=HTTPReason.RANGE), headers={"Content-Range": f"bytes */{size}"}
        ) from beyond
    if asked is not None:
        start, end = asked
        status = 206
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - start)
    pieces = services.payloads.stream(digest, start=start, end=end)
    # The first piece is read before the answer begins, so that a payload that cannot be read is a proper "no".
    first = await anext(pieces, b"")
    return StreamingResponse(
        _rest(first, pieces, expected=end - start), status_code=status, headers=headers, media_type=wire.EDXML
    )


async def _rest(first: bytes, pieces: AsyncIterator[bytes], *, expected: int) -> AsyncIterator[bytes]:
    sent = len(first)
    yield first
    async for piece in pieces:
        sent += len(piece)
        yield piece
    if sent != expected:
        raise InvariantBroken(f"a payload of {expected} bytes had {sent}")


@router.get(
    wire.REPORT,
    summary="The signed verification report of a document",
    responses=shapes.answers(200, shapes.Report, "Report and receipt, as they were signed."),
)
async def report(request: Request, caller: Caller, document: str) -> Response:
    """
    What the axis checked before it let the document travel, signed like a receipt; and, once they have been judged,
    what the signatures inside its files are worth.
    """
    key = _document(request, document)
    body, receipt = await services_of(request).desk.report(caller, key)
    valued = await services_of(request).desk.valued(caller, key)
    found = wire.SignedReport(
        document=key, report=body, receipt=read_receipt(load(receipt.encode())), valued=valued
    )
    return _answer(wire.report_json(found))


@router.post(
    wire.ACKS,
    status_code=204,
    summary="Acknowledge deliveries",
    responses=shapes.nothing(204, "Recorded."),
    openapi_extra=shapes.ACKS_BODY,
)
async def acks(request: Request, caller: Caller) -> Response:
    """
    Say per delivery: `fetched`, `done`, `fail` with a reason, or `withdrawn`; or ask to be offered everything again
    (`resync`). Said twice, it counts once.
    """
    services, visit = services_of(request), visit_of(request.scope)
    # A form or plain text may come from any web page a browser shows; JSON may not without asking first.
    if _media_type(request) not in {"", wire.JSON_TYPE}:
        raise no(HTTPReason.CONTENT_TYPE, about("Content-Type", vi=wire.JSON_TYPE, en=wire.JSON_TYPE))
    message_id = _message_id(request) if wire.IDEMPOTENCY_KEY in request.headers else visit.id
    message = read_station_message(
        await read_small(request, most=wire.MAX_ACKS_BYTES, limits=services.limits)
    )
    if message.ask not in {None, Ask.RESYNC}:
        raise BadMessage("ask", "only resync is asked here; everything else has an address of its own")
    await services.desk.say(caller, message, message_id=message_id, at=services.clock.now())
    visit.facts["acks"] = len(message.acks)
    return Response(status_code=204)


# --- asking -------------------------------------------------------------------------------------------------------


@router.get(
    wire.RECEIPTS,
    summary="The answer to an earlier submission",
    responses=shapes.answers(200, shapes.Answer, "With the log's proof in the receipt once there is one."),
)
async def receipts(
    request: Request,
    caller: Caller,
    submission: Annotated[str | None, Query(description="The axis's id of the submission.")] = None,
    message_id: Annotated[str | None, Query(description="Or the message id it was handed in with.")] = None,
) -> Response:
    """The answer a submission was given, or stands at by now, with its receipt. Exactly one of the two names it."""
    if (submission is None) == (message_id is None):
        raise no(
            HTTPReason.QUERY,
            about(
                "submission",
                vi="cần submission hoặc message_id",
                en="either submission or message_id expected",
            ),
        )
    if submission is not None and not is_id(submission):
        raise no(HTTPReason.NOT_FOUND)
    if message_id is not None and not _is_name(message_id):
        raise no(HTTPReason.NOT_FOUND)
    answer = await services_of(request).desk.answer(
        caller,
        submission=SubmissionId(submission) if submission is not None else None,
        message_id=message_id,
    )
    visit_of(request.scope).facts["submission"] = answer.submission
    return _answer(answer_json(answer))


@router.get(
    wire.SUBMISSIONS,
    summary="What the station handed in",
    responses=shapes.answers(200, shapes.Submissions, "Newest first; empty behind the last."),
)
async def submissions(
    request: Request,
    caller: Caller,
    kind: Annotated[Kind | None, Query(description="Documents or statuses only.")] = None,
    since: Annotated[AwareDatetime | None, Query(description="Received then or later.")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Received then or earlier.")] = None,
    named: Annotated[
        str | None, Query(max_length=64, description="Id of one submission, or of its document.")
    ] = None,
    offset: Annotated[int, Query(ge=0, le=10_000_000, description="So many newer ones are left out.")] = 0,
    limit: Limit = _DEFAULT_PAGE,
) -> Response:
    """What the station handed in: accepted, held and refused; what was there already stands in the list once."""
    wanted = SubmissionFilter(kind=kind, since=since, until=until, named=named)
    found = await services_of(request).desk.submissions(caller, wanted, offset=offset, limit=limit)
    visit_of(request.scope).facts["entries"] = len(found)
    return _answer({"type": "submissions", "submissions": [submitted_json(one) for one in found]})


@router.get(
    wire.EVENTS,
    summary="Later events of the station's documents",
    responses=shapes.answers(200, shapes.Events, "In the order of the log; empty when none came in time."),
)
async def events(
    request: Request,
    caller: Caller,
    after: Annotated[
        int, Query(ge=-1, le=2**53, description="Leaf index of the last event seen; -1 from the beginning.")
    ] = -1,
    limit: Limit = _DEFAULT_PAGE,
    wait: Wait = 0,
) -> Response:
    """What happened to the station's documents since leaf `after`: taken, failed, withdrawn, answered, judged …"""
    services = services_of(request)

    async def look() -> Sequence[Any]:
        return await services.desk.events(caller, after=after, limit=limit)

    async def wake(seconds: float) -> None:
        await services.desk.wait_events(caller.id, seconds=seconds)

    found = await _poll(request, look, wake, seconds=wait)
    visit_of(request.scope).facts["entries"] = len(found)
    return _answer(events_json(found))


@router.get(
    # A DocumentId is free text and may hold a slash, which arrives here decoded.
    wire.WHERE_IS.replace("{document}", "{document:path}"),
    summary="Where a document stands",
    responses=shapes.answers(200, shapes.Whereabouts, "Per receiver."),
)
async def where_is(request: Request, caller: Caller, document: str) -> Response:
    """
    Where a document of the station stands, per receiver; named by the axis's id, or by its `DocumentId`
    (percent-encoded: it may hold anything). 409 lists the ids when a `DocumentId` fits several.
    """
    if not _is_name(document):
        raise no(HTTPReason.NOT_FOUND)
    found = await services_of(request).desk.where_is(caller, document)
    visit_of(request.scope).facts["document"] = found.document
    return _answer(whereabouts_json(found))


@router.get(
    wire.OWED,
    summary="The answers the station owes, or is owed",
    responses=shapes.answers(200, shapes.Owed, "Oldest first; `next` leads to the next page."),
)
async def owed(
    request: Request,
    caller: Caller,
    duty: Annotated[
        Duty,
        Query(
            description="`receipt`: no 01 to 06 by its deadline; `reply`: `DueDate` has passed without 06 or 02;"
            " `request`: a recall, take-back or update without 15."
        ),
    ],
    by: Annotated[
        OwedBy, Query(description="`me`: for what I received; `others`: for what I sent.")
    ] = OwedBy.ME,
    after: Annotated[
        str | None, Query(description="`next` of the page before; none: the first page.")
    ] = None,
    limit: Limit = _DEFAULT_PAGE,
) -> Response:
    """
    What waits for an answer. Requests are listed from the day they are made, `late` once the next working day is over;
    receipts and replies once their deadline has passed, for 366 days.
    """
    if after is not None and not is_id(after):
        raise no(
            HTTPReason.QUERY, about("after", vi="cần mã lượt chuyển", en="the id of a delivery expected")
        )
    asked = OwedQuestion(duty=duty, by=by, after=DeliveryId(after) if after is not None else None)
    found = await services_of(request).desk.owed(caller, asked, limit=limit)
    visit_of(request.scope).facts |= {"entries": len(found.owed), "duty": duty.value, "by": by.value}
    return _answer(owed_list_json(found))


@router.get(
    wire.WHOAMI,
    summary="Who the caller is",
    responses=shapes.answers(200, shapes.Whoami, "The station, its organs and queues, the log to pin."),
)
async def whoami(request: Request, caller: Caller) -> Response:
    """Station, organs it speaks for, queue names, and name and keys of the log, to be pinned."""
    services = services_of(request)
    directory = await services.directories.current()
    queues = None
    if services.has_broker and caller.channel is Channel.AMQP:
        names = station_queues(station=caller.id, secret=caller.secret)
        queues = wire.Queues(urgent=names.urgent, inbox=names.inbox, receipts=names.receipts)
    who = wire.Whoami(
        station=caller.id,
        name=caller.name,
        state=caller.state.value,
        channel=caller.channel.value,
        policy=caller.policy.value,
        organs=_organs(directory, caller, services),
        queues=queues,
        log_origin=services.log_origin,
        log_keys=services.log_keys,
        max_body_bytes=services.limits.body_bytes,
    )
    return _answer(wire.whoami_json(who))


@router.get(
    wire.ORGANS,
    summary="The directory of organs, by what changed",
    responses=shapes.answers(
        200, shapes.Organs, "In the order of their numbers; `next` leads to the next page."
    ),
)
async def organs(
    request: Request,
    caller: Caller,  # noqa: ARG001 - to be a station is all it takes
    since: Annotated[int, Query(ge=0, le=2**53, description="Version one has; 0: all organs.")] = 0,
    after: Annotated[
        int,
        Query(ge=0, le=wire.MAX_ORGAN_NUMBER, description="`next` of the page before; 0: the first page."),
    ] = 0,
    limit: Annotated[
        int, Query(ge=1, le=wire.MAX_ORGANS, description="Most organs in the answer.")
    ] = wire.MAX_PAGE,
) -> Response:
    """
    Organs that changed after version `since`, closed ones included. A copy of version n and everything that changed
    since n make a copy of the version the first page names. A version below one's own: the axis goes on from an older
    copy of its ledger, and the whole list is to be read again.
    """
    services = services_of(request)
    if services.organs is None:
        raise no(HTTPReason.UNAVAILABLE)
    page = await services.organs.page(since=since, after=after, limit=limit)
    directory = await services.directories.current()
    at = services.clock.now()
    rows: list[dict[str, JSON]] = []
    for row in page.rows:
        assert isinstance(row["number"], int), "an organ has a number"
        number = OrganNumber(row["number"])
        # The snapshot may be a moment older than the page: an organ it does not know has no station in it.
        known = number in directory.organs
        rows.append({**row, "connected": known and directory.station_of(number, at=at) is not None})
    visit_of(request.scope).facts |= {"entries": len(rows), "since": since}
    body = wire.organs_json(rows, version=page.version, following=page.next)
    return Response(content=await asyncio.to_thread(dump, body), media_type=wire.JSON_TYPE)


@router.post(
    wire.ORGANS,
    status_code=204,
    summary="Register or close an organ below one's own",
    responses=shapes.nothing(204, "Recorded, as an act of the station; or it was so already."),
    openapi_extra=shapes.ORGAN_BODY,
)
async def change_organ(request: Request, caller: Caller) -> Response:
    """
    Register an organ below one the station speaks for with everything under it, give one that stands there another name,
    or close it. Nothing else of the directory is a station's to change, and no organ gets another station by it.
    """
    services = services_of(request)
    if services.organ_acts is None:
        raise no(HTTPReason.UNAVAILABLE)
    if _media_type(request) != wire.JSON_TYPE:
        raise no(HTTPReason.CONTENT_TYPE, about("Content-Type", vi=wire.JSON_TYPE, en=wire.JSON_TYPE))
    body = await read_small(request, most=wire.MAX_ORGAN_REQUEST_BYTES, limits=services.limits)
    asked = wire.read_organ_request(load(body))
    match asked.act:
        case wire.OrganAct.REGISTER:
            await services.organ_acts.register(
                caller.id, code=asked.code, name=asked.name, parent=asked.parent, reason=_ORGANS_REASON
            )
        case wire.OrganAct.CLOSE:
            await services.organ_acts.close(caller.id, code=asked.code, reason=_ORGANS_REASON)
    visit_of(request.scope).facts |= {"act": asked.act.value, "organ": asked.code[:64]}
    return Response(status_code=204)


def _organs(directory: Directory, caller: Station, services: WebServices) -> tuple[wire.Speaks, ...]:
    at = services.clock.now()
    return tuple(
        wire.Speaks(
            code=directory.organs[one.organ].code, name=directory.organs[one.organ].name, subtree=one.subtree
        )
        for delegations in directory.delegations.values()
        for one in delegations
        if one.station == caller.id and one.valid_from <= at and (one.valid_to is None or at < one.valid_to)
    )


# --- what several endpoints do ------------------------------------------------------------------------------------


def _document(request: Request, text: str) -> DocumentKey:
    if not is_id(text):
        raise no(HTTPReason.NOT_FOUND)
    visit_of(request.scope).facts["document"] = text
    return DocumentKey(text)


def _is_name(text: str) -> bool:
    """Whether a thing of this name could exist at all; databases choke on what could not."""
    return 0 < len(text) <= _MOST_NAME and not any(unicodedata.category(one) in {"Cc", "Cs"} for one in text)


async def _poll(
    request: Request,
    look: Callable[[], Awaitable[_Page]],
    wake: Callable[[float], Awaitable[None]],
    *,
    seconds: int,
) -> _Page:
    """
    What `look` finds, at once or within `seconds`; whatever it found last when the process is about to end.

    Raises:
        NotServed: the caller went away. Nothing is looked up, and so handed over, for somebody who is gone.
    """
    found = await look()
    if found or not seconds:
        return found
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    stopping: asyncio.Event = request.app.state.stopping
    gone, ends = asyncio.ensure_future(_gone(request)), asyncio.ensure_future(stopping.wait())
    try:
        while not found and not ends.done() and (left := deadline - loop.time()) > 0:
            woken = asyncio.ensure_future(wake(left))
            try:
                await asyncio.wait({woken, gone, ends}, return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    raise no(HTTPReason.CUT_OFF)
                if woken.done():
                    await woken
                    found = await look()
            finally:
                await _put_down(woken)
    finally:
        await _put_down(gone)
        await _put_down(ends)
    return found


async def _put_down(task: asyncio.Future[Any]) -> None:
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
