"""
Who is calling: a station, by its API key or by the client certificate the TLS layer has verified.

Unknown stations and wrong keys look the same and cost the same: one look-up, one hash, one comparison in constant
time. What a caller may do is not decided here but by the desk.

A central gateway shows its own credential and names the station it acts as (`wire.ACTS_FOR`): one of its recorded list,
or, for the VXP gateway of this very process, one that has a system of that interface.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, Request

from axis.core.credentials import is_key
from axis.core.directory import Station
from axis.core.errors import NotAllowed
from axis.core.model import StationId
from axis.core.reasons import ReasonCode
from axis.web import wire
from axis.web.edge import Occupancy
from axis.web.problems import no
from axis.web.services import Keys, WebServices
from axis.web.visit import peer_of, visit_of
from axis.web.wire import HTTPReason

_NOBODY: Final = "0" * 64
"""Compared with when there is no key; no text has this hash that anybody could find."""


def services_of(request: Request) -> WebServices:
    """What this API was made of."""
    found: WebServices = request.app.state.services
    return found


async def identify(request: Request) -> Station:
    """
    The station that calls.

    Raises:
        NotServed: 401 nobody, 403 suspended or not registered, 429 too many requests under way.
    """
    services = services_of(request)
    peer = peer_of(request.scope)
    shown = request.headers.getlist("authorization")
    certified = peer.station if peer is not None else None
    if shown and services.gateway_hash is not None and is_key(_key(shown), key_hash=services.gateway_hash):
        station = await _by_own_gateway(request, services)
        certified = None
    elif shown:
        station = await _by_key(shown, services.keys)
        if certified is not None and certified != station:
            raise no(HTTPReason.NOT_IDENTIFIED)
    elif certified is not None:
        station = certified
    else:
        raise no(HTTPReason.NOT_IDENTIFIED)
    visit = visit_of(request.scope)
    visit.facts["caller"] = station
    try:
        found = await services.desk.station(station)
        if wire.ACTS_FOR in request.headers and _acted_for(request) != station:
            visit.facts["gateway"] = station
            station = _listed(_acted_for(request), found)
            found = await services.desk.station(station)
    except NotAllowed as refused:
        # A key is kept for registered stations only, so one that has a key and may not is suspended.
        is_registered = bool(shown) or await services.keys.key_hash(station) is not None
        reason = ReasonCode.RECEIVE_SUSPENDED if is_registered else HTTPReason.NOT_ALLOWED
        raise no(reason) from refused
    occupancy: Occupancy = request.app.state.occupancy
    occupancy.arrive(station)
    visit.station = station
    del visit.facts["caller"]
    return found


def _acted_for(request: Request) -> StationId:
    named = request.headers.getlist(wire.ACTS_FOR)
    if len(named) != 1:
        raise no(HTTPReason.NOT_ALLOWED)
    return StationId(named[0])


def _listed(wanted: StationId, gateway: Station) -> StationId:
    if wanted not in gateway.acts_for:
        raise no(HTTPReason.NOT_ALLOWED)
    return wanted


async def _by_own_gateway(request: Request, services: WebServices) -> StationId:
    wanted = _acted_for(request)
    if not (await services.directories.current()).has_gateway(wanted):
        raise no(HTTPReason.NOT_ALLOWED)
    return wanted


def _key(shown: list[str]) -> str:
    scheme, _, key = shown[0].partition(" ")
    return key if len(shown) == 1 and scheme.lower() == "bearer" else ""


async def _by_key(shown: list[str], keys: Keys) -> StationId:
    scheme, _, key = shown[0].partition(" ")
    claimed = wire.station_of_key(key)
    kept = await keys.key_hash(claimed) if claimed is not None else None
    is_right = is_key(key, key_hash=kept or _NOBODY)
    if len(shown) > 1 or scheme.lower() != "bearer" or claimed is None or kept is None or not is_right:
        raise no(HTTPReason.NOT_IDENTIFIED)
    return claimed


Caller = Annotated[Station, Depends(identify)]
"""The station that calls, identified and active."""
