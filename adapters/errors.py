"""
What the agency's side raises. Nothing that a library below raises leaves this package.

StationError
  x NotAnswered        no answer in time; try again with the same message id, nothing happens twice
  x NotAllowed         key unknown, station suspended, or no right to do that
  x Refused            the axis says no to a request, with its reason code, in both languages
      x NotFound       there is no such thing, or none this station may know of
      x Recalled       it was taken back: its bytes are not given out any more
      x Ambiguous      the name fits several documents
  x NotPossible        this channel, file or setting cannot do it; trying again will not help
  x BadAnswer          the answer is not what the contract says
  x NotProven          a receipt or report that does not prove what it should
  x HistoryRewritten   the log shown now does not continue the log seen before
  x Closed             the station was closed while this waited
  x MemoryUnusable     the state folder cannot be used

A refusal of a document is none of these: it is an `Answer` with the state `refused`.
"""

from __future__ import annotations

from axis.core.exchange import Answer
from axis.core.reasons import Detail


class StationError(Exception):
    """Base of everything raised on the agency's side."""


class NotAnswered(StationError):
    """No answer in time. It may or may not have arrived: try again with the same message id."""

    def __init__(
        self,
        cause: str,
        *,
        message_id: str | None = None,
        handed_over: bool = False,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(cause)
        self.cause = cause
        self.message_id = message_id
        """Of the submission that was not answered."""
        self.handed_over = handed_over
        """The broker has the submission safely; only its answer is still to come."""
        self.retry_after_seconds = retry_after_seconds
        """How long the axis asks to wait, when it says so."""


class NotAllowed(StationError):
    """The credentials are wrong, the station is suspended, or it has no right to this."""


class Refused(StationError):
    """The axis says no to a request. The same request will be refused again."""

    def __init__(
        self,
        code: str,
        *,
        en: str,
        vi: str = "",
        next_en: str = "",
        request: str | None = None,
        details: tuple[Detail, ...] = (),
    ) -> None:
        places = "; ".join(f"{one.path}: {one.en}" for one in details)
        super().__init__(" ".join(part for part in (f"{code}: {en}", next_en, places) if part))
        self.code = code
        """A reason code of the axis, or one of the transport (`http.…`)."""
        self.en = en
        self.vi = vi or en
        self.request = request
        """Id of the request in the axis's logs."""
        self.details = details


class NotFound(Refused):
    """There is no such thing, or none this station may know of: the two look the same on purpose."""


class Purged(NotFound):
    """The axis keeps the bytes no longer; the detail `issuer` is the code of who has the original."""


class Recalled(Refused):
    """The document was recalled or taken back before it was taken: its bytes are not given out any more."""


class Ambiguous(Refused):
    """The name fits several documents; `candidates` are their ids."""

    def __init__(self, name: str, *, candidates: tuple[str, ...]) -> None:
        super().__init__("http.ambiguous", en=f"{name} fits {len(candidates)}: {', '.join(candidates[:10])}")
        self.name = name
        self.candidates = candidates


class NotPossible(StationError):
    """This channel, file or setting cannot do it; the message says what would."""


class BadAnswer(StationError):
    """The answer does not have the shape or the content that the contract promises."""


class NotProven(StationError):
    """A receipt or report does not prove what it should; `step` names the check that failed."""

    def __init__(self, step: str, detail: str, *, answer: Answer | None = None) -> None:
        super().__init__(f"{step}: {detail}")
        self.step = step
        self.detail = detail
        self.answer = answer
        """The answer whose receipt it is: what it says may be true, but it is not proven."""


class HistoryRewritten(StationError):
    """
    The log that the axis shows now does not continue the one this station saw before.

    `seen` and `shown` are the two signed checkpoints: together they are the evidence.
    """

    def __init__(self, cause: str, *, seen: str, shown: str) -> None:
        super().__init__(f"the history of the axis was rewritten: {cause}")
        self.cause = cause
        self.seen = seen
        self.shown = shown


class Closed(StationError):
    """The station was closed while this waited."""


class MemoryUnusable(StationError):
    """The state folder cannot be used; the message says why and what to do."""
