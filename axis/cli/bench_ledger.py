"""
`axis bench ledger`: what questions and appends cost beside years of history, on a PostgreSQL that holds nothing else.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from axis.speech import Format, err, print_json, print_rows, say, tell

if TYPE_CHECKING:
    from axis.bench.ledger import LedgerBench


def bench_ledger(
    database: Annotated[str, typer.Option("--database", metavar="URL", show_default=False, help=say("PostgreSQL trống, hoặc đã nạp bằng lệnh này.", "An empty PostgreSQL, or one that this command has filled."))],
    deliveries: Annotated[int, typer.Option("--deliveries", min=100, max=100_000_000, help=say("Số lượt chuyển của lịch sử giả định.", "Deliveries of the made-up history."))] = 10_000,
    times: Annotated[int, typer.Option("--times", min=1, max=10_000, help=say("Mỗi câu hỏi bao nhiêu lần.", "How often each question is asked."))] = 40,
    output: Annotated[Path | None, typer.Option("--output", "-o", help=say("Ghi thêm kết quả JSON vào tệp.", "Write the JSON to a file, too."))] = None,
    as_json: Annotated[bool, typer.Option("--json", help=say("In một tài liệu JSON.", "Print one JSON document."))] = False,
) -> None:  # fmt: skip
    """Load, ask, append; a million deliveries take some minutes. Exit status 1: a limit does not hold."""
    from axis.bench.ledger import bench_ledger as run
    from axis.bench.machine import machine, versions
    from axis.setting_values import DATABASE

    titles = {
        "load": say("Nạp", "Loading"),
        "index": say("Chỉ mục", "Indexing"),
        "ask": say("Hỏi", "Asking"),
        "append": say("Ghi", "Appending"),
    }
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                  console=err, disable=not err.is_terminal) as progress:  # fmt: skip
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(titles[what], total=of)
            progress.update(tasks[what], completed=done, total=of)

        url = DATABASE.read(database).reveal()
        found = asyncio.run(run(url, deliveries=deliveries, times=times, progress=show))
    result = {"machine": machine(), "versions": versions({"postgresql": found.server}), **_json(found)}
    if output is not None:
        output.write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    if as_json:
        print_json(result)
    else:
        _show(found)
    raise typer.Exit(0 if all(one.holds for one in found.timings) else 1)


def _json(found: LedgerBench) -> dict[str, Any]:
    numbers = {name: value for name, value in asdict(found).items() if name != "timings"}
    rows = [{**asdict(one), "holds": one.holds, "profile": found.deliveries} for one in found.timings]
    return {"ledger": _rounded(numbers), "results": [_rounded(row) for row in rows]}


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 2) if isinstance(value, float) else value for name, value in row.items()}


def _show(found: LedgerBench) -> None:
    tell(
        say(
            f"{found.deliveries} lượt chuyển, {found.documents} văn bản, {found.events} sự kiện, "
            f"{found.database_mb} MiB; nạp {found.load_s:.0f} s; máy bận {found.busy:.0%}",
            f"{found.deliveries} deliveries, {found.documents} documents, {found.events} events, "
            f"{found.database_mb} MiB; loaded in {found.load_s:.0f} s; machine {found.busy:.0%} busy",
        )
    )
    rows = [{**_rounded(asdict(one)), "ok": "" if one.holds else "✗"} for one in found.timings]
    columns = {
        "name": say("câu hỏi", "question"),
        "rows": say("dòng", "rows"),
        "p50_ms": "p50 ms",
        "p95_ms": "p95 ms",
        "limit_ms": say("giới hạn", "limit"),
        "ok": "",
    }
    print_rows(rows, form=Format.TABLE, columns=columns)
    tell(
        say(
            f"Ghi: {found.append_per_s:.0f} lượt chuyển/s; đánh số: {found.numbered_per_s:.0f} sự kiện/s",
            f"Appending: {found.append_per_s:.0f} deliveries/s; numbering: {found.numbered_per_s:.0f} events/s",
        )
    )
