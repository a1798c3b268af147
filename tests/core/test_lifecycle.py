"""Both lifecycle tables, pair by pair: what may happen, what may not, and what must never be possible."""

from __future__ import annotations

from itertools import product

import pytest

from axis.core.errors import InvariantBroken
from axis.core.lifecycle import (
    DELIVERY,
    SUBMISSION,
    DeliveryStep,
    SubmissionStep,
    advance,
    next_delivery_state,
    next_submission_state,
)
from axis.core.model import PENDING, DeliveryState, SubmissionState

# Written by hand and not derived, so that a change of the table has to be made twice and is seen.
# Columns are steps, rows are states; a dot is a step that is not allowed there.
_DELIVERIES = """
                hand_over    offer_again  fetch        acknowledge   fail     withdraw   replay
waiting         handed_over  .            fetched      acknowledged  failed   withdrawn  .
handed_over     .            waiting      fetched      acknowledged  failed   withdrawn  .
fetched         .            waiting      .            acknowledged  failed   withdrawn  .
acknowledged    .            .            .            .             .        .          .
failed          .            .            .            acknowledged  .        .          waiting
withdrawn       .            .            .            .             .        .          .
not_connected   .            .            .            .             .        .          .
"""
_SUBMISSIONS = """
                accept       refuse       find_duplicate   hold_longer
accepted        .            .            .                .
refused         .            .            .                .
held            accepted     refused      duplicate        held
duplicate       .            .            .                .
"""


def _cells(table: str) -> dict[tuple[str, str], str | None]:
    header, *rows = [line.split() for line in table.strip().splitlines()]
    return {
        (row[0], step): None if after == "." else after
        for row in rows
        for step, after in zip(header, row[1:], strict=True)
    }


@pytest.mark.parametrize(("state", "step"), list(product(DeliveryState, DeliveryStep)))
def test_every_step_of_a_delivery(state: DeliveryState, step: DeliveryStep) -> None:
    """Each of the 49 pairs leads where the table above says, and `advance` refuses the rest."""
    expected = _cells(_DELIVERIES)[state.value, step.value]

    assert next_delivery_state(state, step) == expected
    if expected is None:
        with pytest.raises(InvariantBroken, match=f"{state} cannot {step}"):
            advance(state, step)
    else:
        assert advance(state, step) == expected


@pytest.mark.parametrize(("state", "step"), list(product(SubmissionState, SubmissionStep)))
def test_every_step_of_a_submission(state: SubmissionState, step: SubmissionStep) -> None:
    """Only a held submission is ever judged again; a judged one is final."""
    assert next_submission_state(state, step) == _cells(_SUBMISSIONS)[state.value, step.value]


def test_the_tables_above_are_complete() -> None:
    """Every state and step there is stands in them."""
    assert len(_cells(_DELIVERIES)) == len(DeliveryState) * len(DeliveryStep)
    assert len(_cells(_SUBMISSIONS)) == len(SubmissionState) * len(SubmissionStep)


def test_pending_deliveries_can_always_be_settled() -> None:
    """Nothing is pending for ever: each pending state can be acknowledged, failed and withdrawn."""
    settling = (DeliveryStep.ACKNOWLEDGE, DeliveryStep.FAIL, DeliveryStep.WITHDRAW)

    assert all((state, step) in DELIVERY for state in PENDING for step in settling)


def test_what_the_receiver_has_is_never_taken_from_the_counts() -> None:
    """From acknowledged, withdrawn and not connected no step leads anywhere: a replay cannot deliver twice."""
    settled = {DeliveryState.ACKNOWLEDGED, DeliveryState.WITHDRAWN, DeliveryState.NOT_CONNECTED}

    assert [pair for pair in DELIVERY if pair[0] in settled] == []


def test_only_a_failed_delivery_is_replayed() -> None:
    """And it goes back to the beginning of its own life, not to a new one."""
    assert {pair: after for pair, after in DELIVERY.items() if pair[1] is DeliveryStep.REPLAY} == {
        (DeliveryState.FAILED, DeliveryStep.REPLAY): DeliveryState.WAITING
    }


def test_the_tables_cannot_be_changed_while_running() -> None:
    """They are the law of the process."""
    with pytest.raises(TypeError):
        DELIVERY[DeliveryState.FAILED, DeliveryStep.FETCH] = DeliveryState.FETCHED  # type: ignore[index]
    with pytest.raises(TypeError):
        SUBMISSION[SubmissionState.REFUSED, SubmissionStep.ACCEPT] = SubmissionState.ACCEPTED  # type: ignore[index]
