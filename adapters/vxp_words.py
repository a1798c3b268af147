"""
What the VXP gateway says: answers as old clients parse them, error codes, times, texts without marks.

HTTP 200 and JSON whatever happens: `status`, `ErrorCode` (a text), `ErrorDesc`. Everything is ASCII: marks are stripped
from what a person reads there, other texts are escaped, as one client decodes the answer as US-ASCII.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum, unique
from types import MappingProxyType
from typing import Any, Final

from axis.core.exchange import Answer, Consignment
from axis.core.model import VIETNAM, DeliveryState, LegalValue, SubmissionState, Tier
from axis.core.reasons import Cause, ReasonCode

OK_DESC: Final = "Thanh cong"
MAX_DESC: Final = 500
"""Longest `ErrorDesc`."""


@unique
class ErrorCode(StrEnum):
    """The numbers known from provincial gateways; VXP's own are not known, beside 0."""

    OK = "0"
    REQUEST = "10"
    """The request or the file cannot be read."""
    CALLER = "15"
    """Wrong systemid or secret, or headers that are not signed."""
    RECEIVER = "18"
    """A receiver does not exist or is not connected."""
    SENDER = "19"
    """The sender is not registered for this system."""
    SYSTEM = "20"
    """The axis or the gateway cannot serve now: send again, nothing is doubled."""
    FILE = "21"
    """The file does not fit its hash, or there is no such document."""
    MESSAGE = "22"
    """The edXML message is not as Decision 28 and QCVN 102 ask."""
    LOCKED = "23"
    """A receiver is closed."""


class Failed(Exception):
    """The call ends here, with what its caller is told."""

    def __init__(self, code: ErrorCode, desc: str) -> None:
        super().__init__(desc)
        self.code = code
        self.desc = desc


@unique
class Transport(StrEnum):
    """How a pick-up went (edXML statuses are something else)."""

    INITIAL = "initial"
    PROCESSING = "processing"
    DONE = "done"
    FAIL = "fail"


TRANSPORT: Final = MappingProxyType(
    {
        DeliveryState.WAITING: Transport.INITIAL,
        DeliveryState.HANDED_OVER: Transport.INITIAL,
        DeliveryState.FETCHED: Transport.PROCESSING,
        DeliveryState.ACKNOWLEDGED: Transport.DONE,
        DeliveryState.FAILED: Transport.FAIL,
        DeliveryState.WITHDRAWN: Transport.FAIL,
        DeliveryState.NOT_CONNECTED: Transport.FAIL,
    }
)
"""Where a delivery stands, as the sender's list shows it."""

_RECEIVE_DESC: Final = MappingProxyType(
    {
        DeliveryState.WAITING: "Chua nhan",
        DeliveryState.HANDED_OVER: "Chua nhan",
        DeliveryState.FETCHED: "Da tai ve",
        DeliveryState.ACKNOWLEDGED: "Da nhan",
        DeliveryState.FAILED: "Khong chuyen duoc",
        DeliveryState.WITHDRAWN: "Da thu hoi",
        DeliveryState.NOT_CONNECTED: "Chua ket noi, gui ban giay",
    }
)

_CODES: Final = MappingProxyType(
    {
        ReasonCode.RECEIVE_NO_STATION: ErrorCode.CALLER,
        ReasonCode.RECEIVE_SUSPENDED: ErrorCode.SENDER,
        ReasonCode.RECEIVE_NOT_YOUR_ORGAN: ErrorCode.SENDER,
        ReasonCode.RECEIVE_EMPTY: ErrorCode.REQUEST,
        ReasonCode.RECEIVE_TOO_LARGE: ErrorCode.REQUEST,
        ReasonCode.RECEIVE_QUOTA: ErrorCode.SYSTEM,
        ReasonCode.RECEIVE_DIGEST: ErrorCode.FILE,
        ReasonCode.RECEIVE_NOT_UPLOADED: ErrorCode.SYSTEM,
        ReasonCode.PARSE_NOT_XML: ErrorCode.REQUEST,
        ReasonCode.PARSE_ENCODING: ErrorCode.REQUEST,
        ReasonCode.ROUTE_UNKNOWN_RECEIVER: ErrorCode.RECEIVER,
        ReasonCode.ROUTE_NOT_CONNECTED: ErrorCode.RECEIVER,
        ReasonCode.ROUTE_CLOSED_RECEIVER: ErrorCode.LOCKED,
    }
)
"""Reasons that have a number of their own; all others of a sender are `MESSAGE`, those of the axis `SYSTEM`."""

_TIERS: Final = MappingProxyType(
    {
        Tier.PASSED: "Chu ky hop le",
        Tier.LEGACY: "De tham khao: chu ky khong xac thuc duoc",
        Tier.UNSIGNED: "De tham khao: khong ky so",
        Tier.INDETERMINATE: "Chu ky dang kiem tra",
        Tier.FAILED: "Chu ky sai",
    }
)
_VALUES: Final = MappingProxyType(
    {
        LegalValue.ORIGINAL: "Gia tri nhu ban goc",
        LegalValue.COPY: "Gia tri ban sao",
        LegalValue.REFERENCE: "Gia tri tham khao",
        LegalValue.CHECKING: "Gia tri dang kiem tra",
    }
)
_UNMARKED: Final = str.maketrans({"đ": "d", "Đ": "D", "–": "-", "—": "-", "“": '"', "”": '"', "…": "..."})
_TIMES: Final = ("%d/%m/%Y %H:%M:%S", "%d/%m/%Y", "%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M:%S")
_TIMESTAMP: Final = re.compile(r"(\d{2})(\d{2})(\d{4})T(\d{2})(\d{2})(\d{2})\+(\d{4})\Z", re.ASCII)


def ascii_text(text: str, *, most: int = MAX_DESC) -> str:
    """Vietnamese without its marks, as VPCP writes it; nothing beyond printable ASCII."""
    flat = unicodedata.normalize("NFD", text.translate(_UNMARKED)).encode("ascii", "ignore").decode()
    return " ".join("".join(one if one.isprintable() else " " for one in flat).split())[:most]


def encoded(body: Mapping[str, Any]) -> bytes:
    """JSON of ASCII letters only."""
    return json.dumps(body, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def succeeded(**more: Any) -> dict[str, Any]:
    """The answer to a call that worked."""
    return {"status": "OK", "ErrorCode": ErrorCode.OK.value, "ErrorDesc": OK_DESC, **more}


def failed(code: ErrorCode, desc: str, **more: Any) -> dict[str, Any]:
    """The answer to one that did not."""
    return {"status": "FAIL", "ErrorCode": code.value, "ErrorDesc": ascii_text(desc), **more}


def code_of(reason: ReasonCode) -> ErrorCode:
    """The number of a reason."""
    found = _CODES.get(reason)
    if found is not None:
        return found
    return ErrorCode.SYSTEM if reason.value.startswith("axis.") else ErrorCode.MESSAGE


def refusal(answer: Answer, *, system_id: str) -> Failed:
    """A refused submission, for the person who reads it."""
    if not answer.causes:
        return Failed(ErrorCode.MESSAGE, answer.headline_vi)
    first = answer.causes[0]
    desc = " ".join(_cause(one) for one in answer.causes)
    if first.code is ReasonCode.RECEIVE_NOT_YOUR_ORGAN:
        desc = f"Don vi gui khong dung voi ma da dang ky: {system_id}. {desc}"
    return Failed(code_of(first.code), desc)


def _cause(cause: Cause) -> str:
    places = "; ".join(
        f"{one.path}: {one.vi}" if one.path not in {"", "$"} else one.vi for one in cause.details[:5]
    )
    words = [f"[{cause.code.value}]", cause.reason.vi, places, cause.reason.next_vi]
    return " ".join(word for word in words if word)


def send_desc(answer: Answer) -> str:
    """`sendStatusDesc` of a submission."""
    if answer.state is SubmissionState.HELD:
        reasons = ", ".join(one.code.value for one in answer.causes)
        return ascii_text(f"Cho xac minh: {reasons}. {answer.headline_vi}")
    return ascii_text(answer.headline_vi)


def receive_desc(state: DeliveryState, *, status: str | None, reason: ReasonCode | None) -> str:
    """`receiveStatusDesc`: the transport, and beside it the receiver's last edXML status."""
    words = [_RECEIVE_DESC[state]]
    if status is not None:
        words.append(f"trang thai {status}")
    if reason is not None:
        words.append(f"[{reason.value}]")
    return "; ".join(words)


def status_desc(header: Consignment) -> str:
    """`status_desc`: signature, legal value and warnings of what is received."""
    words = [
        _TIERS[header.tier],
        _VALUES[header.value],
        *(f"[{one.code}] {one.vi}" for one in header.notices),
    ]
    return ascii_text("; ".join(words))


def written(at: datetime | None) -> str:
    """A time as this interface writes it: Vietnam's, without a zone."""
    return "" if at is None else at.astimezone(VIETNAM).strftime("%d/%m/%Y %H:%M:%S")


def read_time(text: str, *, name: str) -> datetime | None:
    """
    A time of a list's window; None when nothing is said.

    Raises:
        Failed: it is no time.
    """
    if not text.strip():
        return None
    for form in _TIMES:
        try:
            return datetime.strptime(text.strip(), form).replace(tzinfo=VIETNAM)
        except ValueError:
            continue
    raise Failed(ErrorCode.REQUEST, f"{name}: can dang dd/MM/yyyy HH:mm:ss")


def read_timestamp(text: str) -> datetime | None:
    """
    `ddMMyyyy'T'HHmmss+SSSS`, where the last four digits are milliseconds and no zone; None when it is something else.
    """
    found = _TIMESTAMP.match(text)
    if found is None:
        return None
    day, month, year, hour, minute, second, milli = (int(one) for one in found.groups())
    try:
        return datetime(year, month, day, hour, minute, second, min(milli, 999) * 1000, tzinfo=VIETNAM)
    except ValueError:
        return None
