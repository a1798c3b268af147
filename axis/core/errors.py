"""
The axis's own errors. Refusals of documents are results, not errors: see `axis.core.reasons`.

AxisError
  x ServiceUnavailable    broker, database or disk silent  -> nothing acknowledged, back off, try again
  x InvariantBroken       we are wrong                     -> stop, keep everything, call a person
  x NotAllowed            the caller may not               -> HTTP 403, exit 1
  x NotFound              there is no such thing           -> HTTP 404, exit 1
  x Withdrawn             it was, and is taken back        -> HTTP 410
  x Purged                it was, and is kept no longer    -> HTTP 410
  x Ambiguous             several things have this name    -> exit 2 with the candidates
  x WrongOffset           a piece that continues nothing   -> HTTP 409 with the offset
  x UploadRefused         it cannot become a payload       -> HTTP 4xx with the reason
  x InvalidAct            a change that makes no sense     -> exit 2, HTTP 422, all problems listed
  x InvalidQuestion       a filter that makes no sense     -> exit 2, HTTP 422
  x SettingsError         the process must not start       -> exit 2, all problems listed
"""

from __future__ import annotations

from axis.core.reasons import ReasonCode


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


class Purged(AxisError):
    """The axis let the bytes go when their time was over: the original is with its issuer (NĐ 30/2020 Art. 19.2)."""

    def __init__(self, document: str, *, issuer: str) -> None:
        super().__init__(f"the bytes of document {document} were let go; {issuer} has the original")
        self.document = document
        self.issuer = issuer


class Ambiguous(AxisError):
    """A name given by a person fits several things."""

    def __init__(self, name: str, candidates: tuple[str, ...]) -> None:
        super().__init__(f"{name} fits {len(candidates)}: {', '.join(candidates[:10])}")
        self.name = name
        self.candidates = candidates


class WrongOffset(AxisError):
    """A piece of an upload that does not begin where the last one ended, or that another request is adding to."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"the upload continues at byte {offset}")
        self.offset = offset


class UploadRefused(AxisError):
    """An upload that is too large, does not have its digest, or is one too many; nothing of it is kept."""

    def __init__(self, reason: ReasonCode, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail


class InvalidAct(AxisError):
    """What a person asked the axis to change makes no sense; nothing was changed. `problems` lists everything."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class InTwoLanguages(AxisError):
    """What a person reads in their own language; `str` is the English one."""

    def __init__(self, *, vi: str, en: str) -> None:
        super().__init__(en)
        self.vi = vi
        self.en = en


class InvalidQuestion(InTwoLanguages):
    """What a person asked makes no sense: an unknown state, a page that is none."""


class SettingsError(AxisError):
    """The settings do not allow a start; `problems` lists every one of them."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
