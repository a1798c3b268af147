"""
`axis overdue`, `axis times`, `axis calendar`: what is late and owed, how long documents take, and which days count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer

from axis.bootstrap.files import open_calendar
from axis.bootstrap.parts import Axis
from axis.cli.asking import AS, FROM, JSON, TO, ask, begin, end
from axis.cli.run import settings
from axis.ledger.deadlines import PERCENTILES, Due, DueFilter
from axis.ledger.queries import Queries
from axis.speech import Format, print_json, print_rows, say, tell

_FORMAT = Annotated[Format, typer.Option("--format", help="table | json | csv")]
_ORGAN = Annotated[str | None, typer.Option("--organ", metavar="CODE", help=say("Đơn vị gửi hoặc nhận, kể cả cấp dưới.", "Sender or receiver, with all below."))]  # fmt: skip
_WHICH = Annotated[Due, typer.Argument(metavar="LIST", help="receipt | next_day | sending | reply | request | urgent")]  # fmt: skip
_SAYS: Final = {
    Due.RECEIPT: ("Chưa báo nhận trong ngày đến (01/03)", "Not answered on the day of arrival (01/03)"),
    Due.NEXT_DAY: (
        "Đến sau 16:30 hoặc ngày nghỉ, chưa báo nhận hết ngày làm việc tiếp theo",
        "Came after 16:30 or on a day off, not answered by the end of the next working day",
    ),
    Due.SENDING: (
        "Gửi sau buổi sáng ngày làm việc tiếp theo",
        "Sent after the morning of the next working day",
    ),
    Due.REPLY: ("Quá hạn trả lời (DueDate)", "DueDate has passed"),
    Due.REQUEST: (
        "Yêu cầu thu hồi, lấy lại, cập nhật chưa được trả lời",
        "Recalls, take-backs and updates without an answer",
    ),
    Due.URGENT: ("Điểm kết nối đánh dấu khẩn trên 20% văn bản", "Stations with over 20% urgent documents"),
}


def add_to(app: typer.Typer) -> None:
    """Put the commands into the application."""
    app.command(
        help=say("Những gì quá hạn: báo nhận, gửi, trả lời, yêu cầu.", "What is late or still owed, by list.")
    )(overdue)
    app.command(
        help=say(
            "Thời gian từ ngày ban hành đến khi tiếp nhận, đã nhận, vào sổ.",
            "Time from issue to accepted, taken, registered.",
        )
    )(times)
    app.command(
        help=say(
            "Ngày làm việc: các năm đã biết và nguồn.", "Working days: the years known, and their sources."
        )
    )(calendar)


def overdue(
    which: _WHICH = Due.RECEIPT,
    organ: _ORGAN = None,
    since: FROM = None,
    until: TO = None,
    who: AS = None,
    form: _FORMAT = Format.TABLE,
    as_json: JSON = False,
) -> None:
    async def question(axis: Axis, queries: Queries) -> Sequence[dict[str, Any]]:
        asked = DueFilter(
            which=which,
            organ=await queries.organ(organ) if organ else None,
            since=begin(since),
            until=end(until),
        )
        return await queries.due(asked, calendar=axis.pipeline.calendar)

    rows = ask(who, question)
    print_rows(
        rows, form=Format.JSON if as_json else form, columns=_headings(which), title=say(*_SAYS[which])
    )


def _headings(which: Due) -> dict[str, str]:
    document = {
        "code": say("Số, ký hiệu", "Code"),
        "subject": say("Trích yếu", "Subject"),
        "from_name": say("Gửi", "From"),
    }
    match which:
        case Due.URGENT:
            return {
                "day": say("Ngày", "Day"),
                "station": say("Điểm kết nối", "Station"),
                "sent": say("Gửi", "Sent"),
                "urgent": say("Khẩn", "Urgent"),
                "percent": "%",
            }
        case Due.SENDING:
            return {
                **document,
                "issued": say("Ban hành", "Issued"),
                "submitted_at": say("Nộp lúc", "Submitted"),
            }
        case _:
            return {
                **document,
                "to_name": say("Nhận", "To"),
                "state": say("Trạng thái", "State"),
                "due": say("Hạn", "Due"),
            }


def times(
    organ: _ORGAN = None,
    since: FROM = None,
    until: TO = None,
    who: AS = None,
    form: _FORMAT = Format.TABLE,
    as_json: JSON = False,
) -> None:
    async def question(_: Axis, queries: Queries) -> Sequence[dict[str, Any]]:
        asked = DueFilter(
            which=Due.SENDING,
            organ=await queries.organ(organ) if organ else None,
            since=begin(since),
            until=end(until),
        )
        return await queries.times(asked)

    print_rows(
        ask(who, question),
        form=Format.JSON if as_json else form,
        columns={
            "stage": say("Mốc", "Stage"),
            "urgent": say("Khẩn", "Urgent"),
            "n": say("Số", "Number"),
            **{f"p{one}_minutes": f"p{one} ({say('phút', 'minutes')})" for one in PERCENTILES},
        },
        title=say("Từ 00:00 ngày ban hành", "From 00:00 of the day of issue"),
    )


def calendar(as_json: JSON = False) -> None:
    years = open_calendar(settings()).years
    rows: list[dict[str, Any]] = [
        {
            "year": number,
            "off": sorted(day.isoformat() for day in years[number].off),
            "work": sorted(day.isoformat() for day in years[number].work),
            "source": years[number].source,
        }
        for number in sorted(years)
    ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        tell(f"{row['year']}  {row['source']}", style="bold")
        tell(f"  {say('nghỉ', 'off')}: {' '.join(row['off'])}")
        if row["work"]:
            tell(f"  {say('làm bù', 'work')}: {' '.join(row['work'])}")
