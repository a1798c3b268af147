"""
A real axis whose operator rewrites its database, or restores it from a copy: the next station that looks finds out.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import sqlite3
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import HistoryRewritten
from adapters.station import Credentials
from axis import worker
from axis.bootstrap.files import LOG_KEY
from axis.bootstrap.parts import HEAD_FILE, open_axis
from axis.core.errors import InvalidAct
from axis.core.events import leaf_hash
from axis.ledger.seals import HistoryBroken
from axis.settings import read_settings
from signing.merkle import Frontier
from signing.note import load_key_file, read_checkpoint, sign_note, split_note, verify_proof
from tests.adapters.real import RealAxis, real_axis
from tests.adapters.test_real import OTHER, RECEIVER, SENDER, letter
from tests.ledger.builders import until


async def _talked(real: RealAxis, credentials: Credentials, state: Path, *, first: int) -> None:
    """A station that has handed in a letter, and has seen a head that covers its acceptance."""
    async with real.station(credentials, state=state) as station:
        answer = await station.submit(letter(first))
        record = json.loads(answer.receipt.record) if answer.receipt is not None else {}

        async def covered() -> bool:
            index = await real.axis.log.index_of(record["id"])
            note = await real.axis.log.checkpoint()
            return (
                index is not None and note is not None and read_checkpoint(split_note(note)[0]).size > index
            )

        await until(covered)
        assert await station.witness() is not None


async def test_a_database_its_operator_rewrote_is_found_by_the_next_station(tmp_path: Path) -> None:
    """
    The operator has the keys: record, hashes, tree, head, and the head kept beside the database, all made anew and
    signed. The axis starts and `axis ledger check` is content; a station remembers what it was shown.
    """
    home = tmp_path / "axis"
    async with real_axis(home) as real:
        await real.import_organs(SENDER, RECEIVER, OTHER)
        credentials = await real.add_station("bo-noi-vu", [SENDER])
        await _talked(real, credentials, tmp_path / "s", first=1)

    _rewrite(home)

    async with real_axis(home) as real:
        assert (await real.axis.check_ledger()).ok
        async with real.station(credentials, state=tmp_path / "s") as station:
            with pytest.raises(HistoryRewritten):
                await station.witness()
            assert station.alarm is not None
    assert list((tmp_path / "s" / "alarms").iterdir())


def _rewrite(home: Path) -> None:
    """Another reason in the first act of a person, and everything that follows from its hash."""
    (path,) = home.glob("*.db")
    with closing(sqlite3.connect(path)) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        leaves = database.execute("SELECT idx, event_id, hash FROM leaf ORDER BY idx").fetchall()
        target, event_id = next(
            (idx, event) for idx, event, _ in leaves if b'"kind":"organs.changed"' in _record(database, event)
        )
        record = _record(database, event_id).replace("kiểm thử".encode(), "như cũ".encode())
        fresh = leaf_hash(record)
        database.execute("UPDATE event SET record = ?, hash = ? WHERE id = ?", (record, fresh, event_id))
        database.execute("UPDATE leaf SET hash = ? WHERE idx = ?", (fresh, target))
        tree = Frontier()
        for idx, _, old in leaves:
            for node in tree.append(fresh if idx == target else old):
                database.execute(
                    "UPDATE node SET hash = ? WHERE level = ? AND idx = ?",
                    (node.hash, node.at.level, node.at.position),
                )
        database.execute("UPDATE log_head SET root = ?", (tree.root(),))
        note = _sign_anew(home, size=tree.size, root=tree.root())
        database.execute("DELETE FROM checkpoint")
        database.execute("INSERT INTO checkpoint VALUES (?, 1, ?, ?)", (tree.size, tree.root(), note))
        database.commit()


def _record(database: sqlite3.Connection, event: str) -> bytes:
    (found,) = database.execute("SELECT record FROM event WHERE id = ?", (event,)).fetchone()
    assert isinstance(found, bytes)
    return found


def _sign_anew(home: Path, *, size: int, root: bytes) -> str:
    head = home / "keys" / HEAD_FILE
    origin = head.read_text().splitlines()[0]
    text = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"
    note = sign_note(text, signers=[load_key_file(home / "keys" / LOG_KEY)])
    head.write_text(note)
    return note


async def test_yesterdays_copy_does_not_start_until_it_was_said_in_public(tmp_path: Path) -> None:
    """
    Restored from a backup: the axis refuses to start; `new-epoch` records it, signs it and shows it to everybody; a
    station is told. Where the log continues what was signed there is nothing to say.
    """
    home, copy = tmp_path / "axis", tmp_path / "copy.db"
    async with real_axis(home) as real:
        await real.import_organs(SENDER, RECEIVER, OTHER)
        credentials = await real.add_station("bo-noi-vu", [SENDER])
        await _talked(real, credentials, tmp_path / "s", first=1)
        with pytest.raises(InvalidAct, match="nothing to say"):
            await real.axis.new_epoch(person="an.nguyen", reason="thử")
    (path,) = home.glob("*.db")
    _copy(path, copy)
    async with real_axis(home) as real:
        await _talked(real, credentials, tmp_path / "s", first=2)
    for one in home.glob("*.db-*"):
        one.unlink()
    _copy(copy, path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE log_head SET lease_until = 0")  # It is yesterday's.
        database.commit()

    settings = read_settings({"AXIS_HOME": str(home), "AXIS_HTTP_PORT": "0"})
    with pytest.raises(ExceptionGroup) as refused:
        async with asyncio.timeout(30):
            await worker.up(settings, stop=asyncio.Event())
    assert refused.group_contains(HistoryBroken, match="new-epoch")
    async with open_axis(settings) as axis:
        event, signed = await axis.new_epoch(person="an.nguyen", reason="máy chủ hỏng, phục hồi bản hôm qua")
        keys = axis.keys.trusted

    assert (event.by.person, signed.origin) == ("an.nguyen", f"{settings.log_name}/epoch-2")
    async with real_axis(home) as real:
        (said,) = await asyncio.to_thread(_epochs, real.url)
        assert said["record"] == event.record.decode()
        assert verify_proof(said["proof"], leaf=event.hash, keys=keys.log)[0] == said["index"]
        async with real.station(credentials, state=tmp_path / "s") as station:
            # Told once: to whoever looks first, the station by itself or its caller.
            with contextlib.suppress(HistoryRewritten):
                await station.witness()
            assert station.alarm is not None
            assert "restored from a backup" in str(station.alarm)
        assert (await real.axis.check_ledger()).ok


def _epochs(url: str) -> Any:
    """As anybody asks, without a key."""
    with urllib.request.urlopen(f"{url}/api/v1/epochs", timeout=20) as answer:
        return json.loads(answer.read())["epochs"]


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as two:
        one.backup(two)
