"""
Who may call the VXP gateway: systems of the old interface, the secret shared with each, and the station each of them is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from adapters.errors import NotPossible
from adapters.station import Station
from axis.core.directory import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One system of the old interface, and the station it is."""

    system_id: str
    secret: bytes = field(repr=False)
    station: Station
    """Over HTTP, opened by the gateway. One process at a time serves a station; several systems may be one."""
    view: View = View.AS_SENT


class Accounts(Protocol):
    """Where the gateway finds them, at every call: what changed holds for the next one."""

    async def find(self, system_id: str) -> Account | None:
        """
        The account; None when there is no such system. The same `station` object as long as it is the same station.

        Raises:
            StationError: the axis does not tell.
        """
        ...


class ListedAccounts:
    """Accounts that stay as they are."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        listed = list(accounts)
        self._accounts = {one.system_id: one for one in listed}
        if len(self._accounts) != len(listed):
            raise NotPossible("two systems with one systemid")

    async def find(self, system_id: str) -> Account | None:
        """See `Accounts`."""
        return self._accounts.get(system_id)
