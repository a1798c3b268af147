"""
Walking over an element of a message: which children belong, what a leaf says, and every oddity on the way.

The reader's two hands. Knows the form of the format, not its meaning.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from lxml import etree

from axis.core.errors import AxisError
from axis.core.reasons import Detail, ReasonCode
from axis.edxml import findings as f
from axis.edxml.dates import read_date, read_time
from axis.edxml.message import NAMESPACE, WrittenDate, WrittenTime
from axis.edxml.organ_code import OrganCodeForm, parse_organ_code
from axis.edxml.text import INVISIBLE

XLINK = "{http://www.w3.org/1999/xlink}"
_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
_DSIG = "http://www.w3.org/2000/09/xmldsig#"
SPACE = " \t\r\n"
_NO_BREAK_SPACE = "\u00a0"
INTEGER = re.compile(r"-?[0-9]{1,9}")
_TRUE = frozenset({"1", "true"})
_FALSE = frozenset({"0", "false"})


class Unreadable(AxisError):
    """The bytes are no edXML message, or one that could be read in more than one way."""

    def __init__(self, problems: tuple[f.Finding, ...]) -> None:
        super().__init__("; ".join(f"{problem.path}: {problem.en}" for problem in problems))
        self.problems = problems

    @property
    def reason(self) -> ReasonCode:
        """The refusal: that of the first problem."""
        return self.problems[0].reason or ReasonCode.PARSE_NOT_EDXML

    @property
    def details(self) -> tuple[Detail, ...]:
        """Every problem with its place, as a recorded cause carries them."""
        return tuple(problem.detail for problem in self.problems)


class Notes:
    """Gathers findings; of each kind only so many, so that a hostile message cannot make work."""

    def __init__(self) -> None:
        self._kept: list[f.Finding] = []
        self._counts: dict[f.FindingKind, int] = {}
        self._last: dict[f.FindingKind, str] = {}

    def add(self, kind: f.FindingKind, where: Node | str, **facts: object) -> None:
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        path = where if isinstance(where, str) else where.path
        if count <= f.MOST_OF_A_KIND:
            self._kept.append(f.finding(kind, path, **facts))
        else:
            self._last[kind] = path

    def once(self, kind: f.FindingKind, where: Node, **facts: object) -> None:
        if kind not in self._counts:
            self.add(kind, where, **facts)

    def stop_if_refused(self) -> None:
        """Raise everything that makes the message unreadable."""
        problems = f.refusals(self.all())
        if problems:
            raise Unreadable(problems)

    def all(self) -> tuple[f.Finding, ...]:
        more = (
            f.finding(f.MORE_OF_THE_SAME, path, count=self._counts[kind] - f.MOST_OF_A_KIND, code=kind.code)
            for kind, path in self._last.items()
        )
        return (*self._kept, *more)


@dataclass(slots=True, kw_only=True)
class Node:
    """An element and where it stands; its path is made only when somebody asks."""

    element: etree._Element
    name: str
    above: Node | None = None
    number: int = 0
    """Among the elements of its name beside it; 0 if it is the only one."""
    children: dict[str, list[Node]] = field(default_factory=dict)

    @property
    def path(self) -> str:
        step = f"/{self.name}[{self.number}]" if self.number else f"/{self.name}"
        return step if self.above is None else self.above.path + step

    def one(self, name: str) -> Node | None:
        """The child of that name, once `_Reader.look` has made sure there is at most one."""
        found = self.children.get(name)
        return found[0] if found else None

    def all(self, name: str) -> list[Node]:
        return self.children.get(name, [])


class Walk:
    """Reads children and leaves, and notes what is odd about them."""

    def __init__(self, *, notes: Notes) -> None:
        self.notes = notes
        self.inside_envelope = False

    # Leaves.

    def text(self, node: Node, name: str) -> str:
        leaf = node.one(name)
        return "" if leaf is None else self.leaf(leaf)

    def texts(self, node: Node | None, name: str) -> tuple[str, ...]:
        if node is None:
            return ()
        return tuple(text for text in (self.leaf(leaf) for leaf in node.all(name)) if text)

    def leaf(self, leaf: Node, *, code: bool = False) -> str:
        element = leaf.element
        self.attributes(leaf)
        text = element.text or ""
        if len(element):
            # What a comment splits is one text, as canonical XML has it.
            text += "".join(child.tail or "" for child in element)
            for child in element:
                tag = name_of(child)
                if tag is None:
                    self.notes.add(f.COMMENT, leaf)
                else:
                    self.notes.add(f.ELEMENT_IN_TEXT, leaf, name=leaf.name, found=split(tag)[1])
        text = text.strip(SPACE)
        if not text:
            self.notes.add(f.EMPTY_ELEMENT, leaf, name=leaf.name)
        elif not text.isascii() and not code:
            if _NO_BREAK_SPACE in text or INVISIBLE.search(text):
                self.notes.add(f.INVISIBLE, leaf, name=leaf.name)
            if not unicodedata.is_normalized("NFC", text):
                self.notes.add(f.NOT_NFC, leaf, name=leaf.name)
        return text

    def organ_id(self, node: Node, *, silent: bool = False) -> str:
        leaf = node.one("OrganId")
        if leaf is None:
            if not silent:
                self.notes.add(f.CODE_MISSING, node)
            return ""
        return self.leaf_code(leaf)

    def leaf_code(self, leaf: Node) -> str:
        text = self.leaf(leaf, code=True)
        if not text:
            return ""
        code = parse_organ_code(text)
        if code.form is OrganCodeForm.MISSING:
            self.notes.add(f.NULL_CODE, leaf)
            return text
        if code.form is OrganCodeForm.NINE_CHARACTERS:
            self.notes.add(f.CODE_NINE, leaf, read=code.normal)
        elif code.form is OrganCodeForm.OTHER:
            self.notes.add(f.CODE_FORM, leaf, read=code.normal)
        if code.form is not OrganCodeForm.OTHER and code.was_cleaned:
            self.notes.add(f.CODE_CLEANED, leaf, read=code.normal)
        return text

    def date(self, node: Node, name: str) -> WrittenDate | None:
        text = self.text(node, name)
        if not text:
            return None
        written, oddity = read_date(text)
        if oddity is not None:
            self.notes.add(oddity, node.one(name) or node, found=text, read=written.iso)
        return written

    def time(self, node: Node, name: str) -> WrittenTime | None:
        text = self.text(node, name)
        if not text:
            return None
        written, oddity = read_time(text)
        if oddity is not None:
            self.notes.add(oddity, node.one(name) or node, found=text, read=written.value)
        return written

    def integer(self, node: Node, name: str) -> int | None:
        text = self.text(node, name)
        if not text:
            return None
        if not INTEGER.fullmatch(text):
            self.notes.add(f.NUMBER, node.one(name) or node, name=name, found=text)
            return None
        return int(text)

    def flag(self, node: Node, name: str, *, expected: str) -> bool | None:
        text = self.text(node, name)
        if not text:
            return None
        if text.lower() in _TRUE:
            return True
        if text.lower() in _FALSE:
            return False
        self.notes.add(f.FLAG, node.one(name) or node, name=name, found=text, expected=expected)
        return None

    # Form.

    def look(
        self,
        node: Node,
        known: Iterable[str],
        *,
        many: Iterable[str] = (),
        may_be_empty: bool = False,
        spelling: Callable[[str], str] | None = None,
    ) -> None:
        """Sort the children of `node` by name into `node.children`, reporting whatever does not belong."""
        names = frozenset(known)
        groups: dict[str, list[Node]] = {}
        self.attributes(node)
        self._stray_text(node, node.element.text)
        for child in node.element:
            self._stray_text(node, child.tail)
            tag = name_of(child)
            if tag is None:
                self.notes.add(f.COMMENT, node)
                continue
            namespace, written = split(tag)
            if namespace != NAMESPACE:
                if not (namespace == _DSIG and node.name == "edXMLHeader"):
                    self.notes.add(f.FOREIGN_ELEMENT, node, name=written)
                    empty(child)
                continue
            name = spelling(written) if spelling else written
            if name not in names:
                self.notes.add(f.UNKNOWN_ELEMENT, node, name=written)
                empty(child)
                continue
            found = Node(element=child, name=written, above=node)
            if name != written:
                self.notes.add(f.BUSINESS_SPELLING, found, found=written, expected=name)
            if self.inside_envelope and not child.prefix and name not in {"Signature", "DigitalSignature"}:
                self.notes.once(f.NO_PREFIX, found)
            groups.setdefault(name, []).append(found)
        allowed = frozenset(many)
        for name, found_nodes in groups.items():
            if len(found_nodes) > 1:
                for number, found in enumerate(found_nodes, 1):
                    found.number = number
                if name not in allowed:
                    self.notes.add(f.REPEATED_ELEMENT, found_nodes[1], name=name, count=len(found_nodes))
        node.children = groups
        if not may_be_empty and len(node.element) == 0:
            self.notes.add(f.EMPTY_ELEMENT, node, name=node.name)

    def _stray_text(self, node: Node, text: str | None) -> None:
        if text and text.strip(SPACE):
            self.notes.add(f.STRAY_TEXT, node, name=node.name)

    def attributes(self, node: Node) -> None:
        if not node.element.attrib:
            return
        for name in node.element.keys():  # noqa: SIM118 - an element iterates over its children
            attribute = str(name)
            if attribute == "Id" or (attribute == "version" and node.name == "edXMLManifest"):
                continue
            if attribute.startswith(XLINK) and node.name == "Reference":
                continue
            short = split(attribute)[1]
            if attribute.startswith(_XSI) and short in {"schemaLocation", "noNamespaceSchemaLocation"}:
                self.notes.add(f.SCHEMA_HINT, node, name=short)
            else:
                self.notes.add(f.ATTRIBUTE, node, name=short)

    def order(self, node: Node, *orders: tuple[str, ...]) -> None:
        names = names_of(node.element)
        if not any(follows(names, order) for order in orders):
            self.notes.add(f.ORDER, node, name=node.name)

    def unprefixed(self, node: Node) -> None:
        if node.element.prefix:
            self.notes.once(f.ATTACHMENT_PREFIX, node, name=node.name)


def empty(element: etree._Element) -> None:
    """
    Leave nothing inside an element that nobody reads, in this reading's own copy of the message.

    Otherwise the schema would look into it, and spend seconds on what a hostile sender put there.
    """
    del element[:]


def follows(names: Iterable[str], order: tuple[str, ...]) -> bool:
    """Whether the names come in that order; names it does not know do not count."""
    last = 0
    for name in names:
        if name in order:
            place = order.index(name)
            if place < last:
                return False
            last = place
    return True


def name_of(element: etree._Element) -> str | None:
    """The whole name of an element; nothing for a comment or a processing instruction."""
    # lxml gives a function as the tag of those, which its stubs do not know.
    tag: object = element.tag
    return tag if isinstance(tag, str) else None


def names_of(element: etree._Element) -> list[str]:
    """Local names of its children in their order."""
    return [split(name)[1] for name in map(name_of, element) if name is not None]


def split(tag: str) -> tuple[str, str]:
    namespace, _, name = tag.rpartition("}")
    return namespace.removeprefix("{"), name


def spelling_of_the_format(name: str) -> str:
    """`Business…`, as some spell it, is `Bussiness…`, as the format has it."""
    return "Bussiness" + name.removeprefix("Business") if name.startswith("Business") else name
