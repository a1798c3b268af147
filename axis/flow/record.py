"""
Step 6, second half: make it true. Outcomes of a whole batch become events in one transaction.

A message that is delivered again gets the answer it was given. The rest goes in rounds, so that nothing of one round
can collide with another of it: the next round sees what became of it. What becomes of each stands in
`axis.flow.decide`, what a status means for the delivery it answers in `axis.flow.status_effects`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from axis.core.calendar import Calendar
from axis.core.events import JSON, Event, EventKind
from axis.core.exchange import Answer, dump, receipt_json
from axis.core.model import (
    Actor,
    BusinessType,
    ConsignmentId,
    DeliveryId,
    Digest,
    DocumentKey,
    EventId,
    OrganNumber,
    StationId,
    SubmissionId,
    iso,
)
from axis.core.ports import Clock, Ids, Ledger, ReceiptSigner, Transaction
from axis.core.retry import HOLDS
from axis.core.rows import Claim
from axis.edxml.fingerprint import content_digest
from axis.edxml.message import Edoc, Status
from axis.flow.answer import answer_of, causes_json, notices_json
from axis.flow.answer_to import (
    plain_code,
)
from axis.flow.claims import split_claim
from axis.flow.deadlines import SHIPPED_CALENDAR, deadline_facts
from axis.flow.decide import (
    Accept,
    Decider,
    Decision,
    Duplicate,
    Judged,
    claim_of,
    codes_sought,
    inbound_of,
    known_in,
    status_claim,
)
from axis.flow.evidence import verdict_facts
from axis.flow.outcomes import Hold, Known, Refusal
from axis.flow.recall import (
    carry_out,
    follow,
    to_serve,
)
from axis.flow.receive import Inbound
from axis.flow.report import report_of
from axis.flow.route import Line, Routed
from axis.flow.status_effects import StatusEffects
from axis.flow.targets import names_by_code

_MOST_NOTICES = 20
_BY_AXIS = Actor(axis="record")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a batch came to."""

    answers: tuple[Answer, ...]
    """In the order of the batch, each with its signed receipt."""
    stations: frozenset[StationId]
    """For whom there is something to offer or to tell."""


async def record(
    judged: Sequence[Judged],
    *,
    ledger: Ledger,
    clock: Clock,
    ids: Ids,
    signer: ReceiptSigner,
    calendar: Calendar = SHIPPED_CALENDAR,
) -> Recorded:
    """
    Record every outcome. `calendar` says what is late and what is due.

    Raises:
        ServiceUnavailable: nothing of the batch was recorded, or it is unknown; the same messages, admitted again,
            find what was.
    """
    recorded: dict[int, Event] = {}
    stations: set[StationId] = set()
    async with ledger.transaction() as tx:
        fresh = await _answered_before(tx, judged, recorded)
        while fresh:
            this_round, fresh = _without_collisions(judged, fresh)
            writer = _Round(tx, at=clock.now(), ids=ids, signer=signer, calendar=calendar)
            await writer.write([(index, judged[index]) for index in this_round])
            recorded.update(writer.outcomes)
            stations |= writer.stations
    events = [recorded[index] for index in range(len(judged))]
    receipts = signer.sign([event.record for event in events])
    answers = tuple(
        # A message that came again is answered under the message id it came with now.
        replace(answer_of(event), receipt=receipt, message_id=inbound_of(one).message_id)
        for event, receipt, one in zip(events, receipts, judged, strict=True)
    )
    return Recorded(answers=answers, stations=frozenset(stations))


def _delivery_of_message(inbound: Inbound) -> tuple[StationId, str, Digest] | None:
    if inbound.station is None or not inbound.message_id or inbound.after_hold:
        return None
    return inbound.station, inbound.message_id, inbound.digest


async def _answered_before(
    tx: Transaction, judged: Sequence[Judged], recorded: dict[int, Event]
) -> list[int]:
    """Messages delivered again get the answer they were given; the rest is new."""
    keys = [_delivery_of_message(inbound_of(one)) for one in judged]
    known = await tx.answered(sorted({key for key in keys if key is not None}))
    rows = await tx.submissions(sorted(set(known.values())))
    events = await tx.events(sorted({row.event for row in rows.values()}))
    fresh = []
    for index, key in enumerate(keys):
        if key is None or key not in known:
            fresh.append(index)
        else:
            recorded[index] = events[rows[known[key]].event]
    return fresh


def _without_collisions(judged: Sequence[Judged], fresh: Sequence[int]) -> tuple[list[int], list[int]]:
    """Split so that nothing of one round can collide with another of it: the next round sees what became of it."""
    now: list[int] = []
    later: list[int] = []
    seen: set[object] = set()
    for index in fresh:
        one = judged[index]
        marks: set[object] = {_delivery_of_message(inbound_of(one)), claim_of(one)}
        if isinstance(one, Routed) and isinstance(one.verified.message, Status):
            # Statuses change rows of the documents they answer; one after the other keeps their order.
            marks.add("a status")
        marks |= _names(one)
        marks.discard(None)
        (later if marks & seen else now).append(index)
        seen |= marks
        # Whoever names a document by its code alone need not say whose it is.
        seen |= {("code", code) for _, code in _namesakes(one)}
    return now, later


def _namesakes(judged: Judged) -> set[tuple[OrganNumber, str]]:
    """The sender and the code of a new document, as documents are compared: two of a round would not see each other."""
    return {(sender, plain_code(code)) for sender, code in codes_sought(judged) if code}


def _names(judged: Judged) -> set[object]:
    """What a message is called or names: whoever acts on a document is judged behind it, and behind its rivals."""
    if not isinstance(judged, Routed):
        return set()
    message = judged.verified.message
    if isinstance(message, Status):
        answered = message.response_for
        return {("id", answered.document_id), ("code", plain_code(answered.code))} if answered else set()
    names: set[object] = {("id", one) for one in (message.document_id, *message.target_ids) if one}
    names |= {("code", plain_code(one.code)) for one in names_by_code(message)}
    names |= _namesakes(judged)
    split = split_claim(judged.verified.sender.number, message)
    return names if split is None else {*names, split}


class _Round:
    """One round of a batch inside the transaction."""

    def __init__(
        self, tx: Transaction, *, at: datetime, ids: Ids, signer: ReceiptSigner, calendar: Calendar
    ) -> None:
        self._tx = tx
        self._calendar = calendar
        self._at = at
        self._ids = ids
        self._signer = signer
        self._events: list[Event] = []
        self._reports: list[tuple[DocumentKey, bytes]] = []
        self._holds: list[tuple[SubmissionId, datetime, int]] = []
        self._numbers: dict[tuple[OrganNumber, OrganNumber], int] = {}
        """The next free number of every pair of organs that this round delivers documents between."""
        self.outcomes: dict[int, Event] = {}
        self.stations: set[StationId] = set()

    async def write(self, items: Sequence[tuple[int, Judged]]) -> None:
        """Decide about every item against what is recorded, and append the events."""
        wanted = {index: key for index, one in items if (key := claim_of(one)) is not None}
        taken = await self._tx.claim(
            [
                Claim(key=wanted[index], submission=inbound_of(one).submission, document=None)
                for index, one in items
                if index in wanted
            ]
        )
        coded = await self._tx.codes_in_use([key for _, one in items for key in codes_sought(one)])
        decider = Decider(self._tx, coded=coded)
        effects = StatusEffects(self._tx, at=self._at, ids=self._ids)
        decided: list[tuple[int, Decision, str | None]] = []
        for index, one in items:
            holder = taken.get(wanted.get(index, ""))
            if holder is not None and holder.submission == inbound_of(one).submission:
                holder = None  # its own claim, from when it was held
            decision = await decider.decide(one, holder)
            claim = wanted.get(index) if holder is None else None
            if isinstance(decision, Accept) and decision.answers is not None:
                key = status_claim(decision, decision.answers)
                other = (
                    await self._tx.claim(
                        [Claim(key=key, submission=inbound_of(one).submission, document=None)]
                    )
                ).get(key)
                if other is not None:
                    decision = Duplicate(
                        inbound=inbound_of(one),
                        known=known_in(one),
                        submission=other.submission,
                        document=other.document,
                    )
                else:
                    claim = key
            decided.append((index, decision, claim))
        await self._number([one for _, one, _ in decided if isinstance(one, Accept)])
        for index, decision, claim in decided:
            event = await self._event(decision, claim)
            self._events.append(event)
            self.outcomes[index] = event
            if isinstance(decision, Accept) and decision.answers is not None:
                status = decision.routed.verified.message
                assert isinstance(status, Status), "nothing else answers"
                self._events += await effects.of(status, decision.answers, accepted=event)
        await self._tx.append(self._events)
        for index, decision, _ in decided:
            if isinstance(decision, Accept) and decision.wishes:
                by = Actor(station=inbound_of(decision.routed).station)
                self._events += await carry_out(
                    self._tx, decision.wishes, acting=self.outcomes[index], by=by, at=self._at, ids=self._ids
                )
        self._events += await follow(self._tx, self._events, at=self._at, ids=self._ids)
        self.stations |= {one for event in self._events for one in to_serve(event)}
        receipts = self._signer.sign([body for _, body in self._reports])
        await self._tx.keep_reports(
            [
                (document, body, dump(receipt_json(receipt)).decode())
                for (document, body), receipt in zip(self._reports, receipts, strict=True)
            ]
        )
        for submission, next_try, tries in self._holds:
            await self._tx.pace_hold(submission, next_try_at=next_try, tries=tries)

    # --- deciding -------------------------------------------------------------------------------------------------

    # --- acting on a document -------------------------------------------------------------------------------------

    # --- statuses -------------------------------------------------------------------------------------------------

    # --- events ---------------------------------------------------------------------------------------------------

    async def _number(self, accepted: Sequence[Accept]) -> None:
        """Take the numbers of all deliveries of this round, in one order of pairs, so that hubs cannot wait in a ring."""
        counts = Counter(
            (one.routed.verified.sender.number, line.organ)
            for one in accepted
            if isinstance(one.routed.verified.message, Edoc)
            for line in one.routed.lines
        )
        if counts:
            self._numbers.update(await self._tx.number_pairs(counts))

    def _next_number(self, sender: OrganNumber, receiver: OrganNumber) -> int:
        number = self._numbers[sender, receiver]
        self._numbers[sender, receiver] = number + 1
        return number

    async def _event(self, decision: Decision, claim: str | None) -> Event:
        match decision:
            case Accept():
                return await self._accepted(decision, claim)
            case Refusal():
                kind, known, causes = EventKind.SUBMISSION_REFUSED, decision.known, decision.causes
                more: dict[str, JSON] = {"kept": decision.keep_bytes, **verdict_facts(decision.verdict)}
                document = None
            case Hold():
                kind, known, causes = EventKind.SUBMISSION_HELD, decision.known, decision.causes
                next_try = iso(await self._schedule(decision.inbound))
                more = {"next_try": next_try, **verdict_facts(decision.verdict)}
                document = None
                if claim is not None:
                    more["claims"] = [claim]
            case Duplicate():
                kind, known, causes = EventKind.SUBMISSION_DUPLICATE, decision.known, ()
                more = {"of": decision.submission}
                document = decision.document
        inbound = decision.inbound
        facts = {**_basics(inbound), **_facts_of(known), "causes": causes_json(causes), **more}
        previous = await self._after_hold(inbound, facts, kind)
        return Event(
            id=EventId(self._ids.new(self._at)),
            kind=kind,
            at=self._at,
            by=Actor(station=inbound.station) if inbound.station else _BY_AXIS,
            submission=inbound.submission,
            document=document,
            stations=_told_later(inbound),
            facts=facts,
            previous=previous,
        )

    async def _schedule(self, inbound: Inbound) -> datetime:
        tries = 0
        if inbound.after_hold:
            tries = (await self._tx.submissions([inbound.submission]))[inbound.submission].tries
        pause = HOLDS.pause(tries + 1) or HOLDS.longest
        self._holds.append((inbound.submission, self._at + pause, tries + 1))
        return self._at + pause

    async def _after_hold(self, inbound: Inbound, facts: dict[str, JSON], kind: EventKind) -> str | None:
        """Link to what was recorded before, and give back the claim of a hold that did not end in acceptance."""
        if not inbound.after_hold:
            return None
        row = (await self._tx.submissions([inbound.submission]))[inbound.submission]
        before: Any = (await self._tx.events([row.event]))[row.event].facts
        facts["after_hold"] = True
        if kind in {EventKind.SUBMISSION_REFUSED, EventKind.SUBMISSION_DUPLICATE}:
            facts["frees"] = list(before.get("claims", ()))
        elif kind is EventKind.SUBMISSION_HELD and "claims" not in facts:
            facts["claims"] = list(before.get("claims", ()))
        return row.head

    async def _accepted(self, accept: Accept, claim: str | None) -> Event:
        routed = accept.routed
        verified, inbound = routed.verified, inbound_of(routed)
        message = verified.message
        document = DocumentKey(self._ids.new(self._at))
        lines, consignments = self._plan(routed.lines)
        if isinstance(message, Edoc):
            for line, one in zip(lines, routed.lines, strict=True):
                line["number"] = self._next_number(verified.sender.number, one.organ)
        self.stations |= {StationId(str(one["station"])) for one in consignments}
        body = report_of(routed, document=document, numbers=[line.get("number") for line in lines])
        self._reports.append((document, body))
        facts: dict[str, JSON] = {
            **_basics(inbound),
            **_facts_of(known_in(routed)),
            "kind": message.kind.value,
            "sender": verified.sender.number,
            "from": message.sender.organ_id[:64],
            "urgency": int(routed.urgency),
            "lane": routed.lane.value,
            "tier": verified.tier.value,
            "value": verified.value.value,
            "policy": verified.verdict.policy_version,
            **verdict_facts(verified.verdict),
            "directory": routed.directory.version,
            "root": accept.root or document,
            "recalls": isinstance(message, Edoc)
            and message.business_type is BusinessType.RECALL
            and accept.root is None,
            "report": hashlib.sha256(body).hexdigest(),
            "notices": notices_json(routed.notices[:_MOST_NOTICES]),
            "consignments": consignments,
            "deliveries": lines,
            **_content_facts(message),
        }
        if isinstance(message, Edoc):
            facts |= deadline_facts(
                message,
                is_first=accept.root is None,
                received_at=inbound.received_at,
                accepted_at=self._at,
                calendar=self._calendar,
            )
        if accept.target is not None:
            facts["target"] = accept.target
        asks: list[JSON] = [
            {"kind": one.kind.value, "deliveries": list(one.asks)} for one in accept.wishes if one.asks
        ]
        if asks:
            facts["asks"] = asks
        if accept.acts_on:
            facts["acts_on"] = [{"document": one, "state": state.value} for one, state in accept.acts_on]
        if accept.replaces:
            facts["replaces"] = [{"document": one, "organs": list(organs)} for one, organs in accept.replaces]
        if claim is not None or accept.more_claims:
            facts["claims"] = [*([claim] if claim is not None else []), *accept.more_claims]
        previous = await self._after_hold(inbound, facts, EventKind.SUBMISSION_ACCEPTED)
        return Event(
            id=EventId(self._ids.new(self._at)),
            kind=EventKind.SUBMISSION_ACCEPTED,
            at=self._at,
            by=Actor(station=inbound.station),
            submission=inbound.submission,
            document=document,
            deliveries=tuple(DeliveryId(str(line["id"])) for line in lines),
            stations=_told_later(inbound),
            facts=facts,
            previous=previous,
        )

    def _plan(self, lines: Sequence[Line]) -> tuple[list[dict[str, JSON]], list[dict[str, JSON]]]:
        """One consignment per station, one delivery per organ."""
        consignments: dict[StationId, ConsignmentId] = {}
        written: list[dict[str, JSON]] = []
        for line in lines:
            one: dict[str, JSON] = {
                "id": self._ids.new(self._at),
                "organ": line.organ,
                "code": line.code,
                "name": line.name,
                "state": line.state.value,
            }
            if line.station is not None:
                if line.station.id not in consignments:
                    consignments[line.station.id] = ConsignmentId(self._ids.new(self._at))
                one["station"] = line.station.id
                one["consignment"] = consignments[line.station.id]
            if line.reason is not None:
                one["reason"] = line.reason.value
            written.append(one)
        return written, [{"id": key, "station": station} for station, key in consignments.items()]


"""How older systems answer a recall document: they register it, or return it."""


# --- receivers of what acts on a document -------------------------------------------------------------------------


def _told_later(inbound: Inbound) -> tuple[StationId, ...]:
    # The first outcome is the answer itself; only what comes after a hold must be told.
    return (inbound.station,) if inbound.after_hold and inbound.station is not None else ()


def _basics(inbound: Inbound) -> dict[str, JSON]:
    facts: dict[str, JSON] = {
        "message_id": inbound.message_id,
        "digest": inbound.digest,
        "size": inbound.size,
        "received_at": iso(inbound.received_at),
        "lane": inbound.lane.value,
    }
    if inbound.station is not None:
        facts["station"] = inbound.station
    if inbound.unburies is not None:
        facts["unburies"] = inbound.unburies
    return facts


def _facts_of(known: Known) -> dict[str, JSON]:
    facts: dict[str, JSON] = {
        "kind": known.kind.value if known.kind else None,
        "sender": known.sender,
        "from": known.from_code,
        "document_id": known.document_id,
        "business_type": int(known.business_type) if known.business_type is not None else None,
        "code": known.code,
        "subject": known.subject,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _content_facts(message: Edoc | Status) -> dict[str, JSON]:
    if isinstance(message, Status):
        answered = message.response_for
        return {
            "document_id": answered.document_id if answered else "",
            "business_type": 0,
            "number": "",
            "notation": answered.code if answered else "",
            "type_name": "",
            "subject": message.description,
            "content": "",
            "status_code": message.code.written if message.code else "",
            "attachments": [],
        }
    issued = message.promulgation.date
    return {
        "document_id": message.document_id,
        "business_type": int(message.business_type),
        "number": message.code.number,
        "notation": message.code.notation,
        "date": issued.iso if issued else None,
        "type_name": message.document_type.type_name,
        "signatory": message.signer.full_name,
        "subject": message.subject,
        "content": content_digest(message),
        "attachments": [
            {
                "content_id": one.content_id,
                "name": one.name,
                "declared_type": one.content_type,
                "detected_type": one.detected_type,
                "size": one.size,
                "sha256": one.sha256,
            }
            for one in message.attachments
        ],
    }
