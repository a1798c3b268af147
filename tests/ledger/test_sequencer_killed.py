"""
The sequencer killed, and stopped past its lease, before and after every statement it sends.

A child process does the work and counts; at its n-th point it ends itself with SIGKILL, or stops itself with SIGSTOP
while another sequencer goes on. Afterwards the log is whole, whoever wrote it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from axis.core.errors import ServiceUnavailable
from axis.ledger import tables as t
from axis.ledger.seals import SealFile
from axis.ledger.sequencer import Sequencer
from axis.ledger.store import SQLLedger, open_engine
from signing.note import verify_checkpoint
from tests.ledger.builders import LOG, LOG_KEY, Clock, Ids, Story
from tests.ledger.test_sequencer import a_busy_day, assert_one_number_each, everything

_UNAVAILABLE = 3


def _work(
    url: str, seals: Path, *, lease: timedelta, at_point: Callable[[], None]
) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        ledger = SQLLedger(open_engine(url, pool_size=1))
        for moment in ("before_cursor_execute", "after_cursor_execute", "commit"):
            event.listen(ledger.engine.sync_engine, moment, lambda *_: at_point())
        sequencer = Sequencer(
            ledger,
            clock=Clock(),
            signer=LOG_KEY,
            log=LOG,
            holder="child",
            batch=7,
            lease=lease,
            seals=SealFile(seals),
        )
        try:
            await sequencer.examine()
            await sequencer.turn()
            await sequencer.sign_head()
        finally:
            await ledger.engine.dispose()

    return run


def _in_a_child(work: Callable[[], Awaitable[None]]) -> int:
    """Fork, do the work, end without a trace of the test around it; the child's process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        asyncio.run(work())  # type: ignore[arg-type] # a coroutine function
        status = 0
    except ServiceUnavailable:
        status = _UNAVAILABLE
    except BaseException:  # noqa: BLE001 - the test sees it as an exit status, and in the output
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _signal_at(number: int, what: signal.Signals) -> Callable[[], None]:
    points = iter(range(1, sys.maxsize))

    def at_point() -> None:
        if next(points) == number:
            os.kill(os.getpid(), what)

    return at_point


def _with_ledger(url: str, work: Callable[[SQLLedger], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        ledger = SQLLedger(open_engine(url))
        try:
            return await work(ledger)
        finally:
            await ledger.engine.dispose()

    return asyncio.run(run())


def _numbers_the_rest(seals: Path, *, clock: Clock) -> Callable[[SQLLedger], Awaitable[list[bytes]]]:
    async def work(ledger: SQLLedger) -> list[bytes]:
        sequencer = Sequencer(
            ledger, clock=clock, signer=LOG_KEY, log=LOG, holder="parent", seals=SealFile(seals)
        )
        await sequencer.examine()
        while await sequencer.turn():
            pass
        await sequencer.sign_head()
        for note in await everything(ledger, t.checkpoint):
            verify_checkpoint(note["note"], keys=[LOG_KEY.verifier])
        return await assert_one_number_each(ledger)

    return work


def _tells_more(number: int) -> Callable[[SQLLedger], Awaitable[None]]:
    return lambda ledger: a_busy_day(Story(ledger, ids=Ids(f"{number}")))


@pytest.fixture
def later() -> Clock:
    """A clock for which every lease is over."""
    clock = Clock()
    clock.move(days=1)
    return clock


@pytest.mark.slow
def test_killed_at_any_point(ledger_url: str, tmp_path: Path, later: Clock) -> None:
    """Every event has one number afterwards; what was signed before the end is still the beginning of the log."""
    seals = tmp_path / "head"
    number, ended = 0, None
    while ended != 0:
        number += 1
        _with_ledger(ledger_url, _tells_more(number))
        child = _in_a_child(
            _work(
                ledger_url,
                seals,
                lease=timedelta(seconds=10),
                at_point=_signal_at(number, signal.SIGKILL),
            )
        )
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert ended in {0, -signal.SIGKILL}

        _with_ledger(ledger_url, _numbers_the_rest(seals, clock=later))
        later.move(minutes=1)

    assert number > 20


@pytest.mark.slow
def test_stopped_past_its_lease_at_any_point(database_url: str, tmp_path: Path, later: Clock) -> None:
    """Another one goes on, also when the stopped one holds the head; woken, it finds itself overtaken."""
    seals = tmp_path / "head"
    number, is_stopped = 0, True
    while is_stopped:
        number += 1
        _with_ledger(database_url, _tells_more(number))
        child = _in_a_child(
            _work(
                database_url,
                seals,
                lease=timedelta(milliseconds=200),
                at_point=_signal_at(number, signal.SIGSTOP),
            )
        )
        _, status = os.waitpid(child, os.WUNTRACED)
        is_stopped = os.WIFSTOPPED(status)
        if is_stopped:
            try:
                _with_ledger(database_url, _numbers_the_rest(seals, clock=later))
            finally:
                os.kill(child, signal.SIGCONT)
                _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) in {0, _UNAVAILABLE}

        later.move(minutes=1)
        _with_ledger(database_url, _numbers_the_rest(seals, clock=later))

    assert number > 20
