"""
What a run of `make chaos` does: which documents, whose, and what is broken when. All of it follows from the seed.

A document is a pure function of seed and number, so that a station that was killed hands in the same bytes under the
same message id, and the account knows what should have become of every one of them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from zlib import crc32

from axis.demo.letters import Agency, Pen, letter, spoilt
from axis.edxml.writer import AttachmentSource, edoc_bytes
from signing.sign import sign

_SMALL, _LARGE = 1_500, 90_000
"""Bytes of the attached file: what travels inside the message, and what is fetched by its digest."""


@unique
class Deed(StrEnum):
    """One way to break something; every one of them is mended again."""

    KILL_HUB = "kill -9 a hub"
    KILL_LEADER = "kill -9 the node that leads a queue"
    KILL_STATION = "kill -9 a station"
    KILL_DATABASE = "kill -9 PostgreSQL"
    KILL_WEB = "kill -9 the HTTP interface"
    KILL_NODE = "kill -9 a node of the broker"
    STOP_HUB = "end a hub with SIGTERM"
    FREEZE_HUB = "freeze a hub"
    FREEZE_NODE = "freeze a node of the broker"
    FREEZE_DATABASE = "freeze PostgreSQL"
    CUT_HUBS = "cut the hubs' connections to the broker"
    CUT_DATABASE = "cut the connections to PostgreSQL"
    CUT_STATIONS = "cut the stations' connections"
    FREEZE_CONNECTIONS = "freeze the hubs' connections to the broker"
    DELAY_CONFIRMS = "delay what the broker says to the hubs"
    FILL_DISK = "fill the hubs' quota of the disk"
    UNROUTE = "unbind a station's queues: what is published comes back"
    HAUNT = "leave a dead consumer at a queue of the hubs', with the next messages in its hands"


KILLS = (
    Deed.KILL_HUB,
    Deed.KILL_LEADER,
    Deed.KILL_STATION,
    Deed.KILL_DATABASE,
    Deed.KILL_WEB,
    Deed.KILL_NODE,
)
OTHERS = tuple(one for one in Deed if one not in KILLS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much of everything."""

    seed: int
    documents: int = 200
    kills: int = len(KILLS)
    hubs: int = 2
    stations: int = 6
    per_second: float = 10
    """Documents handed in a second, all stations together; 0: as fast as they are answered."""
    reoffer_seconds: int = 120
    """When a delivery of which nothing is heard is offered again."""
    settle_seconds: float = 360
    """How long nothing may move at the end before what is missing counts as lost."""

    def schedule(self) -> list[tuple[int, Deed, int]]:
        """(after so many answers, what, a number that says to whom), in order; each kind comes up as often as others."""
        dice = random.Random(f"deeds {self.seed}")
        deeds = [*_dealt(KILLS, self.kills, dice), *_dealt(OTHERS, max(self.kills, len(OTHERS)), dice)]
        dice.shuffle(deeds)
        # The last sixth is quiet: what is broken at the very end tells little.
        step = self.documents * 5 / 6 / max(len(deeds), 1)
        return [(int(step * (n + 0.5)), deed, dice.randrange(1 << 30)) for n, deed in enumerate(deeds)]


def _dealt(deck: Sequence[Deed], most: int, dice: random.Random) -> list[Deed]:
    dealt: list[Deed] = []
    while len(dealt) < most:
        # Fewer than there are: the first ones, so that a short run has the same kinds whatever its seed.
        left = most - len(dealt)
        dealt += dice.sample(deck[:left], k=min(left, len(deck)))
    return dealt


@unique
class Fate(StrEnum):
    """What a document is, and so what must become of it."""

    GOOD = "good"
    SPOILT = "spoilt"
    """Changed after signing: refused."""
    TWICE = "twice"
    """Handed in twice at the same time under two message ids: accepted once, and once a duplicate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One document to hand in."""

    number: int
    sender: int
    """Position of the agency."""
    receivers: tuple[int, ...]
    fate: Fate
    is_urgent: bool
    is_large: bool

    @property
    def message_ids(self) -> tuple[str, ...]:
        first = f"m-{self.number}"
        return (first, f"{first}-again") if self.fate is Fate.TWICE else (first,)


def task_of(number: int, *, seed: int, agencies: int) -> Task:
    """Document number `number` of a run."""
    dice = random.Random(f"{seed} {number}")
    sender = number % agencies
    others = [one for one in range(agencies) if one != sender]
    fate = {7: Fate.SPOILT, 3: Fate.TWICE}.get(number % 20, Fate.GOOD)
    return Task(
        number=number,
        sender=sender,
        receivers=tuple(dice.sample(others, k=min(len(others), dice.choice((1, 2, 3, 3, 4))))),
        fate=fate,
        is_urgent=dice.random() < 0.1,
        is_large=dice.random() < 0.1,
    )


def package_of(task: Task, *, agencies: Sequence[Agency], pen: Pen, at: datetime, seed: int) -> bytes:
    """Its bytes; the same every time."""
    edoc = letter(
        task.number,
        sender=agencies[task.sender],
        receivers=[agencies[one] for one in task.receivers],
        at=at,
        priority=3 if task.is_urgent else 0,
        subject=f"Văn bản thử số {task.number}",
    )
    content = random.Random(f"{seed} file {task.number}").randbytes(_LARGE if task.is_large else _SMALL)
    file = AttachmentSource(
        content_id="c0",
        name=f"{task.number}.pdf",
        content_type="application/pdf",
        source=b"%PDF-1.4\n" + content,
    )
    signed = sign(edoc_bytes(edoc, attachments=(file,)), signer=pen.signer, chain=pen.chain, signing_time=at)
    return spoilt(signed) if task.fate is Fate.SPOILT else signed


def answers_with_status(delivery: str, *, seed: int) -> bool:
    """Whether its receiver sends a status back."""
    return crc32(f"{seed} {delivery}".encode()) % 10 == 0


def fails_first(document: str, *, seed: int) -> bool:
    """Whether its receiver cannot take it the first time."""
    return crc32(f"{seed} fail {document}".encode()) % 50 == 0
