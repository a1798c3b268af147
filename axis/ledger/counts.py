"""
Counts are folded from events, by counting rules version 1 (docs/counting.md), and from nothing else.

`fold` is pure: what it needs stands in the record, so that anyone who has the records can recompute every number.
For every organ and period: pending at start + addressed = received + withdrawn + failed + pending at end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Any, TypeAlias

from axis.core.events import Event, EventKind
from axis.core.model import DeliveryState, Kind, Tier, vietnam_day

RULE_VERSION = 1


@unique
class Metric(StrEnum):
    """One column of the counts; `pending` is computed from four of them."""

    SENT = "sent"
    ADDRESSED = "addressed"
    RECEIVED = "received"
    REGISTERED = "registered"
    RETURNED = "returned"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"
    NOT_CONNECTED = "not_connected"
    REFUSED = "refused"
    RECALLED = "recalled"
    LATE = "late"
    LATE_ND30 = "late_nd30"
    """By the laxer rule of NĐ30 (LR-14); every one of these is `late` too."""
    PAPER = "paper"
    """A paper copy follows (LR-08)."""
    UNSIGNED = "unsigned"


AT_THE_SENDER = frozenset(
    {
        Metric.SENT,
        Metric.REFUSED,
        Metric.RECALLED,
        Metric.LATE,
        Metric.LATE_ND30,
        Metric.UNSIGNED,
        Metric.PAPER,
    }
)
"""What counts at the sender; everything else counts at the receiver of each delivery."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Add `n` to one cell. Organ 0 stands where there is none."""

    day: str
    sender: int
    receiver: int
    business_type: int
    urgency: int
    metric: Metric
    n: int


Cell: TypeAlias = tuple[str, int, int, int, int, str]
"""A cell of the table `tally`: day, sender, receiver, business type, urgency, metric."""


COUNTED = ("tally", "day_total", "organ_month", "organ_year")
"""The tables of counts."""


def tables_of(cells: Mapping[Cell, int]) -> dict[str, Mapping[Any, int]]:
    """The rows of every table of counts that follow from the cells, by key: the cells themselves, and their totals."""
    days: Counter[tuple[str | int, ...]] = Counter()
    months, years = days.copy(), days.copy()
    for cell, n in cells.items():
        day, sender, receiver, business_type, urgency, metric = cell
        what = (business_type, urgency, metric)
        organ = sender if metric in AT_THE_SENDER else receiver
        days[day, *what] += n
        months[day[:7], organ, *what] += n
        years[day[:4], organ, *what] += n
    return dict(zip(COUNTED, (cells, days, months, years), strict=True))


_TO_METRIC = {
    EventKind.DELIVERY_ACKNOWLEDGED: Metric.RECEIVED,
    EventKind.DELIVERY_FAILED: Metric.FAILED,
    EventKind.DELIVERY_WITHDRAWN: Metric.WITHDRAWN,
}
_FINAL = {
    DeliveryState.ACKNOWLEDGED.value: Metric.RECEIVED,
    DeliveryState.FAILED.value: Metric.FAILED,
    DeliveryState.WITHDRAWN.value: Metric.WITHDRAWN,
}


def fold(event: Event) -> Iterator[Tally]:
    """What an event adds to the counts of the Vietnam day it happened on."""
    facts: Any = event.facts
    day = vietnam_day(event.at)
    if event.kind is EventKind.SUBMISSION_REFUSED:
        yield Tally(day, facts.get("sender") or 0, 0, facts.get("business_type") or 0, 0, Metric.REFUSED, 1)
        return
    if facts.get("kind") != Kind.EDOC.value:
        return
    if event.kind is EventKind.SUBMISSION_ACCEPTED:
        yield from _accepted(day, event, facts)
    elif event.kind is EventKind.DELIVERY_ADDED:
        yield from _addressed(day, facts)
    elif event.kind in _TO_METRIC or event.kind is EventKind.DELIVERY_REPLAYED:
        gained = _TO_METRIC.get(event.kind)
        for _, organ, before in facts["lines"]:
            cell = (day, facts["sender"], organ, facts["business_type"], facts["urgency"])
            if before in _FINAL:
                # A late "done" of a failed delivery, or a replay: it leaves the column it was counted in.
                yield Tally(*cell, _FINAL[before], -1)
            if gained is not None:
                yield Tally(*cell, gained, 1)
    elif event.kind is EventKind.DELIVERY_ANSWERED:
        for _, organ, change in facts["lines"]:
            cell = (day, facts["sender"], organ, facts["business_type"], facts["urgency"])
            for name in change:
                yield Tally(*cell, Metric(name), 1)


def _accepted(day: str, event: Event, facts: Any) -> Iterator[Tally]:
    head = (facts["sender"], 0, facts["business_type"], facts["urgency"])
    if facts["root"] == event.document:
        yield Tally(day, *head, Metric.SENT, 1)
        if facts["tier"] != Tier.PASSED.value:
            yield Tally(day, *head, Metric.UNSIGNED, 1)
        for metric in (Metric.LATE, Metric.LATE_ND30, Metric.PAPER):
            if facts.get(metric.value):
                yield Tally(day, *head, metric, 1)
    if facts.get("recalls"):
        yield Tally(day, *head, Metric.RECALLED, 1)
    yield from _addressed(day, facts)


def _addressed(day: str, facts: Any) -> Iterator[Tally]:
    for line in facts["deliveries"]:
        connected = line["state"] != DeliveryState.NOT_CONNECTED.value
        metric = Metric.ADDRESSED if connected else Metric.NOT_CONNECTED
        yield Tally(day, facts["sender"], line["organ"], facts["business_type"], facts["urgency"], metric, 1)
