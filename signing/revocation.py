"""
Whether a certificate had been revoked: the question, and its possible answers.

A source is asked for the signer's certificate and for each authority below the root, in the verdict's last step
(rule 27). It answers from what it already holds; nothing here fetches anything while a message waits.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Protocol

from cryptography import x509


@unique
class RevocationState(StrEnum):
    GOOD = "good"
    REVOKED = "revoked"
    STALE = "stale"
    """What is known is too old to say anything about that moment."""
    UNKNOWN = "unknown"
    """Nothing is known about certificates of that issuer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationAnswer:
    """What a source says about one certificate at one moment."""

    state: RevocationState
    source: str
    """What the answer rests on, for the evidence: kind, number and SHA-256 of the list; empty for unknown."""
    revoked_at: datetime | None = None
    issued_at: datetime | None = None
    """When the list or response was issued."""


class RevocationSource(Protocol):
    def status(
        self, certificate: x509.Certificate, *, issuer: x509.Certificate, at: datetime
    ) -> RevocationAnswer:
        """What is known about `certificate`, issued by `issuer`, at the moment `at`. Fast: it is on the road."""
        ...
