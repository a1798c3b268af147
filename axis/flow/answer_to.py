"""
What a status answers: the delivery it belongs to, and where it is sent.

Authenticity of a status is the station's (it is unsigned by the national format): 01-06, 15 and 16 come from an organ
that has a delivery of the document, or stands below one that has at the same station; 13 only from the original
sender's organ. Matching: the sender's `DocumentId`, else organ and code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from axis.core.directory import Directory, Organ
from axis.core.model import DeliveryState, OrganNumber, StationId
from axis.core.reasons import Cause, Detail, ReasonCode
from axis.core.rows import DeliveryRow, DocumentRow
from axis.edxml.message import Status, StatusCode

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
) -> Target | Cause:
    """The delivery the status belongs to, or why there is none."""
    if not candidates:
        return Cause(code=ReasonCode.ROUTE_UNKNOWN_DOCUMENT, details=(_named(status),))
    for document in candidates:
        mine = [one for one in deliveries if one.document == document.id]
        if status.code is StatusCode.TAKE_BACK:
            receiver = status.response_for.organ_id if status.response_for else ""
            found = next((one for one in mine if _is_receiver(one, receiver, directory)), None)
            if found is not None and document.sender == sender.number:
                return Target(document=document, delivery=found, tell=found.organ)
            continue
        line = [organ.number for organ in directory.ancestry(sender.number)]
        answering = [
            one
            for one in mine
            if one.organ in line and one.station == station and one.state is not DeliveryState.WITHDRAWN
        ]
        if answering:
            nearest = min(answering, key=lambda one: line.index(one.organ))
            return Target(document=document, delivery=nearest, tell=document.sender)
    return Cause(code=ReasonCode.ROUTE_NOT_YOUR_DOCUMENT, details=(_named(status),))


def _is_receiver(row: DeliveryRow, code: str, directory: Directory) -> bool:
    from axis.edxml.organ_code import normal

    wanted = normal(code)
    return normal(row.code) == wanted or row.organ in directory.codes.get(wanted, ())


def _named(status: Status) -> Detail:
    answered = status.response_for
    name = (answered.document_id or answered.code) if answered is not None else ""
    organ = answered.organ_id if answered is not None else ""
    return Detail(path=_PATH, vi=f"{organ[:64]}: {name[:120]}", en=f"{organ[:64]}: {name[:120]}")


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
