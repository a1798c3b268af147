"""The quarterly report: a page that stands alone, whatever stands in the names."""

from __future__ import annotations

import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from axis.cli.quarterly import COLUMNS, gather, heading_of, page_of, quarter_named, sheets_of
from axis.core.errors import InvalidQuestion
from axis.core.model import OrganNumber
from axis.ledger.export import write_xlsx_book
from axis.ledger.store import SQLLedger
from tests.ledger.builders import LOG, NOON, Story
from tests.ledger.test_queries import ORGANS, World, asking, numbered

_AT = datetime(2027, 1, 4, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026-Q1", date(2026, 1, 1), date(2026, 3, 31)),
        ("2026-Q4", date(2026, 10, 1), date(2026, 12, 31)),
        (None, date(2026, 7, 1), date(2026, 9, 30)),
    ],
)
def test_a_quarter_has_a_first_and_a_last_day(text: str | None, first: date, last: date) -> None:
    """Where none is named, the one that was over last."""
    assert quarter_named(text, today=date(2026, 11, 24))[1:] == (first, last)


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-Q5", "2026-q1", "0000-Q1", "9999-Q4", "2026-Q1 ", "x" * 200]
)
def test_other_texts_are_no_quarters(text: str) -> None:
    """`yyyy-Qn` and nothing else."""
    with pytest.raises(InvalidQuestion):
        quarter_named(text, today=date(2026, 11, 24))


@pytest.mark.requirement("LR-45", "LR-47")
async def test_the_report_says_what_was_counted(ledger: SQLLedger) -> None:
    """All columns, of a province with its tree or of everything; the same numbers as `axis count`."""
    await World(ledger).tell()
    await numbered(ledger)
    quarter = quarter_named("2026-Q4", today=NOON.date())

    found = await gather(asking(ledger), quarter, organ=None, about=None, log=LOG, at=_AT)
    of_a_tree = await gather(
        asking(ledger), quarter, organ=OrganNumber(10), about="000.00.10.H01", log=LOG, at=_AT
    )

    assert {name: found.total[name] for name in ("sent", "addressed", "received", "failed", "refused")} == {
        "sent": 3, "addressed": 5, "received": 1, "failed": 1, "refused": 2,
    }  # fmt: skip
    assert {row["organ"] for row in found.tops} == {"000.00.01.H01", "000.00.10.H01", "000.00.20.H01", None}
    assert sum(row["sent"] for row in found.tops) == found.total["sent"]
    assert sum(row["addressed"] for row in found.matrix) == found.total["addressed"]
    assert of_a_tree.total["sent"] == 1
    sheets = sheets_of(found, lang="vi")
    assert all(set(COLUMNS) <= set(sheets[name].headings) for name in ("total", "months", "organs"))
    page = page_of(found, lang="vi")
    assert "Báo cáo tình hình gửi, nhận" in page
    assert "log.example/axis" in page
    assert page_of(found, lang="en") != page


async def test_the_page_stands_alone_and_runs_nothing(ledger: SQLLedger) -> None:
    """Nothing is loaded from elsewhere; a name that looks like markup is shown as it is."""
    story = Story(ledger)
    event = await story.organs(ORGANS)
    assert event.id
    sent = await story.accepted(sender=1, to=(10,))
    await story.taken(sent)
    await numbered(ledger)
    quarter = quarter_named("2026-Q4", today=NOON.date())
    found = await gather(
        asking(ledger), quarter, organ=None, about="<script>alert(1)</script>", log=LOG, at=_AT
    )

    page = page_of(found, lang="en")

    assert "<script" not in page
    assert "&lt;script&gt;" in page
    for loader in ("http://", "https://", "@import", "url(", "<link", "<img", "<iframe", " src="):
        assert loader not in page


async def test_a_quarter_in_which_nothing_happened(ledger: SQLLedger) -> None:
    """Is a report of zeros."""
    quarter = quarter_named("2025-Q1", today=NOON.date())

    found = await gather(asking(ledger), quarter, organ=None, about=None, log=LOG, at=_AT - timedelta(days=1))

    assert found.total["sent"] == 0
    assert "</html>" in page_of(found, lang="vi")


async def test_a_quarter_that_is_not_over_says_so(ledger: SQLLedger) -> None:
    """And is not compared in per cent with a whole one; afterwards it is."""
    story = Story(ledger)
    await story.organs(ORGANS)
    for _ in range(2):
        await story.accepted(sender=1, to=(10,))
        story.clock.move(days=60)
    await numbered(ledger)
    quarter = quarter_named("2027-Q1", today=NOON.date())
    days = (datetime(2027, 3, 31, 16, 59, tzinfo=UTC), datetime(2027, 3, 31, 17, 0, tzinfo=UTC))
    running, over = [
        await gather(asking(ledger), quarter, organ=None, about=None, log=LOG, at=at) for at in days
    ]

    assert "Quý chưa hết: số liệu mới tính đến 31/03/2027 23:59:00" in page_of(running, lang="vi")
    assert "The quarter is not over" in page_of(running, lang="en")
    assert "quarter before: 1</small>" in page_of(running, lang="en")
    assert "The quarter is not over" not in page_of(over, lang="en")
    assert "quarter before: 1 (+0.0%)</small>" in page_of(over, lang="en")


async def test_a_spreadsheet_leaves_no_name_empty_and_no_row_without_a_number(
    ledger: SQLLedger, tmp_path: Path
) -> None:
    """Refusals of nobody have a name; pairs are those that exchanged something; and it prints across, with its day."""
    await World(ledger).tell()
    await numbered(ledger)
    quarter = quarter_named("2026-Q4", today=NOON.date())
    found = await gather(asking(ledger), quarter, organ=None, about=None, log=LOG, at=_AT)

    sheets = sheets_of(found, lang="vi")

    for name in ("first-level", "organs"):
        assert all(row["organ_name"] for row in sheets[name].rows)
        for column in COLUMNS:
            assert sum(int(str(row[column])) for row in sheets[name].rows) == found.total[column]
    assert "(không xác định)" in [row["organ_name"] for row in sheets["organs"].rows]
    assert all(any(row[one] for one in ("addressed", "received", "failed")) for row in sheets["matrix"].rows)
    book = tmp_path / "report.xlsx"
    write_xlsx_book(book, list(sheets.values()), heading=heading_of(found, lang="vi"))
    with zipfile.ZipFile(book) as archive:
        first = archive.read("xl/worksheets/sheet1.xml").decode()
    assert 'orientation="landscape"' in first
    assert "2026-Q4 · quy tắc thống kê phiên bản 1 · lập lúc 04/01/2027 09:00:00 (UTC+7)" in first
