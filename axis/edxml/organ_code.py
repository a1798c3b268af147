"""
Codes of organs (mã định danh): the forms they are written in, when two are the same, who stands below whom.

Three forms live side by side: 13 characters, smallest unit first (QCVN 102:2016: `000.28.31.H53`); root first with any
depth (QĐ 20/2020/QĐ-TTg: `H37.02.02`); and 9 characters of the years before (`28.22.H17`). Which code of one form
stands for which of another is a fact of the directory: numbers were given out anew, so no rule here computes it.
A code is never corrected; the text as written stays beside its normal form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum, unique

from axis.edxml.text import visible

_QCVN_102 = re.compile(r"[0-9]{3}\.[0-9]{2}\.[0-9]{2}\.[A-Z][0-9A-Z][0-9]")
_NINE = re.compile(r"[0-9]{2}\.[0-9]{2}\.[A-Z][0-9A-Z][0-9]")
_DECISION_20 = re.compile(r"[A-Z][0-9]{2}(?:\.[0-9A-Z]+)*")
_ZERO = re.compile(r"0+")

LONGEST = 35
"""Characters of the longest code in use; the older form has 13."""


@unique
class OrganCodeForm(StrEnum):
    """How a code is written."""

    QCVN_102 = "qcvn_102"
    """13 characters, smallest unit first."""
    DECISION_20 = "decision_20"
    """Root first, variable depth."""
    NINE_CHARACTERS = "nine_characters"
    """Three groups, smallest unit first."""
    OTHER = "other"
    """Test systems, interchange centres and errors: opaque text that may still be registered."""
    MISSING = "missing"
    """Empty, or the word `null` that some software writes for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganCode:
    """One code, read."""

    written: str
    normal: str
    """Trimmed, without invisible characters, in capitals: what codes are compared and looked up by."""
    form: OrganCodeForm

    @property
    def groups(self) -> tuple[str, ...]:
        """
        Groups from the root down, without the zeros that fill a 13-character code up.

        `000.28.31.H53` is (H53, 31, 28). An opaque code is one group.
        """
        match self.form:
            case OrganCodeForm.QCVN_102 | OrganCodeForm.NINE_CHARACTERS:
                groups = self.normal.split(".")[::-1]
                while len(groups) > 1 and _ZERO.fullmatch(groups[-1]):
                    groups.pop()
                return tuple(groups)
            case OrganCodeForm.DECISION_20:
                return tuple(self.normal.split("."))
            case OrganCodeForm.OTHER:
                return (self.normal,)
            case OrganCodeForm.MISSING:
                return ()

    @property
    def root(self) -> str | None:
        """The level-1 organ, such as `H53`; absent for an opaque or missing code."""
        if self.form in {OrganCodeForm.OTHER, OrganCodeForm.MISSING}:
            return None
        return self.groups[0]

    @property
    def level(self) -> int | None:
        """1 for a ministry or province; absent for an opaque or missing code."""
        return None if self.root is None else len(self.groups)

    @property
    def was_cleaned(self) -> bool:
        """Whether the text as written differs from its normal form."""
        return self.written != self.normal


def normal(text: str) -> str:
    """The form codes are compared and looked up by."""
    return visible(text).strip().upper()


def parse_organ_code(text: str) -> OrganCode:
    """Read a code; never fails, as an unknown form may still be registered."""
    code = normal(text)
    return OrganCode(written=text, normal=code, form=_form_of(code))


def same_organ_code(left: str, right: str) -> bool:
    """Whether both texts are the same code. Two missing codes are not the same organ."""
    code = parse_organ_code(left)
    return code.form is not OrganCodeForm.MISSING and code.normal == normal(right)


def stands_below(code: str, *, above: str) -> bool:
    """
    Whether the code's own text places it below `above`; False for the same code.

    Compares codes of one direction only (13 and 9 characters together, QĐ 20/2020 apart): between the two only the
    directory knows.
    """
    lower, upper = parse_organ_code(code), parse_organ_code(above)
    if lower.root is None or upper.root is None:
        return False
    if (lower.form is OrganCodeForm.DECISION_20) != (upper.form is OrganCodeForm.DECISION_20):
        return False
    depth = len(upper.groups)
    return len(lower.groups) > depth and lower.groups[:depth] == upper.groups


def _form_of(code: str) -> OrganCodeForm:
    if code in {"", "NULL"}:
        return OrganCodeForm.MISSING
    if _QCVN_102.fullmatch(code):
        return OrganCodeForm.QCVN_102
    if _NINE.fullmatch(code):
        return OrganCodeForm.NINE_CHARACTERS
    if len(code) <= LONGEST and _DECISION_20.fullmatch(code):
        return OrganCodeForm.DECISION_20
    return OrganCodeForm.OTHER
