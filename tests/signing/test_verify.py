"""Good messages pass, and what comes out of the verifier is what was signed."""

from datetime import timedelta

import pytest

from signing.certificates import SPKI
from signing.reasons import EXPLANATIONS, Reason, Tier
from signing.skeleton import read_skeleton
from signing.verify import CheckName, CheckResult, examine, verify
from tests.signing.builders import (
    AT,
    NS,
    PDF,
    SIGNED_AT,
    AnAttachment,
    Surgery,
    a_document,
    a_status,
    chain_of,
    good,
    ministry,
    pki,
    signed,
    trust,
    verdict,
)


def test_a_signed_document_passes_with_all_it_signed() -> None:
    """Header, business, body and attachments come out as canonical bytes and digests, with signer and time."""
    message = good()

    judged = verdict(message)

    assert (judged.tier, judged.reason) == (Tier.PASSED, Reason.PASSED)
    assert judged.signer is not None
    assert chain_of(ministry())[0].facts == judged.signer
    assert judged.signed_at == SIGNED_AT
    assert judged.signed is not None
    assert b"<edXML:Subject>" in judged.signed.header
    assert judged.signed.bussiness is not None
    assert b"BussinessDocType>0<" in judged.signed.bussiness
    assert [a.content_id for a in judged.attachments] == ["c0", "c1"]
    assert [len(PDF), len(PDF) + 2] == [a.size for a in judged.attachments]
    assert judged.policy_version.startswith("axis-signature-policy/")


def test_revocation_is_reported_as_not_checked_without_a_source() -> None:
    """A verdict never claims a check that was not made."""
    judged = verdict(good())

    assert {c.name: c.result for c in judged.checks} == {
        name: CheckResult.NOT_CHECKED if name is CheckName.REVOCATION else CheckResult.PASSED
        for name in CheckName
    }


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(a_document(bussiness=False), id="no business"),
        pytest.param(a_document(trace=False), id="no trace list"),
        pytest.param(a_document(attachments=()), id="no attachments"),
        pytest.param(
            a_document(attachments=[AnAttachment(content_id=f"f{n}") for n in range(26)]), id="26 files"
        ),
        pytest.param(
            a_document().replace(b"<edXML:Paper>", b"<!-- gone --><edXML:Paper>"), id="comment dropped"
        ),
        pytest.param(b"\xef\xbb\xbf" + a_document() + b"\r\n", id="byte order mark and CR LF"),
        pytest.param(a_status(), id="status"),
    ],
)
def test_every_kind_of_message_can_be_signed_and_passes(message: bytes) -> None:
    """Documents with and without optional parts, and statuses."""
    judged = verdict(signed(message))

    assert (judged.tier, judged.detail) == (Tier.PASSED, "")


def test_a_status_signs_header_and_properties_alone() -> None:
    """It has no body, no business, no attachments."""
    judged = verdict(signed(a_status()))

    assert judged.signed is not None
    assert (judged.signed.body, judged.signed.bussiness, judged.attachments) == (None, None, ())


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("trailing CR LF", lambda m: m + b"\r\n"),
        ("byte order mark", lambda m: b"\xef\xbb\xbf" + m),
        ("wrapped base64", lambda m: m.replace(b"JVBERi0x", b"JVBE\r\n Ri0x")),
        ("an unused namespace", lambda m: m.replace(b"<edXML xmlns", b'<edXML xmlns:x="urn:x" xmlns')),
        (
            "one more hop",
            lambda m: m.replace(b"<edXML:TraceHeaderList>", b"<edXML:TraceHeaderList><edXML:TraceHeader/>"),
        ),
        ("lower-case utf-8", lambda m: m.replace(b"UTF-8", b"utf-8")),
    ],
)
def test_changes_that_mean_nothing_do_not_break_a_signature(what: str, change: object) -> None:
    """Transport may do these things to a message."""
    assert callable(change)
    message = change(good())
    assert message != good(), what

    judged = verdict(message)

    assert judged.tier == Tier.PASSED, judged.reason


def test_reordered_attachments_still_verify() -> None:
    """Attachments are found by ContentId, not by place."""
    head, first, second = good().split(b"<Attachment>")
    second, tail = second.split(b"</AttachmentEncoded>")
    message = b"<Attachment>".join([head, second, first]) + b"</AttachmentEncoded>" + tail

    judged = verdict(message)

    assert [(a.content_id, a.part_index) for a in judged.attachments] == [("c0", 1), ("c1", 0)]


def test_unsigned_and_foreign_signatures_have_their_own_tiers() -> None:
    """Neither is a failure: nothing of AX-1 is claimed."""
    foreign = a_document().replace(
        b"</edXML:edXMLHeader>",
        b'<Signature><SignedInfo><Reference URI=""/></SignedInfo></Signature></edXML:edXMLHeader>',
    )
    placeholder = a_document().replace(
        b"</edXML:edXMLHeader>", b"<edXML:DigitalSignature/></edXML:edXMLHeader>"
    )

    tiers = [verdict(m).tier for m in (a_document(), placeholder, foreign)]

    assert tiers == [Tier.UNSIGNED, Tier.UNSIGNED, Tier.LEGACY]


def test_a_bound_certificate_makes_any_signature_ax1() -> None:
    """Whoever damages a signature cannot choose to be legacy while the certificate is still there."""
    damaged = good()
    for mark in (b' Id="mh"', b' Id="body"', b' Id="bu"', b' Id="att-c0"', b' Id="att-c1"'):
        damaged = damaged.replace(mark, b"")
    for name in (b"mh", b"body", b"bu", b"att-c0", b"att-c1"):
        damaged = damaged.replace(b'URI="#' + name + b'"', b'URI=""')
    damaged = damaged.replace(b"2000/09/xmldsig#base64", b"2000/09/xmldsig#enveloped-signature")
    skeleton = read_skeleton(damaged)
    key = chain_of(ministry())[0].facts.spki_sha256

    free = verify(skeleton, trust=trust(), at=AT)
    bound = verify(skeleton, trust=trust(), at=AT, bound_keys=frozenset({key}))

    assert (free.tier, bound.tier) == (Tier.LEGACY, Tier.FAILED)


def test_without_trust_nothing_passes_and_nothing_wrong_is_excused() -> None:
    """Whoever has no roots can still tell a changed message from a whole one."""
    changed = good().replace("kiểm thử".encode(), "kiểm tra".encode())

    whole, broken = (examine(read_skeleton(one), at=AT) for one in (good(), changed))

    assert (whole.tier, whole.reason) == (Tier.INDETERMINATE, Reason.CHAIN_UNTRUSTED)
    assert whole.result_of(CheckName.DIGESTS) is CheckResult.PASSED
    assert whole.signed is None
    assert (broken.tier, broken.reason) == (Tier.FAILED, Reason.DIGEST_HEADER)
    assert examine(read_skeleton(a_document()), at=AT).tier is Tier.UNSIGNED


def test_the_same_message_is_judged_anew_for_each_moment() -> None:
    """A path remembered as good is good only inside its validity."""
    moments = [AT, pki().not_after + timedelta(days=1), AT]

    reasons = [verdict(good(), at=moment).reason for moment in moments]

    assert reasons == [Reason.PASSED, Reason.CHAIN_EXPIRED, Reason.PASSED]


def test_every_reason_is_explained_in_both_languages() -> None:
    """No code reaches a clerk without words."""
    assert set(Reason) == set(EXPLANATIONS)
    assert all(e.en.endswith(".") and e.vi.endswith(".") for e in EXPLANATIONS.values())
    assert NS in good().decode()


def test_a_bound_certificate_is_found_among_others_and_rubbish() -> None:
    """Whatever stands in a certificate's place beside it."""
    text = Surgery(good()).find("X509Certificate").text or ""
    foreign = a_document().replace(
        b"</edXML:edXMLHeader>",
        b"<Signature><KeyInfo><X509Certificate>rubbish</X509Certificate><X509Certificate>QUJD</X509Certificate>"
        b"<X509Certificate>"
        + text.encode()
        + b"</X509Certificate></KeyInfo></Signature></edXML:edXMLHeader>",
    )
    key = chain_of(ministry())[0].facts.spki_sha256

    bound, other = (
        verify(read_skeleton(foreign), trust=trust(), at=AT, bound_keys=frozenset({one}))
        for one in (key, SPKI("0" * 64))
    )

    assert (bound.tier, other.tier) == (Tier.FAILED, Tier.LEGACY)
    assert bound.rule == EXPLANATIONS[bound.reason].rule
