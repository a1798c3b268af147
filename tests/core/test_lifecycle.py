"""Both lifecycle tables, pair by pair: what may happen, what may not, and what must never be possible."""

from __future__ import annotations

from itertools import product

import pytest

from axis.core.errors import InvariantBroken
from axis.core.lifecycle import (
    DELIVERY,
    DOCUMENT,
    SUBMISSION,
    DeliveryStep,
    DocumentStep,
    RequestStep,
    SubmissionStep,
    advance,
    next_delivery_state,
    next_document_state,
    next_request_state,
    next_submission_state,
)
from axis.core.model import PENDING, DeliveryState, DocumentState, RequestState, SubmissionState

# Written by hand and not derived, so that a change of the table has to be made twice and is seen.
# Columns are steps, rows are states; a dot is a step that is not allowed there.
_DELIVERIES = """
                hand_over    offer_again  fetch        acknowledge   fail     ask_back  withdraw   replay
waiting         handed_over  .            fetched      acknowledged  failed   waiting   withdrawn  .
handed_over     .            waiting      fetched      acknowledged  failed   waiting   withdrawn  .
fetched         .            waiting      .            acknowledged  failed   .         withdrawn  .
acknowledged    .            .            .            .             .        .         .          .
failed          .            .            .            acknowledged  .        .         withdrawn  waiting
withdrawn       .            .            .            .             .        .         .          .
not_connected   .            .            .            .             .        .         .          .
"""
_SUBMISSIONS = """
                accept       refuse       find_duplicate   hold_longer
accepted        .            .            .                .
refused         .            .            .                .
held            accepted     refused      duplicate        held
duplicate       .            .            .                .
"""
_DOCUMENTS = """
                supplement   update       replace      recall       close_recall
in_force        in_force     in_force     replaced     recalling    .
replaced        replaced     replaced     replaced     recalling    .
recalling       .            .            .            recalling    recalled
recalled        .            .            .            .            .
"""
_REQUESTS = """
                ask_unseen   ask          drop         agree        reject
none            withdrawing  asked        .            .            .
withdrawing     withdrawing  asked        none         .            .
asked           .            asked        .            agreed       rejected
agreed          .            asked        .            .            .
rejected        .            asked        .            agreed       .
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
    """Each of the 56 pairs leads where the table above says, and `advance` refuses the rest."""
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


@pytest.mark.parametrize(("state", "step"), list(product(DocumentState, DocumentStep)))
def test_every_step_of_a_document(state: DocumentState, step: DocumentStep) -> None:
    """Each of the 20 pairs: what was recalled is neither sent on, updated nor replaced."""
    assert next_document_state(state, step) == _cells(_DOCUMENTS)[state.value, step.value]


@pytest.mark.requirement("LR-25")
@pytest.mark.parametrize(("state", "step"), list(product(RequestState, RequestStep)))
def test_every_step_of_a_request(state: RequestState, step: RequestStep) -> None:
    """Each of the 25 pairs: an answer to nothing changes nothing, and a rejection may still become an agreement."""
    assert next_request_state(state, step) == _cells(_REQUESTS)[state.value, step.value]


def test_a_recalled_document_stays_recalled() -> None:
    """From there no step leads anywhere."""
    assert [pair for pair in DOCUMENT if pair[0] is DocumentState.RECALLED] == []


def test_the_tables_above_are_complete() -> None:
    """Every state and step there is stands in them: 117 pairs."""
    assert len(_cells(_DOCUMENTS)) == len(DocumentState) * len(DocumentStep) == 20
    assert len(_cells(_REQUESTS)) == len(RequestState) * len(RequestStep) == 25
    assert len(_cells(_DELIVERIES)) == len(DeliveryState) * len(DeliveryStep) == 56
    assert len(_cells(_SUBMISSIONS)) == len(SubmissionState) * len(SubmissionStep) == 16


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
