"""
A derived copy of a received message for systems that read elements in one order only (.NET XmlSerializer).

Made anew by the writer of `axis.edxml`, in the order of the regulation; attachments byte for byte. Nobody signed it and
it has another digest, so it is served only where a system's setting asks for it, never instead of a message with an
AX-1 signature, and the original stays fetchable.
"""

from __future__ import annotations

import re
from typing import Final

from axis.core.model import Tier
from axis.edxml.message import Attachment, Edoc
from axis.edxml.reader import Unreadable, read_package
from axis.edxml.writer import AttachmentSource, Unwritable, edoc_bytes, status_bytes
from signing.skeleton import Part

MAX_BYTES: Final = 64 * 1024 * 1024
"""Larger messages go as sent: the copy is made in memory."""

_KEY: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\Z")


class _Contents:
    """Decoded attachments, in memory."""

    def __init__(self) -> None:
        self.parts: dict[int, bytearray] = {}

    def begin(self, index: int) -> None:
        self.parts[index] = bytearray()

    def write(self, index: int, chunk: bytes) -> None:
        self.parts[index] += chunk

    def end(self, part: Part) -> None:
        """Nothing is left to do."""


def is_served_as_sent(tier: Tier) -> bool:
    """Whether the message carries an AX-1 signature, which a copy would lose."""
    return tier not in {Tier.LEGACY, Tier.UNSIGNED}


def normal_copy(body: bytes) -> bytes | None:
    """The copy; None where none can be made without leaving something out, and the message goes as sent."""
    if len(body) > MAX_BYTES:
        return None
    contents = _Contents()
    try:
        message = read_package(body, sink=contents).message
        if not isinstance(message, Edoc):
            return status_bytes(message)
        sources = []
        for number, attachment in enumerate(message.attachments):
            content = None if attachment.part is None else contents.parts.get(attachment.part)
            if content is None or attachment.problem:
                return None
            sources.append(_source(attachment, number, bytes(content)))
        return edoc_bytes(message, attachments=sources)
    except (Unreadable, Unwritable):
        return None


def _source(attachment: Attachment, number: int, content: bytes) -> AttachmentSource:
    return AttachmentSource(
        content_id=attachment.key if _KEY.match(attachment.key) else f"c{number}",
        name=attachment.name or f"tep-{number + 1}",
        content_type=attachment.content_type or attachment.detected_type or "application/octet-stream",
        source=content,
        description=attachment.description,
    )
