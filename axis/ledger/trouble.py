"""
What waits for a person: holds, failed deliveries, buried messages and rejected recalls, in groups and one by one, and
plans to replay what can be. Execution is in `axis.flow.replay`.

A group is one kind and one reason; the reason says who mends the cause and what to do next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum, unique
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, case, func, literal, null, select
from sqlalchemy.ext.asyncio import AsyncConnection

from axis.core.errors import NotFound
from axis.core.events import JSON
from axis.core.ids import is_id, year_of
from axis.core.model import (
    DeliveryState,
    OrganNumber,
    RequestKind,
    RequestState,
    StationId,
    StationState,
    SubmissionState,
    from_micros,
    iso,
    micros,
)
from axis.core.reasons import REASONS, ReasonCode
from axis.ledger import tables as t
from axis.ledger.delivery_log import plain
from axis.ledger.scope import Scope
from axis.ledger.search import code_of

MOST_PLANNED = 200_000
"""Most items of one plan: it is written down as one record, and what a person looks at before it runs."""
_PIECE = 500

_Row = Row[*tuple[Any, ...]]


@unique
class TroubleKind(StrEnum):
    """What waits for a person; the words stand in the records of plans."""

    DELIVERY = "delivery"
    """A failed delivery: offered again, the same delivery."""
    HELD = "held"
    """A held submission: tried now."""
    BURIED = "buried"
    """A message that died before anyone judged it: admitted at step 1."""
    RECALL = "recall"
    """A delivery whose receiver rejected its recall (LR-25): people talk, and status 15 ends it."""


REPLAYABLE = frozenset({TroubleKind.DELIVERY, TroubleKind.HELD, TroubleKind.BURIED})
"""What can be sent round again; the rest is listed for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayFilter:
    """Which troubles are meant; what is not said does not restrict."""

    kinds: frozenset[TroubleKind] = REPLAYABLE
    reason: ReasonCode | None = None
    station: StationId | None = None
    """The receiving station of a delivery, the sending one of the others."""
    organ: OrganNumber | None = None
    """Sender or receiver, with everything below it."""
    since: datetime | None = None
    """Failed, held or buried at this moment or later."""
    until: datetime | None = None
    """Before this moment."""
    document: str = ""
    """The axis's id of a document."""

    def __post_init__(self) -> None:
        """Refuse what cannot be asked."""
        plain(document=self.document, station=self.station or "")

    def said(self) -> dict[str, JSON]:
        """What was asked for, as the record of the question holds it."""
        found: dict[str, JSON] = {}
        for one in fields(self):
            value: Any = getattr(self, one.name)
            if value is None or value == "":
                continue
            if isinstance(value, datetime):
                found[one.name] = iso(value)
            elif isinstance(value, frozenset):
                found[one.name] = sorted(kind.value for kind in value)
            else:
                found[one.name] = value if isinstance(value, int) else str(value)
        return found


async def groups(connection: AsyncConnection, *, scope: Scope) -> list[dict[str, JSON]]:
    """Kind and reason with count, first and last; the largest first."""
    found: list[dict[str, JSON]] = []
    for kind, source in _SOURCES.items():
        at = source.at.label("at")
        items = select(source.reason.label("reason"), at).where(*source.is_trouble, *source.within(scope))
        rows = items.subquery()
        query = select(
            rows.c.reason,
            func.count().label("count"),
            func.min(rows.c.at).label("first"),
            func.max(rows.c.at).label("last"),
        ).group_by(rows.c.reason)
        found += [_group(kind, row) for row in await connection.execute(query)]
    return sorted(found, key=lambda group: (-int(str(group["count"])), str(group["group"])))


def _group(kind: TroubleKind, row: _Row) -> dict[str, JSON]:
    code = row.reason or ReasonCode.AXIS_FAULT.value
    reason = REASONS[ReasonCode(code)]
    return {
        "group": f"{kind.value}:{code}",
        "kind": kind.value,
        "reason": code,
        "owner": reason.owner.value,
        "count": row._mapping["count"],  # noqa: SLF001 - the public name of a column that is called like a method
        "first": iso(from_micros(row.first)),
        "last": iso(from_micros(row.last)),
        "vi": reason.vi,
        "en": reason.en,
        "next": {"vi": reason.next_vi, "en": reason.next_en},
    }


async def candidates(
    connection: AsyncConnection, asked: ReplayFilter, *, scope: Scope, limit: int
) -> list[dict[str, JSON]]:
    """What a replay of these would move, oldest first, with what would still fail and what was replayed before."""
    found: list[dict[str, JSON]] = []
    for kind in TroubleKind:
        if kind in asked.kinds & REPLAYABLE and len(found) < limit:
            source = _SOURCES[kind]
            query = (
                source.query.where(*source.is_trouble, *source.within(scope), *source.asked(asked))
                .order_by(source.at, source.id)
                .limit(limit - len(found))
            )
            rows = (await connection.execute(query)).all()
            found += [_item(kind, row) for row in rows]
    return await _foreseen(connection, found)


async def plan_of(connection: AsyncConnection, plan: str) -> dict[str, JSON]:
    """
    A plan: who made it and why, where it stands, and its items as they are now.

    Raises:
        NotFound: no such plan.
    """
    query = select(t.replay_plan).where(t.replay_plan.c.id == plan)
    row = (await connection.execute(query)).first() if is_id(plan) else None
    if row is None:
        raise NotFound("replay plan", plan)
    planned = select(t.replay_item).where(t.replay_item.c.plan_id == plan)
    items = (await connection.execute(planned.order_by(t.replay_item.c.kind, t.replay_item.c.item_id))).all()
    now = {
        (kind.value, str(one["id"])): one
        for kind in TroubleKind
        for one in await _items(connection, kind, [row.item_id for row in items if row.kind == kind.value])
    }
    foreseen = await _foreseen(connection, list(now.values()), besides=plan)
    by_item = {(str(one["kind"]), str(one["id"])): one for one in foreseen}
    shown = [
        {
            **by_item.get((item.kind, item.item_id), {"kind": item.kind, "id": item.item_id}),
            "state": item.state,
            "result": item.result,
        }
        for item in items
    ]
    return {
        "plan": row.id,
        "person": row.person,
        "reason": row.reason,
        "at": iso(from_micros(row.at)),
        "state": row.state,
        "items": shown,
        "total": len(items),
        "done": sum(item.state != "planned" for item in items),
        "would_fail": sum(one.get("would_fail") is True for one in shown),
        "replayed_before": sum(bool(one.get("replayed_before")) for one in shown),
    }


async def plans(connection: AsyncConnection, *, limit: int) -> list[dict[str, JSON]]:
    """The newest plans, without their items."""
    is_done = func.sum(case((t.replay_item.c.state != "planned", 1), else_=0))
    query = (
        select(t.replay_plan, func.count(t.replay_item.c.item_id).label("total"), is_done.label("done"))
        .outerjoin_from(t.replay_plan, t.replay_item, t.replay_item.c.plan_id == t.replay_plan.c.id)
        .group_by(*t.replay_plan.columns)
        .order_by(t.replay_plan.c.at.desc(), t.replay_plan.c.id.desc())
        .limit(limit)
    )
    return [
        {
            "plan": row.id,
            "person": row.person,
            "reason": row.reason,
            "at": iso(from_micros(row.at)),
            "state": row.state,
            "total": row.total,
            "done": int(row.done or 0),
        }
        for row in await connection.execute(query)
    ]


# --- one by one ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Where troubles of one kind are found."""

    query: Select[Any]
    id: Any
    at: Any
    reason: Any
    station: Any
    document: Any
    is_trouble: tuple[ColumnElement[bool], ...]
    within: Callable[[Scope], Iterator[ColumnElement[bool]]]

    def asked(self, asked: ReplayFilter) -> Iterator[ColumnElement[bool]]:
        """What the filter adds, besides the organ, which is in the scope."""
        if asked.reason is not None:
            yield self.reason == asked.reason.value
        if asked.station is not None:
            yield self.station == asked.station
        if asked.since is not None:
            yield self.at >= micros(asked.since)
        if asked.until is not None:
            yield self.at < micros(asked.until)
        if asked.document:
            yield self.document == asked.document


def _of_deliveries(scope: Scope) -> Iterator[ColumnElement[bool]]:
    yield scope.covers_either(t.delivery.c.sender, t.delivery.c.organ)


def _of_holds(scope: Scope) -> Iterator[ColumnElement[bool]]:
    yield scope.covers(t.submission.c.sender)


def _of_buried(scope: Scope) -> Iterator[ColumnElement[bool]]:
    # Nobody has read it: all that is known is the station, and whom it speaks for.
    for tree in scope.trees:
        theirs = select(t.delegation.c.station_id).where(tree.covers(t.delegation.c.organ))
        yield t.buried.c.station_id.in_(theirs)


_DELIVERIES = select(
    t.delivery.c.id,
    t.delivery.c.reason,
    t.delivery.c.state_at.label("at"),
    t.delivery.c.station_id,
    t.delivery.c.document_key.label("document"),
    t.delivery.c.code.label("to_code"),
    t.delivery.c.name.label("to_name"),
    t.document.c.from_code,
    t.document.c.number,
    t.document.c.notation,
    t.document.c.subject,
).join_from(
    t.delivery,
    t.document,
    (t.document.c.id == t.delivery.c.document_key) & (t.document.c.year == t.delivery.c.year),
)

_SOURCES: Mapping[TroubleKind, _Source] = {
    TroubleKind.DELIVERY: _Source(
        query=_DELIVERIES,
        id=t.delivery.c.id,
        at=t.delivery.c.state_at,
        reason=t.delivery.c.reason,
        station=t.delivery.c.station_id,
        document=t.delivery.c.document_key,
        is_trouble=(t.is_not_received, t.delivery.c.state == DeliveryState.FAILED.value),
        within=_of_deliveries,
    ),
    TroubleKind.RECALL: _Source(
        query=_DELIVERIES,
        id=t.delivery.c.id,
        at=t.delivery.c.requested_at,
        reason=literal(ReasonCode.DELIVER_RECALL_REJECTED.value),
        station=t.delivery.c.station_id,
        document=t.delivery.c.document_key,
        is_trouble=(
            t.is_request_open,
            t.delivery.c.request == RequestState.REJECTED.value,
            t.delivery.c.request_kind == RequestKind.RECALL.value,
        ),
        within=_of_deliveries,
    ),
    TroubleKind.HELD: _Source(
        query=select(
            t.submission.c.id,
            t.submission.c.reason,
            t.submission.c.recorded_at.label("at"),
            t.submission.c.station_id,
            t.submission.c.document_key.label("document"),
            null().label("to_code"),
            null().label("to_name"),
            t.submission.c.from_code,
            t.submission.c.code.label("number"),
            null().label("notation"),
            t.submission.c.subject,
        ),
        id=t.submission.c.id,
        at=t.submission.c.recorded_at,
        reason=t.submission.c.reason,
        station=t.submission.c.station_id,
        document=t.submission.c.document_key,
        is_trouble=(t.is_not_accepted, t.submission.c.state == SubmissionState.HELD.value),
        within=_of_holds,
    ),
    TroubleKind.BURIED: _Source(
        query=select(
            t.buried.c.id,
            t.buried.c.reason,
            t.buried.c.at,
            t.buried.c.station_id,
            null().label("document"),
            null().label("to_code"),
            null().label("to_name"),
            null().label("from_code"),
            null().label("number"),
            null().label("notation"),
            null().label("subject"),
        ),
        id=t.buried.c.id,
        at=t.buried.c.at,
        reason=t.buried.c.reason,
        station=t.buried.c.station_id,
        document=null(),
        is_trouble=(t.buried.c.submission_id.is_(None),),
        within=_of_buried,
    ),
}


def _item(kind: TroubleKind, row: _Row) -> dict[str, JSON]:
    return {
        "kind": kind.value,
        "id": row.id,
        "reason": row.reason,
        "at": iso(from_micros(row.at)),
        "station": row.station_id,
        "document": row.document,
        "from": row.from_code,
        "to": row.to_code,
        "to_name": row.to_name,
        "code": code_of(row.number or "", row.notation or "") or None,
        "subject": row.subject,
    }


async def _items(connection: AsyncConnection, kind: TroubleKind, ids: Sequence[str]) -> list[dict[str, JSON]]:
    """Items as they are now, whether they are still in trouble or not."""
    source = _SOURCES[kind]
    found: list[dict[str, JSON]] = []
    for start in range(0, len(ids), _PIECE):
        piece = ids[start : start + _PIECE]
        query = source.query.where(source.id.in_(piece))
        if kind is not TroubleKind.BURIED:
            years = {year_of(one) for one in piece}
            query = query.where(source.id.table.c.year.in_(years))
        found += [_item(kind, row) for row in await connection.execute(query)]
    return found


async def _foreseen(
    connection: AsyncConnection, items: Sequence[dict[str, JSON]], *, besides: str | None = None
) -> list[dict[str, JSON]]:
    """The items with what can be told before trying: nothing more than that is promised."""
    stations = sorted({str(one["station"]) for one in items if one["station"] is not None})
    states: dict[str, str] = {}
    before: dict[tuple[str, str], int] = {}
    for start in range(0, len(stations), _PIECE):
        query = select(t.station.c.id, t.station.c.state).where(
            t.station.c.id.in_(stations[start : start + _PIECE])
        )
        states.update({row.id: row.state for row in await connection.execute(query)})
    ids = [str(one["id"]) for one in items]
    table = t.replay_item
    for start in range(0, len(ids), _PIECE):
        counted = (
            select(table.c.kind, table.c.item_id, func.count().label("n"))
            .where(table.c.item_id.in_(ids[start : start + _PIECE]), table.c.state != "planned")
            .group_by(table.c.kind, table.c.item_id)
        )
        if besides is not None:
            counted = counted.where(table.c.plan_id != besides)
        before.update({(row.kind, row.item_id): row.n for row in await connection.execute(counted)})
    return [
        {
            **one,
            "would_fail": (obstacle := _obstacle(one, states)) is not None,
            "obstacle": obstacle,
            "replayed_before": before.get((str(one["kind"]), str(one["id"])), 0),
        }
        for one in items
    ]


def _obstacle(item: Mapping[str, JSON], states: Mapping[str, str]) -> dict[str, JSON] | None:
    """What stands in the way now, for certain; None says that nobody can tell before trying."""
    station = item["station"]
    if station is None:
        return {
            "vi": "Không có điểm kết nối nào",
            "en": "There is no station",
        }
    state = states.get(str(station))
    if state is None:
        return {
            "vi": f"Điểm kết nối {station} không còn tồn tại",
            "en": f"Station {station} does not exist any more",
        }
    if state != StationState.ACTIVE.value:
        return {
            "vi": f"Điểm kết nối {station} đang bị tạm dừng",
            "en": f"Station {station} is suspended",
        }
    return None
