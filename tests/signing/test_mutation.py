"""
Structural mutation: nodes and attributes of a signed message moved, doubled, renamed, retyped, taken away.

Whatever is done to it, the verdict is a refusal, or what comes out is byte for byte what was signed. Nobody has to
think of an attack for it to be tried.
"""

from collections import Counter
from copy import deepcopy
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from signing.reasons import Tier
from signing.verify import SignedContent
from tests.signing.builders import (
    DS,
    NS,
    XADES,
    Surgery,
    a_document,
    a_status,
    good,
    signed,
    verdict,
)

OUTCOMES: Counter[str] = Counter()
"""How many mutations ended how; written into docs/signing-tests.md by tests.signing.evidence."""


@cache
def subjects() -> tuple[bytes, ...]:
    return good(), signed(a_document(bussiness=False)), signed(a_status())


@cache
def signed_parts(message: bytes) -> SignedContent:
    content = verdict(message).signed
    assert content is not None
    return content


def names(root: etree._Element) -> list[str]:
    return sorted({str(e.tag) for e in root.iter(etree.Element)})


def values(root: etree._Element) -> list[str]:
    return sorted({str(v) for e in root.iter(etree.Element) for v in e.attrib.values()} | {"", "#mh", "mh"})


class Mutator:
    """Draws one change after the other and makes it."""

    KINDS = (
        "move",
        "copy",
        "delete",
        "rename",
        "renamespace",
        "swap",
        "wrap",
        "set attribute",
        "drop attribute",
        "rename attribute",
        "text",
        "tail",
        "move text",
        "comment",
        "instruction",
    )

    def __init__(self, root: etree._Element, data: st.DataObject) -> None:
        self.root = root
        self.draw = data.draw

    def change(self) -> str:
        kind = self.draw(st.sampled_from(self.KINDS), label="kind")
        getattr(self, "_" + kind.replace(" ", "_"))()
        return kind

    def _any(self, label: str, *, inner: bool = False) -> etree._Element:
        elements = list(self.root.iter(etree.Element))
        return elements[self.draw(st.integers(int(inner), len(elements) - 1), label=label)]

    def _put(self, element: etree._Element) -> None:
        target = self._any("into")
        if element in (target, *target.iterancestors()):
            return
        target.insert(self.draw(st.integers(0, len(target)), label="place"), element)

    def _move(self) -> None:
        self._put(self._any("node", inner=True))

    def _copy(self) -> None:
        twin = deepcopy(self._any("node", inner=True))
        if self.draw(st.booleans(), label="without Id"):
            for element in twin.iter(etree.Element):
                element.attrib.pop("Id", "")
        self._put(twin)

    def _delete(self) -> None:
        element = self._any("node", inner=True)
        parent = element.getparent()
        assert parent is not None
        parent.remove(element)

    def _rename(self) -> None:
        self._any("node").tag = self.draw(st.sampled_from(names(self.root)), label="name")

    def _renamespace(self) -> None:
        element = self._any("node")
        namespace = self.draw(st.sampled_from([NS, DS, XADES, "", "urn:x"]), label="namespace")
        local = str(element.tag).rpartition("}")[2]
        element.tag = f"{{{namespace}}}{local}" if namespace else local

    def _swap(self) -> None:
        one, other = self._any("one", inner=True), self._any("other", inner=True)
        if one in other.iter() or other in one.iter():
            return
        mark = etree.Element("mark")
        for old, new in ((one, mark), (other, one), (mark, other)):
            parent = old.getparent()
            assert parent is not None
            parent.replace(old, new)

    def _wrap(self) -> None:
        element = self._any("node", inner=True)
        parent = element.getparent()
        assert parent is not None
        holder = etree.Element(self.draw(st.sampled_from(names(self.root)), label="in"))
        parent.replace(element, holder)
        holder.append(element)

    def _set_attribute(self) -> None:
        name = self.draw(
            st.sampled_from(
                [
                    "Id",
                    "ID",
                    "id",
                    "{http://www.w3.org/XML/1998/namespace}id",
                    "URI",
                    "Type",
                    "Algorithm",
                    "x",
                ]
            ),
            label="attribute",
        )
        self._any("node").set(name, self.draw(st.sampled_from(values(self.root)), label="value"))

    def _attribute(self) -> tuple[etree._Element, str]:
        found = [(e, str(n)) for e in self.root.iter(etree.Element) for n in e.attrib]
        return (
            found[self.draw(st.integers(0, len(found) - 1), label="attribute")] if found else (self.root, "")
        )

    def _drop_attribute(self) -> None:
        element, name = self._attribute()
        if name:
            element.attrib.pop(name)

    def _rename_attribute(self) -> None:
        element, name = self._attribute()
        value = element.attrib.pop(name) if name else ""
        element.set(self.draw(st.sampled_from(["id", "ID", "Id", "URI", "Target", "y"]), label="as"), value)

    def _text(self) -> None:
        text = self.draw(st.sampled_from(["", " ", "x", "QQ==", "0", "01"]), label="text")
        self._any("node").text = text

    def _tail(self) -> None:
        self._any("node", inner=True).tail = self.draw(st.sampled_from(["", "\n", "x"]), label="tail")

    def _move_text(self) -> None:
        one, other = self._any("one"), self._any("other")
        one.text, other.text = other.text, one.text

    def _comment(self) -> None:
        self._put_node(etree.Comment(" x "))

    def _instruction(self) -> None:
        self._put_node(etree.ProcessingInstruction("x", "y"))

    def _put_node(self, node: etree._Element) -> None:
        target = self._any("into")
        target.insert(self.draw(st.integers(0, len(target)), label="place"), node)


def judge_mutant(message: bytes, mutant: bytes, what: str) -> None:
    judged = verdict(mutant)
    OUTCOMES[f"{what}: {judged.tier.value}"] += 1

    if judged.tier is Tier.PASSED:
        assert judged.signed is not None
        original = signed_parts(message)
        assert (
            judged.signed.header,
            judged.signed.body,
            judged.signed.bussiness,
            judged.signed.properties,
        ) == (
            original.header,
            original.body,
            original.bussiness,
            original.properties,
        )
        assert {(a.content_id, a.name, a.sha256) for a in judged.signed.attachments} == {
            (a.content_id, a.name, a.sha256) for a in original.attachments
        }
    elif judged.tier is not Tier.FAILED:
        # Nothing of the signature may be left that could be taken for one.
        assert judged.signed is None


@pytest.mark.parametrize("subject", [0, 1, 2])
@given(data=st.data())
@settings(max_examples=400, suppress_health_check=list(HealthCheck))
def test_no_mutation_passes_with_other_content(subject: int, data: st.DataObject) -> None:
    """One to three changes to a document, a document without business, a status."""
    message = subjects()[subject]
    surgery = Surgery(message)
    mutator = Mutator(surgery.root, data)

    kinds = [
        mutator.change()
        for _ in range(data.draw(st.integers(1, 3), label="changes"))
        if surgery.root.find("*") is not None  # a change before may have left nothing but a comment
    ]

    judge_mutant(message, surgery.close(), kinds[0])


@pytest.mark.parametrize("subject", [0, 1, 2])
def test_every_single_move_and_copy_is_refused_or_harmless(subject: int) -> None:
    """All of them: every element before every other, moved and copied, the copy with and without its Ids."""
    message = subjects()[subject]
    count = len(list(Surgery(message).root.iter(etree.Element)))
    tried = 0

    for source in range(1, count):
        for target in range(0, count, 1 if subject == 2 else 4):
            for copied, bare in ((False, False), (True, True)):
                surgery = Surgery(message)
                elements = list(surgery.root.iter(etree.Element))
                element, into = elements[source], elements[target]
                if element in (into, *into.iterancestors()):
                    continue
                element = deepcopy(element) if copied else element
                for inner in element.iter(etree.Element) if bare else ():
                    inner.attrib.pop("Id", "")
                into.insert(0, element)
                judge_mutant(message, surgery.close(), "copy" if copied else "move")
                tried += 1

    assert tried > 500
