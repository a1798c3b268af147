"""Reason codes: each says what happened and what to do, to the one who can mend it, in both languages."""

from __future__ import annotations

import re

import pytest

from axis.core.model import Owner
from axis.core.reasons import REASONS, ReasonCode

_STAGES = {"receive", "parse", "validate", "verify", "route", "deliver", "bury", "axis"}


def test_every_code_has_its_row() -> None:
    """A code without text would be a refusal nobody can act on."""
    assert set(REASONS) == set(ReasonCode)


@pytest.mark.parametrize("code", list(ReasonCode))
def test_a_reason_says_what_and_what_next_in_both_languages(code: ReasonCode) -> None:
    """Sentences, Vietnamese with its marks, and no text twice."""
    reason = REASONS[code]

    assert re.fullmatch(r"[a-z]+\.[a-z0-9_]+", code.value)
    assert code.value.partition(".")[0] in _STAGES
    assert all(text.endswith(".") for text in (reason.vi, reason.en, reason.next_vi, reason.next_en))
    assert re.search(r"[ăâđêôơưáàảãạấầẩẫậắằẳẵặéèẻẽẹếềểễệíìỉĩịóòỏõọốồổỗộớờởỡợúùủũụứừửữựýỳỷỹỵ]", reason.vi)
    assert reason.en.isascii()
    assert reason.next_en.isascii()


def test_texts_differ() -> None:
    """Two reasons with the same words are one reason."""
    assert len({reason.vi for reason in REASONS.values()}) == len(REASONS)
    assert len({reason.en for reason in REASONS.values()}) == len(REASONS)


@pytest.mark.requirement("LR-59")
def test_a_cause_of_the_axis_is_never_the_senders() -> None:
    """What the axis must mend is held or failed, never refused: its sender is told not to send again."""
    ours = [reason for code, reason in REASONS.items() if code.value.startswith("axis.")]

    assert {reason.owner for reason in ours} == {Owner.AXIS}
    assert {
        reason.owner for code, reason in REASONS.items() if code.value.startswith(("receive.", "parse."))
    } == {Owner.SENDER}
