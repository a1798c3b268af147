"""
What a recall, an update or a replacement is about: the document as it was first sent, and everything that carries it.

Only the organ that sent the original may act on it, or the one that succeeded it; where the station's policy is
`required`, the names come from signed data, as `verify` reads the message again from what the signature covers.
A recall or update names its target in `Bussiness/DocumentId`, else by its own id, else in `ResponseFor` (edXML guide
section 3); a replacement in `ReplacementInfoList`. What no id finds is looked for by organ, date and code, written in
`ResponseFor` or as an id of the canonical form: the successor of a merged province may not know the id its predecessor
gave. The original of an update or a supplementary sending is the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from axis.core.directory import Directory, Organ
from axis.core.model import BusinessType, DocumentKey, Kind, OrganNumber
from axis.core.ports import Transaction
from axis.core.reasons import Cause, Detail, ReasonCode
from axis.core.rows import DocumentRow
from axis.edxml.dates import read_date
from axis.edxml.message import Edoc, ResponseFor
from axis.edxml.organ_code import normal
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
    unknown, or when a code fits several. A replacement may name documents from before the axis: they are left out.
    """
    is_replacement = message.business_type is BusinessType.REPLACE
    found: list[Named] = []
    for wanted in message.target_ids:
        named = await tx.documents_named(sender=None, document_id=wanted, code="", kind=Kind.EDOC)
        mine = [one for one in named if acts_for(directory, one.sender, sender, at=at)]
        originals = [one for one in mine if one.business_type is not BusinessType.RECALL]
        if not named and is_replacement:
            coded = await _coded(tx, _canonical(wanted), sender=sender, directory=directory, at=at)
            originals = coded if len(coded) == 1 else []
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
    for name in names_by_code(message):
        coded = await _coded(tx, name, sender=sender, directory=directory, at=at)
        if len(coded) > 1:
            details = tuple(_several(name.code, one) for one in coded)
            return Cause(code=ReasonCode.ROUTE_UNKNOWN_DOCUMENT, details=details)
        if coded:
            return [Named(written=name.document_id or name.code, original=coded[0])]
    if await is_held(tx, message, sender=sender):
        return Cause(code=ReasonCode.ROUTE_WAITS_FOR_HELD)
    details = tuple(_detail(one) for one in message.target_ids)
    return Cause(code=ReasonCode.ROUTE_UNKNOWN_DOCUMENT, details=details)


def names_by_code(message: Edoc) -> Iterator[ResponseFor]:
    """Organ, date and code as what acts on a document may have written them: in the ids it names, or in `ResponseFor`."""
    if message.business_type is BusinessType.NEW:
        return
    if message.business_type is BusinessType.REPLACE:
        yield from (name for name in map(_canonical, message.target_ids) if name is not None)
        return
    # Its own id says what it is about only where nothing else does.
    named = message.bussiness.document_id if message.bussiness is not None else ""
    name = _canonical(named or message.document_id)
    if name is not None:
        yield name
    yield from message.responses


def _canonical(document_id: str) -> ResponseFor | None:
    """What an id of the form `organ,yyyy/MM/dd,number/notation` says of its document; None: it has another form."""
    organ, _, rest = document_id.partition(",")
    day, _, code = rest.partition(",")
    if not organ or not code:
        return None
    issued, _ = read_date(day)
    return ResponseFor(organ_id=organ, code=code, promulgation_date=issued, document_id=document_id)


async def _coded(
    tx: Transaction, name: ResponseFor | None, *, sender: Organ, directory: Directory, at: datetime
) -> list[DocumentRow]:
    """
    First sendings of this code and day that are the sender's to act on. Its predecessors may have used one number on
    the same day: those of the organ that is named, under any of its codes, go before those of whom it succeeded.
    """
    day = name.promulgation_date.iso if name is not None and name.promulgation_date is not None else None
    if name is None or day is None or not name.code:
        return []
    authors = directory.codes.get(normal(name.organ_id), ()) if name.organ_id else (sender.number,)
    for senders in (authors, directory.predecessors(authors, at=at)):
        mine = [one for one in senders if acts_for(directory, one, sender, at=at)]
        coded = await tx.documents_coded(name.code, senders=mine) if mine else ()
        found = [
            one
            for one in coded
            if one.promulgation_date == day and one.business_type is not BusinessType.RECALL
        ]
        if found:
            firsts = [await _first_sending(tx, one) for one in found]
            return list({one.id: one for one in firsts}.values())
    return []


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


def _several(code: str, one: DocumentRow) -> Detail:
    return Detail(
        path=f"{_WHERE}/DocumentId",
        vi=f"{code[:80]} có thể là {one.document_id[:120]} của {one.from_code}: hãy ghi rõ DocumentId.",
        en=f"{code[:80]} may be {one.document_id[:120]} of {one.from_code}: name it by its DocumentId.",
    )


def _detail(wanted: str) -> Detail:
    return Detail(path=f"{_WHERE}/DocumentId", vi=wanted[:120], en=wanted[:120])
