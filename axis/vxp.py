"""
The VXP gateway's side of the hub: who its systems are, the directory they see, and its run inside `axis up`.

    central     `axis up` (or `axis adapter vxp` beside the ledger): systems and their sealed secrets come from the
                ledger, `axis station vxp add` makes them; one credential of the gateway's own acts for all of them
    an agency   `axis adapter vxp FILE`: the systems of a file, each with the key of its own station

The file is TOML and holds no secret itself::

    [[system]]
    id = "00.26.W00"              # systemid of the old interface
    secret_file = "h26.secret"    # the HMAC secret shared with that system
    key_file = "h26.key"          # AXIS_STATION_KEY of the station it acts as

Files it names lie beside it. A secret that others can read is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tomllib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import structlog

from adapters.errors import NotAnswered, StationError
from adapters.over_http import HTTPLimits
from adapters.station import Credentials, Station
from adapters.vxp import BASE, Gateway
from adapters.vxp_accounts import Account
from adapters.vxp_agencies import Agency, AgencyForm, AgencyRefused
from adapters.vxp_server import serve
from axis.bootstrap.parts import Axis
from axis.core.directory import View, VXPSystem
from axis.core.errors import AxisError, ServiceUnavailable, SettingsError
from axis.core.model import StationId
from axis.flow.station_acts import NotForStations

_log = structlog.get_logger(__name__)

_LOOK_SECONDS: Final = 1.0
"""How often a process that has no system yet looks for one."""
_AGAIN_SECONDS: Final = 5.0
_LIMITS: Final = HTTPLimits(connect_seconds=5, answer_seconds=60, wait_seconds=25)


# --- inside a process of the axis ---------------------------------------------------------------------------------


async def run_gateway(
    axis: Axis,
    *,
    url: str,
    key: str,
    stop: asyncio.Event,
    tls: ssl.SSLContext | None = None,
    own_tls: ssl.SSLContext | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """
    The central gateway, from the first system of the VXP interface until `stop`.

    Args:
        axis: Its ledger has the systems, its directory is what they see.
        url: Where the axis's HTTP interface is.
        key: The gateway's own credential there.
        stop: Ends it.
        tls: With which the axis's HTTP interface is reached; None for the machine's roots, or none at all.
        own_tls: With which the gateway itself is reached.
        ready: Told the address once it is listened on.
    """
    settings = axis.settings
    if not await _first_system(axis, stop):
        return
    while not stop.is_set():
        gateway = Gateway(
            LedgerAccounts(axis, url=url, key=key, tls=tls),
            agencies=DirectoryAgencies(axis),
            clock=axis.clock,
            ids=axis.ids,
        )
        try:
            await serve(
                gateway,
                host=settings.vxp_host,
                port=settings.vxp_port,
                stop=stop,
                tls=own_tls,
                allow_plain=settings.allow_plain,
                ready=_telling(ready),
            )
        except StationError as problem:
            # An address in use is no reason to end what documents go through.
            _log.error("vxp.not_listening", cause=str(problem))
            await _pause(stop, _AGAIN_SECONDS)


def _telling(ready: Callable[[str], None] | None) -> Callable[[str], None]:
    def tell(address: str) -> None:
        _log.info("vxp.listening", address=address + BASE)
        if ready is not None:
            ready(address + BASE)

    return tell


async def _first_system(axis: Axis, stop: asyncio.Event) -> bool:
    while not stop.is_set():
        try:
            if any(one.is_open for one in (await axis.directories.current()).systems.values()):
                return True
        except ServiceUnavailable as trouble:
            _log.warning("vxp.waiting", service=trouble.service, cause=trouble.cause)
        await _pause(stop, _LOOK_SECONDS)
    return False


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


class LedgerAccounts:
    """`adapters.vxp_accounts.Accounts` from the ledger: what an operator changes holds for the next call."""

    def __init__(self, axis: Axis, *, url: str, key: str, tls: ssl.SSLContext | None = None) -> None:
        self._axis = axis
        self._url = url
        self._key = key
        self._tls = tls
        self._stations: dict[StationId, Station] = {}

    async def find(self, system_id: str) -> Account | None:
        """See the port."""
        try:
            system = (await self._axis.directories.current()).systems.get(system_id)
            secret = await self._axis.vxp_secret(system) if system is not None and system.is_open else None
        except AxisError as trouble:
            raise NotAnswered(str(trouble)) from trouble
        if system is None or secret is None:
            return None
        return Account(system_id=system.id, secret=secret, station=self._station(system), view=system.view)

    def _station(self, system: VXPSystem) -> Station:
        found = self._stations.get(system.station)
        if found is None:
            found = self._stations[system.station] = Station(
                self._url,
                Credentials(station=system.station, key=self._key),
                tls=self._tls,
                # Where TLS is missing here, it is missing on the way from this process to itself.
                unsafe_without_tls=True,
                http_limits=_LIMITS,
            )
        return found


# --- the systems of a file ----------------------------------------------------------------------------------------


def read_accounts(path: Path, *, url: str, tls: ssl.SSLContext | None = None) -> list[Account]:
    """
    The systems of a file, each as the station it is at `url`; nothing is opened yet.

    Raises:
        SettingsError: with everything that is wrong with the file.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise SettingsError((f"{path}: {problem}",)) from problem
    problems: list[str] = []
    systems = found.get("system", [])
    if not isinstance(systems, list) or not systems:
        problems.append(f"{path}: no [[system]]")
        systems = []
    accounts = [
        account
        for number, one in enumerate(systems, start=1)
        if (account := _account(one, number, folder=path.parent, url=url, tls=tls, problems=problems))
        is not None
    ]
    if problems:
        raise SettingsError(tuple(problems))
    return accounts


def _account(
    said: dict[str, Any],
    number: int,
    *,
    folder: Path,
    url: str,
    tls: ssl.SSLContext | None,
    problems: list[str],
) -> Account | None:
    known = {"id", "secret_file", "key_file", "view"}
    texts = {name: value for name, value in said.items() if isinstance(value, str) and value}
    before = len(problems)
    problems += [f"system {number}: {name}: no such entry" for name in sorted(set(said) - known)]
    problems += [
        f"system {number}: {name}: required"
        for name in ("id", "secret_file", "key_file")
        if name not in texts
    ]
    views = {one.value for one in View}
    if texts.get("view", View.AS_SENT.value) not in views:
        problems.append(f"system {number}: view: one of {', '.join(sorted(views))}")
    if len(problems) > before:
        return None
    secret = _secret(folder / texts["secret_file"], problems)
    key = _secret(folder / texts["key_file"], problems)
    if secret is None or key is None:
        return None
    station = StationId(key.partition(".")[0])
    return Account(
        system_id=texts["id"],
        secret=secret.encode(),
        station=Station(url, Credentials(station=station, key=key), tls=tls),
        view=View(texts.get("view", View.AS_SENT.value)),
    )


def _secret(path: Path, problems: list[str]) -> str | None:
    try:
        if path.stat().st_mode & 0o077:
            problems.append(f"{path}: others can read it; chmod 600")
            return None
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as problem:
        problems.append(f"{path}: {problem}")
        return None
    if not text:
        problems.append(f"{path}: empty")
    return text or None


# --- the directory ------------------------------------------------------------------------------------------------


class DirectoryAgencies:
    """`adapters.vxp_agencies.Agencies` from the axis's own directory."""

    def __init__(self, axis: Axis) -> None:
        self._axis = axis

    async def every(
        self,
        asker: Station,  # noqa: ARG002 - the port's: here the directory is at hand
        *,
        level: int | None,
        include_deleted: bool,
    ) -> AsyncIterator[Agency]:
        """Organs in the order of their numbers; closed ones only when asked for."""
        directory = await self._axis.directories.current()
        at = self._axis.clock.now()
        codes: dict[int, list[str]] = {}
        for code, numbers in directory.codes.items():
            for number in numbers:
                codes.setdefault(number, []).append(code)
        for number in sorted(directory.organs):
            organ = directory.organs[number]
            depth = sum(1 for _ in directory.ancestry(number))
            is_open = organ.is_open(at)
            if (level is None or depth == level) and (is_open or include_deleted):
                is_connected = directory.station_of(number, at=at) is not None
                yield Agency.of(
                    number=number,
                    parent=organ.parent,
                    main_code=organ.code,
                    codes=codes.get(number, []),
                    name=organ.name,
                    level=depth,
                    version=directory.version,
                    is_open=is_open,
                    is_connected=is_connected,
                )

    async def register(self, asker: Station, form: AgencyForm) -> None:
        """See the port. Mail and telephone are no part of the axis's directory."""
        try:
            await self._axis.station_acts().register(
                asker.id, code=form.code, name=form.name, parent=form.parent_code, reason="VXP registerAgency"
            )
        except NotForStations as no:
            raise AgencyRefused(no.vi) from no
        except ServiceUnavailable as trouble:
            raise NotAnswered(str(trouble)) from trouble

    async def remove(self, asker: Station, code: str) -> None:
        """See the port."""
        try:
            await self._axis.station_acts().close(asker.id, code=code, reason="VXP deleteAgency")
        except NotForStations as no:
            raise AgencyRefused(no.vi) from no
        except ServiceUnavailable as trouble:
            raise NotAnswered(str(trouble)) from trouble
