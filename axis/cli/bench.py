"""
`axis bench`: how fast an axis is on the servers it is given, against the floor of the same bytes in the same run.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from axis.cli.bench_ledger import bench_ledger
from axis.settings import LogFormat, LogLevel
from axis.speech import Format, err, print_json, print_rows, say, tell

if TYPE_CHECKING:
    from axis.bench.run import Plan

_COLUMNS = {
    "name": "", "profile": say("cỡ", "size"), "fanout": "x", "load": say("tải", "load"),
    "documents_per_s": say("vb/s", "docs/s"), "cpu_ms": "CPU", "p50_ms": "p50", "p95_ms": "p95", "p99_ms": "p99",
    "ratio_to_hop": say("/sàn", "/hop"),
}  # fmt: skip


def add_to(app: typer.Typer) -> None:
    """Put the commands into the application."""
    bench = typer.Typer(help=say("Đo tốc độ của Trục.", "Measure how fast an axis is."))
    bench.callback(invoke_without_command=True)(road)
    bench.command(
        "ledger",
        help=say(
            "Đo câu hỏi, thống kê và ghi thêm bên cạnh nhiều năm lịch sử.",
            "Measure questions, counts and appends beside years of history.",
        ),
    )(bench_ledger)
    app.add_typer(bench, name="bench")


def road(
    context: typer.Context,
    *,
    broker: Annotated[str | None, typer.Option(help=say("RabbitMQ để đo; không có thì đo Trục nhúng.", "RabbitMQ to measure on; without one the embedded axis is measured."))] = None,
    management: Annotated[str | None, typer.Option(help=say("Giao diện quản trị của RabbitMQ.", "RabbitMQ's management interface."))] = None,
    database: Annotated[str | None, typer.Option(help=say("PostgreSQL để đo.", "PostgreSQL to measure on."))] = None,
    profile: Annotated[list[str] | None, typer.Option(help=say("Chỉ các cỡ này, như `100KBx3`; lặp lại được.", "Only these, such as `100KBx3`; may be repeated."))] = None,
    hubs: Annotated[list[int] | None, typer.Option(help=say("Số tiến trình hub; lặp lại được.", "Hub processes; may be repeated."), min=1, max=16)] = None,
    scale: Annotated[float, typer.Option(help=say("Nhân số văn bản.", "Multiplies the number of documents."), min=0.01, max=100)] = 1.0,
    latency: Annotated[bool, typer.Option(help=say("Đo cả thời gian ở tải 10% và 80%.", "Measure times at 10% and 80% load, too."))] = True,
    directory: Annotated[Path | None, typer.Option("--dir", help=say("Thư mục giữ lại nhật ký.", "Folder to keep the logs in."))] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help=say("Ghi thêm kết quả JSON vào tệp.", "Write the JSON to a file, too."))] = None,
    as_json: Annotated[bool, typer.Option("--json", help=say("In một tài liệu JSON.", "Print one JSON document."))] = False,
) -> None:  # fmt: skip
    """
    Whole way, floor and latency; takes some minutes. Nothing else should run on the machine.

    Raises:
        SettingsError: the servers cannot be used.
    """
    if context.invoked_subcommand is not None:
        return
    import uvloop

    from axis.bench.run import run_bench
    from axis.bench.town import Servers
    from axis.logs import configure_logs

    configure_logs(form=LogFormat.AUTO, level=LogLevel.WARNING)
    with _folder(directory) as home:
        plan = _plan(
            Servers(home=home, broker_url=broker, management_url=management, database_url=database),
            profiles=profile,
            hubs=hubs,
            scale=scale,
            with_latency=latency,
        )
        with err.status("") as status, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            result = runner.run(run_bench(plan, say=status.update))
    if output is not None:
        output.write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n")
    if as_json:
        print_json(result)
    else:
        _show(result["results"])


def _show(results: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        {
            **one,
            "name": one["name"] if one["hubs"] == 1 else f"{one['name']} ({one['hubs']} hubs)",
            "cpu_ms": one["cpu_ms_per_document"],
        }
        for one in results
    ]
    print_rows(rows, form=Format.TABLE, columns=_COLUMNS)
    tell(say("CPU: mili giây cho một văn bản, mọi tiến trình cộng lại. p50, p95, p99: mili giây từ lúc nộp đến khi có trong tay nơi nhận.",
             "CPU: milliseconds a document, every process added up. p50, p95, p99: milliseconds from handing in to a receiver's hands."))  # fmt: skip
    for row in rows:
        if row["note"]:
            tell(f"{row['profile']} x {row['fanout']}: {row['note']}")


def _plan(
    servers: object, *, profiles: list[str] | None, hubs: list[int] | None, scale: float, with_latency: bool
) -> Plan:
    from axis.bench.run import PROFILES, Plan
    from axis.bench.town import Servers

    assert isinstance(servers, Servers)
    known = {f"{one.name.replace(' ', '')}x{one.fanout}": one for one in PROFILES}
    if unknown := sorted(set(profiles or ()) - known.keys()):
        raise typer.BadParameter(f"{', '.join(unknown)}; {', '.join(known)}", param_hint="--profile")
    return Plan(
        servers=servers,
        profiles=[known[name] for name in profiles] if profiles else PROFILES,
        hubs=hubs or (1,),
        scale=scale,
        with_latency=with_latency,
    )


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given
        return
    made = Path(tempfile.mkdtemp(prefix="axis-bench-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
