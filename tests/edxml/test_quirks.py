"""Each oddity of real traffic gets the verdict and the codes of the table, and each code of the table happens."""

from __future__ import annotations

import html

import pytest

from axis.edxml import findings as f
from tests.edxml.quirks import QUIRKS, Quirk, judge, quirks_table


@pytest.mark.requirement("LR-35", "LR-36")
@pytest.mark.parametrize("quirk", QUIRKS, ids=lambda quirk: quirk.name)
def test_the_verdict_is_that_of_the_table(quirk: Quirk) -> None:
    """The message we wrote has exactly these findings, and is read as it was meant."""
    judged = judge(quirk.message)

    assert quirk.codes == judged.codes, [f"{one.path}: {one.en}" for one in judged.findings]
    assert quirk.reason == judged.reason
    if quirk.understood is not None:
        assert judged.message is not None
        assert quirk.understood(judged.message)


@pytest.mark.parametrize("quirk", QUIRKS, ids=lambda quirk: quirk.name)
def test_whoever_wrote_it_can_read_why(quirk: Quirk) -> None:
    """Every finding has a place and a text in both languages, with nothing left to fill in and short quotes."""
    for finding in judge(quirk.message).findings:
        assert finding.path.startswith("/")
        for language in f.Language:
            text = finding.text(language)
            assert text[0] != " "
            assert text.endswith(".")
            assert "{" not in text
            assert len(text) < 400
        assert finding.vi != finding.en


def test_every_kind_of_finding_happens() -> None:
    """A code that no message produces would be a promise nobody keeps."""
    happened = {code for quirk in QUIRKS for code in quirk.codes}

    assert sorted({kind.code for kind in f.KINDS} - happened) == []


def test_every_kind_is_said_in_both_languages() -> None:
    """Codes are unique and small; texts are sentences."""
    codes = [kind.code for kind in f.KINDS]

    assert len(set(codes)) == len(codes)
    assert all(code == code.lower() and code.isascii() for code in codes)
    assert all(kind.vi.endswith(".") and kind.en.endswith(".") for kind in f.KINDS)


def test_names_are_unique() -> None:
    """So that a row of the table is found again."""
    names = [quirk.name for quirk in QUIRKS]

    assert len(set(names)) == len(names)
    assert len(names) >= 90


def test_the_page_lists_them_all() -> None:
    """Every oddity and every kind of finding is a row."""
    page = quirks_table()

    assert all(f"| {html.escape(quirk.name, quote=False)} |" in page for quirk in QUIRKS)
    assert all(f"| `{kind.code}` |" in page for kind in f.KINDS)
    assert page.endswith(" |\n")
    assert "{" not in page
