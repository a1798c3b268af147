"""
Who calls the VXP gateway, and with which parameters: the header conventions of the VXP SDK, exactly.

All parameters are headers `XroadVnpt-<name>`. Three of them sign the others:

    sign-header-key   names joined with ";", without the prefix
    sign-header       compact JSON {"XroadVnpt-<name>": "<value>", …} of those headers
    hash-header       HMAC-SHA256 (hexadecimal) with the system's secret over the text of `sign-header` as it was sent

A parameter counts only when it is signed and its header says the same. Headers are never cleared by the SDK: those of
earlier calls travel along, also two whose names differ only in case (`docId`, `docid`), so names of the JSON are taken
as written, and what an operation does not need is ignored. The time stamp is that of the client object and may be weeks
old; every operation can be repeated without harm instead.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from adapters.vxp_words import ErrorCode, Failed, read_timestamp

PREFIX: Final = "XroadVnpt-"
MAX_HEADERS_BYTES: Final = 32 * 1024
"""All headers together; the SDK's reach some 3 KiB."""

_WRONG: Final = "Sai systemid hoac khoa bi mat"
_NOBODY: Final = b"nobody has this secret"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request whose caller is known."""

    system_id: str
    signed: Mapping[str, str] = field(repr=False)
    """Signed parameters by name, as written, without the prefix."""
    unsigned: frozenset[str]
    """Names of parameters that came without being signed, in lower case."""

    def get(self, name: str, default: str = "") -> str:
        """
        A parameter; by its exact name, else by any case of it.

        Raises:
            Failed: it came, and is not signed.
        """
        if name in self.signed:
            return self.signed[name]
        for known, value in self.signed.items():
            if known.lower() == name.lower():
                return value
        if name.lower() in self.unsigned:
            raise Failed(ErrorCode.CALLER, f"Header {PREFIX}{name} khong nam trong danh sach da ky")
        return default

    def need(self, name: str) -> str:
        """
        A parameter that must be there.

        Raises:
            Failed: it is not, or not signed.
        """
        value = self.get(name)
        if not value.strip():
            raise Failed(ErrorCode.REQUEST, f"Thieu header {PREFIX}{name}")
        return value.strip()


def claimed_system(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """
    The systemid the caller says it has. Proves nothing.

    Raises:
        Failed: it says none, or several, or more than anybody may.
    """
    return _text(_one(_values(headers), "systemid"))


def read_call(
    headers: Sequence[tuple[bytes, bytes]],
    *,
    secret: bytes | None,
    now: datetime,
    max_age: timedelta | None,
) -> Call:
    """
    The caller and what it signed. `secret` is that of `claimed_system`; None when there is no such system.

    Raises:
        Failed: nobody we know signed this, or not so.
    """
    found = _values(headers)
    system_id = _text(_one(found, "systemid"))
    shown, text = _one(found, "hash-header"), _one(found, "sign-header")
    # Unknown systems take the same way, so that time does not tell which there are.
    if not _is_signed(text, shown, secret=_NOBODY if secret is None else secret) or secret is None:
        raise Failed(ErrorCode.CALLER, _WRONG)
    signed = _read_signed(text)
    _check_list(signed, _text(_one(found, "sign-header-key")))
    for name, value in signed.items():
        if not _is_same(value, found.get(f"{PREFIX}{name}".lower(), ())):
            raise Failed(ErrorCode.CALLER, f"Header {PREFIX}{name} khac noi dung da ky")
    if any(value != system_id for name, value in signed.items() if name.lower() == "systemid"):
        raise Failed(ErrorCode.CALLER, _WRONG)
    _check_age(signed, now=now, max_age=max_age)
    known = {f"{PREFIX}{name}".lower() for name in signed}
    return Call(
        system_id=system_id,
        signed=signed,
        unsigned=frozenset(
            name.removeprefix(PREFIX.lower())
            for name in found
            if name.startswith(PREFIX.lower()) and name not in known
        ),
    )


def _values(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, tuple[bytes, ...]]:
    if sum(len(name) + len(value) for name, value in headers) > MAX_HEADERS_BYTES:
        raise Failed(ErrorCode.REQUEST, "Header qua dai")
    found: dict[str, tuple[bytes, ...]] = {}
    for name, value in headers:
        key = name.decode("latin-1").lower()
        found[key] = (*found.get(key, ()), value.strip())
    return found


def _one(found: Mapping[str, tuple[bytes, ...]], name: str) -> bytes:
    values = found.get(f"{PREFIX}{name}".lower(), ())
    if len(set(values)) != 1 or not values[0]:
        raise Failed(ErrorCode.CALLER, f"Can dung mot header {PREFIX}{name}")
    return values[0]


def _text(value: bytes) -> str:
    """As sent: UTF-8 by some, Latin-1 by the SDK's library."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _is_signed(text: bytes, shown: bytes, *, secret: bytes) -> bool:
    # The client signs the UTF-8 of the text; its HTTP library may have sent it as Latin-1.
    forms = {text, text.decode("latin-1").encode()}
    expected = [hmac.new(secret, one, hashlib.sha256).hexdigest().encode() for one in sorted(forms)]
    return any(hmac.compare_digest(one, shown.lower()) for one in expected)


def _read_signed(text: bytes) -> dict[str, str]:
    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        members = dict(pairs)
        if len(members) != len(pairs):
            raise ValueError("a name twice")
        return members

    try:
        members = json.loads(_text(text), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise Failed(ErrorCode.CALLER, "sign-header khong phai JSON") from error
    if not isinstance(members, dict):
        raise Failed(ErrorCode.CALLER, "sign-header khong phai JSON")
    signed: dict[str, str] = {}
    for name, value in members.items():
        if not name.lower().startswith(PREFIX.lower()) or not isinstance(value, str):
            raise Failed(ErrorCode.CALLER, f"sign-header: {name[:60]} khong dung dang")
        signed[name[len(PREFIX) :]] = value
    return signed


def _check_list(signed: Mapping[str, str], listed: str) -> None:
    names = [name for name in listed.split(";") if name]
    if sorted(names) != sorted(signed):
        raise Failed(ErrorCode.CALLER, "sign-header-key khac sign-header")


def _is_same(value: str, headers: Sequence[bytes]) -> bool:
    """Whether one of the headers of this name says it; a proxy may have joined several with a comma."""
    wanted = value.strip()
    forms = {_text(one) for one in headers} | {one.decode("latin-1") for one in headers}
    return wanted in forms or any(wanted in (part.strip() for part in one.split(",")) for one in forms)


def _check_age(signed: Mapping[str, str], *, now: datetime, max_age: timedelta | None) -> None:
    if max_age is None:
        return
    stamp = next((value for name, value in signed.items() if name.lower() == "timestamp"), "")
    at = read_timestamp(stamp)
    if at is None:
        raise Failed(ErrorCode.CALLER, "timestamp: can dang ddMMyyyyTHHmmss+SSSS, da ky")
    if not -timedelta(days=1) <= now - at <= max_age:
        raise Failed(ErrorCode.CALLER, "timestamp qua cu hoac sai gio")


def hash_forms(digest: bytes) -> frozenset[str]:
    """
    How a client may write the SHA-256 of its file: correctly, or as the SDK does, every byte without its leading zero.
    """
    return frozenset({digest.hex(), "".join(f"{one:x}" for one in digest)})
