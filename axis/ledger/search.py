"""
What a search compares: the words of a text and the shape of a document's code, both without marks and in lower case.

Written into columns by `axis.ledger.projections` and asked for by `axis.ledger.queries`, so that both databases find
the same: whole words, in any order. Vietnamese words are single syllables; `nghi dinh`, `NGHỊ ĐỊNH` and `nghị định`
(in any Unicode form) are one search. Nothing here knows SQL.
"""

from __future__ import annotations

import re

from axis.core.text import searchable

_BETWEEN_WORDS = re.compile(r"[\W_]+")


INDEXED = 200
"""How much of a text that others write goes into an index: PostgreSQL refuses entries above 2,700 bytes."""

_LONGEST_WORD = 64
"""Nobody searches for more, and an index entry has an end."""


def words(*parts: str) -> list[str]:
    """The words of a text, in order."""
    return [word[:_LONGEST_WORD] for word in _BETWEEN_WORDS.sub(" ", searchable(*parts)).split()]


def word_text(*parts: str) -> str:
    """What a column of words holds: one space between words, nothing else."""
    return " ".join(words(*parts))


def is_plain(text: str) -> bool:
    """Whether a text can be asked for in both databases and stand in a record: no NUL, no half characters."""
    return "\x00" not in text and not any("\ud800" <= one <= "\udfff" for one in text)


def code_of(number: str, notation: str) -> str:
    """`number/notation` as people write it; one of them alone when the other is missing."""
    return "/".join(part for part in (number, notation) if part)


def code_text(code: str) -> str:
    """The code as it is compared: `12/QĐ-TTg`, `12 / qđ-ttg` and `12/QD-TTG` are one."""
    return searchable(code).replace(" ", "")[:INDEXED]
