"""
Verdicts that come, or change, after a document has travelled.

    settle          what travelled as `indeterminate` (urgent, revocation not known) gets its verdict
    turned_bad_by   a new list revokes a certificate as of a moment before something signed with it was received

Either way one event tells the sender and every receiver (`document.verified`), and what nobody has taken yet of a
document that turned bad is withdrawn. A document that turns bad keeps its receipt: that it was accepted stays true.
Only revocation is judged again; another doubt (roots that changed since) is told to an operator and changes nothing.
A document whose bytes were purged cannot be judged again, which is said in the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import structlog

from axis.core.errors import NotFound
from axis.core.events import JSON, Event, EventKind
from axis.core.model import Actor, DocumentKey, EventId, LegalValue, StationId, Tier
from axis.core.ports import Blobs, Clock, Ids, Ledger, Transaction
from axis.core.reasons import Cause, Detail, ReasonCode
from axis.core.rows import DocumentRow
from axis.flow.answer import causes_json
from axis.flow.evidence import verdict_facts
from axis.flow.recall import take_out_waiting
from axis.flow.receive import World
from axis.flow.revocation import Shelf
from signing.crl import parse_list, tabulate
from signing.reasons import EXPLANATIONS
from signing.revocation import RevocationIndex, RevocationSource
from signing.verify import Verdict, judge

log = structlog.get_logger(__name__)

_PAGE: Final = 50
_BY_AXIS: Final = Actor(axis="recheck")


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
        since = await asyncio.to_thread(_newly_revoked, der, before) if by.facts["kind"] == "crl" else {}
        alone = RevocationIndex(policy=world.policy)
        if since:
            alone.add_list(der)
        bad: list[tuple[DocumentRow, Verdict]] = []
        after: DocumentKey | None = None
        while since:
            rows = await self._shelf.signed_under(list(since), after=after, limit=_PAGE)
            for row in rows:
                verdict = await self._judged(row, alone, world=world)
                if verdict is not None and verdict.tier.value == Tier.FAILED.value and _is_final(verdict):
                    bad.append((row, verdict))
            if len(rows) < _PAGE:
                break
            after = rows[-1].id
        async with self._ledger.transaction() as tx:
            events = [by]
            for row, verdict in bad:
                events += await self._events(tx, row, verdict)
            await tx.append(events)

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
        told = dict.fromkeys([row.station, *(one.station for one in deliveries if one.station is not None)])
        events = [self._event(now, tier, verdict, told, at=at)]
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


def _newly_revoked(der: bytes, before: bytes | None) -> dict[str, None]:
    """Serial numbers (hex) that this list names and the one before it did not."""
    named = tabulate(parse_list(der)).places.keys()
    known = tabulate(parse_list(before)).places.keys() if before is not None else set[int]()
    return {f"{serial:x}": None for serial in sorted(named - known)}
