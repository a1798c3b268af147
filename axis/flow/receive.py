"""
Step 1: is this something the axis can look at at all? Size, a known station, a message id, the right digest.

Never parses. What is refused here has been read to its end, so that its digest and size can be recorded.
"""

from __future__ import annotations

import hashlib
import io
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from axis.core.directory import Directory, Station
from axis.core.model import Digest, Lane, SignaturePolicy, StationId, StationState, SubmissionId
from axis.core.ports import InboundMessage
from axis.core.reasons import Cause, Detail, ReasonCode
from axis.core.text import printable
from axis.edxml.message import PriorityScale
from signing.certificates import TrustStore
from signing.policy import CURRENT_POLICY, Policy
from signing.revocation import RevocationSource
from signing.skeleton import Limits

LONGEST_MESSAGE_ID = 255
"""What a short string of AMQP holds."""


@dataclass(frozen=True, kw_only=True)
class World:
    """
    Everything outside a message that its judgement depends on. Judging the same bytes against the same world for the
    same moment gives the same result, whoever repeats it.
    """

    directory: Directory
    trust: TrustStore | None
    """None: no roots are installed or they cannot be read. That is our fault, so nothing is refused for it."""
    policy: Policy = CURRENT_POLICY
    revocation: RevocationSource | None = None
    limits: Limits
    priority_scale: PriorityScale = PriorityScale.ZERO_TO_FOUR
    """How the sending station's software numbers urgency."""
    forwards_closed: bool = True
    """What is addressed to a closed organ goes to its successor; otherwise it is refused, and the successor named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """A message with an identity: what steps 2 to 5 judge."""

    submission: SubmissionId
    station: StationId | None
    policy: SignaturePolicy
    message_id: str
    payload: bytes | Path
    digest: Digest
    size: int
    lane: Lane
    received_at: datetime
    after_hold: bool = False
    """It was recorded as held before and is judged again: same submission, same time of receipt."""
    unburies: SubmissionId | None = None
    """It died before anyone judged it and an operator sends it round again."""

    def open(self) -> BinaryIO:
        """The received bytes from their beginning."""
        return io.BytesIO(self.payload) if isinstance(self.payload, bytes) else self.payload.open("rb")


def weigh(payload: bytes | Path) -> tuple[Digest, int]:
    """SHA-256 and size of a payload, in constant memory."""
    if isinstance(payload, bytes):
        return Digest(hashlib.sha256(payload).hexdigest()), len(payload)
    with closing(payload.open("rb")) as source:
        return Digest(hashlib.file_digest(source, "sha256").hexdigest()), payload.stat().st_size


def receive(
    message: InboundMessage, *, submission: SubmissionId, payload: bytes | Path | None, world: World
) -> tuple[Inbound, Cause | None]:
    """
    The message as something to judge, and the reason not to judge it, if there is one.

    `payload` is what the digest of a by-digest submission stands for, None when this station has not uploaded it.
    """
    station = world.directory.stations.get(message.station) if message.station is not None else None
    content = message.body if payload is None and not message.by_digest else (payload or b"")
    digest, size = weigh(content)
    inbound = Inbound(
        submission=submission,
        station=message.station if station is not None else None,
        policy=station.policy if station is not None else SignaturePolicy.REQUIRED,
        message_id=printable(message.message_id, most=LONGEST_MESSAGE_ID),
        payload=content,
        digest=digest,
        size=size,
        lane=message.lane,
        received_at=message.received_at,
    )
    return inbound, _problem(message, station, inbound, payload, world)


def _problem(
    message: InboundMessage,
    station: Station | None,
    inbound: Inbound,
    payload: bytes | Path | None,
    world: World,
) -> Cause | None:
    if station is None:
        return Cause(code=ReasonCode.RECEIVE_NO_STATION)
    if station.state is StationState.SUSPENDED:
        return Cause(code=ReasonCode.RECEIVE_SUSPENDED)
    if not message.message_id or message.message_id != inbound.message_id:
        # Too long, or with control characters: it could not be answered under the id it came with.
        return Cause(code=ReasonCode.RECEIVE_NO_MESSAGE_ID)
    if message.envelope_problem:
        what = printable(message.envelope_problem, most=200)
        detail = Detail(path="$", vi=what, en=what)
        return Cause(code=ReasonCode.RECEIVE_ENVELOPE, details=(detail,))
    if message.by_digest and payload is None:
        return Cause(code=ReasonCode.RECEIVE_NOT_UPLOADED)
    if inbound.size == 0:
        return Cause(code=ReasonCode.RECEIVE_EMPTY)
    if inbound.size > world.limits.message_bytes:
        limit = world.limits.message_bytes
        return Cause(
            code=ReasonCode.RECEIVE_TOO_LARGE,
            details=(
                Detail(
                    path="$",
                    vi=f"{inbound.size} byte, tối đa {limit}",
                    en=f"{inbound.size} bytes, at most {limit}",
                ),
            ),
        )
    if message.declared_digest is not None and message.declared_digest.lower() != inbound.digest:
        return Cause(
            code=ReasonCode.RECEIVE_DIGEST,
            details=(
                Detail(
                    path="$",
                    vi=f"Nội dung nhận được có mã băm {inbound.digest}",
                    en=f"The bytes received have the digest {inbound.digest}",
                ),
            ),
        )
    return None
