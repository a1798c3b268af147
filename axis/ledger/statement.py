"""
The statement of one organ and month: its counts, and the numbers of its deliveries to and from every other organ.

Both sides can recompute it from what they hold: a sender from the receipts of its submissions, a receiver from the
verification reports that came with its documents and the receipts of its statuses. Deliveries between two organs are
numbered without gaps, so that what one side was never shown has a number, too. It is signed like a receipt, and says
how far the log was counted.

    {"statement": 1, "log": …, "month": "2026-11", "organ": {…}, "counts": {…}, "numbered_up_to": …, "rule_version": 1,
     "sent_to": [{"code", "codes", "name", "number", "numbers": "1-7,9", "n": 8, "added": ""}, …],
     "received_from": [{… the same …, "not_received": "9", "received": "1-7", "registered": "1-3", "returned": "4"}, …]}

`numbers` are those of the month's deliveries; of them, `not_received` were not received when the log had
`numbered_up_to` records. `received`, `registered` and `returned` are what the columns of the month count, whenever it
was addressed. Of all of these, `added` were made by the axis itself, which told of a recall whoever had taken what is
recalled: no paper lists them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from axis.core.errors import InvalidQuestion
from axis.core.events import JSON, EventKind, canonical, read_record
from axis.core.model import VIETNAM, Kind, OrganNumber, micros
from axis.ledger import tables as t
from axis.ledger.count import COLUMNS, By, CountFilter, count_tallies
from axis.ledger.counts import RULE_VERSION, Metric
from axis.ledger.scope import Scope, Tree

STATEMENT_VERSION = 1
_PIECE = 500
_MOST_NUMBERS = 10_000_000


def month_of(text: str) -> tuple[datetime, datetime]:
    """
    The first moment of a month `yyyy-mm` and the first one behind it.

    Raises:
        InvalidQuestion: it is none.
    """
    no_month = InvalidQuestion(
        vi=f"{text[:40]!r} không phải là tháng; viết như 2026-11",
        en=f"{text[:40]!r} is no month; write it like 2026-11",
    )
    try:
        first = date.fromisoformat(f"{text}-01")
    except ValueError as problem:
        raise no_month from problem
    if len(text) != len("2026-11"):
        raise no_month
    begin = datetime(first.year, first.month, 1, tzinfo=VIETNAM)
    end = datetime(first.year + first.month // 12, first.month % 12 + 1, 1, tzinfo=VIETNAM)
    return begin, end


def ranges(numbers: Iterable[int]) -> str:
    """`1-7,9` for 1, 2, … 7 and 9: ascending, each once."""
    found: list[list[int]] = []
    for number in sorted(set(numbers)):
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def numbers_in(text: str) -> Iterator[int]:
    """
    The inverse of `ranges`.

    Raises:
        ValueError: it is none, or longer than any month of any organ.
    """
    total = 0
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        begin, end = int(first), int(last or first)
        total += end - begin + 1
        if not 0 < begin <= end or total > _MOST_NUMBERS:
            raise ValueError("not a list of numbers")
        yield from range(begin, end + 1)


async def statement_of(
    connection: AsyncConnection, organ: OrganNumber, month: str, *, log: str
) -> dict[str, JSON]:
    """
    The statement, unsigned; of one moment if the transaction is.

    Raises:
        InvalidQuestion: no such month.
    """
    since, until = month_of(month)
    alone = Tree(root=organ, organs=frozenset({int(organ)}))
    asked = CountFilter(since=since.date().isoformat(), until=(until - timedelta(days=1)).date().isoformat())
    counts = await count_tallies(connection, asked, by=By.ORGAN, scope=Scope(asked=alone))
    columns: Mapping[str, JSON] = counts.rows[0] if counts.rows else dict.fromkeys(COLUMNS, 0)
    month_is = {"since": micros(since), "until": micros(until)}
    sent = await _sent(connection, organ, **month_is)
    received = await _received(connection, organ, **month_is)
    known = await _organs(connection, [organ, *sent, *received])
    return {
        "statement": STATEMENT_VERSION,
        "log": log,
        "month": month,
        "organ": known[int(organ)],
        "counts": {name: columns[name] for name in COLUMNS if name != "rule_version"},
        "numbered_up_to": counts.numbered_up_to,
        "not_numbered": counts.not_numbered,
        "rule_version": RULE_VERSION,
        "sent_to": _pairs(sent, known),
        "received_from": _pairs(received, known),
    }


def statement_bytes(statement: Mapping[str, JSON]) -> bytes:
    """What is signed."""
    return canonical(dict(statement))


@dataclass(slots=True)
class _Sent:
    """Numbers of deliveries to one organ."""

    numbers: list[int] = field(default_factory=list)
    added: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Received(_Sent):
    """Numbers of deliveries from one organ."""

    not_received: list[int] = field(default_factory=list)
    received: list[int] = field(default_factory=list)
    registered: list[int] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)


def _pairs(found: Mapping[int, _Sent], known: Mapping[int, dict[str, JSON]]) -> list[JSON]:
    return [
        {
            **known[organ],
            **{one.name: ranges(getattr(theirs, one.name)) for one in fields(theirs)},
            "n": len(set(theirs.numbers)),
        }
        for organ, theirs in sorted(found.items(), key=lambda one: (str(known[one[0]]["code"]), one[0]))
    ]


async def _organs(connection: AsyncConnection, organs: Iterable[int]) -> dict[int, dict[str, JSON]]:
    wanted = sorted({int(one) for one in organs})
    found: dict[int, dict[str, JSON]] = {
        number: {"number": number, "code": "", "codes": [], "name": ""} for number in wanted
    }
    for start in range(0, len(wanted), _PIECE):
        piece = wanted[start : start + _PIECE]
        for row in await connection.execute(select(t.organ).where(t.organ.c.number.in_(piece))):
            found[row.number].update(code=row.code, name=row.name)
        codes: dict[int, list[str]] = {}
        for row in await connection.execute(select(t.organ_code).where(t.organ_code.c.organ.in_(piece))):
            codes.setdefault(row.organ, []).append(row.code)
        for number, theirs in codes.items():
            found[number]["codes"] = sorted(theirs)
    return found


async def _sent(
    connection: AsyncConnection, organ: OrganNumber, *, since: int, until: int
) -> dict[int, _Sent]:
    table = t.delivery.c
    query = select(table.id, table.document_key, table.organ).where(
        table.sender == int(organ),
        table.accepted_at >= since,
        table.accepted_at < until,
        table.kind == Kind.EDOC.value,
    )
    rows = (await connection.execute(query)).all()
    numbered = await _numbers(connection, {row.document_key for row in rows})
    found: dict[int, _Sent] = {}
    for row in rows:
        if row.id in numbered:
            number, is_added = numbered[row.id]
            theirs = found.setdefault(row.organ, _Sent())
            theirs.numbers.append(number)
            if is_added:
                theirs.added.append(number)
    return found


async def _received(
    connection: AsyncConnection, organ: OrganNumber, *, since: int, until: int
) -> dict[int, _Received]:
    table = t.delivery.c

    def is_in_month(column: Any) -> Any:
        return and_(column >= since, column < until)

    query = select(t.delivery).where(
        table.organ == int(organ),
        table.accepted_at < until,
        table.kind == Kind.EDOC.value,
        or_(
            is_in_month(table.accepted_at),
            is_in_month(table.received_at),
            is_in_month(table.registered_at),
            table.returned,
        ),
    )
    rows = (await connection.execute(query)).all()
    numbered = await _numbers(connection, {row.document_key for row in rows})
    returned = await _returned(connection, {row.document_key for row in rows if row.returned})
    found: dict[int, _Received] = {}
    for row in rows:
        if row.id not in numbered:
            continue
        number, is_added = numbered[row.id]
        is_this_months = since <= row.accepted_at
        lists = {
            "numbers": is_this_months,
            "not_received": is_this_months and row.received_at is None,
            "received": _is_within(row.received_at, since, until),
            "registered": _is_within(row.registered_at, since, until),
            "returned": _is_within(returned.get(row.id), since, until),
        }
        lists["added"] = is_added and any(lists.values())
        for name in (name for name, is_in in lists.items() if is_in):
            getattr(found.setdefault(row.sender, _Received()), name).append(number)
    return found


def _is_within(at: int | None, since: int, until: int) -> bool:
    return at is not None and since <= at < until


async def _numbers(connection: AsyncConnection, documents: Iterable[str]) -> dict[str, tuple[int, bool]]:
    """The number of each delivery of these documents, and whether it was added later, as the records say it."""
    found: dict[str, tuple[int, bool]] = {}
    kinds = (EventKind.SUBMISSION_ACCEPTED, EventKind.DELIVERY_ADDED)
    async for kind, _, facts in _told(connection, documents, kinds=kinds):
        for line in facts["deliveries"]:
            if "number" in line:
                found[line["id"]] = (line["number"], kind is EventKind.DELIVERY_ADDED)
    return found


async def _returned(connection: AsyncConnection, documents: Iterable[str]) -> dict[str, int]:
    """When deliveries of these documents were returned."""
    found: dict[str, int] = {}
    async for _, at, facts in _told(connection, documents, kinds=(EventKind.DELIVERY_ANSWERED,)):
        for delivery, _, change in facts["lines"]:
            if Metric.RETURNED.value in change:
                found[delivery] = at
    return found


async def _told(
    connection: AsyncConnection, documents: Iterable[str], *, kinds: Sequence[EventKind]
) -> AsyncIterator[tuple[EventKind, int, Any]]:
    wanted = sorted(documents)
    for start in range(0, len(wanted), _PIECE):
        query = select(t.event.c.record).where(
            t.event.c.document_id.in_(wanted[start : start + _PIECE]),
            t.event.c.kind.in_([one.value for one in kinds]),
        )
        for record in (await connection.execute(query)).scalars():
            event = read_record(bytes(record))
            yield event.kind, micros(event.at), event.facts
