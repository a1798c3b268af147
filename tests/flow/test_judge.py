"""Steps 1 to 5: what is refused, held or routed, and for which reason; nothing here needs a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from axis.core.model import DeliveryState, Digest, Lane, LegalValue, SubmissionId, Tier, Urgency
from axis.core.reasons import ReasonCode
from axis.demo.letters import Agency, Pen, package, spoilt, status, with_doctype
from axis.edxml.message import StatusCode
from axis.flow.decide import Judged
from axis.flow.outcomes import Hold, Refusal
from axis.flow.pipeline import judge
from axis.flow.receive import receive
from axis.flow.route import Routed
from signing.keys import KeySigner
from signing.skeleton import Limits
from tests.edxml.builders import altered, without
from tests.flow.town import (
    AT,
    CLOSED,
    GONE,
    HANOI,
    HANOI_1,
    HANOI_1_1,
    HANOI_2,
    NOWHERE,
    NV,
    QP,
    QP_5,
    TQ,
    TTTT,
    VPCP,
    Counting,
    a_letter,
    a_message,
    an_inbound,
    signed,
    unsigned,
    world,
)
from tests.signing.builders import chain_of, pki


def _judged(body: bytes, *, station: str = "vpcp") -> Judged:
    return judge(an_inbound(body, station=station), world=world())


def _routed(body: bytes, *, station: str = "vpcp") -> Routed:
    judged = _judged(body, station=station)
    assert isinstance(judged, Routed), judged.causes
    return judged


def _refused(body: bytes, *, station: str = "vpcp") -> Refusal:
    judged = _judged(body, station=station)
    assert isinstance(judged, Refusal)
    return judged


# --- what travels -------------------------------------------------------------------------------------------------


def test_a_signed_letter_is_routed_to_every_receiver() -> None:
    """One line per receiver, with the code as written and the station that takes it."""
    routed = _routed(signed(a_letter(receivers=(HANOI, HANOI_1, TTTT))))

    expected = [("000.00.00.H26", "ha-noi"), ("000.00.01.H26", "ha-noi"), ("000.00.00.G14", "bo-tttt")]
    assert expected == [(line.code, line.station.id if line.station else None) for line in routed.lines]
    assert (routed.verified.tier, routed.verified.value) == (Tier.PASSED, LegalValue.CHECKING)


def test_a_labelled_station_may_send_unsigned() -> None:
    """It travels as reference only (QĐ28 Art. 4.2)."""
    routed = _routed(unsigned(a_letter(sender=TTTT, receivers=(HANOI,))), station="bo-tttt")

    assert (routed.verified.tier, routed.verified.value) == (Tier.UNSIGNED, LegalValue.REFERENCE)


def test_urgent_letters_take_the_urgent_lane() -> None:
    """Hỏa tốc hẹn giờ (4) counts as express."""
    routed = _routed(signed(a_letter(priority=4)))

    assert (routed.urgency, routed.lane) == (Urgency.EXPRESS, Lane.URGENT)


def test_a_closed_code_goes_to_its_successor() -> None:
    """The sender is told in a notice."""
    routed = _routed(signed(a_letter(receivers=(CLOSED,))))

    assert [(line.code, line.station.id) for line in routed.lines if line.station] == [
        ("000.00.00.H99", "ha-noi")
    ]
    assert "route.successor" in [one.code for one in routed.notices]


def test_one_point_takes_everything_below_the_ministry_of_defence() -> None:
    """LR-11; two codes that end at the same organ are delivered once."""
    routed = _routed(signed(a_letter(receivers=(QP_5, QP))))

    assert [QP.name] == [line.name for line in routed.lines]
    assert "route.same_receiver" in [one.code for one in routed.notices]


def test_a_body_that_is_not_connected_gets_paper() -> None:
    """LR-09: never a silent loss."""
    routed = _routed(signed(a_letter(receivers=(TQ, HANOI))))

    expected = [
        (DeliveryState.NOT_CONNECTED, ReasonCode.ROUTE_NOT_CONNECTED),
        (DeliveryState.WAITING, None),
    ]
    assert expected == [(line.state, line.reason) for line in routed.lines]


def test_for_urgent_letters_an_unknown_code_becomes_paper_and_the_rest_travels() -> None:
    routed = _routed(signed(a_letter(receivers=(NOWHERE, HANOI), priority=1)))

    assert [line.state for line in routed.lines] == [DeliveryState.NOT_CONNECTED, DeliveryState.WAITING]


def test_a_status_passes_unsigned() -> None:
    """The national format has no signature for statuses."""
    body = status(StatusCode.ARRIVED, sender=HANOI, answered=a_letter(), at=AT)

    assert _routed(body, station="ha-noi").lines == ()


def test_judging_twice_gives_the_same() -> None:
    """A verdict can be repeated with the world it names."""
    inbound = an_inbound(signed(a_letter(receivers=(HANOI_2, HANOI_1_1))))

    first, second = judge(inbound, world=world()), judge(inbound, world=world())

    assert isinstance(first, Routed)
    assert isinstance(second, Routed)
    assert first.lines == second.lines
    assert first.notices == second.notices


# --- what does not ------------------------------------------------------------------------------------------------

_GOOD = signed(a_letter())
_OLD_SIGNATURE = (
    '<Signature><SignedInfo><Reference URI=""><DigestValue>AAAA</DigestValue></Reference></SignedInfo>'
    "<SignatureValue>AAAA</SignatureValue></Signature>"
)
"""As the vendor's library writes it: in the namespace of edXML, over everything."""

REFUSALS: dict[ReasonCode, tuple[bytes, str]] = {
    ReasonCode.PARSE_NOT_XML: (b"%PDF-1.7 not XML at all", "vpcp"),
    ReasonCode.PARSE_DOCTYPE: (with_doctype(_GOOD), "vpcp"),
    ReasonCode.PARSE_ENCODING: (_GOOD.decode().encode("utf-16"), "vpcp"),
    ReasonCode.PARSE_LIMITS: (
        altered(_GOOD, "<edXML:ToPlaces>", "<edXML:ToPlaces>" + "<edXML:Place>a</edXML:Place>" * 20_001),
        "vpcp",
    ),
    ReasonCode.PARSE_NOT_EDXML: (b"<html><body>404</body></html>", "vpcp"),
    ReasonCode.PARSE_BUSINESS_TYPE: (
        altered(unsigned(a_letter()), "<edXML:BussinessDocType>0<", "<edXML:BussinessDocType>7<"),
        "vpcp",
    ),
    ReasonCode.VALIDATE_NO_SENDER: (
        altered(
            unsigned(a_letter()), "<edXML:OrganId>000.00.00.G22</edXML:OrganId>", "<edXML:OrganId/>", count=1
        ),
        "vpcp",
    ),
    ReasonCode.VALIDATE_NO_RECEIVER: (
        without(without(unsigned(a_letter()), "edXML:To"), "edXML:To"),
        "vpcp",
    ),
    ReasonCode.VALIDATE_DUPLICATE_RECEIVER: (
        altered(unsigned(a_letter()), "000.00.00.G14", "000.00.00.H26"),
        "vpcp",
    ),
    ReasonCode.VALIDATE_NO_DOCUMENT_ID: (without(unsigned(a_letter()), "edXML:DocumentId"), "vpcp"),
    ReasonCode.VALIDATE_ATTACHMENT_MISSING: (without(unsigned(a_letter()), "Attachment"), "vpcp"),
    ReasonCode.VALIDATE_ATTACHMENT_UNLISTED: (without(unsigned(a_letter()), "edXML:Reference"), "vpcp"),
    ReasonCode.VALIDATE_BASE64: (
        altered(unsigned(a_letter()), "JVBERi0", "JVBE*i0", count=1),
        "vpcp",
    ),
    ReasonCode.VALIDATE_STATUS_CODE: (
        altered(
            status(StatusCode.ARRIVED, sender=HANOI, answered=a_letter(), at=AT),
            "<edXML:StatusCode>01<",
            "<edXML:StatusCode>14<",
        ),
        "ha-noi",
    ),
    ReasonCode.VALIDATE_STATUS_TARGET: (
        without(status(StatusCode.ARRIVED, sender=HANOI, answered=a_letter(), at=AT), "edXML:ResponseFor"),
        "ha-noi",
    ),
    ReasonCode.VALIDATE_SECRECY: (signed(a_letter(subject="V/v kiểm tra phòng thủ (MẬT)")), "vpcp"),
    ReasonCode.RECEIVE_NOT_YOUR_ORGAN: (signed(a_letter(sender=HANOI, receivers=(VPCP,))), "vpcp"),
    ReasonCode.VERIFY_UNSIGNED: (unsigned(a_letter()), "vpcp"),
    ReasonCode.VERIFY_SIGNATURE: (spoilt(_GOOD), "vpcp"),
    ReasonCode.VERIFY_LEGACY: (
        altered(unsigned(a_letter()), "</edXML:edXMLHeader>", _OLD_SIGNATURE + "</edXML:edXMLHeader>"),
        "vpcp",
    ),
    ReasonCode.VERIFY_ORGAN: (signed(a_letter(), by=HANOI), "vpcp"),
    ReasonCode.ROUTE_UNKNOWN_RECEIVER: (signed(a_letter(receivers=(NOWHERE, HANOI))), "vpcp"),
    ReasonCode.ROUTE_CLOSED_RECEIVER: (signed(a_letter(receivers=(GONE, HANOI))), "vpcp"),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_each_refusal_has_its_own_reason(code: ReasonCode) -> None:
    """And names a place, in both languages, or needs none."""
    body, station = REFUSALS[code]

    refusal = _refused(body, station=station)

    assert code in [cause.code for cause in refusal.causes]
    assert all(detail.vi and detail.en for cause in refusal.causes for detail in cause.details)


def test_all_bad_receivers_are_named_with_the_nearest_known() -> None:
    """Not only the first; the whole document is refused."""
    refusal = _refused(signed(a_letter(receivers=(NOWHERE, HANOI))))

    detail = refusal.causes[0].details[0]
    assert "H27X" in detail.vi
    assert "000.00.00.H26" in detail.vi


def test_only_the_first_unknown_receivers_are_looked_for_among_all_codes() -> None:
    """A list of a thousand slips must not cost a thousand searches of the directory; every one is named."""
    strangers = [Agency(code=f"000.00.0{number}.H26X", name="Không có") for number in range(6)]

    refusal = _refused(signed(a_letter(receivers=strangers)))

    suggested = ["Có thể là" in detail.vi for detail in refusal.causes[0].details]
    assert suggested == [True] * 3 + [False] * 3


def test_a_receiver_may_take_only_what_is_signed() -> None:
    """The strictest of station, organ and receiver holds."""
    refusal = _refused(unsigned(a_letter(sender=TTTT, receivers=(NV,))), station="bo-tttt")

    assert ReasonCode.VERIFY_UNSIGNED in [cause.code for cause in refusal.causes]


def test_of_a_secret_nothing_is_kept() -> None:
    """LR-02: only organ, digest and pattern may remain."""
    refusal = _refused(signed(a_letter(subject="V/v kiểm tra phòng thủ (MẬT)")))

    assert not refusal.keep_bytes
    assert (refusal.known.subject, refusal.known.document_id, refusal.known.code) == (None, None, None)


def test_a_digest_released_by_operators_passes() -> None:
    """A false hit travels after the release of exactly these bytes."""
    body = signed(a_letter(subject="V/v kiểm tra phòng thủ (MẬT)"))
    inbound = an_inbound(body)
    released = replace(world().directory, released=frozenset({inbound.digest}))

    assert isinstance(judge(inbound, world=world(directory=released)), Routed)


def test_without_roots_nothing_is_refused() -> None:
    """Trust data is ours: a cause owned by the axis is a hold."""
    judged = judge(an_inbound(_GOOD), world=world(trust=None))

    assert isinstance(judged, Hold)
    assert ReasonCode.VERIFY_INDETERMINATE is judged.causes[0].code


def test_an_empty_directory_is_our_fault() -> None:
    """Every code would look unknown."""
    empty = replace(world().directory, organs={}, codes={})

    judged = judge(an_inbound(_GOOD), world=world(directory=empty))

    assert isinstance(judged, Hold)
    assert judged.causes[0].code is ReasonCode.AXIS_DIRECTORY


def test_without_roots_what_needs_none_travels() -> None:
    """An unsigned letter of a labelled station, and every status."""
    letter = an_inbound(unsigned(a_letter(sender=TTTT, receivers=(HANOI,))), station="bo-tttt")

    assert isinstance(judge(letter, world=world(trust=None)), Routed)


def test_a_certificate_that_has_expired_is_refused() -> None:
    """Validity is judged at the time of receipt."""
    issued = pki().issue(VPCP.name, not_after=AT - timedelta(days=1))
    old = Pen(signer=KeySigner(issued.key), chain=chain_of(issued))
    body = package(a_letter(), pen=old, at=AT - timedelta(days=2))

    refusal = _refused(body)

    assert ReasonCode.VERIFY_CERTIFICATE is refusal.causes[0].code


# --- step 1 -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        (ReasonCode.RECEIVE_NO_STATION, {"station": None}),
        (ReasonCode.RECEIVE_NO_STATION, {"station": "nobody"}),
        (ReasonCode.RECEIVE_SUSPENDED, {"station": "tam-dung"}),
        (ReasonCode.RECEIVE_NO_MESSAGE_ID, {"message_id": ""}),
        (ReasonCode.RECEIVE_NO_MESSAGE_ID, {"message_id": "x" * 256}),
        (ReasonCode.RECEIVE_NO_MESSAGE_ID, {"message_id": "a\x00b"}),
        (ReasonCode.RECEIVE_ENVELOPE, {"envelope_problem": "content type 'text/html'"}),
        (ReasonCode.RECEIVE_NOT_UPLOADED, {"by_digest": True}),
        (ReasonCode.RECEIVE_DIGEST, {"declared_digest": Digest("0" * 64)}),
    ],
)
def test_step_1_refuses(code: ReasonCode, changes: dict[str, object]) -> None:
    message = a_message(_GOOD, **changes)  # type: ignore[arg-type]  # parts of a message by name

    _, cause = receive(message, submission=SubmissionId(Counting().new(AT)), payload=None, world=world())

    assert cause is not None
    assert code is cause.code


def test_step_1_refuses_nothing_and_too_much() -> None:
    small = world(limits=Limits(message_bytes=100))
    ids = Counting()

    empty = receive(a_message(b""), submission=SubmissionId(ids.new(AT)), payload=None, world=world())[1]
    large = receive(a_message(_GOOD), submission=SubmissionId(ids.new(AT)), payload=None, world=small)[1]

    assert empty is not None
    assert large is not None
    assert (empty.code, large.code) == (ReasonCode.RECEIVE_EMPTY, ReasonCode.RECEIVE_TOO_LARGE)
