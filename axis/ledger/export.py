"""
Rows of any question as CSV, JSON lines or a spreadsheet, one by one and without a limit.

Subjects are written by strangers, and `=HYPERLINK(…)` in a report would act in the name of whoever opens it. In CSV a
cell that a spreadsheet would take for a formula gets an apostrophe in front; in XLSX every text is written as a text,
which no program evaluates.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xlsxwriter  # type: ignore[import-untyped] # it brings no types

from axis.core.events import JSON

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


async def json_lines(rows: AsyncIterable[Mapping[str, JSON]]) -> AsyncIterator[str]:
    """One object a line."""
    async for row in rows:
        yield json.dumps(row, ensure_ascii=False) + "\n"


async def csv_lines(
    rows: AsyncIterable[Mapping[str, JSON]],
    *,
    columns: Sequence[str],
    headings: Mapping[str, str] | None = None,
) -> AsyncIterator[str]:
    """A heading and one line a row, as RFC 4180 has it; what is null is empty, what has parts is JSON."""
    yield _line([(headings or {}).get(column, column) for column in columns])
    async for row in rows:
        yield _line([_cell(row.get(column)) for column in columns])


def _cell(value: JSON) -> str:
    match value:
        case None:
            return ""
        case str():
            return f"'{value}" if value.startswith(_FORMULA) else value
        case _:
            return _plain(value)


def _plain(value: JSON) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int():
            return str(value)
        case _:
            return json.dumps(value, ensure_ascii=False)


def _line(cells: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Rows that are all there, with the columns they are shown in."""

    title: str
    headings: Mapping[str, str]
    rows: Sequence[Mapping[str, JSON]]


def csv_of(sheet: Sheet) -> Iterator[str]:
    """The sheet as CSV, see `csv_lines`."""
    yield _line(list(sheet.headings.values()))
    for row in sheet.rows:
        yield _line([_cell(row.get(column)) for column in sheet.headings])


# --- spreadsheets -------------------------------------------------------------------------------------------------

SHEET_ROWS = 1_048_576
"""Rows a sheet of the format can have; what is more goes on in the next sheet."""
_CELL_CHARACTERS = 32_767
_WIDTHS = {
    "organ": 18,
    "from": 18,
    "to": 18,
    "subject": 60,
    "from_name": 32,
    "to_name": 32,
    "organ_name": 40,
    "document": 28,
    "delivery": 28,
}
_EXACT = 2**53
_A4 = 9


async def write_xlsx(
    target: Path,
    rows: AsyncIterable[Mapping[str, JSON]],
    *,
    headings: Mapping[str, str],
    title: str,
    sheet_rows: int = SHEET_ROWS,
) -> int:
    """
    Write the rows to `target`, a column for each member of `headings`; returns how many rows there were.

    Every row is on disk before the next one is asked for, so memory does not grow with their number.
    """
    # Constant memory: cells of finished rows are in a temporary file, and texts stand in their cells.
    book = xlsxwriter.Workbook(str(target), {"constant_memory": True, "strings_to_urls": False})
    try:
        writer = _Sheets(book, headings=headings, title=title, sheet_rows=sheet_rows)
        async for row in rows:
            writer.add(row)
    finally:
        book.close()
    return writer.rows


def write_xlsx_book(target: Path, sheets: Sequence[Sheet], *, heading: str = "") -> None:
    """Write each of the sheets under its own title; `heading` is printed above every page."""
    book = xlsxwriter.Workbook(str(target), {"constant_memory": True, "strings_to_urls": False})
    try:
        for sheet in sheets:
            writer = _Sheets(
                book, headings=sheet.headings, title=sheet.title, sheet_rows=SHEET_ROWS, heading=heading
            )
            for row in sheet.rows:
                writer.add(row)
    finally:
        book.close()


class _Sheets:
    """One sheet after the other, each with its heading row."""

    def __init__(
        self, book: Any, *, headings: Mapping[str, str], title: str, sheet_rows: int, heading: str = ""
    ) -> None:
        self._book = book
        self._heading = heading
        self._headings = headings
        self._title = title
        self._most = sheet_rows
        self._bold = book.add_format({"bold": True, "bottom": 1})
        # Thousands as the reader's own settings group them.
        self._number = book.add_format({"num_format": "#,##0"})
        self._sheets = 0
        self.rows = 0
        self._begin()

    def _begin(self) -> None:
        self._sheets += 1
        # A sheet's name has at most 31 characters and none of these.
        plain = "".join(" " if one in "[]:*?/\\'" else one for one in self._title).strip()
        number = f" {self._sheets}" if self._sheets > 1 else ""
        self._sheet = self._book.add_worksheet(f"{plain[:26] or 'axis'}{number}")
        self._sheet.freeze_panes(1, 0)
        # On paper: across, all columns on one page, the headings on every one.
        self._sheet.set_landscape()
        self._sheet.set_paper(_A4)
        self._sheet.fit_to_pages(1, 0)
        self._sheet.repeat_rows(0)
        shown = f"{self._title} · {self._heading}" if self._heading else self._title
        self._sheet.set_header(f"&L{shown.replace('&', '&&')[:200]}")
        self._sheet.set_footer("&R&P/&N")
        for column, (member, heading) in enumerate(self._headings.items()):
            self._sheet.set_column(column, column, _WIDTHS.get(member, max(12, len(heading) + 2)))
            self._sheet.write_string(0, column, heading, self._bold)
        self._row = 1

    def add(self, row: Mapping[str, JSON]) -> None:
        """The next row."""
        if self._row == self._most:
            self._begin()
        for column, member in enumerate(self._headings):
            value = row.get(member)
            if value is None:
                continue
            # A spreadsheet's numbers are floating point: what would lose digits stays a text.
            if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _EXACT:
                self._sheet.write_number(self._row, column, value, self._number)
            else:
                text = _plain(value)
                if len(text) > _CELL_CHARACTERS:
                    text = text[: _CELL_CHARACTERS - 1] + "…"
                self._sheet.write_string(self._row, column, text)
        self._row += 1
        self.rows += 1
