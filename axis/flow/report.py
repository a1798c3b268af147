"""
The verification report: what the axis checked before it let a document travel, for its receivers (LR-20).

Canonical JSON, named by its digest in the record of the acceptance and signed like a receipt. It travels beside the
document, never inside it.
"""

from __future__ import annotations

from collections.abc import Sequence

from axis.core.events import JSON, canonical
from axis.core.model import DocumentKey, iso
from axis.edxml.message import Edoc
from axis.flow.route import Routed

REPORT_VERSION = 1


def report_of(routed: Routed, *, document: DocumentKey, numbers: Sequence[JSON]) -> bytes:
    """
    The canonical bytes of the report; `numbers` are those of the deliveries, in the order of the receivers.

    A receiver that keeps them sees whether it was shown everything that was accepted for it from a sender.
    """
    verified = routed.verified
    verdict, inbound, message = verified.verdict, verified.valid.parsed.inbound, verified.message
    signer: JSON = None
    if verdict.signer is not None:
        signer = {
            "subject": verdict.signer.subject,
            "issuer": verdict.signer.issuer,
            "serial": verdict.signer.serial,
            "spki_sha256": verdict.signer.spki_sha256,
        }
    attachments: list[JSON] = (
        [
            {
                "content_id": one.content_id,
                "name": one.name,
                "detected_type": one.detected_type,
                "size": one.size,
                "sha256": one.sha256,
            }
            for one in message.attachments
        ]
        if isinstance(message, Edoc)
        else []
    )
    return canonical(
        {
            "v": REPORT_VERSION,
            "document": document,
            "digest": inbound.digest,
            "size": inbound.size,
            "tier": verified.tier.value,
            "value": verified.value.value,
            "reason": verdict.reason.value,
            "policy": verdict.policy_version,
            "judged_for": iso(inbound.received_at),
            "directory": routed.directory.version,
            "sender": {"code": message.sender.organ_id[:64], "name": verified.sender.name},
            "receivers": [
                {"code": line.code, "number": number}
                for line, number in zip(routed.lines, numbers, strict=True)
            ],
            "signer": signer,
            "signed_at": iso(verdict.signed_at) if verdict.signed_at is not None else None,
            "checks": [{"name": one.name.value, "result": one.result.value} for one in verdict.checks],
            "revocation_sources": list(verdict.revocation_sources),
            "attachments": attachments,
            "warnings": [
                {"code": one.code, "path": one.path, "vi": one.vi, "en": one.en} for one in routed.notices
            ],
        }
    )
