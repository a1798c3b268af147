"""The generated parts of the documentation are those the code of today would write."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from axis.core.reasons import ReasonCode
from tests.project import write
from tests.project.collect import ROOT, marks, reasons_expected
from tests.project.requirements import TITLES

_PAGES = sorted({*write.PAGES, *(page for page, _ in write.PARTS)})


@pytest.mark.parametrize("page", _PAGES)
def test_a_generated_page_is_current(page: str) -> None:
    """If this fails: `make docs`, look at the difference, commit it with the change."""
    tracked, made = (ROOT / page).read_text(encoding="utf-8"), write.contents()[page]

    difference = list(
        difflib.unified_diff(tracked.splitlines(), made.splitlines(), "tracked", "made", n=0, lineterm="")
    )
    assert difference == []


def test_writing_twice_writes_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Pages come out complete in an empty folder, and the same again."""
    write.main(tmp_path)
    first = capsys.readouterr().out.split()
    write.main(tmp_path)

    assert sorted(first) == _PAGES
    assert capsys.readouterr().out == ""


def test_a_page_without_its_place_is_an_error() -> None:
    """A table nobody would see must not be dropped in silence."""
    with pytest.raises(ValueError, match=r"SECURITY\.md has no place for threats"):
        write.written("SECURITY.md", "# Security", part="threats")


@pytest.mark.requirement("LR-59")
@pytest.mark.parametrize("code", list(ReasonCode))
def test_every_reason_has_a_test_that_makes_it_happen(code: ReasonCode) -> None:
    """A reason nothing produces is a promise nobody keeps."""
    assert reasons_expected()[code] != []


def test_every_threat_names_its_control() -> None:
    """A row of SECURITY.md has three cells."""
    assert [
        mark for mark in marks("threat") if len(mark.arguments) != 1 or set(mark.keywords) != {"control"}
    ] == []


def test_requirements_are_those_of_the_list() -> None:
    """A marker with a number that is not listed would vanish from the table."""
    assert {number for mark in marks("requirement") for number in mark.arguments} <= set(TITLES)
    assert list(TITLES) == [f"LR-{number:02d}" for number in range(1, len(TITLES) + 1)]
