"""Codes of organs: three forms, compared as people mean them, never corrected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axis.edxml.organ_code import (
    LONGEST,
    OrganCodeForm,
    normal,
    parse_organ_code,
    same_organ_code,
    stands_below,
)

_FORMS = {
    "000.00.00.H26": OrganCodeForm.QCVN_102,
    "000.28.31.H53": OrganCodeForm.QCVN_102,
    "001.00.20.TT2": OrganCodeForm.QCVN_102,
    "H37.02.02": OrganCodeForm.DECISION_20,
    "H37.DN.001": OrganCodeForm.DECISION_20,
    "G22": OrganCodeForm.DECISION_20,
    "H27" + ".01" * 10 + ".A": OrganCodeForm.DECISION_20,
    "H27" + ".01" * 11: OrganCodeForm.OTHER,
    "28.22.H17": OrganCodeForm.NINE_CHARACTERS,
    "00.53.W00": OrganCodeForm.NINE_CHARACTERS,
    "000.1137.H53": OrganCodeForm.OTHER,
    "vxp.saas.03": OrganCodeForm.OTHER,
    "N/A": OrganCodeForm.OTHER,
    "000.00.00.H2６": OrganCodeForm.OTHER,
    "": OrganCodeForm.MISSING,
    " \u200b ": OrganCodeForm.MISSING,
    "null": OrganCodeForm.MISSING,
    "NULL": OrganCodeForm.MISSING,
}


@pytest.mark.requirement("LR-31", "LR-32")
@pytest.mark.parametrize("text", list(_FORMS))
def test_the_form_of_a_code(text: str) -> None:
    """13 characters, up to 35, the older 9, anything else as it stands, and nothing."""
    assert _FORMS[text] is parse_organ_code(text).form


def test_the_longest_code() -> None:
    """35 characters are a code of QĐ 20/2020, 36 are not."""
    codes = ["H27" + ".01" * 10 + ".", "H27" + ".01" * 10 + ".1", "H27" + ".01" * 10 + ".12"]

    assert [len(code) for code in codes[1:]] == [LONGEST, LONGEST + 1]
    assert [parse_organ_code(code).form for code in codes[1:]] == [
        OrganCodeForm.DECISION_20,
        OrganCodeForm.OTHER,
    ]


@pytest.mark.requirement("LR-31", "LR-32")
@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("000.28.31.H53", ("H53", "31", "28")),
        ("105.28.31.H53", ("H53", "31", "28", "105")),
        ("000.00.13.H53", ("H53", "13")),
        ("000.00.00.G22", ("G22",)),
        ("28.22.H17", ("H17", "22", "28")),
        ("H37.02.02", ("H37", "02", "02")),
        ("vxp.saas.03", ("VXP.SAAS.03",)),
        ("null", ()),
    ],
)
def test_groups_from_the_root_down(text: str, groups: tuple[str, ...]) -> None:
    """Whichever end the form begins at; zeros that only fill up are no group."""
    code = parse_organ_code(text)
    known = code.form not in {OrganCodeForm.OTHER, OrganCodeForm.MISSING}

    assert groups == code.groups
    assert (groups[0] if known else None) == code.root
    assert (len(groups) if known else None) == code.level


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("000.00.00.H41", "000.00.00.h41 ", True),
        ("000.00.00.H41", "\u200b000.00.00.H41\u00a0", True),
        ("vxp.saas.03", "VXP.SAAS.03", True),
        ("000.00.00.H41", "H41", False),
        ("000.00.00.H41", "00.00.H41", False),
        ("", "", False),
        ("null", "NULL", False),
    ],
)
def test_when_two_codes_are_the_same(left: str, right: str, *, same: bool) -> None:
    """Space, invisible characters and small letters do not matter; another form is another code."""
    assert same == same_organ_code(left, right) == same_organ_code(right, left)


@pytest.mark.parametrize(
    ("code", "above", "below"),
    [
        ("000.00.13.H53", "000.00.00.H53", True),
        ("000.28.31.H53", "000.00.31.H53", True),
        ("28.31.H53", "000.00.31.H53", True),
        ("H37.02.02", "H37.02", True),
        ("H37.02", "H37", True),
        ("000.00.13.H53", "000.00.13.H53", False),
        ("000.00.00.H53", "000.00.13.H53", False),
        ("000.00.13.H53", "000.00.00.H5", False),
        ("H37.020", "H37.02", False),
        ("H37.02", "000.00.00.H37", False),
        ("vxp.saas.03", "vxp", False),
        ("null", "000.00.00.H53", False),
    ],
)
def test_who_stands_below_whom(code: str, above: str, *, below: bool) -> None:
    """By the text alone, and only within one direction of writing: between the two only the directory knows."""
    assert below == stands_below(code, above=above)


@given(st.text(max_size=60))
def test_any_text_is_some_code(text: str) -> None:
    """Reading never fails, its normal form is stable, and the text as written is kept."""
    code = parse_organ_code(text)

    assert text == code.written
    assert code.normal == normal(code.normal) == normal(f" {text} ")
    assert (code.root is None) == (code.level is None)
    assert not stands_below(text, above=text)
