"""
Step 4: what is the signature worth, and may the message travel with it?

`signing` judges the bytes; this module applies the axis's rules: the strictest of station, organ and receiver holds,
the certificate must be bound to the organ in the signed `From` (strict rule 28), and from here on only what is signed
counts. A status is unsigned by the national format; a signature it does carry must be right.

Revocation is asked of what is held in memory, for the moment of receipt; nothing is fetched here. Where that does not
say enough, a document waits; one that is urgent travels at once when all else is good and the last list is young, as
`indeterminate`, and `axis.flow.recheck` tells both sides what became of it (design section 8).
"""

from __future__ import annotations

from dataclasses import dataclass

from axis.core.directory import Organ
from axis.core.model import LegalValue, SignaturePolicy, Tier, Urgency
from axis.core.reasons import Cause, Detail, ReasonCode
from axis.edxml.message import Edoc, Message
from axis.edxml.organ_code import same_organ_code
from axis.edxml.reader import Unreadable, read_signed_header
from axis.flow.claims import document_claim
from axis.flow.outcomes import Hold, Refusal
from axis.flow.receive import World
from axis.flow.validate import Valid, known_of
from signing.certificates import SPKI
from signing.reasons import EXPLANATIONS
from signing.verify import Verdict
from signing.verify import examine as examine_signature
from signing.verify import verify as judge_signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A message that may travel, and as what."""

    valid: Valid
    message: Message
    """For `passed` read again from the signed bytes alone; otherwise as received."""
    tier: Tier
    value: LegalValue
    """Until the attachments have been judged: being checked, or reference only."""
    verdict: Verdict

    @property
    def sender(self) -> Organ:
        """The sending organ."""
        return self.valid.sender


def verify(valid: Valid, *, world: World) -> Verified | Refusal | Hold:
    """Judge the signature and apply the policy."""
    inbound = valid.parsed.inbound
    bound = world.directory.bound(valid.sender.number, at=inbound.received_at)
    skeleton = valid.parsed.package.skeleton
    if world.trust is None:
        # What carries no signature needs no roots; a whole signature is indeterminate without them, and so on hold.
        verdict = examine_signature(skeleton, at=inbound.received_at, policy=world.policy)
    else:
        verdict = judge_signature(
            skeleton,
            trust=world.trust,
            at=inbound.received_at,
            policy=world.policy,
            revocation=world.revocation,
            bound_keys=frozenset(SPKI(one.spki) for one in bound),
        )
    tier = Tier(verdict.tier.value)
    match tier:
        case Tier.FAILED:
            return _refuse(valid, _failure(verdict), verdict)
        case Tier.INDETERMINATE:
            if verdict.signed is None:
                return hold_of(valid, _doubt(verdict), verdict)
            found = _signed(valid, verdict, world=world)
            may_travel = verdict.may_travel_when_urgent(world.policy)
            if isinstance(found, Verified) and not (may_travel and _is_urgent(found, world=world)):
                return hold_of(valid, _doubt(verdict), verdict)
            return found
        case Tier.PASSED:
            return _signed(valid, verdict, world=world)
        case Tier.LEGACY | Tier.UNSIGNED:
            must_sign = inbound.policy is SignaturePolicy.REQUIRED or bool(bound)
            if isinstance(valid.message, Edoc) and must_sign:
                code = ReasonCode.VERIFY_LEGACY if tier is Tier.LEGACY else ReasonCode.VERIFY_UNSIGNED
                return _refuse(valid, Cause(code=code), verdict)
            return Verified(
                valid=valid, message=valid.message, tier=tier, value=LegalValue.REFERENCE, verdict=verdict
            )


def _signed(valid: Valid, verdict: Verdict, *, world: World) -> Verified | Refusal:
    """A message whose signature and chain hold, read again from what is signed; its signer must be bound."""
    signed, signer = verdict.signed, verdict.signer
    assert signed is not None and signer is not None, "such a verdict names what is signed and by whom"  # noqa: PT018
    parsed = valid.parsed
    try:
        reading = read_signed_header(
            signed.header,
            bussiness_c14n=signed.bussiness,
            body_c14n=signed.body,
            attachments=parsed.message.attachments if isinstance(parsed.message, Edoc) else (),
        )
    except Unreadable as unreadable:
        return _refuse(valid, Cause(code=unreadable.reason, details=unreadable.details), verdict)
    message = reading.message
    at = parsed.inbound.received_at
    bound = world.directory.bound(valid.sender.number, at=at)
    is_bound = any(SPKI(one.spki) == signer.spki_sha256 for one in bound)
    if not same_organ_code(message.sender.organ_id, parsed.message.sender.organ_id) or not is_bound:
        detail = Detail(
            path="/edXML/edXMLEnvelope/edXMLHeader/MessageHeader/From/OrganId",
            vi=f"Chứng thư {signer.serial} ({signer.subject}) không gắn với {message.sender.organ_id[:64]}",
            en=f"Certificate {signer.serial} ({signer.subject}) is not bound to {message.sender.organ_id[:64]}",
        )
        return _refuse(valid, Cause(code=ReasonCode.VERIFY_ORGAN, details=(detail,)), verdict)
    return Verified(
        valid=valid,
        message=message,
        tier=Tier(verdict.tier.value),
        # Nothing is attached to a status that could be worth anything.
        value=LegalValue.CHECKING if isinstance(message, Edoc) else LegalValue.REFERENCE,
        verdict=verdict,
    )


def _is_urgent(verified: Verified, *, world: World) -> bool:
    message = verified.message
    return isinstance(message, Edoc) and message.urgency(scale=world.priority_scale) is not Urgency.NORMAL


def _failure(verdict: Verdict) -> Cause:
    family = verdict.reason.value.partition(".")[0]
    is_certificate = family in {"chain", "revocation"}
    code = ReasonCode.VERIFY_CERTIFICATE if is_certificate else ReasonCode.VERIFY_SIGNATURE
    return Cause(code=code, details=(_explain(verdict),))


def _doubt(verdict: Verdict) -> Cause:
    return Cause(code=ReasonCode.VERIFY_INDETERMINATE, details=(_explain(verdict),))


def _explain(verdict: Verdict) -> Detail:
    text = EXPLANATIONS[verdict.reason]
    where = f" ({verdict.detail})" if verdict.detail else ""
    return Detail(path=verdict.reason.value, vi=text.vi + where, en=text.en + where)


def _refuse(valid: Valid, cause: Cause, verdict: Verdict) -> Refusal:
    return Refusal(
        inbound=valid.parsed.inbound,
        causes=(cause,),
        known=known_of(valid.message, valid.sender),
        verdict=verdict,
    )


def hold_of(valid: Valid, cause: Cause, verdict: Verdict) -> Hold:
    """The hold of a message of which nobody can tell yet."""
    message = valid.message
    return Hold(
        inbound=valid.parsed.inbound,
        causes=(cause,),
        known=known_of(message, valid.sender),
        claim=document_claim(valid.sender.number, message) if isinstance(message, Edoc) else None,
        verdict=verdict,
    )
