"""
`axis adapter vxp`: the gateway for software that speaks the old interface, from a file that says which systems there are.

The file is TOML and holds no secret itself::

    [[system]]
    id = "00.26.W00"              # systemid of the old interface
    secret_file = "h26.secret"    # the HMAC secret shared with that system
    key_file = "h26.key"          # AXIS_STATION_KEY of the station it acts as
    folder = "h26"                # where the list of what it sent is kept

Files it names lie beside it. A secret that others can read is refused.
"""

from __future__ import annotations

import tomllib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from adapters.station import Credentials, Station
from adapters.vxp import Account
from adapters.vxp_agencies import Agency, AgencyForm, AgencyRefused
from adapters.vxp_view import View
from axis.core.directory import Directory, Organ
from axis.core.errors import SettingsError
from axis.core.model import StationId
from axis.core.ports import Clock, Directories
from axis.edxml.organ_code import OrganCodeForm, parse_organ_code


def read_accounts(path: Path, *, url: str) -> list[Account]:
    """
    The systems of a file, each as the station it is; nothing is opened yet.

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
        if (account := _account(one, number, folder=path.parent, url=url, problems=problems)) is not None
    ]
    if problems:
        raise SettingsError(tuple(problems))
    return accounts


def _account(
    said: dict[str, Any], number: int, *, folder: Path, url: str, problems: list[str]
) -> Account | None:
    known = {"id", "secret_file", "key_file", "folder", "view"}
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
        station=Station(url, Credentials(station=station, key=key)),
        folder=folder / texts["folder"] if "folder" in texts else None,
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


class DirectoryAgencies:
    """`adapters.vxp_agencies.Agencies` from the axis's own directory; who registers organs is the operator."""

    def __init__(self, directories: Directories, *, clock: Clock) -> None:
        self._directories = directories
        self._clock = clock

    async def every(self, *, level: int | None, include_deleted: bool) -> AsyncIterator[Agency]:
        """Organs in the order of their numbers; closed ones only when asked for."""
        directory = await self._directories.current()
        at = self._clock.now()
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
                yield _agency(
                    organ, directory, codes.get(number, []), depth, is_open=is_open, is_connected=is_connected
                )

    async def register(self, station: StationId, form: AgencyForm) -> None:
        """Not by a program: codes are given by the operator's act, with a reason."""
        del station, form
        raise AgencyRefused("Don vi van hanh Truc dang ky ma dinh danh: axis organ import")

    async def remove(self, station: StationId, code: str) -> None:
        """As `register`."""
        del station, code
        raise AgencyRefused("Don vi van hanh Truc dong ma dinh danh: axis organ import")


def _agency(
    organ: Organ,
    directory: Directory,
    codes: Sequence[str],
    depth: int,
    *,
    is_open: bool,
    is_connected: bool,
) -> Agency:
    by_form = {parse_organ_code(code).form: code for code in codes}
    code_102 = by_form.get(OrganCodeForm.QCVN_102, "")
    return Agency(
        id=str(organ.number),
        parent=str(organ.parent) if organ.parent is not None else None,
        code=code_102 or organ.code,
        name=organ.name,
        old_code=by_form.get(OrganCodeForm.NINE_CHARACTERS, ""),
        code_102=code_102,
        code_qd20=by_form.get(OrganCodeForm.DECISION_20, ""),
        level=depth,
        version=directory.version,
        is_deleted=not is_open,
        is_connected=is_connected,
    )
