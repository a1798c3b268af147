"""Payloads are stored once, whole or not at all, and survive whoever stores them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axis.core.errors import NotFound, ServiceUnavailable
from axis.core.model import Digest
from axis.ledger.blobs import FileBlobs
from tests.blobs.together import payloads

_ROOT = Path(__file__).parents[2]


def a_digest(content: bytes) -> Digest:
    return Digest(hashlib.sha256(content).hexdigest())


def everything(root: Path) -> list[str]:
    """Names of all blobs and of all unfinished files."""
    return sorted(path.name for path in root.glob("*/*"))


def a_folder_elsewhere(folder: Path) -> Path:
    """A folder on another file system than `folder`."""
    for other in (Path("/dev/shm"), Path("/run"), Path("/tmp")):
        if other.is_dir() and other.stat().st_dev != folder.stat().st_dev:
            return other
    raise AssertionError("this test needs a second file system, such as /dev/shm")


def open_files() -> int:
    """How many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(name="blobs")
def _blobs(tmp_path: Path) -> FileBlobs:
    return FileBlobs(tmp_path / "blobs")


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, to its end."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


async def test_put_returns_digests_in_order_and_reads_the_same_bytes(blobs: FileBlobs) -> None:
    """Every payload is found under its SHA-256, the digests stand in the order of the payloads."""
    contents = [b"one", b"", b"three" * 100_000, b"one"]

    digests = await blobs.put(contents)

    assert [a_digest(one) for one in contents] == list(digests)
    assert contents == [await blobs.read(one) for one in digests]
    assert [await blobs.size(one) for one in digests] == [3, 0, 500_000, 3]


async def test_a_payload_is_stored_once(blobs: FileBlobs, tmp_path: Path) -> None:
    """A blob that exists is not written again, whether it comes as bytes or as a file."""
    [digest] = await blobs.put([b"content"])
    before = blobs.path(digest).stat()
    file = tmp_path / "again"
    file.write_bytes(b"content")

    assert [digest, digest] == list(await blobs.put([b"content", file]))

    after = blobs.path(digest).stat()
    # The same file; its time says when it was handed in last, which is what keeps a purge away from it.
    assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size)
    assert before.st_mtime_ns <= after.st_mtime_ns
    assert [digest] == everything(tmp_path / "blobs")
    assert not file.exists()


async def test_a_blob_of_another_size_is_written_anew(blobs: FileBlobs) -> None:
    """What a broken disk cut short is replaced by the whole payload when that comes again."""
    [digest] = await blobs.put([b"content"])
    blobs.path(digest).write_bytes(b"con")

    await blobs.put([b"content"])

    assert await blobs.read(digest) == b"content"


async def test_a_file_is_moved_in(blobs: FileBlobs, tmp_path: Path) -> None:
    """A finished file becomes the blob itself; nothing is copied."""
    file = tmp_path / "upload"
    file.write_bytes(b"x" * 3_000_000)
    inode = file.stat().st_ino

    [digest] = await blobs.put([file])

    assert a_digest(b"x" * 3_000_000) == digest
    assert inode == blobs.path(digest).stat().st_ino
    assert not file.exists()


async def test_a_file_on_another_disk_is_copied_in(blobs: FileBlobs, tmp_path: Path) -> None:
    """Where a rename cannot work, the file is copied with the same care and then removed."""
    file = a_folder_elsewhere(tmp_path) / f"axis-test-{os.getpid()}"
    file.write_bytes(b"y" * 2_500_000)
    try:
        [digest] = await blobs.put([file])
    finally:
        remains = file.exists()
        file.unlink(missing_ok=True)

    assert await blobs.read(digest) == b"y" * 2_500_000
    assert not remains
    assert [digest] == everything(tmp_path / "blobs")


async def test_a_blob_given_as_a_file_stays_where_it_is(blobs: FileBlobs) -> None:
    """A submission by digest hands the blob itself in: it is kept, not moved onto itself."""
    [digest] = await blobs.put([b"uploaded before"])

    assert [digest] == list(await blobs.put([blobs.path(digest)]))
    assert await blobs.read(digest) == b"uploaded before"


async def test_a_file_that_is_not_there_is_not_found(blobs: FileBlobs, tmp_path: Path) -> None:
    """A missing file is told apart from a disk that fails."""
    with pytest.raises(NotFound):
        await blobs.put([tmp_path / "nothing"])


async def test_missing_blobs(blobs: FileBlobs) -> None:
    """What does not exist has no size, cannot be read, and may be removed."""
    digest = a_digest(b"never stored")

    assert await blobs.size(digest) is None
    await blobs.remove([digest])
    with pytest.raises(NotFound):
        await blobs.read(digest)
    with pytest.raises(NotFound):
        await anext(aiter(blobs.stream(digest)))


@pytest.mark.parametrize(
    "name",
    ["", "../../etc/passwd", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 64 + "\n", "/" * 64, "é" * 64],
)
async def test_a_text_that_is_no_digest_names_no_file(blobs: FileBlobs, name: str) -> None:
    """Whatever comes over the wire as a digest cannot lead out of the folder."""
    digest = Digest(name)

    assert await blobs.size(digest) is None
    await blobs.remove([digest])
    with pytest.raises(NotFound):
        blobs.path(digest)
    with pytest.raises(NotFound):
        await blobs.read(digest)


@given(
    size=st.integers(0, 2_600_000),
    start=st.integers(0, 2_700_000),
    length=st.none() | st.integers(0, 2_700_000),
)
async def test_streams_any_range(
    tmp_path_factory: pytest.TempPathFactory, size: int, start: int, length: int | None
) -> None:
    """A stream gives exactly the bytes from `start` to before `end`, in pieces of at most 1 MiB."""
    blobs = FileBlobs(tmp_path_factory.getbasetemp() / "ranges")
    content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    [digest] = await blobs.put([content])
    end = None if length is None else start + length

    pieces = [piece async for piece in blobs.stream(digest, start=start, end=end)]

    assert content[start:end] == b"".join(pieces)
    assert all(0 < len(piece) <= 1024 * 1024 for piece in pieces)


async def test_a_stream_that_is_given_up_closes_its_file(blobs: FileBlobs) -> None:
    """A reader that hangs up leaves no open file behind."""
    [digest] = await blobs.put([b"z" * 3_000_000])
    before = open_files()
    stream = blobs.stream(digest)
    await anext(aiter(stream))

    await stream.aclose()  # type: ignore[attr-defined]  # an async generator, which the port does not promise

    assert before == open_files()


async def test_removed_blobs_are_gone(blobs: FileBlobs, tmp_path: Path) -> None:
    """Remove deletes what it is told and nothing else."""
    one, two, three = await blobs.put([b"1", b"2", b"3"])

    await blobs.remove([one, three])

    assert [two] == everything(tmp_path / "blobs")


async def test_sweep_deletes_old_unfinished_files_only(blobs: FileBlobs, tmp_path: Path) -> None:
    """What a killed process left goes after a while; what is being written now and finished blobs stay."""
    [digest] = await blobs.put([b"finished"])
    folder = tmp_path / "blobs" / "tmp"
    old, young = folder / "old", folder / "young"
    now = datetime(2026, 3, 2, tzinfo=UTC)
    for file, age in ((old, timedelta(hours=30)), (young, timedelta(minutes=1))):
        file.write_bytes(b"half")
        os.utime(file, ((now - age).timestamp(),) * 2)
    os.utime(blobs.path(digest), ((now - timedelta(days=300)).timestamp(),) * 2)

    assert await blobs.sweep(before=now - timedelta(hours=24)) == 1
    assert [digest, "young"] == sorted(everything(tmp_path / "blobs"))


async def test_the_file_is_synced_before_its_name_and_the_folder_after(
    blobs: FileBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A power cut cannot be had in a test, so the order of the calls is looked at: no name without synced bytes, no
    return without synced names, and one sync of a folder however many blobs it got.
    """
    calls: list[str] = []
    sync, rename = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        calls.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().parent.name}")
        sync(descriptor)

    def replace(self: Path, target: Path) -> Path:
        calls.append(f"name {target.parent.name}")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    first, second = (
        b"payload 1",
        next(
            content
            for number in range(100_000)
            if a_digest(content := b"other %d" % number)[:2] == a_digest(b"payload 1")[:2]
        ),
    )
    file = tmp_path / "spool"
    file.write_bytes(b"a file")
    shard, other = a_digest(first)[:2], a_digest(b"a file")[:2]

    await blobs.put([first, second, file])

    assert ["sync tmp", f"name {shard}", "sync tmp", f"name {shard}"] == calls[:4]
    assert [f"sync {tmp_path.name}", f"name {other}"] == calls[4:6]
    assert calls[6:] == ["sync blobs", "sync blobs"]

    calls.clear()
    await blobs.put([first])
    assert calls == ["sync blobs"], "the folder of a blob another process stored is synced too"


async def test_a_disk_that_fails_is_a_service_that_is_not_available(tmp_path: Path) -> None:
    """A folder that is not there any more, or cannot be made, is the disk's fault and not the message's."""
    blobs = FileBlobs(tmp_path / "blobs")
    for folder in (tmp_path / "blobs").iterdir():
        folder.rmdir()
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(ServiceUnavailable, match="disk"):
        await blobs.put([b"content"])
    with pytest.raises(ServiceUnavailable, match="disk"):
        FileBlobs(tmp_path / "file" / "blobs")


def test_a_full_disk_refuses_whole_payloads(tmp_path: Path) -> None:
    """When the disk takes no more, nothing half is left, and what was stored stays."""
    result = run("tests.blobs.full", str(tmp_path / "blobs"))

    assert (result.returncode, result.stdout.strip()) == (0, ""), result.stderr


async def test_two_processes_store_the_same_payloads(tmp_path: Path) -> None:
    """Processes that store the same at the same time do not disturb each other, and leave one of each."""
    root = tmp_path / "blobs"
    FileBlobs(root)

    async def store(seed: int) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.blobs.together", str(root), str(seed)),
            cwd=_ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        await process.stdout.readline()
        return process

    processes: Sequence[asyncio.subprocess.Process] = [await store(seed) for seed in range(3)]
    await asyncio.gather(*(process.communicate(b"go\n") for process in processes))

    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(a_digest(one) for one in payloads()) == everything(root)
    assert all(a_digest(path.read_bytes()) == path.name for path in root.glob("*/*"))


@pytest.mark.threat(
    "a crash while a payload is stored", control="temporary file, sync, rename, sync of the folder"
)
def test_killed_at_any_moment_leaves_whole_blobs_or_none(tmp_path: Path) -> None:
    """
    After SIGKILL at 150 random moments every blob is whole, every confirmed one is there, and a file that was being
    moved in is in exactly one place.
    """
    seed = int.from_bytes(os.urandom(3), "big")

    result = run("tests.blobs.killed", str(tmp_path / "blobs"), "150", str(seed))

    assert result.returncode == 0, result.stdout + result.stderr
