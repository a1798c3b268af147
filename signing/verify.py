"""
The judge: is this message signed by whom it says, and what exactly did they sign?

Read this file first. `verify` takes the skeleton of a received message (signing.skeleton) and returns a
`Verdict`; it raises nothing for a bad message, however bad. The order is that of rule 17, cheapest first, and
nothing a stranger wrote is computed upon before the signature value holds:

    1. tier        does it claim AX-1 at all?        no -> legacy or unsigned
    2. structure   rules 1 to 14, 16, 18, 21          signing.ax1
    3. key         size and kind of the signer's key, rule 15
    4. signature   the value over SignedInfo
    5. digests     every signed part, attachments by their decoded bytes
    6. chain       to a pinned root, rules 23 to 25   signing.certificates
    7. time        the claimed signing time is sane, rule 26
    8. revocation  rule 27                            signing.revocation

What comes out is only what was signed (rule 19): canonical bytes of header, business and body, and the digests of
the attachments. The tree of the message never leaves this module.

It does not decide whether the signer may speak for the organ in `From` (rule 28), whether the message was seen
before (rule 29), or whether a message of a lower tier travels: the hub does, from the facts in the verdict.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique
from functools import lru_cache
from hmac import compare_digest
from typing import BinaryIO

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from lxml import etree

from signing import ax1
from signing.algorithms import BASE64_TRANSFORM, DIGEST_METHODS, DS, SIGNATURE_METHODS
from signing.ax1 import Claim, ClaimedPart, RefusedError, SignedPart, Survey, canonical, digest_of
from signing.certificates import (
    SPKI,
    CertificateFacts,
    CertificatePath,
    PathRefusedError,
    TrustStore,
    read_certificate,
)
from signing.errors import MaterialError, MessageError
from signing.policy import CURRENT_POLICY, Policy
from signing.reasons import EXPLANATIONS, Reason, Tier
from signing.revocation import RevocationSource, RevocationState
from signing.skeleton import CONTENT_TAG, Limits, PartSink, Skeleton, read_skeleton


@unique
class CheckName(StrEnum):
    """The steps of a judgement, in their order."""

    STRUCTURE = "structure"
    KEY = "key"
    SIGNATURE = "signature"
    DIGESTS = "digests"
    CHAIN = "chain"
    TIME = "time"
    REVOCATION = "revocation"


@unique
class CheckResult(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    INDETERMINATE = "indeterminate"
    NOT_CHECKED = "not_checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One step and how it ended."""

    name: CheckName
    result: CheckResult


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedAttachment:
    """One attachment, as the signed manifest lists it, with the digest of the bytes that were signed."""

    content_id: str
    """Without a leading `cid:`."""
    name: str
    description: str
    content_type: str
    """As declared; the bytes may be something else."""
    size: int
    sha256: str
    part_index: int
    """Which content of the message it is (`Skeleton.parts`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedContent:
    """Exactly what the signature covers. Later stages read from here and never from the received message."""

    header: bytes
    """Canonical bytes of MessageHeader."""
    body: bytes | None
    """Canonical bytes of edXMLBody; a status has none."""
    bussiness: bytes | None
    """Canonical bytes of Bussiness; without it the message is of type 0 and can be nothing else."""
    properties: bytes
    """Canonical bytes of the XAdES SignedProperties."""
    attachments: tuple[SignedAttachment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The judgement of one message at one moment, complete enough to be stored as evidence."""

    tier: Tier
    reason: Reason
    detail: str
    """Where, in English, for operators; never content of the document."""
    policy_version: str
    judged_for: datetime
    """The moment for which certificates and algorithms were judged: the time of receipt."""
    message_sha256: str
    """Of the received bytes."""
    checks: tuple[Check, ...]
    signer: CertificateFacts | None = None
    """Whose key made the signature; only once the signature value holds."""
    chain: tuple[CertificateFacts, ...] = ()
    """From the signer to the pinned root; only once the chain holds."""
    signed_at: datetime | None = None
    """When the signer says it signed; only once the signature value holds. A claim, not evidence of time."""
    signed: SignedContent | None = None
    """Only for passed and indeterminate."""
    revocation_sources: tuple[str, ...] = ()
    """What the answers of the revocation check rest on."""
    revocation_issued_at: datetime | None = None
    """When the oldest list or response that was used was issued; nothing if there is none for some certificate."""

    def may_travel_when_urgent(self, policy: Policy = CURRENT_POLICY) -> bool:
        """
        Whether an urgent message may travel although revocation cannot be told: all else holds, and what is known
        about revocation is younger than the policy's bound.
        """
        issued_at = self.revocation_issued_at
        return (
            self.tier is Tier.INDETERMINATE
            and issued_at is not None
            and self.judged_for - issued_at <= policy.revocation_urgent_fresh
        )

    @property
    def attachments(self) -> tuple[SignedAttachment, ...]:
        return () if self.signed is None else self.signed.attachments

    def result_of(self, name: CheckName) -> CheckResult:
        """How one step ended."""
        return next(check.result for check in self.checks if check.name is name)

    @property
    def rule(self) -> int:
        """The number of the strict rule that decided, 0 if none did."""
        return EXPLANATIONS[self.reason].rule


def verify(
    skeleton: Skeleton,
    *,
    trust: TrustStore,
    at: datetime,
    policy: Policy = CURRENT_POLICY,
    revocation: RevocationSource | None = None,
    bound_keys: Collection[SPKI] = (),
) -> Verdict:
    """
    Judge one message as of `at`, the moment the axis received it.

    `bound_keys` are the keys of certificates that are bound to organs: whatever carries one of them is judged as
    AX-1, so that damaging a signature cannot make the message "legacy". Without a `revocation` source that step is
    recorded as not checked; the caller decides whether it may be.
    """
    return _verify(skeleton, trust=trust, at=at, policy=policy, revocation=revocation, bound_keys=bound_keys)


def examine(skeleton: Skeleton, *, at: datetime, policy: Policy = CURRENT_POLICY) -> Verdict:
    """
    What can be told of one message without trusting anybody: steps 1 to 5.

    It never passes: a signature that holds is indeterminate (`chain.untrusted`), as nobody says whose it is.
    """
    return _verify(skeleton, trust=None, at=at, policy=policy, revocation=None, bound_keys=())


def _verify(
    skeleton: Skeleton,
    *,
    trust: TrustStore | None,
    at: datetime,
    policy: Policy,
    revocation: RevocationSource | None,
    bound_keys: Collection[SPKI],
) -> Verdict:
    judgement = _Judgement(skeleton=skeleton, at=at, policy=policy)
    try:
        root = skeleton.tree()
        skeleton.contents(root)
        found = ax1.survey(root)
        tier = _claimed_tier(found, bound_keys)
        if tier is Tier.UNSIGNED:
            return judgement.end(tier, Reason.UNSIGNED)
        if tier is Tier.LEGACY:
            return judgement.end(tier, Reason.LEGACY)
        claim = ax1.read_claim(skeleton, root, found, policy=policy, at=at)
        judgement.passed(CheckName.STRUCTURE)
        return _judge(judgement, claim, trust=trust, revocation=revocation)
    except (RefusedError, PathRefusedError, MessageError) as refused:
        return judgement.fail(refused.reason, refused.detail)


def judge(
    source: BinaryIO | bytes,
    *,
    trust: TrustStore,
    at: datetime,
    policy: Policy = CURRENT_POLICY,
    revocation: RevocationSource | None = None,
    bound_keys: Collection[SPKI] = (),
    limits: Limits | None = None,
    sink: PartSink | None = None,
) -> Verdict:
    """Read and judge in one step. Bytes that are no message at all give a failed verdict with their reason."""
    try:
        skeleton = read_skeleton(source, limits=limits, sink=sink)
    except MessageError as error:
        return unreadable(error, at=at, policy=policy)
    return verify(skeleton, trust=trust, at=at, policy=policy, revocation=revocation, bound_keys=bound_keys)


def unreadable(error: MessageError, *, at: datetime, policy: Policy = CURRENT_POLICY) -> Verdict:
    """The verdict on bytes that are no message. They were not read to their end, so their digest is not known."""
    return Verdict(
        tier=Tier.FAILED,
        reason=error.reason,
        detail=error.detail,
        policy_version=policy.version,
        judged_for=at,
        message_sha256="",
        checks=_checks({CheckName.STRUCTURE: CheckResult.FAILED}),
    )


def check_own_signature(skeleton: Skeleton, *, at: datetime, policy: Policy) -> None:
    """
    Steps 2 to 5 for a signature just made: everything but trust.

    Raises:
        RefusedError: the strict rule that it breaks.
        MessageError: it cannot be read back.
    """
    root = skeleton.tree()
    claim = ax1.read_claim(skeleton, root, ax1.survey(root), policy=policy, at=at)
    _check_signature(_Judgement(skeleton=skeleton, at=at, policy=policy), claim)
    _signed_content(claim)


@dataclass(slots=True, kw_only=True)
class _Judgement:
    """What is known so far; becomes a verdict once."""

    skeleton: Skeleton
    at: datetime
    policy: Policy
    results: dict[CheckName, CheckResult] = field(default_factory=dict)
    signer: CertificateFacts | None = None
    signed_at: datetime | None = None
    chain: tuple[CertificateFacts, ...] = ()
    signed: SignedContent | None = None
    sources: list[str] = field(default_factory=list)
    revocation_issued_at: datetime | None = None

    def passed(self, name: CheckName) -> None:
        self.results[name] = CheckResult.PASSED

    def fail(self, reason: Reason, detail: str) -> Verdict:
        for name in CheckName:
            if name not in self.results:
                self.results[name] = CheckResult.FAILED
                break
        return self.end(Tier.FAILED, reason, detail)

    def end(self, tier: Tier, reason: Reason, detail: str = "") -> Verdict:
        return Verdict(
            tier=tier,
            reason=reason,
            detail=detail,
            policy_version=self.policy.version,
            judged_for=self.at,
            message_sha256=self.skeleton.sha256,
            checks=_checks(self.results),
            signer=self.signer,
            chain=self.chain,
            signed_at=self.signed_at,
            signed=self.signed if tier in {Tier.PASSED, Tier.INDETERMINATE} else None,
            revocation_sources=tuple(self.sources),
            revocation_issued_at=self.revocation_issued_at,
        )


def _checks(results: dict[CheckName, CheckResult]) -> tuple[Check, ...]:
    return _complete(tuple(results.items()))


@lru_cache(maxsize=64)
def _complete(results: tuple[tuple[CheckName, CheckResult], ...]) -> tuple[Check, ...]:
    """There are few ways a judgement can go, so each is put together once."""
    made = dict(results)
    return tuple(Check(name=name, result=made.get(name, CheckResult.NOT_CHECKED)) for name in CheckName)


def _judge(
    judgement: _Judgement, claim: Claim, *, trust: TrustStore | None, revocation: RevocationSource | None
) -> Verdict:
    # 3. and 4. From here on the certificate in the message is asked what it says, not whether it is trusted.
    _check_signature(judgement, claim)
    # 5.
    content = _signed_content(claim)
    judgement.passed(CheckName.DIGESTS)
    if trust is None:
        return judgement.end(Tier.INDETERMINATE, Reason.CHAIN_UNTRUSTED)
    # 6.
    path = trust.path(claim.certificates, at=judgement.at, policy=judgement.policy)
    judgement.chain = tuple(c.facts for c in path.certificates)
    judgement.passed(CheckName.CHAIN)
    # 7.
    _check_time(judgement, claim)
    judgement.signed = content
    # 8.
    if revocation is None:
        return judgement.end(Tier.PASSED, Reason.PASSED)
    return _check_revocation(judgement, path, revocation)


def _check_signature(judgement: _Judgement, claim: Claim) -> None:
    key, policy = claim.signer.rsa_key, judgement.policy
    if (
        key is None
        or not policy.rsa_bits_min <= key.key_size <= policy.rsa_bits_max
        or key.public_numbers().e < policy.rsa_exponent_min
    ):
        raise RefusedError(Reason.KEY_WEAK)
    judgement.passed(CheckName.KEY)
    try:
        key.verify(
            claim.signature_value,
            canonical(claim.signed_info),
            padding.PKCS1v15(),
            SIGNATURE_METHODS[claim.signature_method],
        )
    except InvalidSignature as error:
        raise RefusedError(Reason.SIGNATURE_VALUE) from error
    judgement.signer = claim.signer.facts
    judgement.signed_at = claim.signing_time
    judgement.passed(CheckName.SIGNATURE)


_DIGEST_REASONS = {
    SignedPart.HEADER: Reason.DIGEST_HEADER,
    SignedPart.BODY: Reason.DIGEST_BODY,
    SignedPart.BUSSINESS: Reason.DIGEST_BUSSINESS,
    SignedPart.PROPERTIES: Reason.DIGEST_PROPERTIES,
    SignedPart.ATTACHMENT: Reason.DIGEST_ATTACHMENT,
}


def _signed_content(claim: Claim) -> SignedContent:
    """Check every digest, and keep the very bytes that were hashed."""
    kept: dict[SignedPart, bytes] = {}
    for part in claim.parts:
        if not compare_digest(_digest(part, kept), part.digest):
            where = "" if part.part is None else f"attachment {part.part.index + 1}"
            raise RefusedError(_DIGEST_REASONS[part.kind], where)
    return SignedContent(
        header=kept[SignedPart.HEADER],
        body=kept.get(SignedPart.BODY),
        bussiness=kept.get(SignedPart.BUSSINESS),
        properties=kept[SignedPart.PROPERTIES],
        attachments=tuple(
            SignedAttachment(
                content_id=entry.content_id,
                name=entry.name,
                description=entry.description,
                content_type=entry.content_type,
                size=entry.part.size,
                sha256=entry.part.sha256,
                part_index=entry.part.index,
            )
            for entry in claim.manifest
        ),
    )


def _digest(part: ClaimedPart, kept: dict[SignedPart, bytes]) -> bytes:
    if part.part is None:
        kept[part.kind] = canonical(part.element)
        return digest_of(part.digest_method, kept[part.kind])
    name = DIGEST_METHODS[part.digest_method]
    computed = {"sha256": part.part.sha256, "sha384": part.part.sha384, "sha512": part.part.sha512}[name]
    # The pass computes a wider digest when DigestMethod stands ahead of the content; in AX-1 it always does.
    return b"" if computed is None else bytes.fromhex(computed)


def _check_time(judgement: _Judgement, claim: Claim) -> None:
    if claim.signing_time > judgement.at + judgement.policy.future_tolerance:
        raise RefusedError(Reason.TIME_FUTURE)
    if claim.signing_time < claim.signer.facts.not_before:
        raise RefusedError(Reason.TIME_BEFORE_CERTIFICATE)
    judgement.passed(CheckName.TIME)


def _check_revocation(judgement: _Judgement, path: CertificatePath, revocation: RevocationSource) -> Verdict:
    doubt: Reason | None = None
    doubtful = ""
    issued: list[datetime | None] = []
    for read, issuer in zip(path.certificates, path.certificates[1:], strict=False):
        answer = revocation.status(read.certificate, issuer=issuer.certificate, at=judgement.at)
        if answer.source:
            judgement.sources.append(answer.source)
        issued.append(answer.issued_at)
        match answer.state:
            case RevocationState.REVOKED:
                # A known revocation is certain, whatever is unknown about the others.
                return judgement.fail(Reason.REVOCATION_REVOKED, read.facts.subject)
            case RevocationState.STALE:
                doubt, doubtful = doubt or Reason.REVOCATION_STALE, doubtful or read.facts.subject
            case RevocationState.UNKNOWN:
                doubt, doubtful = doubt or Reason.REVOCATION_UNKNOWN, doubtful or read.facts.subject
            case RevocationState.GOOD:
                pass
    known = [moment for moment in issued if moment is not None]
    judgement.revocation_issued_at = min(known) if known and len(known) == len(issued) else None
    if doubt is not None:
        judgement.results[CheckName.REVOCATION] = CheckResult.INDETERMINATE
        return judgement.end(Tier.INDETERMINATE, doubt, doubtful)
    judgement.passed(CheckName.REVOCATION)
    return judgement.end(Tier.PASSED, Reason.PASSED)


# 1. Which tier a message claims. Lenient on purpose: whatever looks like AX-1 is judged as AX-1.

_SIGNATURE_NAMES = frozenset(
    {
        "signature",
        "signedinfo",
        "signaturevalue",
        "keyinfo",
        "x509data",
        "x509certificate",
    }
)
_MARKED = (ax1.MESSAGE_HEADER, ax1.BODY, ax1.BUSSINESS, CONTENT_TAG)


def _claimed_tier(found: Survey, bound_keys: Collection[SPKI]) -> Tier:
    """
    UNSIGNED: nothing in it looks like a signature. LEGACY: something does, but it claims nothing of AX-1.

    PASSED stands for "claims AX-1". It does when a part that AX-1 signs carries an Id, when a reference names one
    of those by Id or uses the base64 transform, or when it carries a bound certificate (design: a message cannot
    be made legacy by damaging its signature).
    """
    looks_signed = not _SIGNATURE_NAMES.isdisjoint(found.by_name)
    # The .NET builder writes an empty one as a placeholder.
    for tag in found.by_name.get("digitalsignature", ()):
        looks_signed |= any(len(e) or (e.text and e.text.strip()) for e in found.by_tag[tag])
    looks_signed = looks_signed or any(tag.startswith(f"{{{DS}}}") for tag in found.by_tag)
    if not looks_signed:
        return Tier.UNSIGNED
    marked = any(element.tag in _MARKED for element, _ in found.ids)
    if marked or _names_ax1(found) or _carries_bound(found, bound_keys):
        return Tier.PASSED
    return Tier.LEGACY


def _names_ax1(found: Survey) -> bool:
    return any(_has(e, BASE64_TRANSFORM) for e in _called(found, "transform")) or any(
        _names_part(e) for e in _called(found, "reference")
    )


def _called(found: Survey, name: str) -> Iterator[etree._Element]:
    """Elements of that local name, in any namespace and spelling."""
    for tag in found.by_name.get(name, ()):
        yield from found.by_tag[tag]


def _has(element: etree._Element, value: str) -> bool:
    return any(str(v) == value for v in element.attrib.values())


def _names_part(reference: etree._Element) -> bool:
    uri = reference.get("URI", "")
    return uri.startswith("#att-") or uri in {"#mh", "#body", "#bu"}


def _carries_bound(found: Survey, bound_keys: Collection[SPKI]) -> bool:
    if not bound_keys:
        return False
    for element in _called(found, "x509certificate"):
        try:
            der = ax1.strict_base64(element.text, limit=16_384)
            if read_certificate(der).facts.spki_sha256 in bound_keys:
                return True
        except (RefusedError, MaterialError):
            continue
    return False
