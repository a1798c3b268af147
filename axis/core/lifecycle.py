"""
The life of a submission and of a delivery: one table each, and nothing else changes a state.

docs/lifecycle.md draws both tables; the exhaustive test walks every (state, step) pair.
"""

from __future__ import annotations

from enum import StrEnum, unique
from types import MappingProxyType

from axis.core.errors import InvariantBroken
from axis.core.model import DeliveryState as D
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
        (D.WAITING, DeliveryStep.WITHDRAW): D.WITHDRAWN,
        (D.HANDED_OVER, DeliveryStep.FETCH): D.FETCHED,
        (D.HANDED_OVER, DeliveryStep.ACKNOWLEDGE): D.ACKNOWLEDGED,
        (D.HANDED_OVER, DeliveryStep.OFFER_AGAIN): D.WAITING,
        (D.HANDED_OVER, DeliveryStep.FAIL): D.FAILED,
        (D.HANDED_OVER, DeliveryStep.WITHDRAW): D.WITHDRAWN,
        (D.FETCHED, DeliveryStep.ACKNOWLEDGE): D.ACKNOWLEDGED,
        (D.FETCHED, DeliveryStep.OFFER_AGAIN): D.WAITING,
        (D.FETCHED, DeliveryStep.FAIL): D.FAILED,
        (D.FETCHED, DeliveryStep.WITHDRAW): D.WITHDRAWN,
        # A late "done" tells the truth: the receiver has it after all.
        (D.FAILED, DeliveryStep.ACKNOWLEDGE): D.ACKNOWLEDGED,
        (D.FAILED, DeliveryStep.REPLAY): D.WAITING,
    }
)


def next_submission_state(state: S, step: SubmissionStep) -> S | None:
    """The state after `step`, or None when the table does not allow it."""
    return SUBMISSION.get((state, step))


def next_delivery_state(state: D, step: DeliveryStep) -> D | None:
    """The state after `step`, or None: a step that comes twice or too late is ignored by its caller, with a record."""
    return DELIVERY.get((state, step))


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
