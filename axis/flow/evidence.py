"""
What a verdict leaves in the record: everything needed to explain it years later, and to repeat it.

Digests name what it rests on: the certificates of the chain, and the revocation lists and responses that were asked,
which are kept as they came (`axis.flow.revocation`). That revocation was not asked at all is said as plainly.
"""

from __future__ import annotations

from axis.core.events import JSON
from axis.core.model import iso
from signing.verify import CheckName, Verdict


def verdict_facts(verdict: Verdict | None) -> dict[str, JSON]:
    """
    The member `verdict` of an event; nothing where no signature was judged.

    Its `revocation.result` is `passed`, `failed`, `indeterminate` or `not_checked`. A source is
    `crl:<number>:<sha256>` or `ocsp:-:<sha256>`.
    """
    if verdict is None:
        return {}
    said: dict[str, JSON] = {
        "tier": verdict.tier.value,
        "reason": verdict.reason.value,
        "policy": verdict.policy_version,
    }
    signer, issued_at = verdict.signer, verdict.revocation_issued_at
    if signer is not None:
        said["signer"] = {
            "subject": signer.subject,
            "issuer": signer.issuer,
            "serial": signer.serial,
            "sha256": signer.sha256,
            "spki_sha256": signer.spki_sha256,
        }
        said["chain"] = [one.sha256 for one in verdict.chain]
        # The serial numbers between signer and root: a list that names one of them is about this document, too.
        said["above"] = [one.serial for one in verdict.chain[1:-1]]
        said["revocation"] = {
            "result": verdict.result_of(CheckName.REVOCATION).value,
            "sources": list(verdict.revocation_sources),
            "issued_at": iso(issued_at) if issued_at is not None else None,
        }
    return {"verdict": said}
