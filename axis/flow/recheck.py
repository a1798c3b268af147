"""
Verdicts that come, or change, after a document has travelled.

    settle          what travelled as `indeterminate` (urgent, revocation not known) gets its verdict
    turned_bad_by   a new list or response revokes a certificate, a signer's or one above it, as of a moment before
                    something signed under it was received

Either way one event tells the sender and every receiver (`document.verified`), and what nobody has taken yet of a
document that turned bad is withdrawn. Where it is a signature inside a file, the document's value is being checked
again from that moment (`document.valued`), and `axis.flow.value` judges its files anew. A document that turns bad keeps its receipt: that it was accepted stays true.
Only revocation is judged again; another doubt (roots that changed since) is told to an operator and changes nothing.
A document whose bytes were purged cannot be judged again, which is said in the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

import structlog

from axis.core.errors import NotFound
from axis.core.events import JSON, Event, EventKind
from axis.core.model import Actor, DeliveryState, DocumentKey, EventId, LegalValue, StationId, Tier
from axis.core.ports import Blobs, Clock, Ids, Ledger, Transaction
from axis.core.reasons import Cause, Detail, ReasonCode
from axis.core.rows import DeliveryRow, DocumentRow
from axis.flow.answer import causes_json
from axis.flow.evidence import verdict_facts
from axis.flow.recall import take_out_waiting
from axis.flow.receive import World
from axis.flow.revocation import Shelf
from signing.crl import parse_list, tabulate
from signing.ocsp import read_response
from signing.reasons import EXPLANATIONS
from signing.revocation import DeferredSlowPath, RevocationIndex, RevocationSource
from signing.verify import Verdict, judge

log = structlog.get_logger(__name__)

_PAGE: Final = 50
_WITHDRAWN: Final = DeliveryState.WITHDRAWN
_BY_AXIS: Final = Actor(axis="recheck")


class _Page(Protocol):
    async def __call__(
        self, serials: Collection[str], *, since: datetime, after: DocumentKey | None, limit: int
    ) -> Sequence[DocumentRow]: ...


class Rechecker:
    """Implements `axis.flow.revocation.Concerned`."""

    def __init__(self, *, ledger: Ledger, blobs: Blobs, shelf: Shelf, clock: Clock, ids: Ids) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._shelf = shelf
        self._clock = clock
        self._ids = ids

    async def settle(self, *, world: World) -> int:
        """See the protocol."""
        came, after = 0, None
        while world.revocation is not None:
            rows = await self._shelf.indeterminate(after=after, limit=_PAGE)
            for row in rows:
                verdict = await self._judged(row, world.revocation, world=world)
                if verdict is not None and _is_final(verdict):
                    async with self._ledger.transaction() as tx:
                        await tx.append(await self._events(tx, row, verdict))
                    came += 1
                elif verdict is not None and verdict.tier.value == Tier.FAILED.value:
                    log.error("recheck.in_doubt", document=row.id, reason=verdict.reason.value)
            if len(rows) < _PAGE:
                break
            after = rows[-1].id
        return came

    async def turned_bad_by(self, der: bytes, *, before: bytes | None, world: World, by: Event) -> None:
        """See the protocol."""
        is_list = by.facts["kind"] == "crl"
        revoked = await asyncio.to_thread(_newly_revoked if is_list else _said_revoked, der, before)
        bad: list[tuple[DocumentRow, Verdict]] = []
        if revoked:
            alone = _alone(der, is_list=is_list, world=world)
            async for row in self._each(self._shelf.signed_under, revoked):
                verdict = await self._judged(row, alone, world=world)
                if verdict is not None and verdict.tier.value == Tier.FAILED.value and _is_final(verdict):
                    bad.append((row, verdict))
        async with self._ledger.transaction() as tx:
            events = [by]
            doubtful: list[DocumentRow] = []
            if revoked:
                # In this order: what is valued by the lists of before was recorded by now, or never is.
                await tx.begin_round()
                doubtful = [row async for row in self._each(self._shelf.valued_under, revoked)]
            for row, verdict in bad:
                events += await self._events(tx, row, verdict)
            judged = {row.id for row, _ in bad}
            for row in doubtful:
                if row.id not in judged and self._has_payload(row):
                    events += await self._valued_again(tx, row)
            await tx.append(events)

    async def _each(self, page: _Page, revoked: Mapping[str, datetime]) -> AsyncIterator[DocumentRow]:
        """Every document that rests on what was revoked, received no earlier than the first of these moments."""
        since, after = min(revoked.values()), None
        while True:
            rows = await page(list(revoked), since=since, after=after, limit=_PAGE)
            for row in rows:
                yield row
            if len(rows) < _PAGE:
                return
            after = rows[-1].id

    def _has_payload(self, row: DocumentRow) -> bool:
        if self._blobs.path(row.digest).is_file():
            return True
        log.error("recheck.payload_gone", document=row.id, digest=row.digest)
        return False

    async def _valued_again(self, tx: Transaction, row: DocumentRow) -> list[Event]:
        """Back to "being checked": who was told a value hears at once that it does not stand for certain."""
        deliveries = await tx.deliveries_of([row.id])
        await tx.consignments_of([one.id for one in deliveries])  # locked before the document
        now = (await tx.documents([row.id]))[row.id]
        if now.value not in {LegalValue.ORIGINAL, LegalValue.COPY}:
            return []  # Another process was quicker.
        at = self._clock.now()
        log.warning("document.value_doubted", document=row.id, value=now.value.value)
        facts: dict[str, JSON] = {
            "kind": now.kind.value,
            "before": now.value.value,
            "value": LegalValue.CHECKING.value,
            "files": [],
        }
        return [
            Event(
                id=EventId(self._ids.new(at)),
                kind=EventKind.DOCUMENT_VALUED,
                at=at,
                by=_BY_AXIS,
                document=row.id,
                stations=tuple(_told(row, [one for one in deliveries if one.state is not _WITHDRAWN])),
                facts=facts,
                previous=now.head,
            )
        ]

    async def _judged(
        self, row: DocumentRow, revocation: RevocationSource, *, world: World
    ) -> Verdict | None:
        trust = world.trust
        if trust is None:
            return None

        def again() -> Verdict:
            with self._blobs.path(row.digest).open("rb") as source:
                return judge(
                    source,
                    trust=trust,
                    at=row.received_at,
                    policy=world.policy,
                    revocation=revocation,
                    limits=world.limits,
                )

        try:
            return await asyncio.to_thread(again)
        except (OSError, NotFound):
            log.error("recheck.payload_gone", document=row.id, digest=row.digest)  # noqa: TRY400 - the file says no more
            return None

    async def _events(self, tx: Transaction, row: DocumentRow, verdict: Verdict) -> list[Event]:
        deliveries = await tx.deliveries_of([row.id])
        await tx.consignments_of([one.id for one in deliveries])  # locked before the document
        now = (await tx.documents([row.id]))[row.id]
        tier = Tier(verdict.tier.value)
        if now.tier not in {Tier.PASSED, Tier.INDETERMINATE} or now.tier is tier:
            return []  # Another process was quicker.
        at = self._clock.now()
        events = [self._event(now, tier, verdict, _told(row, deliveries), at=at)]
        log.warning("document.verified", document=row.id, tier=tier.value, reason=verdict.reason.value)
        if tier is Tier.FAILED:
            events += await take_out_waiting(
                tx,
                [one.id for one in deliveries],
                reason=ReasonCode.DELIVER_TURNED_BAD,
                by=_BY_AXIS,
                at=at,
                ids=self._ids,
            )
        return events

    def _event(
        self,
        row: DocumentRow,
        tier: Tier,
        verdict: Verdict,
        told: Mapping[StationId, None],
        *,
        at: datetime,
    ) -> Event:
        facts: dict[str, JSON] = {
            "kind": row.kind.value,
            "was": row.tier.value,
            "tier": tier.value,
            "causes": [],
            **verdict_facts(verdict),
        }
        if tier is Tier.FAILED:
            text = EXPLANATIONS[verdict.reason]
            detail = Detail(path=verdict.reason.value, vi=text.vi, en=text.en)
            facts["causes"] = causes_json((Cause(code=ReasonCode.VERIFY_CERTIFICATE, details=(detail,)),))
            facts["value"] = LegalValue.REFERENCE.value
        return Event(
            id=EventId(self._ids.new(at)),
            kind=EventKind.DOCUMENT_VERIFIED,
            at=at,
            by=_BY_AXIS,
            document=row.id,
            stations=tuple(told),
            facts=facts,
            previous=row.head,
        )


def _is_final(verdict: Verdict) -> bool:
    return verdict.tier.value == Tier.PASSED.value or (
        verdict.tier.value == Tier.FAILED.value and verdict.reason.value.startswith("revocation.")
    )


def _told(row: DocumentRow, deliveries: Sequence[DeliveryRow]) -> dict[StationId, None]:
    return dict.fromkeys([row.station, *(one.station for one in deliveries if one.station is not None)])


def _alone(der: bytes, *, is_list: bool, world: World) -> RevocationIndex:
    """What is new and nothing else: the rest was asked before."""
    slow = None if world.trust is None else DeferredSlowPath(world.trust, policy=world.policy)
    index = RevocationIndex(policy=world.policy, slow=slow)
    if is_list:
        index.add_list(der)
    else:
        index.add_response(der)
    return index


def _newly_revoked(der: bytes, before: bytes | None) -> dict[str, datetime]:
    """
    Serial numbers (hex) that this list names and the one before it did not, or as of a later moment; since when.
    """
    named = tabulate(parse_list(der))
    known = tabulate(parse_list(before)) if before is not None else None
    found: dict[str, datetime] = {}
    for serial in named.places:
        since = named.revoked_since(serial)
        was = known.revoked_since(serial) if known is not None else None
        if since is not None and (was is None or since < was):
            found[f"{serial:x}"] = since
    return found


def _said_revoked(der: bytes, _: bytes | None) -> dict[str, datetime]:
    """The same of a response. What it said before is found by the documents: they are no longer what it takes away."""
    return {f"{one.serial:x}": one.revoked_at for one in read_response(der) if one.revoked_at is not None}
