"""The pages about signatures say what the code does."""

import re

from signing.reasons import EXPLANATIONS
from tests.signing.pages import FOLDER, reasons_page


def test_the_table_of_reasons_is_that_of_the_code() -> None:
    """Else run `python -m tests.signing.pages`."""
    assert (FOLDER / "signing-reasons.md").read_text("utf-8") == reasons_page()


def test_every_rule_stands_on_the_page() -> None:
    """One to thirty, once each, and no reason names another."""
    page = (FOLDER / "signing.md").read_text("utf-8")

    rules = [int(number) for number in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)]

    assert rules == list(range(1, 31))
    assert {e.rule for e in EXPLANATIONS.values()} <= {0, *rules}


def test_every_link_between_the_pages_leads_somewhere() -> None:
    """Of the pages about signatures."""
    broken = [
        (page.name, link)
        for page in FOLDER.glob("signing*.md")
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
        if not (FOLDER / link).exists()
    ]

    assert broken == []
