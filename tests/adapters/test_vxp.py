"""The VXP gateway in front of a real axis, called by a client with all the SDK's quirks."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import select
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import NotPossible
from adapters.machine import SystemClock, SystemIds
from adapters.station import Credentials, Station
from adapters.vxp import BASE, Gateway
from adapters.vxp_accounts import Account, ListedAccounts
from adapters.vxp_agencies import Agency, AgencyForm, AgencyRefused
from adapters.vxp_bodies import BodyLimits
from adapters.vxp_caller import PREFIX
from adapters.vxp_desk import GatewayLimits
from adapters.vxp_server import serve
from axis.core.directory import View
from axis.core.exchange import Outcome
from axis.core.model import BusinessType, DeliveryState, StationId
from axis.demo.pki import PKI, Issued
from axis.edxml.message import Code, OtherInfo
from axis.edxml.reader import read_package
from axis.ledger.revocations import SQLRevocations
from signing.keys import KeySigner
from signing.sign import sign
from tests.adapters.pretend import PretendAxis
from tests.adapters.real import OPERATOR, RealAxis, real_axis
from tests.adapters.vxp_client import VXPClient, request
from tests.adapters.worlds import served
from tests.edxml.builders import (
    a_bussiness,
    a_status_package,
    an_attachment,
    an_edoc_package,
    parties,
    without,
)
from tests.signing.builders import chain_of

SENDER, RECEIVER, OTHER = "000.00.00.G22", "000.00.00.H41", "000.00.00.H14"
SECRET = "bí mật của hệ thống"


@dataclass
class Town:
    """A directory a test controls."""

    agencies: list[Agency] = field(default_factory=list)
    registered: list[tuple[StationId, AgencyForm]] = field(default_factory=list)
    removed: list[tuple[StationId, str]] = field(default_factory=list)

    async def every(self, _: Station, *, level: int | None, include_deleted: bool) -> AsyncIterator[Agency]:
        for one in self.agencies:
            if (level is None or one.level == level) and (include_deleted or not one.is_deleted):
                yield one

    async def register(self, asker: Station, form: AgencyForm) -> None:
        if form.code.startswith("X"):
            raise AgencyRefused("Mã đơn vị nằm ngoài phạm vi được ủy quyền")
        self.registered.append((asker.id, form))

    async def remove(self, asker: Station, code: str) -> None:
        self.removed.append((asker.id, code))


@dataclass
class Place:
    """An axis, a gateway in front of it, and two systems of the old kind."""

    real: RealAxis
    gateway: Gateway
    url: str
    town: Town

    def client(self, name: str, **more: Any) -> VXPClient:
        return VXPClient(
            self.url, **{"system_id": f"vxp.{name}", "secret": SECRET, "now": datetime.now(UTC), **more}
        )


@asynccontextmanager
async def listening(gateway: Gateway) -> AsyncIterator[str]:
    """The gateway, served; its address."""
    stop = asyncio.Event()
    address: asyncio.Queue[str] = asyncio.Queue()
    serving = asyncio.ensure_future(
        serve(gateway, host="127.0.0.1", port=0, stop=stop, ready=address.put_nowait)
    )
    try:
        yield await address.get() + BASE
    finally:
        stop.set()
        await serving


@asynccontextmanager
async def gateway_over(
    real: RealAxis, accounts: list[Account], *, limits: GatewayLimits | None = None
) -> AsyncIterator[Place]:
    town = Town()
    gateway = Gateway(
        ListedAccounts(accounts), agencies=town, clock=SystemClock(), ids=SystemIds(), limits=limits
    )
    async with listening(gateway) as url:
        yield Place(real=real, gateway=gateway, url=url, town=town)


async def accounts_of(real: RealAxis, folder: Path, *, view: View = View.AS_SENT) -> list[Account]:
    """A sending and a receiving system, new at the axis."""
    await real.import_organs(SENDER, RECEIVER, OTHER)
    found = []
    for name, codes in (("sender", [SENDER]), ("receiver", [RECEIVER, OTHER])):
        credentials = await real.add_station(f"vxp-{name}", codes)
        found.append(
            Account(
                system_id=f"vxp.{name}",
                secret=SECRET.encode(),
                station=real.station(credentials, state=folder / name / "state"),
                view=view,
            )
        )
    return found


@pytest.fixture(name="real")
async def _real(tmp_path: Path) -> AsyncIterator[RealAxis]:
    async with real_axis(tmp_path / "axis") as real:
        yield real


@pytest.fixture(name="place")
async def _place(real: RealAxis, tmp_path: Path) -> AsyncIterator[Place]:
    accounts = await accounts_of(real, tmp_path / "gateway")
    limits = GatewayLimits(body=BodyLimits(body_bytes=12 * 1024 * 1024, stall_seconds=1))
    async with gateway_over(real, accounts, limits=limits) as place:
        yield place


def edoc(
    number: int = 1, *, to: tuple[str, ...] = (RECEIVER,), attached: int = 100, priority: int = 0
) -> bytes:
    """An unsigned document, as these systems send them."""
    return an_edoc_package(
        document_id=f"{SENDER},2026/03/02,{number}/VPCP-TTĐT",
        code=replace_code(number),
        receivers=parties(*to),
        other=OtherInfo(priority=priority),
        attachments=[an_attachment(b"%PDF-1.7\n" + bytes(attached))],
    )


def replace_code(number: int) -> Code:
    return Code(number=str(number), notation="VPCP-TTĐT")


async def waiting(client: VXPClient, *, kind: str = "edoc", count: int = 1) -> list[dict[str, Any]]:
    """The list, as soon as it has so many rows: clients ask every few minutes."""
    deadline = asyncio.get_running_loop().time() + 20
    while len(found := await client.received(kind)) < count:
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"{len(found)} of {count} rows")
        await asyncio.sleep(0.05)
    return found


# --- the loop -----------------------------------------------------------------------------------------------------


async def test_the_whole_loop(place: Place) -> None:
    """Agencies, send, list, get, done, status back, its list and get, and the sent list that shows it all."""
    place.town.agencies = [Agency(id="1", parent=None, code=SENDER, name="Văn phòng Chính phủ")]
    sender, receiver = place.client("sender"), place.client("receiver")
    body = edoc(7816)

    agencies = await sender.ask("getAgenciesList")
    sent = await sender.send_edoc(body, sender=SENDER, to=json.dumps([RECEIVER]))
    (row,) = await waiting(receiver)
    count = await receiver.ask("countReceiveEdoc")
    got = await receiver.get_edoc(row["docId"])
    raw = await receiver.download(row["docId"])
    processing = await receiver.update(row["docId"], "processing")
    (shown,) = await receiver.received()
    done = await receiver.update(row["docId"], "done")
    after = await receiver.received()
    status = a_status_package("03")
    answered = await receiver.send_edoc(status, sender=RECEIVER, kind="status")
    (told,) = await waiting(sender, kind="status")
    status_back = await sender.get_edoc(told["docId"])
    await sender.update(told["docId"], "done")
    rows = await sender.sent()

    assert agencies["data"][0]["name"] == "Văn phòng Chính phủ"
    assert (sent["status"], sent["ErrorCode"]) == ("OK", "0")
    assert sent["DocId"]
    assert (row["from"], row["to"], row["status"]) == (SENDER, RECEIVER, "initial")
    assert (row["serviceType"], row["messageType"]) == ("eDoc", "edoc")
    assert "De tham khao: khong ky so" in row["status_desc"]
    assert count["count"] == 1
    assert base64.b64decode(got["data"]) == raw == body
    assert (processing["status"], shown["status"]) == ("OK", "processing")
    assert (done["status"], after) == ("OK", [])
    assert answered["DocId"]
    assert (told["from"], told["messageType"]) == (RECEIVER, "status")
    assert base64.b64decode(status_back["data"]) == status
    (sent_row,) = rows
    assert sent_row["senderDocId"] == sent["DocId"]
    assert sent_row["receiverDocId"] == row["docId"]
    assert (sent_row["sendStatus"], sent_row["receiveStatus"]) == ("done", "done")
    assert "trang thai 03" in sent_row["receiveStatusDesc"]
    assert sent_row["notation"] == "7816/VPCP-TTĐT"
    assert await sender.received("status") == []


async def test_the_sent_list_has_a_row_for_each_receiver(place: Place) -> None:
    """Newest document first; pages; a window; one document by its DocId."""
    sender, receiver = place.client("sender"), place.client("receiver")
    ids = [
        (await sender.send_edoc(edoc(number, to=(RECEIVER, OTHER)), sender=SENDER))["DocId"]
        for number in range(3)
    ]
    items = await waiting(receiver, count=3)
    await receiver.get_edoc(items[0]["docId"])

    rows = await sender.sent()
    page = await sender.sent(pageIndex="2", pageSize="1")
    only = await place.client("sender").sent(docId=ids[0])
    early = await place.client("sender").sent(fromDate="01/01/2020 00:00:00", toDate="02/01/2020 00:00:00")

    assert [row["senderDocId"] for row in rows] == [ids[2]] * 2 + [ids[1]] * 2 + [ids[0]] * 2
    assert {row["toCode"] for row in rows} == {RECEIVER, OTHER}
    assert {row["senderDocId"] for row in page} == {ids[1]}
    assert [row["senderDocId"] for row in only] == [ids[0]] * 2
    assert {row["receiveStatus"] for row in only} == {"processing"}
    assert early == []
    assert set(items[0]["to"].split(",")) == {RECEIVER, OTHER}


async def test_bytes_come_out_as_they_went_in(place: Place) -> None:
    """Documents and statuses of every shape, with and without the hash's zeros, small and large."""
    sender, receiver = place.client("sender"), place.client("receiver", pads_hash=True)
    messages = {
        "plain": edoc(1),
        "crlf inside": edoc(2).replace(b"<edXML:Subject>", b"\r\n<edXML:Subject>"),
        "ends with crlf": edoc(3) + b"\r\n",
        "byte order mark": b"\xef\xbb\xbf" + edoc(4),
        "large": edoc(5, attached=8 * 1024 * 1024),
    }

    for name, body in messages.items():
        answer = await sender.send_edoc(body, sender=SENDER)
        assert answer["status"] == "OK", (name, answer)
    rows = await waiting(receiver, count=len(messages))
    got = {hashlib.sha256(await receiver.download(row["docId"])).hexdigest() for row in rows}
    as_json = {
        hashlib.sha256(base64.b64decode((await receiver.get_edoc(row["docId"]))["data"])).hexdigest()
        for row in rows
    }

    assert got == as_json == {hashlib.sha256(body).hexdigest() for body in messages.values()}


# --- blind repetition ---------------------------------------------------------------------------------------------


async def test_the_same_bytes_have_one_docid_for_ever(place: Place) -> None:
    """Sent again by the same object, by a new one, and at the same time: one document, one DocId."""
    sender, receiver = place.client("sender"), place.client("receiver")
    body = edoc(1)

    answers = [await sender.send_edoc(body, sender=SENDER) for _ in range(2)]
    answers += await asyncio.gather(
        *(place.client("sender").send_edoc(body, sender=SENDER) for _ in range(4))
    )
    rows = await waiting(receiver)

    assert len({one["DocId"] for one in answers}) == 1
    assert len(rows) == len(await sender.sent()) == 1


async def test_every_request_twice_and_answers_lost(place: Place) -> None:
    """Forty documents, each request sent twice, one answer in twenty cut off: each document once, all of them done."""
    sender, receiver = place.client("sender", retries=5), place.client("receiver", retries=5)
    count = 40

    for number in range(count):
        sender.cut_answers = 1 if number % 20 == 7 else 0
        await sender.send_edoc(edoc(number), sender=SENDER)
        await sender.send_edoc(edoc(number), sender=SENDER)
    taken: list[str] = []
    async with asyncio.timeout(60):
        while len(taken) < count:
            for row in await receiver.received():
                receiver.cut_answers = 1 if len(taken) % 20 == 3 else 0
                first = await receiver.get_edoc(row["docId"])
                again = await receiver.get_edoc(row["docId"])
                assert first == again
                for _ in range(2):
                    assert (await receiver.update(row["docId"], "done"))["status"] == "OK"
                taken.append(hashlib.sha256(base64.b64decode(first["data"])).hexdigest())

    assert len(taken) == len(set(taken)) == count
    rows = await sender.sent(pageSize="100")
    assert [row["receiveStatus"] for row in rows] == ["done"] * count


async def test_a_gateway_that_dies_shows_everything_again(real: RealAxis, tmp_path: Path) -> None:
    """
    What was listed and fetched and not ended is there for the next process, which has nothing of the first; what was
    ended is not. The list of what was sent is the axis's.
    """
    accounts = await accounts_of(real, tmp_path / "gateway")
    async with gateway_over(real, accounts) as place:
        sender, receiver = place.client("sender"), place.client("receiver")
        for number in range(3):
            await sender.send_edoc(edoc(number), sender=SENDER)
        rows = await waiting(receiver, count=3)
        await receiver.get_edoc(rows[0]["docId"])
        await receiver.update(rows[1]["docId"], "done")

    fresh = [
        replace(one, station=real.station(one.station._credentials, state=tmp_path / "new" / one.system_id))
        for one in accounts
    ]
    async with gateway_over(real, fresh) as place:
        sender, receiver = place.client("sender"), place.client("receiver")
        again = await waiting(receiver, count=2)
        repeated = await receiver.update(rows[1]["docId"], "done")
        listed = await sender.sent()

    assert {row["docId"] for row in again} == {rows[0]["docId"], rows[2]["docId"]}
    assert repeated["status"] == "OK"
    assert {row["notation"] for row in listed} == {f"{number}/VPCP-TTĐT" for number in range(3)}


async def test_fail_is_offered_again_and_then_given_up(place: Place) -> None:
    """At most five times; after `done` it is noted and changes nothing."""
    sender, receiver = place.client("sender"), place.client("receiver")
    await sender.send_edoc(edoc(1), sender=SENDER)
    await sender.send_edoc(edoc(2, priority=2), sender=SENDER)
    urgent, normal = await waiting(receiver, count=2)

    offers = 0
    async with asyncio.timeout(60):
        while True:
            rows = [row for row in await receiver.received() if row["docId"] == normal["docId"]]
            if rows:
                offers += 1
                assert (await receiver.update(normal["docId"], "fail"))["status"] == "OK"
            state = {row["notation"]: row["receiveStatus"] for row in await sender.sent()}
            if state["1/VPCP-TTĐT"] == "fail":
                break
            await asyncio.sleep(0.02)
    await receiver.update(urgent["docId"], "done")
    late = await receiver.update(urgent["docId"], "fail")

    assert 2 <= offers <= 5
    assert late["status"] == "OK"
    assert {row["notation"]: row["receiveStatus"] for row in await sender.sent()}["2/VPCP-TTĐT"] == "done"


# --- a hold -------------------------------------------------------------------------------------------------------


async def test_a_hold_is_taken_with_a_docid_and_its_end_is_shown(tmp_path: Path) -> None:
    """
    The axis has no roots and cannot tell what a signature is worth: OK, a DocId, words that say it waits; the same for
    whoever sends again. When it can tell, one is delivered and one refused, under the DocId that was given.
    """
    now = datetime.now(UTC)
    pki = PKI.build(not_before=now - timedelta(days=9), not_after=now + timedelta(days=9), name="Test")
    seal, stranger = pki.issue("Seal"), pki.issue("Somebody else")
    async with real_axis(tmp_path / "axis", trust=pki.trust_pem) as real:
        accounts = await accounts_of(real, tmp_path / "gateway")
        await real.axis.acts().bind_certificate(SENDER, seal.certificate_pem, by=OPERATOR)
        (roots,) = real.axis.settings.trust
        roots.unlink()
        bodies = [signed_by(seal, edoc(1), at=now), signed_by(stranger, edoc(2), at=now)]
        async with gateway_over(real, accounts) as place:
            sender, receiver = place.client("sender"), place.client("receiver")
            held = [await sender.send_edoc(body, sender=SENDER) for body in bodies]
            again = [await sender.send_edoc(body, sender=SENDER) for body in bodies]
            waits = await sender.sent()
            nothing = await receiver.received()
            roots.write_bytes(pki.trust_pem)
            await SQLRevocations(real.axis.ledger).try_holds(at=datetime.now(UTC))
            (row,) = await waiting(receiver)
            await receiver.update(row["docId"], "done")
            async with asyncio.timeout(20):
                while {one["sendStatus"] for one in await sender.sent()} != {"done", "fail"}:  # noqa: ASYNC110 - polling is the interface
                    await asyncio.sleep(0.1)
            ended = {one["senderDocId"]: one for one in await sender.sent()}
            repeated = [await sender.send_edoc(body, sender=SENDER) for body in bodies]

    ids = [one["DocId"] for one in held]
    assert {one["status"] for one in held} == {"OK"}
    for one in held:
        assert one["sendStatusDesc"].startswith("Cho xac minh: verify.indeterminate.")
    assert [one["DocId"] for one in again] == ids
    assert nothing == []
    assert {(one["senderDocId"], one["sendStatus"], one["receiveStatus"]) for one in waits} == {
        (name, "processing", "initial") for name in ids
    }
    assert all(one["sendStatusDesc"].startswith("Cho xac minh") for one in waits)
    assert (ended[ids[0]]["sendStatus"], ended[ids[0]]["receiveStatus"]) == ("done", "done")
    assert ended[ids[1]]["sendStatus"] == "fail"
    assert ended[ids[1]]["sendStatusDesc"].isascii()
    assert repeated[0]["DocId"] == ids[0]
    assert (repeated[1]["status"], repeated[1]["ErrorCode"]) == ("FAIL", "22")
    assert "[verify.organ]" in repeated[1]["ErrorDesc"]


def signed_by(issued: Issued, body: bytes, *, at: datetime) -> bytes:
    return sign(body, signer=KeySigner(issued.key), chain=chain_of(issued), signing_time=at)


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b"this is no XML", "10", "XML"),
        (edoc(1, to=("000.00.99.H99",)), "18", "000.00.99.H99"),
        (edoc(1).replace(SENDER.encode(), b"000.00.00.H14"), "19", "vxp.sender"),
        (edoc(1).replace(b"<edXML:Subject>", b"<edXML:Subject>(M\xe1\xba\xacT) "), "22", ""),
        (without(edoc(1), "edXML:To"), "22", ""),
        (b'<!DOCTYPE x [<!ENTITY a "b">]>' + edoc(1)[38:], "22", ""),
    ],
)
async def test_a_refusal_can_be_shown_to_a_person(place: Place, body: bytes, code: str, words: str) -> None:
    """A number old clients know, words in ASCII that say why; nothing reaches a receiver."""
    sender = place.client("sender")

    answer = await sender.send_edoc(body, sender=SENDER)

    assert (answer["status"], answer["ErrorCode"]) == ("FAIL", code), answer
    assert answer["ErrorDesc"].isascii()
    assert words in answer["ErrorDesc"]
    assert "DocId" not in answer


async def test_what_was_refused_is_judged_anew(place: Place) -> None:
    """The receiver's station was missing; the same bytes, sent again when it is there, are taken, under one DocId."""
    await place.real.import_organs("000.00.00.H26")
    sender = place.client("sender")
    body = edoc(1, to=("000.00.77.H77",))
    first = await sender.send_edoc(body, sender=SENDER)
    await place.real.import_organs("000.00.77.H77")
    await place.real.add_station("vxp-late", ["000.00.77.H77"])
    # The gateway takes a refusal of the last half minute for the answer to this very call.
    place.gateway._clock = Ahead()

    again = [await sender.send_edoc(body, sender=SENDER) for _ in range(2)]

    assert first["ErrorCode"] == "18"
    assert [one["status"] for one in again] == ["OK", "OK"]
    assert len({one["DocId"] for one in again}) == 1


class Ahead:
    """A clock an hour ahead."""

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(hours=1)


async def test_no_one_sees_what_is_anothers(place: Place) -> None:
    """The sender asks for the receiver's docId, a stranger for any: not found, and nothing changes."""
    sender, receiver = place.client("sender"), place.client("receiver")
    await sender.send_edoc(edoc(1), sender=SENDER)
    (row,) = await waiting(receiver)

    for answer in (
        await sender.update(row["docId"], "done"),
        await sender.update("01KJN0VQ8R4N6P2T3V5W7X9Y1Z", "done"),
        await receiver.get_edoc("../../etc/passwd"),
        await receiver.get_edoc("01KJN0VQ8R4N6P2T3V5W7X9Y1Z"),
        json.loads(await receiver.download("64f0c0ffee64f0c0ffee64f0")),
    ):
        assert (answer["status"], answer["ErrorCode"]) == ("FAIL", "21")
    assert [one["docId"] for one in await receiver.received()] == [row["docId"]]


async def test_a_recall_comes_behind_what_was_listed(place: Place) -> None:
    """The receiver has the original: it gets the recall as a document of its own, and decides."""
    sender, receiver = place.client("sender"), place.client("receiver")
    await sender.send_edoc(edoc(1), sender=SENDER)
    (row,) = await waiting(receiver)
    await receiver.get_edoc(row["docId"])
    recall = an_edoc_package(
        document_id=f"{SENDER},2026/03/02,1/VPCP-TTĐT",
        code=replace_code(1),
        receivers=parties(RECEIVER),
        bussiness=a_bussiness(BusinessType.RECALL, target=f"{SENDER},2026/03/02,1/VPCP-TTĐT"),
    )

    answer = await sender.send_edoc(recall, sender=SENDER)
    rows = await waiting(receiver, count=2)

    assert answer["status"] == "OK", answer
    assert rows[0]["docId"] == row["docId"]
    assert base64.b64decode((await receiver.get_edoc(rows[1]["docId"]))["data"]) == recall


async def test_what_the_axis_took_back_is_not_given_out(tmp_path: Path) -> None:
    """It leaves the list, and the client is told why."""
    axis = PretendAxis(tmp_path / "axis")
    station, key = axis.add_station("vxp-receiver")
    consignment = axis.offer(station.id, edoc(1))
    async with served(axis) as url:
        client = Station(url, Credentials(station=station.id, key=key))
        account = Account(system_id="vxp.receiver", secret=SECRET.encode(), station=client)
        gateway = Gateway(ListedAccounts([account]), agencies=None, clock=SystemClock(), ids=SystemIds())
        async with listening(gateway) as address:
            receiver = VXPClient(address, system_id="vxp.receiver", secret=SECRET, now=datetime.now(UTC))
            (row,) = await waiting(receiver)
            axis.recall(consignment)

            got = await receiver.get_edoc(row["docId"])
            after = await receiver.received()

    assert got["ErrorCode"] == "21"
    assert "thu hoi" in got["ErrorDesc"]
    assert after == []
    assert axis.outcomes(consignment) == [Outcome.WITHDRAWN]


# --- who calls ----------------------------------------------------------------------------------------------------

Headers = list[tuple[str, str]]


def changed(name: str, value: str | None) -> Callable[[Headers], Headers]:
    """Headers with one of them changed behind the signature's back, or left out."""

    def tamper(found: Headers) -> Headers:
        kept = [(one, old) for one, old in found if one != PREFIX + name]
        return kept if value is None else [*kept, (PREFIX + name, value)]

    return tamper


TAMPERED: dict[str, Callable[[Headers], Headers]] = {
    "wrong systemid": changed("systemid", "vxp.receiver"),
    "unknown systemid": changed("systemid", "vxp.nobody"),
    "no systemid": changed("systemid", None),
    "two systemids": lambda found: [*found, (PREFIX + "systemid", "vxp.receiver")],
    "wrong hmac": changed("hash-header", "0" * 64),
    "hmac not hex": changed("hash-header", "số"),
    "no hmac": changed("hash-header", None),
    "no sign-header": changed("sign-header", None),
    "sign-header is no JSON": changed("sign-header", "{"),
    "a signed value changed": changed("messagetype", "status"),
    "a signed header gone": changed("messagetype", None),
    "list shorter than the map": changed("sign-header-key", "systemid"),
    "list longer than the map": lambda found: [
        (name, value + ";extra" if name.endswith("sign-header-key") else value) for name, value in found
    ],
}


@pytest.mark.parametrize("name", sorted(TAMPERED))
async def test_whoever_is_not_who_it_says_is_told_nothing(place: Place, name: str) -> None:
    """Code 15, one text for every way of not being known, and nothing happens."""
    sender = place.client("sender")
    sender.tamper = TAMPERED[name]

    answer = await sender.send_edoc(edoc(1), sender=SENDER)

    assert (answer["status"], answer["ErrorCode"]) == ("FAIL", "15"), answer
    sender.tamper = lambda found: found
    assert await sender.sent() == []


async def test_a_parameter_that_is_not_signed_does_not_count(place: Place) -> None:
    """It is named, so that the client's programmer finds it; one that an operation does not need is ignored."""
    receiver = place.client("receiver")
    receiver.tamper = lambda found: [*found, (PREFIX + "docid", "01KJN0VQ8R4N6P2T3V5W7X9Y1Z")]

    missing = await receiver.ask("updateStatus", status="done")
    ignored = await receiver.ask("countReceiveEdoc")

    assert missing["ErrorCode"] == "15"
    assert "docid" in missing["ErrorDesc"]
    assert ignored["status"] == "OK"


async def test_headers_of_earlier_calls_do_no_harm(place: Place) -> None:
    """`docId` of one document and `docid` of another travel along; each operation takes its own."""
    sender, receiver = place.client("sender"), place.client("receiver")
    for number in range(2):
        await sender.send_edoc(edoc(number), sender=SENDER)
    one, two = await waiting(receiver, count=2)

    await receiver.get_edoc(one["docId"])
    await receiver.update(two["docId"], "done")
    again = await receiver.get_edoc(one["docId"])

    assert {"docId", "docid", "status", "filePath"} <= set(receiver.headers)
    assert again["status"] == "OK"
    assert [row["docId"] for row in await receiver.received()] == [one["docId"]]


async def test_an_old_client_object_works_and_a_very_old_request_does_not(place: Place) -> None:
    """The time stamp is made once: a week is nothing, a captured request of last year is refused."""
    week = place.client("sender", now=datetime.now(UTC) - timedelta(days=7))
    year = place.client("sender", now=datetime.now(UTC) - timedelta(days=365))
    no_time = place.client("sender")
    no_time.headers["timestamp"] = "2026-03-02T09:30:00+07:00"

    assert (await week.ask("countReceiveEdoc"))["status"] == "OK"
    assert (await year.ask("countReceiveEdoc"))["ErrorCode"] == "15"
    assert (await no_time.ask("countReceiveEdoc"))["ErrorCode"] == "15"


async def test_a_captured_request_repeats_what_was_done_and_nothing_else(place: Place) -> None:
    """Sent again by somebody else, byte for byte: the same document, the same answer."""
    sender, receiver = place.client("sender"), place.client("receiver")
    captured: list[tuple[Headers, bytes]] = []
    body = edoc(1)

    def record(found: Headers) -> Headers:
        captured.append((found, body + b"\r\n"))
        return found

    sender.tamper = record
    first = await sender.send_edoc(body, sender=SENDER)
    (headers, sent) = captured[0]
    again = json.loads(await asyncio.to_thread(request, place.url, "POST", "sendEdoc", headers, sent))
    other = json.loads(
        await asyncio.to_thread(request, place.url, "POST", "sendEdoc", headers, edoc(2) + b"\r\n")
    )

    assert again["DocId"] == first["DocId"]
    assert other["ErrorCode"] == "21", "the hash of the file is signed"
    assert len(await waiting(receiver)) == 1


# --- requests that are wrong --------------------------------------------------------------------------------------


async def test_wrong_requests_are_answered_in_json(place: Place) -> None:
    """Unknown operation, GET where POST is due, wrong members, wrong times, wrong pages: a sentence each."""
    sender = place.client("sender")
    fresh = place.client

    for answer in (
        await sender.ask("noSuchThing"),
        await sender.ask("sendEdoc", method="GET"),
        await sender.ask("getReceivedEdocList", messagetype="letter"),
        await fresh("sender").ask("getReceivedEdocList", fromDate="yesterday"),
        await fresh("sender").ask("getSentEdocList", pageSize="-1"),
        await fresh("sender").ask("getEdoc"),
        await fresh("sender").ask("updateStatus", docid="01KJN0VQ8R4N6P2T3V5W7X9Y1Z", status="taken"),
        await fresh("sender").ask("registerAgency", body=b"no JSON"),
        await fresh("sender").ask("registerAgency", body=b"{}"),
        await fresh("sender").ask("registerAgency", body=b"[" * 50_000),
        await fresh("sender").ask("getAgenciesListQD20", level="one"),
        await fresh("sender").send_edoc(b"", sender=SENDER),
        await fresh("sender").send_edoc(a_status_package(), sender=SENDER, kind="edoc"),
        json.loads(await asyncio.to_thread(request, place.url, "POST", "../../api/v1/inbox", [], b"")),
    ):
        assert answer["status"] == "FAIL", answer
        assert answer["ErrorCode"] in {"10", "15"}, answer
        assert answer["ErrorDesc"].isascii()


async def test_a_hash_that_is_not_the_files(place: Place) -> None:
    """Code 21; a correct one in capitals is taken."""
    sender = place.client("sender", pads_hash=True)
    body = edoc(1)

    wrong = await sender.send_edoc(body, sender=SENDER, **{"hash-file": "0" * 64})
    missing = await sender.send_edoc(body, sender=SENDER, **{"hash-file": " "})
    capitals = await sender.send_edoc(
        body, sender=SENDER, **{"hash-file": hashlib.sha256(body).hexdigest().upper()}
    )

    assert (wrong["ErrorCode"], missing["ErrorCode"], capitals["status"]) == ("21", "10", "OK")


async def test_a_body_that_is_too_large_or_too_slow(place: Place) -> None:
    """Said before it is read, or while; the client reads the answer, and nothing is left on the disk."""
    sender = place.client("sender")

    large = await sender.send_edoc(b"x" * (13 * 1024 * 1024), sender=SENDER)
    slow = await asyncio.to_thread(slowly, place.url, sender.signed())

    assert large["ErrorCode"] == "10"
    assert "qua lon" in large["ErrorDesc"]
    assert slow["ErrorCode"] == "10"
    assert "cham" in slow["ErrorDesc"]


async def test_a_body_that_drips_is_given_up() -> None:
    """A byte now and then, for ever: the whole body has its time, too, whether or not there is an axis behind."""
    station = Station(
        "http://127.0.0.1:9", Credentials(station=StationId("vxp-sender"), key="vxp-sender.key")
    )
    account = Account(system_id="vxp.sender", secret=SECRET.encode(), station=station)
    limits = GatewayLimits(body=BodyLimits(stall_seconds=1, body_seconds=1))
    gateway = Gateway(
        ListedAccounts([account]), agencies=None, clock=SystemClock(), ids=SystemIds(), limits=limits
    )
    async with listening(gateway) as url:
        sender = VXPClient(url, system_id="vxp.sender", secret=SECRET, now=datetime.now(UTC))
        sender.headers |= {"messagetype": "edoc", "hash-file": "0" * 64}

        answer = await asyncio.to_thread(slowly, url, sender.signed(), drip_s=0.1)

    assert answer["ErrorCode"] == "10"
    assert "cham" in answer["ErrorDesc"]


def slowly(url: str, headers: Headers, *, drip_s: float | None = None) -> dict[str, Any]:
    """Announce a body, send a little of it, and wait; or go on with a byte every `drip_s`."""
    host, port = url.removeprefix("http://").partition("/")[0].split(":")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(
            f"POST {BASE}/sendEdoc HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n{lines}\r\nabc".encode(
                "latin-1", errors="replace"
            )
        )
        while drip_s is not None and not select.select([connection], [], [], drip_s)[0]:
            connection.sendall(b"x")
        answer = b""
        while b"\r\n\r\n" not in answer or not answer.rstrip().endswith(b"}"):
            piece = connection.recv(65_536)
            if not piece:
                break
            answer += piece
    found: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return found


@pytest.mark.parametrize(
    "head",
    [
        b"NOT HTTP AT ALL\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"POST /XrdAdapter/adapter/sendEdoc HTTP/1.1\r\nHost: x\r\n"
        + b"XroadVnpt-a: b\r\n" * 3_000
        + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
)
async def test_what_is_no_request_is_answered_in_json(place: Place, head: bytes) -> None:
    """Garbage, a head of 100 kB, a TLS hello: JSON, and the connection ends."""

    def talk() -> bytes:
        host, port = place.url.removeprefix("http://").partition("/")[0].split(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(head)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := connection.recv(65_536):
                answer += piece
            return answer

    answer = await asyncio.to_thread(talk)

    assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == "FAIL"


# --- agencies -----------------------------------------------------------------------------------------------------


async def test_every_list_of_agencies(place: Place) -> None:
    """Each operation with its own members; closed organs only where clients synchronise."""
    changed_at = datetime(2026, 3, 2, 2, 30, tzinfo=UTC)
    place.town.agencies = [
        Agency(
            id="7",
            parent="1",
            code="H41.01",
            name="Sở Nội vụ “tỉnh”",
            mail="so@nghean.example",
            old_code="000.00.01.H41",
            code_102="000.00.01.H41",
            code_qd20="H41.01",
            level=2,
            version=12,
            changed_at=changed_at,
        ),
        Agency(id="8", parent=None, code="H99", name="Đã sáp nhập", is_deleted=True, version=13),
    ]
    sender = place.client("sender")

    plain = await sender.ask("getAgenciesList")
    qd20 = await sender.ask("getAgenciesListQD20", level="2")
    none = await sender.ask("getAgenciesListQD20", level="3")
    units = await sender.ask("getSynchronizeUnit")

    assert plain["data"] == [
        {
            "id": "7",
            "pid": "1",
            "code": "H41.01",
            "name": "Sở Nội vụ “tỉnh”",
            "mail": "so@nghean.example",
            "oldCode": "000.00.01.H41",
        }
    ]
    assert qd20["data"][0]["code102"] == "000.00.01.H41"
    assert none["data"] == []
    assert [one["deleted"] for one in units["data"]] == [False, True]
    assert units["data"][0]["modifyDate"] == "02/03/2026 09:30:00"


async def test_a_hundred_thousand_agencies_stream(place: Place) -> None:
    """As many as the shared test axis gave in one answer."""
    place.town.agencies = [
        Agency(id=str(number), parent=None, code=f"{number:06d}", name="Ủy ban nhân dân xã")
        for number in range(111_339)
    ]

    found = await place.client("sender").ask("getAgenciesList")

    assert len(found["data"]) == 111_339


async def test_agencies_are_registered_and_closed(place: Place) -> None:
    """As acts of the station; what it may not is said in ASCII."""
    sender = place.client("sender")
    form = {"id": "", "pcode": SENDER, "code": "H01", "name": "Sở", "mail": "", "mobile": "", "fax": ""}

    added = await sender.ask("registerAgency", body=json.dumps(form).encode())
    refused = await sender.ask("registerAgency", body=json.dumps({**form, "code": "X1"}).encode())
    closed = await sender.ask("deleteAgency", AgencyCode="H01")

    assert (added["status"], closed["status"]) == ("OK", "OK")
    assert refused["ErrorDesc"] == "Ma don vi nam ngoai pham vi duoc uy quyen"
    assert place.town.registered[0][1].parent_code == SENDER
    assert place.town.removed == [(StationId("vxp-sender"), "H01")]


# --- views --------------------------------------------------------------------------------------------------------


async def test_a_normal_view_is_a_copy_in_the_readers_order(real: RealAxis, tmp_path: Path) -> None:
    """Same meaning and attachments, the regulation's order; the original stays fetchable, and its digest is named."""
    accounts = await accounts_of(real, tmp_path / "gateway", view=View.NORMAL)
    async with gateway_over(real, accounts) as place:
        sender, receiver = place.client("sender"), place.client("receiver")
        # DocumentId first, as the vendor's builder writes it: a strict reader skips what comes too early.
        text = edoc(1).decode()
        start, end = (
            text.index("<edXML:DocumentId>"),
            text.index("</edXML:DocumentId>") + len("</edXML:DocumentId>"),
        )
        moved = (
            (text[:start] + text[end:]).replace("<edXML:Code>", text[start:end] + "<edXML:Code>", 1).encode()
        )
        assert (await sender.send_edoc(moved, sender=SENDER))["status"] == "OK"
        (row,) = await waiting(receiver)

        copy = await receiver.get_edoc(row["docId"])
        original = await receiver.get_edoc(row["docId"], view="as_sent")

    derived = base64.b64decode(copy["data"])
    assert base64.b64decode(original["data"]) == moved
    assert (copy["view"], original["view"]) == ("normal", "as_sent")
    assert copy["digest"] == hashlib.sha256(moved).hexdigest()
    assert derived != moved
    assert derived.index(b"DocumentId") > derived.index(b"SteeringType")
    one, two = read_package(derived).message, read_package(moved).message
    assert [part.sha256 for part in one.attachments] == [part.sha256 for part in two.attachments]  # type: ignore[union-attr]
    assert one.sender == two.sender


# --- the end ------------------------------------------------------------------------------------------------------


async def test_an_axis_that_is_away_is_said_in_time(tmp_path: Path) -> None:
    """Nothing hangs: send, list and fetch answer with "send again"."""
    async with real_axis(tmp_path / "axis") as real:
        accounts = await accounts_of(real, tmp_path / "gateway")
    limits = GatewayLimits(answer_seconds=1, list_seconds=1)

    async with gateway_over(real, accounts, limits=limits) as place:
        sender, receiver = place.client("sender"), place.client("receiver")
        async with asyncio.timeout(20):
            sent = await sender.send_edoc(edoc(1), sender=SENDER)
            listed = await receiver.ask("getReceivedEdocList", messagetype="edoc")
            got = await receiver.get_edoc("01KJN0VQ8R4N6P2T3V5W7X9Y1Z")

    assert (sent["ErrorCode"], got["ErrorCode"]) == ("20", "20")
    assert "gui lai" in sent["ErrorDesc"]
    assert listed["status"] == "OK"
    assert listed["data"] == []


async def test_the_listener_beyond_this_machine_needs_tls() -> None:
    """Secrets and documents would be readable on their way."""
    gateway = Gateway(ListedAccounts([]), agencies=None, clock=SystemClock(), ids=SystemIds())

    with pytest.raises(NotPossible, match="TLS"):
        await serve(gateway, host="0.0.0.0", port=0, stop=asyncio.Event())


async def test_deliveries_end_acknowledged_at_the_axis(place: Place) -> None:
    """Counted as received: `done` of the transport, whatever edXML statuses say."""
    sender, receiver = place.client("sender"), place.client("receiver")
    await sender.send_edoc(edoc(1), sender=SENDER)
    (row,) = await waiting(receiver)
    await receiver.update(row["docId"], "done")
    desk = place.gateway._desks[StationId("vxp-sender")]

    where = await desk.station.where_is(row["docId"])
    states = [one.state for one in where.deliveries]

    assert states == [DeliveryState.ACKNOWLEDGED]
