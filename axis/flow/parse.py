"""
Step 2: from bytes to a message. The bytes stay as they are; attachments are decoded and hashed on the way, not kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from axis.core.reasons import Cause
from axis.edxml.findings import Finding
from axis.edxml.message import Message
from axis.edxml.reader import Package, Unreadable, read_package
from axis.flow.outcomes import Refusal
from axis.flow.receive import Inbound, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A message that could be read in exactly one way."""

    inbound: Inbound
    package: Package

    @property
    def message(self) -> Message:
        """What it says, signed or not."""
        return self.package.message

    @property
    def oddities(self) -> tuple[Finding, ...]:
        """What was odd about its form."""
        return self.package.reading.oddities


def parse(inbound: Inbound, *, world: World) -> Parsed | Refusal:
    """Read the message; the reader's limits bound time and memory whatever the bytes are."""
    try:
        source = inbound.payload if isinstance(inbound.payload, bytes) else inbound.open()
        try:
            package = read_package(source, limits=world.limits)
        finally:
            if not isinstance(source, bytes):
                source.close()
    except Unreadable as unreadable:
        return Refusal(inbound=inbound, causes=(Cause(code=unreadable.reason, details=unreadable.details),))
    return Parsed(inbound=inbound, package=package)
