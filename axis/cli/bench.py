"""
`axis bench`: how fast an axis is on the servers it is given, against the floor of the same bytes in the same run.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from axis.cli.bench_ledger import bench_ledger
from axis.ledger.trouble import MOST_PLANNED
from axis.settings import LogFormat, LogLevel
from axis.speech import Format, err, print_json, print_rows, say, tell

if TYPE_CHECKING:
    from axis.bench.run import Plan

_COLUMNS = {
    "measured": "", "what": say("văn bản", "documents"), "load": say("tải", "load"), "per_s": say("vb/s", "docs/s"),
    "cpu": "CPU", "p50": "p50", "p99": "p99", "of_hop": say("/sàn", "/hop"),
}  # fmt: skip
"""What fits 80 columns; the JSON has every member."""

_BROKER = Annotated[str | None, typer.Option("--broker", metavar="URL", help=say("RabbitMQ để đo; không có thì đo Trục nhúng.", "RabbitMQ to measure on; without one the embedded axis is measured."))]  # fmt: skip
_MANAGEMENT = Annotated[str | None, typer.Option("--management", metavar="URL", help=say("Giao diện quản trị của RabbitMQ.", "RabbitMQ's management interface."))]  # fmt: skip
_DATABASE = Annotated[str | None, typer.Option("--database", metavar="URL", help=say("PostgreSQL để đo.", "PostgreSQL to measure on."))]  # fmt: skip
_FOLDER = Annotated[Path | None, typer.Option("--dir", help=say("Thư mục giữ lại nhật ký.", "Folder to keep the logs in."))]  # fmt: skip
_OUTPUT = Annotated[Path | None, typer.Option("--output", "-o", help=say("Ghi thêm kết quả JSON vào tệp.", "Write the JSON to a file, too."))]  # fmt: skip
_JSON = Annotated[bool, typer.Option("--json", help=say("In một tài liệu JSON.", "Print one JSON document."))]


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
    bench.command(
        "backlog",
        help=say(
            "Đo Trục khi nhiều văn bản chờ các điểm kết nối vắng, và một điểm kết nối quay lại.",
            "Measure beside what waits for stations that are away, and a station that comes back.",
        ),
    )(backlog)
    bench.command(
        "replay",
        help=say(
            "Đo lập kế hoạch và chuyển lại các lượt chuyển đã lỗi.",
            "Measure planning and replaying failed deliveries.",
        ),
    )(replay)
    app.add_typer(bench, name="bench")


def road(
    context: typer.Context,
    *,
    broker: _BROKER = None,
    management: _MANAGEMENT = None,
    database: _DATABASE = None,
    profile: Annotated[list[str] | None, typer.Option(help=say("Chỉ các cỡ này, như `100KBx3`; lặp lại được.", "Only these, such as `100KBx3`; may be repeated."))] = None,
    hubs: Annotated[list[int] | None, typer.Option(help=say("Số tiến trình hub; lặp lại được.", "Hub processes; may be repeated."), min=1, max=16)] = None,
    scale: Annotated[float, typer.Option(help=say("Nhân số văn bản.", "Multiplies the number of documents."), min=0.01, max=100)] = 1.0,
    latency: Annotated[bool, typer.Option(help=say("Đo cả thời gian ở tải 10% và 80%.", "Measure times at 10% and 80% load, too."))] = True,
    directory: _FOLDER = None,
    output: _OUTPUT = None,
    as_json: _JSON = False,
) -> None:  # fmt: skip
    """
    Whole way, floor and latency; takes some minutes. Nothing else should run on the machine.

    Raises:
        SettingsError: the servers cannot be used.
    """
    if context.invoked_subcommand is not None:
        return
    from axis.bench.run import run_bench
    from axis.bench.town import Servers

    with _folder(directory) as home:
        plan = _plan(
            Servers(home=home, broker_url=broker, management_url=management, database_url=database),
            profiles=profile,
            hubs=hubs,
            scale=scale,
            with_latency=latency,
        )
        _measure(lambda say: run_bench(plan, say=say), output=output, as_json=as_json)


def backlog(
    *,
    broker: _BROKER = None,
    management: _MANAGEMENT = None,
    database: _DATABASE = None,
    waiting: Annotated[int, typer.Option("--waiting", min=10, max=10_000_000, help=say("Số văn bản chờ điểm kết nối quay lại.", "Documents that wait for the station that comes back."))] = 10_000,
    others: Annotated[int, typer.Option("--others", min=50, max=10_000_000, help=say("Số văn bản chờ các điểm kết nối vắng khác.", "Documents that wait for other stations that are away."))] = 100_000,
    documents: Annotated[int, typer.Option("--documents", min=20, max=1_000_000, help=say("Số văn bản mỗi lần đo.", "Documents of each measurement."))] = 600,
    directory: _FOLDER = None,
    output: _OUTPUT = None,
    as_json: _JSON = False,
) -> None:  # fmt: skip
    """What waits for stations that are away, beside those that are there; and a station that comes back."""
    from axis.bench.backlog import Plan, bench_backlog
    from axis.bench.town import Servers

    with _folder(directory) as home:
        servers = Servers(home=home, broker_url=broker, management_url=management, database_url=database)
        plan = Plan(servers=servers, waiting=waiting, others=others, documents=documents)
        _measure(lambda say: bench_backlog(plan, say=say), output=output, as_json=as_json)


def replay(
    *,
    broker: _BROKER = None,
    management: _MANAGEMENT = None,
    database: _DATABASE = None,
    items: Annotated[int, typer.Option("--items", min=50, max=MOST_PLANNED, help=say("Số lượt chuyển đã lỗi.", "Failed deliveries."))] = 100_000,
    directory: _FOLDER = None,
    output: _OUTPUT = None,
    as_json: _JSON = False,
) -> None:  # fmt: skip
    """Failed deliveries planned and sent round again."""
    from axis.bench.replay import bench_replay
    from axis.bench.town import Servers

    with _folder(directory) as home:
        servers = Servers(home=home, broker_url=broker, management_url=management, database_url=database)
        _measure(lambda say: bench_replay(servers, items=items, say=say), output=output, as_json=as_json)


def _measure(
    work: Callable[[Callable[[str], None]], Coroutine[Any, Any, dict[str, Any]]],
    *,
    output: Path | None,
    as_json: bool,
) -> None:
    import uvloop

    from axis.logs import configure_logs

    configure_logs(form=LogFormat.AUTO, level=LogLevel.WARNING)
    with err.status("") as status, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(work(status.update))
    if output is not None:
        output.write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n")
    if as_json:
        print_json(result)
    else:
        _show(result["results"])


def _show(results: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        {
            "measured": one["name"],
            "what": f"{one['profile']} x {one['fanout']}",
            "load": one["load"] if one["hubs"] == 1 else f"{one['load']}, {one['hubs']} hubs",
            "per_s": _short(one["documents_per_s"]),
            "cpu": _short(one["cpu_ms_per_document"]),
            "p50": _short(one["p50_ms"]),
            "p99": _short(one["p99_ms"]),
            "of_hop": one["ratio_to_hop"],
        }
        for one in results
    ]
    print_rows(rows, form=Format.TABLE, columns=_COLUMNS)
    tell(say("CPU: mili giây cho một văn bản, mọi tiến trình cộng lại. p50, p99: mili giây từ lúc nộp đến khi có trong tay nơi nhận.",
             "CPU: milliseconds a document, every process added up. p50, p99: milliseconds from handing in to a receiver's hands."))  # fmt: skip
    for one in results:
        if one["note"]:
            tell(f"{one['profile']} x {one['fanout']}, {one['load']}: {one['note']}")


def _short(value: float | None) -> float | None:
    """No digits that a measurement does not have."""
    return None if value is None else round(value) if value >= 100 else round(value, 1)


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
