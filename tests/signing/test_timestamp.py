"""Tokens of a timestamp authority, made by `openssl ts`: what they prove, what they do not, and its absence."""

import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from axis.demo.pki import PKI, SIGNING_USAGE, Issued, KeyShelf
from signing.certificates import TrustStore
from signing.policy import CURRENT_POLICY
from signing.revocation import RevocationIndex, RevocationState
from signing.timestamp import (
    Timestamp,
    Timestamper,
    TimestampError,
    TimestampFault,
    TimestampRequest,
    verify_timestamp,
)
from tests.signing.builders import FROM, UNTIL, ministry, own_key, pki, trust

MESSAGE = b"axis.example/log\n17\nAAAA\n"
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

CONFIGURATION = """
[tsa]
default_tsa = tsa1
[tsa1]
serial = {folder}/serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
accuracy = secs:1
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


def authority(
    *,
    usages: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.TIME_STAMPING,),
    not_after: datetime = UNTIL,
    by: Issued | None = None,
) -> Issued:
    """A certificate for timestamping as RFC 3161 wants it: the usage is critical and stands alone."""
    issuer = by or pki().issuing
    key = own_key("TSA")
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test TSA")]))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(4711)
        .not_valid_before(FROM)
        .not_valid_after(not_after)
        .add_extension(SIGNING_USAGE, critical=True)
    )
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=True)
    certificate = builder.sign(issuer.key, SHA256())
    return Issued(certificate=certificate, key=key, chain=(certificate, *issuer.chain))


def reply(request: bytes, folder: Path, *, by: Issued | None = None) -> bytes:
    """What the authority answers, by openssl."""
    by = by or authority()
    (folder / "serial").write_text("01\n")
    (folder / "tsa.cnf").write_text(CONFIGURATION.format(folder=folder))
    (folder / "query.tsq").write_bytes(request)
    (folder / "tsa.pem").write_bytes(by.certificate_pem)
    (folder / "chain.pem").write_bytes(b"".join(c.public_bytes(Encoding.PEM) for c in by.chain[1:]))
    (folder / "tsa.key").write_bytes(by.key_pem)
    command = [
        "openssl",
        "ts",
        "-reply",
        "-config",
        "tsa.cnf",
        "-queryfile",
        "query.tsq",
        "-signer",
        "tsa.pem",
    ]
    command += ["-inkey", "tsa.key", "-chain", "chain.pem", "-out", "reply.tsr"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return (folder / "reply.tsr").read_bytes()


@pytest.fixture
def answer(tmp_path: Path) -> tuple[TimestampRequest, bytes]:
    request = TimestampRequest.of(MESSAGE)
    return request, reply(request.der, tmp_path)


def fault(response: bytes, message: bytes = MESSAGE, **arguments: object) -> TimestampFault:
    with pytest.raises(TimestampError) as raised:
        verify_timestamp(response, message, **{"trust": trust(), **arguments})  # type: ignore[arg-type]
    return raised.value.fault


def test_a_token_says_when_and_who(answer: tuple[TimestampRequest, bytes]) -> None:
    """Time, authority, chain to our root; and openssl's verifier agrees."""
    request, response = answer

    timestamp = verify_timestamp(response, MESSAGE, trust=trust(), nonce=request.nonce)

    assert abs(timestamp.at - datetime.now(UTC)) < 5 * MINUTE
    assert timestamp.authority.serial == f"{4711:x}"
    assert [one.serial for one in timestamp.chain][1:] == [
        f"{c.serial_number:x}" for c in (pki().issuing.certificate, pki().root.certificate)
    ]
    assert (timestamp.policy, timestamp.revocation) == ("1.2.3.4.1", None)


def test_openssl_accepts_the_same_token(answer: tuple[TimestampRequest, bytes], tmp_path: Path) -> None:
    """A second opinion on the file that is kept."""
    _, response = answer
    (tmp_path / "message").write_bytes(MESSAGE)
    (tmp_path / "kept.tsr").write_bytes(response)
    (tmp_path / "root.pem").write_bytes(pki().trust_pem)
    command = ["openssl", "ts", "-verify", "-data", "message", "-in", "kept.tsr", "-CAfile", "root.pem"]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_a_token_proves_nothing_about_other_bytes(answer: tuple[TimestampRequest, bytes]) -> None:
    """Nor does an old answer answer a new question."""
    request, response = answer

    assert fault(response, MESSAGE + b"x") is TimestampFault.OTHER_MESSAGE
    assert fault(response, nonce=request.nonce + 1) is TimestampFault.OTHER_REQUEST


@cache
def strangers() -> PKI:
    return PKI.build(not_before=FROM, not_after=UNTIL, shelf=KeyShelf(distinct=2), name="Test")


@pytest.mark.parametrize(
    "by",
    [
        pytest.param(lambda: authority(by=strangers().issuing), id="of another root"),
        pytest.param(lambda: authority(not_after=FROM + timedelta(days=1)), id="expired"),
        pytest.param(lambda: authority(by=ministry()), id="of no authority"),
    ],
)
def test_an_authority_that_our_roots_do_not_vouch_for_proves_nothing(by: object, tmp_path: Path) -> None:
    """The same rules as for signers."""
    assert callable(by)
    response = reply(TimestampRequest.of(MESSAGE).der, tmp_path, by=by())

    assert fault(response) is TimestampFault.CHAIN


def test_a_certificate_for_more_than_timestamping_is_refused(tmp_path: Path) -> None:
    """Openssl makes no such token, so the demand is shown by a policy that knows no such usage."""
    response = reply(TimestampRequest.of(MESSAGE).der, tmp_path)
    stricter = replace(CURRENT_POLICY, version="none", chain_hashes=frozenset({"sha512"}))

    assert fault(response, policy=stricter) is TimestampFault.CHAIN


def test_a_changed_token_is_refused_or_unreadable(answer: tuple[TimestampRequest, bytes]) -> None:
    """Every seventh byte, so that each part is hit."""
    _, response = answer
    accepted = []

    for place in range(0, len(response), 7):
        changed = response[:place] + bytes([response[place] ^ 1]) + response[place + 1 :]
        try:
            found = verify_timestamp(changed, MESSAGE, trust=trust())
        except TimestampError:
            continue
        accepted.append((place, found.at))

    # What is not signed at all may change: the status text, unused certificates' order. The time may not.
    true = verify_timestamp(response, MESSAGE, trust=trust()).at
    assert {at for _, at in accepted} <= {true}
    assert len(accepted) < len(response) / 7 / 20


@pytest.mark.parametrize("response", [b"", b"\x30\x00", b"x" * 100_000, b"\x30\x03\x02\x01\x02", MESSAGE])
def test_what_is_no_response_is_unreadable_or_refused(response: bytes) -> None:
    """An error page of a proxy, an empty answer, megabytes."""
    assert fault(response) in {TimestampFault.UNREADABLE, TimestampFault.REFUSED}


def test_an_authority_that_refuses_is_quoted(tmp_path: Path) -> None:
    """Openssl answers a hash it does not take with a rejection."""
    sha1 = tmp_path / "sha1.tsq"
    subprocess.run(
        ["openssl", "ts", "-query", "-data", __file__, "-sha1", "-out", str(sha1)],
        check=True,
        capture_output=True,
    )

    response = reply(sha1.read_bytes(), tmp_path)

    assert fault(response) is TimestampFault.REFUSED


def test_revocation_of_the_authority_is_asked_for_the_time_of_the_token(
    answer: tuple[TimestampRequest, bytes],
) -> None:
    """Known revoked: nothing is proven. Not known: said so."""
    _, response = answer
    at = verify_timestamp(response, MESSAGE, trust=trust()).at

    def asked(*, revoked: bool, with_root: bool = True) -> Timestamp:
        index = RevocationIndex()
        entries = [(authority().certificate, at - MINUTE)] if revoked else []
        lists = [pki().revocation_list(issued_at=at - MINUTE, revoked=entries)]
        lists += [pki().revocation_list(issued_at=at - MINUTE, by=pki().root)] if with_root else []
        for one in lists:
            index.add_list(one.public_bytes(Encoding.DER))
        return verify_timestamp(response, MESSAGE, trust=trust(), revocation=index)

    assert asked(revoked=False).revocation is RevocationState.GOOD
    assert asked(revoked=False, with_root=False).revocation is RevocationState.UNKNOWN
    with pytest.raises(TimestampError, match=r"timestamp\.revoked"):
        asked(revoked=True)


# The authority is away.


def test_a_timestamper_asks_once_a_minute_and_only_when_there_is_something_new(tmp_path: Path) -> None:
    """One token covers all checkpoints before it."""
    times = Timestamper(trust=trust())
    assert times.due(now=NOW) is None

    times.offer(b"checkpoint 1", now=NOW)
    times.offer(b"checkpoint 2", now=NOW + timedelta(seconds=1))
    request = times.due(now=NOW + timedelta(seconds=1))
    assert request is not None
    times.take(reply(request.der, tmp_path), now=NOW + timedelta(seconds=2))
    times.offer(b"checkpoint 3", now=NOW + timedelta(seconds=3))

    assert request.message == b"checkpoint 2"
    assert times.due(now=NOW + timedelta(seconds=30)) is None
    assert times.waiting_since == NOW + timedelta(seconds=3)
    assert times.due(now=NOW + timedelta(seconds=62)) is not None


def test_an_absence_of_hours_costs_nothing_and_is_made_good_at_once(tmp_path: Path) -> None:
    """Checkpoints go on, evidence says since when it waits, the pauses grow to a minute, one token completes all."""
    times, now, asked = Timestamper(trust=trust()), NOW, 0
    while now < NOW + timedelta(hours=3):
        times.offer(f"checkpoint at {now}".encode(), now=now)
        if times.due(now=now) is not None:
            asked += 1
            times.failed(now=now)
        now += timedelta(seconds=5)

    waiting = times.waiting_since
    request = times.due(now=now + MINUTE)
    assert request is not None
    times.take(reply(request.der, tmp_path), now=now + MINUTE)

    assert waiting == NOW
    assert 180 <= asked <= 200
    assert (times.waiting_since, times.due(now=now + timedelta(hours=1))) == (None, None)


def test_a_bad_answer_is_a_failure_and_asked_again(tmp_path: Path) -> None:
    """A wrong token is never kept."""
    times = Timestamper(trust=trust())
    times.offer(b"checkpoint", now=NOW)
    request = times.due(now=NOW)
    assert request is not None
    old = reply(TimestampRequest.of(b"checkpoint").der, tmp_path)

    with pytest.raises(TimestampError, match="other_request"):
        times.take(old, now=NOW)
    with pytest.raises(TimestampError, match="other_request"):
        times.take(old, now=NOW)

    assert times.waiting_since == NOW
    assert times.due(now=NOW) is None
    assert times.due(now=NOW + timedelta(seconds=5)) is not None


def test_what_is_offered_while_an_answer_is_on_its_way_waits_for_the_next(tmp_path: Path) -> None:
    """It is not covered by a token over its predecessor."""
    times = Timestamper(trust=trust())
    times.offer(b"old", now=NOW)
    request = times.due(now=NOW)
    assert request is not None
    times.offer(b"new", now=NOW + timedelta(seconds=1))

    times.take(reply(request.der, tmp_path), now=NOW + timedelta(seconds=2))
    later = times.due(now=NOW + timedelta(seconds=70))

    assert times.waiting_since == NOW + timedelta(seconds=2)
    assert later is not None
    assert later.message == b"new"


def test_a_root_of_nobody_is_refused(answer: tuple[TimestampRequest, bytes]) -> None:
    """The same name, another key."""
    assert fault(answer[1], trust=TrustStore.from_pem(strangers().trust_pem)) is TimestampFault.CHAIN
