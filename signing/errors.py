"""
What this package raises. No exception of a library below ever leaves it.

A signature that does not hold is no error: it is a `Verdict`. An error means that there was nothing to judge
(`MessageError`), or that our own keys, trust or policy files are not usable (`MaterialError`).
"""

from typing import final

from signing.reasons import Reason


class SigningError(Exception):
    """The root of everything raised here."""


@final
class MessageError(SigningError):
    """The bytes are no message that could carry a signature."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail


@final
class CannotSignError(SigningError):
    """The message cannot be given a signature that would verify."""

    def __init__(self, cause: str, detail: str = "") -> None:
        super().__init__(f"{cause}: {detail}" if detail else cause)
        self.cause = cause
        self.detail = detail


@final
class MaterialError(SigningError):
    """A key, certificate, revocation list or policy of ours cannot be used. Never holds any key material."""

    def __init__(self, cause: str, detail: str = "") -> None:
        super().__init__(f"{cause}: {detail}" if detail else cause)
        self.cause = cause
        self.detail = detail
