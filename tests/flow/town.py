"""
A small country for the tests of the flow: organs, stations, certificates, and letters between them.

    G22 Văn phòng Chính phủ   station vpcp       required, certificate bound
    H26 Hà Nội                station ha-noi     required, with everything below; certificate bound
      000.00.01.H26, 000.00.02.H26 (01.01 below the first)
    G14 Bộ Thông tin          station bo-tttt    labelled, no certificate
    G11 Bộ Quốc phòng         station bo-qp      takes everything below it (terminate here)
      000.00.05.G11
    G09 Bộ Nội vụ             station bo-nv      refuses what is not signed
    H60 Tuyên Quang           no station
    H99 closed, successor H26; H98 closed, nobody succeeds
    station tam-dung          suspended
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography.hazmat.primitives.serialization import Encoding

from axis.core.directory import BoundCertificate, Delegation, Directory, Organ, Station
from axis.core.ids import compose
from axis.core.model import (
    Channel,
    Digest,
    Lane,
    OrganNumber,
    SignaturePolicy,
    StationId,
    StationState,
    SubmissionId,
)
from axis.core.ports import InboundMessage
from axis.demo.letters import Agency, Pen, letter, package
from axis.demo.pki import Issued
from axis.edxml.message import Edoc
from axis.edxml.organ_code import normal
from axis.flow.receive import Inbound, World, receive
from signing.keys import KeySigner
from signing.skeleton import Limits
from tests.signing.builders import chain_of, pki, trust

AT = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
"""Monday, 9:00 in Vietnam."""
FROM = datetime(2024, 1, 1, tzinfo=UTC)

VPCP = Agency(code="000.00.00.G22", name="Văn phòng Chính phủ")
HANOI = Agency(code="000.00.00.H26", name="Hà Nội")
HANOI_1 = Agency(code="000.00.01.H26", name="Sở Nội vụ Hà Nội")
HANOI_2 = Agency(code="000.00.02.H26", name="Sở Tư pháp Hà Nội")
HANOI_1_1 = Agency(code="000.01.01.H26", name="Chi cục Văn thư")
TTTT = Agency(code="000.00.00.G14", name="Bộ Thông tin và Truyền thông")
QP = Agency(code="000.00.00.G11", name="Bộ Quốc phòng")
QP_5 = Agency(code="000.00.05.G11", name="Cục Văn thư")
NV = Agency(code="000.00.00.G09", name="Bộ Nội vụ")
TQ = Agency(code="000.00.00.H60", name="Tuyên Quang")
CLOSED = Agency(code="000.00.00.H99", name="Hà Tây")
GONE = Agency(code="000.00.00.H98", name="Không còn")
NOWHERE = Agency(code="000.00.00.H27X", name="Không có")

_ORGANS = (
    (1, VPCP, None), (2, HANOI, None), (3, HANOI_1, 2), (4, HANOI_2, 2), (5, HANOI_1_1, 3), (6, TTTT, None),
    (7, QP, None), (8, QP_5, 7), (9, NV, None), (10, TQ, None), (11, CLOSED, None), (12, GONE, None),
)  # fmt: skip
_STATIONS = (
    ("vpcp", 1, False), ("ha-noi", 2, True), ("bo-tttt", 6, False), ("bo-qp", 7, True), ("bo-nv", 9, False),
)  # fmt: skip


class Ticking:
    """A clock that moves a millisecond whenever somebody looks, and jumps when told; or the machine's own."""

    def __init__(self, at: datetime = AT, *, is_real: bool = False) -> None:
        self._now = at
        self._is_real = is_real

    def now(self) -> datetime:
        if self._is_real:
            return datetime.now(UTC)
        self._now += timedelta(milliseconds=1)
        return self._now

    def jump(self, by: timedelta) -> None:
        self._now += by


class Counting:
    """Ids that count, so that a failing test can be repeated."""

    def __init__(self, first: int = 0) -> None:
        self._last = first

    def new(self, at: datetime) -> str:
        self._last += 1
        return compose(at=at, randomness=self._last)


def a_station(name: str, *, state: StationState = StationState.ACTIVE) -> Station:
    return Station(
        id=StationId(name),
        name=name,
        state=state,
        channel=Channel.AMQP,
        policy=SignaturePolicy.LABELLED if name == "bo-tttt" else SignaturePolicy.REQUIRED,
        inline_bytes=65_536,
        window=1_000,
        secret=hashlib.sha256(name.encode()).hexdigest()[:16],
        refuses_unpassed=name == "bo-nv",
    )


@cache
def hand(name: str) -> Issued:
    """Key and certificate of an agency."""
    return pki().issue(name)


def pen(agency: Agency) -> Pen:
    issued = hand(agency.name)
    return Pen(signer=KeySigner(issued.key), chain=chain_of(issued))


def _bound(number: int, agency: Agency) -> BoundCertificate:
    signer = chain_of(hand(agency.name))[0].facts
    return BoundCertificate(
        organ=OrganNumber(number),
        fingerprint=Digest(
            hashlib.sha256(hand(agency.name).certificate.public_bytes(Encoding.DER)).hexdigest()
        ),
        spki=Digest(signer.spki_sha256),
        issuer=signer.issuer,
        serial=signer.serial,
        valid_from=FROM,
    )


@cache
def directory() -> Directory:
    """The country as one snapshot."""
    organs = {
        OrganNumber(number): Organ(
            number=OrganNumber(number),
            code=agency.code,
            name=agency.name,
            kind="unit",
            parent=OrganNumber(parent) if parent else None,
            valid_to=AT - timedelta(days=100) if agency in {CLOSED, GONE} else None,
            successor=OrganNumber(2) if agency is CLOSED else None,
            terminate_here=agency is QP,
        )
        for number, agency, parent in _ORGANS
    }
    stations = {StationId(name): a_station(name) for name, *_ in _STATIONS}
    stations[StationId("tam-dung")] = a_station("tam-dung", state=StationState.SUSPENDED)
    return Directory(
        version=7,
        organs=organs,
        codes={normal(organ.code): (organ.number,) for organ in organs.values()},
        stations=stations,
        delegations={
            OrganNumber(organ): (
                Delegation(
                    station=StationId(name), organ=OrganNumber(organ), subtree=subtree, valid_from=FROM
                ),
            )
            for name, organ, subtree in _STATIONS
        },
        certificates={OrganNumber(1): (_bound(1, VPCP),), OrganNumber(2): (_bound(2, HANOI),)},
    )


def world(**changes: object) -> World:
    """The world the letters are judged in."""
    parts: dict[str, object] = {"directory": directory(), "trust": trust(), "limits": Limits()}
    return World(**{**parts, **changes})  # type: ignore[arg-type]  # a test names the parts it changes


def a_letter(
    number: int = 1,
    *,
    sender: Agency = VPCP,
    receivers: Sequence[Agency] = (HANOI, TTTT),
    at: datetime = AT,
    **more: object,
) -> Edoc:
    return letter(number, sender=sender, receivers=receivers, at=at, **more)  # type: ignore[arg-type]


def signed(edoc: Edoc, *, by: Agency | None = None, at: datetime = AT) -> bytes:
    """The bytes of a letter, signed by its sender unless said otherwise."""
    known = {agency.code: agency for _, agency, _ in _ORGANS}
    return package(edoc, pen=pen(by or known[edoc.sender.organ_id]), at=at)


def unsigned(edoc: Edoc) -> bytes:
    return package(edoc, pen=None, at=AT)


def a_message(
    body: bytes,
    *,
    station: str | None = "vpcp",
    message_id: str = "m-1",
    at: datetime = AT,
    **more: object,
) -> InboundMessage:
    return InboundMessage(
        station=StationId(station) if station is not None else None,
        message_id=message_id,
        body=body,
        lane=Lane.NORMAL,
        received_at=at,
        **more,  # type: ignore[arg-type]  # declared_digest, by_digest
    )


def an_inbound(body: bytes, *, station: str = "vpcp", at: datetime = AT) -> Inbound:
    """A message that has passed step 1."""
    inbound, cause = receive(
        a_message(body, station=station, at=at),
        submission=SubmissionId(Counting().new(at)),
        payload=None,
        world=world(),
    )
    if cause is not None:
        raise AssertionError(f"step 1 refuses: {cause.code}")
    return inbound
