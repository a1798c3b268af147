"""
The HTTP contract: paths, headers, bodies and errors. docs/connect.md describes it for programmers of other languages.

Imports only `axis.core`, so that the agency's side can use it without the hub. Readers here take hostile input, like
those of `axis.core.exchange`: anything unexpected is a `BadMessage` that names the member.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

from axis.core.credentials import STATION_ID
from axis.core.events import JSON
from axis.core.exchange import (
    BadMessage,
    Consignment,
    FeedEntry,
    Receipt,
    consignment_json,
    load,
    read_consignment,
    read_receipt,
    receipt_json,
)
from axis.core.model import Digest, DocumentKey, Owner, StationId
from axis.core.reasons import REASONS, Cause, Detail

# --- paths, below BASE unless they say otherwise ------------------------------------------------------------------

BASE: Final = "/api/v1"
SUBMISSIONS: Final = "/submissions"
"""
POST the edXML bytes (or a digest, `BY_DIGEST`); `Idempotency-Key` is the message id; 202 with the answer.
GET `kind`, `since`, `until`, `named`, `offset`, `limit`: what the caller handed in, newest first.
"""
UPLOADS: Final = "/uploads/{digest}"
"""PUT, whole or in pieces (`Piece`); GET says how much has arrived. Both answer with an `Upload`."""
INBOX: Final = "/inbox"
"""GET `limit`, `wait` (seconds): consignments, urgent first, leased to the caller."""
CONSIGNMENT: Final = "/consignments/{document}"
PAYLOAD: Final = "/payloads/{document}"
"""GET, with `Range` for a part; 410 after a recall. `X-Axis-Digest` is the SHA-256 of the whole."""
REPORT: Final = "/reports/{document}"
ACKS: Final = "/acks"
"""POST a station message: acknowledgements, or the ask `resync`; 204. An `Idempotency-Key` is welcome, not needed."""
STATUSES: Final = "/statuses"
"""POST an edXML status; the same as `SUBMISSIONS` in everything else."""
RECEIPTS: Final = "/receipts"
"""GET `submission` or `message_id`: the answer again, its receipt with the log's proof as soon as there is one."""
EVENTS: Final = "/events"
"""GET `after` (leaf index), `limit`, `wait`."""
WHERE_IS: Final = "/documents/{document}"
"""GET: where a document of the caller stands, per receiver; its key, or its `DocumentId` percent-encoded."""
OWED: Final = "/owed"
"""GET `duty`, `by`, `after` (delivery), `limit`: the answers the caller owes, or is owed."""
WHOAMI: Final = "/whoami"
ORGANS: Final = "/organs"
"""
GET `since` (version), `after` (number), `limit`: organs that changed after that version of the directory. POST an
`OrganRequest`: a change below what the station speaks for.
"""
CHECKPOINT: Final = "/checkpoint"
"""GET, open to everybody: the newest signed note (C2SP tlog-checkpoint), 404 before the first."""
CONSISTENCY: Final = "/consistency"
"""GET `old`, `new`, open to everybody."""
PROOF: Final = "/proof/{leaf}"
"""GET, open to everybody: C2SP tlog-proof of a leaf."""
EPOCHS: Final = "/epochs"
"""GET, open to everybody: every time the log went on from an older copy, said in its own records."""
OPENAPI: Final = "/openapi.json"

HEALTHZ: Final = "/healthz"
"""Not below BASE. 200 as long as the process serves at all."""
READYZ: Final = "/readyz"
"""Not below BASE. 200 when the ledger answers, 503 when not, or when the process is about to end."""
METRICS: Final = "/metrics"
"""Not below BASE. Prometheus text, for this machine or with the metrics token."""


def path(template: str, value: str | int) -> str:
    """The path of one thing: `path(PAYLOAD, document)`. Whatever `value` holds, it stays one segment."""
    prefix, _, _ = template.partition("{")
    # A segment of dots alone would be taken for a place in the tree by clients and proxies.
    segment = quote(str(value), safe="")
    return BASE + prefix + (segment.replace(".", "%2E") if not segment.strip(".") else segment)


# --- headers ------------------------------------------------------------------------------------------------------

IDEMPOTENCY_KEY: Final = "Idempotency-Key"
LANE: Final = "X-Axis-Lane"
"""`urgent` or `normal`; only chooses the queue, the document's own priority decides."""
DIGEST: Final = "X-Axis-Digest"
ACTS_FOR: Final = "X-Axis-Acts-For"
"""The station a central gateway acts as, beside its own credential; it must stand in the gateway's recorded list."""
REQUEST: Final = "X-Axis-Request"
"""In every answer: the id of the request in the axis's logs."""
UPLOAD_OFFSET: Final = "Upload-Offset"
"""How many bytes of an upload have arrived; in every answer about an upload."""

EDXML: Final = "application/edxml+xml"
BY_DIGEST: Final = "application/vnd.axis.digest"
PROBLEM: Final = "application/problem+json"
JSON_TYPE: Final = "application/json"

MESSAGE_ID: Final = re.compile(r"[\x21-\x7e]{1,255}\Z")
"""What may stand in `Idempotency-Key`: 1 to 255 visible ASCII characters."""
DIGEST_SHAPE: Final = re.compile(r"[0-9a-f]{64}\Z")

MAX_WAIT_SECONDS: Final = 60
MAX_PAGE: Final = 500
MAX_ORGAN_REQUEST_BYTES: Final = 16 * 1024
MAX_ORGANS: Final = 5_000
"""Most organs in one answer: 120,000 take 24 of them, and one is about 2 MB."""
MAX_ORGAN_NUMBER: Final = 2**31 - 1
MAX_ACKS_BYTES: Final = 1024 * 1024
MAX_HEADER_BYTES: Final = 16 * 1024
MAX_HEADERS: Final = 100
MAX_TARGET_BYTES: Final = 8 * 1024
"""Longest path and query together."""


# --- keys ---------------------------------------------------------------------------------------------------------

_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{20,128}\Z")


def bearer(key: str) -> str:
    """The `Authorization` header for an API key `<station>.<secret>`."""
    return f"Bearer {key}"


def station_of_key(key: str) -> StationId | None:
    """The station an API key says it belongs to; None when the text is no API key. Proves nothing."""
    station, _, secret = key.partition(".")
    return StationId(station) if STATION_ID.match(station) and _SECRET.match(secret) else None


# --- uploads ------------------------------------------------------------------------------------------------------

_PIECE: Final = re.compile(r"bytes (?:([0-9]{1,15})-([0-9]{1,15})|\*)/([0-9]{1,15})\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """
    The part of a payload one PUT carries, as `Content-Range` says it. Without that header a PUT carries the whole.

    A piece begins where the last one ended: at `Upload.offset`. Anything else is answered with 409 and the offset.
    What had arrived of a piece that was cut off counts. An empty piece at the end (`start == total`, written
    `bytes */<total>`) finishes an upload whose bytes are all there and whose last answer was lost.
    """

    start: int
    total: int
    end: int
    """Last byte of the piece, inclusive, as in the header; `start - 1` when it is empty."""

    @property
    def header(self) -> str:
        """The value of `Content-Range`."""
        return f"bytes {self.start}-{self.end}/{self.total}" if self.size else f"bytes */{self.total}"

    @property
    def size(self) -> int:
        """Bytes in the body of the request."""
        return self.end - self.start + 1


def read_piece(header: str) -> Piece:
    """
    The piece a `Content-Range` says.

    Raises:
        BadMessage: it has another form, or ends before it begins or behind the whole.
    """
    found = _PIECE.match(header)
    if found is None:
        raise BadMessage("Content-Range", "bytes <first>-<last>/<total> expected")
    first, last, whole = found.groups()
    total = int(whole)
    if first is None:
        return Piece(start=total, end=total - 1, total=total)
    start, end = int(first), int(last)
    if not start <= end < total:
        raise BadMessage("Content-Range", "first <= last < total expected")
    return Piece(start=start, end=end, total=total)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """How far an upload has come. 201: complete and verified; 202: more is to come; 200: only asked."""

    digest: Digest
    offset: int
    """Bytes that have arrived and count."""
    complete: bool
    """The whole payload has arrived and has this digest; it may be submitted for 24 hours."""


def upload_json(upload: Upload) -> dict[str, JSON]:
    """Answer to PUT and GET of an upload."""
    return {
        "type": "upload",
        "digest": upload.digest,
        "offset": upload.offset,
        "complete": upload.complete,
    }


def read_upload(value: Mapping[str, Any]) -> Upload:
    """
    The station's reading of it.

    Raises:
        BadMessage: naming the member that is wrong.
    """
    return Upload(
        digest=Digest(_text(value, "digest")),
        offset=_number(value, "offset"),
        complete=_switch(value, "complete"),
    )


# --- pages --------------------------------------------------------------------------------------------------------


def inbox_json(consignments: Sequence[Consignment]) -> dict[str, JSON]:
    """Answer to GET of the inbox."""
    return {"type": "inbox", "consignments": [consignment_json(one) for one in consignments]}


def read_inbox(value: Mapping[str, Any]) -> tuple[Consignment, ...]:
    """
    The station's reading of it.

    Raises:
        BadMessage: naming the member that is wrong.
    """
    return tuple(read_consignment(one) for one in _objects(value, "consignments"))


# --- verification reports -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedReport:
    """A verification report with the signature over it; the signature is judged by `signing.receipts`."""

    document: DocumentKey
    report: bytes
    """Canonical JSON; its SHA-256 is `Consignment.report`."""
    receipt: Receipt
    valued: Receipt | None = None
    """What was found in the files after it travelled: the signed record `document.valued`; None until then."""


def report_json(one: SignedReport) -> dict[str, JSON]:
    """Answer to GET of a report. The report is a text inside, so that its bytes stay as they were signed."""
    return {
        "type": "report",
        "document": one.document,
        "report": one.report.decode(),
        "receipt": receipt_json(one.receipt),
        "valued": receipt_json(one.valued) if one.valued else None,
    }


def read_report(value: Mapping[str, Any]) -> SignedReport:
    """
    The station's reading of it; nothing is verified.

    Raises:
        BadMessage: naming the member that is wrong.
    """
    receipt, valued = value.get("receipt"), value.get("valued")
    if not isinstance(receipt, dict):
        raise BadMessage("receipt", "an object expected")
    if valued is not None and not isinstance(valued, dict):
        raise BadMessage("valued", "an object expected")
    return SignedReport(
        document=DocumentKey(_text(value, "document")),
        report=_text(value, "report").encode(errors="replace"),
        receipt=read_receipt(receipt),
        valued=read_receipt(valued) if valued is not None else None,
    )


# --- the directory of organs --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedOrgan:
    """An organ as the directory tells it to connected systems."""

    number: int
    """The axis's own number of it; never given to another."""
    code: str
    codes: tuple[str, ...]
    """Every code it has or had."""
    name: str
    kind: str
    parent: int | None
    """Number of the organ above."""
    valid_from: datetime | None
    valid_to: datetime | None
    """From then on it is closed; organs are never removed."""
    successor: int | None
    confidence: str
    version: int
    """Of the directory, when it last changed."""
    connected: bool
    """Whether some station receives for it, as of this answer: a change of that alone is no change of the organ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganList:
    """A page of what changed in the directory."""

    version: int
    """Of the directory when the page was read; what to ask `since` next time is that of the first page."""
    organs: tuple[ListedOrgan, ...]
    next: int | None
    """What to ask `after` for the next page; None: this is the last."""


def organs_json(
    rows: Sequence[Mapping[str, JSON]], *, version: int, following: int | None
) -> dict[str, JSON]:
    """Answer to GET of the organs."""
    return {"type": "organs", "version": version, "organs": [dict(one) for one in rows], "next": following}


def read_organs(value: Mapping[str, Any]) -> OrganList:
    """
    The station's reading of it.

    Raises:
        BadMessage: naming the member that is wrong.
    """
    following = _number(value, "next") if value.get("next") is not None else None
    organs = tuple(_read_organ(one) for one in _objects(value, "organs"))
    if following is not None and (not organs or following != organs[-1].number):
        # Whoever turned pages by it would turn them for ever.
        raise BadMessage("next", "the number of the last organ expected")
    return OrganList(version=_number(value, "version"), organs=organs, next=following)


def _read_organ(value: Mapping[str, Any]) -> ListedOrgan:
    codes = value.get("codes")
    if not isinstance(codes, list) or not all(isinstance(one, str) for one in codes):
        raise BadMessage("codes", "a list of texts expected")
    return ListedOrgan(
        number=_number(value, "number"),
        code=_text(value, "code"),
        codes=tuple(codes),
        name=_text(value, "name"),
        kind=_text(value, "kind"),
        parent=_number(value, "parent") if value.get("parent") is not None else None,
        valid_from=_moment(value, "valid_from"),
        valid_to=_moment(value, "valid_to"),
        successor=_number(value, "successor") if value.get("successor") is not None else None,
        confidence=_text(value, "confidence"),
        version=_number(value, "version"),
        connected=_switch(value, "connected"),
    )


def _moment(value: Mapping[str, Any], name: str) -> datetime | None:
    if value.get(name) is None:
        return None
    try:
        at = datetime.fromisoformat(_text(value, name))
    except ValueError as error:
        raise BadMessage(name, "a time expected") from error
    if at.tzinfo is None:
        raise BadMessage(name, "a time with its zone expected")
    return at


@unique
class OrganAct(StrEnum):
    """What a station may do to an organ below those it speaks for."""

    REGISTER = "register"
    """A new one; or another name for one that is there."""
    CLOSE = "close"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganRequest:
    """The body of POST to the organs."""

    act: OrganAct
    code: str
    name: str = ""
    """For `register`."""
    parent: str = ""
    """Code of the organ above; for `register` of a new one."""


def organ_request_json(asked: OrganRequest) -> dict[str, JSON]:
    """What a station sends."""
    return {"act": asked.act.value, "code": asked.code, "name": asked.name, "parent": asked.parent}


def read_organ_request(value: Mapping[str, Any]) -> OrganRequest:
    """
    The axis's reading of it.

    Raises:
        BadMessage: naming the member that is wrong.
    """
    act = _text(value, "act")
    if act not in set(OrganAct):
        raise BadMessage("act", f"one of {', '.join(OrganAct)} expected")
    texts = {name: _text(value, name).strip() if name in value else "" for name in ("code", "name", "parent")}
    if not texts["code"]:
        raise BadMessage("code", "the code of an organ expected")
    if act == OrganAct.REGISTER and not texts["name"]:
        raise BadMessage("name", "the name of the organ expected")
    return OrganRequest(act=OrganAct(act), **texts)


# --- whoami -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaks:
    """An organ the station speaks for."""

    code: str
    name: str
    subtree: bool
    """And for every organ below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """The names of a station's AMQP queues."""

    urgent: str
    inbox: str
    receipts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Whoami:
    """What the axis knows of the caller, and what the caller should pin of the axis."""

    station: StationId
    name: str
    state: str
    channel: str
    policy: str
    organs: tuple[Speaks, ...]
    queues: Queues | None
    """None where the axis runs without a broker, or the station takes its documents another way."""
    log_origin: str
    """Name of the log, as it stands in its checkpoints."""
    log_keys: tuple[str, ...]
    """
    Verifier keys as C2SP signed notes write them: the one with the log's name signs checkpoints, the others receipts.
    To be pinned: a station that takes new ones from here whenever it asks trusts whoever answers.
    """
    max_body_bytes: int
    """Largest body of a submission or of a whole upload."""


def whoami_json(who: Whoami) -> dict[str, JSON]:
    """Answer to GET of whoami."""
    queues = who.queues
    return {
        "type": "whoami",
        "station": who.station,
        "name": who.name,
        "state": who.state,
        "channel": who.channel,
        "policy": who.policy,
        "organs": [{"code": one.code, "name": one.name, "subtree": one.subtree} for one in who.organs],
        "queues": None
        if queues is None
        else {"urgent": queues.urgent, "inbox": queues.inbox, "receipts": queues.receipts},
        "log": {"origin": who.log_origin, "keys": list(who.log_keys)},
        "limits": {"body_bytes": who.max_body_bytes},
    }


def read_whoami(value: Mapping[str, Any]) -> Whoami:
    """
    The station's reading of it.

    Raises:
        BadMessage: naming the member that is wrong.
    """
    queues, log, limits = value.get("queues"), value.get("log"), value.get("limits")
    if not isinstance(log, dict) or not isinstance(limits, dict):
        raise BadMessage("log", "an object expected")
    keys = log.get("keys")
    if not isinstance(keys, list) or not all(isinstance(one, str) for one in keys):
        raise BadMessage("log.keys", "a list of texts expected")
    if queues is not None and not isinstance(queues, dict):
        raise BadMessage("queues", "an object expected")
    return Whoami(
        station=StationId(_text(value, "station")),
        name=_text(value, "name"),
        state=_text(value, "state"),
        channel=_text(value, "channel"),
        policy=_text(value, "policy"),
        organs=tuple(
            Speaks(code=_text(one, "code"), name=_text(one, "name"), subtree=_switch(one, "subtree"))
            for one in _objects(value, "organs")
        ),
        queues=None
        if queues is None
        else Queues(
            urgent=_text(queues, "urgent"), inbox=_text(queues, "inbox"), receipts=_text(queues, "receipts")
        ),
        log_origin=_text(log, "origin"),
        log_keys=tuple(keys),
        max_body_bytes=_number(limits, "body_bytes"),
    )


# --- the log ------------------------------------------------------------------------------------------------------


def consistency_json(*, old: int, new: int, hashes: Sequence[str]) -> dict[str, JSON]:
    """Answer to GET of a consistency proof."""
    return {"type": "consistency", "old": old, "new": new, "hashes": list(hashes)}


def epochs_json(epochs: Sequence[tuple[FeedEntry, str | None]]) -> dict[str, JSON]:
    """Answer to GET of the epochs: each with its record and the proof that it stands in the log."""
    return {
        "type": "epochs",
        "epochs": [{"index": entry.index, "record": entry.record, "proof": proof} for entry, proof in epochs],
    }


# --- errors -------------------------------------------------------------------------------------------------------


@unique
class HTTPReason(StrEnum):
    """
    Why a request was not served, where no document was judged. Like reason codes: never renamed or reused.

    Where a reason code of the axis fits, it stands instead: `receive.suspended` (403), `receive.too_large` (413),
    `receive.digest_mismatch` (422), `receive.no_message_id` (400), `deliver.recalled` (410).
    """

    NOT_IDENTIFIED = "http.not_identified"
    NOT_ALLOWED = "http.not_allowed"
    NOT_FOUND = "http.not_found"
    NO_SUCH_PATH = "http.no_such_path"
    METHOD = "http.method"
    HEADER = "http.header"
    QUERY = "http.query"
    MESSAGE = "http.message"
    NOT_HTTP = "http.not_http"
    CUT_OFF = "http.cut_off"
    TOO_SLOW = "http.too_slow"
    CONTENT_TYPE = "http.content_type"
    PURGED = "http.purged"
    RANGE = "http.range"
    AMBIGUOUS = "http.ambiguous"
    NOT_YOUR_ORGAN = "http.not_your_organ"
    UPLOAD_OFFSET = "http.upload_offset"
    TARGET_TOO_LONG = "http.target_too_long"
    HEADERS_TOO_LARGE = "http.headers_too_large"
    TOO_MANY = "http.too_many"
    FAULT = "http.fault"
    UNAVAILABLE = "http.unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPReasonRow:
    """What a code means, and the status it comes with."""

    code: HTTPReason
    status: int
    owner: Owner
    vi: str
    en: str
    next_vi: str
    next_en: str


def _row(
    code: HTTPReason, status: int, owner: Owner, vi: str, en: str, next_vi: str, next_en: str
) -> HTTPReasonRow:
    return HTTPReasonRow(
        code=code, status=status, owner=owner, vi=vi, en=en, next_vi=next_vi, next_en=next_en
    )


_H = HTTPReason
_S, _A = Owner.SENDER, Owner.AXIS
_ALL = (
    _row(_H.NOT_IDENTIFIED, 401, _S,
        "Chưa xác thực được điểm kết nối.", "The station could not be identified.",
        "Gửi đúng khóa API (Authorization: Bearer <điểm kết nối>.<bí mật>) hoặc chứng thư của điểm kết nối.",
        "Send the station's API key (Authorization: Bearer <station>.<secret>) or its client certificate."),
    _row(_H.NOT_ALLOWED, 403, _S,
        "Điểm kết nối không được phép làm việc này.", "The station may not do this.",
        "Liên hệ đơn vị vận hành Trục nếu cần quyền này.", "Ask the operator of the axis if you need this right."),
    _row(_H.NOT_FOUND, 404, _S,
        "Không có đối tượng này, hoặc điểm kết nối không được biết tới nó.",
        "There is no such thing, or none that this station may know of.",
        "Kiểm tra mã trong địa chỉ.", "Check the id in the address."),
    _row(_H.NOT_YOUR_ORGAN, 409, _S,
        "Điểm kết nối không được thay đổi danh mục đơn vị như vậy.", "The station may not change the directory so.",
        "Sửa mã, tên hoặc đơn vị cấp trên; việc ngoài phạm vi được ủy quyền do đơn vị vận hành Trục làm.",
        "Correct code, name or the organ above; what lies outside the delegation is the operator's to change."),
    _row(_H.NO_SUCH_PATH, 404, _S,
        "Không có địa chỉ này.", "There is no such address.",
        "Xem danh sách địa chỉ tại /api/v1/openapi.json.", "See the list of addresses at /api/v1/openapi.json."),
    _row(_H.METHOD, 405, _S,
        "Địa chỉ này không nhận phương thức đó.", "The address does not take this method.",
        "Dùng phương thức nêu trong trường Allow.", "Use a method the Allow header names."),
    _row(_H.HEADER, 400, _S,
        "Một trường tiêu đề của yêu cầu bị sai.", "A header of the request is wrong.",
        "Sửa trường được nêu rồi gửi lại.", "Correct the header named and send again."),
    _row(_H.QUERY, 400, _S,
        "Một tham số của địa chỉ bị sai.", "A parameter of the address is wrong.",
        "Sửa tham số được nêu rồi gửi lại.", "Correct the parameter named and send again."),
    _row(_H.MESSAGE, 400, _S,
        "Nội dung yêu cầu không đúng cấu trúc.", "The body of the request does not have the shape of the contract.",
        "Sửa phần được nêu rồi gửi lại.", "Correct the member named and send again."),
    _row(_H.NOT_HTTP, 400, _S,
        "Yêu cầu không đúng HTTP/1.1.", "The request is not valid HTTP/1.1.",
        "Kiểm tra phần mềm kết nối và các lớp trung gian.", "Check the connecting software and what stands between."),
    _row(_H.CUT_OFF, 400, _S,
        "Nội dung yêu cầu bị ngắt giữa chừng; không có gì được ghi nhận.",
        "The body of the request was cut off; nothing was recorded.",
        "Gửi lại.", "Send again."),
    _row(_H.TOO_SLOW, 408, _S,
        "Nội dung yêu cầu đến quá chậm; không có gì được ghi nhận.",
        "The body of the request came too slowly; nothing was recorded.",
        "Gửi lại; với gói tin lớn, tải lên từng phần (PUT /uploads/<sha256>).",
        "Send again; upload a large payload in pieces (PUT /uploads/<sha256>)."),
    _row(_H.CONTENT_TYPE, 415, _S,
        "Kiểu hoặc cách nén của nội dung không được nhận ở đây.",
        "The type or encoding of the body is not taken here.",
        "Gửi đúng kiểu nội dung, không nén.", "Send the type the contract names, without compression."),
    _row(_H.PURGED, 410, _S,
        "Trục không còn giữ nội dung văn bản này: đã hết thời hạn lưu sau khi mọi nơi nhận đã nhận.",
        "The axis keeps the bytes of this document no longer: their time was over after every receiver had them.",
        "Đề nghị cơ quan ban hành gửi lại: bản gốc ở hệ thống của cơ quan đó.",
        "Ask the issuer to send it again: the original is in its system."),
    _row(_H.RANGE, 416, _S,
        "Phần được yêu cầu nằm ngoài nội dung.", "The range asked for lies outside of the payload.",
        "Xem kích thước trong trường Content-Range.", "See the size in the Content-Range header."),
    _row(_H.AMBIGUOUS, 409, _S,
        "Tên này ứng với nhiều văn bản.", "This name fits several documents.",
        "Dùng một trong các mã của Trục được liệt kê.", "Use one of the axis's ids listed."),
    _row(_H.UPLOAD_OFFSET, 409, _S,
        "Phần tải lên không nối tiếp phần đã nhận.", "The piece does not continue what has arrived.",
        "Tải tiếp từ vị trí nêu trong trường Upload-Offset.", "Continue from the position in the Upload-Offset header."),
    _row(_H.TARGET_TOO_LONG, 414, _S,
        "Địa chỉ quá dài.", "The address is too long.",
        "Kiểm tra phần mềm kết nối.", "Check the connecting software."),
    _row(_H.HEADERS_TOO_LARGE, 431, _S,
        "Phần tiêu đề của yêu cầu quá lớn.", "The headers of the request are too large.",
        "Kiểm tra phần mềm kết nối.", "Check the connecting software."),
    _row(_H.TOO_MANY, 429, _S,
        "Điểm kết nối có quá nhiều yêu cầu cùng lúc.", "The station has too many requests under way.",
        "Chờ theo trường Retry-After rồi gửi lại; dùng lại kết nối.", "Wait as Retry-After says and send again; share connections."),
    _row(_H.FAULT, 500, _A,
        "Trục gặp lỗi nội bộ; có thể gửi lại an toàn với cùng Idempotency-Key.",
        "The axis failed; it is safe to send again with the same Idempotency-Key.",
        "Gửi lại sau; người vận hành tìm được lỗi theo mã yêu cầu (X-Axis-Request).",
        "Send again later; the operator finds the fault by the request id (X-Axis-Request)."),
    _row(_H.UNAVAILABLE, 503, _A,
        "Trục tạm thời không phục vụ được; không có gì chắc chắn đã được ghi nhận.",
        "The axis cannot serve at the moment; nothing was recorded for certain.",
        "Gửi lại sau thời gian nêu trong Retry-After, với cùng Idempotency-Key.",
        "Send again after the time in Retry-After, with the same Idempotency-Key."),
)  # fmt: skip

HTTP_REASONS: Final = MappingProxyType({row.code: row for row in _ALL})
"""Every code with its meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPCause:
    """A reason as it happened: the code and every place it shows."""

    code: HTTPReason
    details: tuple[Detail, ...] = ()


def problem_json(
    cause: Cause | HTTPCause, *, status: int | None = None, request: str | None = None
) -> dict[str, JSON]:
    """
    RFC 9457 body with a reason code, in both languages; the one error shape of every endpoint.

    `status` may be left out for an `HTTPCause`; `request` is the id of the request in the axis's logs.
    """
    reason = HTTP_REASONS[cause.code] if isinstance(cause, HTTPCause) else REASONS[cause.code]
    if status is None:
        assert isinstance(reason, HTTPReasonRow)
        status = reason.status
    return {
        "type": f"urn:axis:reason:{cause.code.value}",
        "title": reason.en,
        "status": status,
        "detail": reason.next_en,
        "instance": f"urn:axis:request:{request}" if request is not None else None,
        "code": cause.code.value,
        "vi": reason.vi,
        "en": reason.en,
        "causes": [
            {
                "code": cause.code.value,
                "owner": reason.owner.value,
                "vi": reason.vi,
                "en": reason.en,
                "next": {"vi": reason.next_vi, "en": reason.next_en},
                "details": [{"path": one.path, "vi": one.vi, "en": one.en} for one in cause.details],
            }
        ],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error as a station reads it."""

    status: int
    code: str
    """A `ReasonCode`, an `HTTPReason`, or one that a newer axis knows; `http` when the body was no problem at all."""
    vi: str
    en: str
    next_en: str = ""
    request: str | None = None
    details: tuple[Detail, ...] = ()

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later, unchanged."""
        return self.status in {408, 429} or self.status >= 500


def read_problem(status: int, body: bytes) -> Problem:
    """The station's reading of an error. Never raises: what stands between may answer in a form of its own."""
    unknown = Problem(status=status, code="http", vi=f"HTTP {status}", en=f"HTTP {status}")
    try:
        value = load(body)
        request = value.get("instance")
        return Problem(
            status=status,
            code=_text(value, "code"),
            vi=_text(value, "vi"),
            en=_text(value, "en"),
            next_en=str(value.get("detail") or ""),
            request=request.rpartition(":")[2] if isinstance(request, str) else None,
            details=tuple(
                Detail(path=_text(one, "path"), vi=_text(one, "vi"), en=_text(one, "en"))
                for cause in _objects(value, "causes")
                for one in _objects(cause, "details")
            ),
        )
    except BadMessage:
        return unknown


# --- reading members ----------------------------------------------------------------------------------------------


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str):
        raise BadMessage(name, "a text expected")
    return found


def _number(value: Mapping[str, Any], name: str) -> int:
    found = value.get(name)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise BadMessage(name, "a number expected")
    return found


def _switch(value: Mapping[str, Any], name: str) -> bool:
    found = value.get(name)
    if not isinstance(found, bool):
        raise BadMessage(name, "true or false expected")
    return found


def _objects(value: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    found = value.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise BadMessage(name, "a list of objects expected")
    return found
