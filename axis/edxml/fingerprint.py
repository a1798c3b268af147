"""
The content of a document as one digest: what makes two messages the same document.

Number, notation, date of issue, subject and the digests of the attachments are content. Envelope, receivers, order of
the attachments, their names, business type, trace and signature are not: a clerk who corrects a receiver or signs
again sends the same document (design section 3, rule 5). Texts are compared as people read them, in Unicode NFC with
single spaces and without invisible characters; the number without the `#receiver code` that some senders append when
they split one document into a message per receiver.

The shape is append-only: digests are kept for years, so a change of what is content is a new `_VERSION`.
"""

from __future__ import annotations

import hashlib

from axis.core.events import canonical
from axis.edxml.message import Edoc, WrittenDate
from axis.edxml.text import same_text

_VERSION = 1


def content_digest(message: Edoc) -> str:
    """SHA-256 of the content, 64 hexadecimal characters."""
    code = message.code.without_suffix
    record = canonical(
        {
            "v": _VERSION,
            "number": same_text(code.number),
            "notation": same_text(code.notation),
            "date": _day(message.promulgation.date),
            "subject": same_text(message.subject),
            "attachments": sorted(attachment.sha256 for attachment in message.attachments),
        }
    )
    return hashlib.sha256(record).hexdigest()


def _day(issued: WrittenDate | None) -> str:
    """The day it names, however written; a text that names no day is compared as text."""
    if issued is None:
        return ""
    return issued.iso or same_text(issued.written)
