"""Every published sample goes through the gateway between two labelled stations, and comes out as it went in."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from adapters.vxp_accounts import Account
from axis.core.directory import View
from axis.edxml.message import Edoc, Message
from axis.edxml.reader import read_package
from axis.flow.organ_import import OrganRow
from tests.adapters.real import OPERATOR, RealAxis, real_axis
from tests.adapters.test_vxp import SECRET, gateway_over
from tests.adapters.vxp_client import VXPClient

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"

SENDERS = ("000.00.00.G22", "000.00.00.A80", "000.00.11.H53")
RECEIVERS = (
    *("000.00.00.H41", "000.00.00.H14", "000.00.00.G17"),
    *("28.22.H17", "000.00.01.A53", "000.00.00.H53", "vxp.saas.03"),
)
"""`vxp.saas.03` writes to itself (doc-11)."""

ORDER = (
    "doc-06-sdk-output-bussiness-first",
    *("doc-01-new", "doc-11-minimal", "doc-12-bkav-provincial-new"),
    *("status-00-arrived", "status-01-inbox", "status-03-acceptance", "status-04-assignment"),
    *("status-05-processing", "status-06-finish", "status-02-rejection"),
    *("status-13-cancellation", "status-15-change-acceptance", "status-16-change-rejection"),
    *("doc-03-update", "doc-04-replace", "doc-02-revoke"),
    "ax1/good",
)
"""
As it could have happened: nobody answers, updates or revokes what was not sent (all of these name one document). The
signed one comes last: from the certificate that is bound for it on, its organ must sign.
"""
AGAIN = ("doc-06-sdk-output-bussiness-first", "status-05-processing-bkav")
"""The same status in another form: after the first it would be a repetition, which is answered and goes nowhere."""


def messages(names: Sequence[str]) -> Iterator[tuple[str, bytes, Message]]:
    for name in names:
        body = (SAMPLES / f"{name}.edxml").read_bytes()
        yield name, body, read_package(body).message


def test_no_sample_is_left_out() -> None:
    """Those of a later day are put into the order, too."""
    found = {path.relative_to(SAMPLES).as_posix().removesuffix(".edxml") for path in SAMPLES.rglob("*.edxml")}

    assert {*ORDER, *AGAIN} == found, f"the samples are expected in {SAMPLES}"


@pytest.mark.parametrize("names", [ORDER, AGAIN], ids=["all", "again"])
async def test_every_published_sample_comes_out_byte_for_byte(names: Sequence[str], tmp_path: Path) -> None:
    """Sent by the system of its `From`, taken by the other one, which has all its receivers."""
    trust = (SAMPLES / "ax1" / "trust.pem").read_bytes()
    async with (
        real_axis(tmp_path / "axis", trust=trust) as real,
        gateway_over(real, await _accounts(real)) as place,
    ):
        clients = {name: place.client(name) for name in ("sender", "receiver", "strict")}
        problems = {}
        for name, body, message in messages(names):
            code = message.sender.organ_id
            own, other = ("sender", "receiver") if code in SENDERS else ("receiver", "sender")
            if name == "ax1/good":
                await real.axis.acts().bind_certificate(code, _signer(body), by=OPERATOR)
                # Its system asks for the normal view: a copy would lose the signature, so there is none.
                other = "strict"
            taker = own if isinstance(message, Edoc) and code == "vxp.saas.03" else other
            answer = await clients[own].send_edoc(body, sender=code, kind=message.kind.value)
            if answer["status"] != "OK":
                problems[name] = answer["ErrorDesc"]
                continue
            if await _taken(clients[taker], message.kind.value) != [body]:
                problems[name] = "not byte for byte"

    assert problems == {}


def _signer(body: bytes) -> bytes:
    """The certificate in the signature of a message."""
    found = re.search(rb"X509Certificate[^>]*>([^<]+)<", body)
    assert found is not None
    return base64.b64decode(found.group(1))


async def _accounts(real: RealAxis) -> list[Account]:
    rows = [OrganRow(code=code, name=f"Đơn vị {code}", kind="unit") for code in (*SENDERS, *RECEIVERS)]
    await real.axis.acts().import_organs(
        rows, by=OPERATOR, with_assumed=True, other_forms=True, source="test"
    )
    sender, receiver = [
        real.station(await real.add_station(f"vxp-{name}", codes))
        for name, codes in (("sender", SENDERS), ("receiver", RECEIVERS))
    ]
    return [
        Account(system_id="vxp.sender", secret=SECRET.encode(), station=sender),
        Account(system_id="vxp.receiver", secret=SECRET.encode(), station=receiver),
        Account(system_id="vxp.strict", secret=SECRET.encode(), station=receiver, view=View.NORMAL),
    ]


async def _taken(client: VXPClient, kind: str) -> list[bytes]:
    """What waits for a system, as bytes; it is done then."""
    async with asyncio.timeout(20):
        while not (rows := await client.received(kind)):  # noqa: ASYNC110 - polling is the interface
            await asyncio.sleep(0.05)
    bodies = [await client.download(row["docId"]) for row in rows]
    for row in rows:
        await client.update(row["docId"], "done")
    return bodies
