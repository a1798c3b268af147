"""
`axis count` and `axis register`: sent and received, balanced for every period, in every form they are asked for.

    count               the counts by organ, tree, period, type, urgency or pair; with --recount proved from the records
    count statement     one organ and month, signed, with the numbers of its deliveries
    count reconcile     a statement against what a station keeps: every difference
    count report        the quarterly report: a page that prints, a spreadsheet, CSV
    count feed          numbers for other systems, without a word of any document
    register            the registers of outgoing and incoming documents of NĐ30 Annex IV
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import AsyncIterator, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from axis.bootstrap.files import open_keys
from axis.bootstrap.parts import Axis
from axis.cli.asking import AS, FROM, JSON, TO, ask, begin, end
from axis.cli.output import FORM, TARGET, Form, each, form_of, pour, replacing
from axis.cli.quarterly import Quarter, gather, heading_of, page_of, quarter_named, sheets_of
from axis.cli.run import settings
from axis.core.errors import InvalidQuestion
from axis.core.events import canonical
from axis.core.exchange import dump, receipt_json
from axis.core.model import BusinessType, Urgency, iso, vietnam_day
from axis.ledger.count import COLUMNS, By, CountFilter, Counts
from axis.ledger.export import csv_of, write_xlsx_book
from axis.ledger.queries import Queries
from axis.ledger.reconcile import compare, open_numbers, read_kept, read_statement
from axis.ledger.register import Direction, headings
from axis.ledger.statement import statement_bytes
from axis.speech import Format, err, lang, print_json, print_rows, say, tell
from signing.errors import SigningError
from signing.receipts import TrustedKeys

_MOST_IN_A_TABLE = 50

_ORGAN = Annotated[str | None, typer.Option("--organ", metavar="CODE", help=say("Chỉ đơn vị này và cấp dưới.", "Only this organ and all below."))]  # fmt: skip


def add_to(app: typer.Typer) -> None:
    """Put the commands into the application."""
    group = typer.Typer(
        help=say(
            "Số văn bản gửi, nhận; cân đối theo từng kỳ.", "Sent and received, balanced for every period."
        ),
    )
    group.callback(invoke_without_command=True)(count)
    group.command(
        "statement",
        help=say(
            "Bảng kê đã ký của một đơn vị trong một tháng, kèm số thứ tự từng lượt chuyển.",
            "The signed statement of one organ and month, with the numbers of its deliveries.",
        ),
    )(statement)
    group.command(
        "reconcile",
        help=say(
            "Đối chiếu bảng kê với giấy xác nhận mà điểm kết nối giữ; nêu mọi khác biệt. Không cần mạng.",
            "Compare a statement with the receipts a station keeps; names every difference. Needs no network.",
        ),
    )(reconcile)
    group.command(
        "report",
        help=say(
            "Báo cáo quý: trang HTML in được, XLSX và CSV.",
            "The quarterly report: HTML that prints, XLSX and CSV.",
        ),
    )(report)
    group.command(
        "feed",
        help=say(
            "Số liệu cho hệ thống khác, không có nội dung văn bản nào.",
            "Numbers for other systems, without a word of any document.",
        ),
    )(feed)
    app.add_typer(group, name="count")
    app.command(
        help=say(
            "Sổ đăng ký văn bản đi, đến theo Phụ lục IV NĐ 30/2020, để đối chiếu.",
            "The registers of outgoing and incoming documents (NĐ30 Annex IV), to compare with an agency's own.",
        )
    )(register)


async def settled(axis: Axis, queries: Queries) -> None:
    """Everything that is recorded has a number and is counted: by a running axis, or here and now."""
    await queries.settle_counts(numbers=axis.sequencer(holder=f"cli:{getpass.getuser()}"))


def count(
    context: typer.Context,
    since: FROM = None,
    until: TO = None,
    by: Annotated[By, typer.Option("--by", help=say("Đếm theo.", "What a row is."))] = By.ORGAN,
    organ: _ORGAN = None,
    kind: Annotated[int | None, typer.Option("--type", min=0, max=3, help=say("0 mới, 1 thu hồi, 2 cập nhật, 3 thay thế.", "0 new, 1 recall, 2 update, 3 replace."))] = None,
    urgency: Annotated[int | None, typer.Option("--urgency", min=0, max=3, help=say("0 thường, 1 khẩn, 2 thượng khẩn, 3 hỏa tốc.", "0 normal, 1 urgent, 2 very urgent, 3 express."))] = None,
    received_as: Annotated[str, typer.Option("--received-as", help="taken | addressed")] = "taken",
    recount: Annotated[bool, typer.Option("--recount", help=say("Đếm lại từ mọi bản ghi và so sánh.", "Count again from every record and compare."))] = False,
    who: AS = None,
    form: FORM = Form.TABLE,
    target: TARGET = None,
    as_json: JSON = False,
) -> None:  # fmt: skip
    if context.invoked_subcommand is not None:
        return
    form = form_of(form, as_json=as_json, target=target)
    if received_as not in {"taken", "addressed"}:
        raise InvalidQuestion(
            vi=f"--received-as {received_as[:40]!r}: cần taken hoặc addressed",
            en=f"--received-as {received_as[:40]!r}: taken or addressed expected",
        )

    async def question(axis: Axis, queries: Queries) -> tuple[Counts, Counts | None]:
        await settled(axis, queries)
        asked = CountFilter(
            since=since,
            until=until,
            organ=await queries.organ(organ) if organ else None,
            business_type=BusinessType(kind) if kind is not None else None,
            urgency=Urgency(urgency) if urgency is not None else None,
            received_as_addressed=received_as == "addressed",
        )
        counts = await queries.count(asked, by=by)
        if form is not Form.TABLE:
            headings = {name: name for name in (*named_by(by), *COLUMNS)}
            title = say("Số liệu", "Counts")
            await pour(each(counts.rows), form=form, target=target, headings=headings, title=title)
        if not recount:
            return counts, None
        with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                      console=err, disable=not err.is_terminal) as progress:  # fmt: skip
            task = progress.add_task(say("Đếm lại", "Recounting"), total=counts.numbered_up_to)
            again = await queries.recount(
                asked, by=by, progress=lambda done: progress.update(task, completed=done)
            )
        return counts, again

    counts, again = ask(who, question)
    if form is Form.TABLE:
        print_rows(counts.rows, form=Format.TABLE, columns=_headings(by))
    if again is not None:
        sys.exit(_compare(counts, again))


def register(
    direction: Annotated[Direction, typer.Argument(metavar="out|in", help=say("out: văn bản đi; in: văn bản đến.", "out: outgoing; in: incoming."))],
    organ: Annotated[str | None, typer.Option("--organ", metavar="CODE", help=say("Đơn vị, kể cả cấp dưới.", "The organ, with all below."))] = None,
    since: FROM = None,
    until: TO = None,
    who: AS = None,
    form: FORM = Form.TABLE,
    target: TARGET = None,
    as_json: JSON = False,
) -> None:  # fmt: skip
    form = form_of(form, as_json=as_json, target=target)

    async def question(axis: Axis, queries: Queries) -> None:
        first = begin(since or f"{axis.clock.now().year}-01-01")
        last = end(until) or axis.clock.now()
        assert first is not None, "a text was given"
        rows = queries.register(
            direction,
            organ=await queries.organ(organ) if organ else None,
            since=first,
            until=last,
            lang=lang(),
        )
        columns = headings(direction, lang=lang())
        title = (
            say("Sổ văn bản đi", "Outgoing")
            if direction is Direction.OUT
            else say("Sổ văn bản đến", "Incoming")
        )
        if form is Form.TABLE:
            await _show_register(rows, columns, direction=direction, title=title)
        else:
            # CSV has the headings of the law; JSON has the names of members.
            await pour(rows, form=form, target=target, headings=columns, title=title)

    ask(who, question)


async def _show_register(
    rows: AsyncIterator[dict[str, Any]], columns: Mapping[str, str], *, direction: Direction, title: str
) -> None:
    """What fits a terminal: some columns of the first rows."""
    shown: list[dict[str, Any]] = []
    async for row in rows:
        if len(shown) == _MOST_IN_A_TABLE:
            err.print(say("Còn nữa: dùng --format csv hoặc -o TỆP.xlsx để lấy tất cả.",
                          "There is more: --format csv or -o FILE.xlsx for everything."))  # fmt: skip
            break
        shown.append({**row, "subject": row["content"], "from_name": row.get("author")})
    names = {
        Direction.OUT: {
            "sent_on": "sent_on",
            "code": "code",
            "subject": "content",
            "signed_for": "signed_for",
        },
        Direction.IN: {
            "arrived_on": "arrived_on",
            "from_name": "author",
            "code": "code",
            "subject": "content",
            "signed_for": "signed_for",
        },
    }[direction]
    chosen = {member: columns[column] for member, column in names.items()}
    print_rows(shown, form=Format.TABLE, columns=chosen, title=title)


def statement(
    organ: Annotated[str, typer.Option("--organ", metavar="CODE", show_default=False, help=say("Đơn vị.", "The organ."))],
    month: Annotated[str, typer.Option("--month", metavar="YYYY-MM", show_default=False, help=say("Tháng.", "The month."))],
    who: AS = None,
    target: TARGET = None,
) -> None:  # fmt: skip
    async def question(axis: Axis, queries: Queries) -> bytes:
        await settled(axis, queries)
        found = await queries.statement(await queries.organ(organ), month, log=axis.settings.log_name)
        return dump(receipt_json(axis.seal.sign([statement_bytes(found)])[0]))

    _write(ask(who, question), target)


def reconcile(
    receipts: Annotated[Path, typer.Option("--receipts", metavar="DIR", show_default=False, help=say("Thư mục điểm kết nối giữ giấy xác nhận và báo cáo.", "Folder where the station keeps receipts and reports."))],
    signed: Annotated[Path, typer.Option("--statement", metavar="FILE", show_default=False, help=say("Bảng kê đã ký.", "The signed statement."))],
    trust: Annotated[Path | None, typer.Option("--trust", metavar="FILE", help=say("Danh sách khóa của Trục; mặc định: khóa trong AXIS_KEYS.", "Key list of the axis; default: the keys in AXIS_KEYS."))] = None,
    as_json: JSON = False,
) -> None:  # fmt: skip
    keys = _trusted(trust)
    try:
        text = signed.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise InvalidQuestion(vi=f"{signed}: không đọc được", en=f"{signed}: cannot be read") from problem
    stated = read_statement(text, keys=keys)
    kept = read_kept(receipts, stated, keys=keys)
    found = compare(stated, kept)
    if as_json:
        print_json(
            {
                "ok": not found,
                "organ": stated["organ"]["code"],
                "month": stated["month"],
                "receipts": kept.receipts,
                "reports": kept.reports,
                "differences": [{"where": one.where, "vi": one.vi, "en": one.en} for one in found],
                "not_received": dict(open_numbers(stated)),
            }
        )
    else:
        tell(
            say(
                f"{stated['organ']['code']} {stated['month']}: {kept.receipts} giấy xác nhận, {kept.reports} báo cáo.",
                f"{stated['organ']['code']} {stated['month']}: {kept.receipts} receipts, {kept.reports} reports.",
            )
        )
        for one in found:
            tell(f"✗ {one.where}: {say(one.vi, one.en)}", style="red")
        for code, numbers in open_numbers(stated):
            # No difference, and yet what a clerk must hear: it was sent, and has not come.
            tell(say(f"Chưa nhận từ {code}: số {numbers}.", f"Not received from {code}: numbers {numbers}."))
        if not found:
            tell(say("Hai bên khớp nhau.", "Both sides hold the same."), style="green")
    sys.exit(0 if not found else 1)


def _trusted(trust: Path | None) -> TrustedKeys:
    if trust is None:
        found = settings()
        return open_keys(found.keys, log_name=found.log_name, may_create=False).trusted
    try:
        return TrustedKeys.read(trust.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, SigningError) as problem:
        raise InvalidQuestion(
            vi=f"{trust}: không phải là danh sách khóa", en=f"{trust}: no key list"
        ) from problem


def report(
    quarter: Annotated[str | None, typer.Option("--quarter", metavar="YYYY-Qn", help=say("Quý; mặc định: quý vừa hết.", "The quarter; default: the last one that is over."))] = None,
    organ: _ORGAN = None,
    folder: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help=say("Thư mục ghi báo cáo.", "Folder to write it to."))] = Path(),
    who: AS = None,
) -> None:  # fmt: skip
    async def question(axis: Axis, queries: Queries) -> Quarter:
        await settled(axis, queries)
        chosen = quarter_named(quarter, today=date.fromisoformat(vietnam_day(axis.clock.now())))
        below = await queries.organ(organ) if organ else None
        return await gather(
            queries, chosen, organ=below, about=organ, log=axis.settings.log_name, at=axis.clock.now()
        )

    found = ask(who, question)
    _write_report(found, folder)


def _write_report(found: Quarter, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise InvalidQuestion(
            vi=f"{folder}: không ghi được ({problem.strerror})",
            en=f"{folder}: cannot be written ({problem.strerror})",
        ) from problem
    base = f"axis-{found.name}"
    page = folder / f"{base}.html"
    with replacing(page) as path:
        path.write_text(page_of(found, lang=lang()), encoding="utf-8")
    tell(str(page))
    sheets = sheets_of(found, lang=lang())
    book = folder / f"{base}.xlsx"
    with replacing(book) as path:
        write_xlsx_book(path, list(sheets.values()), heading=heading_of(found, lang=lang()))
    tell(str(book))
    for name, sheet in sheets.items():
        target = folder / f"{base}-{name}.csv"
        with replacing(target) as path, path.open("w", encoding="utf-8", newline="") as file:
            file.write("\N{ZERO WIDTH NO-BREAK SPACE}")
            file.writelines(csv_of(sheet))
        tell(str(target))


def feed(
    since: FROM = None,
    until: TO = None,
    organ: _ORGAN = None,
    signed: Annotated[bool, typer.Option("--signed", help=say("Ký như giấy xác nhận; số liệu nằm trong `record`.", "Sign it like a receipt; the numbers are in `record`."))] = False,
    who: AS = None,
    target: TARGET = None,
) -> None:  # fmt: skip
    async def question(axis: Axis, queries: Queries) -> bytes:
        await settled(axis, queries)
        asked = CountFilter(since=since, until=until, organ=await queries.organ(organ) if organ else None)
        parts: dict[str, Any] = {}
        numbered = 0
        for by in (By.TOP, By.DAY, By.MONTH, By.TYPE, By.URGENCY):
            counts = await queries.count(asked, by=by)
            parts[by.value] = list(counts.rows)
            numbered = counts.numbered_up_to
        found: dict[str, Any] = {
            "feed": 1,
            "log": axis.settings.log_name,
            "made_at": iso(axis.clock.now()),
            "numbered_up_to": numbered,
            "since": since,
            "until": until,
            "organ": organ,
            "counts": parts,
        }
        return dump(receipt_json(axis.seal.sign([canonical(found)])[0])) if signed else dump(found)

    _write(ask(who, question), target)


def _write(content: bytes, target: Path | None) -> None:
    if target is None:
        sys.stdout.write(content.decode() + "\n")
        return
    with replacing(target) as path:
        path.write_bytes(content + b"\n")


def _compare(counts: Counts, again: Counts) -> int:
    """Exit status of a recount; every row that differs is named."""
    if list(counts.rows) == list(again.rows):
        err.print(say("Đếm lại: khớp.", "Recount: the same."))
        return 0
    err.print(say("Đếm lại: KHÔNG khớp.", "Recount: NOT the same."))
    for one in counts.rows:
        if one not in again.rows:
            err.print(say(f"  đã đếm:  {one}", f"  counted:   {one}"), highlight=False, markup=False)
    for one in again.rows:
        if one not in counts.rows:
            err.print(say(f"  đếm lại: {one}", f"  recounted: {one}"), highlight=False, markup=False)
    return 1


def named_by(by: By) -> tuple[str, ...]:
    """Members that name a row."""
    match by:
        case By.ORGAN | By.TREE | By.TOP:
            return ("organ", "organ_name")
        case By.PAIR | By.MATRIX:
            return ("from", "from_name", "to", "to_name")
        case By.TYPE:
            return ("business_type",)
        case _:
            return (by.value,)


def _headings(by: By) -> dict[str, Any]:
    names = {
        "organ": say("Mã", "Code"),
        "organ_name": say("Đơn vị", "Organ"),
        "from": say("Gửi", "From"),
        "to": say("Nhận", "To"),
        "business_type": say("Loại", "Type"),
        "urgency": say("Độ khẩn", "Urgency"),
    }
    shown = [name for name in named_by(by) if name not in {"from_name", "to_name"}]
    return {name: names.get(name, say("Kỳ", "Period")) for name in shown} | {
        "sent": say("Gửi", "Sent"),
        "pending_start": say("Tồn đầu", "Pending before"),
        "addressed": say("Chuyển đến", "Addressed"),
        "received": say("Đã nhận", "Received"),
        "registered": say("Tiếp nhận", "Registered"),
        "returned": say("Trả lại", "Returned"),
        "withdrawn": say("Đã rút", "Withdrawn"),
        "failed": say("Lỗi", "Failed"),
        "pending": say("Chưa nhận", "Pending"),
        "refused": say("Từ chối", "Refused"),
        "recalled": say("Thu hồi", "Recalled"),
        "late": say("Trễ", "Late"),
        "unsigned": say("Chưa ký", "Unsigned"),
    }
