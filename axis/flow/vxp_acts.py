"""
Which systems of the VXP interface there are, what station each of them is, and the secret shared with each.

Acts of people, like those of `axis.flow.acts`. A secret is made here, shown once, and kept sealed: the gateway must know
it again, as it recomputes what the system signed.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final

from axis.core.directory import Directory, View, VXPSystem
from axis.core.errors import InvalidAct, NotFound
from axis.core.events import JSON, EventKind
from axis.core.model import Actor, StationId
from axis.core.ports import NotOurs, Randomness, Transaction, Vault
from axis.flow.acts import Acts, Decision

SYSTEM_ID: Final = re.compile(r"[\x21-\x7e]{1,64}\Z")
"""What may stand in a header as it is; such as `00.26.W00`."""
SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOut:
    """What the people of a system are given, once."""

    system: VXPSystem
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rekeyed:
    """Systems by their systemid."""

    systems: tuple[str, ...]
    """Sealed under the new key."""
    lost: tuple[str, ...]
    """Sealed under a key nobody has here any more: each needs a new secret."""


class VXPActs:
    """Raises what `Acts` raises."""

    def __init__(self, acts: Acts, *, vault: Vault, randomness: Randomness) -> None:
        self._acts = acts
        self._vault = vault
        self._randomness = randomness

    async def add(
        self, system: str, *, station: StationId, by: Actor, view: View = View.AS_SENT
    ) -> HandedOut:
        """
        Let a system be a station. Its secret is returned here and never again.

        Raises:
            NotFound: there is no such station.
            InvalidAct: the name is taken, or cannot stand in a header.
        """
        after = VXPSystem(id=system, station=station, view=view, is_open=True)
        secret = self._secret()

        def decide(directory: Directory, _: datetime) -> Decision[HandedOut]:
            if station not in directory.stations:
                raise NotFound("station", station[:40])
            problems = []
            if SYSTEM_ID.match(system) is None:
                problems.append(f"{system[:70]!r}: 1 to 64 visible ASCII characters")
            if system in directory.systems:
                problems.append(
                    f"{system}: it is {directory.systems[system].station}'s; rotate gives a new secret"
                )
            if problems:
                raise InvalidAct(tuple(problems))
            return self._decision(None, after, secret=secret)

        return await self._acts.act(by, decide)

    async def rotate(self, system: str, *, by: Actor) -> HandedOut:
        """
        A new secret, returned here and never again; the old one is worth nothing any more.

        Raises:
            NotFound: there is no such system.
        """
        secret = self._secret()

        def decide(directory: Directory, _: datetime) -> Decision[HandedOut]:
            found = _system(directory, system)
            return self._decision(found, found, secret=secret)

        return await self._acts.act(by, decide)

    async def rekey(self, *, by: Actor) -> Rekeyed:
        """
        Seal every secret under a new key. Systems notice nothing; a crash leaves every secret readable, and calling
        again goes on.

        Raises:
            ServiceUnavailable: another process is at it.
        """
        opened: list[str] = []
        lost: list[str] = []

        def decide(directory: Directory, _: datetime) -> Decision[None]:
            systems = sorted(directory.systems.values(), key=lambda one: one.id)
            facts = [(EventKind.VXP_CHANGED, {**_facts(one, one), "rotated": ["seal"]}) for one in systems]
            return Decision(facts=facts, result=None, within=partial(self._seal_anew, systems, opened, lost))

        with self._vault.renewed():
            await self._acts.act(by, decide)
        return Rekeyed(systems=tuple(opened), lost=tuple(lost))

    async def _seal_anew(
        self, systems: Sequence[VXPSystem], opened: list[str], lost: list[str], tx: Transaction
    ) -> None:
        sealed = await tx.vxp_secrets()
        for one in systems:
            try:
                secret = self._vault.unseal(sealed.get(one.id, ""), bound_to=bound_to(one))
            except NotOurs:
                lost.append(one.id)
                continue
            await tx.keep_vxp_secret(one.id, sealed=self._vault.seal(secret, bound_to=bound_to(one)))
            opened.append(one.id)

    async def change(
        self, system: str, *, by: Actor, view: View | None = None, is_open: bool | None = None
    ) -> VXPSystem:
        """
        Give it another view, close it or open it again; None leaves a thing as it is.

        Raises:
            NotFound: there is no such system.
        """

        def decide(directory: Directory, _: datetime) -> Decision[VXPSystem]:
            before = _system(directory, system)
            after = replace(
                before, view=view or before.view, is_open=before.is_open if is_open is None else is_open
            )
            facts = [] if after == before else [(EventKind.VXP_CHANGED, _facts(before, after))]
            return Decision(facts=facts, result=after)

        return await self._acts.act(by, decide)

    def _secret(self) -> str:
        return base64.urlsafe_b64encode(self._randomness.take(SECRET_BYTES)).rstrip(b"=").decode()

    def _decision(self, before: VXPSystem | None, after: VXPSystem, *, secret: str) -> Decision[HandedOut]:
        facts = {**_facts(before, after), "rotated": ["secret"]}
        return Decision(
            facts=[(EventKind.VXP_CHANGED, facts)],
            result=HandedOut(system=after, secret=secret),
            within=partial(self._keep, after, secret),
        )

    async def _keep(self, system: VXPSystem, secret: str, tx: Transaction) -> None:
        # Sealed here, with the directory locked: whoever renews the key comes before or after, and never between.
        await tx.keep_vxp_secret(
            system.id, sealed=self._vault.seal(secret.encode(), bound_to=bound_to(system))
        )


def bound_to(system: VXPSystem) -> str:
    """What the secret of a system is sealed for: taken to another system or station it does not open."""
    return f"vxp {system.station} {system.id}"


def _system(directory: Directory, system: str) -> VXPSystem:
    found = directory.systems.get(system)
    if found is None:
        raise NotFound("VXP system", system[:70])
    return found


def _facts(before: VXPSystem | None, after: VXPSystem) -> Mapping[str, JSON]:
    return {"before": None if before is None else _said(before), "after": _said(after)}


def _said(system: VXPSystem) -> dict[str, JSON]:
    return {
        "id": system.id,
        "station": system.station,
        "view": system.view.value,
        "is_open": system.is_open,
    }
