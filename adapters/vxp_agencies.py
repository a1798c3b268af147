"""
The directory as VXP clients see it, and what the gateway needs of the axis for it.

Whoever starts the gateway gives it an `Agencies`: `axis up` one over its directory, a gateway beside an agency one that
keeps a copy of what the axis tells its stations (`adapters.vxp_copy`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from adapters.station import Station
from adapters.vxp_words import written
from axis.edxml.organ_code import OrganCodeForm, parse_organ_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Agency:
    """One organ, with every code it is known under."""

    id: str
    """The axis's number of the organ."""
    parent: str | None
    code: str
    """The code messages name it by."""
    name: str
    mail: str = ""
    old_code: str = ""
    """A code it had before."""
    code_102: str = ""
    """Its code of QCVN 102:2016 (`000.00.00.H26`)."""
    code_qd20: str = ""
    """Its code of Decision 20/2020 (`H26`)."""
    level: int = 1
    version: int = 0
    """Of the directory, when it last changed."""
    changed_at: datetime | None = None
    is_deleted: bool = False
    is_connected: bool = True

    @classmethod
    def of(
        cls,
        *,
        number: int,
        parent: int | None,
        main_code: str,
        codes: Sequence[str],
        name: str,
        level: int,
        version: int,
        is_open: bool,
        is_connected: bool,
    ) -> Agency:
        """An organ of the directory; `codes` are all it is known under, told apart by their form."""
        by_form = {parse_organ_code(code).form: code for code in codes}
        code_102 = by_form.get(OrganCodeForm.QCVN_102, "")
        return cls(
            id=str(number),
            parent=str(parent) if parent is not None else None,
            code=code_102 or main_code,
            name=name,
            old_code=by_form.get(OrganCodeForm.NINE_CHARACTERS, ""),
            code_102=code_102,
            code_qd20=by_form.get(OrganCodeForm.DECISION_20, ""),
            level=level,
            version=version,
            is_deleted=not is_open,
            is_connected=is_connected,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AgencyForm:
    """What a system registers or changes."""

    code: str
    parent_code: str
    name: str
    mail: str = ""
    mobile: str = ""
    fax: str = ""
    id: str = ""


class AgencyRefused(Exception):
    """The axis does not take it; `reason` is for the person who asked."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Agencies(Protocol):
    """The axis's directory, for one gateway. Raises `StationError` when it does not answer."""

    def every(self, asker: Station, *, level: int | None, include_deleted: bool) -> AsyncIterator[Agency]:
        """Organs in a stable order, piece by piece: there are more than 100,000. `asker` is the caller's station."""
        ...

    async def register(self, asker: Station, form: AgencyForm) -> None:
        """
        Register or change an organ the caller's station speaks for, recorded as the station's act.

        Raises:
            AgencyRefused: it may not, or the form is wrong.
        """
        ...

    async def remove(self, asker: Station, code: str) -> None:
        """
        Close an organ the caller's station speaks for.

        Raises:
            AgencyRefused: it may not, or there is no such organ.
        """
        ...


def for_list(one: Agency) -> dict[str, Any]:
    """A row of `getAgenciesList`."""
    return {
        "id": one.id,
        "pid": one.parent or "",
        "code": one.code,
        "name": one.name,
        "mail": one.mail,
        "oldCode": one.old_code,
    }


def for_list_qd20(one: Agency) -> dict[str, Any]:
    """A row of `getAgenciesListQD20`."""
    return {
        "id": one.id,
        "code": one.code_qd20 or one.code,
        "name": one.name,
        "mail": one.mail,
        "code102": one.code_102,
    }


def for_synchronizing(one: Agency) -> dict[str, Any]:
    """A row of `getSynchronizeUnit`."""
    return {
        "id": one.id,
        "pid": one.parent or "",
        "code": one.code,
        "name": one.name,
        "mail": one.mail,
        "version": one.version,
        "centerCode": "",
        "deleted": one.is_deleted,
        "modifyDate": written(one.changed_at),
        "isAgency": one.is_connected,
    }
