"""The counting rules of docs/counting.md, on random histories: what is folded from events is what happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axis.core.events import Event, EventKind
from axis.core.ids import compose
from axis.core.lifecycle import DeliveryStep, next_delivery_state
from axis.core.model import (
    PENDING,
    Actor,
    BusinessType,
    ConsignmentId,
    DeliveryId,
    DeliveryState,
    Digest,
    DocumentKey,
    EventId,
    Kind,
    Lane,
    LegalValue,
    OrganNumber,
    StationId,
    SubmissionId,
    Tier,
    Urgency,
)
from axis.core.rows import ConsignmentRow, DeliveryRow, DocumentRow
from axis.flow.steps import step_event
from axis.ledger.counts import Metric, Tally, fold

_START = datetime(2020, 2, 3, 10, tzinfo=UTC)
"""17:00 in Vietnam: some of what follows happens after midnight."""
_ORGANS = [OrganNumber(number) for number in range(1, 5)]


class _Ids:
    def __init__(self) -> None:
        self.made = 0

    def new(self, at: datetime) -> str:
        self.made += 1
        return compose(at=at, randomness=self.made)


@dataclass
class _World:
    """An axis that only remembers: states by delivery, events in order, and what pending was at each moment."""

    ids: _Ids = field(default_factory=_Ids)
    at: datetime = _START
    rows: dict[DeliveryId, DeliveryRow] = field(default_factory=dict)
    documents: dict[DocumentKey, DocumentRow] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    pending: list[tuple[datetime, Counter[int]]] = field(default_factory=list)
    happened: Counter[tuple[str, int, Metric]] = field(default_factory=Counter)
    """Independent account: (day, organ, column)."""

    def _count(self, organ: int, metric: Metric, n: int = 1) -> None:
        self.happened[(self.at + timedelta(hours=7)).date().isoformat(), organ, metric] += n

    def accept(
        self, sender: OrganNumber, receivers: Iterable[tuple[OrganNumber, bool]], root: DocumentKey | None
    ) -> None:
        """A document, or with `root` a supplementary sending of it, to organs that are connected or not."""
        key = DocumentKey(self.ids.new(self.at))
        document = _document(key, sender=sender, root=root or key, at=self.at)
        self.documents[key] = document
        lines: list[Any] = []
        for organ, connected in receivers:
            state = DeliveryState.WAITING if connected else DeliveryState.NOT_CONNECTED
            delivery = DeliveryId(self.ids.new(self.at))
            self.rows[delivery] = _row(delivery, document, organ=organ, state=state, at=self.at)
            lines.append({"id": delivery, "organ": organ, "state": state.value})
            self._count(organ, Metric.ADDRESSED if connected else Metric.NOT_CONNECTED)
        if root is None:
            self._count(sender, Metric.SENT)
        self.events.append(
            Event(
                id=EventId(self.ids.new(self.at)),
                kind=EventKind.SUBMISSION_ACCEPTED,
                at=self.at,
                by=Actor(station=StationId("s1")),
                document=key,
                facts={
                    "kind": Kind.EDOC.value,
                    "sender": sender,
                    "business_type": 0,
                    "urgency": 0,
                    "root": document.root,
                    "tier": Tier.PASSED.value,
                    "deliveries": lines,
                },
            )
        )

    def step(self, delivery: DeliveryId, step: DeliveryStep) -> None:
        """What the flow would do: nothing, when the lifecycle does not allow it."""
        row = self.rows[delivery]
        document = self.documents[row.document]
        event = step_event(
            step,
            chosen=[delivery],
            every=[row],
            consignment=ConsignmentRow(
                id=ConsignmentId("C"),
                document=document.id,
                station=StationId("s2"),
                lane=Lane.NORMAL,
                state="waiting",
                attempt=1,
                head="00",
            ),
            document=document,
            by=Actor(axis="test"),
            at=self.at,
            ids=self.ids,
        )
        after = next_delivery_state(row.state, step)
        assert (event is None) == (after is None)
        if event is None or after is None:
            return
        column = {
            DeliveryState.ACKNOWLEDGED: Metric.RECEIVED,
            DeliveryState.FAILED: Metric.FAILED,
            DeliveryState.WITHDRAWN: Metric.WITHDRAWN,
        }
        if row.state in column:
            self._count(row.organ, column[row.state], -1)
        if after in column:
            self._count(row.organ, column[after])
        self.rows[delivery] = _row(delivery, document, organ=row.organ, state=after, at=self.at)
        self.events.append(event)

    def look(self) -> None:
        """Note what is pending now."""
        self.pending.append(
            (self.at, Counter(row.organ for row in self.rows.values() if row.state in PENDING))
        )


def _document(key: DocumentKey, *, sender: OrganNumber, root: DocumentKey, at: datetime) -> DocumentRow:
    return DocumentRow(
        id=key,
        submission=SubmissionId("S"),
        kind=Kind.EDOC,
        station=StationId("s1"),
        sender=sender,
        from_code="",
        document_id="",
        business_type=BusinessType.NEW,
        number="",
        notation="",
        promulgation_date=None,
        type_name="",
        subject="",
        urgency=Urgency.NORMAL,
        lane=Lane.NORMAL,
        digest=Digest(""),
        size=0,
        content="",
        tier=Tier.PASSED,
        value=LegalValue.CHECKING,
        received_at=at,
        accepted_at=at,
        root=root,
        target=None,
        status_code=None,
        report=None,
        attachments=(),
        head="00",
    )


def _row(
    delivery: DeliveryId, document: DocumentRow, *, organ: OrganNumber, state: DeliveryState, at: datetime
) -> DeliveryRow:
    return DeliveryRow(
        id=delivery,
        document=document.id,
        consignment=ConsignmentId("C"),
        station=StationId("s2"),
        kind=Kind.EDOC,
        sender=document.sender,
        organ=organ,
        code="",
        name="",
        state=state,
        reason=None,
        state_at=at,
        accepted_at=document.accepted_at,
        received_at=None,
        status=None,
        registered=False,
        returned=False,
    )


@st.composite
def _worlds(draw: st.DrawFn) -> _World:
    world = _World()
    for _ in range(draw(st.integers(1, 30))):
        world.at += draw(st.sampled_from([timedelta(seconds=1), timedelta(hours=3), timedelta(days=1)]))
        if not world.rows or draw(st.integers(0, 3)) == 0:
            organs = draw(st.lists(st.sampled_from(_ORGANS), min_size=1, max_size=4, unique=True))
            roots = [document.root for document in world.documents.values()]
            world.accept(
                draw(st.sampled_from(_ORGANS)),
                [(organ, draw(st.integers(0, 4)) > 0) for organ in organs],
                draw(st.none() | st.sampled_from(roots)) if roots else None,
            )
        else:
            world.step(draw(st.sampled_from(sorted(world.rows))), draw(st.sampled_from(DeliveryStep)))
        world.look()
    return world


def _cells(events: Iterable[Event]) -> list[Tally]:
    return [tally for event in events for tally in fold(event)]


def _total(tallies: Iterable[Tally], organ: int, metric: Metric) -> int:
    return sum(one.n for one in tallies if one.metric is metric and (one.receiver or one.sender) == organ)


@pytest.mark.requirement("LR-45")
@given(_worlds())
def test_every_organ_balances_in_every_period(world: _World) -> None:
    """Pending at start + addressed = received + withdrawn + failed + pending at end, between any two moments."""
    moments: list[tuple[datetime, Counter[int]]] = [(_START, Counter()), *world.pending]
    for first in range(len(moments)):
        (start, before), (end, after) = moments[first], moments[-1]
        period = _cells(event for event in world.events if start < event.at <= end)
        for organ in _ORGANS:
            settled = sum(
                _total(period, organ, metric) for metric in (Metric.RECEIVED, Metric.WITHDRAWN, Metric.FAILED)
            )

            assert before[organ] + _total(period, organ, Metric.ADDRESSED) == settled + after[organ]


@given(_worlds())
def test_every_cell_is_what_happened_on_that_day(world: _World) -> None:
    """Column by column and day by day, counted a second way; a day begins at midnight in Vietnam."""
    folded: Counter[tuple[str, int, Metric]] = Counter()
    for one in _cells(world.events):
        folded[one.day, one.receiver or one.sender, one.metric] += one.n

    assert {cell: n for cell, n in folded.items() if n} == {
        cell: n for cell, n in world.happened.items() if n
    }


@given(_worlds())
def test_sent_counts_documents_and_not_submissions(world: _World) -> None:
    """A supplementary sending adds deliveries and nothing to sent."""
    roots = {document.root for document in world.documents.values()}

    assert sum(one.n for one in _cells(world.events) if one.metric is Metric.SENT) == len(roots)
