"""
Pushes received documents to an HTTP endpoint of the agency's own system; `done` only after it answered 2xx.

    POST <url>                          the body is the document, byte for byte
    Content-Type                        application/edxml+xml
    Idempotency-Key                     the axis's id of the document: the same one may come more than once
    X-Axis-Consignment                  base64url of the consignment's JSON (docs/connect.md): kind, tier, legal value …
    X-Axis-Digest                       SHA-256 of the body, hexadecimal
    X-Axis-Timestamp                    seconds since 1970 when this attempt was signed
    X-Axis-Signature                    v1=<hexadecimal HMAC-SHA256 with the shared secret>

What is signed are five lines, each ended by U+000A: `axis webhook v1`, timestamp, consignment, digest, document.
`is_genuine` checks it; an endpoint refuses what is older than five minutes and compares the digest with the body.

2xx: taken. 408, 429, 5xx: tried again, at most `TRIES` times, then `fail` (the axis offers it again). Any other answer
is the system's "no": `fail` with what it said. An endpoint that cannot be reached is waited for, for ever: nothing is
failed because a system is down.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

import httpx2
import structlog

from adapters.document import Document
from adapters.errors import NotPossible
from adapters.pauses import Pauses
from adapters.station import Station
from axis.broker.wire import MAX_REFS
from axis.core.exchange import consignment_json, dump
from axis.core.ports import Clock

_log = structlog.get_logger(__name__)

CONSIGNMENT: Final = "X-Axis-Consignment"
DIGEST: Final = "X-Axis-Digest"
TIMESTAMP: Final = "X-Axis-Timestamp"
SIGNATURE: Final = "X-Axis-Signature"
IDEMPOTENCY_KEY: Final = "Idempotency-Key"

MAX_AGE: Final = timedelta(minutes=5)
MIN_SECRET_BYTES: Final = 32
TRIES: Final = 8
"""Attempts while the endpoint answers that it cannot, over some five minutes."""

_LONGEST_PAUSE_SECONDS: Final = 120.0
_MAX_WORDS_BYTES: Final = 4 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What the endpoint said of a document."""

    taken: bool
    may_pass: bool = False
    """It may be taken later."""
    words: str = ""
    retry_after_seconds: float | None = None


class Webhook:
    """One station's documents, pushed to one endpoint. `run` serves until it is told to stop."""

    def __init__(
        self,
        station: Station,
        url: str,
        *,
        secret: bytes,
        clock: Clock,
        parallel: int = 4,
        answer_seconds: float = 60,
        longest_pause_seconds: float = _LONGEST_PAUSE_SECONDS,
        tls: ssl.SSLContext | None = None,
        unsafe_without_tls: bool = False,
    ) -> None:
        """
        Check the settings; nothing is sent yet.

        Args:
            station: An open station.
            url: The endpoint.
            secret: Shared with it, at least 32 bytes.
            clock: What the signature's time is read from.
            parallel: Documents pushed at a time.
            answer_seconds: How long the endpoint may take to answer.
            longest_pause_seconds: Longest pause between attempts.
            tls: Roots, and a client certificate where one is needed.
            unsafe_without_tls: Allow plain HTTP to another machine: documents are then readable on their way.

        Raises:
            NotPossible: they cannot work.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise NotPossible("the endpoint's address begins with https://")
        loopback = parts.hostname.startswith(("127.", "localhost", "::1"))
        if parts.scheme == "http" and not loopback and not unsafe_without_tls:
            raise NotPossible(f"without TLS documents could be read on their way to {parts.hostname}")
        if len(secret) < MIN_SECRET_BYTES:
            raise NotPossible(f"the shared secret has at least {MIN_SECRET_BYTES} bytes")
        self._station = station
        self._url = url
        self._secret = secret
        self._clock = clock
        self._parallel = parallel
        self._longest_pause_seconds = longest_pause_seconds
        try:
            self._client = httpx2.AsyncClient(
                timeout=httpx2.Timeout(answer_seconds, connect=10, pool=None),
                limits=httpx2.Limits(max_connections=parallel),
                headers={"User-Agent": "axis-webhook/1"},
                verify=tls if tls is not None else True,
                trust_env=False,
            )
        except (httpx2.InvalidURL, ValueError) as error:
            raise NotPossible("the endpoint cannot be called") from error

    async def run(self, stop: asyncio.Event) -> None:
        """
        Push until `stop`. What is under way then is not done: it comes again.

        Raises:
            NotAllowed: the axis does not take the station's key.
        """
        inbox = self._station.receive(window=2 * self._parallel)

        async def work() -> None:
            async for document in inbox:
                await self._push(document)

        tasks = [asyncio.ensure_future(work()) for _ in range(self._parallel)]
        stopping = asyncio.ensure_future(stop.wait())
        try:
            done, _ = await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                await task
        finally:
            for task in (*tasks, stopping):
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)
            await inbox.aclose()
            await self._client.aclose()

    async def _push(self, document: Document) -> None:
        pauses = Pauses(station=self._station.id, first=0.5, longest=self._longest_pause_seconds)
        tries = 0
        while True:
            try:
                outcome = await self._attempt(document)
            except (httpx2.HTTPError, httpx2.StreamError) as error:
                # Nobody answered: that says nothing about the document.
                _log.warning("webhook.not_reached", document=document.key, cause=type(error).__name__)
                await pauses.wait()
                continue
            if outcome.taken:
                await document.done()
                _log.info("webhook.taken", document=document.key, kind=document.kind.value)
                return
            tries += 1
            if not outcome.may_pass or tries >= TRIES:
                _log.warning("webhook.refused", document=document.key, cause=outcome.words)
                await document.fail(outcome.words)
                return
            await pauses.wait(at_least=outcome.retry_after_seconds)

    async def _attempt(self, document: Document) -> _Outcome:
        body = await asyncio.to_thread(lambda: document.body)
        headers = signed_headers(
            consignment=_consignment(document),
            digest=document.digest,
            document=document.key,
            at=self._clock.now(),
            secret=self._secret,
        )
        async with self._client.stream("POST", self._url, content=body, headers=headers) as response:
            status = response.status_code
            words = bytearray()
            async for piece in response.aiter_raw():
                words += piece
                if len(words) > _MAX_WORDS_BYTES:
                    break
        said = " ".join(words.decode(errors="replace").split())[:300]
        retry_after = response.headers.get("Retry-After", "")
        return _Outcome(
            taken=200 <= status < 300,
            may_pass=status in {408, 425, 429} or status >= 500,
            words=f"HTTP {status} {said}".strip(),
            retry_after_seconds=float(retry_after) if retry_after.isdecimal() else None,
        )


def _consignment(document: Document) -> str:
    """The header's JSON as one word; a header has room for the first fifty deliveries, as on the wire."""
    header = replace(document.header, deliveries=document.header.deliveries[:MAX_REFS])
    return base64.urlsafe_b64encode(dump(consignment_json(header))).decode()


def signed_headers(
    *, consignment: str, digest: str, document: str, at: datetime, secret: bytes
) -> dict[str, str]:
    """The headers of one attempt."""
    timestamp = str(int(at.timestamp()))
    return {
        "Content-Type": "application/edxml+xml",
        IDEMPOTENCY_KEY: document,
        CONSIGNMENT: consignment,
        DIGEST: digest,
        TIMESTAMP: timestamp,
        SIGNATURE: "v1=" + _mac(timestamp, consignment, digest, document, secret=secret),
    }


def is_genuine(headers: Mapping[str, str], body: bytes, *, secret: bytes, now: datetime) -> bool:
    """
    Whether a request came from the station, lately, with this body: what an endpoint asks before anything else.

    `headers` by any case of their names.
    """
    found = {name.lower(): value for name, value in headers.items()}
    try:
        timestamp, consignment, digest, document, signature = (
            found[name.lower()] for name in (TIMESTAMP, CONSIGNMENT, DIGEST, IDEMPOTENCY_KEY, SIGNATURE)
        )
        age = abs(now.timestamp() - int(timestamp))
    except (KeyError, ValueError):
        return False
    expected = "v1=" + _mac(timestamp, consignment, digest, document, secret=secret)
    return (
        hmac.compare_digest(expected.encode(), signature.encode(errors="replace"))
        and age <= MAX_AGE.total_seconds()
        and hashlib.sha256(body).hexdigest() == digest
    )


def _mac(*parts: str, secret: bytes) -> str:
    text = "".join(f"{one}\n" for one in ("axis webhook v1", *parts))
    return hmac.new(secret, text.encode(errors="replace"), hashlib.sha256).hexdigest()
