"""
What a stage may say instead of passing a message on: no (a refusal), or not yet (a hold).

Both are results and not exceptions: they are recorded and answered like an acceptance.
"""

from __future__ import annotations

from dataclasses import dataclass

from axis.core.model import BusinessType, Kind, OrganNumber
from axis.core.reasons import Cause
from axis.flow.receive import Inbound
from signing.verify import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was known of a message when it was refused or held; nothing of it for a secrecy hit."""

    kind: Kind | None = None
    sender: OrganNumber | None = None
    from_code: str | None = None
    document_id: str | None = None
    business_type: BusinessType | None = None
    code: str | None = None
    subject: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The axis's explained no (Trục không tiếp nhận). Every cause belongs to the sender."""

    inbound: Inbound
    causes: tuple[Cause, ...]
    known: Known = Known()
    keep_bytes: bool = True
    """Whether the received bytes may be kept for a while; false for a secrecy hit (LR-02), and for what was not read."""
    verdict: Verdict | None = None
    """What step 4 found, when it came to that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A recorded not yet (chờ xác minh): nobody can tell, or the cause is ours; tried again by itself."""

    inbound: Inbound
    causes: tuple[Cause, ...]
    known: Known = Known()
    claim: str | None = None
    """The key it occupies while it is held, when that much is known."""
    verdict: Verdict | None = None
    """What step 4 found, when it came to that."""
