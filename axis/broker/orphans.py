"""
Messages in the hands of a consumer that is gone.

RabbitMQ 3.10 can keep a consumer whose node was away in the seconds in which its client ended. The queue counts it and
hands it messages, up to its prefetch, and no connection has it. What is not answered is said again by whoever said it,
so nothing is lost, but it waits until then; another leader of the queue gives the messages out at once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from axis.broker.management import Management
from axis.core.events import JSON

_OURS: Final = ("axis.", "station.")
_LATE_SECONDS: Final = 8.0
"""The broker's numbers are up to five seconds old, those of queues and of consumers not of the same moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphaned:
    """A queue that counts more consumers than are connected."""

    queue: str
    leader: str
    """The node that leads it."""
    consumers: int
    """How many too many."""
    messages: int
    """In anybody's hands, living consumers' too."""


async def orphaned(management: Management, *, again_seconds: float = _LATE_SECONDS) -> list[Orphaned]:
    """
    Queues of the axis that do so now and `again_seconds` later; when none does, there is one look only.

    Raises:
        ServiceUnavailable: the management interface does not answer.
        ManagementRefused: its user may not look.
    """
    first = await _look(management)
    if not first:
        return []
    await asyncio.sleep(again_seconds)
    second = await _look(management)
    return [one for name, one in sorted(second.items()) if name in first and first[name].leader == one.leader]


async def _look(management: Management) -> dict[str, Orphaned]:
    queues = await management.list_all(
        "queues/{vhost}?columns=name,consumers,messages_unacknowledged,leader,node"
    )
    connected = Counter(
        _text(queue.get("name"))
        for one in await management.list_all("consumers/{vhost}")
        if isinstance(queue := one.get("queue"), Mapping)
    )
    found = {}
    for one in queues:
        name = _text(one.get("name"))
        excess = _number(one.get("consumers")) - connected[name]
        if name.startswith(_OURS) and excess > 0:
            found[name] = Orphaned(
                queue=name,
                leader=_text(one.get("leader")) or _text(one.get("node")),
                consumers=excess,
                messages=_number(one.get("messages_unacknowledged")),
            )
    return found


def _text(value: JSON) -> str:
    return value if isinstance(value, str) else ""


def _number(value: JSON) -> int:
    return value if isinstance(value, int) else 0
