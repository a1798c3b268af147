"""
What a status answers: the delivery it belongs to, and where it is sent.

Authenticity of a status is the station's (it is unsigned by the national format): 01-06, 15 and 16 come from an organ
that has a delivery of the document, or stands below one that has at the same station; 13 only from the original
sender's organ, or the one that succeeded it. Matching: the sender's `DocumentId`, else organ, code and date. Of a
merged organ its successor answers, whichever station that has; what could be an answer to documents of two senders is
refused, as nobody may be told of an answer to another's document.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from axis.core.directory import Directory, Organ
from axis.core.model import BusinessType, DeliveryState, OrganNumber, RequestState, StationId
from axis.core.reasons import Cause, Detail, ReasonCode
from axis.core.rows import DeliveryRow, DocumentRow
from axis.core.text import searchable
from axis.edxml.message import Status, StatusCode
from axis.edxml.organ_code import normal
from axis.flow.targets import acts_for

_PATH = "/edXML/edXMLEnvelope/edXMLHeader/MessageHeader/ResponseFor"

SHOWN_ORDER = ("01", "03", "04", "05", "06")
"""The shown state is the highest of these and never goes back; 02 shows only while none of 03-06 is known."""

TAKEN = frozenset(
    {
        StatusCode.ARRIVED,
        StatusCode.RETURNED,
        StatusCode.REGISTERED,
        StatusCode.ASSIGNED,
        StatusCode.IN_PROCESS,
        StatusCode.FINISHED,
    }
)
"""Codes that say that the receiver's system has the document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The delivery a status belongs to, and the organ that must hear of it."""

    document: DocumentRow
    delivery: DeliveryRow
    tell: OrganNumber
    """Original sender, or (13) the receiver."""


def find_target(
    status: Status,
    *,
    sender: Organ,
    station: StationId,
    candidates: Sequence[DocumentRow],
    deliveries: Sequence[DeliveryRow],
    directory: Directory,
    at: datetime,
) -> Target | Cause:
    """
    The delivery the status belongs to, or why there is none.

    A recall or an update may have the id of the document it acts on. The one whose number the status names goes first;
    then, for 15 and 16, the one that asks for an answer, and for 01 to 06 one the receiver has; then the newest.
    """
    if not candidates:
        return unknown_document(status)
    if status.code is StatusCode.TAKE_BACK:
        found = _taken_back(status, sender, candidates, deliveries, directory, at)
    else:
        found = _answered(status, sender, station, candidates, deliveries, directory, at)
    return found or Cause(code=ReasonCode.ROUTE_NOT_YOUR_DOCUMENT, details=(_named(status),))


def unknown_document(status: Status) -> Cause:
    """Nobody sent what the status names."""
    return Cause(code=ReasonCode.ROUTE_UNKNOWN_DOCUMENT, details=(_named(status),))


def _taken_back(
    status: Status,
    sender: Organ,
    candidates: Sequence[DocumentRow],
    deliveries: Sequence[DeliveryRow],
    directory: Directory,
    at: datetime,
) -> Target | Cause | None:
    receiver = status.response_for.organ_id if status.response_for else ""
    found: list[Target] = []
    for document in sorted(candidates, key=lambda one: one.business_type):
        mine = [one for one in deliveries if one.document == document.id]
        row = next((one for one in mine if is_receiver(one, receiver, directory)), None)
        if row is not None and acts_for(directory, document.sender, sender, at=at):
            found.append(Target(document=document, delivery=row, tell=row.organ))
    return _of_one_sender(found)


def _answered(
    status: Status,
    sender: Organ,
    station: StationId,
    candidates: Sequence[DocumentRow],
    deliveries: Sequence[DeliveryRow],
    directory: Directory,
    at: datetime,
) -> Target | Cause | None:
    line = [organ.number for organ in directory.ancestry(sender.number)]
    found: list[Target] = []
    for document in candidates:
        answering = [
            one
            for one in deliveries
            if one.document == document.id
            and (one.state is not DeliveryState.WITHDRAWN or one.request is not RequestState.NONE)
            and (
                (one.station == station and one.organ in line)
                or acts_for(directory, one.organ, sender, at=at)
            )
        ]
        if answering:
            closest = min(
                answering, key=lambda one: line.index(one.organ) if one.organ in line else len(line)
            )
            found.append(Target(document=document, delivery=closest, tell=document.sender))
    nearest = min((_distance(status, one) for one in found), default=None)
    return _of_one_sender([one for one in found if _distance(status, one) == nearest])


def _of_one_sender(found: Sequence[Target]) -> Target | Cause | None:
    """The first; merged organs, and ids such as 18661, may leave several senders' documents to choose from."""
    senders = {one.document.sender for one in found}
    if len(senders) > 1:
        details = tuple(
            Detail(
                path=_PATH,
                vi=f"Có thể là văn bản {one.document.document_id[:120]} của {one.document.from_code}.",
                en=f"May be document {one.document.document_id[:120]} of {one.document.from_code}.",
            )
            for one in found
        )
        return Cause(code=ReasonCode.ROUTE_UNKNOWN_DOCUMENT, details=details)
    return found[0] if found else None


def _distance(status: Status, target: Target) -> tuple[bool, bool]:
    written = status.response_for.code if status.response_for else ""
    document, delivery = target.document, target.delivery
    is_other = bool(written) and not _same_code(written, document)
    if status.code in {StatusCode.AGREED, StatusCode.REJECTED}:
        asks = delivery.request in {RequestState.ASKED, RequestState.REJECTED}
        acts = document.business_type in {BusinessType.RECALL, BusinessType.UPDATE}
        return is_other, not (asks or acts)
    return is_other, delivery.state in {DeliveryState.WAITING, DeliveryState.HANDED_OVER}


def _same_code(written: str, document: DocumentRow) -> bool:
    return plain_code(written) == plain_code(f"{document.number}/{document.notation}")


def plain_code(code: str) -> str:
    """A code as people compare it: without marks, capitals and spaces."""
    return "".join(searchable(code).split())


def is_receiver(row: DeliveryRow, code: str, directory: Directory) -> bool:
    """Whether the delivery is for the organ of this code, as the sender wrote it or by any code it has or had."""
    wanted = normal(code)
    return normal(row.code) == wanted or row.organ in directory.codes.get(wanted, ())


def _named(status: Status) -> Detail:
    answered = status.response_for
    name = (answered.document_id or answered.code) if answered is not None else ""
    organ = answered.organ_id if answered is not None else ""
    return Detail(path=_PATH, vi=f"{organ[:64]}: {name[:120]}", en=f"{organ[:64]}: {name[:120]}")


def is_too_late(shown: str | None, code: StatusCode) -> bool:
    """Whether a return comes when the document was registered already: it is kept and counts for nothing (LR-21)."""
    return code is StatusCode.RETURNED and shown in {"03", "04", "05", "06"}


def shown_after(shown: str | None, code: StatusCode) -> str | None:
    """The state shown for a delivery after one more status; codes 13, 15 and 16 do not change it."""
    new = f"{code.value:02d}"
    if new == "02":
        return "02" if shown in {None, "01", "02"} else shown
    if new not in SHOWN_ORDER:
        return shown
    if shown is None:
        return new
    if shown == "02":
        return shown if new == "01" else new
    return max(shown, new, key=SHOWN_ORDER.index)


def asks_for_an_answer(target: Target, delivery: DeliveryRow) -> bool:
    """Whether the delivery waits for the 15 or 16 that a status brings."""
    acts = target.document.business_type in {BusinessType.RECALL, BusinessType.UPDATE}
    return acts or delivery.request in {RequestState.ASKED, RequestState.REJECTED}
