"""
The statement of one organ and month: its counts, and the numbers of its deliveries to and from every other organ.

Both sides can recompute it from what they hold: a sender from the receipts of its submissions, a receiver from the
verification reports that came with its documents. Deliveries between two organs are numbered without gaps, so that
what one side was never shown has a number, too. It is signed like a receipt, and says how far the log was counted.

    {"statement": 1, "log": …, "month": "2026-11", "organ": {…}, "counts": {…}, "numbered_up_to": …, "rule_version": 1,
     "sent_to": [{"code", "codes", "name", "number", "numbers": "1-7,9", "n": 8}, …], "received_from": [… the same …]}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from axis.core.errors import InvalidQuestion
from axis.core.events import JSON, EventKind, canonical, read_record
from axis.core.model import VIETNAM, Kind, OrganNumber, micros
from axis.ledger import tables as t
from axis.ledger.count import COLUMNS, By, CountFilter, count_tallies
from axis.ledger.counts import RULE_VERSION
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
    try:
        first = date.fromisoformat(f"{text}-01")
    except ValueError as problem:
        raise InvalidQuestion(f"{text[:40]!r} is no month; write it like 2026-11") from problem
    if len(text) != len("2026-11"):
        raise InvalidQuestion(f"{text[:40]!r} is no month; write it like 2026-11")
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
    sent, received = await _numbers(connection, organ, since=micros(since), until=micros(until))
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


def _pairs(numbers: Mapping[int, Sequence[int]], known: Mapping[int, dict[str, JSON]]) -> list[JSON]:
    return [
        {**known[organ], "numbers": ranges(theirs), "n": len(set(theirs))}
        for organ, theirs in sorted(numbers.items(), key=lambda one: (str(known[one[0]]["code"]), one[0]))
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


async def _numbers(
    connection: AsyncConnection, organ: OrganNumber, *, since: int, until: int
) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """Numbers by receiver of what the organ sent, and by sender of what it got, as the records say them."""
    sent: dict[int, list[int]] = {}
    received: dict[int, list[int]] = {}
    table = t.delivery
    for column in (table.c.sender, table.c.organ):
        within = (table.c.accepted_at >= since, table.c.accepted_at < until, table.c.kind == Kind.EDOC.value)
        query = select(table.c.document_key).where(column == int(organ), *within).distinct()
        documents = sorted((await connection.execute(query)).scalars())
        for start in range(0, len(documents), _PIECE):
            accepted = select(t.event.c.record).where(
                t.event.c.document_id.in_(documents[start : start + _PIECE]),
                t.event.c.kind == EventKind.SUBMISSION_ACCEPTED.value,
            )
            for record in (await connection.execute(accepted)).scalars():
                facts: Any = read_record(bytes(record)).facts
                for line in facts["deliveries"]:
                    if "number" not in line:
                        continue
                    if column is table.c.sender:
                        sent.setdefault(line["organ"], []).append(line["number"])
                    elif line["organ"] == int(organ):
                        received.setdefault(facts["sender"], []).append(line["number"])
    return sent, received
