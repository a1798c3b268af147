"""
The VXP gateway: what the vendor's SDK (Java, .NET) calls, so that an agency's software changes an address and a secret.

    POST {base}/sendEdoc            a document or status is judged and recorded before it is answered, within 50 s
    POST {base}/getReceivedEdocList what waits; it stays listed until updateStatus says done or fail
    POST {base}/getEdoc             one message, base64; GET {base}/downloadEdoc the same, raw
    POST {base}/updateStatus        processing | done | fail
    POST {base}/getSentEdocList     what was sent, a row for each receiver
    …                               counts, agencies: see `_OPERATIONS`

Authenticates the caller (`vxp_caller`) and then acts as that station through `adapters.station`: it decides nothing and
keeps nothing that could be lost. Every call may be repeated without harm, as these clients do so blindly. Answers
are HTTP 200 and JSON whatever happens (`vxp_words`). docs/vxp.md is the guide for connecting.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from adapters import vxp_directory, vxp_sending, vxp_taking
from adapters.errors import (
    BadAnswer,
    Closed,
    MemoryUnusable,
    NotAllowed,
    NotAnswered,
    NotFound,
    NotProven,
    Recalled,
    StationError,
)
from adapters.station import Station
from adapters.vxp_accounts import Account, Accounts
from adapters.vxp_agencies import Agencies
from adapters.vxp_bodies import Incoming
from adapters.vxp_caller import Call, claimed_system, read_call
from adapters.vxp_desk import Desk, GatewayLimits, Visit, as_json
from adapters.vxp_words import ErrorCode, Failed, failed
from axis.core.model import StationId
from axis.core.ports import Clock, Ids

_log = structlog.get_logger(__name__)

BASE: Final = "/XrdAdapter/adapter"


class Gateway:
    """An ASGI application. `async with` opens and closes what it needs."""

    def __init__(
        self,
        accounts: Accounts,
        *,
        agencies: Agencies | None,
        clock: Clock,
        ids: Ids,
        spool: Path | None = None,
        limits: GatewayLimits | None = None,
    ) -> None:
        self._accounts = accounts
        self._agencies = agencies
        self._clock = clock
        self._ids = ids
        self._spool = spool
        self._limits = limits or GatewayLimits()
        self._desks: dict[StationId, Desk] = {}
        self._opening = asyncio.Lock()
        self._under_way = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop in good order; what waits for a station is offered again to the next process."""
        for desk in self._desks.values():
            await desk.close()
        self._desks.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        incoming = Incoming(receive)
        response = await self._answer(Request(scope, incoming))
        # A client that is still sending would not read the answer before it has finished.
        limits = self._limits.body
        await incoming.drain(seconds=limits.stall_seconds, most=2 * limits.body_bytes)
        with contextlib.suppress(ClientDisconnect, OSError):
            await response(scope, incoming, send)

    async def _answer(self, request: Request) -> Response:
        name = request.url.path.removeprefix(BASE).strip("/")
        is_full = self._under_way >= self._limits.calls
        self._under_way += 1
        try:
            if is_full:
                return as_json(failed(ErrorCode.SYSTEM, "He thong dang ban, vui long gui lai"))
            return await self._serve(request, name)
        except Failed as no:
            _log.info("vxp.failed", operation=name[:40], code=no.code.value, cause=no.desc[:200])
            return as_json(failed(no.code, no.desc))
        except ClientDisconnect:
            return as_json(failed(ErrorCode.REQUEST, "Noi dung bi ngat giua chung"))
        except Exception:  # noqa: BLE001 - a client can show a sentence, never a page or a trace
            _log.error("vxp.fault", operation=name[:40], exc_info=True)
            return as_json(failed(ErrorCode.SYSTEM, "Loi he thong, vui long gui lai"))
        finally:
            self._under_way -= 1

    async def _serve(self, request: Request, name: str) -> Response:
        operation = _OPERATIONS.get(name.lower())
        if operation is None or not request.url.path.startswith(BASE):
            raise Failed(ErrorCode.REQUEST, f"Khong co chuc nang {name[:60]}")
        if request.method not in operation.methods:
            allowed = " hoac ".join(sorted(operation.methods))
            raise Failed(ErrorCode.REQUEST, f"{name}: dung phuong thuc {allowed}")
        headers = request.scope["headers"]
        try:
            account = await self._accounts.find(claimed_system(headers))
            call = read_call(
                headers,
                secret=account.secret if account is not None else None,
                now=self._clock.now(),
                max_age=self._limits.max_age,
            )
            assert account is not None, "nobody signs with the secret of no system"
            return await operation.serve(await self._visit(account, call, request))
        except StationError as error:
            raise _translated(error) from error

    async def _visit(self, account: Account, call: Call, request: Request) -> Visit:
        return Visit(
            account=account,
            desk=await self._desk(account.station),
            call=call,
            request=request,
            limits=self._limits,
            clock=self._clock,
            ids=self._ids,
            spool=self._spool,
            agencies=self._agencies,
        )

    async def _desk(self, station: Station) -> Desk:
        async with self._opening:
            desk = self._desks.get(station.id)
            if desk is None:
                desk = Desk(station)
                await desk.open()
                self._desks[station.id] = desk
            return desk


def _translated(error: StationError) -> Failed:
    match error:
        case NotAnswered() | Closed():
            return Failed(
                ErrorCode.SYSTEM, "Truc chua tra loi. Vui long gui lai: cung mot tep khong bi nhan hai lan"
            )
        case NotAllowed():
            return Failed(ErrorCode.SENDER, "Diem ket noi chua duoc phep hoac dang tam dung tren Truc")
        case Recalled():
            return Failed(ErrorCode.FILE, "Van ban da duoc thu hoi truoc khi nhan")
        case NotFound():
            return Failed(ErrorCode.FILE, "Khong tim thay van ban nay")
        case NotProven() | BadAnswer():
            _log.error("vxp.axis_not_believed", cause=str(error))
            return Failed(ErrorCode.SYSTEM, "Truc tra loi khong hop le, vui long bao nguoi van hanh")
        case MemoryUnusable():
            _log.error("vxp.memory", cause=str(error))
            return Failed(ErrorCode.SYSTEM, "He thong khong ghi duoc dia, vui long gui lai")
        case _:
            return Failed(ErrorCode.SYSTEM, f"Truc khong phuc vu: {error}")


@dataclass(frozen=True, slots=True)
class _Operation:
    serve: Callable[[Visit], Awaitable[Response]]
    methods: frozenset[str] = frozenset({"POST"})


_EITHER: Final = frozenset({"GET", "POST"})
_OPERATIONS: Final = {
    name.lower(): operation
    for name, operation in {
        "sendEdoc": _Operation(vxp_sending.send_edoc),
        "getSentEdocList": _Operation(vxp_sending.sent_list),
        "getReceivedEdocList": _Operation(vxp_taking.received_list),
        "countReceiveEdoc": _Operation(vxp_taking.count_edoc, _EITHER),
        "countReceiveStatus": _Operation(vxp_taking.count_status, _EITHER),
        "getEdoc": _Operation(vxp_taking.get_edoc),
        "downloadEdoc": _Operation(vxp_taking.download_edoc, _EITHER),
        "updateStatus": _Operation(vxp_taking.update_status),
        "getAgenciesList": _Operation(vxp_directory.agencies_list),
        "getAgenciesListQD20": _Operation(vxp_directory.agencies_list_qd20),
        "getSynchronizeUnit": _Operation(vxp_directory.synchronize_unit),
        "registerAgency": _Operation(vxp_directory.register_agency),
        "deleteAgency": _Operation(vxp_directory.delete_agency),
    }.items()
}
"""What there is, by name in lower case. Counts are declared GET by the SDK and sent as POST."""
