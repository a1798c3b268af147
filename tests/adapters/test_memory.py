"""A station's memory survives any crash, belongs to one process, and does not grow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import memory as module
from adapters.errors import MemoryUnusable
from adapters.memory import Memory

STATION = "bo-noi-vu"


def opened(folder: Path) -> Memory:
    return Memory(station=STATION, folder=folder)


def test_facts_survive_the_process(tmp_path: Path) -> None:
    """Deliveries, withdrawals, event index, pushed events and checkpoint are there again."""
    first = opened(tmp_path)
    first.remember_done(["d1", "d2"])
    first.remember_withdrawn("c1")
    first.advance_feed(17)
    first.remember_heard([3, 4])
    first.remember_checkpoint("note\n")
    first.close()

    again = opened(tmp_path)

    assert again.is_done(["d1", "d2"])
    assert not again.is_done(["d1", "d3"])
    assert not again.is_done([])
    assert again.is_withdrawn("c1")
    assert (again.feed, again.checkpoint) == (17, "note\n")
    assert again.has_heard(4)
    assert not again.has_heard(5)
    again.close()


def test_without_a_folder_everything_ends_with_the_process() -> None:
    """The same facts, kept in memory."""
    forgetful = Memory(station=STATION, folder=None)
    forgetful.remember_done(["d1"])

    assert forgetful.is_done(["d1"])
    assert forgetful.spool.is_dir()
    assert forgetful.keep_evidence("x", {}) is None
    spool = forgetful.spool
    forgetful.close()
    assert not spool.exists()


@settings(max_examples=25)
@given(cut=st.integers(min_value=0, max_value=400))
def test_a_file_torn_anywhere_gives_back_the_facts_before_it(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    """Cut at any byte behind the snapshot: whole lines count, the torn one never happened."""
    folder = tmp_path_factory.mktemp("torn")
    made = opened(folder)
    base = (folder / "memory.jsonl").stat().st_size
    for number in range(10):
        made.remember_done([f"delivery-{number}"])
    made.close()
    body = (folder / "memory.jsonl").read_bytes()
    kept = body[: min(len(body), base + cut)]
    (folder / "memory.jsonl").write_bytes(kept)

    again = opened(folder)

    whole = kept[base:].count(b"\n")
    assert [again.is_done([f"delivery-{number}"]) for number in range(10)] == [
        number < whole for number in range(10)
    ]
    again.remember_done(["later"])
    again.close()
    once_more = opened(folder)
    assert once_more.is_done(["later"])
    once_more.close()


@pytest.mark.parametrize(
    "damage",
    [b"\x00" * 40 + b"\n", b"not json\n", b'{"done": 5}\n', b'{"feed": "x"}\n', b"[1]\n", b"\xff\xfe\n"],
)
def test_damage_is_said_and_nothing_is_thrown_away(tmp_path: Path, damage: bytes) -> None:
    """A line in the middle that is no fact: the folder is refused, with what that means and what to do."""
    made = opened(tmp_path)
    made.remember_done(["d1"])
    made.close()
    file = tmp_path / "memory.jsonl"
    file.write_bytes(file.read_bytes() + damage + b'{"done":["d2"]}\n')
    before = file.read_bytes()

    with pytest.raises(MemoryUnusable, match="damaged"):
        opened(tmp_path)

    assert before == file.read_bytes()


def test_a_folder_belongs_to_one_station_and_one_process(tmp_path: Path) -> None:
    """Another station's folder, or one in use, is refused; when its process dies it is free."""
    held = opened(tmp_path)
    with pytest.raises(MemoryUnusable, match="in use"):
        opened(tmp_path)
    held.close()
    with pytest.raises(MemoryUnusable, match="state folder of"):
        Memory(station="ha-noi", folder=tmp_path)
    script = (
        "import os, sys; from pathlib import Path; from adapters.memory import Memory;"
        f" Memory(station={STATION!r}, folder=Path(sys.argv[1])).remember_done(['d9']); os._exit(9)"
    )
    died = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)

    again = opened(tmp_path)

    assert died.returncode == 9
    assert again.is_done(["d9"])
    again.close()


def test_it_does_not_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest deliveries are forgotten, and the file is written anew."""
    monkeypatch.setattr(module, "MAX_DONE", 100)
    monkeypatch.setattr(module, "_GROWN_BYTES", 5_000)
    made = opened(tmp_path)
    for number in range(400):
        made.remember_done([f"delivery-{number:06d}"])

    assert (tmp_path / "memory.jsonl").stat().st_size < 6_000
    assert made.is_done(["delivery-000399"])
    assert made.is_done(["delivery-000300"])
    assert not made.is_done(["delivery-000299"])
    made.close()


def test_a_full_disk_forgets_nothing(tmp_path: Path) -> None:
    """A write that fails is told, changes nothing, and the next one that works is whole."""
    made = opened(tmp_path)
    made.remember_done(["d1"])
    file = made._file
    assert file is not None
    limit = file.size + 10
    script = f"""
import resource, sys
from pathlib import Path
from adapters.errors import MemoryUnusable
from adapters.memory import Memory
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
made = Memory(station={STATION!r}, folder=Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
try:
    made.remember_done(["too long for this disk"])
except MemoryUnusable:
    assert not made.is_done(["too long for this disk"])
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    made.remember_done(["d2"])
    sys.exit(7)
"""
    made.close()
    ran = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)

    again = opened(tmp_path)

    assert ran.returncode == 7
    assert again.is_done(["d1"])
    assert again.is_done(["d2"])
    again.close()


# --- letters ------------------------------------------------------------------------------------------------------


def letters(numbers: range) -> list[bytes]:
    return [json.dumps({"number": number}).encode() for number in numbers]


def read_all(memory: Memory) -> list[bytes]:
    unread = memory.unread("events")
    found = []
    while (one := unread.first()) is not None:
        found.append(one)
        unread.forget_first()
    return found


def test_letters_are_read_in_order_and_once(tmp_path: Path) -> None:
    """Over two processes; the one that was not read to its end comes again."""
    made = opened(tmp_path)
    made.unread("events").add(letters(range(500)))
    for _ in range(321):
        assert made.unread("events").first() is not None
        made.unread("events").forget_first()
    under_way = made.unread("events").first()
    made.close()

    again = opened(tmp_path)
    rest = read_all(again)
    again.unread("events").add(letters(range(500, 503)))

    assert letters(range(321, 500)) == rest
    assert under_way == rest[0]
    assert read_all(again) == letters(range(500, 503))
    assert (tmp_path / "events.jsonl").stat().st_size == 0
    again.close()


@pytest.mark.parametrize("emptied", [True, False])
def test_a_crash_while_letters_are_emptied_loses_none(tmp_path: Path, emptied: bool) -> None:
    """Killed between emptying the file and noting it: what comes later is read all the same."""
    made = opened(tmp_path)
    made.unread("events").add(letters(range(3)))
    read_all(made)
    made.unread("events").add(letters(range(3, 6)))
    made.unread("events").first()
    made.unread("events").forget_first()
    made.close()
    if emptied:
        os.truncate(tmp_path / "events.jsonl", 0)

    again = opened(tmp_path)
    before = read_all(again)
    again.unread("events").add(letters(range(6, 8)))

    assert before == ([] if emptied else letters(range(4, 6)))
    assert read_all(again) == letters(range(6, 8))
    again.close()


def test_letters_nobody_reads_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a file and in memory: what comes when there is no room is not kept, and that is told."""
    monkeypatch.setattr(module, "MAX_UNREAD_BYTES", 1_000)
    monkeypatch.setattr(module, "MAX_UNREAD_IN_MEMORY", 50)
    on_disk = opened(tmp_path)
    in_memory = Memory(station=STATION, folder=None)

    for memory in (on_disk, in_memory):
        kept = [memory.unread("events").add(letters(range(number, number + 1))) for number in range(100)]
        assert kept[0]
        assert not kept[-1]
        assert read_all(memory) == letters(range(kept.index(False)))
        assert memory.unread("events").add(letters(range(1)))
        memory.close()
