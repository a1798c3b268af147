"""
The directory at the VXP gateway: lists of agencies, streamed, and what a system registers or closes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.responses import Response, StreamingResponse

from adapters.station import Station
from adapters.vxp_agencies import (
    Agencies,
    Agency,
    AgencyForm,
    AgencyRefused,
    for_list,
    for_list_qd20,
    for_synchronizing,
)
from adapters.vxp_bodies import CHUNK
from adapters.vxp_desk import Visit, as_json
from adapters.vxp_words import ErrorCode, Failed, encoded, succeeded
from axis.core.exchange import load


async def agencies_list(visit: Visit) -> Response:
    """Every organ."""
    await visit.small_body()
    return await _stream(visit, for_list, level=None, include_deleted=False)


async def agencies_list_qd20(visit: Visit) -> Response:
    """Organs with their codes of Decision 20, of one level if it is given."""
    await visit.small_body()
    level = visit.call.get("level").strip()
    if level and not (level.isdecimal() and len(level) <= 2):
        raise Failed(ErrorCode.REQUEST, "level: can mot so")
    return await _stream(visit, for_list_qd20, level=int(level) if level else None, include_deleted=False)


async def synchronize_unit(visit: Visit) -> Response:
    """Every organ with its version, closed ones included."""
    await visit.small_body()
    return await _stream(visit, for_synchronizing, level=None, include_deleted=True)


async def _stream(
    visit: Visit, row: Callable[[Agency], dict[str, Any]], *, level: int | None, include_deleted: bool
) -> Response:
    listed = _agencies(visit).every(visit.desk.station, level=level, include_deleted=include_deleted)
    head, tail = encoded(succeeded(data=[])).split(b"[]")
    # Before the answer begins, so that an axis that does not answer is a proper "no".
    async with visit.in_time():
        first = await anext(listed, None)

    async def pieces() -> AsyncIterator[bytes]:
        block = bytearray(head + b"[" + (encoded(row(first)) if first is not None else b""))
        async for one in listed:
            block += b"," + encoded(row(one))
            if len(block) > CHUNK:
                yield bytes(block)
                block.clear()
        yield bytes(block) + b"]" + tail

    return StreamingResponse(pieces(), media_type="application/json")


async def register_agency(visit: Visit) -> Response:
    """Register or change an organ."""
    try:
        value = load(await visit.small_body())
    except ValueError as error:
        raise Failed(ErrorCode.REQUEST, "Noi dung khong phai JSON") from error
    texts = {name: str(found).strip() for name, found in value.items() if isinstance(found, str | int)}
    code, name = texts.get("code", ""), texts.get("name", "")
    if not code or not name:
        raise Failed(ErrorCode.REQUEST, "Can code va name")
    form = AgencyForm(
        id=texts.get("id", ""),
        parent_code=texts.get("pcode", ""),
        code=code,
        name=name,
        mail=texts.get("mail", ""),
        mobile=texts.get("mobile", ""),
        fax=texts.get("fax", ""),
    )
    return await _change(visit, lambda agencies, asker: agencies.register(asker, form))


async def delete_agency(visit: Visit) -> Response:
    """Close an organ."""
    await visit.small_body()
    code = visit.call.need("AgencyCode")
    return await _change(visit, lambda agencies, asker: agencies.remove(asker, code))


async def _change(visit: Visit, act: Callable[[Agencies, Station], Awaitable[None]]) -> Response:
    agencies = _agencies(visit)
    async with visit.in_time():
        try:
            await act(agencies, visit.desk.station)
        except AgencyRefused as no:
            raise Failed(ErrorCode.SENDER, no.reason) from no
    return as_json(succeeded())


def _agencies(visit: Visit) -> Agencies:
    if visit.agencies is None:
        raise Failed(ErrorCode.SYSTEM, "Cong nay khong phuc vu danh muc don vi")
    return visit.agencies
