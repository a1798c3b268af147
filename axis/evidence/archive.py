"""
The one zip file that certain members make: stored, sorted by name, fixed times and attributes.

There is exactly one archive for a set of members, so whoever reads one makes it anew and compares: a byte in front,
behind or between, another order, a comment, an attribute, a second member of one name, all of it is refused. Written
and read without `zipfile`, whose output is not promised to stay the same. Nothing here knows what the members are.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Final
from zlib import crc32

from axis.core.errors import AxisError

MOST_MEMBERS: Final = 65_000
MOST_BYTES: Final = 2**31

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*\Z")
_LOCAL: Final = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL: Final = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END: Final = struct.Struct("<4sHHHHIIH")
_VERSION: Final = 20
_MADE_BY: Final = 3 << 8 | _VERSION
"""Unix, so that the attributes mean permissions."""
_TIME, _DATE = 0, 0x21
"""1 January 1980, 00:00: the first moment a zip file can say."""
_ATTRIBUTES: Final = 0o100644 << 16


class ArchiveError(AxisError):
    """The bytes are not the archive of any members."""


def write_archive(members: Mapping[str, bytes]) -> bytes:
    """
    The archive of the members.

    Raises:
        ArchiveError: a name that is not plain ASCII of letters, digits, `.`, `-`, `_` and `/`; or too much of it.
    """
    if len(members) > MOST_MEMBERS or sum(map(len, members.values())) > MOST_BYTES:
        raise ArchiveError(f"more than {MOST_MEMBERS} members or {MOST_BYTES} bytes")
    body, directory = bytearray(), bytearray()
    for name in sorted(members):
        if _NAME.match(name) is None or len(name) > 200:
            raise ArchiveError(f"{name[:80]!r} cannot name a member")
        content, raw = members[name], name.encode("ascii")
        check, size = crc32(content), len(content)
        at = len(body)
        body += _LOCAL.pack(b"PK\3\4", _VERSION, 0, 0, _TIME, _DATE, check, size, size, len(raw), 0)
        body += raw + content
        directory += _CENTRAL.pack(
            b"PK\1\2", _MADE_BY, _VERSION, 0, 0, _TIME, _DATE, check, size, size, len(raw), 0, 0, 0, 0,
            _ATTRIBUTES, at,
        ) + raw  # fmt: skip
    count = len(members)
    end = _END.pack(b"PK\5\6", 0, 0, count, count, len(directory), len(body), 0)
    return bytes(body + directory + end)


def read_archive(archive: bytes) -> dict[str, bytes]:
    """
    The members of an archive that `write_archive` would write.

    Raises:
        ArchiveError: it is none, or one that somebody else wrote.
    """
    try:
        members = _members(archive)
    except (struct.error, UnicodeDecodeError) as problem:
        raise ArchiveError("no zip file, or a part of one") from problem
    again = write_archive(members)
    if again != archive:
        raise ArchiveError(
            f"it is not what its members make, from byte {_first_difference(again, archive)} on"
        )
    return members


def _first_difference(one: bytes, other: bytes) -> int:
    same, end = 0, min(len(one), len(other))
    while same < end:
        middle = (same + end + 1) // 2
        if one[same:middle] == other[same:middle]:
            same = middle
        else:
            end = middle - 1
    return same


def _members(archive: bytes) -> dict[str, bytes]:
    if len(archive) < _END.size or len(archive) > 2 * MOST_BYTES:
        raise ArchiveError("no zip file, or a part of one")
    mark, _, _, _, count, size, at, _ = _END.unpack(archive[-_END.size :])
    if mark != b"PK\5\6" or at + size + _END.size != len(archive):
        raise ArchiveError("no zip file, a part of one, or something stands behind it")
    members: dict[str, bytes] = {}
    for _ in range(count):
        entry = _CENTRAL.unpack(archive[at : at + _CENTRAL.size])
        method, content_size, name_size, start = entry[4], entry[9], entry[10], entry[16]
        at += _CENTRAL.size
        name = archive[at : at + name_size].decode("ascii")
        at += name_size
        if method != 0 or name in members:
            raise ArchiveError(f"{name[:80]!r} is compressed, or there twice")
        begin = start + _LOCAL.size + name_size
        members[name] = archive[begin : begin + content_size]
    return members
