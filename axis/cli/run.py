"""
`axis up`, `hub`, `web`, `demo`, `doctor`, `config`, `broker`: run an axis and look after what it runs on.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer
from rich.markup import escape

from axis.settings import SETTINGS, LogLevel, Settings, read_settings, show_settings
from axis.speech import Format, err, lang, out, print_json, print_rows, say, tell

_JSON = Annotated[bool, typer.Option("--json", help=say("In một tài liệu JSON.", "Print one JSON document."))]


def add_to(app: typer.Typer) -> None:
    """Put the commands into the application."""
    app.command(help=say("Chạy một Trục trong một tiến trình: SQLite, không cần gì ngoài Python.",
                         "Run an axis in one process: SQLite, nothing but Python."))(up)  # fmt: skip
    app.command(help=say("Chạy một trung tâm xử lý (RabbitMQ, PostgreSQL); chạy được nhiều.",
                         "Run a hub (RabbitMQ, PostgreSQL); any number may run."))(hub)  # fmt: skip
    app.command(help=say("Chạy giao diện HTTP bên cạnh các trung tâm; chạy được nhiều.",
                         "Run the HTTP interface beside hubs; any number may run."))(web)  # fmt: skip
    app.command(help=say("Trình diễn: gửi, nhận, từ chối, chuyển lại, đối soát.",
                         "Demonstration: send, receive, refuse, replay, reconcile."))(demo)  # fmt: skip
    app.command(help=say("Kiểm tra mọi thứ Trục cần, và phải làm gì nếu thiếu.",
                         "Check everything the axis needs, and what to do where it is missing."))(doctor)  # fmt: skip
    app.command(help=say("In mọi cài đặt; bí mật được che.", "Print every setting; secrets are hidden."))(
        config
    )
    broker = typer.Typer(
        no_args_is_help=True, help=say("Cấu trúc hàng đợi RabbitMQ.", "The topology of RabbitMQ.")
    )
    broker.command("plan", help=say("So cấu trúc trên RabbitMQ với cấu trúc của phiên bản này.",
                                    "Compare the broker's topology with this version's."))(broker_plan)  # fmt: skip
    broker.command("apply", help=say("Chuyển RabbitMQ sang cấu trúc của phiên bản này, không mất thông điệp.",
                                     "Bring the broker to this version's topology without losing a message."))(broker_apply)  # fmt: skip
    app.add_typer(broker, name="broker")


def settings(*, is_service: bool = False) -> Settings:
    """
    The settings of this process. From here on its log goes to standard error: a service says what it does, a command
    only what is unusual, unless AXIS_LOG_LEVEL asks for more.

    Raises:
        SettingsError: with every problem listed.
    """
    from axis.logs import configure_logs

    found = read_settings(os.environ)
    wants_all = is_service or "AXIS_LOG_LEVEL" in found.given
    configure_logs(form=found.log_format, level=found.log_level if wants_all else LogLevel.WARNING)
    return found


def _start(part: _Part) -> None:
    import uvloop

    found = settings(is_service=True)

    async def run() -> None:
        await part(found, stop=asyncio.Event(), ready=_ready)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(run())
        except* KeyboardInterrupt:
            sys.exit(130)


def _ready(where: str) -> None:
    if where.endswith("/XrdAdapter/adapter"):
        err.print(say(f"Cổng VXP tại {where}.", f"VXP gateway at {where}."), highlight=False)
    elif where.startswith("http"):
        err.print(
            say(f"Trục đang chạy tại {where}. Ctrl-C để dừng.", f"The axis runs at {where}. Ctrl-C stops it.")
        )
    else:
        err.print(say("Trung tâm xử lý đang chạy. Ctrl-C để dừng.", "The hub is running. Ctrl-C stops it."))


class _Part(Protocol):
    def __call__(
        self, settings: Settings, *, stop: asyncio.Event, ready: Callable[[str], None] | None
    ) -> Awaitable[None]: ...


def up() -> None:
    from axis import worker

    _start(worker.up)


def hub() -> None:
    from axis import worker

    _start(worker.hub)


def web() -> None:
    from axis import worker

    _start(worker.web)


def demo(
    documents: Annotated[int, typer.Option("--documents", min=5, max=100_000, help=say("Số văn bản.", "Documents."))] = 60,
    stations: Annotated[int, typer.Option("--stations", min=4, max=95, help=say("Số điểm kết nối.", "Stations."))] = 95,
    broker: Annotated[str | None, typer.Option("--broker", metavar="URL", help=say("Chạy trên RabbitMQ này.", "Run on this RabbitMQ."))] = None,
    management: Annotated[str | None, typer.Option("--management", metavar="URL", help=say("Giao diện quản trị của nó; mặc định: cổng 15672.", "Its management interface; default: port 15672."))] = None,
    database: Annotated[str | None, typer.Option("--database", metavar="URL", help=say("Chạy trên PostgreSQL này.", "Run on this PostgreSQL."))] = None,
    folder: Annotated[Path | None, typer.Option("--dir", metavar="D", help=say("Để lại trạng thái ở đây, dùng tiếp với AXIS_HOME=D.", "Leave the state here, for use with AXIS_HOME=D."))] = None,
    as_json: _JSON = False,
) -> None:  # fmt: skip
    from axis.demo.run import Plan, demonstrate

    plan = Plan(
        documents=documents,
        stations=stations,
        broker_url=broker,
        management_url=management,
        database_url=database,
        folder=folder,
    )
    sys.exit(demonstrate(plan, as_json=as_json))


def doctor(as_json: _JSON = False) -> None:
    from axis.checkup import examine

    findings = asyncio.run(examine(settings()))
    if as_json:
        print_json([one.as_json() for one in findings])
    else:
        for one in findings:
            mark = "[green]✓[/]" if one.good else ("[yellow]![/]" if one.harmless else "[red]✗[/]")
            out.print(f"{mark} {escape(one.what(lang()))}", highlight=False)
            if not one.good:
                tell(f"    → {one.remedy(lang())}")
    sys.exit(0 if all(one.good or one.harmless for one in findings) else 1)


def config(as_json: _JSON = False) -> None:
    texts = {one.name: say(one.said.vi, one.said.en) for one in SETTINGS}
    rows = [
        {"name": one.name, "value": one.value, "is_default": one.is_default, "text": texts[one.name]}
        for one in show_settings(settings())
    ]
    if as_json:
        print_json(rows)
        return
    columns = {
        "name": say("Cài đặt", "Setting"),
        "value": say("Giá trị", "Value"),
        "text": say("Ý nghĩa", "Meaning"),
    }
    print_rows(rows, form=Format.TABLE, columns=columns)


def broker_plan(as_json: _JSON = False) -> None:
    from axis.bootstrap.broker import plan_topology

    differences = asyncio.run(plan_topology(settings(), say=say))
    _show_differences(differences, as_json=as_json)
    sys.exit(1 if differences else 0)


def broker_apply(as_json: _JSON = False) -> None:
    from axis.bootstrap.broker import apply_topology

    done = asyncio.run(
        apply_topology(settings(), progress=lambda line: err.print(line, highlight=False), say=say)
    )
    _show_differences(done, as_json=as_json)


def _show_differences(differences: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(differences)
        return
    print_rows(
        differences,
        form=Format.TABLE,
        columns={
            "name": say("Tên", "Name"),
            "what": say("Khác biệt", "Difference"),
            "step": say("Việc làm", "Step"),
        },
        empty=say("Cấu trúc đã đúng.", "The topology is as it should be."),
    )
