"""Folders: what is dropped is sent once, what comes appears once, whenever the process dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters.folder import Folder
from adapters.station import Station
from axis.core.events import EventKind
from axis.core.exchange import Outcome, read_answer
from axis.core.model import DeliveryState, SubmissionState
from signing.receipts import verify_receipt
from tests.adapters import folder_victim
from tests.adapters.contract import OTHER_KEYS, package, until
from tests.adapters.pretend import Clock, Ids
from tests.adapters.worlds import HTTPWorld, http_world
from tests.services.proxy import TCPProxy


@pytest.fixture(name="world")
async def _world(tmp_path: Path, tcp_proxy: Callable[[str], TCPProxy]) -> AsyncIterator[HTTPWorld]:
    async with http_world(tmp_path / "axis", tcp_proxy) as world:
        yield world


@asynccontextmanager
async def served(station: Station, root: Path, *, settle_seconds: float = 0) -> AsyncIterator[None]:
    """The folders of a station, served as long as the block runs."""
    stop = asyncio.Event()
    folder = Folder(
        station,
        root,
        clock=Clock(),
        ids=Ids(mark=7),
        poll_seconds=0.02,
        settle_seconds=settle_seconds,
    )
    async with station:
        running = asyncio.ensure_future(folder.run(stop))
        try:
            await until(lambda: (root / "events").is_dir() or running.done())
            yield
        finally:
            stop.set()
            async with asyncio.timeout(10):
                await running


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


async def test_a_dropped_file_is_sent_and_its_answer_lies_beside_it(world: HTTPWorld, tmp_path: Path) -> None:
    """Accepted to `sent/`, refused to `refused/`; the answer is the axis's own, with a receipt that verifies."""
    root = tmp_path / "root"

    async with served(world.connect(trusted=world.trusted), root):
        (root / "out" / "công văn 7816.edxml").write_bytes(package())
        (root / "out" / "broken.XML").write_bytes(b"no XML")
        (root / "out" / "notes.txt").write_text("not ours")
        (root / "out" / "still.edxml.part").write_bytes(b"<")
        await until(lambda: len(names(root / "sent")) == len(names(root / "refused")) == 2)

    assert names(root / "sent") == ["công văn 7816.edxml", "công văn 7816.edxml.answer.json"]
    assert (root / "sent" / "công văn 7816.edxml").read_bytes() == package()
    answer = read_answer(json.loads((root / "sent" / "công văn 7816.edxml.answer.json").read_bytes()))
    assert answer.state is SubmissionState.ACCEPTED
    assert answer.receipt is not None
    verify_receipt(answer.receipt, keys=world.trusted)
    assert names(root / "refused") == ["broken.XML", "broken.XML.answer.json"]
    assert names(root / "out") == ["notes.txt", "still.edxml.part"]
    assert names(root / "sending") == []


async def test_a_file_that_is_still_being_written_waits(world: HTTPWorld, tmp_path: Path) -> None:
    """For systems that cannot rename: it is taken when it has not changed for a while."""
    root = tmp_path / "root"
    body = package()

    async with served(world.connect(), root, settle_seconds=0.3):
        path = root / "out" / "slow.edxml"
        for end in range(0, len(body), len(body) // 8):
            path.write_bytes(body[:end])
            await asyncio.sleep(0.1)
        path.write_bytes(body)
        await until(lambda: "slow.edxml" in names(root / "sent"))

    assert (root / "sent" / "slow.edxml").read_bytes() == body
    assert len(world.axis.taken) == 1


async def test_two_files_of_one_name_and_a_name_of_the_longest_kind(world: HTTPWorld, tmp_path: Path) -> None:
    """Nothing is written over; a name that leaves no room for others is cut beside it only."""
    root = tmp_path / "root"
    longest = "ắ" * 83 + ".edxml"
    assert len(longest.encode()) == 255

    async with served(world.connect(), root):
        for number in range(2):
            (root / "out" / "same.edxml").write_bytes(package(number))
            await until(lambda number=number: len(names(root / "sent")) == 2 * number + 2)  # type: ignore[misc]
        (root / "out" / longest).write_bytes(package(5))
        await until(lambda: longest in names(root / "sent"))

    kept = names(root / "sent")
    bodies = {(root / "sent" / one).read_bytes() for one in kept if one.endswith(".edxml")}
    assert bodies == {package(0), package(1), package(5)}
    assert len([one for one in kept if one.endswith(".answer.json")]) == 3


async def test_what_is_no_plain_file_is_left_alone(world: HTTPWorld, tmp_path: Path) -> None:
    """A link, a pipe, a folder that is named like a document."""
    root = tmp_path / "root"
    secret = tmp_path / "secret.edxml"
    secret.write_bytes(package(3))

    async with served(world.connect(), root):
        (root / "out" / "link.edxml").symlink_to(secret)
        os.mkfifo(root / "out" / "pipe.edxml")
        (root / "out" / "folder.edxml").mkdir()
        (root / "out" / "z-plain.edxml").write_bytes(package())
        await until(lambda: "z-plain.edxml" in names(root / "sent"))

    assert names(root / "out") == ["folder.edxml", "link.edxml", "pipe.edxml"]
    assert len(world.axis.taken) == 1


async def test_a_received_document_appears_with_what_is_said_of_it(world: HTTPWorld, tmp_path: Path) -> None:
    """Header and report are there before the document is; `done` is said when it lies there."""
    root = tmp_path / "root"
    document = await world.offer(package())

    async with served(world.connect(trusted=world.trusted), root):
        await until(lambda: world.states(document) == [DeliveryState.ACKNOWLEDGED])

    assert names(root / "in") == [f"{document}.edxml", f"{document}.json", f"{document}.report.json"]
    assert (root / "in" / f"{document}.edxml").read_bytes() == package()
    about = json.loads((root / "in" / f"{document}.json").read_bytes())
    assert (about["document"], about["tier"], about["value"]) == (document, "passed", "checking")
    report = json.loads((root / "in" / f"{document}.report.json").read_bytes())
    assert report["is_proven"]


async def test_a_document_that_was_taken_away_does_not_appear_again(world: HTTPWorld, tmp_path: Path) -> None:
    """Offered again, also to a new process with an empty state folder: it was delivered here before."""
    root = tmp_path / "root"
    document = await world.offer(package())
    async with served(world.connect(), root):
        await until(lambda: world.states(document) == [DeliveryState.ACKNOWLEDGED])
    for name in names(root / "in"):
        (root / "in" / name).unlink()
    await world.offer_again(document)

    async with served(world.connect(), root):
        await until(lambda: world.states(document) == [DeliveryState.ACKNOWLEDGED])

    assert names(root / "in") == []


async def test_events_are_kept_one_file_each(world: HTTPWorld, tmp_path: Path) -> None:
    """Named by their number in the log, so that they sort."""
    root = tmp_path / "root"
    records = [await world.tell(EventKind.DELIVERY_FETCHED) for _ in range(3)]

    async with served(world.connect(), root):
        await until(lambda: len(names(root / "events")) == 3)

    assert [(root / "events" / one).read_text() for one in names(root / "events")] == records


async def test_a_folder_that_takes_nothing_is_told(world: HTTPWorld, tmp_path: Path) -> None:
    """The axis hears `fail`, and nothing is called done."""
    root = tmp_path / "root"
    async with served(world.connect(), root):
        # As root of the machine no permission stops us: a file where the folder should be does.
        stage = root / "in" / ".arriving"
        stage.rmdir()
        stage.write_text("")
        document = await world.offer(package())
        await until(lambda: Outcome.FAIL in world.outcomes(document))
        stage.unlink()
        stage.mkdir()
        await until(lambda: world.states(document) == [DeliveryState.ACKNOWLEDGED])

    assert f"{document}.edxml" in names(root / "in")


async def test_an_answer_that_is_not_proven_is_shown_so(world: HTTPWorld, tmp_path: Path) -> None:
    """With pinned keys and another signature: it is kept, marked, and not sent again and again."""
    root = tmp_path / "root"

    async with served(world.connect(trusted=OTHER_KEYS), root):
        (root / "out" / "a.edxml").write_bytes(package())
        await until(lambda: "a.edxml" in names(root / "sent"))

    said = json.loads((root / "sent" / "a.edxml.answer.json").read_bytes())
    assert "key" in said["not_proven"]
    assert len(world.axis.taken) == 1


@pytest.mark.parametrize("step", folder_victim.STEPS)
async def test_killed_at_every_step(world: HTTPWorld, tmp_path: Path, step: str) -> None:
    """SIGKILL, then a new process on the same folders: sent once, received once, everything in its place."""
    root = tmp_path / "root"
    (root / "out").mkdir(parents=True)
    (root / "out" / "a.edxml").write_bytes(package(1))
    document = await world.offer(package(2))

    ends = []
    for which in (step, "never"):
        settings = {
            "url": world.network.url(world.url),
            "station": world.credentials.station,
            "key": world.credentials.key,
            "root": str(root),
            "state": str(tmp_path / "state"),
            "step": which,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            folder_victim.__name__,
            json.dumps(settings),
            cwd=Path(__file__).parents[2],
        )
        if which == "never":
            try:
                await until(lambda: "a.edxml" in names(root / "sent"))
                await until(lambda: world.states(document) == [DeliveryState.ACKNOWLEDGED])
                await until(lambda: names(root / "sending") == [])
            finally:
                process.kill()
        async with asyncio.timeout(30):
            ends.append(await process.wait())

    assert ends[0] == -signal.SIGKILL
    assert names(root / "sent") == ["a.edxml", "a.edxml.answer.json"]
    assert len({one.message_id for one in world.axis.taken}) == 1
    assert names(root / "in") == [f"{document}.edxml", f"{document}.json", f"{document}.report.json"]
    assert (root / "in" / f"{document}.edxml").read_bytes() == package(2)
    assert list((root / "in" / ".arriving").iterdir()) == []
