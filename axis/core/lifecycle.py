"""
The life of a submission, of a document, of a delivery and of a request to one receiver: one table each, and nothing
else changes a state.

docs/lifecycle.md draws the tables; the exhaustive test walks every (state, step) pair.
"""

from __future__ import annotations

from enum import StrEnum, unique
from types import MappingProxyType

from axis.core.errors import InvariantBroken
from axis.core.model import DeliveryState as D
from axis.core.model import DocumentState, RequestState
from axis.core.model import SubmissionState as S


@unique
class SubmissionStep(StrEnum):
    """What can happen to a held submission. A judged one is final: its sender sends again."""

    ACCEPT = "accept"
    REFUSE = "refuse"
    FIND_DUPLICATE = "find_duplicate"
    HOLD_LONGER = "hold_longer"


SUBMISSION = MappingProxyType(
    {
        (S.HELD, SubmissionStep.ACCEPT): S.ACCEPTED,
        (S.HELD, SubmissionStep.REFUSE): S.REFUSED,
        (S.HELD, SubmissionStep.FIND_DUPLICATE): S.DUPLICATE,
        (S.HELD, SubmissionStep.HOLD_LONGER): S.HELD,
    }
)


@unique
class DeliveryStep(StrEnum):
    """What can happen to a delivery."""

    HAND_OVER = "hand_over"
    """Put into the station's queue, or leased to a pulling station."""
    OFFER_AGAIN = "offer_again"
    """Handed over too long with an empty inbox, `resync`, or the receiver could not take it: back to the ledger."""
    FETCH = "fetch"
    """The station has the complete bytes."""
    ACKNOWLEDGE = "acknowledge"
    """The receiver's system has taken it: acknowledged done, or status 01."""
    FAIL = "fail"
    """The last try to hand it over was used up."""
    ASK_BACK = "ask_back"
    """
    Wanted back while it is, or may be, in the station's hands: a `withdraw` notice goes out in its place, and the
    station says whether its DMS has seen it.
    """
    WITHDRAW = "withdraw"
    """Recalled or removed before the receiver's system took it."""
    REPLAY = "replay"
    """An operator sends a failed delivery round again."""


DELIVERY = MappingProxyType(
    {
        (D.WAITING, DeliveryStep.HAND_OVER): D.HANDED_OVER,
        (D.WAITING, DeliveryStep.ACKNOWLEDGE): D.ACKNOWLEDGED,
        (D.WAITING, DeliveryStep.FETCH): D.FETCHED,
        (D.WAITING, DeliveryStep.FAIL): D.FAILED,
        # Leased: a publisher may have put it into the queue and not have recorded it yet.
        (D.WAITING, DeliveryStep.ASK_BACK): D.WAITING,
        (D.WAITING, DeliveryStep.WITHDRAW): D.WITHDRAWN,
        (D.HANDED_OVER, DeliveryStep.FETCH): D.FETCHED,
        (D.HANDED_OVER, DeliveryStep.ACKNOWLEDGE): D.ACKNOWLEDGED,
        (D.HANDED_OVER, DeliveryStep.OFFER_AGAIN): D.WAITING,
        (D.HANDED_OVER, DeliveryStep.FAIL): D.FAILED,
        (D.HANDED_OVER, DeliveryStep.ASK_BACK): D.WAITING,
        (D.HANDED_OVER, DeliveryStep.WITHDRAW): D.WITHDRAWN,
        (D.FETCHED, DeliveryStep.ACKNOWLEDGE): D.ACKNOWLEDGED,
        (D.FETCHED, DeliveryStep.OFFER_AGAIN): D.WAITING,
        (D.FETCHED, DeliveryStep.FAIL): D.FAILED,
        (D.FETCHED, DeliveryStep.WITHDRAW): D.WITHDRAWN,
        # A late "done" tells the truth: the receiver has it after all.
        (D.FAILED, DeliveryStep.ACKNOWLEDGE): D.ACKNOWLEDGED,
        (D.FAILED, DeliveryStep.REPLAY): D.WAITING,
        # Recalled: nobody may send it round again.
        (D.FAILED, DeliveryStep.WITHDRAW): D.WITHDRAWN,
    }
)


@unique
class DocumentStep(StrEnum):
    """What its sender, or its successor, can do with a document that was accepted."""

    SUPPLEMENT = "supplement"
    """Send it to more receivers."""
    UPDATE = "update"
    """Type 2: other content or receivers under the same document."""
    REPLACE = "replace"
    """Type 3, for all its receivers; for some of them only it stays in force."""
    RECALL = "recall"
    """Type 1."""
    CLOSE_RECALL = "close_recall"
    """The last holder has agreed: status 15, or 03 on the recall document."""


DOCUMENT = MappingProxyType(
    {
        (DocumentState.IN_FORCE, DocumentStep.SUPPLEMENT): DocumentState.IN_FORCE,
        (DocumentState.IN_FORCE, DocumentStep.UPDATE): DocumentState.IN_FORCE,
        (DocumentState.IN_FORCE, DocumentStep.REPLACE): DocumentState.REPLACED,
        (DocumentState.IN_FORCE, DocumentStep.RECALL): DocumentState.RECALLING,
        (DocumentState.REPLACED, DocumentStep.SUPPLEMENT): DocumentState.REPLACED,
        (DocumentState.REPLACED, DocumentStep.UPDATE): DocumentState.REPLACED,
        (DocumentState.REPLACED, DocumentStep.REPLACE): DocumentState.REPLACED,
        (DocumentState.REPLACED, DocumentStep.RECALL): DocumentState.RECALLING,
        # Said once more, by another recall document.
        (DocumentState.RECALLING, DocumentStep.RECALL): DocumentState.RECALLING,
        (DocumentState.RECALLING, DocumentStep.CLOSE_RECALL): DocumentState.RECALLED,
    }
)


@unique
class RequestStep(StrEnum):
    """What can happen to the wish to have a delivery back, or updated."""

    ASK_UNSEEN = "ask_unseen"
    """The station is asked to drop it before its DMS sees it."""
    ASK = "ask"
    """The receiver has it: it gets the recall, the update or the status 13, and owes an answer."""
    DROP = "drop"
    """It never reached the receiver's system, and now never will."""
    AGREE = "agree"
    """Status 15, or 03 on the recall document (older systems)."""
    REJECT = "reject"
    """Status 16, or 02 on the recall document."""


REQUEST = MappingProxyType(
    {
        (RequestState.NONE, RequestStep.ASK_UNSEEN): RequestState.WITHDRAWING,
        (RequestState.NONE, RequestStep.ASK): RequestState.ASKED,
        (RequestState.WITHDRAWING, RequestStep.ASK_UNSEEN): RequestState.WITHDRAWING,
        # Too late: its DMS has it.
        (RequestState.WITHDRAWING, RequestStep.ASK): RequestState.ASKED,
        (RequestState.WITHDRAWING, RequestStep.DROP): RequestState.NONE,
        (RequestState.ASKED, RequestStep.ASK): RequestState.ASKED,
        (RequestState.ASKED, RequestStep.AGREE): RequestState.AGREED,
        (RequestState.ASKED, RequestStep.REJECT): RequestState.REJECTED,
        # A later request, such as a recall after an update.
        (RequestState.AGREED, RequestStep.ASK): RequestState.ASKED,
        (RequestState.REJECTED, RequestStep.ASK): RequestState.ASKED,
        # It thought better of it.
        (RequestState.REJECTED, RequestStep.AGREE): RequestState.AGREED,
    }
)


def next_submission_state(state: S, step: SubmissionStep) -> S | None:
    """The state after `step`, or None when the table does not allow it."""
    return SUBMISSION.get((state, step))


def next_delivery_state(state: D, step: DeliveryStep) -> D | None:
    """The state after `step`, or None: a step that comes twice or too late is ignored by its caller, with a record."""
    return DELIVERY.get((state, step))


def next_document_state(state: DocumentState, step: DocumentStep) -> DocumentState | None:
    """The state after `step`, or None: what was recalled is over, so the step is refused with a reason."""
    return DOCUMENT.get((state, step))


def next_request_state(state: RequestState, step: RequestStep) -> RequestState | None:
    """The state after `step`, or None: an answer to nothing, or a second one, is kept and changes nothing."""
    return REQUEST.get((state, step))


def advance(state: D, step: DeliveryStep) -> D:
    """
    The state after a step the axis itself decided on.

    Raises:
        InvariantBroken: the table does not allow the step, so the decision was wrong.
    """
    after = DELIVERY.get((state, step))
    if after is None:
        raise InvariantBroken(f"a delivery that is {state} cannot {step}")
    return after
