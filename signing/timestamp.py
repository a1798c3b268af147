"""
Time from outside: tokens of a timestamp authority over what the axis signed (RFC 3161).

A token shows that certain bytes existed before a certain moment, on the word of somebody who is not the axis. What
gets a token is a checkpoint of the log: its root stands for every record before it, so one token covers them all,
and nobody waits for the authority. While it is away, traffic goes on and evidence is marked as not yet timed; the
first token after it comes back completes everything that waited.

Nothing here talks to the network: `Timestamper` says what to send and takes what came back; the axis has a client.
The token's signature is checked by `rfc3161-client`; chain, key usage, weak algorithms and revocation by the same
rules as for signers, at the time of the token.
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum, unique
from typing import Final, final

import rfc3161_client as rfc3161
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from signing.certificates import (
    UNREADABLE,
    CertificateFacts,
    CertificatePath,
    PathRefusedError,
    ReadCertificate,
    TrustStore,
    read_certificate,
)
from signing.errors import MaterialError, SigningError
from signing.policy import CURRENT_POLICY, Policy
from signing.revocation import RevocationSource, RevocationState

MAX_RESPONSE_BYTES: Final = 64 * 1024
CONTENT_TYPE: Final = "application/timestamp-query"
"""Of a request; the answer comes as application/timestamp-reply (RFC 3161, 3.4)."""


@unique
class TimestampFault(StrEnum):
    """Why a token proves nothing."""

    UNREADABLE = "timestamp.unreadable"
    REFUSED = "timestamp.refused"
    """The authority answered, and gave no token."""
    OTHER_MESSAGE = "timestamp.other_message"
    OTHER_REQUEST = "timestamp.other_request"
    """The nonce is not that of the request: an old answer, sent again."""
    SIGNATURE = "timestamp.signature"
    CHAIN = "timestamp.chain"
    REVOKED = "timestamp.revoked"


@final
class TimestampError(SigningError):
    """There is no token, or it proves nothing."""

    def __init__(self, fault: TimestampFault, detail: str = "") -> None:
        super().__init__(f"{fault}: {detail}" if detail else str(fault))
        self.fault = fault
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Timestamp:
    """What a token says, after everything about it was checked."""

    at: datetime
    """The message existed before this moment."""
    serial: str
    """Lower-case hex."""
    policy: str
    """Under which policy of the authority (OID)."""
    authority: CertificateFacts
    chain: tuple[CertificateFacts, ...]
    """From the authority to the pinned root."""
    message_sha256: str
    sha256: str
    """Of the whole response, as it is kept."""
    revocation: RevocationState | None
    """Of the authority and those above it at that time: the least certain answer; None if nobody was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestampRequest:
    """A question to a timestamp authority; keep it until the answer comes."""

    der: bytes
    nonce: int
    message: bytes

    @classmethod
    def of(cls, message: bytes) -> "TimestampRequest":
        """Ask for a token over the SHA-256 of `message`, with a fresh nonce and the authority's certificate."""
        request = (
            rfc3161.TimestampRequestBuilder()
            .data(message)
            .hash_algorithm(rfc3161.HashAlgorithm.SHA256)
            .nonce(nonce=True)
            .cert_request(cert_request=True)
            .build()
        )
        nonce = request.nonce
        assert nonce is not None, "it was asked for"
        return cls(der=request.as_bytes(), nonce=nonce, message=message)


def verify_timestamp(
    response: bytes,
    message: bytes,
    *,
    trust: TrustStore,
    policy: Policy = CURRENT_POLICY,
    revocation: RevocationSource | None = None,
    nonce: int | None = None,
) -> Timestamp:
    """
    Check a response of a timestamp authority (DER, `.tsr`) over `message`.

    `nonce` is that of the request, where it is still known. The authority's certificate must be for timestamping
    alone, lead to a root of `trust`, and be valid at the time of the token.

    Raises:
        TimestampError: it proves nothing; the fault says why.
    """
    read = _read(response)
    info = read.tst_info
    if info.message_imprint.message != _imprint(info.message_imprint.hash_algorithm, message):
        raise TimestampError(TimestampFault.OTHER_MESSAGE)
    if nonce is not None and info.nonce != nonce:
        raise TimestampError(TimestampFault.OTHER_REQUEST)
    at = info.gen_time.replace(tzinfo=UTC) if info.gen_time.tzinfo is None else info.gen_time.astimezone(UTC)
    authority, others = _authority(read)
    path = _path(authority, others, trust=trust, policy=policy, at=at)
    _check_signature(read, path, message)
    return Timestamp(
        at=at,
        serial=f"{info.serial_number:x}",
        policy=info.policy.dotted_string,
        authority=authority.facts,
        chain=tuple(one.facts for one in path.certificates),
        message_sha256=hashlib.sha256(message).hexdigest(),
        sha256=hashlib.sha256(response).hexdigest(),
        revocation=_ask(path, revocation, at=at),
    )


def _read(response: bytes) -> rfc3161.TimeStampResponse:
    if len(response) > MAX_RESPONSE_BYTES:
        raise TimestampError(TimestampFault.UNREADABLE, "too large")
    try:
        read = rfc3161.decode_timestamp_response(response)
        if read.status != rfc3161.PKIStatus.GRANTED:
            words = "; ".join(read.status_string)[:200]
            raise TimestampError(TimestampFault.REFUSED, f"status {read.status} {words}".strip())
        _ = read.tst_info.gen_time, read.tst_info.message_imprint, read.signed_data.certificates
    except UNREADABLE as error:
        raise TimestampError(TimestampFault.UNREADABLE, type(error).__name__) from error
    return read


_IMPRINTS: Final = {
    "2.16.840.1.101.3.4.2.1": hashlib.sha256,
    "2.16.840.1.101.3.4.2.2": hashlib.sha384,
    "2.16.840.1.101.3.4.2.3": hashlib.sha512,
}


def _imprint(algorithm: x509.ObjectIdentifier, message: bytes) -> bytes:
    known = _IMPRINTS.get(algorithm.dotted_string)
    if known is None:
        raise TimestampError(TimestampFault.OTHER_MESSAGE, f"hash {algorithm.dotted_string}")
    return known(message).digest()


def _authority(read: rfc3161.TimeStampResponse) -> tuple[ReadCertificate, list[ReadCertificate]]:
    """The certificate that the one signature names, and the others that came with it."""
    try:
        signers = list(read.signed_data.signer_infos)
        certificates = [read_certificate(der) for der in read.signed_data.certificates]
    except (MaterialError, *UNREADABLE) as error:
        raise TimestampError(TimestampFault.UNREADABLE, "certificates") from error
    if len(signers) != 1:
        raise TimestampError(TimestampFault.SIGNATURE, f"{len(signers)} signatures")
    named = [
        one
        for one in certificates
        if one.certificate.issuer == signers[0].issuer
        and one.certificate.serial_number == signers[0].serial_number
    ]
    if len(named) != 1:
        raise TimestampError(TimestampFault.SIGNATURE, "its certificate is not there")
    return named[0], [one for one in certificates if one is not named[0]]


def _path(
    authority: ReadCertificate,
    others: list[ReadCertificate],
    *,
    trust: TrustStore,
    policy: Policy,
    at: datetime,
) -> CertificatePath:
    # The same rules as for signers, but for the usage (RFC 3161, 2.3: critical, and this one alone).
    usage = frozenset({ExtendedKeyUsageOID.TIME_STAMPING.dotted_string})
    if authority.extended_key_usages != usage:
        raise TimestampError(TimestampFault.CHAIN, "not for timestamping alone")
    for_time = replace(policy, version=f"{policy.version}#timestamping", extended_key_usages=usage)
    try:
        return trust.path([authority, *others], at=at, policy=for_time)
    except PathRefusedError as refused:
        raise TimestampError(TimestampFault.CHAIN, f"{refused.reason} {refused.detail}".strip()) from refused


def _check_signature(read: rfc3161.TimeStampResponse, path: CertificatePath, message: bytes) -> None:
    *others, root = path.certificates
    verifier = rfc3161.VerifierBuilder(
        tsa_certificate=path.signer.certificate,
        intermediates=[one.certificate for one in others[1:]],
        roots=[root.certificate],
    ).build()
    try:
        verifier.verify_message(read, message)
    except (rfc3161.VerificationError, *UNREADABLE) as error:
        raise TimestampError(TimestampFault.SIGNATURE, type(error).__name__) from error


_LEAST_CERTAIN: Final = (RevocationState.UNKNOWN, RevocationState.STALE, RevocationState.GOOD)


def _ask(
    path: CertificatePath, revocation: RevocationSource | None, *, at: datetime
) -> RevocationState | None:
    if revocation is None:
        return None
    states = set()
    for one, issuer in zip(path.certificates, path.certificates[1:], strict=False):
        answer = revocation.status(one.certificate, issuer=issuer.certificate, at=at)
        if answer.state is RevocationState.REVOKED:
            raise TimestampError(TimestampFault.REVOKED, one.facts.subject)
        states.add(answer.state)
    return next(state for state in _LEAST_CERTAIN if state in states)


class Timestamper:
    """
    Which checkpoint gets a token next, and when to ask again.

    1. `offer` the newest checkpoint whenever there is one: it stands for all before it.
    2. Send what `due` returns to the authority, and give its answer to `take`, or say `failed`.
    3. While `waiting_since` is set, evidence from that time on is complete but for its time.

    After a failure the pauses grow from `retry` to `every`; nothing is ever given up.
    """

    def __init__(
        self,
        *,
        trust: TrustStore,
        every: timedelta = timedelta(minutes=1),
        retry: timedelta = timedelta(seconds=5),
        policy: Policy = CURRENT_POLICY,
        revocation: RevocationSource | None = None,
    ) -> None:
        self._trust = trust
        self._policy = policy
        self._revocation = revocation
        self._every = every
        self._retry = retry
        self._offered: bytes | None = None
        self._asked: TimestampRequest | None = None
        self._not_before: datetime | None = None
        self._pause = retry
        self.waiting_since: datetime | None = None
        """When the oldest checkpoint was offered that no token covers yet."""

    def offer(self, message: bytes, *, now: datetime) -> None:
        """This is the newest; it takes the place of one that still waits."""
        self._offered = message
        if self.waiting_since is None:
            self.waiting_since = now

    def due(self, *, now: datetime) -> TimestampRequest | None:
        """What to ask now: nothing while there is nothing new, or it is too early."""
        if self._offered is None or (self._not_before is not None and now < self._not_before):
            return None
        self._asked = TimestampRequest.of(self._offered)
        return self._asked

    def take(self, response: bytes, *, now: datetime) -> Timestamp:
        """
        The answer to the last question. Keep `response`: it is the evidence.

        Raises:
            TimestampError: it proves nothing; counted as a failure, ask again when due.
        """
        asked = self._asked
        if asked is None:
            raise TimestampError(TimestampFault.OTHER_REQUEST, "nothing was asked")
        try:
            timestamp = verify_timestamp(
                response,
                asked.message,
                trust=self._trust,
                policy=self._policy,
                revocation=self._revocation,
                nonce=asked.nonce,
            )
        except TimestampError:
            self.failed(now=now)
            raise
        self._asked = None
        self._pause = self._retry
        self._not_before = now + self._every
        if self._offered == asked.message:
            self._offered, self.waiting_since = None, None
        else:
            # Something newer was offered while the answer was on its way.
            self.waiting_since = now
        return timestamp

    def failed(self, *, now: datetime) -> None:
        """The authority did not answer."""
        self._asked = None
        self._not_before = now + self._pause
        self._pause = min(self._pause * 2, self._every)
