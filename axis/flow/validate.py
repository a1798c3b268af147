"""
Step 3: does the message make sense, and may this station send it? Every problem with its place, not only the first.

Secrecy marks are looked for here (LR-02): on a hit nothing of the content goes further than this function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from axis.core.directory import Organ
from axis.core.model import Kind
from axis.core.reasons import Cause, Detail, ReasonCode
from axis.edxml import rules
from axis.edxml.findings import Finding, refusals, warnings
from axis.edxml.message import Edoc, Message
from axis.edxml.organ_code import normal
from axis.flow.outcomes import Hold, Known, Refusal
from axis.flow.parse import Parsed
from axis.flow.receive import World
from axis.flow.secrecy import find_secrecy_mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Valid:
    """A message that says something the axis can act on, from an organ its station speaks for."""

    parsed: Parsed
    sender: Organ
    warnings: tuple[Finding, ...]

    @property
    def message(self) -> Message:
        """What it says, signed or not."""
        return self.parsed.message


def validate(parsed: Parsed, *, world: World) -> Valid | Refusal | Hold:
    """Judge the message by the business rules and its sender by the directory."""
    inbound, message = parsed.inbound, parsed.message
    if inbound.digest not in world.directory.released:
        hit = find_secrecy_mark(message)
        if hit is not None:
            detail = Detail(path=hit.field, vi=f"Mẫu nhận dạng: {hit.pattern}", en=f"Pattern: {hit.pattern}")
            return Refusal(
                inbound=inbound,
                causes=(Cause(code=ReasonCode.VALIDATE_SECRECY, details=(detail,)),),
                known=Known(kind=message.kind, from_code=message.sender.organ_id[:64]),
                keep_bytes=False,
            )
    findings = [*parsed.oddities, *rules.check(message, at=inbound.received_at, scale=world.priority_scale)]
    wrong = refusals(findings)
    if wrong:
        return Refusal(inbound=inbound, causes=causes_of(wrong), known=known_of(message, None))
    if not world.directory.organs:
        # Every code would look unknown: that the directory is empty is no fault of the sender.
        return Hold(
            inbound=inbound,
            causes=(Cause(code=ReasonCode.AXIS_DIRECTORY),),
            known=known_of(message, None),
        )
    sender = world.directory.by_code(normal(message.sender.organ_id), at=inbound.received_at)
    if sender is None or inbound.station is None:
        return _not_yours(parsed, None)
    if not world.directory.speaks_for(inbound.station, sender.number, at=inbound.received_at):
        return _not_yours(parsed, sender)
    return Valid(parsed=parsed, sender=sender, warnings=warnings(findings))


def causes_of(findings: Sequence[Finding]) -> tuple[Cause, ...]:
    """Findings that refuse, grouped under their reasons in the order of the stages."""
    grouped: dict[ReasonCode, list[Detail]] = {}
    for one in findings:
        if one.reason is not None:
            grouped.setdefault(one.reason, []).append(one.detail)
    return tuple(Cause(code=code, details=tuple(details)) for code, details in grouped.items())


def known_of(message: Message, sender: Organ | None) -> Known:
    """What to record of a message that is refused or held, so that people can find it."""
    is_edoc = isinstance(message, Edoc)
    answered = None if isinstance(message, Edoc) else message.response_for
    return Known(
        kind=Kind.EDOC if is_edoc else Kind.STATUS,
        sender=sender.number if sender is not None else None,
        from_code=message.sender.organ_id[:64] or None,
        document_id=(
            message.document_id if isinstance(message, Edoc) else (answered.document_id if answered else "")
        )
        or None,
        business_type=message.business_type if isinstance(message, Edoc) else None,
        code=message.code.written if isinstance(message, Edoc) else None,
        subject=message.subject if isinstance(message, Edoc) else None,
    )


def _not_yours(parsed: Parsed, sender: Organ | None) -> Refusal:
    code = parsed.message.sender.organ_id[:64]
    name = sender.name if sender is not None else "?"
    detail = Detail(
        path="/edXML/edXMLEnvelope/edXMLHeader/MessageHeader/From/OrganId",
        vi=f"{code} ({name}) không thuộc điểm kết nối {parsed.inbound.station}",
        en=f"{code} ({name}) is not delegated to station {parsed.inbound.station}",
    )
    return Refusal(
        inbound=parsed.inbound,
        causes=(Cause(code=ReasonCode.RECEIVE_NOT_YOUR_ORGAN, details=(detail,)),),
        known=known_of(parsed.message, None),
    )
