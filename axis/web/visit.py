"""One request as the API knows it beside its bytes: who came, what for, how it ended. Becomes one line of log."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

from axis.core.model import StationId

_VISIT: Final = "axis.visit"
_PEER: Final = "axis.peer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The other end of the connection, as the listener knows it."""

    station: StationId | None
    """Name in the client certificate that the TLS layer has verified; None without one."""
    hang_up: Callable[[], None]
    """Close at once, whatever has not been sent yet."""


@dataclass(slots=True, kw_only=True)
class Visit:
    """What is known of the request so far."""

    id: str
    station: StationId | None = None
    status: int | None = None
    """Of the answer, once it has begun."""
    code: str | None = None
    """Reason code of a "no"."""
    bytes_in: int = 0
    bytes_out: int = 0
    is_answered: bool = False
    """The answer has been sent to its end."""
    facts: dict[str, str | int | bool] = field(default_factory=dict)
    """Ids and numbers for the log; never content or keys."""


def visit_of(scope: MutableMapping[str, Any]) -> Visit:
    """The visit the edge opened for this request."""
    found: Visit = scope["state"][_VISIT]
    return found


def open_visit(scope: MutableMapping[str, Any], visit: Visit) -> None:
    """Tie the visit to its request."""
    scope.setdefault("state", {})[_VISIT] = visit


def peer_of(scope: MutableMapping[str, Any]) -> Peer | None:
    """The other end, when the listener is ours (`axis.web.server`)."""
    found: Peer | None = scope.get("state", {}).get(_PEER)
    return found


def peer_state(peer: Peer) -> dict[str, Any]:
    """What a listener puts into the state of every request of a connection."""
    return {_PEER: peer}
