"""The VXP gateway over TLS, as one runs it beyond a machine: certificates of an authority, and nobody else's."""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest

from axis.bootstrap.system import SystemClock
from tests.adapters.vxp_client import VXPClient, request
from tests.e2e.test_vxp import _people, _polled, _running, _system
from tests.e2e.test_vxp_large import SECRET, credentials
from tests.flow.town import HANOI, VPCP, a_letter, unsigned
from tests.services.tls import Authority

pytestmark = pytest.mark.slow

AXIS = re.compile(r"https://127\.0\.0\.1:[0-9]+")
GATEWAY = re.compile(r"https://127\.0\.0\.1:[0-9]+/XrdAdapter/adapter")


@pytest.fixture(name="authority")
def _authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "tls")


def _environ(home: Path, authority: Authority) -> dict[str, str]:
    server = authority.issue("axis", server=True)
    return {
        "AXIS_HOME": str(home),
        "AXIS_HTTP_PORT": "0",
        "AXIS_VXP_PORT": "0",
        "AXIS_HTTP_CERT": str(server.cert_file),
        "AXIS_HTTP_KEY": str(server.key_file),
    }


def _clients(
    url: str, given: Sequence[tuple[str, str]], *, roots: Path, now: datetime
) -> tuple[VXPClient, VXPClient]:
    tls = ssl.create_default_context(cafile=str(roots))
    one, two = (VXPClient(url, system_id=name, secret=secret, now=now, tls=tls) for name, secret in given)
    return one, two


async def _exchanged(vpcp: VXPClient, hanoi: VXPClient) -> None:
    """A document goes from one to the other and is ended."""
    body = unsigned(a_letter(receivers=(HANOI,)))
    sent = await vpcp.send_edoc(body, sender=VPCP.code)
    (row,) = await _polled(hanoi, "edoc")
    fetched = await hanoi.get_edoc(row["docId"])
    await hanoi.update(row["docId"], "done")
    (shown,) = await vpcp.sent()

    assert sent["status"] == "OK", sent
    assert base64.b64decode(fetched["data"]) == body
    assert (shown["senderDocId"], shown["receiveStatus"]) == (sent["DocId"], "done")


async def test_axis_up_and_its_gateway_speak_tls_to_each_other_and_to_systems(
    tmp_path: Path, authority: Authority
) -> None:
    """With the certificate of the HTTP interface; who trusts another authority, or speaks no TLS, learns nothing."""
    home = tmp_path / "home"
    await _people(home)
    given = [await _system(home, "g22", "vxp.G22"), await _system(home, "h26", "vxp.H26")]
    now = SystemClock().now()

    with _running("up", environ=_environ(home, authority), log=tmp_path / "up.log", until=GATEWAY) as url:
        vpcp, hanoi = _clients(url, given, roots=authority.ca_file, now=now)
        await _exchanged(vpcp, hanoi)
        stranger, _ = _clients(url, given, roots=Authority(tmp_path / "other").ca_file, now=now)
        with pytest.raises(ssl.SSLCertVerificationError):
            await stranger.ask("countReceiveEdoc")
        with pytest.raises(OSError, match=r".+"):
            request(
                url.replace("https", "http"), "POST", "countReceiveEdoc", vpcp.signed(), b"{}", timeout_s=10
            )


async def test_a_gateway_beside_an_agency_speaks_tls_on_both_sides(
    tmp_path: Path, authority: Authority
) -> None:
    """To the axis by the roots it was given, to the systems with its own certificate; an axis with another is not spoken to."""
    home = tmp_path / "home"
    await _people(home)
    systems = await credentials(home, tmp_path)
    now = SystemClock().now()
    own = authority.issue("gateway", server=True)
    arguments = ("adapter", "vxp", systems, "--port", "0", "--cert", own.cert_file, "--key", own.key_file)
    nowhere = {"AXIS_HOME": str(tmp_path / "none")}
    given = [("vxp.g22", SECRET), ("vxp.h26", SECRET)]

    with _running("up", environ=_environ(home, authority), log=tmp_path / "up.log", until=AXIS) as axis:
        with _running(
            *(*arguments, "--station", axis),
            environ={**nowhere, "AXIS_STATION_CA": str(authority.ca_file)},
            log=tmp_path / "gateway.log",
            until=GATEWAY,
        ) as url:
            await _exchanged(*_clients(url, given, roots=authority.ca_file, now=now))
        with _running(
            *(*arguments, "--station", axis),
            environ={**nowhere, "AXIS_STATION_CA": str(Authority(tmp_path / "other").ca_file)},
            log=tmp_path / "wary.log",
            until=GATEWAY,
        ) as url:
            vpcp, _ = _clients(url, given, roots=authority.ca_file, now=now)
            refused = await vpcp.send_edoc(unsigned(a_letter(2, receivers=(HANOI,))), sender=VPCP.code)

    assert (refused["status"], refused["ErrorCode"]) == ("FAIL", "20")
