"""
Tokens of a timestamp authority over the log's checkpoints (RFC 3161), off the road.

A checkpoint stands for every record before it, so one token covers them all and nobody waits for one. While the
authority is away nothing stops: `waiting_since` says from when on evidence is complete but for its time, and the first
token after it comes back completes everything that waited. That there is a token is recorded in the log itself, so the
next checkpoint covers it; a checkpoint over nothing but that record gets none, or an idle axis would stamp for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from axis.core.errors import ServiceUnavailable
from axis.core.events import Event, EventKind
from axis.core.model import Actor, Digest, EventId, iso
from axis.core.ports import Blobs, Clock, Ids, Ledger
from signing.certificates import TrustStore
from signing.policy import CURRENT_POLICY, Policy
from signing.revocation import RevocationSource
from signing.timestamp import (
    CONTENT_TYPE,
    MAX_RESPONSE_BYTES,
    Timestamp,
    Timestamper,
    TimestampError,
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A signed checkpoint."""

    size: int
    note: str


class Checkpoints(Protocol):
    """Signed heads of the log, and which of them have tokens. Raises `ServiceUnavailable`."""

    async def unstamped(self) -> Head | None:
        """The newest checkpoint, when it covers a record that no token covers and that is more than a token's own."""
        ...

    async def is_stamped(self, size: int) -> bool:
        """Whether this checkpoint has a token."""
        ...


class Authority(Protocol):
    """The timestamp authority."""

    async def fetch(self, url: str, *, most: int, body: bytes | None = None, content_type: str = "") -> bytes:
        """The answer to a request that is posted. Raises `ServiceUnavailable`."""
        ...


class Timekeeper:
    """Asks for tokens. Any number may run: they ask for more than is needed, and nothing else."""

    def __init__(
        self,
        *,
        url: str,
        trust: TrustStore,
        every: timedelta,
        checkpoints: Checkpoints,
        authority: Authority,
        ledger: Ledger,
        blobs: Blobs,
        clock: Clock,
        ids: Ids,
        policy: Policy = CURRENT_POLICY,
        revocation: RevocationSource | None = None,
        turn_seconds: float = 1.0,
    ) -> None:
        self._url = url
        self._checkpoints = checkpoints
        self._authority = authority
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._ids = ids
        self._turn_seconds = turn_seconds
        self._timestamper = Timestamper(trust=trust, every=every, policy=policy, revocation=revocation)
        self._asking: Head | None = None

    @property
    def waiting_since(self) -> datetime | None:
        """Since when the oldest checkpoint waits that no token covers yet."""
        return self._timestamper.waiting_since

    async def run(self, stop: asyncio.Event) -> None:
        """Ask for tokens until `stop`."""
        while not stop.is_set():
            try:
                await self.turn()
            except ServiceUnavailable as trouble:
                log.warning("timestamp.waiting", service=trouble.service, cause=trouble.cause)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._turn_seconds):
                    await stop.wait()

    async def turn(self) -> Timestamp | None:
        """
        Ask for a token over the newest checkpoint, when one is due; the token, once it is recorded.

        Raises:
            ServiceUnavailable: ledger or disk do not answer; the token is asked for again.
        """
        head = await self._checkpoints.unstamped()
        if head is None:
            return None
        now = self._clock.now()
        self._timestamper.offer(head.note.encode(), now=now)
        request = self._timestamper.due(now=now)
        if request is None:
            return None
        try:
            response = await self._authority.fetch(
                self._url, most=MAX_RESPONSE_BYTES, body=request.der, content_type=CONTENT_TYPE
            )
        except ServiceUnavailable as trouble:
            self._timestamper.failed(now=self._clock.now())
            log.warning(
                "timestamp.silent",
                cause=trouble.cause,
                waiting_since=iso(self.waiting_since) if self.waiting_since is not None else None,
            )
            return None
        try:
            timestamp = self._timestamper.take(response, now=self._clock.now())
        except TimestampError as refused:
            # What it says is wrong, whatever it costs to find out: a person looks at the authority or at the roots.
            log.error("timestamp.refused", fault=refused.fault.value, detail=refused.detail[:200])  # noqa: TRY400
            return None
        await self._keep(head, timestamp, response)
        return timestamp

    async def _keep(self, head: Head, timestamp: Timestamp, response: bytes) -> None:
        await self._blobs.put([response])
        if await self._checkpoints.is_stamped(head.size):
            return
        at = self._clock.now()
        event = Event(
            id=EventId(self._ids.new(at)),
            kind=EventKind.LOG_TIMESTAMPED,
            at=at,
            by=Actor(axis="timestamp"),
            facts={
                "size": head.size,
                "note_sha256": timestamp.message_sha256,
                "digest": Digest(timestamp.sha256),
                "at": iso(timestamp.at),
                "serial": timestamp.serial[:64],
                "policy": timestamp.policy,
                "authority": timestamp.authority.subject[:500],
                "chain": [one.sha256 for one in timestamp.chain],
                "revocation": timestamp.revocation.value
                if timestamp.revocation is not None
                else "not_checked",
            },
        )
        async with self._ledger.transaction() as tx:
            await tx.append([event])
        log.info("timestamp.taken", size=head.size, at=iso(timestamp.at))
