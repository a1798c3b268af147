"""
What people ask of the ledger. Every question has a viewer and leaves an event: who looked, at what, how much they saw.

The answer is read first and recorded before it is given out: when the record cannot be written, there is no answer.
An export is recorded when it begins and again when it ends. Rows are JSON-able members, named as in the design of the
command line; times are ISO 8601 in Vietnam time. Nothing here changes what the axis will do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import BigInteger, exists, func, literal, select, tuple_

from axis.core.calendar import Calendar
from axis.core.errors import InvalidQuestion, NotAllowed, NotFound, ServiceUnavailable
from axis.core.events import ACTS, JSON, Event, EventKind, read_record
from axis.core.model import Actor, EventId, OrganNumber, iso, micros
from axis.core.ports import Clock, Ids
from axis.edxml.organ_code import normal
from axis.ledger import tables as t
from axis.ledger.count import By, CountFilter, Counts, count_records, count_tallies
from axis.ledger.deadlines import DueFilter, list_due, times_of
from axis.ledger.delivery_log import MOST_ROWS, Cursor, LogFilter, Page, plain, read_page
from axis.ledger.life import life_of
from axis.ledger.register import Direction, register_piece
from axis.ledger.scope import Right, Viewer, scope_of
from axis.ledger.statement import month_of, statement_of
from axis.ledger.store import SQLLedger
from axis.ledger.trouble import MOST_PLANNED, ReplayFilter, candidates, groups, plan_of, plans

_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class ActFilter:
    """Which acts of people are asked for."""

    kinds: frozenset[EventKind] = ACTS
    """`EventKind.LEDGER_QUERIED` shows who looked at what."""
    since: datetime | None = None
    until: datetime | None = None
    person: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be asked."""
        plain(person=self.person)

    def said(self) -> dict[str, JSON]:
        """What was asked for, as the record of the question holds it."""
        found: dict[str, JSON] = {}
        if self.kinds != ACTS:
            found["kinds"] = sorted(kind.value for kind in self.kinds)
        if self.since is not None:
            found["since"] = iso(self.since)
        if self.until is not None:
            found["until"] = iso(self.until)
        if self.person:
            found["person"] = self.person
        return found


class Numbers(Protocol):
    """Whoever can give events their numbers: `axis.ledger.sequencer.Sequencer`."""

    async def turn(self) -> int: ...


class Queries:
    """The questions of one viewer."""

    def __init__(self, ledger: SQLLedger, *, viewer: Viewer, clock: Clock, ids: Ids) -> None:
        self._ledger = ledger
        self._viewer = viewer
        self._clock = clock
        self._ids = ids

    async def require(self, right: Right) -> None:
        """
        Make sure that the viewer may; a no is recorded like a look.

        Raises:
            NotAllowed: their role does not have the right.
        """
        if not self._viewer.has(right):
            await self._record("refused", {"right": right.value}, rows=None)
            raise NotAllowed(f"{self._viewer.name} is {self._viewer.role.value}: no right to {right.value}")

    # --- the delivery log -----------------------------------------------------------------------------------------

    async def log(
        self,
        asked: LogFilter,
        *,
        after: str | None = None,
        limit: int = 100,
        oldest_first: bool = False,
    ) -> Page:
        """
        A page of the delivery log, newest first; `after` is that of the page before.

        Raises:
            InvalidQuestion: `after` was not handed out here.
        """
        await self.require(Right.LOG)
        cursor = Cursor.read(after) if after is not None else None
        page = await self._page(asked, after=cursor, limit=limit, oldest_first=oldest_first)
        said: dict[str, JSON] = {**asked.said(), "limit": limit}
        if after is not None:
            said["after"] = after
        await self._record("log", said, rows=len(page.rows))
        return page

    async def export_log(self, asked: LogFilter) -> AsyncIterator[dict[str, JSON]]:
        """Every row, oldest first, in constant memory and without a limit."""
        await self.require(Right.LOG)
        await self._record("log.export", asked.said(), rows=None)
        cursor: Cursor | None = None
        rows = 0
        while True:
            page = await self._page(asked, after=cursor, limit=MOST_ROWS, oldest_first=True)
            for row in page.rows:
                yield row
            rows += len(page.rows)
            if page.after is None:
                break
            cursor = Cursor.read(page.after)
        await self._record("log.exported", asked.said(), rows=rows)

    async def _page(self, asked: LogFilter, *, after: Cursor | None, limit: int, oldest_first: bool) -> Page:
        async with self._ledger.reading(snapshot=True) as connection:
            scope = await scope_of(connection, self._viewer, organ=asked.organ)
            return await read_page(
                connection, asked, scope=scope, after=after, limit=limit, oldest_first=oldest_first
            )

    async def register(
        self,
        direction: Direction,
        *,
        organ: OrganNumber | None,
        since: datetime,
        until: datetime,
        lang: str,
    ) -> AsyncIterator[dict[str, JSON]]:
        """The register of outgoing or incoming documents of an organ with its tree, oldest first, without a limit."""
        await self.require(Right.LOG)
        said: dict[str, JSON] = {"direction": direction.value, "since": iso(since), "until": iso(until)}
        if organ is not None:
            said["organ"] = int(organ)
        await self._record("register", said, rows=None)
        after: tuple[int, str] | None = None
        rows = 0
        while True:
            async with self._ledger.reading(snapshot=True) as connection:
                scope = await scope_of(connection, self._viewer, organ=organ)
                piece, after = await register_piece(
                    connection, direction, scope=scope, since=since, until=until, after=after, lang=lang
                )
            for row in piece:
                yield row
            rows += len(piece)
            if after is None:
                break
        await self._record("register.exported", said, rows=rows)

    async def show(self, name: str) -> dict[str, JSON]:
        """
        The whole life of a document: by the axis's id (of document, submission or delivery), else by DocumentId.

        Raises:
            NotFound: there is none, or none of the viewer's.
            Ambiguous: the DocumentId fits several lives.
        """
        plain(document=name)
        await self.require(Right.LOG)
        async with self._ledger.reading(snapshot=True) as connection:
            scope = await scope_of(connection, self._viewer)
            life = await life_of(connection, name, scope=scope)
        await self._record("show", {"document": name[:200]}, rows=1)
        return life

    async def organ(self, code: str) -> OrganNumber:
        """
        The organ that a person names by its code, or by the axis's number of it. Recorded with what it is used for.

        Raises:
            NotFound: no organ has that code.
            InvalidQuestion: several had it; they are told by number.
        """
        plain(organ=code)
        table = t.organ_code
        async with self._ledger.reading() as connection:
            query = select(table.c.organ).where(table.c.code == normal(code)[:64]).order_by(table.c.organ)
            found = (await connection.execute(query)).scalars().all()
            if not found and code.isascii() and code.isdigit() and len(code) < 10:
                known = select(t.organ.c.number).where(t.organ.c.number == int(code))
                found = (await connection.execute(known)).scalars().all()
        if not found:
            raise NotFound("organ", code)
        if len(found) > 1:
            listed = ", ".join(map(str, found))
            raise InvalidQuestion(
                vi=f"nhiều đơn vị từng có mã {code[:64]}; gọi bằng số: {listed}",
                en=f"several organs had the code {code[:64]}; name one by number: {listed}",
            )
        return OrganNumber(found[0])

    # --- acts -----------------------------------------------------------------------------------------------------

    async def acts(self, asked: ActFilter, *, after: str | None = None, limit: int = 100) -> Page:
        """
        What people changed, newest first: who, why, before, after.

        Raises:
            NotAllowed: the viewer sees one organ's tree only; acts are about the axis.
            InvalidQuestion: `after` was not handed out here.
        """
        await self.require(Right.ACTS)
        self._whole_axis()
        cursor = Cursor.read(after) if after is not None else None
        limit = max(1, min(limit, MOST_ROWS))
        table = t.event
        query = (
            select(table.c.record, table.c.at, table.c.id, t.leaf.c.idx)
            .outerjoin_from(table, t.leaf, t.leaf.c.event_id == table.c.id)
            .where(t.is_act, table.c.kind.in_(sorted(kind.value for kind in asked.kinds)))
            .order_by(table.c.at.desc(), table.c.id.desc())
        )
        if asked.since is not None:
            query = query.where(table.c.at >= micros(asked.since))
        if asked.until is not None:
            query = query.where(table.c.at < micros(asked.until))
        if cursor is not None:
            here = tuple_(literal(cursor.at, BigInteger()), literal(cursor.id))
            query = query.where(tuple_(table.c.at, table.c.id) < here)
        found: list[tuple[Any, Event]] = []
        async with self._ledger.reading(snapshot=True) as connection:
            # Who acted stands in the record only, so a person's acts are picked from all of them.
            result = await connection.stream(query.execution_options(yield_per=200))
            async for row in result:
                event = read_record(row.record)
                if asked.person and event.by.person != asked.person:
                    continue
                found.append((row, event))
                if len(found) > limit:
                    break
            await result.close()
        shown = found[:limit]
        end = Cursor(shown[-1][0].at, shown[-1][0].id).text if len(found) > limit else None
        await self._record("acts", asked.said(), rows=len(shown))
        return Page(rows=[_act(row.idx, event) for row, event in shown], after=end)

    async def export_acts(self, asked: ActFilter) -> AsyncIterator[dict[str, JSON]]:
        """
        Every such act, newest first; page by page, so in constant memory.

        Raises:
            NotAllowed: see `acts`.
        """
        after: str | None = None
        while True:
            page = await self.acts(asked, after=after, limit=MOST_ROWS)
            for row in page.rows:
                yield row
            after = page.after
            if after is None:
                return

    # --- counts ---------------------------------------------------------------------------------------------------

    async def count(self, asked: CountFilter, *, by: By) -> Counts:
        """The counts as they were folded with the log; see `axis.ledger.count`."""
        await self.require(Right.COUNTS)
        async with self._ledger.reading(snapshot=True) as connection:
            scope = await scope_of(connection, self._viewer, organ=asked.organ)
            counts = await count_tallies(connection, asked, by=by, scope=scope)
        await self._record("count", {**asked.said(), "by": by.value}, rows=len(counts.rows))
        return counts

    async def recount(
        self, asked: CountFilter, *, by: By, progress: Callable[[int], None] = lambda _: None
    ) -> Counts:
        """The same from every record of the log; equal to `count`, or somebody changed one of them."""
        await self.require(Right.COUNTS)
        async with self._ledger.reading(snapshot=True) as connection:
            scope = await scope_of(connection, self._viewer, organ=asked.organ)
            counts = await count_records(connection, asked, by=by, scope=scope, progress=progress)
        await self._record("recount", {**asked.said(), "by": by.value}, rows=len(counts.rows))
        return counts

    async def statement(self, organ: OrganNumber, month: str, *, log: str) -> dict[str, JSON]:
        """
        The statement of one organ and month, unsigned; `log` is the name of the log it was counted from.

        Raises:
            NotAllowed: the organ is not in the viewer's tree.
            InvalidQuestion: no such month.
        """
        await self.require(Right.COUNTS)
        month_of(month)
        async with self._ledger.reading(snapshot=True) as connection:
            scope = await scope_of(connection, self._viewer)
            is_theirs = scope.has(int(organ))
            found = await statement_of(connection, organ, month, log=log) if is_theirs else {}
        await self._record("statement", {"organ": int(organ), "month": month}, rows=int(is_theirs))
        if not is_theirs:
            raise NotAllowed("a statement of an organ outside this viewer's tree")
        return found

    async def settle_counts(self, *, within_s: float = 30.0, numbers: Numbers | None = None) -> None:
        """
        Wait until everything that is recorded now has a number, and so is counted.

        `numbers` does it here when nobody else is running; beside a running axis it waits its turn.

        Raises:
            ServiceUnavailable: not within the time; no hub runs, or it does not keep up.
        """
        queue = t.pending_leaf
        async with self._ledger.reading() as connection:
            last = (await connection.execute(select(func.max(queue.c.seq)))).scalar()
        waits = select(exists().where(queue.c.seq <= (last or 0)))
        try:
            async with asyncio.timeout(within_s):
                while last is not None:
                    if numbers is not None:
                        await numbers.turn()
                    async with self._ledger.reading() as connection:
                        if not (await connection.execute(waits)).scalar():
                            return
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as problem:
            raise ServiceUnavailable("sequencer", f"events wait for a number for {within_s:g} s") from problem

    # --- what waits for a person ----------------------------------------------------------------------------------

    async def failed_groups(self) -> Sequence[dict[str, JSON]]:
        """Holds, failed deliveries and buried messages by reason and owner, with the next step."""
        await self.require(Right.TROUBLE)
        async with self._ledger.reading(snapshot=True) as connection:
            scope = await scope_of(connection, self._viewer)
            found = await groups(connection, scope=scope)
        await self._record("failed", {}, rows=len(found))
        return found

    async def replay_candidates(
        self, asked: ReplayFilter, *, limit: int = MOST_PLANNED
    ) -> Sequence[dict[str, JSON]]:
        """What a replay of these would move; `kind` and `id` of each row are what a plan is made of."""
        await self.require(Right.TROUBLE)
        async with self._ledger.reading(snapshot=True) as connection:
            scope = await scope_of(connection, self._viewer, organ=asked.organ)
            found = await candidates(connection, asked, scope=scope, limit=max(1, limit))
        await self._record("replay.candidates", asked.said(), rows=len(found))
        return found

    async def plan(self, plan: str) -> dict[str, JSON]:
        """
        A replay plan with its items as they are now.

        Raises:
            NotFound: no such plan.
            NotAllowed: the viewer sees one organ's tree only; a plan may reach beyond it.
        """
        await self.require(Right.TROUBLE)
        self._whole_axis()
        async with self._ledger.reading(snapshot=True) as connection:
            found = await plan_of(connection, plan)
        await self._record("replay.plan", {"plan": plan}, rows=int(str(found["total"])))
        return found

    async def plans(self, *, limit: int = 50) -> Sequence[dict[str, JSON]]:
        """The newest replay plans."""
        await self.require(Right.TROUBLE)
        self._whole_axis()
        async with self._ledger.reading(snapshot=True) as connection:
            found = await plans(connection, limit=max(1, limit))
        await self._record("replay.plans", {}, rows=len(found))
        return found

    # --- what is late, and owed -----------------------------------------------------------------------------------

    async def due(self, asked: DueFilter, *, calendar: Calendar) -> Sequence[dict[str, JSON]]:
        """One of the lists of what is late or not answered; see `axis.ledger.deadlines`."""
        await self.require(Right.LOG)
        async with self._ledger.reading(snapshot=True) as connection:
            scope = await scope_of(connection, self._viewer, organ=asked.organ)
            found = await list_due(connection, asked, scope=scope, at=self._clock.now(), calendar=calendar)
        await self._record("due", asked.said(), rows=len(found))
        return found

    async def times(self, asked: DueFilter) -> Sequence[dict[str, JSON]]:
        """How long documents take from their day of issue, by percentile; `which` is not looked at."""
        await self.require(Right.COUNTS)
        async with self._ledger.reading(snapshot=True) as connection:
            scope = await scope_of(connection, self._viewer, organ=asked.organ)
            found = await times_of(connection, asked, scope=scope)
        await self._record("times", asked.said(), rows=len(found))
        return found

    # --- records --------------------------------------------------------------------------------------------------

    def _whole_axis(self) -> None:
        if self._viewer.tree is not None:
            raise NotAllowed("this concerns the whole axis; this viewer sees one organ and what is below it")

    async def _record(self, question: str, filters: Mapping[str, JSON], *, rows: int | None) -> None:
        """Who looked, at what, how much they saw."""
        at = self._clock.now()
        event = Event(
            id=EventId(self._ids.new(at)),
            kind=EventKind.LEDGER_QUERIED,
            at=at,
            by=Actor(person=self._viewer.name),
            facts={
                "viewer": self._viewer.name,
                "tree": self._viewer.tree,
                "role": self._viewer.role.value,
                "question": question,
                "filters": dict(filters),
                "rows": rows,
            },
        )
        async with self._ledger.transaction() as tx:
            await tx.append([event])


def _act(index: int | None, event: Event) -> dict[str, JSON]:
    return {
        "index": index,
        "event": event.id,
        "at": iso(event.at),
        "kind": event.kind.value,
        "person": event.by.person,
        "reason": event.by.reason,
        "before": _side(event, "before"),
        "after": _side(event, "after"),
        "facts": dict(event.facts),
    }


def _side(event: Event, side: str) -> JSON:
    """What was there before, or after: of one thing, or of each of several."""
    facts: Any = event.facts
    if side in facts:
        found: JSON = facts[side]
        return found
    changes = facts.get("changes")
    if isinstance(changes, list):
        return [change.get(side) for change in changes if isinstance(change, dict)]
    return None
