"""
Every "no" of the API: one exception inside, one JSON shape outside (`axis.web.wire.problem_json`).

Never shows a traceback, a path of this machine, or what the caller may not know.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from axis.core.errors import (
    Ambiguous,
    AxisError,
    NotAllowed,
    NotFound,
    Purged,
    ServiceUnavailable,
    UploadRefused,
    Withdrawn,
    WrongOffset,
)
from axis.core.exchange import BadMessage, dump
from axis.core.reasons import Cause, Detail, ReasonCode
from axis.flow.station_acts import NotForStations
from axis.web import wire
from axis.web.visit import visit_of
from axis.web.wire import HTTP_REASONS, HTTPCause, HTTPReason

RETRY_SECONDS = 5
"""What `Retry-After` says when nothing better is known."""

_STATUS = {
    ReasonCode.RECEIVE_NO_MESSAGE_ID: 400,
    ReasonCode.RECEIVE_EMPTY: 400,
    ReasonCode.RECEIVE_SUSPENDED: 403,
    ReasonCode.DELIVER_RECALLED: 410,
    ReasonCode.RECEIVE_TOO_LARGE: 413,
    ReasonCode.RECEIVE_DIGEST: 422,
    ReasonCode.RECEIVE_QUOTA: 429,
}
"""Reason codes of the axis that a request can be answered with, where nothing is recorded."""

_HEADERS = {
    401: {"WWW-Authenticate": 'Bearer realm="axis"'},
    429: {"Retry-After": str(RETRY_SECONDS)},
    503: {"Retry-After": str(RETRY_SECONDS)},
}


class NotServed(Exception):
    """The request ends here, with this cause."""

    def __init__(self, cause: Cause | HTTPCause, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(cause.code.value)
        self.cause = cause
        self.status = HTTP_REASONS[cause.code].status if isinstance(cause, HTTPCause) else _STATUS[cause.code]
        self.headers = {**_HEADERS.get(self.status, {}), **(headers or {})}

    def response(self, *, request: str) -> Response:
        """The answer the caller sees."""
        return Response(
            content=dump(wire.problem_json(self.cause, status=self.status, request=request)),
            status_code=self.status,
            headers=self.headers,
            media_type=wire.PROBLEM,
        )


def no(code: HTTPReason | ReasonCode, *details: Detail) -> NotServed:
    """A request that ends with this code, and the places where it shows."""
    if isinstance(code, HTTPReason):
        return NotServed(HTTPCause(code=code, details=details))
    return NotServed(Cause(code=code, details=details))


def about(path: str, *, vi: str, en: str) -> Detail:
    """One place where the reason shows."""
    return Detail(path=path, vi=vi, en=en)


def too_large(limit: int) -> NotServed:
    """A body beyond `limit` bytes."""
    return no(
        ReasonCode.RECEIVE_TOO_LARGE,
        about("$", vi=f"tối đa {limit} byte", en=f"at most {limit} bytes"),
    )


def not_served(error: AxisError | BadMessage) -> NotServed:
    """What an error from behind the API looks like to its caller. Ids it asked for itself may be shown, no more."""
    match error:
        case NotFound():
            return no(HTTPReason.NOT_FOUND)
        case NotAllowed():
            return no(HTTPReason.NOT_ALLOWED)
        case NotForStations():
            return no(HTTPReason.NOT_YOUR_ORGAN, about("code", vi=error.vi[:500], en=error.problems[0][:500]))
        case Withdrawn():
            return no(ReasonCode.DELIVER_RECALLED)
        case Purged():
            return no(HTTPReason.PURGED, about("issuer", vi=error.issuer, en=error.issuer))
        case ServiceUnavailable():
            return no(HTTPReason.UNAVAILABLE)
        case Ambiguous():
            shown = (about("document", vi=one, en=one) for one in error.candidates[:20])
            return no(HTTPReason.AMBIGUOUS, *shown)
        case WrongOffset():
            at = about(
                "Upload-Offset", vi=f"tiếp từ byte {error.offset}", en=f"continue at byte {error.offset}"
            )
            return NotServed(
                HTTPCause(code=HTTPReason.UPLOAD_OFFSET, details=(at,)),
                headers={wire.UPLOAD_OFFSET: str(error.offset)},
            )
        case UploadRefused() if error.reason in _STATUS:
            return no(error.reason)
        case BadMessage():
            return no(HTTPReason.MESSAGE, about(error.path, vi="không đúng cấu trúc", en=error.problem[:300]))
        case _:
            return no(HTTPReason.FAULT)


# --- what FastAPI calls -------------------------------------------------------------------------------------------


async def answer_not_served(request: Request, error: Exception) -> Response:
    """For `NotServed`."""
    assert isinstance(error, NotServed)
    visit = visit_of(request.scope)
    visit.code = error.cause.code.value
    return error.response(request=visit.id)


async def answer_axis_error(request: Request, error: Exception) -> Response:
    """For `AxisError` and `BadMessage` from behind the API. A fault of ours is left to the edge, which logs it."""
    assert isinstance(error, AxisError | BadMessage)
    found = not_served(error)
    if found.cause.code is HTTPReason.FAULT:
        raise error
    if isinstance(error, ServiceUnavailable):
        visit_of(request.scope).facts["service"] = error.service
    return await answer_not_served(request, found)


async def answer_invalid(request: Request, error: Exception) -> Response:
    """For parameters FastAPI could not read."""
    assert isinstance(error, RequestValidationError)
    details = []
    where = "query"
    for one in error.errors()[:10]:
        where, *rest = (str(part) for part in one["loc"])
        details.append(about(".".join(rest) or where, vi="giá trị không hợp lệ", en=str(one["msg"])[:300]))
    if where == "path":
        return await answer_not_served(request, no(HTTPReason.NOT_FOUND))
    reason = HTTPReason.HEADER if where == "header" else HTTPReason.QUERY
    return await answer_not_served(request, no(reason, *details))


async def answer_routing(request: Request, error: Exception) -> Response:
    """For paths and methods that do not exist."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        found = NotServed(HTTPCause(code=HTTPReason.METHOD), headers=error.headers)
    elif error.status_code == 404:
        found = no(HTTPReason.NO_SUCH_PATH)
    else:
        raise error
    return await answer_not_served(request, found)
