"""
`axis count`: sent and received, balanced for every period, in every form they are asked for.

    count               the counts by organ, tree, period, type, urgency or pair; with --recount proved from the records
"""

from __future__ import annotations

import getpass
import sys
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from axis.bootstrap import Axis
from axis.cli.asking import AS, FROM, JSON, TO, ask
from axis.cli.output import FORM, TARGET, Form, each, form_of, pour
from axis.core.errors import InvalidQuestion
from axis.core.model import BusinessType, Urgency
from axis.ledger.count import COLUMNS, By, CountFilter, Counts
from axis.ledger.queries import Queries
from axis.speech import Format, err, print_rows, say

_ORGAN = Annotated[str | None, typer.Option("--organ", metavar="CODE", help=say("Chỉ đơn vị này và cấp dưới.", "Only this organ and all below."))]  # fmt: skip


def add_to(app: typer.Typer) -> None:
    """Put the commands into the application."""
    group = typer.Typer(
        help=say(
            "Số văn bản gửi, nhận; cân đối theo từng kỳ.", "Sent and received, balanced for every period."
        ),
    )
    group.callback(invoke_without_command=True)(count)
    app.add_typer(group, name="count")


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
        raise InvalidQuestion(f"--received-as {received_as[:40]!r}: taken or addressed expected")

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
        case By.ORGAN | By.TREE:
            return ("organ", "organ_name")
        case By.PAIR:
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
