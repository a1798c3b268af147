"""
Judges of attachments: one worker process each, started when there is something to judge, killed when the hub stops.

The process and its bounds are `signing.pdf`; here it is given the roots and lists of now, a thread of its own so that
the hub does not wait for it, and a new worker whenever roots or lists have changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from axis.core.ports import Blobs, Clock
from axis.flow.revocation import Shelf
from signing.certificates import TrustStore
from signing.pdf import PdfJudge, PdfLimits, PdfReason, PdfReport, RoleKeys, is_worth_judging
from signing.policy import CURRENT_POLICY, Policy

_HEAD_BYTES = 2048
_REMEMBERED = timedelta(hours=25)
"""Lists that old are asked beside the newest of each issuer: a file is judged as of its receipt."""


class KeptLists:
    """The revocation lists the axis has taken, as files, for the judges' processes."""

    def __init__(self, *, shelf: Shelf, blobs: Blobs, clock: Clock, are_configured: bool) -> None:
        self._shelf = shelf
        self._blobs = blobs
        self._clock = clock
        self._are_configured = are_configured
        self._mark: int | None = None
        self._paths: tuple[Path, ...] = ()

    async def current(self) -> Sequence[Path] | None:
        """
        Those of now; None: revocation is not checked in this axis.

        Raises:
            ServiceUnavailable: nobody can tell.
        """
        if not self._are_configured:
            return None
        mark = await self._shelf.mark()
        if mark != self._mark:
            kept = await self._shelf.wanted(at=self._clock.now(), within=_REMEMBERED)
            self._paths = tuple(self._blobs.path(one.digest) for one in kept if one.kind == "crl")
            self._mark = mark
        return self._paths


class AttachmentJudge:
    """Judges one file after the other."""

    def __init__(
        self,
        *,
        trust: Callable[[], TrustStore | None],
        lists: Callable[[], Awaitable[Sequence[Path] | None]] | None = None,
        limits: PdfLimits | None = None,
        policy: Policy = CURRENT_POLICY,
    ) -> None:
        """`lists` gives the revocation lists of now; None, or no `lists`: revocation is not checked here."""
        self._trust = trust
        self._lists = lists
        self._limits = limits or PdfLimits()
        self._policy = policy
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="judge")
        self._judge: PdfJudge | None = None
        self._world: tuple[TrustStore, tuple[Path, ...] | None] | None = None
        self._is_closed = False

    @property
    def file_bytes(self) -> int:
        """The largest file it looks at."""
        return self._limits.file_bytes

    async def judge(self, file: Path, *, at: datetime, keys: RoleKeys) -> PdfReport | None:
        """
        What was found in a file as of `at`; None: there are no roots to judge it by.

        Never raises for a bad file. One that can be no PDF, nor hold one, costs no process.
        """
        trust = self._trust()
        if trust is None:
            return None
        lists = None if self._lists is None else await self._lists()
        world = (trust, None if lists is None else tuple(lists))
        work = partial(self._in_thread, file, at=at, keys=keys, world=world)
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def interrupt(self) -> None:
        """What is judged now ends at once, as `pdf.crash`; nothing is judged after it."""
        self._is_closed = True
        if self._judge is not None:
            self._judge.interrupt()

    def close(self) -> None:
        """Stop the worker and the thread."""
        self.interrupt()
        self._thread.shutdown()
        if self._judge is not None:
            self._judge.close()

    def _in_thread(
        self, file: Path, *, at: datetime, keys: RoleKeys, world: tuple[TrustStore, tuple[Path, ...] | None]
    ) -> PdfReport:
        with file.open("rb") as content:
            if not is_worth_judging(content.read(_HEAD_BYTES)):
                return PdfReport(reason=PdfReason.NOT_PDF)
        if self._judge is None or self._world != world:
            if self._judge is not None:
                self._judge.close()
            trust, lists = world
            self._judge = PdfJudge(
                trust=trust,
                lists=lists or (),
                checks_revocation=lists is not None,
                limits=self._limits,
                policy=self._policy,
            )
            self._world = world
        if self._is_closed:
            self._judge.interrupt()
        return self._judge.judge(file, at=at, keys=keys)
