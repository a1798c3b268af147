"""
Settings: read once, from variables named `AXIS_*` and from nowhere else.

Each setting is declared once, as a field of `Settings`: name, reader, default and text in both languages. From that
follow the reading, `axis config` and docs/settings.md. A name that no field declares is refused, and everything
that is wrong is said at once. A secret may also be given as a file: `AXIS_BROKER_PASSWORD_FILE=/run/secrets/broker`.

Never reads the environment itself: whoever starts a process passes it in. Never says the value of a secret.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum, unique
from pathlib import Path
from typing import Any, Final, TypeVar, overload
from urllib.parse import quote, urlsplit, urlunsplit

from axis.core.errors import SettingsError
from axis.setting_values import (
    DATABASE,
    FILE,
    FILES,
    FOLDER,
    HOST,
    ORIGIN,
    PUBLIC_URL,
    SECRET,
    SWITCH,
    Reader,
    Secret,
    SecretURL,
    WrongValue,
    one_of,
    url,
    urls,
    whole,
)

PREFIX: Final = "AXIS_"
TEST_PREFIX: Final = "AXIS_TEST_"
"""Variables of the tests: where to find servers. The axis takes no notice of them."""

_MOST_SECRET_BYTES: Final = 64 * 1024
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_MIB: Final = 1024 * 1024
_SAID: Final = "said"

_T = TypeVar("_T")


@unique
class Language(StrEnum):
    """What people are spoken to in."""

    VI = "vi"
    EN = "en"


@unique
class ClosedOrgans(StrEnum):
    """What becomes of a document to an organ that has a successor (LR-33)."""

    FORWARD = "forward"
    ANSWER = "answer"


@unique
class LogFormat(StrEnum):
    """`auto`: pretty on a terminal, JSON otherwise."""

    AUTO = "auto"
    JSON = "json"
    PRETTY = "pretty"


@unique
class LogLevel(StrEnum):
    """The least that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@unique
class Group(StrEnum):
    """Headings of the list of settings."""

    STATE = "state"
    BROKER = "broker"
    HTTP = "http"
    TRUST = "trust"
    PEOPLE = "people"
    LIMITS = "limits"
    STATION = "station"


# --- the declaration ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a declaration says of its setting."""

    group: Group
    kind: str
    default: str | None
    """As somebody would write it; `{home}` stands for the value of AXIS_HOME. None: not set."""
    vi: str
    en: str
    is_secret: bool
    """Printed as stars, and may be given as a file."""
    read: Callable[[str], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting."""

    name: str
    """The variable, such as `AXIS_HTTP_PORT`."""
    attribute: str
    """The field of `Settings` it ends up in."""
    said: Said


@overload
def _setting(
    group: Group, reader: Reader[_T], default: str, vi: str, en: str, *, secret: bool = ...
) -> _T: ...
@overload
def _setting(
    group: Group, reader: Reader[_T], default: None, vi: str, en: str, *, secret: bool = ...
) -> _T | None: ...
def _setting(
    group: Group, reader: Reader[_T], default: str | None, vi: str, en: str, *, secret: bool = False
) -> _T | None:
    said = Said(
        group=group, kind=reader.kind, default=default, vi=vi, en=en, is_secret=secret, read=reader.read
    )
    found: _T | None = field(metadata={_SAID: said})
    return found


_G = Group
_SIDES = ("http", "https", "amqp", "amqps")

# One declaration reads like one row of a table: the formatter would make eight lines of each.
# fmt: off


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a process of the axis is told from outside. Made by `read_settings` only."""

    home: Path = _setting(_G.STATE, FOLDER, ".axis",
        "Thư mục trạng thái của bản nhúng: nhật ký, nội dung gói tin, khóa.",
        "Folder of the embedded state: ledger, payloads, keys.")
    database_url: SecretURL = _setting(_G.STATE, DATABASE, "sqlite:///{home}/ledger.db",
        "Nơi lưu nhật ký: sqlite:///tệp hoặc postgresql://tài-khoản@máy:cổng/tên.",
        "Where the ledger lies: sqlite:///file or postgresql://user@host:port/name.", secret=True)
    database_password: Secret | None = _setting(_G.STATE, SECRET, None,
        "Mật khẩu cơ sở dữ liệu, nếu không viết trong AXIS_DATABASE_URL.",
        "The database password, when AXIS_DATABASE_URL does not hold it.", secret=True)
    blobs: Path = _setting(_G.STATE, FOLDER, "{home}/blobs",
        "Thư mục nội dung gói tin, mỗi tệp đặt tên theo SHA-256; các tiến trình của một Trục dùng chung.",
        "Folder of payloads, files named by SHA-256; shared by all processes of one axis.")
    keys: Path = _setting(_G.STATE, FOLDER, "{home}/keys",
        "Thư mục khóa ký giấy xác nhận và khóa ký điểm kiểm tra của nhật ký.",
        "Folder of the keys that sign receipts and checkpoints of the log.")

    broker_urls: tuple[SecretURL, ...] = _setting(_G.BROKER, urls("amqp", "amqps"), "",
        "Địa chỉ RabbitMQ, mỗi nút một địa chỉ. Để trống: bản nhúng, không dùng RabbitMQ.",
        "RabbitMQ, one address for each node. Empty: embedded, without RabbitMQ.", secret=True)
    broker_password: Secret | None = _setting(_G.BROKER, SECRET, None,
        "Mật khẩu RabbitMQ, nếu không viết trong địa chỉ.",
        "The RabbitMQ password, when the addresses do not hold it.", secret=True)
    broker_management_url: SecretURL | None = _setting(_G.BROKER, url("http", "https"), None,
        "Giao diện quản trị RabbitMQ; Trục dùng để tạo tài khoản của điểm kết nối.",
        "RabbitMQ's management interface; the axis makes the stations' users there.", secret=True)
    broker_ca: Path | None = _setting(_G.BROKER, FILE, None,
        "Chứng thư gốc (PEM) để kiểm tra máy chủ RabbitMQ.",
        "Roots (PEM) that the broker's certificate must lead to.")
    broker_cert: Path | None = _setting(_G.BROKER, FILE, None,
        "Chứng thư của Trục (PEM) khi kết nối RabbitMQ.",
        "The axis's own certificate (PEM) towards the broker.")
    broker_key: Path | None = _setting(_G.BROKER, FILE, None,
        "Khóa của chứng thư đó (PEM).", "The key of that certificate (PEM).")
    broker_external: bool = _setting(_G.BROKER, SWITCH, "false",
        "Đăng nhập RabbitMQ bằng chứng thư (SASL EXTERNAL) thay cho mật khẩu.",
        "Log in by the certificate (SASL EXTERNAL) instead of a password.")

    http_host: str = _setting(_G.HTTP, HOST, "127.0.0.1",
        "Địa chỉ lắng nghe HTTP.", "Address the HTTP interface listens on.")
    http_port: int = _setting(_G.HTTP, whole(0, 65_535), "8080",
        "Cổng HTTP; 0: cổng trống bất kỳ.", "Its port; 0: any free one.")
    http_cert: Path | None = _setting(_G.HTTP, FILE, None,
        "Chứng thư máy chủ HTTPS (PEM, kèm chuỗi).", "Certificate of the HTTPS server (PEM, with its chain).")
    http_key: Path | None = _setting(_G.HTTP, FILE, None,
        "Khóa của chứng thư đó (PEM).", "The key of that certificate (PEM).")
    http_client_ca: Path | None = _setting(_G.HTTP, FILE, None,
        "Chứng thư gốc (PEM) để kiểm tra chứng thư của điểm kết nối.",
        "Roots (PEM) for the certificates stations show.")
    public_url: str | None = _setting(_G.HTTP, PUBLIC_URL, None,
        "Địa chỉ mà điểm kết nối dùng để tới giao diện HTTP, nếu khác địa chỉ lắng nghe.",
        "Address under which stations reach the HTTP interface, when it is not the one listened on.")
    allow_plain: bool = _setting(_G.HTTP, SWITCH, "false",
        "Cho phép kết nối không mã hóa ra ngoài máy này (chỉ khi có lớp TLS phía trước).",
        "Allow connections without TLS beyond this machine (only behind something that adds TLS).")
    vxp: bool = _setting(_G.HTTP, SWITCH, "true",
        "`axis up` chạy cổng VXP ngay khi có hệ thống VXP đầu tiên (axis station vxp add).",
        "`axis up` runs the VXP gateway as soon as there is a VXP system (axis station vxp add).")
    vxp_host: str = _setting(_G.HTTP, HOST, "127.0.0.1",
        "Địa chỉ lắng nghe của cổng VXP.", "Address the VXP gateway listens on.")
    vxp_port: int = _setting(_G.HTTP, whole(0, 65_535), "8081",
        "Cổng của cổng VXP; 0: cổng trống bất kỳ.", "Its port; 0: any free one.")
    metrics_token: Secret | None = _setting(_G.HTTP, SECRET, None,
        "Mã để đọc số đo (/metrics) từ máy khác; không đặt: chỉ máy này đọc được.",
        "Token to read /metrics from elsewhere; not set: only this machine may.", secret=True)

    trust: tuple[Path, ...] = _setting(_G.TRUST, FILES, "{home}/trust.pem",
        "Các tệp chứng thư gốc (PEM) mà chữ ký văn bản phải dẫn tới.",
        "Files of roots (PEM) that signatures of documents must lead to.")
    attachment_trust: tuple[Path, ...] = _setting(_G.TRUST, FILES, "",
        "Các tệp chứng thư gốc (PEM) mà chữ ký trong tệp đính kèm phải dẫn tới. Để trống: như AXIS_TRUST.",
        "Files of roots (PEM) that signatures inside attachments must lead to. Empty: as AXIS_TRUST.")
    policy: Path | None = _setting(_G.TRUST, FILE, None,
        "Tệp chính sách chữ ký (TOML): thuật toán, thời hạn của danh sách thu hồi; không đặt: chính sách kèm phiên bản này.",
        "Signature policy (TOML): algorithms, how fresh revocation must be; not set: the one of this version.")
    crl_files: tuple[Path, ...] = _setting(_G.TRUST, FILES, "",
        "Tệp danh sách thu hồi (CRL, PEM hoặc DER), được đọc lại khi thay đổi. Cùng với hai cài đặt sau để trống: không kiểm tra thu hồi, và mọi kết quả xác minh ghi rõ như vậy.",
        "Files of revocation lists (PEM or DER), read again when they change. This and the next two empty: revocation is not checked, and every verdict says so.")
    crl_urls: tuple[SecretURL, ...] = _setting(_G.TRUST, urls("http", "https"), "",
        "Địa chỉ danh sách thu hồi (CRL), tải ngầm; Trục không bao giờ hỏi địa chỉ nào khác.",
        "Addresses of revocation lists, fetched in the background; the axis never asks any other.", secret=True)
    ocsp_urls: tuple[SecretURL, ...] = _setting(_G.TRUST, urls("http", "https"), "",
        "Địa chỉ dịch vụ OCSP, hỏi ngầm.", "Addresses of OCSP responders, asked in the background.", secret=True)
    tsa_url: SecretURL | None = _setting(_G.TRUST, url("http", "https"), None,
        "Địa chỉ dịch vụ dấu thời gian (RFC 3161) cho điểm kiểm tra của nhật ký; không đặt: không có dấu thời gian.",
        "Timestamp authority (RFC 3161) for the log's checkpoints; not set: they get no timestamps.", secret=True)
    tsa_trust: tuple[Path, ...] = _setting(_G.TRUST, FILES, "",
        "Chứng thư gốc (PEM) của dịch vụ dấu thời gian; để trống: như AXIS_TRUST.",
        "Roots (PEM) of the timestamp authority; empty: those of AXIS_TRUST.")
    tsa_seconds: int = _setting(_G.TRUST, whole(1, 86_400), "60",
        "Khoảng cách giữa hai dấu thời gian, tính bằng giây.", "Seconds between two timestamps.")
    log_name: str = _setting(_G.TRUST, ORIGIN, "axis.local/log",
        "Tên (origin) của nhật ký, ghi trong mọi giấy xác nhận; không đổi sau khi đã chạy.",
        "Name (origin) of the log, in every receipt; not to be changed once the axis has run.")

    people: Path | None = _setting(_G.PEOPLE, FILE, None,
        "Tệp (TOML) nêu ai giữ vai trò gì và được xem cây đơn vị nào; không đặt: ai chạy được lệnh đều xem được tất cả.",
        "File (TOML) of people: who has which role and sees which organ's tree; not set: whoever can run the command sees all.")
    lang: Language = _setting(_G.PEOPLE, one_of(Language), "vi",
        "Ngôn ngữ của thông báo.", "Language of messages.")
    log_format: LogFormat = _setting(_G.PEOPLE, one_of(LogFormat), "auto",
        "Dạng log vận hành; auto: dễ đọc trên màn hình, JSON khi ghi ra tệp.",
        "Form of the operators' log; auto: pretty on a terminal, JSON otherwise.")
    log_level: LogLevel = _setting(_G.PEOPLE, one_of(LogLevel), "info",
        "Mức log thấp nhất được ghi.", "The least that is logged.")

    max_message_bytes: int = _setting(_G.LIMITS, whole(1024, 500 * _MIB), str(150 * _MIB),
        "Dung lượng lớn nhất của một gói tin.", "Largest message the axis takes.")
    inline_bytes: int = _setting(_G.LIMITS, whole(0, 8 * _MIB), str(256 * 1024),
        "Gói tin tới mức này đi bên trong thông điệp AMQP; lớn hơn thì điểm kết nối tải về theo mã băm.",
        "Payloads up to this travel inside an AMQP delivery; larger ones are fetched by digest.")
    window: int = _setting(_G.LIMITS, whole(1, 100_000), "1000",
        "Số gói chuyển chưa xác nhận nhiều nhất trong hàng đợi của một điểm kết nối.",
        "Most consignments not yet acknowledged in one station's queues.")
    judges: int = _setting(_G.LIMITS, whole(0, 64), "2",
        "Số tiến trình xét chữ ký trong tệp đính kèm, ở mỗi tiến trình của Trục; 0: không xét ở đây.",
        "Processes that judge signatures inside attachments, for each hub; 0: none are judged here.")
    judge_seconds: int = _setting(_G.LIMITS, whole(1, 300), "20",
        "Thời gian xét một tệp đính kèm lâu nhất, tính bằng giây.",
        "Longest time to judge one attachment, in seconds.")
    judge_megabytes: int = _setting(_G.LIMITS, whole(64, 16_384), "512",
        "Bộ nhớ nhiều nhất để xét một tệp đính kèm, tính bằng MiB.",
        "Most memory to judge one attachment with, in MiB.")
    closed_organs: ClosedOrgans = _setting(_G.LIMITS, one_of(ClosedOrgans), "forward",
        "Văn bản gửi tới đơn vị đã đóng mã: forward chuyển tới đơn vị kế thừa, answer trả lời tên đơn vị kế thừa.",
        "A document to a closed organ: forward to its successor, or answer with the successor's code.")
    calendar: Path | None = _setting(_G.LIMITS, FILE, None,
        "Tệp (TOML) thêm hoặc thay ngày làm việc của một số năm: [2027] source, off, work; không đặt: các năm kèm theo Trục.",
        "File (TOML) with working days of more years: [2027] source, off, work; not set: the years that come with the axis.")
    quota_messages: int = _setting(_G.LIMITS, whole(0, 10_000_000), "30000",
        "Số gói tin nhiều nhất một điểm kết nối được nộp trong AXIS_QUOTA_SECONDS tại mỗi tiến trình; 0: không giới hạn.",
        "Most messages one station may hand in within AXIS_QUOTA_SECONDS, in each process; 0: no limit.")
    quota_bytes: int = _setting(_G.LIMITS, whole(0, 1024 * 1024 * _MIB), str(8 * 1024 * _MIB),
        "Số byte nhiều nhất một điểm kết nối được nộp trong thời gian đó; 0: không giới hạn.",
        "Most bytes one station may hand in within that time; 0: no limit.")
    reoffer_seconds: int = _setting(_G.LIMITS, whole(10, 86_400), "1800",
        "Gói đã giao vào hàng đợi mà điểm kết nối không báo gì trong thời gian này thì được giao lại (bên nhận nhận ra và không xử lý lần hai), tính bằng giây.",
        "What lay in a station's queue and was not acknowledged for so long is offered again (and recognised, not taken twice), in seconds.")
    payload_days: int = _setting(_G.LIMITS, whole(1, 36_500), "30",
        "Giữ nội dung gói tin bao nhiêu ngày sau khi bên nhận cuối cùng đã có; bản ghi và mã băm giữ mãi.",
        "Days the bytes of a message are kept after its last receiver has it; records and digests stay for ever.")
    refused_days: int = _setting(_G.LIMITS, whole(1, 36_500), "30",
        "Giữ nội dung gói tin không được tiếp nhận, trùng hoặc bị cách ly bao nhiêu ngày.",
        "Days the bytes of what was refused, a duplicate or buried are kept.")
    refused_bytes: int = _setting(_G.LIMITS, whole(0, 1024 * 1024 * _MIB), str(1024 * _MIB),
        "Lượng byte không được tiếp nhận giữ lại nhiều nhất cho một điểm kết nối; phần cũ hơn chỉ giữ mã băm.",
        "Most refused bytes kept for one station; of what is older only the digest is kept.")
    quota_seconds: int = _setting(_G.LIMITS, whole(1, 86_400), "60",
        "Thời gian tính hạn mức, bằng giây.", "Time the quota is for, in seconds.")
    hold_hours: int = _setting(_G.LIMITS, whole(1, 168), "24",
        "Thời gian chờ xác minh lâu nhất, tính bằng giờ.", "Longest hold, in hours.")

    station_url: SecretURL | None = _setting(_G.STATION, url(*_SIDES), None,
        "Phía điểm kết nối: địa chỉ Trục.", "The station's side: where the axis is.", secret=True)
    station_ca: Path | None = _setting(_G.STATION, FILE, None,
        "Phía điểm kết nối: chứng thư gốc (PEM) để kiểm tra máy chủ của Trục; không đặt: các gốc của máy này.",
        "The station's side: roots (PEM) that the axis's certificate must lead to; not set: this machine's.")
    station_key: Secret | None = _setting(_G.STATION, SECRET, None,
        "Phía điểm kết nối: khóa API.", "The station's side: its API key.", secret=True)
    station_secret: Secret | None = _setting(_G.STATION, SECRET, None,
        "Phía điểm kết nối: 16 ký tự cuối của tên hàng đợi, chỉ dùng với AMQP.",
        "The station's side: the last 16 characters of its queues' names, for AMQP only.", secret=True)

    given: frozenset[str] = frozenset()
    """Variables that were set; the rest are defaults."""

    @property
    def is_embedded(self) -> bool:
        """One process, no broker: deliveries wait in the ledger and stations come over HTTP."""
        return not self.broker_urls

    @property
    def is_postgresql(self) -> bool:
        """Whether the ledger lies in PostgreSQL; SQLite otherwise."""
        return self.database_url.reveal().startswith("postgresql")


# fmt: on

_NAMES: Final[Mapping[str, str]] = {"broker_urls": "AXIS_BROKER_URL"}
"""Variables whose name is not that of the field."""

SETTINGS: Final[tuple[Setting, ...]] = tuple(
    Setting(
        name=_NAMES.get(one.name, PREFIX + one.name.upper()), attribute=one.name, said=one.metadata[_SAID]
    )
    for one in fields(Settings)
    if _SAID in one.metadata
)
"""Every setting there is, in the order of the documentation."""

_BY_NAME: Final = {one.name: one for one in SETTINGS}


# --- reading ------------------------------------------------------------------------------------------------------


def read_settings(environ: Mapping[str, str]) -> Settings:
    """
    The settings `environ` says. A variable that is empty counts as not set; a list is separated by commas.

    Raises:
        SettingsError: with every problem there is, in the language AXIS_LANG names.
    """
    reading = _Reading(environ)
    given = reading.texts()
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        text = given.get(setting.name)
        if text is None and setting.said.default is not None:
            values[setting.attribute] = _default(setting, home=values.get("home"))
            continue
        try:
            values[setting.attribute] = None if text is None else setting.said.read(text)
        except WrongValue as wrong:
            shown = "" if setting.said.is_secret else f"{text!r}: "
            reading.problem(
                setting.name, vi=f"{shown}không hợp lệ, {wrong.vi}", en=f"{shown}expected {wrong.en}"
            )
    if reading.problems:
        raise SettingsError(tuple(reading.problems))
    _put_passwords_in(values, reading)
    found = Settings(**values, given=frozenset(given))
    _agree(found, reading)
    if reading.problems:
        raise SettingsError(tuple(reading.problems))
    return found


def _default(setting: Setting, *, home: Path | None) -> Any:
    assert setting.said.default is not None
    if setting.name == "AXIS_TRUST":
        # The file appears when roots are installed; until then nothing is trusted, and `axis doctor` says so.
        return (FOLDER.read(setting.said.default.format(home=home)),) if home is not None else ()
    if not setting.said.default:
        return ()
    return setting.said.read(setting.said.default.format(home=home))


class _Reading:
    """One reading of the environment, and what was found wrong with it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = {
            name: value
            for name, value in environ.items()
            if name.startswith(PREFIX) and not name.startswith(TEST_PREFIX)
        }
        self._in_english = environ.get("AXIS_LANG") == Language.EN.value
        self.problems: list[str] = []

    def problem(self, name: str, *, vi: str, en: str) -> None:
        self.problems.append(f"{name}: {en if self._in_english else vi}")

    def texts(self) -> dict[str, str]:
        """The text of every setting that was set, directly or by file."""
        found: dict[str, str] = {}
        for name in sorted(self._environ):
            value = self._environ[name]
            base = name.removesuffix("_FILE")
            if name in _BY_NAME:
                if value:
                    found[name] = value
            elif base != name and base in _BY_NAME and _BY_NAME[base].said.is_secret:
                if value and self._environ.get(base):
                    self.problem(name, vi=f"{base} cũng được đặt", en=f"{base} is set as well")
                elif value and (text := self._read_secret(name, Path(value))) is not None:
                    found[base] = text
            else:
                self._unknown(name)
        return found

    def _read_secret(self, name: str, path: Path) -> str | None:
        try:
            with path.open("rb") as file:
                content = file.read(_MOST_SECRET_BYTES + 1)
            text = content.decode("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "UTF-8"
            self.problem(name, vi=f"không đọc được tệp ({why})", en=f"the file cannot be read ({why})")
            return None
        if not text or len(content) > _MOST_SECRET_BYTES:
            self.problem(name, vi="tệp rỗng hoặc quá lớn", en="the file is empty or too large")
            return None
        return text

    def _unknown(self, name: str) -> None:
        near = difflib.get_close_matches(name, _BY_NAME, n=1)
        self.problem(
            name,
            vi="không có cài đặt này" + (f"; có thể là {near[0]}" if near else ""),
            en="no such setting" + (f"; did you mean {near[0]}?" if near else ""),
        )


def _put_passwords_in(values: dict[str, Any], reading: _Reading) -> None:
    """From here on each address holds its own password, wherever it was given."""
    database, broker = values["database_password"], values["broker_password"]
    if database is not None:
        values["database_url"] = _with_password(
            values["database_url"],
            database,
            names=("AXIS_DATABASE_URL", "AXIS_DATABASE_PASSWORD"),
            reading=reading,
        )
    if broker is not None:
        names = ("AXIS_BROKER_URL", "AXIS_BROKER_PASSWORD")
        values["broker_urls"] = tuple(
            _with_password(one, broker, names=names, reading=reading) for one in values["broker_urls"]
        )
    management = values["broker_management_url"]
    if management is not None and values["broker_urls"] and "@" not in urlsplit(management.reveal()).netloc:
        who = urlsplit(values["broker_urls"][0].reveal()).netloc.rpartition("@")[0]
        parts = urlsplit(management.reveal())
        if who:
            values["broker_management_url"] = SecretURL(
                urlunsplit(parts._replace(netloc=f"{who}@{parts.netloc}"))
            )


def _with_password(
    url: SecretURL, password: Secret, *, names: tuple[str, str], reading: _Reading
) -> SecretURL:
    parts = urlsplit(url.reveal())
    url_name, password_name = names
    if parts.password is not None:
        reading.problem(
            password_name, vi=f"{url_name} đã có mật khẩu", en=f"{url_name} holds a password already"
        )
        return url
    if not parts.username:
        reading.problem(
            password_name, vi=f"{url_name} không có tên tài khoản", en=f"{url_name} names no user"
        )
        return url
    where = parts.netloc.rpartition("@")[2]
    who = f"{parts.username}:{quote(password.reveal(), safe='')}"
    return SecretURL(urlunsplit(parts._replace(netloc=f"{who}@{where}")))


def _agree(settings: Settings, reading: _Reading) -> None:
    """What no single setting can say: whether they fit together."""
    _both("AXIS_HTTP_CERT", settings.http_cert, "AXIS_HTTP_KEY", settings.http_key, reading)
    _both("AXIS_BROKER_CERT", settings.broker_cert, "AXIS_BROKER_KEY", settings.broker_key, reading)
    _without_broker(settings, reading)
    if settings.http_client_ca is not None and settings.http_cert is None:
        reading.problem("AXIS_HTTP_CLIENT_CA", vi="cần AXIS_HTTP_CERT", en="needs AXIS_HTTP_CERT")
    if settings.broker_external and settings.broker_cert is None:
        reading.problem("AXIS_BROKER_EXTERNAL", vi="cần AXIS_BROKER_CERT", en="needs AXIS_BROKER_CERT")
    if settings.allow_plain:
        return
    if settings.http_host not in _LOOPBACK and settings.http_cert is None:
        reading.problem(
            "AXIS_HTTP_HOST",
            vi="ra ngoài máy này phải có TLS: đặt AXIS_HTTP_CERT và AXIS_HTTP_KEY",
            en="beyond this machine needs TLS: set AXIS_HTTP_CERT and AXIS_HTTP_KEY",
        )
    addresses = [("AXIS_BROKER_URL", one) for one in settings.broker_urls]
    if settings.broker_management_url is not None:
        addresses.append(("AXIS_BROKER_MANAGEMENT_URL", settings.broker_management_url))
    if settings.station_url is not None:
        addresses.append(("AXIS_STATION_URL", settings.station_url))
    for name, address in addresses:
        parts = urlsplit(address.reveal())
        if parts.scheme in {"amqp", "http"} and parts.hostname not in _LOOPBACK:
            reading.problem(
                name,
                vi="mật khẩu sẽ đi qua mạng không mã hóa: dùng amqps:// hoặc https://",
                en="a password would cross the network in the clear: use amqps:// or https://",
            )


def _without_broker(settings: Settings, reading: _Reading) -> None:
    # Somebody who says how to reach a broker and not where would otherwise get an embedded axis without a word.
    if settings.is_embedded:
        for one in SETTINGS:
            if one.said.group is Group.BROKER and one.name in settings.given:
                reading.problem(one.name, vi="cần AXIS_BROKER_URL", en="needs AXIS_BROKER_URL")


def _both(first: str, one: Path | None, second: str, other: Path | None, reading: _Reading) -> None:
    if (one is None) != (other is None):
        missing, present = (first, second) if one is None else (second, first)
        reading.problem(missing, vi=f"phải đặt cùng {present}", en=f"must be set together with {present}")


# --- showing ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One line of `axis config`."""

    name: str
    value: str
    """Secrets as stars; empty when not set and without default."""
    is_default: bool


def show_settings(settings: Settings) -> tuple[Shown, ...]:
    """All settings as they are in force, secrets hidden."""
    return tuple(
        Shown(
            name=one.name,
            value=_shown(getattr(settings, one.attribute)),
            is_default=one.name not in settings.given,
        )
        for one in SETTINGS
    )


def _shown(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case tuple():
            return ", ".join(_shown(one) for one in value)
        case _:
            return str(value)
