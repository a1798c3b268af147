"""
The quarterly report of sending and receiving (LR-45, LR-47): gathered from the counts, shown as a page and as sheets.

Everything in it is a count by the counting rules, so whoever has the records can compute it again; the page says how
many records of the log were counted. The page stands alone: charts are drawn into it, nothing is loaded from anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined

from axis.core.errors import InvalidQuestion
from axis.core.model import VIETNAM, OrganNumber
from axis.ledger.count import By, CountFilter
from axis.ledger.counts import RULE_VERSION
from axis.ledger.deadlines import Due, DueFilter
from axis.ledger.export import Sheet
from axis.ledger.queries import Queries

_MOST_BARS = 15
_MATRIX = 12
_QUARTER = re.compile(r"([0-9]{4})-Q([1-4])")

_Row = Mapping[str, Any]

COLUMNS: Mapping[str, tuple[str, str]] = {
    "sent": ("Văn bản gửi", "Sent"),
    "unsigned": ("Chưa ký", "Unsigned"),
    "late": ("Gửi trễ", "Late"),
    "refused": ("Trục không tiếp nhận", "Refused"),
    "recalled": ("Thu hồi", "Recalled"),
    "pending_start": ("Tồn đầu kỳ", "Pending at start"),
    "addressed": ("Chuyển đến", "Addressed"),
    "received": ("Đã nhận", "Received"),
    "registered": ("Đã tiếp nhận", "Registered"),
    "returned": ("Trả lại", "Returned"),
    "withdrawn": ("Đã rút", "Withdrawn"),
    "failed": ("Không chuyển được", "Failed"),
    "pending": ("Chưa nhận", "Pending at end"),
    "not_connected": ("Chưa kết nối", "Not connected"),
}
"""Columns of every table of the report, in their order."""

_TYPES = {0: ("Mới", "New"), 1: ("Thu hồi", "Recall"), 2: ("Cập nhật", "Update"), 3: ("Thay thế", "Replace")}
_URGENCIES = {
    0: ("Thường", "Normal"),
    1: ("Khẩn", "Urgent"),
    2: ("Thượng khẩn", "Very urgent"),
    3: ("Hỏa tốc", "Express"),
}
_STAGES = {
    "accepted": ("Trục tiếp nhận", "Accepted by the axis"),
    "taken": ("Bên nhận đã nhận", "Taken by the receiver"),
    "registered": ("Bên nhận đã tiếp nhận", "Registered by the receiver"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarter:
    """Everything the report says."""

    name: str
    since: date
    until: date
    """Last day, included."""
    about: str | None
    """Code of the organ whose tree it is about; None: the whole axis."""
    log: str
    made_at: datetime
    numbered_up_to: int
    total: _Row
    before: _Row
    """The quarter before, for comparing."""
    days: Sequence[_Row]
    months: Sequence[_Row]
    types: Sequence[_Row]
    urgencies: Sequence[_Row]
    tops: Sequence[_Row]
    organs: Sequence[_Row]
    matrix: Sequence[_Row]
    times: Sequence[_Row]

    @property
    def is_over(self) -> bool:
        """Whether nothing can be added any more; until then it is not compared with a whole one."""
        return self.made_at.astimezone(VIETNAM).date() > self.until


def quarter_named(text: str | None, *, today: date) -> tuple[str, date, date]:
    """
    A quarter `yyyy-Qn` with its first and last day; the last one that is over where nothing is said.

    Raises:
        InvalidQuestion: it is none.
    """
    if text is None:
        last = date(today.year, 3 * ((today.month - 1) // 3) + 1, 1) - timedelta(days=1)
        text = f"{last.year}-Q{(last.month + 2) // 3}"
    found = _QUARTER.fullmatch(text)
    if found is None or found[1] == "0000":
        raise InvalidQuestion(
            vi=f"{text[:40]!r} không phải là quý; viết như 2026-Q4",
            en=f"{text[:40]!r} is no quarter; write it like 2026-Q4",
        )
    year, number = int(found[1]), int(found[2])
    if year > date.max.year - 1:
        raise InvalidQuestion(vi=f"{text[:40]!r} quá xa", en=f"{text[:40]!r} is too far away")
    first = date(year, 3 * number - 2, 1)
    behind = date(year + number // 4, 3 * (number % 4) + 1, 1)
    return text, first, behind - timedelta(days=1)


async def gather(
    queries: Queries,
    quarter: tuple[str, date, date],
    *,
    organ: OrganNumber | None,
    about: str | None,
    log: str,
    at: datetime,
) -> Quarter:
    """Ask for everything the report says."""
    name, first, last = quarter
    numbered = 0

    async def rows(by: By, *, since: date = first, until: date = last) -> Sequence[_Row]:
        nonlocal numbered
        asked = CountFilter(since=since.isoformat(), until=until.isoformat(), organ=organ)
        counts = await queries.count(asked, by=by)
        numbered = counts.numbered_up_to
        return counts.rows

    async def whole(*, since: date, until: date) -> _Row:
        # One row: the period is one quarter, or there is none when nothing happened in it.
        found = await rows(By.QUARTER, since=since, until=until)
        return found[0] if found else dict.fromkeys(COLUMNS, 0)

    before = first - timedelta(days=1)
    total = await whole(since=first, until=last)
    due = DueFilter(
        which=Due.RECEIPT,
        organ=organ,
        since=_midnight(first),
        until=_midnight(last + timedelta(days=1)),
    )
    return Quarter(
        name=name,
        since=first,
        until=last,
        about=about,
        log=log,
        made_at=at,
        total=total,
        before=await whole(since=date(before.year, before.month - 2, 1), until=before),
        days=await rows(By.DAY),
        months=await rows(By.MONTH),
        types=await rows(By.TYPE),
        urgencies=await rows(By.URGENCY),
        tops=await rows(By.TOP),
        organs=await rows(By.ORGAN),
        matrix=await rows(By.MATRIX),
        times=await queries.times(due),
        numbered_up_to=numbered,
    )


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=VIETNAM)


# --- sheets -------------------------------------------------------------------------------------------------------


def sheets_of(found: Quarter, *, lang: str) -> dict[str, Sheet]:
    """The tables of the report: name -> sheet."""
    index = 1 if lang == "en" else 0
    numbers = {name: texts[index] for name, texts in COLUMNS.items()}
    organ = {"organ": ("Mã định danh", "Code")[index], "organ_name": ("Cơ quan, đơn vị", "Organ")[index]}
    pair = {
        "from": ("Mã gửi", "From")[index],
        "from_name": ("Bên gửi", "Sender")[index],
        "to": ("Mã nhận", "To")[index],
        "to_name": ("Bên nhận", "Receiver")[index],
    }
    short = {
        name: numbers[name]
        for name in ("addressed", "received", "registered", "returned", "failed", "pending")
    }

    def sheet(title: tuple[str, str], headings: Mapping[str, str], rows: Sequence[_Row]) -> Sheet:
        return Sheet(title=title[index], headings=headings, rows=rows)

    def named(rows: Sequence[_Row], *members: str) -> list[_Row]:
        """Refusals that name no sender count under no organ: said in words, as an empty cell looks forgotten."""
        nobody = ("(không xác định)", "(unknown)")[index]
        return [{**row, **{one: row[one] or nobody for one in members}} for row in rows]

    matrix = [row for row in found.matrix if any(row[one] for one in short)]
    period = ("Kỳ", "Period")[index]
    types = [{**row, "business_type": _TYPES[row["business_type"]][index]} for row in found.types]
    urgencies = [{**row, "urgency": _URGENCIES[row["urgency"]][index]} for row in found.urgencies]
    return {
        "total": sheet(("Toàn quý", "Quarter"), {"quarter": period, **numbers}, [{**found.total, "quarter": found.name}]),
        "months": sheet(("Theo tháng", "Months"), {"month": period, **numbers}, found.months),
        "days": sheet(("Theo ngày", "Days"), {"day": period, **numbers}, found.days),
        "types": sheet(("Theo loại", "Types"), {"business_type": ("Loại", "Type")[index], **numbers}, types),
        "urgencies": sheet(("Theo độ khẩn", "Urgency"), {"urgency": ("Độ khẩn", "Urgency")[index], **numbers}, urgencies),
        "first-level": sheet(("Cấp 1, cả cấp dưới", "First level"), {**organ, **numbers}, named(found.tops, "organ_name")),
        "organs": sheet(("Từng đơn vị", "Organs"), {**organ, **numbers}, named(found.organs, "organ_name")),
        "matrix": sheet(("Gửi - nhận cấp 1", "Sender - receiver"), {**pair, **short}, named(matrix, "from_name", "to_name")),
    }  # fmt: skip


def heading_of(found: Quarter, *, lang: str) -> str:
    """What is printed above every sheet: which quarter, by which rules, as of when."""
    whose = f" · {found.about}" if found.about else ""
    made = f"{_said(found.made_at)} (UTC+7)"
    if lang == "en":
        return f"{found.name}{whose} · counting rules, version {RULE_VERSION} · made at {made}"
    return f"{found.name}{whose} · quy tắc thống kê phiên bản {RULE_VERSION} · lập lúc {made}"


# --- the page -----------------------------------------------------------------------------------------------------


def page_of(found: Quarter, *, lang: str) -> str:
    """The page, in one language."""
    index = 1 if lang == "en" else 0
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["n"] = lambda value: _number(value, index=index)
    template = environment.from_string(
        (resources.files("axis.cli") / "quarterly.html").read_text(encoding="utf-8")
    )
    tops = sorted(found.tops, key=lambda row: (-int(row["sent"]), str(row["organ"])))
    receiving = sorted(found.tops, key=lambda row: (-int(row["received"]), str(row["organ"])))
    return template.render(
        q=found,
        index=index,
        lang=("vi", "en")[index],
        made_at=_said(found.made_at),
        open_until="" if found.is_over else _said(found.made_at),
        rule_version=RULE_VERSION,
        columns=[(name, texts[index]) for name, texts in COLUMNS.items()],
        tiles=_tiles(found, index=index),
        days=_columns(found),
        senders=_bars(tops, "sent"),
        receivers=_bars(receiving, "received"),
        types=[(_TYPES[row["business_type"]][index], row) for row in found.types],
        urgencies=[(_URGENCIES[row["urgency"]][index], row) for row in found.urgencies],
        tops=sorted(found.tops, key=lambda row: (row["organ"] is None, str(row["organ"]))),
        matrix=_heat(found),
        times=[(_STAGES.get(row["stage"], (row["stage"], row["stage"]))[index], row) for row in found.times],
        duration=lambda minutes: _duration(minutes, index=index),
    )


def _said(at: datetime) -> str:
    """As people in Vietnam write it, in both languages of this page."""
    return at.astimezone(VIETNAM).strftime("%d/%m/%Y %H:%M:%S")


def _number(value: Any, *, index: int) -> str:
    """Thousands as the language groups them."""
    text = f"{int(value):,}"
    return text if index else text.replace(",", ".")


def _duration(minutes: int | None, *, index: int) -> str:
    if minutes is None:
        return ""
    days, rest = divmod(minutes, 24 * 60)
    hours, left = divmod(rest, 60)
    if days:
        return f"{days} {('ngày', 'd')[index]} {hours} {('giờ', 'h')[index]}"
    return f"{hours} {('giờ', 'h')[index]} {left} {('phút', 'min')[index]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One large number, with what it was the quarter before."""

    title: str
    value: str
    change: str


def _tiles(found: Quarter, *, index: int) -> list[Tile]:
    tiles = []
    for name in ("sent", "addressed", "received", "registered", "pending", "refused", "late", "unsigned"):
        now, before = int(found.total[name]), int(found.before[name])
        change = ("quý trước: ", "quarter before: ")[index] + _number(before, index=index)
        if before > 0 and found.is_over:
            percent = f"{(now - before) / before:+.1%}"
            change += f" ({percent if index else percent.replace('.', ',')})"
        tiles.append(Tile(title=COLUMNS[name][index], value=_number(now, index=index), change=change))
    return tiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Days of the quarter as columns: where they stand in a drawing of 900 by 180."""

    columns: Sequence[tuple[float, float, float, float, str]]
    """Left edge, width, height sent, height received, what it says when pointed at."""
    most: int
    months: Sequence[tuple[float, str]]


def _columns(found: Quarter) -> Chart:
    by_day = {str(row["day"]): row for row in found.days}
    count = (found.until - found.since).days + 1
    days = [found.since + timedelta(days=one) for one in range(count)]
    sent = [int(by_day.get(one.isoformat(), {}).get("sent", 0)) for one in days]
    received = [max(0, int(by_day.get(one.isoformat(), {}).get("received", 0))) for one in days]
    most = max(*sent, *received, 1)
    width = 900 / count
    return Chart(
        columns=[
            (
                place * width,
                width,
                one / most * 160,
                other / most * 160,
                f"{day.isoformat()}: {one} / {other}",
            )
            for place, (day, one, other) in enumerate(zip(days, sent, received, strict=True))
        ],
        most=most,
        months=[(place * width, day.strftime("%m/%Y")) for place, day in enumerate(days) if day.day == 1],
    )


def _bars(rows: Sequence[_Row], column: str) -> list[tuple[str, int, float]]:
    """Name, number and length in hundred of the largest."""
    shown = [row for row in rows if int(row[column]) > 0][:_MOST_BARS]
    most = max((int(row[column]) for row in shown), default=1)
    return [
        (str(row["organ_name"] or row["organ"] or "–"), int(row[column]), int(row[column]) / most * 100)
        for row in shown
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """Who sends to whom: the organs with most traffic."""

    names: Sequence[str]
    rows: Sequence[tuple[str, Sequence[tuple[int, float]]]]
    """Sender, and for each receiver the number and its share of the largest."""


def _heat(found: Quarter) -> Heat:
    traffic: dict[str, int] = {}
    cells: dict[tuple[str, str], int] = {}
    names: dict[str, str] = {}
    for row in found.matrix:
        sender, receiver, n = str(row["from"] or ""), str(row["to"] or ""), int(row["addressed"])
        if not sender or not receiver or n == 0:
            continue
        cells[sender, receiver] = cells.get((sender, receiver), 0) + n
        for code, name in ((sender, row["from_name"]), (receiver, row["to_name"])):
            traffic[code] = traffic.get(code, 0) + n
            names[code] = str(name or code)
    shown = sorted(sorted(traffic), key=lambda code: -traffic[code])[:_MATRIX]
    most = max((cells.get((one, other), 0) for one in shown for other in shown), default=1) or 1
    return Heat(
        names=[names[code] for code in shown],
        rows=[
            (
                names[one],
                [(cells.get((one, other), 0), cells.get((one, other), 0) / most) for other in shown],
            )
            for one in shown
        ],
    )
