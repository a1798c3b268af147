"""
`axis doctor`: looks at everything an axis needs, and says what to do about each thing that is missing.

Changes nothing, and looks at what it can although something else is broken.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from axis.bootstrap.files import TrustFiles, open_keys
from axis.bootstrap.looks import look_at_broker, look_at_database, look_at_durability, look_for_orphans
from axis.bootstrap.parts import Axis, open_axis
from axis.core.calendar import Calendar
from axis.core.errors import AxisError
from axis.core.model import VIETNAM
from axis.flow.expiry import Ending
from axis.settings import Settings
from signing.crl import ListFacts

_ENOUGH_BYTES = 5 * 1024**3
_AHEAD = timedelta(days=60)
"""How long before a year begins its working days should be known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    good: bool
    vi: str
    en: str
    remedy_vi: str = ""
    remedy_en: str = ""
    harmless: bool = False
    """Not as it should be, and the axis runs all the same."""

    def what(self, lang: str) -> str:
        """What was found."""
        return self.en if lang == "en" else self.vi

    def remedy(self, lang: str) -> str:
        """What to do about it."""
        return self.remedy_en if lang == "en" else self.remedy_vi

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "name": self.name,
            "good": self.good,
            "harmless": self.harmless,
            "vi": self.vi,
            "en": self.en,
            "remedy": {"vi": self.remedy_vi, "en": self.remedy_en},
        }


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything, in the order a person would mend it."""
    found = [*_folders(settings), _keys(settings), _roots(settings)]
    found.append(await _database(settings))
    if not settings.is_embedded:
        found.append(await _broker(settings))
        if found[-1].good and settings.broker_management_url is not None:
            found.append(await _hands(settings))
    if all(one.good for one in found if one.name in {"database", "keys"}):
        found += [one async for one in _contents(settings)]
    return found


def _folders(settings: Settings) -> list[Finding]:
    return [_folder("home", "AXIS_HOME", settings.home), _folder("blobs", "AXIS_BLOBS", settings.blobs)]


def _folder(name: str, setting: str, path: Path) -> Finding:
    if not path.is_dir():
        return Finding(
            name=name,
            good=False,
            vi=f"{setting}: chưa có thư mục {path}",
            en=f"{setting}: {path} does not exist",
            remedy_vi="Chạy `axis up` (hoặc `axis hub`) một lần, hoặc đặt lại cài đặt.",
            remedy_en="Run `axis up` (or `axis hub`) once, or correct the setting.",
        )
    if not os.access(path, os.W_OK):
        return Finding(
            name=name,
            good=False,
            vi=f"{setting}: không ghi được vào {path}",
            en=f"{setting}: {path} cannot be written to",
            remedy_vi="Cấp quyền ghi cho tài khoản chạy Trục.",
            remedy_en="Let the account that runs the axis write there.",
        )
    free = shutil.disk_usage(path).free
    return Finding(
        name=name,
        good=free >= _ENOUGH_BYTES,
        harmless=True,
        vi=f"{setting}: {path}, còn trống {free // 1024**3} GiB",
        en=f"{setting}: {path}, {free // 1024**3} GiB free",
        remedy_vi="Giải phóng hoặc thêm đĩa trước khi đầy.",
        remedy_en="Free or add disk space before it is full.",
    )


def _keys(settings: Settings) -> Finding:
    try:
        keys = open_keys(settings.keys, log_name=settings.log_name, may_create=False)
    except AxisError as problem:
        return Finding(
            name="keys",
            good=False,
            vi=f"Khóa ký: {problem}",
            en=f"Signing keys: {problem}",
            remedy_vi="Lần chạy đầu tiên tạo khóa; sau đó khôi phục từ bản sao, không tạo lại. Quyền tệp phải là 600.",
            remedy_en="The first start makes them; later restore them from a copy, never make new ones. Their mode must be 600.",
        )
    return Finding(
        name="keys",
        good=True,
        vi=f"Khóa ký: {keys.receipts.verifier.label}, {keys.log.verifier.label}",
        en=f"Signing keys: {keys.receipts.verifier.label}, {keys.log.verifier.label}",
    )


def _roots(settings: Settings) -> Finding:
    store = TrustFiles(settings.trust).current()
    paths = ", ".join(str(one) for one in settings.trust) or "-"
    if store is None:
        return Finding(
            name="trust",
            good=False,
            vi=f"AXIS_TRUST: không đọc được chứng thư gốc ({paths}); mọi văn bản có chữ ký sẽ bị giữ lại",
            en=f"AXIS_TRUST: no roots can be read ({paths}); every signed document is held",
            remedy_vi="Đặt tệp PEM chứng thư gốc của cơ quan có thẩm quyền vào đường dẫn đó; không cần khởi động lại.",
            remedy_en="Put the PEM file of the authority's root there; no restart is needed.",
        )
    return Finding(
        name="trust",
        good=True,
        vi=f"AXIS_TRUST: {len(store.roots)} chứng thư gốc",
        en=f"AXIS_TRUST: {len(store.roots)} roots",
    )


async def _database(settings: Settings) -> Finding:
    try:
        async with asyncio.timeout(15):
            have, need = await look_at_database(settings)
            weakness = await look_at_durability(settings) if have == need else None
    except (AxisError, TimeoutError) as problem:
        return Finding(
            name="database",
            good=False,
            vi=f"Cơ sở dữ liệu không trả lời: {problem}",
            en=f"The database does not answer: {problem}",
            remedy_vi="Kiểm tra AXIS_DATABASE_URL, mạng và dịch vụ PostgreSQL.",
            remedy_en="Check AXIS_DATABASE_URL, the network and PostgreSQL itself.",
        )
    if have != need:
        return Finding(
            name="database",
            good=False,
            vi=f"Cơ sở dữ liệu ở phiên bản {have or 'trống'}, cần {need}",
            en=f"The database is at revision {have or 'none'}, {need} is needed",
            remedy_vi="Khởi động `axis up` hoặc `axis hub`: bước nâng cấp chạy trước tiên.",
            remedy_en="Start `axis up` or `axis hub`: migrating is the first thing they do.",
        )
    if weakness is not None:
        return Finding(
            name="database",
            good=False,
            vi=f"Cơ sở dữ liệu có thể mất giao dịch đã xác nhận: {weakness}",
            en=f"The database may lose what it confirmed: {weakness}",
            remedy_vi="Bật fsync và synchronous_commit; khi có bản sao, dùng synchronous_standby_names.",
            remedy_en="Turn on fsync and synchronous_commit; with replicas set synchronous_standby_names.",
        )
    return Finding(name="database", good=True, vi=f"Cơ sở dữ liệu: {need}", en=f"Database: revision {need}")


async def _broker(settings: Settings) -> Finding:
    try:
        async with asyncio.timeout(30):
            version = await look_at_broker(settings)
    except (AxisError, TimeoutError) as problem:
        return Finding(
            name="broker",
            good=False,
            vi=f"RabbitMQ không trả lời: {problem}",
            en=f"RabbitMQ does not answer: {problem}",
            remedy_vi="Kiểm tra AXIS_BROKER_URL, chứng thư và dịch vụ RabbitMQ.",
            remedy_en="Check AXIS_BROKER_URL, the certificates and RabbitMQ itself.",
        )
    return Finding(name="broker", good=True, vi=f"RabbitMQ {version}", en=f"RabbitMQ {version}")


async def _hands(settings: Settings) -> Finding:
    try:
        async with asyncio.timeout(60):
            queues = await look_for_orphans(settings)
    except (AxisError, TimeoutError) as problem:
        return Finding(
            name="queues",
            good=False,
            harmless=True,
            vi=f"Giao diện quản trị RabbitMQ không cho xem hàng đợi: {problem}",
            en=f"RabbitMQ's management does not show the queues: {problem}",
            remedy_vi="Kiểm tra AXIS_BROKER_MANAGEMENT_URL và quyền của tài khoản trong đó.",
            remedy_en="Check AXIS_BROKER_MANAGEMENT_URL and what its user may do.",
        )
    if not queues:
        return Finding(
            name="queues",
            good=True,
            vi="Hàng đợi: không thông điệp nào nằm ở kết nối đã mất",
            en="Queues: no message lies with a consumer that is gone",
        )
    names = ", ".join(f"{one.queue} ({one.leader})" for one in queues)
    nodes = ", ".join(sorted({one.leader for one in queues}))
    return Finding(
        name="queues",
        good=False,
        harmless=True,
        vi=f"Thông điệp có thể nằm ở kết nối đã mất: {names}; không mất gì, nhưng bị chậm cho tới khi được gửi lại",
        en=f"Messages may lie with a consumer that is gone: {names}; nothing is lost, and late until it is said again",
        remedy_vi=f"Khởi động lại RabbitMQ trên {nodes}, từng nút một: nút khác nhận hàng đợi và giao ngay.",
        remedy_en=f"Restart RabbitMQ on {nodes}, one node at a time: another one takes the queue and gives them out at once.",
    )


async def _contents(settings: Settings) -> AsyncIterator[Finding]:
    try:
        async with open_axis(settings) as axis:
            yield await _directory(axis)
            yield await _log(axis)
            yield calendar_finding(axis.pipeline.calendar, today=axis.clock.now().astimezone(VIETNAM).date())
            yield await _revocation(axis)
            yield await _timestamps(axis)
            for one in await axis.endings():
                yield _ending(one)
    except AxisError as problem:
        yield Finding(name="ledger", good=False, vi=str(problem), en=str(problem))


async def _directory(axis: Axis) -> Finding:
    directory = await axis.directories.current()
    organs, stations = len(directory.organs), len(directory.stations)
    return Finding(
        name="directory",
        good=bool(organs and stations),
        harmless=True,
        vi=f"Danh mục: {organs} đơn vị, {stations} điểm kết nối",
        en=f"Directory: {organs} organs, {stations} stations",
        remedy_vi="Nạp danh mục bằng `axis organ import`, thêm điểm kết nối bằng `axis station add`.",
        remedy_en="Load it with `axis organ import`, add stations with `axis station add`.",
    )


def calendar_finding(calendar: Calendar, *, today: date) -> Finding:
    """Whether the working days of the next two months are known: deadlines in a year nobody knows are not told."""
    missing = sorted({day.year for day in (today, today + _AHEAD)} - calendar.years.keys())
    years = ", ".join(map(str, missing))
    return Finding(
        name="calendar",
        good=not missing,
        harmless=True,
        vi=f"Ngày làm việc: chưa biết năm {years}" if missing else "Ngày làm việc: đã biết",
        en=f"Working days: {years} is not known" if missing else "Working days: known",
        remedy_vi="Ghi ngày nghỉ, ngày làm bù của năm đó vào tệp AXIS_CALENDAR; khi chưa có, Trục không tính hạn.",
        remedy_en="Write its days into the file of AXIS_CALENDAR; until then no deadlines are told.",
    )


async def _revocation(axis: Axis) -> Finding:
    """How fresh the lists are; that nothing is checked at all is said, and never looks like good."""
    if await axis.revocations.current() is None:
        return Finding(
            name="revocation",
            good=False,
            harmless=True,
            vi="Thu hồi chứng thư: CHƯA KIỂM TRA (không có nguồn); mọi kết quả xác minh ghi not_checked",
            en="Revocation: NOT CHECKED (no source is set); every verdict says not_checked",
            remedy_vi="Đặt AXIS_CRL_FILES, AXIS_CRL_URLS hoặc AXIS_OCSP_URLS.",
            remedy_en="Set AXIS_CRL_FILES, AXIS_CRL_URLS or AXIS_OCSP_URLS.",
        )
    now, policy = axis.clock.now(), axis.policy
    newest: dict[str, ListFacts] = {}
    for one in sorted(axis.revocations.index.lists, key=lambda one: one.issued_at):
        newest[one.issuer] = one
    stale = [name for name, one in newest.items() if now > one.good_until(policy)]
    oldest = min((one.issued_at for one in newest.values()), default=None)
    shown = oldest.astimezone(VIETNAM).isoformat(timespec="minutes") if oldest is not None else "-"
    return Finding(
        name="revocation",
        good=bool(newest or axis.revocations.sources.responders) and not stale,
        vi=f"Thu hồi chứng thư: danh sách của {len(newest)} cơ quan cấp, cũ nhất {shown}"
        + (f"; ĐÃ QUÁ HẠN: {'; '.join(stale)}" if stale else ""),
        en=f"Revocation: lists of {len(newest)} authorities, the oldest of {shown}"
        + (f"; STALE: {'; '.join(stale)}" if stale else ""),
        remedy_vi="Văn bản có chữ ký đang bị giữ lại: kiểm tra địa chỉ hoặc tệp danh sách thu hồi và log `revocation.*`.",
        remedy_en="Signed documents are held: check addresses or files of the lists, and the log for `revocation.*`.",
    )


async def _timestamps(axis: Axis) -> Finding:
    if axis.settings.tsa_url is None:
        return Finding(
            name="timestamps",
            good=True,
            vi="Dấu thời gian: không dùng (AXIS_TSA_URL để trống)",
            en="Timestamps: not used (AXIS_TSA_URL is not set)",
        )
    newest, waiting = await axis.timestamps.newest(), await axis.timestamps.unstamped()
    at = newest[1].astimezone(VIETNAM).isoformat(timespec="minutes") if newest is not None else "-"
    late = timedelta(seconds=10 * axis.settings.tsa_seconds)
    is_late = waiting is not None and (newest is None or axis.clock.now() - newest[1] > late)
    return Finding(
        name="timestamps",
        good=not is_late,
        harmless=True,
        vi=f"Dấu thời gian: gần nhất {at}" + ("; các bản ghi sau đó đang chờ" if waiting is not None else ""),
        en=f"Timestamps: the newest of {at}"
        + ("; later records wait for one" if waiting is not None else ""),
        remedy_vi="Dịch vụ dấu thời gian không trả lời: xem log `timestamp.*`. Văn bản vẫn được chuyển; dấu được bổ sung sau.",
        remedy_en="The authority does not answer: see the log for `timestamp.*`. Traffic goes on, tokens are completed later.",
    )


def _ending(one: Ending) -> Finding:
    return Finding(
        name="certificate",
        good=False,
        harmless=one.step > 0,
        vi=f"Chứng thư {one.certificate.serial} của {one.organ.code} {one.organ.name}: "
        + (f"còn {one.days} ngày" if one.step else "ĐÃ HẾT HẠN"),
        en=f"Certificate {one.certificate.serial} of {one.organ.code} {one.organ.name}: "
        + (f"{one.days} days left" if one.step else "HAS ENDED"),
        remedy_vi="Gắn chứng thư mới bằng `axis station cert add` trước khi chứng thư cũ hết hạn; hai chứng thư dùng song song được.",
        remedy_en="Bind the next one with `axis station cert add` before the old one ends; both sign meanwhile.",
    )


async def _log(axis: Axis) -> Finding:
    waiting = await axis.unnumbered()
    return Finding(
        name="log",
        good=waiting < 10_000,
        vi=f"Nhật ký: {waiting} sự kiện chờ đánh số",
        en=f"Log: {waiting} events wait for a number",
        remedy_vi="Không tiến trình nào đánh số: khởi động `axis hub` hoặc `axis up` và xem log của nó.",
        remedy_en="No process numbers them: start `axis hub` or `axis up` and read its log.",
    )
