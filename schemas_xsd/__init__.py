"""
The schemas of edXML, compiled once per process: `wire` for what is taken, `strict` for what is written.

libxml2 answers yes or no in some fifty microseconds, and says after a no what is wrong and where. Documents never
bring a schema of their own: hints in them are not followed. See PROVENANCE.md.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum, unique
from functools import cache
from importlib import resources
from threading import Lock
from types import MappingProxyType
from typing import Protocol, cast

from lxml import etree

_MOST_ERRORS = 20
_LONGEST_NAME = 40


@unique
class SchemaName(StrEnum):
    """The schemas there are."""

    WIRE = "wire"
    """What the axis takes."""
    STRICT = "strict"
    """What the axis writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaError:
    """One place where a message departs from a schema. Quotes names of elements, never their text."""

    path: str
    vi: str
    en: str


class _Entry(Protocol):
    """What libxml2 says of one departure."""

    type_name: str
    path: str | None
    message: str


class Schema:
    """One schema, ready to judge trees made by the hardened parser."""

    def __init__(self, name: SchemaName) -> None:
        source = etree.XML(schema_source(name), _PARSER)
        self.name = name
        self._judging = etree.XMLSchema(source)
        # A second one, because a schema keeps the errors of its last message and threads judge at the same time.
        self._explaining = etree.XMLSchema(source)
        self._one_at_a_time = Lock()

    def accepts(self, root: etree._Element) -> bool:
        """Yes or no."""
        return bool(self._judging.validate(root))

    def errors(self, root: etree._Element) -> tuple[SchemaError, ...]:
        """
        Every departure with its place, at most twenty.

        Time grows with the square of the faults in one place: of a stranger's message, parts that nobody reads should
        have been emptied before.
        """
        if self.accepts(root):
            return ()
        with self._one_at_a_time:
            self._explaining.validate(root)
            # The stubs of lxml do not say what a log holds.
            log = cast("Iterable[_Entry]", self._explaining.error_log)
            entries = list(itertools.islice(log, _MOST_ERRORS))
        return tuple(_said(entry, _at(root, entry.path)) for entry in entries)


_COMPILING = Lock()


def schema(name: SchemaName) -> Schema:
    """The compiled schema; the first call in a process compiles it."""
    # One thread at a time: libxml2 makes its table of built-in types at the first schema it compiles, looks unguarded
    # whether it is there, and lxml compiles beside other threads. Two that came first together could end the process.
    with _COMPILING:
        return _compiled(name)


@cache
def _compiled(name: SchemaName) -> Schema:
    return Schema(name)


def schema_source(name: SchemaName) -> bytes:
    """The bytes of the schema, for vendors who want to check their messages before they send them."""
    return resources.files(__package__).joinpath(f"edxml-{name}.xsd").read_bytes()


def element_path(element: etree._Element) -> str:
    """Local names from the root down, numbered where a name repeats: `/edXML/…/To[2]/OrganId`."""
    steps: list[str] = []
    current: etree._Element | None = element
    while current is not None:
        name = _short(etree.QName(current).localname)
        before = sum(1 for _ in current.itersiblings(current.tag, preceding=True))
        after = next(current.itersiblings(current.tag), None)
        steps.append(f"{name}[{before + 1}]" if before or after is not None else name)
        current = current.getparent()
    return "/" + "/".join(reversed(steps))


_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
_STEP = re.compile(r"(?:(?P<prefix>[^:\[]+):)?(?P<name>[^\[]+)(?:\[(?P<number>[0-9]+)\])?")
_WRONG = re.compile(r"Element '(?:\{[^}]*\})?(?P<name>[^']+)'")
_EXPECTED = re.compile(r"Expected is (?:one of )?\((?P<names>.*)\)")
_IN_A_NAMESPACE = re.compile(r"\{[^}]*\}(?P<name>[^\s,}]+)")
_TEXTS: MappingProxyType[str, tuple[str, str]] = MappingProxyType(
    {
        "SCHEMAV_CVC_PATTERN_VALID": (
            "giá trị không đúng khuôn dạng",
            "the value does not have the prescribed form",
        ),
        "SCHEMAV_CVC_ENUMERATION_VALID": (
            "giá trị không nằm trong danh sách cho phép",
            "the value is not one of those allowed",
        ),
        "SCHEMAV_CVC_MINLENGTH_VALID": ("không được để trống", "the value may not be empty"),
        "SCHEMAV_CVC_DATATYPE_VALID_1_2_1": ("phải là một số", "the value must be a number"),
        "SCHEMAV_CVC_COMPLEX_TYPE_2_2": (
            "chỉ được chứa chữ, không được chứa phần tử",
            "only text may stand here, no elements",
        ),
        "SCHEMAV_CVC_TYPE_3_1_2": (
            "chỉ được chứa chữ, không được chứa phần tử",
            "only text may stand here, no elements",
        ),
        "SCHEMAV_CVC_COMPLEX_TYPE_2_3": (
            "chỉ được chứa phần tử, không được chứa chữ",
            "only elements may stand here, no text",
        ),
        "SCHEMAV_CVC_TYPE_3_1_1": ("có thuộc tính không được phép", "an attribute is not allowed"),
        "SCHEMAV_CVC_COMPLEX_TYPE_3_2_1": ("có thuộc tính không được phép", "an attribute is not allowed"),
    }
)
_OTHERWISE = ("cấu trúc không đúng lược đồ", "the structure is not that of the schema")


def _at(root: etree._Element, path: str | None) -> etree._Element:
    """
    The element a path of libxml2 leads to, `/*/edXML:edXMLEnvelope/*[2]`, or the last one on the way that is found.

    Such a step counts the siblings of its whole name, or all of them where it says `*`.
    """
    found = root
    for step in (path or "").split("/")[2:]:
        match = _STEP.fullmatch(step)
        if match is None:
            break
        fitting = [
            child
            for child in found.iterchildren("*")
            if match["name"] == "*"
            or (child.prefix == match["prefix"] and etree.QName(child).localname == match["name"])
        ]
        number = int(match["number"] or 1)
        if number > len(fitting):
            break
        found = fitting[number - 1]
    return found


def _said(entry: _Entry, element: etree._Element) -> SchemaError:
    path = element_path(element)
    if entry.type_name != "SCHEMAV_ELEMENT_CONTENT":
        vi, en = _TEXTS.get(entry.type_name, _OTHERWISE)
        return SchemaError(path=path, vi=vi, en=en)
    named, expectation = _WRONG.match(entry.message), _EXPECTED.search(entry.message)
    name = _short(named["name"]) if named else ""
    names = _IN_A_NAMESPACE.findall(expectation["names"]) if expectation else []
    expected = ", ".join(f"<{_short(one)}>" for one in names if one != "*")
    if "Missing child" in entry.message:
        return SchemaError(path=path, vi=f"<{name}> thiếu {expected}", en=f"<{name}> lacks {expected}")
    if expected:
        return SchemaError(
            path=path,
            vi=f"<{name}> không được đứng ở đây, phải là {expected}",
            en=f"<{name}> may not stand here, {expected} must",
        )
    return SchemaError(path=path, vi=f"<{name}> không được đứng ở đây", en=f"<{name}> may not stand here")


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "…"
