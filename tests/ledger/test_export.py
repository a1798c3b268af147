"""Rows as files: what a stranger wrote stays a text, and length costs no memory."""

from __future__ import annotations

import tracemalloc
import zipfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from axis.core.events import JSON
from axis.ledger.export import Sheet, csv_lines, csv_of, write_xlsx, write_xlsx_book

_NS = {"m": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}
_HEADINGS = {"subject": "Trích yếu", "n": "Số"}
_FORMULAS = ('=HYPERLINK("http://x.example","y")', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1")


async def rows_of(*rows: Mapping[str, JSON]) -> AsyncIterator[Mapping[str, JSON]]:
    for row in rows:
        yield row


def cells_of(path: Path, sheet: int = 1) -> list[list[Any]]:
    """Cells of a sheet as (type, text); a formula would show as one."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        content = archive.read(f"xl/worksheets/sheet{sheet}.xml")
    root = etree.fromstring(content, parser=etree.XMLParser(resolve_entities=False, no_network=True))
    assert root.findall(".//m:f", _NS) == []
    return [
        [(cell.get("t"), "".join(map(str, cell.itertext()))) for cell in row]
        for row in root.iterfind(".//m:row", _NS)
    ]


@pytest.mark.parametrize("text", _FORMULAS)
async def test_a_spreadsheet_holds_texts_and_never_formulas(tmp_path: Path, text: str) -> None:
    """Whatever the first character is; and a text that looks like an address is no link."""
    path = tmp_path / "log.xlsx"

    await write_xlsx(
        path,
        rows_of({"subject": text, "n": 3}, {"subject": "https://x.example"}),
        headings=_HEADINGS,
        title="=",
    )

    heading, first, second = cells_of(path)
    assert [value for _, value in heading] == ["Trích yếu", "Số"]
    assert first[0][0] == "inlineStr"
    assert first[0][1].endswith(text.strip())
    assert first[1] == (None, "3")
    assert second[0] == ("inlineStr", "https://x.example")
    with zipfile.ZipFile(path) as archive:
        assert not [name for name in archive.namelist() if "rels" in name and "worksheets" in name]


async def test_every_kind_of_value_has_a_cell(tmp_path: Path) -> None:
    """Null is empty, parts are JSON, what would lose digits or does not fit is a text that says so."""
    path = tmp_path / "log.xlsx"
    values: Sequence[JSON] = [None, True, 2**60, ["a", {"b": 1}], "x" * 40_000, "a\x00b\x1f\ufffe", "đ"]

    count = await write_xlsx(
        path, rows_of(*({"subject": one} for one in values)), headings=_HEADINGS, title="a/b[c]*?:\\'" * 9
    )

    texts = ["".join(value for _, value in row) for row in cells_of(path)[1:]]
    assert count == len(values)
    assert [text for text in texts if text][:3] == ["true", str(2**60), '["a", {"b": 1}]']
    assert texts[-3] == "x" * 32_766 + "…"
    assert texts[-1] == "đ"


async def test_what_does_not_fit_a_sheet_goes_on_in_the_next(tmp_path: Path) -> None:
    """No row is left out, and every sheet has its heading."""
    path = tmp_path / "log.xlsx"

    count = await write_xlsx(
        path,
        rows_of(*({"n": number} for number in range(7))),
        headings={"n": "Số"},
        title="Nhật ký",
        sheet_rows=4,
    )

    assert count == 7
    found = [next(value for _, value in row) for sheet in (1, 2, 3) for row in cells_of(path, sheet)]
    assert found == ["Số", "0", "1", "2", "Số", "3", "4", "5", "Số", "6"]


async def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """Ten times the rows, and no more memory than a few buffers."""

    async def many(count: int) -> AsyncIterator[Mapping[str, JSON]]:
        for number in range(count):
            yield {"subject": f"Về việc {number}", "n": number}

    peaks = []
    for count in (500, 5_000):
        tracemalloc.start()
        await write_xlsx(tmp_path / f"{count}.xlsx", many(count), headings=_HEADINGS, title="log")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < peaks[0] + 1_000_000


async def test_csv_can_have_the_headings_of_the_law() -> None:
    """Members are found by name; what is shown above them is another matter."""
    lines = [
        line
        async for line in csv_lines(
            rows_of({"subject": "=1", "n": 2}), columns=list(_HEADINGS), headings=_HEADINGS
        )
    ]

    assert lines == ["Trích yếu,Số\r\n", "'=1,2\r\n"]
    assert list(csv_of(Sheet(title="x", headings=_HEADINGS, rows=[{"subject": "=1", "n": 2}]))) == lines


def test_a_book_has_a_sheet_for_each_table(tmp_path: Path) -> None:
    """Under the table's own title."""
    path = tmp_path / "report.xlsx"

    write_xlsx_book(
        path,
        [
            Sheet(title="Theo tháng", headings={"n": "Số"}, rows=[{"n": 1}]),
            Sheet(title="Theo ngày", headings={"n": "Số"}, rows=[]),
        ],
    )

    assert [len(cells_of(path, sheet)) for sheet in (1, 2)] == [2, 1]
    with zipfile.ZipFile(path) as archive:
        assert b'name="Theo th\xc3\xa1ng"' in archive.read("xl/workbook.xml")
