"""
`axis log`, `show`, `count`, `failed`, `replay`, `ledger`: what the ledger says, to operators and auditors.

Every question names its viewer (`--as`, else the login name) and is itself recorded.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import sys
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, TypeVar

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from axis.bootstrap import Axis, open_axis
from axis.cli.run import settings
from axis.core.errors import InvalidQuestion
from axis.core.model import VIETNAM, Actor, StationId
from axis.core.reasons import ReasonCode
from axis.ledger.count import By, CountFilter
from axis.ledger.delivery_log import COLUMNS, LogFilter, states_named
from axis.ledger.export import csv_lines
from axis.ledger.queries import ActFilter, Queries
from axis.ledger.tables import declared
from axis.ledger.trouble import ReplayFilter, TroubleKind
from axis.speech import Format, err, out, print_json, print_rows, say, tell, write_csv

_T = TypeVar("_T")
_MOST_IN_A_TABLE: Final = 50

_JSON = Annotated[bool, typer.Option("--json", help=say("In một tài liệu JSON.", "Print one JSON document."))]
_FORM = Annotated[Format, typer.Option("--format", help="table | json | csv")]
_AS = Annotated[str | None, typer.Option("--as", metavar="PERSON", help=say("Người xem; mặc định: tên đăng nhập.", "Who looks; default: the login name."))]  # fmt: skip
_REASON = Annotated[
    str, typer.Option("--reason", help=say("Vì sao; được ghi vào nhật ký.", "Why; goes into the ledger."))
]
_FROM = Annotated[str | None, typer.Option("--from", metavar="DAY", help=say("Từ ngày (2026-11-01).", "First day (2026-11-01)."))]  # fmt: skip
_TO = Annotated[
    str | None, typer.Option("--to", metavar="DAY", help=say("Đến hết ngày.", "Last day, included."))
]


def add_to(app: typer.Typer) -> None:
    """Put the commands into the application."""
    app.command(
        help=say("Nhật ký gửi, nhận: mỗi lượt chuyển một dòng.", "The delivery log: one row per delivery.")
    )(log)
    app.command(help=say("Toàn bộ đời sống của một văn bản.", "The whole life of one document."))(show)
    app.command(
        help=say(
            "Số văn bản gửi, nhận; cân đối theo từng kỳ.", "Sent and received, balanced for every period."
        )
    )(count)
    app.command(help=say("Những gì cần người xử lý, theo nhóm.", "What waits for a person, in groups."))(
        failed
    )
    replay = typer.Typer(
        no_args_is_help=True,
        help=say("Chuyển lại: lập kế hoạch, xem trước, chạy.", "Replay: plan, preview, run."),
    )
    replay.command("plan", help=say("Lập kế hoạch từ một nhóm của `axis failed` và xem trước.",
                                    "Make a plan from a group of `axis failed`, and preview it."))(replay_plan)  # fmt: skip
    replay.command("list", help=say("Các kế hoạch.", "The plans."))(replay_list)
    replay.command("show", help=say("Một kế hoạch và từng mục của nó.", "One plan and its items."))(
        replay_show
    )
    replay.command(
        "run", help=say("Chạy; bị ngắt thì chạy lại sẽ tiếp tục.", "Run it; after a break it goes on.")
    )(replay_run)
    replay.command("pause", help=say("Tạm dừng.", "Pause."))(_change_to("paused"))
    replay.command("resume", help=say("Tiếp tục.", "Resume."))(_change_to("running"))
    replay.command("cancel", help=say("Hủy phần chưa làm.", "Cancel what is not done."))(
        _change_to("cancelled")
    )
    app.add_typer(replay, name="replay")
    ledger = typer.Typer(
        no_args_is_help=True, help=say("Nhật ký và tính toàn vẹn của nó.", "The ledger and its integrity.")
    )
    ledger.command("check", help=say("Tính lại mọi thứ từ các bản ghi; nêu chỗ sai đầu tiên.",
                                     "Recompute everything from the records; names the first wrong place."))(ledger_check)  # fmt: skip
    ledger.command("tables", help=say("Mỗi cột là chứng cứ, suy ra được hay vận hành.",
                                      "Every column: evidence, derived or operational."))(ledger_tables)  # fmt: skip
    app.add_typer(ledger, name="ledger")


# --- the delivery log ---------------------------------------------------------------------------------------------


def log(
    organ: Annotated[str | None, typer.Option("--organ", metavar="CODE", help=say("Đơn vị gửi hoặc nhận, kể cả cấp dưới.", "Sender or receiver, with all below."))] = None,
    since: _FROM = None,
    until: _TO = None,
    state: Annotated[list[str] | None, typer.Option("--state", help="accepted refused held duplicate | waiting handed_over fetched acknowledged failed withdrawn not_connected pending")] = None,
    subject: Annotated[str, typer.Option("--subject", help=say("Từ trong trích yếu, có dấu hoặc không.", "Words of the subject, with or without marks."))] = "",
    number: Annotated[str, typer.Option("--number", help=say("Số, ký hiệu.", "Number/notation."))] = "",
    reason: Annotated[str | None, typer.Option("--reason", metavar="CODE", help=say("Mã lý do.", "Reason code."))] = None,
    document: Annotated[str, typer.Option("--document", metavar="ID", help=say("Mã văn bản của Trục.", "The axis's id of a document."))] = "",
    acts: Annotated[bool, typer.Option("--acts", help=say("Những gì con người đã thay đổi.", "What people changed."))] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help=say("Số dòng của bảng; JSON và CSV không giới hạn.", "Rows of a table; JSON and CSV have no limit."))] = _MOST_IN_A_TABLE,
    who: _AS = None,
    form: _FORM = Format.TABLE,
    as_json: _JSON = False,
) -> None:  # fmt: skip
    form = Format.JSON if as_json else form
    if acts:
        _show_acts(who, form=form, limit=limit)
        return

    async def ask(_: Axis, queries: Queries) -> None:
        asked = LogFilter(
            organ=await queries.organ(organ) if organ else None,
            since=_begin(since),
            until=_end(until),
            states=frozenset(one for name in state or () for one in states_named(name)),
            reason=_reason_named(reason),
            subject=subject,
            number=number,
            document=document,
        )
        match form:
            case Format.CSV:
                async for line in csv_lines(queries.export_log(asked), columns=COLUMNS):
                    sys.stdout.write(line)
            case Format.JSON:
                await _print_array(queries.export_log(asked))
            case Format.TABLE:
                page = await queries.log(asked, limit=limit)
                print_rows(page.rows, form=form, columns=_log_headings())
                if page.after is not None:
                    err.print(say("Còn nữa: thu hẹp điều kiện, tăng --limit hoặc dùng --format csv.",
                                  "There is more: narrow it, raise --limit or use --format csv."))  # fmt: skip

    _ask(who, ask)


def _log_headings() -> dict[str, str]:
    return {
        "submitted_at": say("Nộp lúc", "Submitted"),
        "code": say("Số, ký hiệu", "Code"),
        "subject": say("Trích yếu", "Subject"),
        "from": say("Gửi", "From"),
        "to": say("Nhận", "To"),
        "state": say("Trạng thái", "State"),
        "status": say("Mã", "Status"),
        "reason": say("Lý do", "Reason"),
    }


async def _print_array(rows: AsyncIterable[Mapping[str, Any]]) -> None:
    """One JSON array, row by row, so that its length costs no memory."""
    first = True
    async for row in rows:
        sys.stdout.write(("[\n" if first else ",\n") + json.dumps(row, ensure_ascii=False))
        first = False
    sys.stdout.write("[]\n" if first else "\n]\n")


def _show_acts(who: str | None, *, form: Format, limit: int) -> None:
    async def ask(_: Axis, queries: Queries) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        after = None
        while True:
            page = await queries.acts(
                ActFilter(), after=after, limit=limit if form is Format.TABLE else 1_000
            )
            rows += page.rows
            after = page.after
            if after is None or form is Format.TABLE:
                return rows

    print_rows(
        _ask(who, ask),
        form=form,
        columns={
            "at": say("Lúc", "At"),
            "kind": say("Việc", "Act"),
            "person": say("Người", "Person"),
            "reason": say("Vì sao", "Why"),
        },
    )


def show(document: Annotated[str, typer.Argument(metavar="DOCUMENT", show_default=False)], who: _AS = None, as_json: _JSON = False) -> None:  # fmt: skip
    life: Any = _ask(who, lambda _, queries: queries.show(document))
    if as_json:
        print_json(life)
        return
    name = life.get("code") or life.get("document_id") or life.get("document")
    tell(f"{name}  {life.get('subject') or ''}", style="bold")
    for name in (
        "document",
        "document_id",
        "from",
        "from_name",
        "tier",
        "value",
        "digest",
        "size",
        "submitted_at",
    ):
        if life.get(name) not in {None, ""}:
            tell(f"  {name:<13} {life[name]}")
    if life["deliveries"]:
        print_rows(
            life["deliveries"],
            form=Format.TABLE,
            columns={
                "to": say("Nhận", "To"),
                "to_name": say("Đơn vị", "Organ"),
                "state": say("Trạng thái", "State"),
                "status": say("Mã", "Status"),
                "state_at": say("Lúc", "At"),
                "reason": say("Lý do", "Reason"),
            },
        )
    print_rows(
        [
            {**one, "who": next(iter(one["by"].values()), ""), "n": len(one["to"]) or None}
            for one in life["events"]
        ],
        form=Format.TABLE,
        columns={
            "index": "#",
            "at": say("Lúc", "At"),
            "kind": say("Sự kiện", "Event"),
            "who": say("Ai", "Who"),
            "n": say("Lượt", "Deliveries"),
            "reason": say("Lý do", "Reason"),
        },
    )


# --- counts -------------------------------------------------------------------------------------------------------


def count(
    since: _FROM = None,
    until: _TO = None,
    by: Annotated[By, typer.Option("--by", help=say("Đếm theo.", "What a row is."))] = By.ORGAN,
    organ: Annotated[str | None, typer.Option("--organ", metavar="CODE", help=say("Chỉ đơn vị này và cấp dưới.", "Only this organ and all below."))] = None,
    received_as: Annotated[str, typer.Option("--received-as", help="taken | addressed")] = "taken",
    recount: Annotated[bool, typer.Option("--recount", help=say("Đếm lại từ mọi bản ghi và so sánh.", "Count again from every record and compare."))] = False,
    who: _AS = None,
    form: _FORM = Format.TABLE,
    as_json: _JSON = False,
) -> None:  # fmt: skip
    form = Format.JSON if as_json else form

    async def ask(axis: Axis, queries: Queries) -> tuple[Any, Any]:
        await queries.settle_counts(numbers=axis.sequencer(holder=f"cli:{getpass.getuser()}"))
        asked = CountFilter(
            since=since,
            until=until,
            organ=await queries.organ(organ) if organ else None,
            received_as_addressed=received_as == "addressed",
        )
        counts = await queries.count(asked, by=by)
        return counts, await queries.recount(asked, by=by) if recount else counts

    counts, again = _ask(who, ask)
    rows = list(counts.rows)
    if form is Format.CSV:
        write_csv(rows)
    else:
        print_rows(rows, form=form, columns=_count_headings(by))
    if recount:
        same = rows == list(again.rows)
        err.print(
            say("Đếm lại: khớp.", "Recount: the same.")
            if same
            else say("Đếm lại: KHÔNG khớp.", "Recount: NOT the same.")
        )
        sys.exit(0 if same else 1)


def _count_headings(by: By) -> dict[str, str]:
    named = {
        By.ORGAN: {"organ": say("Mã", "Code"), "organ_name": say("Đơn vị", "Organ")},
        By.PAIR: {"from": say("Gửi", "From"), "to": say("Nhận", "To")},
        By.TYPE: {"type": say("Loại", "Type")},
    }.get(by, {by.value: say("Kỳ", "Period")})
    return {
        **named,
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
    }


# --- trouble ------------------------------------------------------------------------------------------------------


def failed(who: _AS = None, as_json: _JSON = False) -> None:
    rows: list[Any] = list(_ask(who, lambda _, queries: queries.failed_groups()))
    if as_json:
        print_json(rows)
        return
    print_rows(
        [
            {**one, "text": say(one["vi"], one["en"]), "then": say(one["next"]["vi"], one["next"]["en"])}
            for one in rows
        ],
        form=Format.TABLE,
        columns={
            "group": say("Nhóm", "Group"),
            "owner": say("Ai xử lý", "Owner"),
            "count": say("Số", "Count"),
            "first": say("Đầu tiên", "First"),
            "last": say("Gần nhất", "Last"),
            "then": say("Việc tiếp theo", "Next step"),
        },
        empty=say("Không có gì chờ xử lý.", "Nothing waits for a person."),
    )


def replay_plan(
    group: Annotated[str | None, typer.Argument(metavar="GROUP", help=say("Nhóm của `axis failed`, ví dụ delivery:deliver.not_taken.", "A group of `axis failed`, such as delivery:deliver.not_taken."))] = None,
    station: Annotated[str | None, typer.Option("--station", metavar="ID", help=say("Chỉ điểm kết nối này.", "Only this station."))] = None,
    document: Annotated[str, typer.Option("--document", metavar="ID", help=say("Mã văn bản của Trục.", "The axis's id of a document."))] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help=say("Chỉ xem trước.", "Only preview."))] = False,
    who: _AS = None,
    reason: _REASON = "",
    as_json: _JSON = False,
) -> None:  # fmt: skip
    kind, _, code = (group or "").partition(":")
    asked = ReplayFilter(
        kinds=frozenset({_kind_named(kind)}) if kind else frozenset(TroubleKind),
        reason=_reason_named(code or None),
        station=StationId(station) if station else None,
        document=document,
    )

    async def ask(axis: Axis, queries: Queries) -> tuple[str | None, Sequence[Any]]:
        rows = await queries.replay_candidates(asked)
        if dry_run or not rows:
            return None, rows
        by = Actor(person=who or getpass.getuser(), reason=reason or None)
        plan = await axis.replayer.plan([(str(one["kind"]), str(one["id"])) for one in rows], by=by)
        return plan, rows

    plan, rows = _ask(who, ask)
    hopeless = [one for one in rows if one.get("would_fail")]
    if as_json:
        print_json({"plan": plan, "total": len(rows), "would_fail": len(hopeless), "items": list(rows)})
        sys.exit(0 if rows else 1)
    print_rows(
        rows[:_MOST_IN_A_TABLE],
        form=Format.TABLE,
        columns={
            name: name
            for name in (
                "kind",
                "id",
                "document",
                "code",
                "to",
                "reason",
                "at",
                "replayed_before",
                "would_fail",
            )
        },
        empty=say("Không có gì để chuyển lại.", "There is nothing to replay."),
    )
    if rows:
        err.print(
            say(
                f"{len(rows)} mục; {len(hopeless)} mục hôm nay vẫn sẽ lỗi.",
                f"{len(rows)} items; {len(hopeless)} would still fail today.",
            )
        )
    if plan is not None:
        tell(f"axis replay run {plan}")
    sys.exit(0 if rows else 1)


def replay_list(who: _AS = None, as_json: _JSON = False) -> None:
    rows = list(_ask(who, lambda _, queries: queries.plans()))
    print_rows(
        rows,
        form=Format.JSON if as_json else Format.TABLE,
        columns={
            "plan": say("Kế hoạch", "Plan"),
            "at": say("Lúc", "At"),
            "person": say("Người", "Person"),
            "reason": say("Vì sao", "Why"),
            "state": say("Trạng thái", "State"),
            "total": say("Số mục", "Items"),
            "done": say("Đã làm", "Done"),
        },
    )


def replay_show(plan: Annotated[str, typer.Argument(metavar="ID", show_default=False)], who: _AS = None, as_json: _JSON = False) -> None:  # fmt: skip
    found: Any = _ask(who, lambda _, queries: queries.plan(plan))
    if as_json:
        print_json(found)
        return
    tell(
        f"{found['plan']}  {found['state']}  {found['done']}/{found['total']}  {found['person']}: {found['reason']}"
    )
    print_rows(
        found["items"][:_MOST_IN_A_TABLE],
        form=Format.TABLE,
        columns={name: name for name in ("kind", "id", "state", "result", "would_fail")},
    )


def replay_run(
    plan: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    who: _AS = None,
    reason: _REASON = "",
    as_json: _JSON = False,
) -> None:
    async def ask(axis: Axis, queries: Queries) -> Any:
        total = int(str((await queries.plan(plan))["total"]))
        with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                      console=err, disable=not err.is_terminal) as progress:  # fmt: skip
            task = progress.add_task(say("Chuyển lại", "Replaying"), total=total)
            return await axis.replayer.run(
                plan,
                by=Actor(person=who or getpass.getuser(), reason=reason or None),
                progress=lambda tally: progress.update(task, completed=tally.done),
            )

    tally = _ask(who, ask)
    if as_json:
        print_json({"plan": plan, "done": tally.done, "failed_again": tally.failed_again})
    else:
        err.print(say(f"Đã làm {tally.done} mục, {tally.failed_again} mục vẫn lỗi.",
                      f"{tally.done} items done, {tally.failed_again} failed again."))  # fmt: skip
    sys.exit(0 if not tally.failed_again else 1)


def _change_to(state: str) -> Callable[..., None]:
    def change(
        plan: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
        who: _AS = None,
        reason: _REASON = "",
    ) -> None:
        by = Actor(person=who or getpass.getuser(), reason=reason or None)
        _ask(who, lambda axis, _: axis.replayer.change(plan, state, by=by))

    return change


# --- integrity ----------------------------------------------------------------------------------------------------


def ledger_check(as_json: _JSON = False) -> None:
    async def run() -> Any:
        with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                      console=err, disable=as_json or not err.is_terminal) as progress:  # fmt: skip
            task = progress.add_task(say("Tính lại", "Recomputing"), total=None)
            async with open_axis(settings()) as axis:
                return await axis.check_ledger(
                    progress=lambda done, total: progress.update(task, completed=done, total=total)
                )

    result = asyncio.run(run())
    if as_json:
        print_json(
            {
                "ok": result.ok,
                "events": result.events,
                "numbered": result.numbered,
                "checkpoints": result.checkpoints,
                "problems": [{"place": one.place, "vi": one.vi, "en": one.en} for one in result.problems],
            }
        )
    elif result.ok:
        out.print(say(f"[green]Toàn vẹn.[/] {result.events} sự kiện, {result.numbered} đã đánh số, {result.checkpoints} điểm kiểm tra.",
                      f"[green]Whole.[/] {result.events} events, {result.numbered} numbered, {result.checkpoints} checkpoints."))  # fmt: skip
    else:
        for one in result.problems:
            tell(f"✗ {say(one.vi, one.en)}", style="red")
    sys.exit(0 if result.ok else 1)


def ledger_tables(as_json: _JSON = False) -> None:
    rows = [
        {"table": table, "column": column, "class": kind, "reason": why}
        for table, column, kind, why in declared()
    ]
    print_rows(
        rows,
        form=Format.JSON if as_json else Format.TABLE,
        columns={
            "table": say("Bảng", "Table"),
            "column": say("Cột", "Column"),
            "class": say("Loại", "Class"),
            "reason": say("Vì sao", "Reason"),
        },
    )


# --- the machinery ------------------------------------------------------------------------------------------------


def _ask(who: str | None, ask: Callable[[Axis, Queries], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        async with open_axis(settings()) as axis:
            return await ask(axis, axis.queries(viewer=who or getpass.getuser()))

    return asyncio.run(run())


def _reason_named(code: str | None) -> ReasonCode | None:
    if code is None:
        return None
    try:
        return ReasonCode(code)
    except ValueError as problem:
        raise InvalidQuestion(f"{code!r} is no reason code; docs/reasons.md lists them") from problem


def _kind_named(kind: str) -> TroubleKind:
    try:
        return TroubleKind(kind)
    except ValueError as problem:
        raise InvalidQuestion(f"{kind!r}: one of {', '.join(TroubleKind)} expected") from problem


def _begin(text: str | None) -> datetime | None:
    return _moment(text) if text else None


def _end(text: str | None) -> datetime | None:
    if not text:
        return None
    at = _moment(text)
    # A day is meant with all its hours.
    return at + timedelta(days=1) if len(text) == len("2026-11-24") else at


def _moment(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as problem:
        raise InvalidQuestion(f"{text!r} is no day; write it like 2026-11-24") from problem
    return at if at.tzinfo is not None else at.replace(tzinfo=VIETNAM)
