"""
The axis's own errors. Refusals of documents are results, not errors: see `axis.core.reasons`.

AxisError
  x ServiceUnavailable    broker, database or disk silent  -> nothing acknowledged, back off, try again
  x InvariantBroken       we are wrong                     -> stop, keep everything, call a person
  x NotAllowed            the caller may not               -> HTTP 403, exit 1
  x NotFound              there is no such thing           -> HTTP 404, exit 1
  x Withdrawn             it was, and is taken back        -> HTTP 410
  x Ambiguous             several things have this name    -> exit 2 with the candidates
  x SettingsError         the process must not start       -> exit 2, all problems listed
"""

from __future__ import annotations


class AxisError(Exception):
    """Base of all errors raised across package borders of the axis."""


class ServiceUnavailable(AxisError):
    """A service this process depends on does not answer; what was not confirmed must be tried again."""

    def __init__(self, service: str, cause: str) -> None:
        super().__init__(f"{service} is not available: {cause}")
        self.service = service
        self.cause = cause


class InvariantBroken(AxisError):
    """Something that cannot be happened. The work at hand stops, nothing is thrown away."""


class NotAllowed(AxisError):
    """The caller is known and may not do this."""


class NotFound(AxisError):
    """No such thing, or none that this caller may know of: the two look the same on purpose."""

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"no such {what}: {name}")
        self.what = what
        self.name = name


class Withdrawn(AxisError):
    """The document was recalled or taken back: its bytes are not given out any more."""

    def __init__(self, document: str) -> None:
        super().__init__(f"document {document} was recalled")
        self.document = document


class Ambiguous(AxisError):
    """A name given by a person fits several things."""

    def __init__(self, name: str, candidates: tuple[str, ...]) -> None:
        super().__init__(f"{name} fits {len(candidates)}: {', '.join(candidates[:10])}")
        self.name = name
        self.candidates = candidates


class SettingsError(AxisError):
    """The settings do not allow a start; `problems` lists every one of them."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
