"""
`axis organ`, `axis station`, `axis secrecy`: who is who, who may speak for whom, and what people change about it.

Every change needs a person (`--as`, else the login name) and a reason (`--reason`), and is an event in the ledger.
"""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from axis.cli import readiness
from axis.cli.run import settings
from axis.core.directory import Directory, Organ, Station, View
from axis.core.errors import NotFound
from axis.core.model import Actor, Channel, Digest, SignaturePolicy, StationId, iso
from axis.core.organ_search import OrganIndex
from axis.core.register import readiness_of
from axis.speech import Format, complain, err, print_json, print_rows, say, tell

_T = TypeVar("_T")
_JSON = Annotated[bool, typer.Option("--json", help=say("In một tài liệu JSON.", "Print one JSON document."))]
_AS = Annotated[str | None, typer.Option("--as", metavar="PERSON", help=say("Người thực hiện; mặc định: tên đăng nhập.", "Who acts; default: the login name."))]  # fmt: skip
_REASON = Annotated[
    str, typer.Option("--reason", help=say("Vì sao; được ghi vào nhật ký.", "Why; goes into the ledger."))
]
_STATION = Annotated[str, typer.Argument(metavar="STATION", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Put the commands into the application."""
    organ = typer.Typer(
        no_args_is_help=True, help=say("Danh mục cơ quan, đơn vị.", "The directory of organs.")
    )
    organ.command("import", help=say("Nạp danh mục (CSV, JSON); --dry-run chỉ liệt kê lỗi.",
                                     "Import a list (CSV, JSON); --dry-run only lists defects."))(organ_import)  # fmt: skip
    organ.command(
        "show",
        help=say("Một cơ quan, các mã và điểm kết nối của nó.", "One organ, its codes and its station."),
    )(organ_show)
    organ.command(
        "search", help=say("Tìm theo tên, có dấu hoặc không dấu.", "Search by name, with or without marks.")
    )(organ_search)
    app.add_typer(organ, name="organ")

    station = typer.Typer(no_args_is_help=True, help=say("Các điểm kết nối.", "The connected systems."))
    station.command("add", help=say("Thêm một điểm kết nối; khóa được in ra đúng một lần.",
                                    "Add a station; its key is printed once."))(station_add)  # fmt: skip
    station.command("list", help=say("Danh sách.", "The list."))(station_list)
    station.command("show", help=say("Một điểm kết nối.", "One station."))(station_show)
    station.command("suspend", help=say("Tạm dừng.", "Suspend."))(station_suspend)
    station.command("resume", help=say("Mở lại.", "Resume."))(station_resume)
    station.command(
        "rotate", help=say("Cấp khóa mới; khóa cũ hết giá trị.", "A new key; the old one is void.")
    )(station_rotate)
    cert = typer.Typer(
        no_args_is_help=True, help=say("Chứng thư gắn với cơ quan.", "Certificates bound to organs.")
    )
    cert.command("add", help=say("Gắn chứng thư với cơ quan; từ đó cơ quan phải ký.",
                                 "Bind a certificate to an organ; it must sign from then on."))(cert_add)  # fmt: skip
    cert.command("list", help=say("Các chứng thư đã gắn.", "Bound certificates."))(cert_list)
    cert.command("revoke", help=say("Bỏ gắn một chứng thư.", "Unbind a certificate."))(cert_revoke)
    station.add_typer(cert, name="cert")
    station.command("acts-for", help=say("Các điểm kết nối mà một cổng tập trung được thay mặt.",
                                         "Stations a central gateway may act for."))(station_acts_for)  # fmt: skip
    vxp = typer.Typer(
        no_args_is_help=True,
        help=say("Hệ thống dùng giao tiếp VXP.", "Systems that speak the VXP interface."),
    )
    vxp.command("add", help=say("Thêm một hệ thống; systemid và khóa bí mật được in ra đúng một lần.",
                                "Add a system; its systemid and secret are printed once."))(vxp_add)  # fmt: skip
    vxp.command("list", help=say("Danh sách.", "The list."))(vxp_list)
    vxp.command("rotate", help=say("Cấp khóa bí mật mới; khóa cũ hết giá trị.",
                                   "A new secret; the old one is void."))(vxp_rotate)  # fmt: skip
    vxp.command(
        "view", help=say("Đổi cách hệ thống nhận gói tin.", "How the system is given what it receives.")
    )(vxp_view)
    vxp.command("rekey", help=say("Thay khóa niêm phong các khóa bí mật (secrets.key); khóa bí mật của các hệ thống giữ nguyên.",
                                  "Change the key that seals the secrets (secrets.key); the systems' secrets stay."))(vxp_rekey)  # fmt: skip
    vxp.command("close", help=say("Không cho hệ thống vào nữa.", "Let the system in no more."))(vxp_close)
    vxp.command("open", help=say("Cho hệ thống vào lại.", "Let the system in again."))(vxp_open)
    station.add_typer(vxp, name="vxp")
    readiness.add_to(organ, station)
    app.add_typer(station, name="station")

    secrecy = typer.Typer(
        no_args_is_help=True,
        help=say("Văn bản bị từ chối vì dấu mật.", "Documents refused for a secrecy mark."),
    )
    secrecy.command("release", help=say("Cho phép một mã băm bị nhận nhầm; cần hai người.",
                                        "Release a digest that was misread; takes two people."))(secrecy_release)  # fmt: skip
    app.add_typer(secrecy, name="secrecy")


# --- organs -------------------------------------------------------------------------------------------------------


def organ_import(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help=say("Mặc định: 95 cơ quan cấp 1, tính đến 04/02/2020.", "Default: the 95 organs of level 1 as of 4 February 2020."))] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=say("Chỉ liệt kê, không thay đổi gì.", "Only list, change nothing."))] = False,
    with_assumed: Annotated[bool, typer.Option("--with-assumed", help=say("Nạp cả mã chưa có nguồn.", "Take codes without a source, too."))] = False,
    other_codes: Annotated[bool, typer.Option("--other-codes", help=say("Nạp cả mã không thuộc dạng nào đã biết, như mã số doanh nghiệp.", "Take codes of no known form, too, such as registration numbers of enterprises."))] = False,
    partial: Annotated[bool, typer.Option("--partial", help=say("Nạp các dòng đúng dù có dòng sai.", "Take the good rows although others are wrong."))] = False,
    who: _AS = None,
    reason: _REASON = "",
    as_json: _JSON = False,
) -> None:  # fmt: skip
    from axis.data import organs_csv
    from axis.flow.organ_import import read_organs

    try:
        content = file.read_bytes() if file is not None else organs_csv()
    except OSError as problem:
        complain(f"{file}: {problem.strerror}")
        sys.exit(2)
    rows, defects = read_organs(content)

    async def act(acts: Any) -> Any:
        return await acts.import_organs(
            rows,
            by=_person(who, reason),
            defects=defects,
            dry_run=dry_run,
            partial=partial,
            with_assumed=with_assumed,
            other_forms=other_codes,
            source=file.name if file is not None else "axis.data",
        )

    report = _act(act)
    listed = [
        {"row": one.row, "kind": one.kind.value, "value": one.found, "text": say(one.vi, one.en)}
        for one in report.defects
    ]
    if as_json:
        print_json({"rows": report.rows, "added": report.added, "changed": report.changed,
                    "unchanged": report.unchanged, "version": report.version, "defects": listed})  # fmt: skip
        return
    if listed:
        print_rows(listed, form=Format.TABLE, columns={"row": say("Dòng", "Row"), "kind": say("Loại", "Kind"), "text": say("Lỗi", "Defect")})  # fmt: skip
    done = say("sẽ thêm", "would add") if dry_run else say("đã thêm", "added")
    err.print(say(f"{report.rows} dòng: {done} {report.added}, sửa {report.changed}, giữ nguyên {report.unchanged}.",
                  f"{report.rows} rows: {done} {report.added}, change {report.changed}, keep {report.unchanged}."))  # fmt: skip


def organ_show(
    code: Annotated[str, typer.Argument(metavar="CODE", show_default=False)], as_json: _JSON = False
) -> None:
    from axis.bootstrap.system import SystemClock
    from axis.edxml.organ_code import normal
    from axis.flow.nearest import nearest

    at = SystemClock().now()
    directory = _directory()
    organ = directory.by_code(normal(code), at=at)
    if organ is None:
        near = nearest(directory, normal(code))
        complain(
            say(f"Không có mã {code} trong danh mục.", f"{code} is not in the directory."),
            then=", ".join(f"{one.code} {one.name}" for one in near),
        )
        sys.exit(1)
    station = directory.station_of(organ.number, at=at)
    successor = directory.organs[organ.successor] if organ.successor is not None else None
    row = {
        **_organ_row(organ),
        "codes": sorted(one for one, numbers in directory.codes.items() if organ.number in numbers),
        "above": [one.code for one in list(directory.ancestry(organ.number))[1:]],
        "station": station.id if station is not None else None,
        "readiness": readiness_of(directory, organ.number, at=at).value,
        "valid_from": iso(organ.valid_from) if organ.valid_from else None,
        "valid_to": iso(organ.valid_to) if organ.valid_to else None,
        "successor": successor.code if successor is not None else None,
        "certificates": [
            _certificate_row(organ, one) for one in directory.certificates.get(organ.number, ())
        ],
    }
    if as_json:
        print_json(row)
    else:
        _print_facts(row)


def organ_search(
    words: Annotated[list[str], typer.Argument(metavar="TEXT", show_default=False)],
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1000, help=say("Số dòng nhiều nhất.", "Most rows."))
    ] = 20,
    as_json: _JSON = False,
) -> None:
    found = OrganIndex.of(_directory().organs.values()).search(" ".join(words), most=limit)
    print_rows(
        [_organ_row(one) for one in found],
        form=Format.JSON if as_json else Format.TABLE,
        columns={
            "shown": say("Mã định danh", "Code"),
            "name": say("Tên", "Name"),
            "kind": say("Loại", "Kind"),
        },
    )
    sys.exit(0 if found else 1)


def _organ_row(organ: Organ) -> dict[str, Any]:
    return {
        "code": organ.code,
        "shown": organ.shown_code,
        "name": organ.name,
        "kind": organ.kind,
        "confidence": organ.confidence,
    }


# --- stations -----------------------------------------------------------------------------------------------------


def station_add(
    station: _STATION,
    organs: Annotated[list[str] | None, typer.Option("--organs", metavar="CODE", help=say("Cơ quan mà điểm kết nối đại diện, kể cả các đơn vị bên dưới.", "Organs it speaks for, with all below."), show_default=False)] = None,
    name: Annotated[str, typer.Option("--name", help=say("Tên để hiển thị.", "Name to show."))] = "",
    channel: Annotated[Channel, typer.Option("--channel", help=say("Cách nhận văn bản.", "How it takes its documents."))] = Channel.AMQP,
    acts_for: Annotated[list[str] | None, typer.Option("--acts-for", metavar="STATION", help=say("Cổng tập trung: điểm kết nối mà cổng được thay mặt.", "A central gateway: a station it may act for."), show_default=False)] = None,
    signature: Annotated[SignaturePolicy, typer.Option("--signature", help=say("required: phải ký; labelled: nhận cả chưa ký, để tham khảo.", "required: must sign; labelled: unsigned travels as reference."))] = SignaturePolicy.REQUIRED,
    who: _AS = None,
    reason: _REASON = "",
    as_json: _JSON = False,
) -> None:  # fmt: skip
    from axis.flow.acts import NewStation

    if not organs and not acts_for:
        raise typer.BadParameter(
            say("cần ít nhất một cơ quan, hoặc --acts-for", "at least one organ is needed, or --acts-for"),
            param_hint="--organs",
        )
    found = settings()
    wanted = NewStation(
        id=StationId(station),
        name=name or station,
        organs=tuple(organs or ()),
        channel=channel,
        policy=signature,
        inline_bytes=found.inline_bytes,
        window=found.window,
        acts_for=frozenset(StationId(one) for one in acts_for or ()),
    )
    credential = _act(lambda acts: acts.add_station(wanted, by=_person(who, reason)))
    _hand_out(credential, as_json=as_json)


def station_list(as_json: _JSON = False) -> None:
    directory = _directory()
    print_rows(
        [_station_row(one, directory) for one in sorted(directory.stations.values(), key=lambda one: one.id)],
        form=Format.JSON if as_json else Format.TABLE,
        columns={
            "id": say("Điểm kết nối", "Station"),
            "name": say("Tên", "Name"),
            "state": say("Trạng thái", "State"),
            "channel": say("Kênh", "Channel"),
            "signature": say("Chữ ký", "Signature"),
            "organs": say("Đơn vị", "Organs"),
        },
    )


def station_show(station: _STATION, as_json: _JSON = False) -> None:
    directory = _directory()
    found = directory.stations.get(StationId(station))
    if found is None:
        raise NotFound("station", station)
    row = {
        **_station_row(found, directory),
        "organs": [
            {"code": directory.organs[one.organ].code, "name": directory.organs[one.organ].name,
             "subtree": one.subtree, "from": iso(one.valid_from), "to": iso(one.valid_to) if one.valid_to else None}
            for delegations in directory.delegations.values()
            for one in delegations
            if one.station == found.id
        ],
        "inline_bytes": found.inline_bytes,
        "window": found.window,
        "refuses_unpassed": found.refuses_unpassed,
        "acts_for": sorted(found.acts_for),
        "vxp": sorted(one.id for one in directory.systems.values() if one.station == found.id and one.is_open),
    }  # fmt: skip
    if as_json:
        print_json(row)
    else:
        _print_facts(row)


def _station_row(station: Station, directory: Directory) -> dict[str, Any]:
    organs = [one for found in directory.delegations.values() for one in found if one.station == station.id]
    return {
        "id": station.id,
        "name": station.name,
        "state": station.state.value,
        "channel": station.channel.value,
        "signature": station.policy.value,
        "organs": len(organs),
    }


def station_suspend(station: _STATION, who: _AS = None, reason: _REASON = "") -> None:
    _act(lambda acts: acts.suspend_station(StationId(station), by=_person(who, reason)))
    err.print(say(f"Đã tạm dừng {station}.", f"{station} is suspended."))


def station_resume(station: _STATION, who: _AS = None, reason: _REASON = "") -> None:
    _act(lambda acts: acts.resume_station(StationId(station), by=_person(who, reason)))
    err.print(say(f"Đã mở lại {station}.", f"{station} is active."))


def station_rotate(station: _STATION, who: _AS = None, reason: _REASON = "", as_json: _JSON = False) -> None:
    credential = _act(lambda acts: acts.rotate_station(StationId(station), by=_person(who, reason)))
    _hand_out(credential, as_json=as_json)


def _hand_out(credential: Any, *, as_json: bool) -> None:
    """The one time the key is shown; beside it where to go with it, if the axis was told."""
    address = settings().public_url
    if as_json:
        print_json(
            {
                "station": credential.station,
                "key": credential.key,
                "queue_secret": credential.queue_secret,
                "url": address,
            }
        )
        return
    if address is not None:
        tell(f"AXIS_STATION_URL={address}")
    tell(f"AXIS_STATION_KEY={credential.key}")
    tell(f"AXIS_STATION_SECRET={credential.queue_secret}")
    err.print(say("Khóa chỉ hiện một lần; Trục chỉ giữ mã băm. Hãy trao cho đơn vị theo đường an toàn.",
                  "The key is shown once; the axis keeps its hash. Hand it over by a safe way."))  # fmt: skip


def station_acts_for(
    gateway: Annotated[str, typer.Argument(metavar="GATEWAY", show_default=False)],
    stations: Annotated[list[str] | None, typer.Argument(metavar="STATION…", help=say("Toàn bộ danh sách mới; bỏ trống: không còn điểm nào.", "The whole new list; without any: none any more."), show_default=False)] = None,
    who: _AS = None,
    reason: _REASON = "",
) -> None:  # fmt: skip
    listed = frozenset(StationId(one) for one in stations or ())
    _act(lambda acts: acts.set_station(StationId(gateway), acts_for=listed, by=_person(who, reason)))
    err.print(
        say(
            f"{gateway} được thay mặt {len(listed)} điểm kết nối.",
            f"{gateway} may act for {len(listed)} stations.",
        )
    )


# --- systems of the VXP interface ---------------------------------------------------------------------------------

_SYSTEM = Annotated[str, typer.Argument(metavar="SYSTEMID", show_default=False)]


def vxp_add(
    station: _STATION,
    system: _SYSTEM,
    view: Annotated[View, typer.Option("--view", help=say("as_sent: đúng từng byte; normal: bản dẫn xuất theo thứ tự của quy chuẩn.", "as_sent: byte for byte; normal: a derived copy in the regulation's order."))] = View.AS_SENT,
    who: _AS = None,
    reason: _REASON = "",
    as_json: _JSON = False,
) -> None:  # fmt: skip
    _show_secret(
        _vxp_act(
            lambda acts: acts.add(system, station=StationId(station), view=view, by=_person(who, reason))
        ),
        as_json=as_json,
    )


def vxp_rotate(system: _SYSTEM, who: _AS = None, reason: _REASON = "", as_json: _JSON = False) -> None:
    _show_secret(_vxp_act(lambda acts: acts.rotate(system, by=_person(who, reason))), as_json=as_json)


def vxp_rekey(who: _AS = None, reason: _REASON = "", as_json: _JSON = False) -> None:
    done = _vxp_act(lambda acts: acts.rekey(by=_person(who, reason)))
    if as_json:
        print_json({"systems": list(done.systems), "lost": list(done.lost)})
    else:
        number = len(done.systems)
        err.print(say(f"Đã niêm phong lại {number} khóa bí mật bằng khóa mới.",
                      f"{number} secrets are sealed under the new key."))  # fmt: skip
    for system in done.lost:
        complain(say(f"{system}: không mở được khóa bí mật; axis station vxp rotate {system} cấp khóa mới.",
                     f"{system}: its secret does not open; axis station vxp rotate {system} gives a new one."))  # fmt: skip
    if done.lost:
        raise typer.Exit(1)


def _show_secret(handed_out: Any, *, as_json: bool) -> None:
    """The one time the secret is shown."""
    if as_json:
        print_json(
            {
                "systemid": handed_out.system.id,
                "secret": handed_out.secret,
                "station": handed_out.system.station,
            }
        )
        return
    tell(f"systemid={handed_out.system.id}")
    tell(f"secret={handed_out.secret}")
    err.print(say("Khóa bí mật chỉ hiện một lần. Hãy trao cho đơn vị theo đường an toàn.",
                  "The secret is shown once. Hand it over by a safe way."))  # fmt: skip


def vxp_view(
    system: _SYSTEM,
    view: Annotated[View, typer.Argument(show_default=False)],
    who: _AS = None,
    reason: _REASON = "",
) -> None:
    _vxp_act(lambda acts: acts.change(system, view=view, by=_person(who, reason)))
    err.print(say(f"{system} nhận {view.value}.", f"{system} is given {view.value}."))


def vxp_close(system: _SYSTEM, who: _AS = None, reason: _REASON = "") -> None:
    _vxp_act(lambda acts: acts.change(system, is_open=False, by=_person(who, reason)))
    err.print(say(f"Đã đóng {system}.", f"{system} is closed."))


def vxp_open(system: _SYSTEM, who: _AS = None, reason: _REASON = "") -> None:
    _vxp_act(lambda acts: acts.change(system, is_open=True, by=_person(who, reason)))
    err.print(say(f"Đã mở lại {system}.", f"{system} is open."))


def vxp_list(as_json: _JSON = False) -> None:
    print_rows(
        [
            {"systemid": one.id, "station": one.station, "view": one.view.value, "open": one.is_open}
            for one in sorted(_directory().systems.values(), key=lambda one: one.id)
        ],
        form=Format.JSON if as_json else Format.TABLE,
        columns={
            "systemid": "systemid",
            "station": say("Điểm kết nối", "Station"),
            "view": say("Bản nhận", "View"),
            "open": say("Đang mở", "Open"),
        },
    )


# --- certificates -------------------------------------------------------------------------------------------------


def cert_add(
    organ: Annotated[str, typer.Argument(metavar="CODE", show_default=False)],
    file: Annotated[Path, typer.Argument(metavar="PEM", show_default=False)],
    who: _AS = None,
    reason: _REASON = "",
) -> None:
    try:
        content = file.read_bytes()
    except OSError as problem:
        complain(f"{file}: {problem.strerror}")
        sys.exit(2)
    bound = _act(lambda acts: acts.bind_certificate(organ, content, by=_person(who, reason)))
    err.print(
        say(
            f"Đã gắn chứng thư {bound.serial} với {organ}.",
            f"Certificate {bound.serial} is bound to {organ}.",
        )
    )


def cert_list(
    organ: Annotated[str | None, typer.Argument(metavar="CODE", show_default=False)] = None,
    as_json: _JSON = False,
) -> None:
    directory = _directory()
    rows = [
        _certificate_row(directory.organs[number], one)
        for number, bound in directory.certificates.items()
        for one in bound
        if organ is None or directory.organs[number].code == organ
    ]
    print_rows(
        rows,
        form=Format.JSON if as_json else Format.TABLE,
        columns={
            "organ": say("Đơn vị", "Organ"),
            "serial": say("Số hiệu", "Serial"),
            "issuer": say("Nơi cấp", "Issuer"),
            "from": say("Từ", "From"),
            "to": say("Đến", "To"),
            "revoked_at": say("Bỏ gắn lúc", "Revoked"),
        },
    )


def _certificate_row(organ: Organ, one: Any) -> dict[str, Any]:
    return {
        "organ": organ.code,
        "fingerprint": one.fingerprint,
        "serial": one.serial,
        "issuer": one.issuer,
        "from": iso(one.valid_from),
        "to": iso(one.valid_to) if one.valid_to else None,
        "revoked_at": iso(one.revoked_at) if one.revoked_at else None,
    }


def cert_revoke(
    fingerprint: Annotated[str, typer.Argument(metavar="SERIAL|SHA256", show_default=False)],
    who: _AS = None,
    reason: _REASON = "",
) -> None:
    wanted = fingerprint.lower().replace(":", "")
    # The list shows serial numbers, which people have at hand; digests are sought by their beginning.
    fitting = {
        one.fingerprint
        for bound in _directory().certificates.values()
        for one in bound
        if wanted == one.serial.lower() or (len(wanted) >= 8 and one.fingerprint.startswith(wanted))
    }
    if len(fitting) > 1:
        complain(say(f"{fingerprint} khớp với nhiều chứng thư:", f"{fingerprint} fits several certificates:"), then=", ".join(sorted(fitting)))  # fmt: skip
        sys.exit(2)
    digest = next(iter(fitting), Digest(wanted))
    found = _act(lambda acts: acts.revoke_certificate(digest, by=_person(who, reason)))
    err.print(say(f"Đã bỏ gắn khỏi {len(found)} đơn vị.", f"Unbound from {len(found)} organs."))


# --- secrecy ------------------------------------------------------------------------------------------------------


def secrecy_release(
    digest: Annotated[str, typer.Argument(metavar="SHA256", show_default=False)],
    who: _AS = None,
    reason: _REASON = "",
) -> None:
    released = _act(lambda acts: acts.release_digest(Digest(digest.lower()), by=_person(who, reason)))
    if released.in_force:
        err.print(
            say(
                "Đã đủ hai người: gói tin này được gửi lại.",
                "Two people have released it: it may be sent again.",
            )
        )
    else:
        err.print(say("Cần thêm một người nữa.", "One more person is needed."))


# --- the machinery ------------------------------------------------------------------------------------------------


def _person(who: str | None, reason: str) -> Actor:
    from axis.ledger.people import may_change

    name = who or getpass.getuser()
    may_change(settings().people, name)
    return Actor(person=name, reason=reason or None)


def _act(act: Callable[[Any], Awaitable[_T]]) -> _T:
    from axis.bootstrap.broker import open_accounts
    from axis.bootstrap.parts import open_axis

    async def run() -> _T:
        found = settings()
        async with open_axis(found, may_create=True) as axis, open_accounts(found) as accounts:
            return await act(axis.acts(accounts=accounts))

    return asyncio.run(run())


def _vxp_act(act: Callable[[Any], Awaitable[_T]]) -> _T:
    from axis.bootstrap.parts import open_axis

    async def run() -> _T:
        async with open_axis(settings(), may_create=True) as axis:
            return await act(axis.vxp_acts())

    return asyncio.run(run())


def _directory() -> Directory:
    from axis.bootstrap.parts import open_axis

    async def run() -> Directory:
        async with open_axis(settings()) as axis:
            return await axis.directories.current()

    return asyncio.run(run())


def _print_facts(row: dict[str, Any]) -> None:
    for name, value in row.items():
        if isinstance(value, list):
            tell(name, style="dim")
            for one in value:
                tell(f"  {one}")
        elif value is not None:
            tell(f"{name:<18} {value}")
