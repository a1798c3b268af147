"""
Rows of any question as CSV or JSON lines, one by one and without a limit.

A cell that a spreadsheet would take for a formula gets an apostrophe in front: subjects are written by strangers, and
`=HYPERLINK(…)` in a report would act in the name of whoever opens it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence

from axis.core.events import JSON

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


async def json_lines(rows: AsyncIterable[Mapping[str, JSON]]) -> AsyncIterator[str]:
    """One object a line."""
    async for row in rows:
        yield json.dumps(row, ensure_ascii=False) + "\n"


async def csv_lines(rows: AsyncIterable[Mapping[str, JSON]], *, columns: Sequence[str]) -> AsyncIterator[str]:
    """A heading and one line a row, as RFC 4180 has it; what is null is empty, what has parts is JSON."""
    yield _line(columns)
    async for row in rows:
        yield _line([_cell(row.get(column)) for column in columns])


def _cell(value: JSON) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return f"'{value}" if value.startswith(_FORMULA) else value
        case int():
            return str(value)
        case _:
            return json.dumps(value, ensure_ascii=False)


def _line(cells: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()
