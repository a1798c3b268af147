"""Uploads come in pieces, each station's apart, and only who uploaded a payload may name it by its digest."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from axis.core.errors import NotFound, ServiceUnavailable, UploadRefused, WrongOffset
from axis.core.model import Digest, StationId
from axis.core.reasons import ReasonCode
from axis.ledger.blobs import FileBlobs
from axis.ledger.store import SQLLedger
from axis.ledger.uploads import Spool, SQLUploads
from tests.ledger.builders import NOON, Clock

MINE, THEIRS = StationId("bo-y-te"), StationId("tay-ninh")
CONTENT = random.Random(7).randbytes(3_000_001)
DIGEST = Digest(hashlib.sha256(CONTENT).hexdigest())


async def pieces(*contents: bytes) -> AsyncIterator[bytes]:
    """The pieces of one request."""
    for one in contents:
        yield one


async def broken(*contents: bytes) -> AsyncIterator[bytes]:
    """The pieces of a request whose connection breaks after them."""
    for one in contents:
        yield one
    raise ConnectionResetError


def cut(content: bytes, size: int) -> Sequence[bytes]:
    """The content in parts of that size."""
    return [content[start : start + size] for start in range(0, len(content), size)]


@pytest.fixture(name="spool")
def _spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


# --- the spool ----------------------------------------------------------------------------------------------------


async def test_an_upload_in_one_piece(spool: Spool, tmp_path: Path) -> None:
    """A complete upload becomes a file that `Blobs.put` moves in, and nothing of it stays in the spool."""
    blobs = FileBlobs(tmp_path / "blobs")

    assert await spool.append(MINE, DIGEST, offset=0, pieces=pieces(*cut(CONTENT, 65_536))) == len(CONTENT)
    assert list(await blobs.put([await spool.finish(MINE, DIGEST)])) == [DIGEST]

    assert await blobs.read(DIGEST) == CONTENT
    assert await spool.offset(MINE, DIGEST) == 0
    assert not [path for path in (tmp_path / "spool").rglob("*") if path.is_file()]


async def test_an_upload_goes_on_where_it_broke_off(spool: Spool) -> None:
    """What came before the connection broke counts, down to the byte."""
    with pytest.raises(ConnectionResetError):
        await spool.append(
            MINE, DIGEST, offset=0, pieces=broken(CONTENT[:1_500_000], CONTENT[1_500_000:1_500_007])
        )
    assert await spool.offset(MINE, DIGEST) == 1_500_007

    await spool.append(MINE, DIGEST, offset=1_500_007, pieces=pieces(CONTENT[1_500_007:]))

    assert (await spool.finish(MINE, DIGEST)).read_bytes() == CONTENT


async def test_another_process_goes_on_with_it(spool: Spool, tmp_path: Path) -> None:
    """Nothing of an upload is in memory."""
    await spool.append(MINE, DIGEST, offset=0, pieces=pieces(CONTENT[:10]))

    await Spool(tmp_path / "spool").append(MINE, DIGEST, offset=10, pieces=pieces(CONTENT[10:]))

    assert (await spool.finish(MINE, DIGEST)).read_bytes() == CONTENT


@pytest.mark.parametrize("offset", [0, 9, 11, 2**40])
async def test_a_piece_that_continues_nothing_is_told_where_to_go_on(spool: Spool, offset: int) -> None:
    """No gap and no overlap: the answer says where the upload ends."""
    await spool.append(MINE, DIGEST, offset=0, pieces=pieces(CONTENT[:10]))

    with pytest.raises(WrongOffset) as wrong:
        await spool.append(MINE, DIGEST, offset=offset, pieces=pieces(b"x"))

    assert wrong.value.offset == 10
    assert await spool.offset(MINE, DIGEST) == 10


async def test_two_requests_do_not_add_at_the_same_time(spool: Spool, tmp_path: Path) -> None:
    """While one request adds, another gets the offset; when it is done, the other may."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield CONTENT[:5]
        arrived.set()
        await go_on.wait()
        yield CONTENT[5:10]

    first = asyncio.create_task(spool.append(MINE, DIGEST, offset=0, pieces=slow()))
    await arrived.wait()
    for other in (spool, Spool(tmp_path / "spool")):
        with pytest.raises(WrongOffset):
            await other.append(MINE, DIGEST, offset=0, pieces=pieces(b"x"))
        with pytest.raises(WrongOffset):
            await other.finish(MINE, DIGEST)
    go_on.set()

    assert await first == 10
    assert await spool.append(MINE, DIGEST, offset=10, pieces=pieces(CONTENT[10:])) == len(CONTENT)


async def test_a_request_that_is_cancelled_keeps_what_came_and_lets_go(spool: Spool) -> None:
    """A cancelled request writes what it had, closes its file and gives its lock back."""
    arrived = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield CONTENT[:100]
        arrived.set()
        await asyncio.Event().wait()

    request = asyncio.create_task(spool.append(MINE, DIGEST, offset=0, pieces=endless()))
    await arrived.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request

    assert await spool.append(MINE, DIGEST, offset=100, pieces=pieces(CONTENT[100:])) == len(CONTENT)
    assert (await spool.finish(MINE, DIGEST)).read_bytes() == CONTENT


@pytest.mark.threat(
    "a payload is changed after it was verified", control="a verified upload has a name nobody writes to"
)
async def test_a_verified_upload_cannot_be_added_to(spool: Spool) -> None:
    """Once verified, nothing more gets into the file, neither by a new request nor by one that was waiting."""
    await spool.append(MINE, DIGEST, offset=0, pieces=pieces(CONTENT))

    path = await spool.finish(MINE, DIGEST)

    assert await spool.append(MINE, DIGEST, offset=len(CONTENT), pieces=pieces(b"more")) == len(CONTENT)
    with pytest.raises(WrongOffset):
        await spool.append(MINE, DIGEST, offset=0, pieces=pieces(b"other"))
    assert path.read_bytes() == CONTENT
    assert await spool.finish(MINE, DIGEST) == path, "a process that died here finds it again"


async def test_other_bytes_than_the_digest_says_are_gone(spool: Spool) -> None:
    """A wrong upload is refused, deleted, and may be begun anew."""
    await spool.append(MINE, DIGEST, offset=0, pieces=pieces(CONTENT[:-1] + b"?"))

    with pytest.raises(UploadRefused) as refused:
        await spool.finish(MINE, DIGEST)

    assert refused.value.reason is ReasonCode.RECEIVE_DIGEST
    assert await spool.offset(MINE, DIGEST) == 0
    with pytest.raises(NotFound):
        await spool.finish(MINE, DIGEST)


async def test_too_much_is_refused_while_it_comes(tmp_path: Path) -> None:
    """An upload without end stops at the limit, and nothing of it stays."""
    spool = Spool(tmp_path, most_bytes=1_000_000)
    given = 0

    async def flood() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 100_000
            yield b"f" * 100_000

    with pytest.raises(UploadRefused) as refused:
        await spool.append(MINE, DIGEST, offset=0, pieces=flood())

    assert refused.value.reason is ReasonCode.RECEIVE_TOO_LARGE
    assert given == 1_100_000
    assert await spool.offset(MINE, DIGEST) == 0


async def test_a_station_has_so_many_uploads_and_no_more(tmp_path: Path) -> None:
    """One station cannot fill the spool with beginnings; the others are not held up by it."""
    spool = Spool(tmp_path, most_uploads=3)
    digests = [Digest(f"{number:064x}") for number in range(4)]
    for digest in digests[:3]:
        await spool.append(MINE, digest, offset=0, pieces=pieces(b"x"))

    with pytest.raises(UploadRefused) as refused:
        await spool.append(MINE, digests[3], offset=0, pieces=pieces(b"x"))

    assert refused.value.reason is ReasonCode.RECEIVE_QUOTA
    await spool.append(MINE, digests[0], offset=1, pieces=pieces(b"y"))
    await spool.append(THEIRS, digests[3], offset=0, pieces=pieces(b"x"))


@pytest.mark.threat("one station adds to or sees another's upload", control="a spool for each station")
async def test_stations_do_not_see_each_other(spool: Spool) -> None:
    """The same digest at two stations is two uploads."""
    await spool.append(MINE, DIGEST, offset=0, pieces=pieces(CONTENT))

    assert await spool.offset(THEIRS, DIGEST) == 0
    with pytest.raises(NotFound):
        await spool.finish(THEIRS, DIGEST)
    await spool.append(THEIRS, DIGEST, offset=0, pieces=pieces(b"theirs"))
    await spool.discard(THEIRS, DIGEST)
    assert (await spool.finish(MINE, DIGEST)).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("station", "digest"),
    [
        ("..", DIGEST),
        ("", DIGEST),
        ("a/b", DIGEST),
        ("UPPER", DIGEST),
        ("bo-y-te\n", DIGEST),
        ("bo-y-te", ""),
        ("bo-y-te", "../" + "a" * 61),
        ("bo-y-te", DIGEST.upper()),
        ("bo-y-te", DIGEST + "\n"),
        ("bo-y-te", "\0" * 64),
    ],
)
async def test_names_that_lead_elsewhere_are_not_found(spool: Spool, station: str, digest: str) -> None:
    """Neither the station nor the digest can be a path."""
    for call in (
        spool.append(StationId(station), Digest(digest), offset=0, pieces=pieces(b"x")),
        spool.offset(StationId(station), Digest(digest)),
        spool.finish(StationId(station), Digest(digest)),
        spool.discard(StationId(station), Digest(digest)),
    ):
        with pytest.raises(NotFound):
            await call


async def test_a_link_is_not_followed(spool: Spool, tmp_path: Path) -> None:
    """A link somebody put into the spool leads nowhere."""
    target = tmp_path / "elsewhere"
    target.write_bytes(b"precious")
    (tmp_path / "spool" / MINE).mkdir(parents=True)
    (tmp_path / "spool" / MINE / DIGEST).symlink_to(target)

    with pytest.raises(ServiceUnavailable):
        await spool.append(MINE, DIGEST, offset=8, pieces=pieces(b"x"))

    assert target.read_bytes() == b"precious"


async def test_uploads_expire(spool: Spool, tmp_path: Path) -> None:
    """What nobody added to for long is deleted, finished or not; what is being added to is not."""
    now = datetime(2026, 3, 2, tzinfo=UTC)
    digests = [Digest(f"{number:064x}") for number in range(3)]
    whole = Digest(hashlib.sha256(b"whole").hexdigest())
    for digest in digests:
        await spool.append(MINE, digest, offset=0, pieces=pieces(b"x"))
    await spool.append(THEIRS, whole, offset=0, pieces=pieces(b"whole"))
    await spool.finish(THEIRS, whole)
    for path in (tmp_path / "spool").glob("*/*"):
        hours = 1 if path.name == digests[2] else 30
        os.utime(path, ((now - timedelta(hours=hours)).timestamp(),) * 2)
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        arrived.set()
        await go_on.wait()
        yield b"y"

    busy = asyncio.create_task(spool.append(MINE, digests[1], offset=1, pieces=slow()))
    await arrived.wait()

    assert await spool.expire(before=now - timedelta(hours=24)) == 2

    go_on.set()
    assert await busy == 2
    assert [await spool.offset(MINE, one) for one in digests] == [0, 2, 1]
    assert await spool.offset(THEIRS, whole) == 0


# --- who uploaded what --------------------------------------------------------------------------------------------


@pytest.mark.threat(
    "a station gets hold of a payload by naming its digest",
    control="only what the station uploaded itself in the last 24 hours may be submitted by digest",
)
async def test_only_who_uploaded_it_may_name_it(ledger: SQLLedger) -> None:
    """A station's upload is its own."""
    uploads = SQLUploads(ledger, clock=Clock())

    await uploads.record(MINE, DIGEST, size=len(CONTENT), at=NOON)

    assert await uploads.uploaded(MINE, DIGEST)
    assert not await uploads.uploaded(THEIRS, DIGEST)
    assert not await uploads.uploaded(MINE, Digest("0" * 64))


async def test_an_upload_counts_for_24_hours(ledger: SQLLedger) -> None:
    """After a day it must be uploaded again, and then counts again."""
    clock = Clock()
    uploads = SQLUploads(ledger, clock=clock)
    await uploads.record(MINE, DIGEST, size=1, at=NOON)

    clock.set(NOON + timedelta(hours=24) - timedelta(seconds=1))
    assert await uploads.uploaded(MINE, DIGEST)
    clock.set(NOON + timedelta(hours=24))
    assert not await uploads.uploaded(MINE, DIGEST)

    await uploads.record(MINE, DIGEST, size=1, at=clock.now())
    assert await uploads.uploaded(MINE, DIGEST)


async def test_old_uploads_are_forgotten(ledger: SQLLedger) -> None:
    """Rows that count no more can be deleted."""
    uploads = SQLUploads(ledger, clock=Clock())
    for hours in (0, 30, 40):
        digest = Digest(f"{hours:064x}")
        await uploads.record(MINE, digest, size=1, at=NOON - timedelta(hours=hours))

    assert await uploads.forget(before=NOON - timedelta(hours=24)) == 2

    async with ledger.reading() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM upload"))).scalar() == 1
