"""Text as people search for it: without marks, in lower case; the stored text stays as written."""

from __future__ import annotations

import unicodedata

_UNMARKED = str.maketrans({"đ": "d", "Đ": "d"})


def searchable(*parts: str) -> str:
    """Lower case, marks stripped, đ as d, zero-width characters gone, one space between words."""
    text = unicodedata.normalize("NFD", " ".join(parts).translate(_UNMARKED)).lower()
    kept = "".join(one for one in text if unicodedata.category(one) not in {"Mn", "Cf"})
    return " ".join(kept.split())


def printable(text: str, *, most: int) -> str:
    """At most `most` characters, with what no database or terminal should be given replaced (NUL, controls, surrogates)."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(one) in {"Cc", "Cs"} else one
        for one in text[:most]
    )
