"""
`axis log`, `show`, `failed`, `replay`, `ledger`: what the ledger says, to operators and auditors.

Every question names its viewer (`--as`, else the login name) and is itself recorded. Counts are in `axis.cli.counting`.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from axis.bootstrap.parts import Axis, open_axis
from axis.cli.asking import AS, FROM, JSON, TO, ask, begin, end
from axis.cli.output import FORM, TARGET, Form, form_of, pour
from axis.cli.run import settings
from axis.core.errors import InvalidQuestion
from axis.core.events import ACTS, EventKind
from axis.core.model import Actor, BusinessType, StationId, Urgency
from axis.core.reasons import ReasonCode
from axis.ledger.delivery_log import COLUMNS, LogFilter, states_named
from axis.ledger.queries import ActFilter, Queries
from axis.ledger.retention import said_of
from axis.ledger.scope import Right
from axis.ledger.tables import declared
from axis.ledger.trouble import MOST_PLANNED, REPLAYABLE, ReplayFilter, TroubleKind
from axis.speech import Format, err, out, print_json, print_rows, say, tell
from signing.pdf import explain, read_code

_MOST_IN_A_TABLE: Final = 50
_MOST_SHOWN: Final = 80

_REASON = Annotated[
    str, typer.Option("--reason", help=say("Vì sao; được ghi vào nhật ký.", "Why; goes into the ledger."))
]


def add_to(app: typer.Typer) -> None:
    """Put the commands into the application."""
    app.command(
        help=say("Nhật ký gửi, nhận: mỗi lượt chuyển một dòng.", "The delivery log: one row per delivery.")
    )(log)
    app.command(help=say("Toàn bộ đời sống của một văn bản.", "The whole life of one document."))(show)
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
    ledger.command("purge", help=say("Xóa nội dung gói tin đã hết hạn lưu; bản ghi, mã băm, chứng cứ còn nguyên. Trục đang chạy tự làm việc này.",
                                     "Let go the bytes of messages whose time is over; records and proofs stay. A running axis does it by itself."))(ledger_purge)  # fmt: skip
    ledger.command("hold", help=say("Giữ nội dung một văn bản, bất kể hạn lưu (hoặc bỏ giữ).",
                                    "Keep the bytes of a document whatever its age (or let its time run again)."))(ledger_hold)  # fmt: skip
    ledger.command("new-epoch", help=say("Công bố nhật ký đi tiếp từ bản sao cũ hơn (sau khi phục hồi); được ghi lại, ký và công khai.",
                                         "Say in public that the log goes on from an older copy (after a restore); recorded and signed."))(ledger_new_epoch)  # fmt: skip
    app.add_typer(ledger, name="ledger")


# --- the delivery log ---------------------------------------------------------------------------------------------


def log(
    organ: Annotated[str | None, typer.Option("--organ", metavar="CODE", help=say("Đơn vị gửi hoặc nhận, kể cả cấp dưới.", "Sender or receiver, with all below."))] = None,
    since: FROM = None,
    until: TO = None,
    state: Annotated[list[str] | None, typer.Option("--state", help="accepted refused held duplicate | waiting handed_over fetched acknowledged failed withdrawn not_connected pending")] = None,
    subject: Annotated[str, typer.Option("--subject", help=say("Từ trong trích yếu, có dấu hoặc không.", "Words of the subject, with or without marks."))] = "",
    number: Annotated[str, typer.Option("--number", help=say("Số, ký hiệu.", "Number/notation."))] = "",
    signer: Annotated[str, typer.Option("--signer", help=say("Từ trong tên người ký hoặc tên chứng thư, có dấu hoặc không.", "Words of the signer's name or of the certificate's subject."))] = "",
    kind: Annotated[int | None, typer.Option("--type", min=0, max=3, help=say("0 mới, 1 thu hồi, 2 cập nhật, 3 thay thế.", "0 new, 1 recall, 2 update, 3 replace."))] = None,
    urgency: Annotated[int | None, typer.Option("--urgency", min=0, max=3, help=say("0 thường, 1 khẩn, 2 thượng khẩn, 3 hỏa tốc.", "0 normal, 1 urgent, 2 very urgent, 3 express."))] = None,
    late: Annotated[bool | None, typer.Option("--late/--in-time", help=say("Gửi trễ, hoặc đúng hạn.", "Sent late, or in time."))] = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="CODE", help=say("Mã lý do.", "Reason code."))] = None,
    document: Annotated[str, typer.Option("--document", metavar="ID", help=say("Mã văn bản của Trục, hoặc DocumentId.", "The axis's id of a document, or its DocumentId."))] = "",
    acts: Annotated[bool, typer.Option("--acts", help=say("Những gì con người đã thay đổi: ai, vì sao, trước, sau.", "What people changed: who, why, before, after."))] = False,
    looks: Annotated[bool, typer.Option("--looks", help=say("Ai đã xem những gì.", "Who looked at what."))] = False,
    person: Annotated[str, typer.Option("--person", metavar="NAME", help=say("Với --acts, --looks: chỉ người này.", "With --acts, --looks: only this person."))] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help=say("Số dòng của bảng; các dạng khác không giới hạn.", "Rows of a table; the other forms have no limit."))] = _MOST_IN_A_TABLE,
    after: Annotated[str | None, typer.Option("--after", metavar="KEY", help=say("Trang tiếp theo của bảng.", "The next page of a table."))] = None,
    who: AS = None,
    form: FORM = Form.TABLE,
    target: TARGET = None,
    as_json: JSON = False,
) -> None:  # fmt: skip
    form = form_of(form, as_json=as_json, target=target)
    if acts or looks:
        kinds = (ACTS if acts else frozenset()) | (
            frozenset({EventKind.LEDGER_QUERIED}) if looks else frozenset()
        )
        wanted = ActFilter(kinds=kinds, since=begin(since), until=end(until), person=person)
        _show_acts(wanted, who=who, form=form, target=target, limit=limit, after=after)
        return

    async def question(_: Axis, queries: Queries) -> None:
        asked = LogFilter(
            organ=await queries.organ(organ) if organ else None,
            since=begin(since),
            until=end(until),
            states=frozenset(one for name in state or () for one in states_named(name)),
            reason=_reason_named(reason),
            subject=subject,
            number=number,
            signer=signer,
            business_type=BusinessType(kind) if kind is not None else None,
            urgency=Urgency(urgency) if urgency is not None else None,
            late=late,
            document=document,
        )
        if form is not Form.TABLE:
            rows = queries.export_log(asked)
            await pour(
                rows, form=form, target=target, headings=_whole_headings(), title=say("Nhật ký", "Log")
            )
            return
        page = await queries.log(asked, limit=limit, after=after)
        print_rows(page.rows, form=Format.TABLE, columns=_log_headings())
        _tell_of_more(page.after)

    ask(who, question)


def _tell_of_more(after: str | None) -> None:
    if after is not None:
        err.print(say(f"Còn nữa: --after {after}, hoặc --format csv, jsonl, xlsx để lấy tất cả.",
                      f"There is more: --after {after}, or --format csv, jsonl, xlsx for everything."),
                  highlight=False)  # fmt: skip


def _show_files(events: Sequence[Mapping[str, Any]]) -> None:
    """What was found in each file, once the document has been valued."""
    files = next((one["files"] for one in reversed(events) if one.get("files")), ())
    if not files:
        return
    roles = {
        "person": say("người ký", "signer"),
        "organ": say("cơ quan", "organ"),
        "unknown": say("chưa rõ", "unknown"),
    }
    rows = []
    for file in files:
        words = explain(read_code(file["reason"]))
        signers = [
            f"{roles[one['role']]}: {one['signer']['subject'] if one['signer'] else '?'}"
            for one in file["signatures"]
        ]
        rows.append({"name": file["name"], "found": say(words.vi, words.en), "signers": "; ".join(signers)})
    print_rows(
        rows,
        form=Format.TABLE,
        columns={
            "name": say("Tệp", "File"),
            "found": say("Kết quả xét chữ ký", "What was found"),
            "signers": say("Ai ký", "Signed by"),
        },
    )


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


def _whole_headings() -> dict[str, str]:
    """Every column of an export, under its own name: what reads it later is a program as often as a person."""
    return {column: column for column in COLUMNS}


def _show_acts(
    asked: ActFilter, *, who: str | None, form: Form, target: Path | None, limit: int, after: str | None
) -> None:
    headings = {
        "at": say("Lúc", "At"),
        "kind": say("Việc", "Act"),
        "person": say("Người", "Person"),
        "reason": say("Vì sao", "Why"),
        "before": say("Trước", "Before"),
        "after": say("Sau", "After"),
    }

    async def question(_: Axis, queries: Queries) -> None:
        if form is not Form.TABLE:
            whole = {name: name for name in ("index", "event", *headings, "facts")}
            rows = queries.export_acts(asked)
            await pour(rows, form=form, target=target, headings=whole, title=say("Thay đổi", "Acts"))
            return
        page = await queries.acts(asked, after=after, limit=limit)
        shown = [{**row, "before": _short(row["before"]), "after": _short(row["after"])} for row in page.rows]
        print_rows(shown, form=Format.TABLE, columns=headings)
        _tell_of_more(page.after)

    ask(who, question)


def _short(value: object) -> str:
    """What a table shows of a value; JSON and the other forms have all of it."""
    text = "" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 1] + "…"


def show(document: Annotated[str, typer.Argument(metavar="DOCUMENT", show_default=False)], who: AS = None, as_json: JSON = False) -> None:  # fmt: skip
    life: Any = ask(who, lambda _, queries: queries.show(document))
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
        "document_state",
        "digest",
        "size",
        "submitted_at",
    ):
        if life.get(name) not in {None, ""}:
            tell(f"  {name:<13} {life[name]}")
    for name, title in (
        ("replaces", say("Thay thế", "Replaces")),
        ("replaced_by", say("Bị thay thế bởi", "Replaced by")),
    ):
        for one in life.get(name, ()):
            tell(f"  {title}: {one['code'] or one['document_id']}  {one['document']}")
    if life["deliveries"]:
        print_rows(
            [
                {**one, "request": one["request"] if one["request"] != "none" else None}
                for one in life["deliveries"]
            ],
            form=Format.TABLE,
            columns={
                "to": say("Nhận", "To"),
                "to_name": say("Đơn vị", "Organ"),
                "state": say("Trạng thái", "State"),
                "status": say("Mã", "Status"),
                "request": say("Yêu cầu", "Request"),
                "state_at": say("Lúc", "At"),
                "reason": say("Lý do", "Reason"),
            },
        )
    _show_files(life["events"])
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


# --- trouble ------------------------------------------------------------------------------------------------------


def failed(who: AS = None, as_json: JSON = False) -> None:
    rows: list[Any] = list(ask(who, lambda _, queries: queries.failed_groups()))
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
    limit: Annotated[int, typer.Option("--limit", min=1, max=MOST_PLANNED, help=say("Nhiều nhất bao nhiêu mục, cũ nhất trước.", "Most items, the oldest first."))] = MOST_PLANNED,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=say("Chỉ xem trước.", "Only preview."))] = False,
    who: AS = None,
    reason: _REASON = "",
    as_json: JSON = False,
) -> None:  # fmt: skip
    kind, _, code = (group or "").partition(":")
    asked = ReplayFilter(
        kinds=frozenset({_kind_named(kind)}) if kind else REPLAYABLE,
        reason=_reason_named(code or None),
        station=StationId(station) if station else None,
        document=document,
    )

    async def question(axis: Axis, queries: Queries) -> tuple[str | None, Sequence[Any], bool]:
        found = await queries.replay_candidates(asked, limit=limit + 1)
        rows, is_cut = found[:limit], len(found) > limit
        if dry_run or not rows:
            return None, rows, is_cut
        await queries.require(Right.CHANGE)
        by = Actor(person=who or getpass.getuser(), reason=reason or None)
        plan = await axis.replayer.plan([(str(one["kind"]), str(one["id"])) for one in rows], by=by)
        return plan, rows, is_cut

    plan, rows, is_cut = ask(who, question)
    hopeless = [one for one in rows if one.get("would_fail")]
    if as_json:
        print_json(
            {
                "plan": plan,
                "total": len(rows),
                "would_fail": len(hopeless),
                "more": is_cut,
                "items": list(rows),
            }
        )
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
    if is_cut:
        err.print(say("Còn mục khác: chạy kế hoạch này xong, hãy lập kế hoạch nữa.",
                      "There are more: when this plan has run, make another one."))  # fmt: skip
    if plan is not None:
        tell(f"axis replay run {plan}")
    sys.exit(0 if rows else 1)


def replay_list(who: AS = None, as_json: JSON = False) -> None:
    rows = list(ask(who, lambda _, queries: queries.plans()))
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


def replay_show(plan: Annotated[str, typer.Argument(metavar="ID", show_default=False)], who: AS = None, as_json: JSON = False) -> None:  # fmt: skip
    found: Any = ask(who, lambda _, queries: queries.plan(plan))
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
    rate: Annotated[float | None, typer.Option("--rate", metavar="N", min=0.01, help=say("Số mục mỗi giây, nhiều nhất.", "Items a second, at most."))] = None,
    who: AS = None,
    reason: _REASON = "",
    as_json: JSON = False,
) -> None:  # fmt: skip
    async def question(axis: Axis, queries: Queries) -> Any:
        await queries.require(Right.CHANGE)
        total = int(str((await queries.plan(plan))["total"]))
        with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                      console=err, disable=not err.is_terminal) as progress:  # fmt: skip
            task = progress.add_task(say("Chuyển lại", "Replaying"), total=total)
            return await axis.replayer.run(
                plan,
                by=Actor(person=who or getpass.getuser(), reason=reason or None),
                per_second=rate,
                progress=lambda tally: progress.update(task, completed=tally.done),
            )

    tally = ask(who, question)
    if as_json:
        print_json(
            {
                "plan": plan,
                "done": tally.done,
                "failed_again": tally.failed_again,
                "stopped": tally.has_stopped,
            }
        )
    else:
        err.print(say(f"Đã làm {tally.done} mục, {tally.failed_again} mục vẫn lỗi.",
                      f"{tally.done} items done, {tally.failed_again} failed again."))  # fmt: skip
        if tally.has_stopped:
            err.print(say("Đã tự tạm dừng vì phần lớn lại lỗi; khắc phục nguyên nhân rồi chạy lại.",
                          "Paused by itself, as most of it fails again; mend the cause and run it again."))  # fmt: skip
    sys.exit(0 if not tally.failed_again and not tally.has_stopped else 1)


def _change_to(state: str) -> Callable[..., None]:
    def change(
        plan: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
        who: AS = None,
        reason: _REASON = "",
    ) -> None:
        by = Actor(person=who or getpass.getuser(), reason=reason or None)

        async def question(axis: Axis, queries: Queries) -> None:
            await queries.require(Right.CHANGE)
            await axis.replayer.change(plan, state, by=by)

        ask(who, question)

    return change


# --- integrity ----------------------------------------------------------------------------------------------------


def ledger_check(as_json: JSON = False) -> None:
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


def ledger_purge(
    dry_run: Annotated[bool, typer.Option("--dry-run", help=say("Chỉ xem sẽ xóa gì.", "Only show what would go."))] = False,
    who: AS = None,
    reason: _REASON = "",
    as_json: JSON = False,
) -> None:  # fmt: skip
    async def question(axis: Axis, queries: Queries) -> Any:
        keeper = axis.keeper()
        if dry_run:
            await queries.require(Right.LOG)
            return await keeper.plan()
        await queries.require(Right.CHANGE)
        return await keeper.purge(by=Actor(person=who or getpass.getuser(), reason=reason or None))

    rows = [said_of(one) for one in ask(who, question)]
    print_rows(rows, form=Format.JSON if as_json else Format.TABLE,
               columns={"digest": "SHA-256", "size": say("Byte", "Bytes"), "class": say("Loại", "Class")},
               empty=say("Không có gì hết hạn.", "Nothing whose time is over."))  # fmt: skip


def ledger_hold(
    document: Annotated[str, typer.Argument(metavar="DOCUMENT", show_default=False)],
    lift: Annotated[bool, typer.Option("--lift", help=say("Bỏ giữ.", "Let its time run again."))] = False,
    who: AS = None,
    reason: _REASON = "",
) -> None:  # fmt: skip
    async def question(axis: Axis, queries: Queries) -> Any:
        await queries.require(Right.CHANGE)
        life = await queries.show(document)
        by = Actor(person=who or getpass.getuser(), reason=reason or None)
        return await axis.keeper().hold(str(life["document"]), lifted=lift, by=by)

    event = ask(who, question)
    tell(str(event.facts["document"]))


def ledger_new_epoch(who: AS = None, reason: _REASON = "", as_json: JSON = False) -> None:
    async def run() -> tuple[Any, Any]:
        async with open_axis(settings()) as axis:
            return await axis.new_epoch(person=who or getpass.getuser(), reason=reason)

    event, signed = asyncio.run(run())
    if as_json:
        print_json(
            {
                "origin": signed.origin,
                "size": signed.size,
                "root": signed.root.hex(),
                "record": event.record.decode(),
            }
        )
        return
    tell(f"{signed.origin}  {signed.size}  {signed.root.hex()}")
    lost: Any = event.facts["lost"]
    err.print(say(f"Đã công bố: nhật ký đi tiếp từ {event.facts['size']} bản ghi; điểm kiểm tra {lost['size']} bản ghi đã mất. Xem GET /api/v1/epochs.",
                  f"Said in public: the log goes on from {event.facts['size']} records; a head of {lost['size']} is lost. See GET /api/v1/epochs."))  # fmt: skip


def ledger_tables(as_json: JSON = False) -> None:
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


def _reason_named(code: str | None) -> ReasonCode | None:
    if code is None:
        return None
    try:
        return ReasonCode(code)
    except ValueError as problem:
        raise InvalidQuestion(
            vi=f"{code[:40]!r} không phải là mã lý do; xem docs/reasons.md",
            en=f"{code[:40]!r} is no reason code; docs/reasons.md lists them",
        ) from problem


def _kind_named(kind: str) -> TroubleKind:
    try:
        return TroubleKind(kind)
    except ValueError as problem:
        known = ", ".join(TroubleKind)
        raise InvalidQuestion(
            vi=f"{kind[:40]!r}: cần một trong {known}", en=f"{kind[:40]!r}: one of {known} expected"
        ) from problem
