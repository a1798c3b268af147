"""
Histories for tests: events as the flow records them, written into a real ledger.

`Story(ledger)` tells one history; every call is one transaction, and every event names the one before it. Each
default is right, so that a test says only what is odd. Import as `tests.ledger.builders`.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from axis.core.events import JSON, Event, EventKind
from axis.core.ids import compose
from axis.core.lifecycle import DeliveryStep, next_delivery_state
from axis.core.model import (
    Actor,
    ConsignmentId,
    DeliveryId,
    DeliveryState,
    Digest,
    DocumentKey,
    EventId,
    Kind,
    StationId,
    SubmissionId,
    iso,
)
from axis.core.reasons import REASONS, ReasonCode
from axis.ledger.store import SQLLedger
from signing.note import SigningKey

NOON = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
"""Noon in Vietnam."""

LOG = "log.example/axis"
LOG_KEY = SigningKey.from_seed(LOG, seed=bytes(range(32)))

_STORIES = itertools.count()

_STEP_OF = {
    DeliveryStep.HAND_OVER: EventKind.DELIVERY_HANDED_OVER,
    DeliveryStep.OFFER_AGAIN: EventKind.DELIVERY_OFFERED_AGAIN,
    DeliveryStep.FETCH: EventKind.DELIVERY_FETCHED,
    DeliveryStep.ACKNOWLEDGE: EventKind.DELIVERY_ACKNOWLEDGED,
    DeliveryStep.FAIL: EventKind.DELIVERY_FAILED,
    DeliveryStep.WITHDRAW: EventKind.DELIVERY_WITHDRAWN,
    DeliveryStep.REPLAY: EventKind.DELIVERY_REPLAYED,
}


class Clock:
    """Time that moves a millisecond whenever somebody looks, and further when it is told to."""

    def __init__(self, at: datetime = NOON) -> None:
        self._now = at

    def now(self) -> datetime:
        self._now += timedelta(milliseconds=1)
        return self._now

    def move(self, **by: float) -> None:
        self._now += timedelta(**by)

    def set(self, at: datetime) -> None:
        self._now = at


class Ids:
    """
    Ids of their moment whose random part is drawn from a counter by a hash: in no order within a millisecond.
    """

    def __init__(self, seed: str = "") -> None:
        self._seed = seed
        self._last = 0

    def new(self, at: datetime) -> str:
        self._last += 1
        drawn = hashlib.sha256(f"{self._seed}/{self._last}".encode()).digest()
        return compose(at=at, randomness=int.from_bytes(drawn[:10], "big"))


async def until(fact: Callable[[], Awaitable[bool]], *, within_s: float = 30) -> None:
    """Return as soon as the fact holds; the tests' only way to wait for what another task does."""
    async with asyncio.timeout(within_s):
        while not await fact():  # noqa: ASYNC110 - a fact in a database has nobody who tells of it
            await asyncio.sleep(0.02)


def digest_of(text: str) -> Digest:
    return Digest(hashlib.sha256(text.encode()).hexdigest())


def causes_of(reason: ReasonCode) -> list[JSON]:
    return [{"code": reason.value, "owner": REASONS[reason].owner.value, "details": []}]


@dataclass(kw_only=True)
class Sent:
    """An accepted message: its acceptance, and where its parts stand."""

    acceptance: Event
    document: DocumentKey
    submission: SubmissionId
    root: DocumentKey
    station: StationId
    facts: Mapping[str, JSON]
    deliveries: dict[int, DeliveryId]
    consignment_of: dict[int, ConsignmentId]
    states: dict[int, DeliveryState]
    heads: dict[ConsignmentId, str] = field(default_factory=dict)

    def organs_in(self, consignment: ConsignmentId) -> list[int]:
        return [organ for organ, one in self.consignment_of.items() if one == consignment]


class Story:
    """One history of one ledger."""

    def __init__(self, ledger: SQLLedger, *, clock: Clock | None = None, ids: Ids | None = None) -> None:
        self.ledger = ledger
        self.clock = clock or Clock()
        self.ids = ids or Ids(f"story {next(_STORIES)}")
        self.stations: dict[int, str] = {}
        """Organ -> station; `station-<organ>` where nothing is said."""
        self._directory = 0
        self.pairs: Counter[tuple[int, int]] = Counter()
        """Sender and receiver -> the number of the last delivery between them."""

    async def tell(self, *events: Event) -> None:
        """Append the events in one transaction, each acceptance with its report."""
        async with self.ledger.transaction() as tx:
            await tx.append(events)
            for one in events:
                if one.kind is EventKind.SUBMISSION_ACCEPTED and one.document is not None:
                    body = f"report of {one.document}".encode()
                    await tx.keep_reports([(one.document, body, '{"record":""}')])

    def station_of(self, organ: int) -> StationId:
        return StationId(self.stations.get(organ, f"station-{organ}"))

    def new_id(self) -> str:
        return self.ids.new(self.clock.now())

    # --- payloads -------------------------------------------------------------------------------------------------

    async def let_go(self, digest: Digest) -> Event:
        at = self.clock.now()
        event = Event(
            id=EventId(self.ids.new(at)),
            kind=EventKind.PAYLOAD_PURGED,
            at=at,
            by=Actor(axis="retention"),
            facts={"policy": {}, "payloads": [{"digest": digest, "size": 1, "class": "refused"}]},
        )
        await self.tell(event)
        return event

    async def legal_hold(self, sent: Sent, *, lifted: bool = False) -> Event:
        at = self.clock.now()
        event = Event(
            id=EventId(self.ids.new(at)),
            kind=EventKind.LEGAL_HOLD_CHANGED,
            at=at,
            by=Actor(person="an.nguyen", reason="theo yêu cầu của thanh tra"),
            facts={"document": sent.root, "before": lifted, "after": not lifted},
        )
        await self.tell(event)
        return event

    # --- submissions ----------------------------------------------------------------------------------------------

    def acceptance(
        self,
        *,
        sender: int = 1,
        to: Sequence[int] = (2,),
        not_connected: Collection[int] = (),
        document_id: str | None = None,
        number: str = "15",
        notation: str = "QĐ-TTg",
        subject: str = "Về việc thí điểm",
        kind: Kind = Kind.EDOC,
        business_type: int = 0,
        urgency: int = 0,
        tier: str = "passed",
        root: Sent | None = None,
        target: Sent | None = None,
        after_hold: Event | None = None,
        claims: Sequence[str] | None = None,
        more: Mapping[str, JSON] | None = None,
    ) -> Sent:
        """The event of an acceptance and what it begins, not yet written."""
        at = self.clock.now()
        document = DocumentKey(self.ids.new(at))
        submission = (
            SubmissionId(self.ids.new(at)) if after_hold is None else SubmissionId(str(after_hold.submission))
        )
        station = self.station_of(sender)
        first = document if root is None else root.root
        lines: list[JSON] = []
        consignments: dict[StationId, ConsignmentId] = {}
        sent = Sent(
            acceptance=None,  # type: ignore[arg-type] # made below, from these very parts
            document=document,
            submission=submission,
            root=first,
            station=station,
            facts={},
            deliveries={},
            consignment_of={},
            states={},
        )
        for organ in to:
            delivery = DeliveryId(self.ids.new(at))
            line: dict[str, JSON] = {
                "id": delivery,
                "organ": organ,
                "code": f"000.00.{organ:02d}.H01",
                "name": f"Sở số {organ}",
                "state": "not_connected" if organ in not_connected else "waiting",
            }
            if organ in not_connected:
                line["reason"] = ReasonCode.ROUTE_NOT_CONNECTED.value
            else:
                at_station = self.station_of(organ)
                if at_station not in consignments:
                    consignments[at_station] = ConsignmentId(self.ids.new(at))
                line["station"] = at_station
                line["consignment"] = consignments[at_station]
                sent.consignment_of[organ] = consignments[at_station]
            if kind is Kind.EDOC:
                self.pairs[sender, organ] += 1
                line["number"] = self.pairs[sender, organ]
            sent.deliveries[organ] = delivery
            sent.states[organ] = DeliveryState(str(line["state"]))
            lines.append(line)
        document_id = document_id if document_id is not None else f"D-{document[-8:]}"
        facts: dict[str, JSON] = {
            **self._basics(station, at, digest_of(f"{document}")),
            "kind": kind.value,
            "sender": sender,
            "from": f"000.00.{sender:02d}.H01",
            "document_id": document_id,
            "business_type": business_type,
            "code": f"{number}/{notation}",
            "number": number,
            "notation": notation,
            "date": "2026-11-20",
            "type_name": "Quyết định",
            "subject": subject,
            "content": digest_of(subject),
            "urgency": urgency,
            "tier": tier,
            "value": "checking",
            "policy": "AX-1/1",
            "directory": 1,
            "root": first,
            "report": digest_of(f"report of {document}"),
            "notices": [],
            "consignments": [{"id": one, "station": station} for station, one in consignments.items()],
            "deliveries": lines,
            "claims": list(claims if claims is not None else [digest_of(f"{sender}/{document_id}")]),
            "attachments": [
                {
                    "content_id": "1",
                    "name": "Quyết định.pdf",
                    "declared_type": "application/pdf",
                    "detected_type": "application/pdf",
                    "size": 1234,
                    "sha256": digest_of(f"pdf of {document}"),
                }
            ],
            **(more or {}),
        }
        if root is not None:
            facts["claims"] = []
        if target is not None:
            facts["target"] = target.root
        if kind is Kind.STATUS:
            facts["status_code"] = str((more or {}).get("status_code", "03"))
        if after_hold is not None:
            facts["after_hold"] = True
            before = after_hold.facts
            facts.update({name: before[name] for name in ("message_id", "digest", "size", "received_at")})
        sent.acceptance = Event(
            id=EventId(self.ids.new(at)),
            kind=EventKind.SUBMISSION_ACCEPTED,
            at=at,
            by=Actor(station=station),
            submission=submission,
            document=document,
            deliveries=tuple(sent.deliveries.values()),
            stations=(station,) if after_hold is not None else (),
            facts=facts,
            previous=after_hold.hash.hex() if after_hold is not None else None,
        )
        sent.facts = facts
        sent.heads = dict.fromkeys(consignments.values(), sent.acceptance.hash.hex())
        return sent

    async def accepted(self, **how: object) -> Sent:
        """An accepted document; takes what `acceptance` takes."""
        sent = self.acceptance(**how)  # type: ignore[arg-type] # the same arguments, checked there
        await self.tell(sent.acceptance)
        return sent

    async def refused(
        self,
        reason: ReasonCode = ReasonCode.ROUTE_UNKNOWN_RECEIVER,
        *,
        sender: int | None = 1,
        kind: str | None = "edoc",
        subject: str = "Về việc bị từ chối",
        code: str = "16/QĐ-TTg",
        after_hold: Event | None = None,
        more: Mapping[str, JSON] | None = None,
    ) -> Event:
        """A refusal; `sender=None` for a message nobody could read."""
        known: dict[str, JSON] = {}
        if sender is not None:
            known = {
                "kind": kind,
                "sender": sender,
                "from": f"000.00.{sender:02d}.H01",
                "document_id": "R-1",
                "business_type": 0,
                "code": code,
                "subject": subject,
            }
        return await self._judged(
            EventKind.SUBMISSION_REFUSED,
            station=self.station_of(sender or 1),
            facts={**known, "causes": causes_of(reason), "kept": True, **(more or {})},
            after_hold=after_hold,
        )

    async def held(
        self,
        reason: ReasonCode = ReasonCode.VERIFY_INDETERMINATE,
        *,
        sender: int = 1,
        claim: str | None = None,
        subject: str = "Về việc chờ xác minh",
        after_hold: Event | None = None,
    ) -> Event:
        """A hold."""
        facts: dict[str, JSON] = {
            "kind": "edoc",
            "sender": sender,
            "from": f"000.00.{sender:02d}.H01",
            "document_id": "H-1",
            "business_type": 0,
            "code": "17/QĐ-TTg",
            "subject": subject,
            "causes": causes_of(reason),
            "next_try": iso(self.clock.now() + timedelta(minutes=1)),
        }
        if claim is not None:
            facts["claims"] = [claim]
        return await self._judged(
            EventKind.SUBMISSION_HELD, station=self.station_of(sender), facts=facts, after_hold=after_hold
        )

    async def duplicate(self, of: Sent) -> Event:
        """The same document handed in again."""
        return await self._judged(
            EventKind.SUBMISSION_DUPLICATE,
            station=of.station,
            document=of.document,
            facts={
                **{
                    name: of.facts[name]
                    for name in (
                        "kind",
                        "sender",
                        "from",
                        "document_id",
                        "business_type",
                        "code",
                        "subject",
                    )
                },
                "causes": [],
                "of": of.submission,
            },
        )

    async def buried(self, reason: ReasonCode = ReasonCode.BURY_DELIVERY_LIMIT, *, organ: int = 1) -> Event:
        """A message that died before anyone judged it."""
        at = self.clock.now()
        submission = SubmissionId(self.ids.new(at))
        event = Event(
            id=EventId(self.ids.new(at)),
            kind=EventKind.SUBMISSION_BURIED,
            at=at,
            by=Actor(axis="bury"),
            submission=submission,
            facts={
                "station": self.station_of(organ),
                "message_id": f"m-{submission}",
                "digest": digest_of(submission),
                "size": 100,
                "reason": reason.value,
            },
        )
        await self.tell(event)
        return event

    def _basics(self, station: str, at: datetime, digest: str) -> dict[str, JSON]:
        return {
            "station": station,
            "message_id": f"m-{self.ids.new(at)}",
            "digest": digest,
            "size": 4_321,
            "received_at": iso(at),
            "lane": "normal",
        }

    async def _judged(
        self,
        kind: EventKind,
        *,
        station: StationId,
        facts: Mapping[str, JSON],
        after_hold: Event | None = None,
        document: DocumentKey | None = None,
    ) -> Event:
        at = self.clock.now()
        submission = SubmissionId(self.ids.new(at))
        said = {**self._basics(station, at, digest_of(submission)), **facts}
        if after_hold is not None:
            submission = SubmissionId(str(after_hold.submission))
            said.update(
                {name: after_hold.facts[name] for name in ("message_id", "digest", "size", "received_at")}
            )
            said["after_hold"] = True
            if kind is not EventKind.SUBMISSION_HELD:
                said["frees"] = list(after_hold.facts.get("claims", ()))  # type: ignore[arg-type] # a list of texts
            else:
                said.setdefault("claims", list(after_hold.facts.get("claims", ())))  # type: ignore[arg-type] # as above
        event = Event(
            id=EventId(self.ids.new(at)),
            kind=kind,
            at=at,
            by=Actor(station=station),
            submission=submission,
            document=document,
            stations=(station,) if after_hold is not None else (),
            facts=said,
            previous=after_hold.hash.hex() if after_hold is not None else None,
        )
        await self.tell(event)
        return event

    # --- deliveries -----------------------------------------------------------------------------------------------

    def step(
        self,
        sent: Sent,
        step: DeliveryStep,
        *,
        organs: Sequence[int] | None = None,
        reason: ReasonCode | None = None,
        more: Mapping[str, JSON] | None = None,
    ) -> list[Event]:
        """The events of one step of these organs' deliveries (all where nothing is said), one per consignment."""
        at = self.clock.now()
        chosen = list(sent.consignment_of) if organs is None else list(organs)
        events = []
        for consignment in dict.fromkeys(sent.consignment_of[organ] for organ in chosen):
            lines: list[JSON] = []
            moved: list[DeliveryId] = []
            for organ in sent.organs_in(consignment):
                after = next_delivery_state(sent.states[organ], step) if organ in chosen else None
                if after is not None:
                    lines.append([sent.deliveries[organ], organ, sent.states[organ].value])
                    moved.append(sent.deliveries[organ])
                    sent.states[organ] = after
            facts: dict[str, JSON] = {
                "kind": sent.facts["kind"],
                "sender": sent.facts["sender"],
                "business_type": sent.facts["business_type"],
                "urgency": sent.facts["urgency"],
                "consignment": consignment,
                "consignment_state": self._consignment_state(sent, consignment),
                "station": self.station_of(sent.organs_in(consignment)[0]),
                "lines": lines,
                **(more or {}),
            }
            if reason is None and step is DeliveryStep.FAIL:
                reason = ReasonCode.DELIVER_NOT_TAKEN
            if reason is not None:
                facts["reason"] = reason.value
            told = step in {
                DeliveryStep.ACKNOWLEDGE,
                DeliveryStep.FAIL,
                DeliveryStep.WITHDRAW,
                DeliveryStep.REPLAY,
            }
            event = Event(
                id=EventId(self.ids.new(at)),
                kind=_STEP_OF[step],
                at=at,
                by=Actor(station=self.station_of(sent.organs_in(consignment)[0])),
                document=sent.document,
                deliveries=tuple(moved),
                stations=(sent.station,) if told else (),
                facts=facts,
                previous=sent.heads[consignment],
            )
            sent.heads[consignment] = event.hash.hex()
            events.append(event)
        return events

    async def stepped(
        self,
        sent: Sent,
        step: DeliveryStep,
        *,
        organs: Sequence[int] | None = None,
        reason: ReasonCode | None = None,
        more: Mapping[str, JSON] | None = None,
    ) -> list[Event]:
        """The same, written."""
        events = self.step(sent, step, organs=organs, reason=reason, more=more)
        await self.tell(*events)
        return events

    @staticmethod
    def _consignment_state(sent: Sent, consignment: ConsignmentId) -> str:
        after = {sent.states[organ] for organ in sent.organs_in(consignment)}
        for state in (DeliveryState.WAITING, DeliveryState.HANDED_OVER, DeliveryState.FETCHED):
            if state in after:
                return state.value
        return "closed"

    async def added(self, sent: Sent, *, organ: int) -> Event:
        """One more receiver of a recall: it had taken what is recalled."""
        at = self.clock.now()
        # As if it had been made with the document, see `axis.flow.recall`.
        delivery, consignment = DeliveryId(self.ids.new(sent.acceptance.at)), ConsignmentId(self.ids.new(at))
        station = self.station_of(organ)
        sender = int(str(sent.facts["sender"]))
        self.pairs[sender, organ] += 1
        line: dict[str, JSON] = {
            "id": delivery,
            "organ": organ,
            "code": f"000.00.{organ:02d}.H01",
            "name": f"Sở số {organ}",
            "state": DeliveryState.WAITING.value,
            "station": station,
            "consignment": consignment,
            "number": self.pairs[sender, organ],
        }
        event = Event(
            id=EventId(self.ids.new(at)),
            kind=EventKind.DELIVERY_ADDED,
            at=at,
            by=Actor(axis="recall"),
            document=sent.document,
            deliveries=(delivery,),
            stations=(sent.station,),
            facts={
                **{
                    name: sent.facts[name]
                    for name in ("kind", "sender", "business_type", "urgency", "lane", "root")
                },
                "consignments": [{"id": consignment, "station": station}],
                "deliveries": [line],
            },
            previous=sent.acceptance.hash.hex(),
        )
        sent.deliveries[organ], sent.consignment_of[organ] = delivery, consignment
        sent.states[organ], sent.heads[consignment] = DeliveryState.WAITING, event.hash.hex()
        await self.tell(event)
        return event

    async def taken(self, sent: Sent, *, organs: Sequence[int] | None = None) -> list[Event]:
        """The whole good way: handed over, fetched, acknowledged."""
        events = []
        for step in (DeliveryStep.HAND_OVER, DeliveryStep.FETCH, DeliveryStep.ACKNOWLEDGE):
            events += await self.stepped(sent, step, organs=organs)
        return events

    async def answered(
        self, sent: Sent, organ: int, code: str = "03", *, change: Sequence[str] | None = None
    ) -> Event:
        """An edXML status of a receiver: registered (03) or returned (02) where nothing is said."""
        counted = {"03": ["registered"], "02": ["returned"]}.get(code, []) if change is None else list(change)
        at = self.clock.now()
        consignment = sent.consignment_of[organ]
        event = Event(
            id=EventId(self.ids.new(at)),
            kind=EventKind.DELIVERY_ANSWERED,
            at=at,
            by=Actor(station=self.station_of(organ)),
            document=sent.document,
            deliveries=(sent.deliveries[organ],),
            stations=(sent.station,),
            facts={
                "kind": "edoc",
                "sender": sent.facts["sender"],
                "business_type": sent.facts["business_type"],
                "urgency": sent.facts["urgency"],
                "code": code,
                "by_organ": organ,
                "lines": [[sent.deliveries[organ], organ, counted]],
                "shown": code,
                "consignment": consignment,
            },
            previous=sent.heads[consignment],
        )
        sent.heads[consignment] = event.hash.hex()
        await self.tell(event)
        return event

    async def not_taken(self, sent: Sent, organ: int) -> Event:
        """Its deadline passed in silence."""
        at = self.clock.now()
        consignment = sent.consignment_of[organ]
        event = Event(
            id=EventId(self.ids.new(at)),
            kind=EventKind.DELIVERY_NOT_TAKEN,
            at=at,
            by=Actor(axis="deadlines"),
            document=sent.document,
            deliveries=(sent.deliveries[organ],),
            stations=(sent.station, self.station_of(organ)),
            facts={
                "kind": "edoc",
                "sender": sent.facts["sender"],
                "business_type": sent.facts["business_type"],
                "urgency": sent.facts["urgency"],
                "consignment": consignment,
                "station": self.station_of(organ),
                "due": iso(at),
                "lines": [[sent.deliveries[organ], organ, "not_fetched"]],
            },
            previous=sent.heads[consignment],
        )
        sent.heads[consignment] = event.hash.hex()
        await self.tell(event)
        return event

    async def valued(self, sent: Sent, value: str = "original") -> Event:
        """The legal value, judged."""
        at = self.clock.now()
        event = Event(
            id=EventId(self.ids.new(at)),
            kind=EventKind.DOCUMENT_VALUED,
            at=at,
            by=Actor(axis="value"),
            document=sent.document,
            stations=(sent.station,),
            facts={
                "kind": "edoc",
                "value": value,
                "files": [{"signatures": [{"signer": {"serial": "5e"}, "above": ["ca"]}, {"signer": None}]}],
            },
            previous=sent.acceptance.hash.hex(),
        )
        await self.tell(event)
        return event

    async def verified(self, sent: Sent, tier: str = "failed") -> Event:
        """A verdict that came after it had travelled."""
        at = self.clock.now()
        event = Event(
            id=EventId(self.ids.new(at)),
            kind=EventKind.DOCUMENT_VERIFIED,
            at=at,
            by=Actor(axis="recheck"),
            document=sent.document,
            stations=(sent.station,),
            facts={"kind": "edoc", "tier": tier, "value": "reference"},
            previous=sent.acceptance.hash.hex(),
        )
        await self.tell(event)
        return event

    async def revocations(self) -> Event:
        """A revocation list was taken."""
        at = self.clock.now()
        facts: dict[str, JSON] = {
            "digest": digest_of("a list"),
            "kind": "crl",
            "about": "CN=CA",
            "number": "7",
            "issued_at": iso(at),
            "next_update": iso(at + timedelta(days=1)),
        }
        return await self._by_axis(EventKind.REVOCATION_TAKEN, facts, at=at)

    async def timestamped(self, size: int) -> Event:
        """A token over the checkpoint of that size."""
        at = self.clock.now()
        facts: dict[str, JSON] = {
            "size": size,
            "digest": digest_of("a token"),
            "at": iso(at),
            "serial": "4711",
            "authority": "CN=TSA",
        }
        return await self._by_axis(EventKind.LOG_TIMESTAMPED, facts, at=at)

    async def ending(self, certificate: Event) -> Event:
        """A bound certificate ends soon."""
        changes: Any = certificate.facts["changes"]
        after = changes[0]["after"]
        facts: dict[str, JSON] = {"fingerprint": after["fingerprint"], "organ": after["organ"], "step": 30}
        return await self._by_axis(EventKind.CERTIFICATE_ENDING, facts, at=self.clock.now())

    async def _by_axis(self, kind: EventKind, facts: Mapping[str, JSON], *, at: datetime) -> Event:
        event = Event(id=EventId(self.ids.new(at)), kind=kind, at=at, by=Actor(axis="test"), facts=facts)
        await self.tell(event)
        return event

    # --- acts of people -------------------------------------------------------------------------------------------

    async def act(self, kind: EventKind, facts: Mapping[str, JSON], *, person: str = "an.nguyen") -> Event:
        """Something a person did."""
        at = self.clock.now()
        event = Event(
            id=EventId(self.ids.new(at)),
            kind=kind,
            at=at,
            by=Actor(person=person, reason="phiếu 12/VHT"),
            facts=facts,
        )
        await self.tell(event)
        return event

    def next_directory(self) -> int:
        self._directory += 1
        return self._directory

    async def organs(self, parents: Mapping[int, int | None], *, person: str = "an.nguyen") -> Event:
        """Organs `number -> parent`; organ 7 has the code 000.00.07.H01."""
        changes: list[JSON] = [
            {
                "before": None,
                "after": {
                    "number": number,
                    "code": f"000.00.{number:02d}.H01",
                    "name": f"Sở số {number}",
                    "kind": "unit",
                    "parent": parent,
                    "valid_from": iso(NOON - timedelta(days=1000)),
                    "codes": [[f"000.00.{number:02d}.H01", f"000.00.{number:02d}.H01"]],
                },
            }
            for number, parent in parents.items()
        ]
        facts: dict[str, JSON] = {"changes": changes, "directory_version": self.next_directory()}
        return await self.act(EventKind.ORGANS_CHANGED, facts, person=person)

    async def station(self, name: str, *, state: str = "active", person: str = "an.nguyen") -> Event:
        """A station, made or changed."""
        facts: dict[str, JSON] = {
            "before": None,
            "after": {
                "id": name,
                "name": f"Điểm kết nối {name}",
                "state": state,
                "channel": "amqp",
                "policy": "required",
                "inline_bytes": 65_536,
                "window": 1_000,
                "refuses_unpassed": False,
            },
            "directory_version": self.next_directory(),
        }
        return await self.act(EventKind.STATION_CHANGED, facts, person=person)

    async def delegation(self, station: str, organ: int) -> Event:
        """The station speaks for the organ."""
        after: dict[str, JSON] = {
            "station": station,
            "organ": organ,
            "subtree": True,
            "valid_from": iso(NOON - timedelta(days=30)),
            "valid_to": iso(NOON + timedelta(days=300)),
        }
        return await self.act(
            EventKind.DELEGATION_CHANGED,
            {"changes": [{"before": None, "after": after}], "directory_version": self.next_directory()},
        )

    async def certificate(self, organ: int) -> Event:
        """A certificate bound to the organ."""
        after: dict[str, JSON] = {
            "organ": organ,
            "fingerprint": digest_of(f"certificate of {organ}"),
            "spki": digest_of(f"key of {organ}"),
            "issuer": "CN=Test CA",
            "serial": "1234",
            "subject": f"CN=Sở số {organ}",
            "valid_from": iso(NOON - timedelta(days=30)),
            "valid_to": iso(NOON + timedelta(days=300)),
            "revoked_at": iso(NOON + timedelta(days=200)),
        }
        return await self.act(
            EventKind.CERTIFICATE_CHANGED,
            {"changes": [{"before": None, "after": after}], "directory_version": self.next_directory()},
        )

    async def released(self, digest: str, *, person: str = "an.nguyen") -> Event:
        """A digest let through after a secrecy hit, by one of two operators."""
        return await self.act(
            EventKind.SECRECY_RELEASED,
            {"digest": digest, "directory_version": self.next_directory()},
            person=person,
        )

    async def planned(self, items: Sequence[tuple[str, str]], *, person: str = "an.nguyen") -> str:
        """A replay plan with these items; its id."""
        plan = self.new_id()
        facts: dict[str, JSON] = {
            "plan": plan,
            "change": "planned",
            "items": [[kind, item] for kind, item in items],
        }
        await self.act(EventKind.REPLAY_CHANGED, facts, person=person)
        return plan

    async def replayed(self, plan: str, kind: str, item: str, result: str = "offered") -> Event:
        """One item of a plan, done."""
        return await self.act(
            EventKind.REPLAY_CHANGED,
            {"plan": plan, "change": "item", "item": [kind, item], "result": result},
        )
