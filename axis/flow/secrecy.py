"""
Marks of secrecy in a message, looked for where people write them (LR-02): edXML has no field for it.

Part of step 3, before anything of a message is stored. The patterns are data, `secrecy.toml` beside this file, with
what each must find and what none may find. A hit names the field and the pattern, never the text: nothing of the
content may stay in a ledger or a log. Only the header and the names of files are looked at, never into a file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum, unique
from functools import cache
from importlib import resources

from axis.edxml.message import Edoc, Message, Status
from axis.edxml.rules import HEADER, MANIFEST, TRACES, attachment_path, numbered
from axis.edxml.text import same_text

_END_CHARS = 200
"""A mark stands at an end of a text; what lies between is not searched, however long it is."""

_FILE_TAIL = re.compile(
    r"(?:\.[a-z0-9]{1,8}|[ ._-](?:signed|da[ _-]?ky|đã[ _-]?ký)|[ _-]?\([0-9]{1,3}\))$", re.IGNORECASE
)
"""What programs append to a file name: extensions, `_Signed`, ` (1)`."""


@unique
class TextKind(StrEnum):
    """What a text is used for: which patterns apply to it."""

    MARK = "mark"
    TITLE = "title"
    FILE = "file"
    REMARK = "remark"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A mark of secrecy. Tells where it was found and by what, and nothing of what it was found in."""

    field: str
    """Path in the message, as in findings."""
    pattern: str
    """Name of the pattern in `secrecy.toml`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One form of a mark."""

    name: str
    applies: frozenset[TextKind]
    regex: re.Pattern[str]
    unless: re.Pattern[str] | None = None
    """Finds what only looks like a mark."""

    def fits(self, text: str) -> bool:
        """Whether the text, in the form in which texts are compared, bears the mark."""
        if self.regex.search(text) is None:
            return False
        return self.unless is None or self.unless.search(text) is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patterns:
    """The content of `secrecy.toml`."""

    version: int
    patterns: tuple[Pattern, ...]

    def find(self, text: str, *, kind: TextKind) -> str | None:
        """Name of the first pattern that the text, as written, falls under as a text of that kind."""
        bare = same_text(text)
        if kind is TextKind.FILE:
            bare = _bare_name(bare)
        elif len(bare) > 2 * _END_CHARS:
            bare = f"{bare[:_END_CHARS]} … {bare[-_END_CHARS:]}"
        for pattern in self.patterns:
            if kind in pattern.applies and pattern.fits(bare):
                return pattern.name
        return None


@cache
def patterns() -> Patterns:
    """The patterns this release was built with."""
    return read_patterns(resources.files(__package__).joinpath("secrecy.toml").read_text("utf-8"))


def read_patterns(document: str) -> Patterns:
    """
    Read a file of patterns.

    Raises:
        KeyError, TypeError, ValueError: it is none; a broken release must not start.
    """
    table = tomllib.loads(document)
    words: dict[str, str] = table["words"]
    return Patterns(
        version=int(table["version"]),
        patterns=tuple(
            Pattern(
                name=str(entry["name"]),
                applies=frozenset(TextKind(kind) for kind in entry["applies"]),
                regex=_regex(entry["regex"], words),
                unless=_regex(entry["unless"], words) if "unless" in entry else None,
            )
            for entry in table["pattern"]
        ),
    )


def find_secrecy_mark(message: Message) -> Hit | None:
    """The first mark of secrecy in a message, in the order in which its fields are looked at."""
    found = patterns()
    for kind, field, text in _texts(message):
        if text:
            name = found.find(text, kind=kind)
            if name is not None:
                return Hit(field=field, pattern=name)
    return None


def _texts(message: Message) -> Iterator[tuple[TextKind, str, str]]:
    return _texts_of_status(message) if isinstance(message, Status) else _texts_of_edoc(message)


def _texts_of_edoc(edoc: Edoc) -> Iterator[tuple[TextKind, str, str]]:
    marks = [
        (f"{HEADER}/OtherInfo/SphereOfPromulgation", edoc.other.sphere_of_promulgation),
        (f"{HEADER}/DocumentType/TypeName", edoc.document_type.type_name),
    ]
    appendixes = edoc.other.appendixes
    for number, title in enumerate(appendixes, 1):
        marks.append((numbered(f"{HEADER}/OtherInfo/Appendixes/Appendix", number, appendixes), title))
    for field, text in marks:
        yield TextKind.MARK, field, text
        yield TextKind.TITLE, field, text
    yield TextKind.TITLE, f"{HEADER}/Subject", edoc.subject
    yield TextKind.TITLE, f"{HEADER}/Content", edoc.content
    yield TextKind.TITLE, f"{HEADER}/Code/CodeNotation", edoc.code.notation
    for number, line in enumerate(edoc.manifest, 1):
        path = numbered(f"{MANIFEST}/Reference", number, edoc.manifest)
        yield TextKind.FILE, f"{path}/AttachmentName", line.name
        yield TextKind.FILE, f"{path}/Description", line.description
    for number, attachment in enumerate(edoc.attachments, 1):
        path = attachment_path(number, edoc.attachments)
        yield TextKind.FILE, f"{path}/AttachmentName", attachment.name
        yield TextKind.FILE, f"{path}/Description", attachment.description
        yield TextKind.FILE, f"{path}/ContentTransferEncoded", attachment.zip_entry.rpartition("/")[2]
    if edoc.bussiness is not None:
        yield TextKind.REMARK, f"{TRACES}/Bussiness/BussinessDocReason", edoc.bussiness.reason


def _texts_of_status(status: Status) -> Iterator[tuple[TextKind, str, str]]:
    # The code of the document is not looked at: who answers a document that should not have come must be heard.
    yield TextKind.REMARK, f"{HEADER}/Description", status.description


def _bare_name(name: str) -> str:
    """A file name as a title: without what programs append, with spaces for underscores."""
    bare = name[-_END_CHARS:] if len(name) > 2 * _END_CHARS else name
    for _ in range(6):
        shorter = _FILE_TAIL.sub("", bare)
        if shorter == bare or not shorter:
            break
        bare = shorter
    head = name[:_END_CHARS] + " … " if len(name) > 2 * _END_CHARS else ""
    return same_text((head + bare).replace("_", " "))


def _regex(written: str, words: dict[str, str]) -> re.Pattern[str]:
    for word, meaning in words.items():
        written = written.replace(f"@{word}@", f"(?:{meaning})")
    return re.compile(written)
