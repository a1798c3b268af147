"""
Finding organs by name, with marks or without, among a hundred thousand: one text to look through, made once.

All names stand in one string, a line each. The rarest word is looked for in it, and the line it is found in must hold
the others. Whoever types marks means them: organs that have them as typed come first.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from axis.core.directory import Organ
from axis.core.text import searchable

MOST_CHARACTERS = 200
ENOUGH = 5_000
"""Lines with every word after which marks as typed are not looked for any longer, when there is enough to show."""


@dataclass(frozen=True, slots=True, eq=False)
class OrganIndex:
    """The names and codes of some organs, ready to be looked through."""

    organs: tuple[Organ, ...]
    text: str
    """`searchable` lines, each begun and ended by a line break."""
    starts: tuple[int, ...]
    """Where the line of each organ begins."""

    @classmethod
    def of(cls, organs: Iterable[Organ]) -> OrganIndex:
        """Seconds for 120,000 organs: made once for each version of the directory, outside the event loop."""
        kept = tuple(sorted(organs, key=lambda one: (len(one.code), one.code)))
        lines = [searchable(one.name, *(one.aliases or (one.code,))) for one in kept]
        starts, at = [], 1
        for line in lines:
            starts.append(at)
            at += len(line) + 1
        return cls(kept, "\n" + "\n".join(lines) + "\n", tuple(starts))

    def search(self, text: str, *, most: int = 20) -> tuple[Organ, ...]:
        """
        Organs whose name or codes hold every word of `text`, shortest codes first.

        Words are compared without marks; among those found, the ones that hold the text's marks as typed come first.
        """
        typed = text[:MOST_CHARACTERS]
        words = sorted(set(searchable(typed).split()), key=self.text.count)
        if not words:
            return ()
        marked = [word for word in _lowered(typed).split() if not word.isascii()]
        exact: list[Organ] = []
        others: list[Organ] = []
        for found, organ in enumerate(self._lines_with(words)):
            name = _lowered(organ.name) if marked else ""
            if all(word in name for word in marked):
                exact.append(organ)
                if len(exact) == most:
                    break
            elif len(others) < most:
                others.append(organ)
            elif found >= ENOUGH:
                break
        return tuple([*exact, *others][:most])

    def _lines_with(self, words: list[str]) -> Iterator[Organ]:
        rarest, *rest = words
        at = self.text.find(rarest)
        while at >= 0:
            position = bisect_right(self.starts, at) - 1
            end = self.text.index("\n", at)
            line = self.text[self.starts[position] : end]
            if all(word in line for word in rest):
                yield self.organs[position]
            at = self.text.find(rarest, end)


def _lowered(text: str) -> str:
    return unicodedata.normalize("NFC", text).lower()
