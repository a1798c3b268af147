"""
Numbers for operators: what waits, what is held, how far the log is. For `GET /metrics`, asked every few seconds.

Every query goes along an index and over open work only, so that years of finished deliveries cost nothing. These are
no counts of record: those are folded from events, see `axis.ledger.counts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from axis.core.model import SubmissionState, vietnam_day
from axis.ledger import tables as t
from axis.ledger.store import SQLLedger

_OPEN = ("waiting", "handed_over", "fetched")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number, as the metrics page shows it."""

    name: str
    help: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()
    kind: Literal["gauge", "counter"] = "gauge"


class SQLFigures:
    """Reads the numbers; figures of one name stand together."""

    def __init__(self, ledger: SQLLedger) -> None:
        self._ledger = ledger

    async def figures(self, *, at: datetime) -> Sequence[Figure]:
        """
        The numbers as of now; `at` says which day it is.

        Raises:
            ServiceUnavailable: the database does not answer.
        """
        async with self._ledger.reading() as connection:
            return [
                *await _backlog(connection),
                *await _today(connection, day=vietnam_day(at)),
                *await _single(connection),
            ]


async def _backlog(connection: AsyncConnection) -> list[Figure]:
    table = t.consignment.c
    query = (
        select(table.station_id, table.lane, table.state, func.count().label("n"))
        .where(table.station_id.in_(select(t.station.c.id)), table.state.in_(_OPEN))
        .group_by(table.station_id, table.lane, table.state)
        .order_by(table.station_id, table.lane, table.state)
    )
    return [
        Figure(
            name="axis_consignments",
            help="Documents and statuses a station has not settled.",
            value=row.n,
            labels=(("station", row.station_id), ("lane", row.lane), ("state", row.state)),
        )
        for row in await connection.execute(query)
    ]


async def _today(connection: AsyncConnection, *, day: str) -> list[Figure]:
    table = t.day_total.c
    query = (
        select(table.metric, func.sum(table.n).label("n"))
        .where(table.day == day)
        .group_by(table.metric)
        .order_by(table.metric)
    )
    return [
        Figure(
            name="axis_today",
            help="Counts of this day in Vietnam, as the counting rules have them, as far as events are numbered.",
            value=int(row.n),
            labels=(("metric", row.metric),),
        )
        for row in await connection.execute(query)
    ]


async def _single(connection: AsyncConnection) -> list[Figure]:
    questions = (
        (
            "axis_held",
            "Submissions nobody could tell about yet.",
            select(func.count()).where(t.submission.c.state == SubmissionState.HELD.value),
        ),
        (
            "axis_buried",
            "Messages that died before anyone judged them, and still lie there.",
            select(func.count()).select_from(t.buried).where(t.buried.c.submission_id.is_(None)),
        ),
        (
            "axis_events_unnumbered",
            "Events the sequencer has not numbered yet.",
            select(func.count()).select_from(t.pending_leaf),
        ),
        ("axis_log_size", "Leaves in the log.", select(func.coalesce(func.max(t.log_head.c.size), 0))),
    )
    return [
        Figure(name=name, help=text, value=int((await connection.execute(query)).scalar_one()))
        for name, text, query in questions
    ]
