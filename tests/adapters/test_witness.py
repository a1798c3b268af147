"""A rewritten history is found by the next station that talks to the axis."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from adapters.errors import BadAnswer, HistoryRewritten
from adapters.over_http import OverHTTP
from tests.adapters.contract import OTHER_KEYS, package, until
from tests.adapters.worlds import HTTPWorld, http_world
from tests.services.proxy import TCPProxy


@pytest.fixture(name="world")
async def _world(tmp_path: Path, tcp_proxy: Callable[[str], TCPProxy]) -> AsyncIterator[HTTPWorld]:
    async with http_world(tmp_path / "axis", tcp_proxy) as world:
        yield world


async def seen(world: HTTPWorld, state: Path, *, submissions: int = 5) -> None:
    """A station that has talked to the axis and remembers its log."""
    async with world.connect(state=state, trusted=world.trusted) as station:
        for number in range(submissions):
            await station.submit(package(number))
        checkpoint = await station.witness()
    assert checkpoint is not None
    assert submissions == checkpoint.size


async def test_a_log_that_grows_is_consistent(world: HTTPWorld, tmp_path: Path) -> None:
    """Looked at after every few records, over several processes: no alarm."""
    async with world.connect(trusted=world.trusted) as station:
        assert await station.witness() is None, "nothing was logged yet"
    for round_number in range(3):
        async with world.connect(state=tmp_path / "s", trusted=world.trusted) as station:
            for number in range(3):
                await station.submit(package(10 * round_number + number))
                await station.witness()
            assert station.alarm is None


async def test_looks_at_the_same_time_do_not_overtake_each_other(
    world: HTTPWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one look is shown late is older than what another has remembered meanwhile: no reason for an alarm."""
    real, grown, fetched = OverHTTP.checkpoint, asyncio.Event(), asyncio.Event()

    async def late(line: OverHTTP) -> str | None:
        note = await real(line)
        if not fetched.is_set():
            fetched.set()
            await grown.wait()
        return note

    await seen(world, tmp_path / "s")
    async with world.connect(state=tmp_path / "s", trusted=world.trusted) as station:
        monkeypatch.setattr(OverHTTP, "checkpoint", late)
        first = asyncio.ensure_future(station.witness())
        await fetched.wait()
        await station.submit(package(99))
        second = asyncio.ensure_future(station.witness())
        done, _ = await asyncio.wait({second}, timeout=1)
        grown.set()
        await asyncio.gather(first, second)
        assert station.alarm is None
    assert not done, "the second waits for the first"


def change(world: HTTPWorld) -> None:
    world.axis.log[1] = b'{"changed":true}'


def change_and_grow(world: HTTPWorld) -> None:
    change(world)
    world.axis.log += [b"{}"] * 4


def remove_last(world: HTTPWorld) -> None:
    del world.axis.log[-1]


def remove_all(world: HTTPWorld) -> None:
    world.axis.log.clear()


def remove_and_grow(world: HTTPWorld) -> None:
    del world.axis.log[2]
    world.axis.log += [b"{}"] * 4


@pytest.mark.parametrize("rewrite", [change, change_and_grow, remove_last, remove_all, remove_and_grow])
async def test_a_rewritten_history_raises_an_alarm(
    world: HTTPWorld, tmp_path: Path, rewrite: Callable[[HTTPWorld], None]
) -> None:
    """Changed, shortened or emptied: the next look says so, keeps both checkpoints, and goes on saying so."""
    await seen(world, tmp_path / "s")
    rewrite(world)

    for _ in range(2):
        async with world.connect(state=tmp_path / "s", trusted=world.trusted) as station:
            with pytest.raises(HistoryRewritten) as alarm:
                await station.witness()
            assert station.alarm is not None

    evidence = [json.loads(one.read_text()) for one in (tmp_path / "s" / "alarms").iterdir()]
    assert {alarm.value.seen} == {one["seen"] for one in evidence}
    assert alarm.value.shown in {one["shown"] for one in evidence}


async def test_the_alarm_comes_by_itself(world: HTTPWorld, tmp_path: Path) -> None:
    """A station that only opens its connection finds out, tells once, and goes on exchanging documents."""
    await seen(world, tmp_path / "s")
    change_and_grow(world)
    alarms: list[HistoryRewritten] = []

    async with world.connect(
        state=tmp_path / "s", trusted=world.trusted, on_alarm=alarms.append, witness_seconds=0.05
    ) as station:
        await until(lambda: bool(alarms))
        await station.submit(package(99))
        with pytest.raises(HistoryRewritten):
            await station.witness()

    # The log grew by the submission, so what is shown differs: each pair of checkpoints is told once.
    assert len(alarms) == len({one.shown for one in alarms})


async def test_a_new_epoch_is_an_alarm_once(world: HTTPWorld, tmp_path: Path) -> None:
    """Restored from a backup and said so: told once, and the new history is watched from then on."""
    await seen(world, tmp_path / "s")
    del world.axis.log[2:]
    world.axis.epoch = 2

    async with world.connect(state=tmp_path / "s", trusted=world.trusted) as station:
        with pytest.raises(HistoryRewritten, match="epoch 2"):
            await station.witness()
        after = await station.witness()
        assert after is not None
        world.axis.epoch = 1
        with pytest.raises(HistoryRewritten, match="epoch 1"):
            await station.witness()


async def test_without_keys_the_history_is_compared_all_the_same(world: HTTPWorld, tmp_path: Path) -> None:
    """Nobody pinned a key: the signature is not verified, a rewritten history is found."""
    async with world.connect(state=tmp_path / "s") as station:
        for number in range(3):
            await station.submit(package(number))
        await station.witness()
    change_and_grow(world)

    async with world.connect(state=tmp_path / "s") as station:
        with pytest.raises(HistoryRewritten):
            await station.witness()


async def test_a_checkpoint_by_another_key_is_not_believed(world: HTTPWorld) -> None:
    """With pinned keys it is no checkpoint at all, and nothing is remembered."""
    async with world.connect() as station:
        await station.submit(package())
    async with world.connect(trusted=OTHER_KEYS) as station:
        with pytest.raises(BadAnswer):
            await station.witness()
        assert station._open_one().memory.checkpoint is None
