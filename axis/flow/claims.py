"""
Claims: the key that only one accepted or held submission can occupy (design rule 5).

A document claims its sending organ, business type and DocumentId; types 1 to 3 claim their content as well, as they
may repeat the id of the document they act on.
"""

from __future__ import annotations

import hashlib

from axis.core.events import canonical
from axis.core.model import BusinessType, OrganNumber
from axis.edxml.fingerprint import content_digest
from axis.edxml.message import Edoc
from axis.edxml.organ_code import normal


def claim_key(*parts: str | int) -> str:
    """One text for a tuple of parts, of fixed length and without ambiguity."""
    return hashlib.sha256(canonical(list(parts))).hexdigest()


def document_claim(sender: OrganNumber, message: Edoc) -> str:
    """The claim of a document."""
    if message.business_type is BusinessType.NEW:
        return original_claim(sender, _whole_id(message))
    return claim_key("edoc", sender, int(message.business_type), message.document_id, content_digest(message))


def original_claim(sender: OrganNumber, document_id: str) -> str:
    """The claim of a new document (type 0) with this id."""
    return claim_key("edoc", sender, int(BusinessType.NEW), document_id)


def split_claim(sender: OrganNumber, message: Edoc) -> str | None:
    """
    What all parts of a document claim that was split by its sender into one message per receiver, each with the
    receiver's code behind a `#` in its number; None for a document that was not.
    """
    is_new = message.business_type is BusinessType.NEW
    return claim_key("split", sender, content_digest(message)) if is_new and _split_for(message) else None


def _split_for(message: Edoc) -> str:
    suffix = message.code.split_suffix
    wanted = normal(suffix)
    return suffix if wanted and any(normal(one.organ_id) == wanted for one in message.receivers) else ""


def _whole_id(message: Edoc) -> str:
    """`DocumentId` without the receiver that a split appended to it."""
    suffix = _split_for(message)
    return message.document_id.removesuffix(f"#{suffix}") if suffix else message.document_id
