"""Certificates as strangers send them: read completely or refused, never a crash."""

from random import Random

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from signing.certificates import TrustStore, certificates_from_pem, read_certificate
from signing.errors import MaterialError
from signing.reasons import Reason, Tier
from tests.signing.builders import AT, Surgery, good, ministry, pki, verdict
from tests.signing.vectors import VECTORS


def test_every_changed_byte_is_read_or_refused() -> None:
    """Every byte of a certificate, with four other values each."""
    whole = ministry().certificate.public_bytes(Encoding.DER)
    refused = 0

    for place in range(len(whole)):
        for bits in (0x01, 0x80, 0x20, 0xFF):
            try:
                read_certificate(whole[:place] + bytes([whole[place] ^ bits]) + whole[place + 1 :])
            except MaterialError as error:
                refused += error.cause == "certificate.unreadable"

    assert refused > 500


def test_a_changed_certificate_in_a_message_is_refused() -> None:
    """In the signer's place and in that of its issuer: a verdict, never an exception."""
    random, surgery = Random(7), Surgery(good())
    accepted = []
    certificates = [e for e in surgery.root.iter() if str(e.tag).endswith("}X509Certificate")]

    for element in certificates:
        text = element.text or ""
        for _ in range(150):
            place = random.randrange(len(text))
            letter = random.choice("ABCDwxyz0189+/")
            element.text = text[:place] + letter + text[place + 1 :]
            if element.text != text and verdict(surgery.close()).tier is Tier.PASSED:
                accepted.append(place)
        element.text = text

    assert accepted == []


@pytest.mark.parametrize(
    "pem", [b"", b"x", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_trust_file_without_certificates_is_refused(pem: bytes) -> None:
    """Trusting nobody by accident would refuse everything without saying why."""
    with pytest.raises(MaterialError, match=r"certificate\.unreadable"):
        TrustStore.from_pem(pem)


def test_trust_in_nobody_is_refused() -> None:
    """An empty list of roots is a fault in the settings."""
    with pytest.raises(MaterialError, match=r"trust\.empty"):
        TrustStore(())


def test_a_known_intermediate_may_be_missing_from_the_message() -> None:
    """Some signers send their own certificate alone."""
    (lonely,) = [v for v in VECTORS if v.name == "intermediate_missing"]
    helped = TrustStore(
        certificates_from_pem(pki().trust_pem),
        intermediates=certificates_from_pem(pki().issuing.certificate_pem),
    )
    from signing.verify import judge

    verdicts = [verdict(lonely.build()), judge(lonely.build(), trust=helped, at=AT)]

    assert [v.reason for v in verdicts] == [Reason.CHAIN_UNTRUSTED, Reason.PASSED]
