"""What lists and responses say about a certificate, at any moment; and what nobody knows is never good."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from axis.demo.pki import CA_USAGE, PKI, SIGNING_USAGE, Issued, KeyShelf
from signing.certificates import TrustStore, read_certificate
from signing.crl import MAX_LIST_BYTES, ListFolder
from signing.errors import MaterialError
from signing.policy import CURRENT_POLICY
from signing.reasons import Reason, Tier
from signing.revocation import DeferredSlowPath, RevocationAnswer, RevocationIndex, RevocationState
from signing.skeleton import read_skeleton
from signing.verify import CheckName, CheckResult, Verdict, verify
from tests.signing.builders import AT, FROM, UNTIL, good, ministry, own_key, pki, trust

GOOD, REVOKED = RevocationState.GOOD, RevocationState.REVOKED
STALE, UNKNOWN = RevocationState.STALE, RevocationState.UNKNOWN
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def der(crl: x509.CertificateRevocationList) -> bytes:
    return crl.public_bytes(Encoding.DER)


def index_of(*lists: x509.CertificateRevocationList) -> RevocationIndex:
    index = RevocationIndex()
    for one in lists:
        index.add_list(der(one))
    return index


def ask(index: RevocationIndex, at: datetime = AT, of: Issued | None = None) -> RevocationAnswer:
    return index.status((of or ministry()).certificate, issuer=pki().issuing.certificate, at=at)


def judged(*lists: x509.CertificateRevocationList, at: datetime = AT) -> Verdict:
    return verify(read_skeleton(good()), trust=trust(), at=at, revocation=index_of(*lists))


# Lists and moments.


def test_a_current_list_without_the_certificate_is_good() -> None:
    """The answer names the list by number and digest."""
    index = index_of(pki().revocation_list(issued_at=AT - HOUR, number=7))

    answer = ask(index)

    assert (answer.state, answer.issued_at) == (GOOD, AT - HOUR)
    assert answer.source == f"crl:7:{index.lists[0].sha256}"


@pytest.mark.parametrize(
    ("revoked_at", "asked_at", "state"),
    [
        (AT - DAY, AT, REVOKED),
        (AT, AT, REVOKED),
        (AT + HOUR, AT, GOOD),
        (AT - DAY, AT - 2 * DAY, GOOD),
    ],
)
def test_a_revocation_counts_from_its_date_on(
    revoked_at: datetime, asked_at: datetime, state: RevocationState
) -> None:
    """What was signed and received before stays good, also when it is asked later."""
    lists = [
        pki().revocation_list(issued_at=asked_at - HOUR),
        pki().revocation_list(
            issued_at=max(asked_at, revoked_at) + HOUR,
            revoked=[(ministry().certificate, revoked_at)],
            number=2,
        ),
    ]

    assert ask(index_of(*lists), asked_at).state is state


def test_a_revocation_that_comes_to_light_later_is_found() -> None:
    """The list of that hour knew nothing; the first one after it does, with an earlier date (rule 27)."""
    then = pki().revocation_list(issued_at=AT - HOUR)
    later = pki().revocation_list(issued_at=AT + DAY, revoked=[(ministry().certificate, AT - HOUR)], number=2)

    states = [ask(index_of(then)).state, ask(index_of(then, later)).state]

    assert states == [GOOD, REVOKED]


def test_the_invalidity_date_counts_when_it_is_earlier() -> None:
    """The key was lost on Monday, noticed on Wednesday."""
    entry = (
        x509.RevokedCertificateBuilder()
        .serial_number(ministry().certificate.serial_number)
        .revocation_date(AT + DAY)
        .add_extension(x509.InvalidityDate((AT - DAY).replace(tzinfo=None)), critical=False)
        .build()
    )
    crl = a_list(AT + 2 * DAY, entries=[entry])

    answer = ask(index_of(crl))

    assert (answer.state, answer.revoked_at) == (REVOKED, AT - DAY)


def test_a_hold_that_was_lifted_is_gone_afterwards_and_stays_before() -> None:
    """CertificateHold is the one reason from which there is a way back."""
    held = pki().revocation_list(
        issued_at=AT - 2 * DAY,
        revoked=[(ministry().certificate, AT - 2 * DAY)],
        reason=x509.ReasonFlags.certificate_hold,
    )
    lifted = pki().revocation_list(issued_at=AT - HOUR, number=2)

    states = [ask(index_of(held, lifted), at).state for at in (AT - 2 * DAY, AT - DAY - HOUR, AT)]

    assert states == [REVOKED, REVOKED, GOOD]


def test_an_old_list_is_stale_from_its_next_update_on() -> None:
    """To the second; the policy grants no grace."""
    index = index_of(pki().revocation_list(issued_at=AT - DAY, next_update=AT))

    states = [ask(index, AT + timedelta(seconds=n)).state for n in (0, 1)]

    assert states == [GOOD, STALE]


def test_a_list_without_next_update_is_good_for_the_hours_of_the_policy() -> None:
    """RFC 5280 demands the field; some authorities do not know that."""
    bare = a_list(AT, next_update=None)
    fresh = CURRENT_POLICY.revocation_fresh_without_next_update

    states = [ask(index_of(bare), AT + after).state for after in (fresh, fresh + HOUR)]

    assert states == [GOOD, STALE]


def test_a_later_list_answers_for_earlier_moments() -> None:
    """Revocations stay listed until the certificate expires."""
    index = index_of(pki().revocation_list(issued_at=AT + 300 * DAY))

    assert ask(index, AT).state is GOOD


def test_a_list_from_after_the_certificate_s_end_proves_nothing() -> None:
    """Lists drop expired certificates, revoked ones too."""
    brief = pki().issue("brief", not_after=AT + HOUR)
    index = index_of(pki().revocation_list(issued_at=AT + DAY))

    assert ask(index, AT, of=brief).state is STALE


def test_a_revocation_is_found_although_the_newest_list_dropped_the_expired_certificate() -> None:
    """The last list that still had to name it decides."""
    brief = pki().issue("brief", not_after=AT + 10 * DAY)
    lists = [
        pki().revocation_list(issued_at=AT - HOUR),
        pki().revocation_list(issued_at=AT + DAY, number=2),
        pki().revocation_list(issued_at=AT + 9 * DAY, revoked=[(brief.certificate, AT - DAY)], number=3),
        pki().revocation_list(issued_at=AT + 20 * DAY, number=4),
    ]

    assert ask(index_of(*lists), AT, of=brief).state is REVOKED


# Whose list it is.


@cache
def strangers() -> PKI:
    return PKI.build(not_before=FROM, not_after=UNTIL, shelf=KeyShelf(distinct=2), name="Test")


def test_a_list_of_the_same_name_under_another_key_says_nothing() -> None:
    """Neither good nor revoked."""
    forged = strangers().revocation_list(issued_at=AT - HOUR, revoked=[(ministry().certificate, AT - DAY)])

    assert ask(index_of(forged)).state is UNKNOWN
    assert ask(index_of(forged, pki().revocation_list(issued_at=AT - HOUR))).state is GOOD


def test_an_issuer_that_may_not_sign_lists_signs_none() -> None:
    """KeyUsage without cRLSign."""
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    authority = pki().issue("no lists", ca=True, usage=usage, by=pki().root)
    leaf = pki().issue("below no lists", by=authority)
    index = index_of(pki().revocation_list(issued_at=AT - HOUR, by=authority))

    answer = index.status(leaf.certificate, issuer=authority.certificate, at=AT)

    assert answer.state is UNKNOWN


def test_a_list_with_a_changed_byte_is_no_list() -> None:
    """Unreadable or not signed: never believed, whichever signed byte it was."""
    crl = pki().revocation_list(issued_at=AT - HOUR)
    whole, states = der(crl), set()
    start = whole.index(crl.tbs_certlist_bytes)

    for place in range(start, start + len(crl.tbs_certlist_bytes)):
        index = RevocationIndex()
        try:
            index.add_list(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        except MaterialError:
            continue
        states.add(ask(index).state)

    assert states == {UNKNOWN}


def a_list(
    issued_at: datetime,
    *,
    next_update: datetime | None = AT + 100 * DAY,
    entries: Sequence[x509.RevokedCertificate] = (),
    more: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> x509.CertificateRevocationList:
    """A list with anything in it."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(pki().issuing.certificate.subject)
        .last_update(issued_at)
        .next_update(next_update or issued_at + DAY)
    )
    for entry in entries:
        builder = builder.add_revoked_certificate(entry)
    for extension, critical in more:
        builder = builder.add_extension(extension, critical=critical)
    crl = builder.sign(pki().issuing.key, SHA256())
    return crl if next_update is not None else without_next_update(crl)


def without_next_update(crl: x509.CertificateRevocationList) -> x509.CertificateRevocationList:
    """The builder insists on the field, so it is taken out of the bytes and the list signed again."""
    from asn1crypto import crl as asn1  # type: ignore[import-untyped]
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    parsed = asn1.CertificateList.load(der(crl))
    tbs = parsed["tbs_cert_list"]
    tbs["next_update"] = None
    content = tbs.dump(force=True)
    signature = pki().issuing.key.sign(content, PKCS1v15(), SHA256())
    parsed["signature"] = signature
    return x509.load_der_x509_crl(parsed.dump(force=True))


POINT = "http://crl.example.test/a.crl"


@pytest.mark.parametrize(
    ("point", "state"),
    [
        ({"full_name": [x509.UniformResourceIdentifier(POINT)]}, GOOD),
        ({"full_name": [x509.UniformResourceIdentifier(POINT + "x")]}, UNKNOWN),
        ({"only_contains_user_certs": True}, GOOD),
        ({"only_contains_ca_certs": True}, UNKNOWN),
        ({"indirect_crl": True, "full_name": [x509.UniformResourceIdentifier(POINT)]}, UNKNOWN),
        ({"only_contains_attribute_certs": True}, UNKNOWN),
    ],
)
def test_a_list_speaks_only_for_its_own_certificates(
    point: dict[str, object], state: RevocationState
) -> None:
    """issuingDistributionPoint; what needs more than these lines is handed over, and unknown without a slow path."""
    leaf = pki().issue(
        "with a point",
        more=[
            x509.CRLDistributionPoints(
                [x509.DistributionPoint([x509.UniformResourceIdentifier(POINT)], None, None, None)]
            )
        ],
    )
    arguments: dict[str, object] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
        **point,
    }
    idp = x509.IssuingDistributionPoint(**arguments)  # type: ignore[arg-type]

    assert ask(index_of(a_list(AT - HOUR, more=[(idp, True)])), of=leaf).state is state


def test_an_extension_nobody_knows_makes_a_list_unusable_here() -> None:
    """It might change what an entry means."""
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")

    assert ask(index_of(a_list(AT - HOUR, more=[(strange, True)]))).state is UNKNOWN


# OCSP.


def respond(
    *,
    by: Issued,
    of: Issued | None = None,
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
    issued_at: datetime = AT - HOUR,
    next_update: datetime | None = AT + HOUR,
    revoked_at: datetime | None = None,
    include: Sequence[x509.Certificate] = (),
    names: HashAlgorithm | None = None,
) -> bytes:
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=(of or ministry()).certificate,
            issuer=pki().issuing.certificate,
            algorithm=names or SHA256(),
            cert_status=status,
            this_update=issued_at,
            next_update=next_update,
            revocation_time=revoked_at,
            revocation_reason=None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, by.certificate)
    )
    if include:
        builder = builder.certificates(include)
    return builder.sign(by.key, SHA256()).public_bytes(Encoding.DER)


def with_response(response: bytes, *lists: x509.CertificateRevocationList) -> RevocationIndex:
    index = index_of(*lists)
    index.add_response(response)
    return index


@pytest.mark.parametrize("names", [SHA1(), SHA256()])
def test_the_issuer_s_own_response_is_believed(names: HashAlgorithm) -> None:
    """Whichever hash names the issuer."""
    answer = ask(with_response(respond(by=pki().issuing, names=names)))

    assert (answer.state, answer.source.partition(":")[0]) == (GOOD, "ocsp")


def test_a_revoked_response_wins_over_a_list_that_does_not_know_yet() -> None:
    """Any certain no is a no."""
    response = respond(by=pki().issuing, status=ocsp.OCSPCertStatus.REVOKED, revoked_at=AT - DAY)

    answer = ask(with_response(response, pki().revocation_list(issued_at=AT - HOUR)))

    assert (answer.state, answer.revoked_at) == (REVOKED, AT - DAY)


def test_a_response_of_yesterday_is_stale() -> None:
    """As a list is."""
    response = respond(by=pki().issuing, issued_at=AT - DAY, next_update=AT - HOUR)

    assert ask(with_response(response)).state is STALE


def test_an_unknown_status_is_no_answer() -> None:
    """The responder has never heard of the certificate."""
    response = respond(by=pki().issuing, status=ocsp.OCSPCertStatus.UNKNOWN)

    assert ask(with_response(response)).state is UNKNOWN


def responder(*, exempt: bool = True, **arguments: object) -> Issued:
    more: list[x509.ExtensionType] = [x509.OCSPNoCheck()] if exempt else []
    return pki().issue(
        "OCSP",
        extended_usage=[ExtendedKeyUsageOID.OCSP_SIGNING],
        more=more,
        key=own_key("OCSP"),
        **arguments,  # type: ignore[arg-type]
    )


def test_a_certified_responder_is_believed() -> None:
    """It is exempt from revocation, or a list vouches for it."""
    exempt, listed = responder(), responder(exempt=False)
    crl = pki().revocation_list(issued_at=AT - HOUR)
    revoked = pki().revocation_list(issued_at=AT - HOUR, revoked=[(listed.certificate, AT - DAY)])

    def state(by: Issued, *lists: x509.CertificateRevocationList) -> str:
        answer = ask(with_response(respond(by=by, include=[by.certificate]), *lists))
        return f"{answer.source.partition(':')[0]} {answer.state}"

    assert [state(exempt), state(listed), state(listed, revoked)] == ["ocsp good", " unknown", "crl good"]
    assert ask(with_response(respond(by=listed, include=[listed.certificate]), crl)).state is GOOD


@pytest.mark.parametrize(
    "by",
    [
        pytest.param(ministry, id="without the usage"),
        pytest.param(lambda: responder(not_after=AT - DAY), id="expired"),
        pytest.param(lambda: responder(by=pki().root), id="of another authority"),
        pytest.param(lambda: responder(by=ministry()), id="of no authority"),
    ],
)
def test_no_other_responder_is(by: object) -> None:
    """Else any certificate of the authority could clear any other."""
    assert callable(by)
    signer = by()

    assert ask(with_response(respond(by=signer, include=[signer.certificate]))).state is UNKNOWN


def test_a_changed_response_is_never_believed() -> None:
    """Every signed byte, one after the other."""
    whole, states = respond(by=pki().issuing), set()
    signed = ocsp.load_der_ocsp_response(whole).tbs_response_bytes
    start = whole.index(signed)

    for place in range(start, start + len(signed)):
        try:
            index = with_response(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        except MaterialError:
            continue
        states.add(ask(index).state)

    assert states == {UNKNOWN}


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"\x30\x00",
        b"x" * 300_000,
        ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(
            Encoding.DER
        ),
    ],
)
def test_what_is_no_response_is_said_to_be_none(response: bytes) -> None:
    """A refresher must know that it got nothing."""
    with pytest.raises(MaterialError, match="ocsp"):
        RevocationIndex().add_response(response)


# In the verdict.


def of_root(at: datetime = AT) -> x509.CertificateRevocationList:
    return pki().revocation_list(issued_at=at - HOUR, by=pki().root)


def test_signer_and_authorities_are_asked_and_the_sources_recorded() -> None:
    """The leaf at the issuing authority's list, the issuing authority at the root's."""
    verdict = judged(pki().revocation_list(issued_at=AT - 2 * HOUR), of_root())

    assert (verdict.tier, verdict.result_of(CheckName.REVOCATION)) == (Tier.PASSED, CheckResult.PASSED)
    assert [source.partition(":")[0] for source in verdict.revocation_sources] == ["crl", "crl"]
    assert verdict.revocation_issued_at == AT - 2 * HOUR


@pytest.mark.parametrize(
    ("revoked", "reason"),
    [("leaf", Reason.REVOCATION_REVOKED), ("authority", Reason.REVOCATION_REVOKED)],
)
def test_a_revoked_certificate_anywhere_in_the_chain_fails(revoked: str, reason: Reason) -> None:
    """Also when nothing is known about the other one."""
    if revoked == "leaf":
        lists = [pki().revocation_list(issued_at=AT - HOUR, revoked=[(ministry().certificate, AT - DAY)])]
    else:
        lists = [
            pki().revocation_list(
                issued_at=AT - HOUR, revoked=[(pki().issuing.certificate, AT - DAY)], by=pki().root
            )
        ]

    verdict = judged(*lists)

    assert (verdict.tier, verdict.reason, verdict.signed) == (Tier.FAILED, reason, None)


def test_what_cannot_be_told_is_never_passed() -> None:
    """Stale and unknown are holds; for urgent documents a young list is enough to travel."""
    old = pki().revocation_list(issued_at=AT - 3 * DAY)
    older = pki().revocation_list(issued_at=AT - 8 * DAY)
    root = pki().revocation_list(issued_at=AT - 3 * DAY, by=pki().root)

    verdicts = [judged(old, root), judged(older, root), judged(old)]

    assert [v.tier for v in verdicts] == [Tier.INDETERMINATE] * 3
    assert [v.reason for v in verdicts] == [
        Reason.REVOCATION_STALE,
        Reason.REVOCATION_STALE,
        Reason.REVOCATION_STALE,
    ]
    assert [v.may_travel_when_urgent() for v in verdicts] == [True, False, False]
    assert all(v.signed is not None for v in verdicts)


def test_a_later_list_confirms_or_overturns_a_verdict() -> None:
    """Rule 27: judged again for the same moment, with the first list issued after it."""
    now = [pki().revocation_list(issued_at=AT - HOUR), of_root()]
    confirms = pki().revocation_list(issued_at=AT + HOUR, number=2)
    overturns = pki().revocation_list(
        issued_at=AT + HOUR, revoked=[(ministry().certificate, AT - timedelta(minutes=1))], number=2
    )

    tiers = [judged(*now).tier, judged(*now, confirms).tier, judged(*now, overturns).tier]

    assert tiers == [Tier.PASSED, Tier.PASSED, Tier.FAILED]


# Keeping, and what it costs.


def test_every_list_is_kept_once(tmp_path: Path) -> None:
    """As a file named by its digest; an index over the folder answers for every time."""
    folder = ListFolder(tmp_path / "lists")
    first = pki().revocation_list(issued_at=AT - 30 * DAY)
    second = pki().revocation_list(
        issued_at=AT - HOUR, revoked=[(ministry().certificate, AT - DAY)], number=2
    )

    kept = [folder.keep(der(one)) for one in (first, second, first)]
    index = RevocationIndex.from_folder(ListFolder(tmp_path / "lists"))

    assert len(list(folder)) == len(set(kept)) == 2
    assert [ask(index, at).state for at in (AT - 30 * DAY, AT)] == [GOOD, REVOKED]
    newest = index.newest(pki().issuing.certificate.subject)
    assert newest is not None
    assert newest.number == 2


def test_more_lists_than_are_held_in_memory_still_answer(tmp_path: Path) -> None:
    """A year of daily lists: those that a question needs are read again."""
    folder = ListFolder(tmp_path)
    for day in range(40):
        folder.keep(der(pki().revocation_list(issued_at=AT - day * DAY, number=100 - day)))
    index = RevocationIndex.from_folder(folder)

    states = {ask(index, AT - day * DAY + HOUR).state for day in range(40)}

    assert states == {GOOD}
    assert len(index.lists) == 40


@pytest.mark.parametrize("content", [b"", b"x", b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"])
def test_what_is_no_list_is_never_kept(content: bytes, tmp_path: Path) -> None:
    """An error page in place of a list."""
    path = tmp_path / "in"
    path.write_bytes(content)

    with pytest.raises(MaterialError, match="crl"):
        ListFolder(tmp_path).keep(content)
    with pytest.raises(MaterialError, match="crl"):
        RevocationIndex.from_files(path)

    assert list(ListFolder(tmp_path)) == []


@cache
def a_hundred_thousand() -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(pki().issuing.certificate.subject)
        .last_update(AT - HOUR)
        .next_update(AT + DAY)
    )
    when = datetime(2025, 1, 1, tzinfo=UTC)
    entries = [
        x509.RevokedCertificateBuilder().serial_number(10_000 + n).revocation_date(when).build()
        for n in range(100_000)
    ]
    # The builder checks each entry against all before it; what is measured here is reading, not building.
    builder._revoked_certificates = entries
    return der(builder.sign(pki().issuing.key, SHA256()))


def test_a_list_of_a_hundred_thousand_costs_little_once_and_nothing_afterwards() -> None:
    """
    Under 150 ms of processor time to take in and to check, under 0.1 ms a question.

    Where others keep the machine busy nothing costs what it should; there it may cost little more than what the library
    takes to load the list, check its signature and read its serial numbers.
    """
    content, once = a_hundred_thousand(), 1.0
    for _ in range(12):
        # Others use this machine too: the best of several tries is what it costs.
        index = RevocationIndex()
        started = time.process_time()
        index.add_list(content)
        first = ask(index)
        once = min(once, time.process_time() - started)
        if once < 0.150:
            break
    bound = max(0.150, 1.3 * library_cost(content))

    started = time.process_time()
    for _ in range(1000):
        ask(index)
    each = (time.process_time() - started) / 1000

    assert first.state is GOOD
    assert once < bound
    assert each < 0.000_1


def library_cost(content: bytes) -> float:
    """What no index over this library can do without."""
    best = 1.0
    for _ in range(5):
        started = time.process_time()
        crl = x509.load_der_x509_crl(content)
        assert crl.is_signature_valid(pki().issuing.key.public_key())
        assert len([entry.serial_number for entry in crl]) == 100_000
        best = min(best, time.process_time() - started)
    return best


# Authorities with other keys.


@cache
def curve_authority() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """An issuing authority on a curve, under the same root."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Curve CA")]))
        .issuer_name(pki().root.certificate.subject)
        .public_key(key.public_key())
        .serial_number(31)
        .not_valid_before(FROM)
        .not_valid_after(UNTIL)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(CA_USAGE, critical=True)
        .sign(pki().root.key, SHA256())
    )
    return certificate, key


@cache
def below_the_curve() -> x509.Certificate:
    certificate, key = curve_authority()
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Below")]))
        .issuer_name(certificate.subject)
        .public_key(ministry().key.public_key())
        .serial_number(32)
        .not_valid_before(FROM)
        .not_valid_after(UNTIL)
        .add_extension(SIGNING_USAGE, critical=True)
        .sign(key, SHA256())
    )


def test_an_authority_on_a_curve_certifies_lists_and_answers() -> None:
    """Signers are RSA; those who vouch for them need not be."""
    authority, key = curve_authority()
    leaf = below_the_curve()
    chain = [read_certificate(one.public_bytes(Encoding.DER)) for one in (leaf, authority)]
    crl = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(AT - HOUR)
        .next_update(AT + HOUR)
        .sign(key, SHA256())
    )
    answer = (
        ocsp.OCSPResponseBuilder()
        .add_response(leaf, authority, SHA256(), ocsp.OCSPCertStatus.GOOD, AT - HOUR, AT + HOUR, None, None)
        .responder_id(ocsp.OCSPResponderEncoding.NAME, authority)
        .sign(key, SHA256())
        .public_bytes(Encoding.DER)
    )

    path = trust().path(chain, at=AT, policy=CURRENT_POLICY)
    by_list, by_answer = index_of(crl), with_response(answer)

    assert len(path.certificates) == 3
    assert by_list.status(leaf, issuer=authority, at=AT).state is GOOD
    assert by_answer.status(leaf, issuer=authority, at=AT).state is GOOD
    # The slow path's walk over the same signatures.
    assert (
        TrustStore(path.certificates[-1:])._walk(path.certificates[0], path.certificates[1:])
        == path.certificates
    )


def test_an_authority_with_a_key_of_another_kind_vouches_for_nothing() -> None:
    """Ed25519 is not on our list, however good."""
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Edwards CA")])
    authority = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(41)
        .not_valid_before(FROM)
        .not_valid_after(UNTIL)
        .sign(key, None)
    )
    crl = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name)
        .last_update(AT - HOUR)
        .next_update(AT + HOUR)
        .sign(key, None)
    )

    assert index_of(crl).status(authority, issuer=authority, at=AT).state is UNKNOWN


def test_what_takes_the_slow_path_is_handed_over_when_there_is_one() -> None:
    """A list for some reasons only; and a delta, which knows of a revocation that its base does not."""
    slow = DeferredSlowPath(trust())
    base = pki().revocation_list(issued_at=AT - 2 * HOUR, number=1)
    delta = a_list(
        AT - HOUR,
        more=[(x509.CRLNumber(2), False), (x509.DeltaCRLIndicator(1), True)],
        entries=[
            x509.RevokedCertificateBuilder()
            .serial_number(ministry().certificate.serial_number)
            .revocation_date(AT - HOUR)
            .build()
        ],
    )
    index = RevocationIndex(slow=slow)
    for one in (base, pki().revocation_list(issued_at=AT - HOUR, by=pki().root)):
        index.add_list(der(one))
    before = ask(index)
    index.add_list(der(delta))

    after = ask(index)

    assert before.state is GOOD
    # Without the extension by which a certificate points at deltas, RFC 5280 lets the base stand; it is never unknown.
    assert after.state in {GOOD, REVOKED}
    assert after.source == "crl:slow-path"


def test_lists_beyond_all_measure_are_refused() -> None:
    """Before they are parsed."""
    with pytest.raises(MaterialError, match=r"crl\.too_large"):
        RevocationIndex().add_list(b"\x30" * (MAX_LIST_BYTES + 1))


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """A file stands in its place."""
    (tmp_path / "lists").write_bytes(b"")

    with pytest.raises(MaterialError, match=r"file\.unwritable"):
        ListFolder(tmp_path / "lists").keep(der(pki().revocation_list(issued_at=AT)))
