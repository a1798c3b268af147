"""
Which organ a mistyped code may have meant: for the words of a refusal, never for a decision.

Compared with every code of the directory, by a library that does it in C: 120,000 of them in some hundredths of a
second, and no message has more than a few of its receivers compared.
"""

from __future__ import annotations

from rapidfuzz import process
from rapidfuzz.distance import OSA

from axis.core.directory import Directory, Organ

_ALIKE = 0.6
"""Of 1: less is another code, no slip of the hand."""
_LONGEST = 64


def nearest(directory: Directory, code: str, *, most: int = 3) -> tuple[Organ, ...]:
    """Organs whose codes look like a mistyped `code` (normal form), best first, each once."""
    found = process.extract(
        code[:_LONGEST],
        list(directory.codes),
        scorer=OSA.normalized_similarity,
        score_cutoff=_ALIKE,
        limit=2 * most,
    )
    organs = {directory.codes[known][0]: None for known, _, _ in found}
    return tuple(directory.organs[number] for number in list(organs)[:most])
