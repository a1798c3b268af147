"""
`axis organ register`, `axis organ changes`, `axis station set`: who is connected and how, what changed since a version,
and the settings of one station.
"""

from __future__ import annotations

import asyncio
import getpass
from typing import Annotated, Any

import typer

from axis.bootstrap.broker import open_accounts
from axis.bootstrap.parts import open_axis
from axis.bootstrap.system import SystemClock
from axis.cli.run import settings
from axis.core.directory import Readiness
from axis.core.model import Actor, Channel, SignaturePolicy, StationId
from axis.core.register import Register, Registered, register_of
from axis.edxml.message import PriorityScale
from axis.ledger.organ_changes import OrganChanges, organs_since
from axis.speech import Format, err, print_json, print_rows, say, tell

_JSON = Annotated[bool, typer.Option("--json", help=say("In một tài liệu JSON.", "Print one JSON document."))]
_READY = {
    Readiness.NOT_CONNECTED: ("chưa kết nối", "not connected"),
    Readiness.RECEIVE_ONLY: ("chỉ nhận", "receive only"),
    Readiness.FULL: ("gửi và nhận", "full"),
}


def add_to(organ: typer.Typer, station: typer.Typer) -> None:
    """Put the commands into the groups `axis organ` and `axis station`."""
    organ.command("register", help=say("Sổ các cơ quan cấp 1: ai đã kết nối, trực tiếp hay qua nền tảng, tới cấp nào.",
                                       "Level 1: who is connected, directly or through a platform, how deep."))(organ_register)  # fmt: skip
    organ.command("changes", help=say("Các cơ quan thay đổi sau một phiên bản của danh mục.",
                                      "Organs that changed since a version of the directory."))(organ_changes)  # fmt: skip
    station.command(
        "set", help=say("Đổi cấu hình của một điểm kết nối.", "Change the settings of a station.")
    )(station_set)


def organ_register(as_json: _JSON = False) -> None:
    async def run() -> Register:
        async with open_axis(settings()) as axis:
            return register_of(await axis.directories.current(), at=SystemClock().now())

    register = asyncio.run(run())
    summary = {
        "organs": len(register.rows),
        "connected": register.connected,
        "through_platforms": register.through_platforms,
        "direct": register.direct,
        "signature_ready": sum(row.signature_ready for row in register.rows),
    }
    if as_json:
        print_json({**summary, "rows": [_row(one) for one in register.rows]})
        return
    print_rows(
        [{**_row(one), "readiness": say(*_READY[one.readiness])} for one in register.rows],
        form=Format.TABLE,
        columns={
            "shown": say("Mã định danh", "Code"),
            "name": say("Tên", "Name"),
            "readiness": say("Sẵn sàng", "Readiness"),
            "way": say("Kết nối", "Way"),
            "station": say("Điểm kết nối", "Station"),
            "levels": say("Số cấp", "Levels"),
            "organs": say("Đơn vị", "Organs"),
            "signature_ready": say("Ký số", "Signature"),
        },
    )
    tell(
        say(
            f"{register.connected}/{len(register.rows)}, {register.through_platforms} qua nền tảng, {register.direct} trực tiếp",
            f"{register.connected}/{len(register.rows)}, {register.through_platforms} through platforms, {register.direct} direct",
        )
    )


def _row(one: Registered) -> dict[str, Any]:
    way = None
    if one.readiness is not Readiness.NOT_CONNECTED:
        way = say("nền tảng", "platform") if one.through_platform else say("trực tiếp", "direct")
    return {
        "code": one.organ.code,
        "shown": one.organ.shown_code,
        "name": one.organ.name,
        "confidence": one.organ.confidence,
        "readiness": one.readiness.value,
        "way": way,
        "through_platform": one.through_platform,
        "station": one.station.id if one.station is not None else None,
        "levels": one.levels,
        "organs": one.organs,
        "signature_ready": one.signature_ready,
    }


def organ_changes(
    since: Annotated[int, typer.Option("--since", min=0, metavar="VERSION", help=say("Phiên bản đã có; 0: tất cả.", "The version one has; 0: all."))] = 0,
    as_json: _JSON = False,
) -> None:  # fmt: skip
    async def run() -> OrganChanges:
        async with open_axis(settings()) as axis:
            return await organs_since(axis.ledger, since)

    found = asyncio.run(run())
    if as_json:
        print_json({"version": found.version, "organs": list(found.rows)})
        return
    print_rows(
        found.rows,
        form=Format.TABLE,
        columns={
            "version": say("Phiên bản", "Version"),
            "code": say("Mã định danh", "Code"),
            "name": say("Tên", "Name"),
            "valid_to": say("Đến", "To"),
        },
    )
    err.print(say(f"Phiên bản {found.version}.", f"Version {found.version}."))


def station_set(
    station: Annotated[str, typer.Argument(metavar="STATION", show_default=False)],
    name: Annotated[str | None, typer.Option("--name", help=say("Tên để hiển thị.", "Name to show."))] = None,
    channel: Annotated[Channel | None, typer.Option("--channel", help=say("Cách nhận văn bản.", "How it takes its documents."))] = None,
    signature: Annotated[SignaturePolicy | None, typer.Option("--signature", help="required | labelled")] = None,
    priority_scale: Annotated[PriorityScale | None, typer.Option("--priority-scale", help=say("0-4, hoặc 1-5 với 5 = thường.", "0-4, or 1-5 with 5 = normal."))] = None,
    platform: Annotated[bool | None, typer.Option("--platform/--direct", help=say("Nền tảng dùng chung, hay hệ thống của một cơ quan.", "A shared platform, or one organ's own system."))] = None,
    refuses_unpassed: Annotated[bool | None, typer.Option("--only-signed/--any", help=say("Chỉ nhận gói tin có chữ ký được xác minh.", "Takes only what has a verified signature."))] = None,
    who: Annotated[str | None, typer.Option("--as", metavar="PERSON", help=say("Người thực hiện; mặc định: tên đăng nhập.", "Who acts; default: the login name."))] = None,
    reason: Annotated[str, typer.Option("--reason", help=say("Vì sao; được ghi vào nhật ký.", "Why; goes into the ledger."))] = "",
) -> None:  # fmt: skip
    by = Actor(person=who or getpass.getuser(), reason=reason or None)

    async def run() -> None:
        found = settings()
        async with open_axis(found, may_create=True) as axis, open_accounts(found) as accounts:
            await axis.acts(accounts=accounts).set_station(
                StationId(station),
                by=by,
                name=name,
                channel=channel,
                policy=signature,
                priority_scale=priority_scale,
                is_platform=platform,
                refuses_unpassed=refuses_unpassed,
            )

    asyncio.run(run())
    err.print(say(f"Đã đổi {station}.", f"{station} is changed."))
