"""
What the axis holds about revoked certificates, and who keeps it fresh. No message ever waits for the network here.

    Revocations        the index that step 4 asks; it follows what any process of this axis has taken
    RevocationKeeper   in the background: reads files, fetches configured addresses, takes what is new

To take a list is: keep its bytes, find the documents it turns bad, record it together with those, and only then ask
it. So every source that a verdict names is kept, and a revocation that comes to light later reaches what was accepted.
Only addresses in the settings are ever asked, never one that a message names. Where nothing is configured nothing is
asked, and every verdict says `not_checked`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit, urlunsplit

import structlog
from cryptography import x509

from axis.core.errors import NotFound, ServiceUnavailable
from axis.core.events import Event, EventKind
from axis.core.model import Actor, Digest, DocumentKey, EventId, iso
from axis.core.ports import Blobs, Clock, Ids
from axis.core.rows import DocumentRow
from axis.flow.receive import World
from signing.certificates import TrustStore
from signing.crl import facts_of, parse_list, split_lists
from signing.errors import MaterialError
from signing.files import read_file
from signing.ocsp import read_response
from signing.policy import CURRENT_POLICY, Policy
from signing.refresh import Fetch, FetchKind, Refresher
from signing.revocation import (
    DeferredSlowPath,
    RevocationAnswer,
    RevocationIndex,
    RevocationSource,
    RevocationState,
)

log = structlog.get_logger(__name__)

_REMEMBERED: Final = timedelta(hours=25)
"""Lists that old are loaded at a start beside the newest: holds are tried for 24 hours, as of their receipt."""
_MOST_PAIRS: Final = 5_000
"""Signers that a responder is asked about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where lists and responses may come from: settings of the operator."""

    files: tuple[Path, ...] = ()
    lists: tuple[str, ...] = ()
    """Addresses of lists."""
    responders: tuple[str, ...] = ()
    """Addresses of OCSP responders."""

    @property
    def are_configured(self) -> bool:
        """Whether revocation is checked at all."""
        return bool(self.files or self.lists or self.responders)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEvidence:
    """A list or response whose bytes are kept."""

    digest: Digest
    kind: str
    """`crl` or `ocsp`."""
    about: str
    """Whose certificates: name of the issuer, or hash of its key and the serial number asked for."""
    number: str
    issued_at: datetime
    next_update: datetime | None


class Shelf(Protocol):
    """Kept lists and responses, and which documents they concern. Raises `ServiceUnavailable`."""

    async def mark(self) -> int:
        """Grows whenever something is taken."""
        ...

    async def wanted(self, *, at: datetime, within: timedelta) -> Sequence[KeptEvidence]:
        """The newest of every issuer, and all younger than `within`; oldest first."""
        ...

    async def since(self, mark: int) -> Sequence[KeptEvidence]:
        """What was taken since, and a little before; oldest first."""
        ...

    async def has(self, digest: Digest) -> bool:
        """Whether it was taken."""
        ...

    async def indeterminate(self, *, after: DocumentKey | None, limit: int) -> Sequence[DocumentRow]:
        """Documents that travelled although nobody could tell yet, behind `after`, by their ids."""
        ...

    async def signed_under(
        self, serials: Collection[str], *, since: datetime, after: DocumentKey | None, limit: int
    ) -> Sequence[DocumentRow]:
        """
        Documents received from `since` on whose signature rests on certificates of these serial numbers (hex), the
        signer's own or one above it, whoever issued them; as above.
        """
        ...

    async def valued_under(
        self, serials: Collection[str], *, since: datetime, after: DocumentKey | None, limit: int
    ) -> Sequence[DocumentRow]:
        """The same for signatures inside the files of documents that are worth more than a reference."""
        ...

    async def try_holds(self, *, at: datetime) -> None:
        """What is held because nobody could tell is tried at once."""
        ...


class Fetcher(Protocol):
    """Asks an address of the settings."""

    async def fetch(self, url: str, *, most: int, body: bytes | None = None, content_type: str = "") -> bytes:
        """
        The body of the answer, at most so many bytes; with a `body` it is posted.

        Raises:
            ServiceUnavailable: no answer, none that is good, or too much of it.
        """
        ...


class Concerned(Protocol):
    """Knows what a new list means for what was accepted before; see `axis.flow.recheck`."""

    async def turned_bad_by(self, der: bytes, *, before: bytes | None, world: World, by: Event) -> None:
        """Record the new list, `by`, and with it every document that it turns bad; `before` is the list it follows."""
        ...

    async def settle(self, *, world: World) -> int:
        """Judge again what travelled as indeterminate; how many verdicts came."""
        ...


class _Asking:
    """The index, and who was asked about: a responder is asked the same later. Implements `RevocationSource`."""

    def __init__(self, index: RevocationIndex) -> None:
        self._index = index
        self.pairs: dict[bytes, tuple[x509.Certificate, x509.Certificate]] = {}

    def status(
        self, certificate: x509.Certificate, *, issuer: x509.Certificate, at: datetime
    ) -> RevocationAnswer:
        # Its chain holds by now (step 8 follows step 6), so a stranger's certificate never comes here.
        if len(self.pairs) < _MOST_PAIRS:
            self.pairs[certificate.tbs_certificate_bytes] = certificate, issuer
        return self._index.status(certificate, issuer=issuer, at=at)


class _SlowPath:
    """The slow path over the roots of this moment."""

    def __init__(self, trust: Callable[[], TrustStore | None], policy: Policy) -> None:
        self._trust = trust
        self._policy = policy
        self._store: TrustStore | None = None
        self._path: DeferredSlowPath | None = None

    def status(
        self, certificate: x509.Certificate, *, issuer: x509.Certificate, lists: Sequence[bytes], at: datetime
    ) -> RevocationAnswer:
        store = self._trust()
        if store is None:
            return RevocationAnswer(state=RevocationState.UNKNOWN, source="")
        if store is not self._store or self._path is None:
            self._store, self._path = store, DeferredSlowPath(store, policy=self._policy)
        return self._path.status(certificate, issuer=issuer, lists=lists, at=at)


class Revocations:
    """Lists and responses in memory; what another process took is read when the ledger says that there is something."""

    def __init__(
        self,
        *,
        sources: Sources,
        shelf: Shelf,
        blobs: Blobs,
        clock: Clock,
        trust: Callable[[], TrustStore | None],
        policy: Policy = CURRENT_POLICY,
    ) -> None:
        self.sources = sources
        self.index = RevocationIndex(policy=policy, slow=_SlowPath(trust, policy))
        self.asking = _Asking(self.index)
        self.generation = 0
        """Grows with everything that is new in memory."""
        self._shelf = shelf
        self._blobs = blobs
        self._clock = clock
        self._mark: int | None = None
        self._held: set[Digest] = set()
        self._reading = asyncio.Lock()

    async def current(self) -> RevocationSource | None:
        """
        What step 4 asks now; None where no source is configured.

        Raises:
            ServiceUnavailable: the ledger does not answer.
        """
        if not self.sources.are_configured:
            return None
        if self._mark is None or self._mark != await self._shelf.mark():
            await self._follow()
        return self.asking

    def holds(self, digest: Digest) -> bool:
        """Whether it is in memory."""
        return digest in self._held

    async def add(self, evidence: Sequence[KeptEvidence]) -> None:
        """Ask these from now on; their bytes are kept."""
        for one in evidence:
            if one.digest in self._held:
                continue
            try:
                await asyncio.to_thread(self._add, one)
            except MaterialError as problem:
                # It was readable when it was taken: its file was changed since, and then it says nothing.
                log.error("revocation.unreadable", digest=one.digest, problem=str(problem)[:200])  # noqa: TRY400
                continue
            self._held.add(one.digest)
            self.generation += 1

    async def _follow(self) -> None:
        async with self._reading:
            before, mark = self._mark, await self._shelf.mark()
            if before is None:
                found = await self._shelf.wanted(at=self._clock.now(), within=_REMEMBERED)
            elif before != mark:
                found = await self._shelf.since(before)
            else:
                return
            await self.add(found)
            self._mark = mark

    def _add(self, one: KeptEvidence) -> None:
        path = self._blobs.path(one.digest)
        content = read_file(path)
        if sha256(content).hexdigest() != one.digest:
            raise MaterialError("file.changed", path.name)
        if one.kind == "crl":
            self.index.add_file(path)
        else:
            self.index.add_response(content)


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationPace:
    """How often."""

    turn_seconds: float = 1.0
    every: timedelta = timedelta(hours=1)
    """An address is asked at least that often."""
    retry: timedelta = timedelta(minutes=1)


class RevocationKeeper:
    """Takes what files and addresses hold. Any number may run; what one took the others find in the ledger."""

    def __init__(
        self,
        *,
        revocations: Revocations,
        shelf: Shelf,
        blobs: Blobs,
        fetcher: Fetcher,
        concerned: Concerned,
        world: Callable[[], Awaitable[World]],
        clock: Clock,
        ids: Ids,
        pace: RevocationPace | None = None,
    ) -> None:
        self._revocations = revocations
        self._shelf = shelf
        self._blobs = blobs
        self._fetcher = fetcher
        self._concerned = concerned
        self._world = world
        self._clock = clock
        self._ids = ids
        self._pace = pace or RevocationPace()
        self._refresher = Refresher(revocations.index, every=self._pace.every, retry=self._pace.retry)
        self._marks: dict[Path, tuple[int, int]] = {}
        self._settled = -1
        self._warned: list[str] = []
        now = clock.now()
        for url in revocations.sources.lists:
            self._refresher.watch_list(url, now=now)

    async def run(self, stop: asyncio.Event) -> None:
        """Keep fresh until `stop`; where nothing is configured, say so once."""
        if not self._revocations.sources.are_configured:
            log.warning("revocation.not_configured")
            return
        while not stop.is_set():
            try:
                await self.turn()
            except ServiceUnavailable as trouble:
                log.warning("revocation.waiting", service=trouble.service, cause=trouble.cause)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pace.turn_seconds):
                    await stop.wait()

    async def turn(self) -> None:
        """
        Files that changed, addresses that are due, and what follows for documents.

        Raises:
            ServiceUnavailable: the ledger or the disk does not answer; nothing is lost by trying again.
        """
        await self._revocations.current()
        await self._read_files()
        self._watch_signers()
        due = self._refresher.due(now=self._clock.now())
        await asyncio.gather(*(self._fetch(one) for one in due))
        self._warn()
        if self._settled != self._revocations.generation:
            generation = self._revocations.generation
            await self._shelf.try_holds(at=self._clock.now())
            await self._concerned.settle(world=await self._world())
            self._settled = generation

    async def take(self, content: bytes, *, kind: FetchKind, origin: str) -> None:
        """
        Keep, record and ask the lists or the response in `content`; `origin` says where they come from.

        Raises:
            MaterialError: there is none in it.
            ServiceUnavailable: not recorded for certain.
        """
        pieces = split_lists(content) if kind is FetchKind.LIST else (content,)
        for der in pieces:
            one = await asyncio.to_thread(_describe, der, kind=kind)
            if self._revocations.holds(one.digest):
                continue
            if not await self._shelf.has(one.digest):
                await self._blobs.put([der])
                await self._record(der, one, origin=origin)
                log.info("revocation.taken", kind=one.kind, about=one.about, number=one.number, origin=origin)
            await self._revocations.add([one])

    async def _record(self, der: bytes, one: KeptEvidence, *, origin: str) -> None:
        at = self._clock.now()
        event = Event(
            id=EventId(self._ids.new(at)),
            kind=EventKind.REVOCATION_TAKEN,
            at=at,
            by=Actor(axis="revocation"),
            facts={
                "digest": one.digest,
                "kind": one.kind,
                "about": one.about,
                "number": one.number,
                "issued_at": iso(one.issued_at),
                "next_update": iso(one.next_update) if one.next_update is not None else None,
                "size": len(der),
                "origin": origin[:500],
            },
        )
        before = None
        if one.kind == "crl":
            newest = self._revocations.index.newest(parse_list(der).issuer)
            with contextlib.suppress(NotFound):
                # Without the one before it, everything the list names is looked for: slower, and nothing is missed.
                before = await self._blobs.read(Digest(newest.sha256)) if newest is not None else None
        await self._concerned.turned_bad_by(der, before=before, world=await self._world(), by=event)

    # --- where it comes from --------------------------------------------------------------------------------------

    async def _read_files(self) -> None:
        for path in self._revocations.sources.files:
            try:
                found = path.stat()
                mark = found.st_mtime_ns, found.st_size
                if self._marks.get(path) == mark:
                    continue
                self._marks[path] = mark
                if found.st_size:
                    content = await asyncio.to_thread(read_file, path)
                    await self.take(content, kind=FetchKind.LIST, origin=f"file:{path.name}")
            except ServiceUnavailable:
                self._marks.pop(path, None)
                raise
            except (MaterialError, OSError) as problem:
                log.error("revocation.file", file=str(path), problem=str(problem)[:200])  # noqa: TRY400 - a person mends it

    def _watch_signers(self) -> None:
        responders, pairs = self._revocations.sources.responders, self._revocations.asking.pairs
        if not responders:
            pairs.clear()
        now = self._clock.now()
        while pairs:
            _, (certificate, issuer) = pairs.popitem()
            for url in responders:
                self._refresher.watch_question(certificate, issuer, url=url, now=now)

    async def _fetch(self, fetch: Fetch) -> None:
        try:
            content = await self._fetcher.fetch(
                fetch.url, most=fetch.max_bytes, body=fetch.body, content_type="application/ocsp-request"
            )
            await self.take(content, kind=fetch.kind, origin=_shown(fetch.url))
            self._refresher.take(fetch, content, now=self._clock.now())
        except MaterialError as problem:
            self._refresher.failed(fetch, now=self._clock.now())
            log.warning("revocation.no_list", url=_shown(fetch.url), problem=str(problem)[:200])
        except ServiceUnavailable as trouble:
            self._refresher.failed(fetch, now=self._clock.now())
            log.warning("revocation.silent", url=_shown(fetch.url), cause=trouble.cause)

    def _warn(self) -> None:
        overdue = [_shown(one) for one in self._refresher.overdue(now=self._clock.now())]
        if overdue and overdue != self._warned:
            log.error("revocation.overdue", authorities=overdue)
        self._warned = overdue


def _shown(address: str) -> str:
    """An address as a record or a log may say it: without user and password. Names of authorities stay as they are."""
    if not address.startswith(("http://", "https://")):
        return address
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))


def _describe(der: bytes, *, kind: FetchKind) -> KeptEvidence:
    """
    What a list or response says about itself.

    Raises:
        MaterialError: it is none.
    """
    digest = Digest(sha256(der).hexdigest())
    if kind is FetchKind.LIST:
        facts = facts_of(parse_list(der), digest=digest)
        return KeptEvidence(
            digest=digest,
            kind="crl",
            about=facts.issuer[:500],
            # A number of RFC 5280 has up to 20 octets; what is longer names no list any better.
            number="-" if facts.number is None else str(facts.number)[:64],
            issued_at=facts.issued_at,
            next_update=facts.next_update,
        )
    answers = read_response(der)
    if not answers:
        raise MaterialError("ocsp.unreadable", "no answer")
    first = answers[0]
    return KeptEvidence(
        digest=digest,
        kind="ocsp",
        about=f"{first.issuer_key_hash.hex()}/{first.serial:x}",
        number="-",
        issued_at=first.issued_at,
        next_update=first.next_update,
    )


__all__ = [
    "Concerned",
    "Fetcher",
    "KeptEvidence",
    "RevocationKeeper",
    "RevocationPace",
    "Revocations",
    "Shelf",
    "Sources",
]
