"""What a search compares: words and codes, the same whoever wrote them and however."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axis.ledger.search import INDEXED, code_of, code_text, is_plain, word_text, words


@pytest.mark.parametrize(
    "text",
    [
        "Nghị định số 15/2020",
        "NGHỊ ĐỊNH số 15/2020",
        "nghi dinh so 15 2020",
        "Nghi\u0323 đi\u0323nh, số: “15”/2020",
    ],
)
def test_marks_capitals_and_strokes_do_not_matter(text: str) -> None:
    """One search for one text, in any Unicode form."""
    assert words(text) == ["nghi", "dinh", "so", "15", "2020"]


@given(st.text(), st.text())
def test_words_hold_letters_and_digits_only(one: str, other: str) -> None:
    """Nothing in them means anything to LIKE, and none is longer than an index entry can be."""
    found = words(one, other)

    assert word_text(one, other) == " ".join(found)
    for word in found:
        assert word
        assert not set(word) & set(" %_'\"\\\t\n")
        assert len(word) <= 64


@pytest.mark.parametrize("code", ["12/QĐ-TTg", "12 / qđ-ttg", "12/QD-TTG", "12/QĐ-TTg\u200b"])
def test_a_code_is_compared_without_marks_and_spaces(code: str) -> None:
    """As people type it."""
    assert code_text(code) == "12/qd-ttg"


def test_a_code_is_number_and_notation() -> None:
    """Or what there is of them."""
    assert [code_of("12", "QĐ"), code_of("12", ""), code_of("", "QĐ"), code_of("", "")] == [
        "12/QĐ",
        "12",
        "QĐ",
        "",
    ]


@given(st.text())
def test_a_code_fits_into_an_index(code: str) -> None:
    """However long it was written."""
    assert len(code_text(code * 50)) <= INDEXED


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00")))
def test_every_text_can_be_asked_for(text: str) -> None:
    """Except NUL and half characters."""
    assert is_plain(text)
    assert not is_plain(text + "\x00")
    assert not is_plain("\udc80" + text)
