"""
How the text of one setting becomes a value: numbers, folders, addresses, secrets.

Part of `axis.settings`, which says which settings there are. A reader never repeats the text it refuses.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

_STARS: Final = "****"

_T = TypeVar("_T")


class Secret:
    """A text that is printed as stars; `reveal` gives it to the one place that needs it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __str__(self) -> str:
        return _STARS

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        mine, theirs = (one.reveal().encode("utf-8", "surrogateescape") for one in (self, other))
        return hmac.compare_digest(mine, theirs)

    def __hash__(self) -> int:
        return hash(self._text)


class SecretURL(Secret):
    """An address that may hold a password: printed without it, and without its query."""

    __slots__ = ()

    def __str__(self) -> str:
        parts = urlsplit(self._text)
        who = parts.username or ""
        if parts.password is not None:
            who += f":{_STARS}"
        where = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, f"{who}@{where}" if who else where, parts.path, "", ""))


class WrongValue(ValueError):
    """What is wrong with a value, without the value."""

    def __init__(self, *, vi: str, en: str) -> None:
        super().__init__(en)
        self.vi = vi
        self.en = en


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader(Generic[_T]):
    """How one kind of setting is read, and what the documentation calls the kind."""

    kind: str
    read: Callable[[str], _T]


def whole(least: int, most: int) -> Reader[int]:
    """A whole number within bounds."""

    def read(text: str) -> int:
        # int() also takes "1_000", "٣" and " 7": an operator who writes that made a mistake.
        if re.fullmatch(r"[0-9]{1,18}", text) is None or not least <= int(text) <= most:
            raise WrongValue(
                vi=f"cần số nguyên từ {least} đến {most}", en=f"a whole number from {least} to {most}"
            )
        return int(text)

    return Reader(kind=f"{least} … {most}", read=read)


def one_of(choices: type[_T]) -> Reader[_T]:
    """A member of an enum of texts."""
    members = list(choices)  # type: ignore[call-overload]  # only enums are passed

    def read(text: str) -> _T:
        if text not in [str(one) for one in members]:
            expected = ", ".join(members)
            raise WrongValue(vi=f"cần một trong: {expected}", en=f"one of {expected}")
        return choices(text)  # type: ignore[call-arg]  # as above

    return Reader(kind=" | ".join(members), read=read)


def _read_switch(text: str) -> bool:
    if text not in {"true", "false"}:
        raise WrongValue(vi="cần true hoặc false", en="true or false")
    return text == "true"


def _read_folder(text: str) -> Path:
    # A question mark would end the path inside the address of an SQLite file.
    if "?" in text or "\0" in text:
        raise WrongValue(vi="đường dẫn không được chứa dấu ?", en="a path without ?")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as problem:
        raise WrongValue(vi="không có người dùng này", en="a path of a user who exists") from problem


def _read_file(text: str) -> Path:
    path = _read_folder(text)
    try:
        is_file = path.is_file()
    except OSError:
        is_file = False
    if not is_file:
        raise WrongValue(vi="không có tệp này", en="a file that exists and may be read")
    return path


def _read_files(text: str) -> tuple[Path, ...]:
    return tuple(_read_file(one) for one in _listed(text))


def _listed(text: str) -> list[str]:
    parts = [one.strip() for one in text.split(",")]
    if not all(parts):
        raise WrongValue(vi="danh sách có phần tử rỗng", en="a list without empty members")
    return parts


def _read_host(text: str) -> str:
    if re.fullmatch(r"[0-9A-Za-z.:_-]{1,255}", text) is None:
        raise WrongValue(vi="cần tên máy hoặc địa chỉ IP", en="a host name or IP address")
    return text


def _read_origin(text: str) -> str:
    # The key name of a C2SP signed note: no space, no plus, and short enough to stand in one line.
    if re.fullmatch(r"[0-9a-z][0-9a-z./-]{2,99}", text) is None:
        raise WrongValue(
            vi="cần tên dạng truc.example.gov.vn/log (chữ thường, số, dấu chấm, gạch)",
            en="a name like axis.example.gov.vn/log (lower-case letters, digits, dots, dashes)",
        )
    return text


def _address(*schemes: str) -> Callable[[str], SplitResult]:
    def read(text: str) -> SplitResult:
        expected = " | ".join(f"{scheme}://" for scheme in schemes)
        wrong = WrongValue(vi=f"cần địa chỉ dạng {expected}", en=f"an address of the form {expected}")
        if any(one.isspace() for one in text):
            raise wrong
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as problem:
            raise wrong from problem
        if parts.scheme not in schemes or not parts.hostname or port == 0:
            raise wrong
        return parts

    return read


def url(*schemes: str) -> Reader[SecretURL]:
    """One address of one of these schemes."""
    parse = _address(*schemes)
    return Reader(kind="URL", read=lambda text: SecretURL(urlunsplit(parse(text))))


def urls(*schemes: str) -> Reader[tuple[SecretURL, ...]]:
    """Addresses separated by commas."""
    parse = _address(*schemes)
    return Reader(
        kind="URL, URL, …",
        read=lambda text: tuple(SecretURL(urlunsplit(parse(one))) for one in _listed(text)),
    )


def _read_public_url(text: str) -> str:
    parts = _address("https", "http")(text)
    if parts.username or parts.query or parts.fragment:
        raise WrongValue(
            vi="địa chỉ không được có tài khoản hay tham số", en="an address without user or parameters"
        )
    return urlunsplit(parts).rstrip("/")


def _read_database_url(text: str) -> SecretURL:
    if re.match(r"sqlite(\+aiosqlite)?:///.", text):
        return SecretURL("sqlite+aiosqlite:///" + text.partition(":///")[2])
    parts = _address("postgresql", "postgres", "postgresql+asyncpg", "sqlite")(text)
    if parts.scheme == "sqlite" or not parts.path.strip("/"):
        raise WrongValue(
            vi="cần địa chỉ dạng postgresql://…/tên hoặc sqlite:///tệp",
            en="an address of the form postgresql://…/name or sqlite:///file",
        )
    # The driver calls it `ssl`; everybody else calls it `sslmode`.
    query = [("ssl" if name == "sslmode" else name, value) for name, value in parse_qsl(parts.query)]
    return SecretURL(urlunsplit(parts._replace(scheme="postgresql+asyncpg", query=urlencode(query))))


FOLDER: Final = Reader(kind="folder", read=_read_folder)
FILE: Final = Reader(kind="file", read=_read_file)
FILES: Final = Reader(kind="file, file, …", read=_read_files)
HOST: Final = Reader(kind="host", read=_read_host)
ORIGIN: Final = Reader(kind="name", read=_read_origin)
SWITCH: Final = Reader(kind="true | false", read=_read_switch)
SECRET: Final = Reader(kind="text", read=Secret)
DATABASE: Final = Reader(kind="URL", read=_read_database_url)
PUBLIC_URL: Final = Reader(kind="URL", read=_read_public_url)
