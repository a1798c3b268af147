"""
Records one request and its answer for every operation of the VXP gateway into docs/vxp.md.

`python -m tests.adapters.vxp_record` writes the part between the two comments; `test_vxp_guide.py` fails while it differs
from what the gateway does. Ids, times, digests and contents differ from run to run and are shown as one example of each.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from adapters.station import Credentials, Station
from adapters.vxp import BASE, Gateway
from adapters.vxp_accounts import Account, ListedAccounts
from adapters.vxp_agencies import Agency, AgencyForm
from adapters.vxp_server import serve
from tests.adapters.pretend import NOON, Clock, Ids, PretendAxis
from tests.adapters.vxp_client import VXPClient, request
from tests.adapters.worlds import served
from tests.edxml.builders import a_status_package, an_edoc_package

GUIDE: Final = Path(__file__).parents[2] / "docs" / "vxp.md"
BEGIN: Final = "<!-- begin: recorded, written by `python -m tests.adapters.vxp_record` -->"
END: Final = "<!-- end: recorded -->"

_ID: Final = re.compile(r"0[0-9A-HJKMNP-TV-Z]{25}")
_HEX: Final = re.compile(r"[0-9a-f]{56,64}")
_TIME: Final = re.compile(r"\d{2}/\d{2}/\d{4} \d{2}:\d{2}:\d{2}")
_STAMP: Final = re.compile(r"\d{8}T\d{6}\+\d{4}")
_DATA: Final = re.compile(r'"data":"[A-Za-z0-9+/=]{40,}"')


class _Agencies:
    """One organ."""

    async def every(self, _: Station, *, level: int | None, include_deleted: bool) -> AsyncIterator[Agency]:
        del level, include_deleted
        yield Agency(
            id="41",
            parent=None,
            code="000.00.00.H41",
            name="UBND tỉnh Nghệ An",
            mail="vanthu@nghean.example",
            code_102="000.00.00.H41",
            code_qd20="H41",
            version=3,
            changed_at=datetime(2026, 3, 2, 2, 30, tzinfo=UTC),
        )

    async def register(self, asker: Station, form: AgencyForm) -> None:
        del asker, form

    async def remove(self, asker: Station, code: str) -> None:
        del asker, code


async def recorded() -> str:
    """Every operation once, as Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        axis = PretendAxis(Path(folder))
        station, key = axis.add_station("vxp-g22")
        for body in (an_edoc_package(), a_status_package()):
            axis.offer(station.id, body)
        async with served(axis) as url:
            account = Account(
                system_id="vxp.saas.03",
                secret=b"secret",
                station=Station(url, Credentials(station=station.id, key=key)),
            )
            gateway = Gateway(ListedAccounts([account]), agencies=_Agencies(), clock=Clock(), ids=Ids(mark=3))
            stop = asyncio.Event()
            address: asyncio.Queue[str] = asyncio.Queue()
            serving = asyncio.ensure_future(
                serve(gateway, host="127.0.0.1", port=0, stop=stop, ready=address.put_nowait)
            )
            try:
                return await _record(await address.get() + BASE)
            finally:
                stop.set()
                await serving


async def _record(url: str) -> str:
    def client() -> VXPClient:
        return VXPClient(url, system_id="vxp.saas.03", secret="secret", now=NOON)

    await _wait_for_row(client(), "status")
    doc_id = await _wait_for_row(client(), "edoc")
    parts = [await _sending(client())]
    for operation, headers, body in (
        ("getReceivedEdocList", {"servicetype": "eDoc", "messagetype": "edoc"}, ""),
        ("countReceiveEdoc", {"servicetype": "eDoc"}, "{}"),
        ("countReceiveStatus", {"servicetype": "eDoc"}, "{}"),
        ("getEdoc", {"docId": doc_id}, "{}"),
        ("updateStatus", {"docid": doc_id, "status": "done"}, ""),
        ("getSentEdocList", {"servicetype": "eDoc", "messagetype": "edoc"}, ""),
        ("getAgenciesList", {}, ""),
        ("getAgenciesListQD20", {"level": "1"}, ""),
        ("getSynchronizeUnit", {}, ""),
        ("registerAgency", {}, '{"id":"","pcode":"000.00.00.H41","code":"000.00.01.H41","name":"So Noi vu"}'),
        ("deleteAgency", {"AgencyCode": "000.00.01.H41"}, ""),
    ):
        caller = client()
        caller.headers |= {"Content-Type": "application/json", **headers}
        parts.append(await _one(caller, url, "POST", operation, body.encode()))
    caller = client()
    caller.headers |= {"docId": doc_id}
    parts.append(await _downloading(caller, url))
    caller = client()
    caller.secret = "another"
    parts.append(await _one(caller, url, "POST", "countReceiveEdoc", b"{}", title="Wrong secret"))
    return "\n".join(parts)


async def _wait_for_row(caller: VXPClient, kind: str) -> str:
    for _ in range(400):
        if rows := await caller.received(kind):
            return str(rows[0]["docId"])
        await asyncio.sleep(0.05)
    raise TimeoutError(f"no {kind} is listed")


async def _sending(caller: VXPClient) -> str:
    body = an_edoc_package(document_id="example")
    answer = await caller.send_edoc(body, sender="000.00.00.G22", to='["000.00.00.H41"]')
    shown = f"<edXML> … {len(body)} bytes … </edXML>\\r\\n"
    return _section("sendEdoc", "POST", "sendEdoc", caller, shown, json.dumps(answer))


async def _one(
    caller: VXPClient, url: str, method: str, operation: str, body: bytes, *, title: str = ""
) -> str:
    answer = await asyncio.to_thread(request, url, method, operation, caller.signed(), body)
    return _section(title or operation, method, operation, caller, body.decode(), answer.decode("ascii"))


async def _downloading(caller: VXPClient, url: str) -> str:
    answer = await asyncio.to_thread(request, url, "GET", "downloadEdoc", caller.signed(), b"")
    return _section(
        "downloadEdoc", "GET", "downloadEdoc", caller, "", f"<edXML> … {len(answer)} bytes … </edXML>"
    )


def _section(title: str, method: str, operation: str, caller: VXPClient, body: str, answer: str) -> str:
    lines = "".join(f"{name}: {value}\n" for name, value in caller.signed() if name != "User-Agent")
    text = f"{method} {BASE}/{operation}\n{lines}\n{body}".rstrip()
    return f"#### {title}\n\n```http\n{_usual(text)}\n```\n\n```json\n{_usual(answer)}\n```\n"


def _usual(text: str) -> str:
    """The same text in every run."""
    for pattern, example in (
        (_DATA, '"data":"PD94bWwgdmVyc2lvbj0iMS4wIi…"'),
        (_ID, "01KJN0VQ8R4N6P2T3V5W7X9Y1Z"),
        (_HEX, "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
        (_TIME, "02/03/2026 09:30:00"),
        (_STAMP, "02032026T093000+0123"),
    ):
        text = pattern.sub(example, text)
    return text


def within(guide: str, recorded_part: str) -> str:
    """The guide with this recorded part."""
    head, _, rest = guide.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{recorded_part}\n{END}{tail}"


if __name__ == "__main__":
    GUIDE.write_text(within(GUIDE.read_text(), asyncio.run(recorded())))
