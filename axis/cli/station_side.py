"""
`axis send`, `receive`, `ack`, `answer`: the station's side, for trying a connection and for simple scripts.

The axis's address is `--station URL` or AXIS_STATION_URL; the key comes from AXIS_STATION_KEY (or a file named by
AXIS_STATION_KEY_FILE), never from the command line, where every user of the machine could read it.
"""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from axis.cli.run import settings
from axis.core.errors import SettingsError
from axis.settings import Settings
from axis.speech import complain, err, lang, print_json, say, tell

_T = TypeVar("_T")
_URL = Annotated[str | None, typer.Option("--station", metavar="URL", help=say("Địa chỉ Trục: https:// hoặc amqps://.", "Address of the axis: https:// or amqps://."))]  # fmt: skip
_STATE = Annotated[Path | None, typer.Option("--state", metavar="DIR", help=say("Thư mục ghi nhớ giữa các lần chạy.", "Folder of what is remembered between runs."))]  # fmt: skip
_JSON = Annotated[bool, typer.Option("--json", help=say("In một tài liệu JSON.", "Print one JSON document."))]


def add_to(app: typer.Typer) -> None:
    """Put the commands into the application."""
    app.command(help=say("Gửi các gói tin edXML.", "Send edXML messages."))(send)
    app.command(help=say("Nhận văn bản về một thư mục.", "Receive documents into a folder."))(receive)
    app.command(
        help=say(
            "Báo đã nhận hoặc không nhận được một lượt chuyển.",
            "Acknowledge deliveries, or say that they failed.",
        )
    )(ack)
    app.command(
        help=say("Trả lời một văn bản đã nhận bằng trạng thái.", "Answer a received document with a status.")
    )(answer)
    adapter = typer.Typer(
        no_args_is_help=True,
        help=say("Chạy phía cơ quan của một kết nối.", "Run the agency's side of a connection."),
    )
    adapter.command(
        "folder",
        help=say(
            "Thả tệp vào thư mục để gửi, nhận tệp ở thư mục khác.",
            "Drop files into a folder to send them, find received ones in another.",
        ),
    )(adapter_folder)
    adapter.command(
        "webhook",
        help=say(
            "Đẩy văn bản nhận được tới một địa chỉ HTTP của phần mềm.",
            "Push received documents to an HTTP address of the DMS.",
        ),
    )(adapter_webhook)
    adapter.command(
        "vxp",
        help=say(
            "Cổng cho phần mềm dùng giao diện VXP cũ.",
            "The gateway for software that speaks the old VXP interface.",
        ),
    )(adapter_vxp)
    app.add_typer(adapter, name="adapter")


def send(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", show_default=False)],
    url: _URL = None,
    as_json: _JSON = False,
) -> None:
    from axis.core.exchange import answer_json

    async def run(station: Any) -> list[Any]:
        return [await station.submit(one) for one in files]

    answers = _with_station(url, None, run)
    if as_json:
        print_json([answer_json(one) for one in answers])
    else:
        for file, one in zip(files, answers, strict=True):
            tell(f"{file.name}: {say(one.headline_vi, one.headline_en)}", style="bold")
            for cause in one.causes:
                tell(f"  {cause.code.value}: {say(cause.reason.next_vi, cause.reason.next_en)}")
                for detail in cause.details:
                    tell(f"    {detail.path}: {say(detail.vi, detail.en)}")
    sys.exit(0 if all(one.state.value in {"accepted", "duplicate", "held"} for one in answers) else 1)


def receive(
    into: Annotated[Path, typer.Option("--into", metavar="DIR", help=say("Thư mục để lưu văn bản.", "Folder to put them into."), show_default=False)],
    wait: Annotated[float, typer.Option("--wait", help=say("Số giây chờ khi không còn gì; 0: không dừng.", "Seconds to wait when nothing is left; 0: for ever."))] = 2.0,
    url: _URL = None,
    state: _STATE = None,
    as_json: _JSON = False,
) -> None:  # fmt: skip
    rows: list[dict[str, Any]] = []
    into.mkdir(parents=True, exist_ok=True)

    async def run(station: Any) -> None:
        async with station.receive() as inbox:
            while True:
                try:
                    async with asyncio.timeout(wait or None):
                        document = await anext(inbox)
                except TimeoutError:
                    return
                row = await _keep(document, into)
                # Only now is it ours: file and description are on the disk.
                await document.done()
                rows.append(row)
                if not as_json:
                    tell(f"{row['file']}  {row['tier']}  {row['value']}")

    _with_station(url, state, run)
    if as_json:
        print_json(rows)
    else:
        err.print(say(f"Đã nhận {len(rows)}.", f"{len(rows)} received."))


async def _keep(document: Any, into: Path) -> dict[str, Any]:
    path = into / f"{document.key}.edxml"
    await document.save(path)
    row = {
        "file": path.name,
        "document": document.key,
        "kind": document.kind.value,
        "digest": document.digest,
        "tier": document.tier.value,
        "value": document.value.value,
        "deliveries": [{"delivery": one.delivery, "code": one.code} for one in document.deliveries],
        "warnings": [
            {"code": one.code, "path": one.path, "text": say(one.vi, one.en)} for one in document.warnings
        ],
    }
    path.with_suffix(".json").write_text(json.dumps(row, ensure_ascii=False, indent=2), encoding="utf-8")
    return row


def ack(
    deliveries: Annotated[list[str], typer.Argument(metavar="DELIVERY…", show_default=False)],
    fail: Annotated[str | None, typer.Option("--fail", metavar="WHY", help=say("Báo không nhận được, kèm lý do.", "Say that it failed, and why."))] = None,
    url: _URL = None,
) -> None:  # fmt: skip
    from axis.core.exchange import Ack, Outcome
    from axis.core.model import DeliveryId

    outcome = Outcome.DONE if fail is None else Outcome.FAIL
    acks = tuple(Ack(delivery=DeliveryId(one), outcome=outcome, reason=fail or "") for one in deliveries)

    async def run(station: Any) -> None:
        await station.say(acks)

    _with_station(url, None, run)


def answer(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=say("Văn bản đã nhận (.edxml).", "The received document (.edxml)."), show_default=False)],
    status: Annotated[str, typer.Option("--status", metavar="CODE", help="01 02 03 04 05 06 13 15 16", show_default=False)],
    organ: Annotated[str | None, typer.Option("--organ", metavar="CODE", help=say("Đơn vị nhận trả lời.", "Which receiver answers."))] = None,
    words: Annotated[str, typer.Option("--description", help=say("Nội dung, lý do.", "Words, a reason."))] = "",
    url: _URL = None,
    as_json: _JSON = False,
) -> None:  # fmt: skip
    from axis.bootstrap.system import SystemClock
    from axis.core.exchange import answer_json
    from axis.edxml.message import Edoc, Party, ResponseFor, Status, WrittenTime
    from axis.edxml.reader import Unreadable, read_package

    try:
        message = read_package(file.read_bytes()).message
    except (OSError, Unreadable) as problem:
        complain(f"{file}: {problem}")
        sys.exit(2)
    if not isinstance(message, Edoc):
        complain(say("Đây là một trạng thái, không trả lời được.", "That is a status; it is not answered."))
        sys.exit(2)
    codes = [one.organ_id for one in message.receivers]
    who = organ or (codes[0] if len(codes) == 1 else None)
    if who is None:
        complain(
            say("Văn bản gửi nhiều đơn vị: chọn --organ.", "It went to several organs: choose --organ."),
            then=", ".join(codes),
        )
        sys.exit(2)
    reply = Status(
        sender=next((one for one in message.receivers if one.organ_id == who), Party(organ_id=who)),
        response_for=ResponseFor(
            organ_id=message.sender.organ_id,
            code=message.code.written,
            promulgation_date=message.promulgation.date,
            document_id=message.document_id,
        ),
        staff=None,
        status_code=status.zfill(2),
        description=words,
        timestamp=WrittenTime.of(SystemClock().now()),
    )

    async def run(station: Any) -> Any:
        return await station.send_status(reply)

    found = _with_station(url, None, run)
    if as_json:
        print_json(answer_json(found))
    else:
        tell(say(found.headline_vi, found.headline_en))
    sys.exit(0 if found.state.value in {"accepted", "duplicate", "held"} else 1)


def adapter_folder(
    root: Annotated[Path, typer.Argument(metavar="DIR", show_default=False)],
    url: _URL = None,
    state: _STATE = None,
) -> None:
    from adapters.folder import Folder
    from axis.bootstrap.system import SystemClock, SystemIds

    async def run(station: Any) -> None:
        await Folder(station, root, clock=SystemClock(), ids=SystemIds()).run(_until_told())

    _with_station(url, state or root / ".state", run)


def adapter_webhook(
    to: Annotated[str, typer.Argument(metavar="URL", help=say("Địa chỉ của phần mềm.", "Address of the DMS."), show_default=False)],
    secret_file: Annotated[Path, typer.Option("--secret-file", metavar="FILE", help=say("Tệp chứa khóa HMAC chung.", "File with the shared HMAC secret."), show_default=False)],
    url: _URL = None,
    state: _STATE = None,
) -> None:  # fmt: skip
    from adapters.webhook import Webhook
    from axis.bootstrap.system import SystemClock

    try:
        secret = secret_file.read_bytes().strip()
    except OSError as problem:
        complain(f"{secret_file}: {problem.strerror}")
        sys.exit(2)

    async def run(station: Any) -> None:
        await Webhook(station, to, secret=secret, clock=SystemClock()).run(_until_told())

    _with_station(url, state, run)


def adapter_vxp(
    accounts: Annotated[Path | None, typer.Argument(metavar="FILE", help=say("Tệp TOML liệt kê các hệ thống (docs/vxp.md); không có: các hệ thống trong nhật ký, cổng tập trung.", "TOML file with the systems (docs/vxp.md); without it: those of the ledger, as a central gateway."), show_default=False)] = None,
    host: Annotated[str, typer.Option("--host", help=say("Địa chỉ lắng nghe.", "Address to listen on."))] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help=say("Cổng; 0: cổng trống bất kỳ.", "Port; 0: any free one."))] = 8081,
    cert: Annotated[Path | None, typer.Option("--cert", metavar="PEM", help=say("Chứng thư HTTPS; cần có khi lắng nghe ra ngoài máy này.", "HTTPS certificate; needed beyond this machine."), show_default=False)] = None,
    key: Annotated[Path | None, typer.Option("--key", metavar="PEM", help=say("Khóa của chứng thư.", "Key of the certificate."), show_default=False)] = None,
    url: _URL = None,
) -> None:  # fmt: skip
    from adapters.errors import StationError
    from adapters.vxp import Gateway
    from adapters.vxp_accounts import Accounts, ListedAccounts
    from adapters.vxp_copy import CopiedAgencies
    from adapters.vxp_server import serve
    from axis.bootstrap.parts import open_axis
    from axis.bootstrap.system import SystemClock, SystemIds
    from axis.vxp import DirectoryAgencies, LedgerAccounts, read_accounts

    found = settings()
    address = url or (found.station_url.reveal() if found.station_url is not None else None)
    if address is None or not address.startswith("http"):
        raise SettingsError(
            (
                say(
                    "AXIS_STATION_URL: cần địa chỉ HTTP của Trục",
                    "AXIS_STATION_URL: the axis's HTTP address is required",
                ),
            )
        )
    tls = None
    if cert is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(cert, key)

    gateway_key = found.station_key
    if accounts is None and gateway_key is None:
        raise SettingsError(
            (
                say(
                    "AXIS_STATION_KEY: cần có: khóa của cổng tập trung (axis station add … --acts-for)",
                    "AXIS_STATION_KEY: required: the central gateway's key (axis station add … --acts-for)",
                ),
            )
        )

    async def run() -> None:
        async with AsyncExitStack() as stack:
            # Beside an agency there is no ledger: what needs the directory says so then.
            axis = None
            if accounts is None or found.is_postgresql or found.home.is_dir():
                axis = await stack.enter_async_context(open_axis(found))
            if accounts is not None:
                systems: Accounts = ListedAccounts(read_accounts(accounts, url=address, tls=_roots(found)))
            else:
                assert axis is not None and gateway_key is not None  # noqa: PT018 - both were just made sure of
                systems = LedgerAccounts(axis, url=address, key=gateway_key.reveal(), tls=_roots(found))
            gateway = Gateway(
                systems,
                agencies=DirectoryAgencies(axis) if axis is not None else CopiedAgencies(clock=SystemClock()),
                clock=SystemClock(),
                ids=SystemIds(),
            )
            await serve(
                gateway,
                host=host,
                port=port,
                stop=_until_told(),
                tls=tls,
                ready=lambda where: err.print(
                    say(
                        f"Cổng VXP tại {where}/XrdAdapter/adapter",
                        f"VXP gateway at {where}/XrdAdapter/adapter",
                    ),
                    highlight=False,
                ),
            )

    try:
        asyncio.run(run())
    except StationError as problem:
        complain(str(problem))
        sys.exit(1)


def _roots(found: Settings) -> ssl.SSLContext | None:
    """What the axis's certificate must lead to; None: the machine's own roots."""
    if found.station_ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(found.station_ca))
    except OSError as problem:
        raise SettingsError((f"AXIS_STATION_CA: {found.station_ca}: {problem}",)) from problem


def _until_told() -> asyncio.Event:
    """Set by SIGTERM and SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _with_station(url: str | None, state: Path | None, act: Callable[[Any], Awaitable[_T]]) -> _T:
    from adapters.errors import StationError
    from adapters.station import Credentials, Station
    from axis.core.model import StationId

    found = settings()
    address = url or (found.station_url.reveal() if found.station_url is not None else None)
    problems = []
    if address is None:
        problems.append(
            say(
                "AXIS_STATION_URL: cần có, hoặc --station URL", "AXIS_STATION_URL: required, or --station URL"
            )
        )
    if found.station_key is None:
        problems.append(say("AXIS_STATION_KEY: cần có", "AXIS_STATION_KEY: required"))
    if problems:
        raise SettingsError(tuple(problems))
    assert address is not None and found.station_key is not None  # noqa: PT018 - both were just checked
    key = found.station_key.reveal()
    secret = found.station_secret
    credentials = Credentials(
        station=StationId(key.partition(".")[0]),
        key=key,
        queue_secret=secret.reveal() if secret is not None else None,
    )

    async def run() -> _T:
        async with Station(address, credentials, state=state, tls=_roots(found)) as station:
            return await act(station)

    try:
        return asyncio.run(run())
    except StationError as problem:
        complain(str(problem) if lang() == "en" else getattr(problem, "vi", "") or str(problem))
        sys.exit(1)
