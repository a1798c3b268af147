"""
Accounts of stations at the broker: one user for each station, with the least it needs.

    configure  nothing                      it declares, binds and deletes nothing
    write      axis.submit, axis.ack        by topic permission only with keys that name the station itself
    read       its own three queues         whose names end in 16 characters only it and the axis know

docs/broker-permissions.md lists what a station can do with that and what it cannot, as a test has tried it.

The order is that of safety. A user is made without rights, then told the keys it may use (a user without topic
permissions may use all), then given rights; it loses them in reverse, and then its connections, as channels remember
what they were once allowed. Every call brings the account to the state it names, whatever was there before. The
password does not leave this process: the broker gets its hash.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Final

import structlog

from axis.broker import wire
from axis.broker.connection import SERVICE
from axis.broker.management import MOVER, Management, ManagementRefused, part
from axis.broker.topology import TopologyDiffers, hub_topology, station_topology
from axis.core.errors import InvalidAct, ServiceUnavailable
from axis.core.events import JSON
from axis.core.model import StationId

_log = structlog.get_logger(__name__)

NOTHING: Final = "^$"
_WRITE: Final = "^(" + "|".join(re.escape(name) for name in (wire.SUBMIT, wire.ACK)) + r")\z"
_CLOSING_ROUNDS: Final = 20
_CLOSING_PAUSE_SECONDS: Final = 0.25


HUB: Final = r"^(axis|station)\..+\z"
"""What the hub's own user may configure, write and read: the axis's exchanges and queues, and those of stations."""


def topic_permissions(station: StationId) -> dict[str, str]:
    """For each exchange the regular expression of routing keys the station may publish with."""
    name = re.escape(station)
    return {
        # `\z` and not `$`: that one also stands before a last line break.
        wire.SUBMIT: rf"^(edoc\.(urgent|normal)|status\.normal)\.{name}\z",
        wire.ACK: rf"^{name}\z",
    }


def permissions(station: StationId, *, secret: str) -> dict[str, str]:
    """The station's rights in the axis's virtual host: regular expressions of names of exchanges and queues."""
    queues = wire.station_queues(station=station, secret=secret)
    names = "|".join(re.escape(name) for name in (queues.urgent, queues.inbox, queues.receipts))
    return {"configure": NOTHING, "write": _WRITE, "read": rf"^({names})\z"}


def password_hash(station: StationId, password: str) -> str:
    """
    What RabbitMQ keeps of a password: base64 of a salt of four bytes and SHA-256 over salt and password.

    The salt is made of the name: passwords are 256 random bits (`axis.core.credentials`), which no table holds.
    """
    salt = hashlib.sha256(station.encode()).digest()[:4]
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode("ascii")


class StationUsers:
    """`axis.core.ports.StationAccounts` by the management interface."""

    def __init__(self, management: Management, *, reserved: Iterable[str] = ()) -> None:
        """`reserved` are users no station may be named like: those of the axis itself."""
        self._management = management
        self._reserved = frozenset({management.user, "guest", MOVER, *reserved})

    async def add(self, station: StationId, *, secret: str, password: str) -> None:
        """
        A user of that name and password with the rights of a station, and its queues.

        Raises:
            InvalidAct: the name belongs to the axis or to an operator of the broker, or needs escaping.
            TopologyDiffers: it has queues of another kind already; run `axis broker plan`.
            ServiceUnavailable: the broker does not answer. The same call again mends what was begun.
        """
        await self._check(station, secret)
        await self._put_user(station, password)
        await self._take_rights(station)
        await self._give_rights(station, secret)
        _log.info("station_user.added", station=station)

    async def suspend(self, station: StationId, *, secret: str) -> None:
        """
        The user has no rights and no connections; queues and what lies in them stay.

        Raises:
            InvalidAct: the name belongs to the axis or to an operator of the broker.
            ServiceUnavailable: the broker does not answer. The same call again mends what was begun.
        """
        await self._check(station, secret)
        await self._take_rights(station)
        _log.info("station_user.suspended", station=station)

    async def resume(self, station: StationId, *, secret: str) -> None:
        """
        The user has its rights again, and the password it had.

        Raises:
            InvalidAct: there is no such user; `rotate` gives it a password.
            ServiceUnavailable: the broker does not answer. The same call again mends what was begun.
        """
        if await self._check(station, secret) is None:
            raise InvalidAct((f"{station}: it has no user at the broker; rotate its credential",))
        await self._give_rights(station, secret)
        _log.info("station_user.resumed", station=station)

    async def rotate(self, station: StationId, *, secret: str, password: str) -> None:
        """
        The user has this password; connections made with another one are closed. Rights stay as they are.

        Raises:
            InvalidAct: the name belongs to the axis or to an operator of the broker.
            ServiceUnavailable: the broker does not answer. The same call again mends what was begun.
        """
        await self._check(station, secret)
        await self._put_user(station, password)
        await self._close_connections(station)
        _log.info("station_user.rotated", station=station)

    async def remove(self, station: StationId, *, secret: str) -> None:
        """
        No user and no queues. What lies in them is lost here and not in the ledger, where deliveries and answers are.

        Raises:
            InvalidAct: the name belongs to the axis or to an operator of the broker.
            ServiceUnavailable: the broker does not answer. The same call again mends what was begun.
        """
        await self._check(station, secret)
        await self._take_rights(station)
        await self._management.call("DELETE", f"users/{part(station)}")
        for queue in station_topology(wire.station_queues(station=station, secret=secret)).queues:
            await self._management.call("DELETE", f"queues/{{vhost}}/{part(queue.name)}")
        _log.info("station_user.removed", station=station)

    # --- steps ----------------------------------------------------------------------------------------------------

    async def _check(self, station: StationId, secret: str) -> Mapping[str, JSON] | None:
        """The user as it is; nothing of it is touched when it is not a station's."""
        try:
            wire.station_queues(station=station, secret=secret)
        except ValueError as error:
            raise InvalidAct((f"{station}: {error}",)) from error
        if station in self._reserved:
            raise InvalidAct((f"{station}: this user of the broker is the axis's own",))
        user = await self._management.call("GET", f"users/{part(station)}")
        if not isinstance(user, Mapping):
            return None
        if user.get("tags"):
            raise InvalidAct((f"{station}: this user is an operator of the broker",))
        return user

    async def _put_user(self, station: StationId, password: str) -> None:
        await self._management.call(
            "PUT",
            f"users/{part(station)}",
            {
                "password_hash": password_hash(station, password),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": "",
            },
        )

    async def _give_rights(self, station: StationId, secret: str) -> None:
        for exchange, keys in topic_permissions(station).items():
            await self._management.call(
                "PUT",
                f"topic-permissions/{{vhost}}/{part(station)}",
                {"exchange": exchange, "write": keys, "read": NOTHING},
            )
        await self._declare_queues(station, secret)
        await self._management.call(
            "PUT", f"permissions/{{vhost}}/{part(station)}", permissions(station, secret=secret)
        )

    async def _take_rights(self, station: StationId) -> None:
        await self._management.call("DELETE", f"permissions/{{vhost}}/{part(station)}")
        await self._management.call("DELETE", f"topic-permissions/{{vhost}}/{part(station)}")
        await self._close_connections(station)

    async def _declare_queues(self, station: StationId, secret: str) -> None:
        topology = station_topology(wire.station_queues(station=station, secret=secret))
        bound = {binding.exchange for binding in topology.bindings}
        # No hub has started on this broker yet: the queues cannot be bound to what is not there.
        for exchange in (one for one in hub_topology().exchanges if one.name in bound):
            try:
                await self._management.call(
                    "PUT",
                    f"exchanges/{{vhost}}/{part(exchange.name)}",
                    {"type": exchange.kind, "durable": True, "arguments": dict(exchange.arguments)},
                )
            except ManagementRefused as refused:
                raise TopologyDiffers(exchange.name, refused.reason) from refused
        for queue in topology.queues:
            try:
                await self._management.call(
                    "PUT",
                    f"queues/{{vhost}}/{part(queue.name)}",
                    {"durable": True, "arguments": dict(queue.arguments)},
                )
            except ManagementRefused as refused:
                raise TopologyDiffers(queue.name, refused.reason) from refused
        for binding in topology.bindings:
            await self._management.call(
                "POST",
                f"bindings/{{vhost}}/e/{part(binding.exchange)}/q/{part(binding.queue)}",
                {"routing_key": binding.key},
            )

    async def _close_connections(self, station: StationId) -> None:
        """Close all of them, and look once more: one that was just being opened is listed a moment later."""
        path = f"connections/username/{part(station)}"
        quiet = 0
        for _ in range(_CLOSING_ROUNDS):
            await self._management.call("DELETE", path)
            quiet = 0 if await self._management.list_all(path) else quiet + 1
            if quiet == 2:
                return
            await asyncio.sleep(_CLOSING_PAUSE_SECONDS)
        raise ServiceUnavailable(SERVICE, f"connections of {station} do not end")
