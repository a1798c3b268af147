"""Lists are fetched ahead of their end, in the background, from addresses that an authority has signed."""

from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID

from axis.demo.pki import Issued
from signing.certificates import CertificatePath, certificates_from_pem
from signing.crl import ListFolder
from signing.errors import MaterialError
from signing.policy import CURRENT_POLICY
from signing.refresh import FetchKind, Refresher
from signing.revocation import RevocationIndex, RevocationState
from tests.signing.builders import AT, ministry, pki, trust
from tests.signing.test_revocation import respond

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
URL, OCSP = "http://crl.example.test/issuing.crl", "http://ocsp.example.test"


@cache
def leaf() -> Issued:
    """A certificate that says where to ask, and a place that nobody here can ask."""
    uri = x509.UniformResourceIdentifier
    points = [x509.DistributionPoint([uri(URL), uri("ldap://example.test/cn=x")], None, None, None)]
    access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, uri(OCSP))
    return pki().issue(
        "watched", more=[x509.CRLDistributionPoints(points), x509.AuthorityInformationAccess([access])]
    )


def path(of: Issued) -> CertificatePath:
    return trust().path(certificates_from_pem(of.chain_pem), at=AT, policy=CURRENT_POLICY)


def a_list(*, hours: int = 24) -> bytes:
    crl = pki().revocation_list(issued_at=AT, next_update=AT + hours * HOUR)
    return crl.public_bytes(Encoding.DER)


def test_what_is_watched_is_due_once_and_answers_afterwards(tmp_path: Path) -> None:
    """Fetched, kept, indexed; and half-way to its end fetched again."""
    index, folder = RevocationIndex(), ListFolder(tmp_path)
    refresher = Refresher(index, folder=folder, every=6 * HOUR)
    refresher.watch(path(leaf()), now=AT)
    refresher.watch(path(leaf()), now=AT + MINUTE)

    (fetch,) = refresher.due(now=AT + MINUTE)
    refresher.take(fetch, a_list(hours=2), now=AT + MINUTE)

    answer = index.status(leaf().certificate, issuer=pki().issuing.certificate, at=AT + MINUTE)
    assert (fetch.kind, fetch.url, fetch.body) == (FetchKind.LIST, URL, None)
    assert answer.state is RevocationState.GOOD
    assert len(list(folder)) == 1
    assert refresher.due(now=AT + 59 * MINUTE) == []
    assert refresher.due(now=AT + 62 * MINUTE) == [fetch]


def test_a_certificate_without_addresses_is_nothing_to_fetch() -> None:
    """Its lists are put into the folder by hand."""
    refresher = Refresher(RevocationIndex())

    refresher.watch(path(ministry()), now=AT)

    assert refresher.due(now=AT) == []


def test_failures_are_tried_again_in_growing_pauses_and_reported_in_time() -> None:
    """An operator hears of it while the old list still holds."""
    refresher = Refresher(RevocationIndex(), retry=MINUTE, every=HOUR)
    refresher.watch(path(leaf()), now=AT)
    (fetch,) = refresher.due(now=AT)
    refresher.take(fetch, a_list(), now=AT)
    now, tries, heard_at = AT, 0, None
    while now < AT + 30 * HOUR:
        now += MINUTE
        if refresher.due(now=now):
            tries += 1
            refresher.failed(fetch, now=now)
        if heard_at is None and refresher.overdue(now=now):
            heard_at = now

    assert 30 < tries < 40
    assert heard_at == AT + 18 * HOUR
    assert refresher.overdue(now=now) == [pki().issuing.certificate.subject.rfc4514_string()]


def test_an_answer_that_is_none_is_a_failure_and_forgotten() -> None:
    """The page of a proxy that asks for money."""
    refresher = Refresher(RevocationIndex())
    refresher.watch(path(leaf()), now=AT)
    (fetch,) = refresher.due(now=AT)

    with pytest.raises(MaterialError):
        refresher.take(fetch, b"<html>", now=AT)

    assert refresher.due(now=AT) == []
    assert refresher.due(now=AT + 2 * MINUTE) == [fetch]
    assert refresher.overdue(now=AT) != []


def test_responders_are_asked_where_that_is_wanted() -> None:
    """With a question that names the certificate."""
    index = RevocationIndex()
    refresher = Refresher(index, use_ocsp=True)
    refresher.watch(path(leaf()), now=AT)

    question = next(f for f in refresher.due(now=AT) if f.kind is FetchKind.RESPONSE)
    answer = respond(by=pki().issuing, of=leaf(), issued_at=AT, next_update=AT + HOUR)
    refresher.take(question, answer, now=AT)

    state = index.status(leaf().certificate, issuer=pki().issuing.certificate, at=AT).state
    assert question.url == OCSP
    assert question.body is not None
    assert x509.ocsp.load_der_ocsp_request(question.body).serial_number == leaf().certificate.serial_number
    assert state is RevocationState.GOOD
    assert question not in refresher.due(now=AT + 29 * MINUTE)
    assert question in refresher.due(now=AT + 31 * MINUTE)
    assert question.max_bytes < 1_000_000
