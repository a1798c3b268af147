"""
What a recall, an update or a replacement is about: the document as it was first sent, and everything that carries it.

Only the organ that sent the original may act on it, or the one that succeeded it; where the station's policy is
`required`, the names come from signed data, as `verify` reads the message again from what the signature covers.
A recall or update names its target in `Bussiness/DocumentId`, else by its own id, else in `ResponseFor` (edXML guide
section 3); a replacement in `ReplacementInfoList`. The original of an update or a supplementary sending is the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from axis.core.directory import Directory, Organ
from axis.core.model import BusinessType, DocumentKey, Kind, OrganNumber
from axis.core.ports import Transaction
from axis.core.reasons import Cause, Detail, ReasonCode
from axis.core.rows import DocumentRow
from axis.edxml.message import Edoc
from axis.flow.claims import original_claim

_WHERE = "/edXML/edXMLEnvelope/edXMLHeader/TraceHeaderList/Bussiness"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """One document a message acts on, and under which id it named it."""

    written: str
    original: DocumentRow


def acts_for(directory: Directory, original: OrganNumber, sender: Organ, *, at: datetime) -> bool:
    """Whether `sender` is the organ that sent something, or succeeded it (mergers of 2025)."""
    if original == sender.number:
        return True
    organ = directory.organs.get(original)
    if organ is None or organ.is_open(at):
        return False
    heir = directory.successor(organ, at=at)
    return heir is not None and heir.number == sender.number


async def find_originals(
    tx: Transaction, message: Edoc, *, sender: Organ, directory: Directory, at: datetime
) -> list[Named] | Cause:
    """
    The documents `message` acts on; the cause of its refusal when one is another organ's or, for a recall or update,
    unknown. A replacement may name documents from before the axis: they are left out.
    """
    is_replacement = message.business_type is BusinessType.REPLACE
    found: list[Named] = []
    for wanted in message.target_ids:
        named = await tx.documents_named(sender=None, document_id=wanted, code="", kind=Kind.EDOC)
        mine = [one for one in named if acts_for(directory, one.sender, sender, at=at)]
        originals = [one for one in mine if one.business_type is not BusinessType.RECALL]
        if originals:
            # The first of that id: updates and per-receiver splits may repeat it.
            first = next((one for one in originals if one.business_type is BusinessType.NEW), originals[-1])
            original = await _first_sending(tx, first)
            if all(one.original.id != original.id for one in found):
                found.append(Named(written=wanted, original=original))
            if not is_replacement:
                return found
        elif named and not mine:
            return Cause(code=ReasonCode.ROUTE_NOT_YOUR_DOCUMENT, details=(_detail(wanted),))
    if found or is_replacement:
        return found
    if await is_held(tx, message, sender=sender):
        return Cause(code=ReasonCode.ROUTE_WAITS_FOR_HELD)
    details = tuple(_detail(one) for one in message.target_ids)
    return Cause(code=ReasonCode.ROUTE_UNKNOWN_DOCUMENT, details=details)


async def is_held(tx: Transaction, message: Edoc, *, sender: Organ) -> bool:
    """Whether a document that `message` names is on hold: what acts on it waits behind it."""
    held = await tx.holders([original_claim(sender.number, wanted) for wanted in message.target_ids])
    return any(one.document is None for one in held.values())


async def _first_sending(tx: Transaction, document: DocumentRow) -> DocumentRow:
    """Of an update the document it updates, of a supplementary sending the first."""
    wanted: DocumentKey = document.root
    if document.business_type is BusinessType.UPDATE and document.target is not None:
        wanted = document.target
    return document if wanted == document.id else (await tx.documents([wanted]))[wanted]


def unknown_targets(message: Edoc, found: Sequence[Named]) -> list[str]:
    """Ids that a replacement names and the axis does not know."""
    known = {one.written for one in found}
    return [one for one in message.target_ids if one not in known]


def _detail(wanted: str) -> Detail:
    return Detail(path=f"{_WHERE}/DocumentId", vi=wanted[:120], en=wanted[:120])
