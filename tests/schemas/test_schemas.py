"""The two schemas: `strict` takes what we write and nothing looser, `wire` takes what software really sends."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import xmlschema
from lxml import etree

from axis.core.model import BusinessType
from axis.edxml.reader import read_package
from schemas_xsd import Schema, SchemaError, SchemaName, element_path, schema, schema_source
from signing.errors import MessageError
from signing.skeleton import read_skeleton
from tests.edxml.builders import a_bussiness, a_status_package, altered, an_edoc_package, without
from tests.signing.builders import signed

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
"""Published sample messages, beside the checkout in CI and not part of it."""


def _root(package: bytes) -> etree._Element:
    return read_skeleton(package).tree()


def _errors(name: SchemaName, package: bytes) -> list[tuple[str, str]]:
    return [(error.path, error.en) for error in schema(name).errors(_root(package))]


_OURS = {
    **{
        f"type {kind.name}": an_edoc_package(bussiness=a_bussiness(kind, target="x-1"))
        for kind in BusinessType
    },
    "no Bussiness": an_edoc_package(bussiness=None),
    "no attachment": an_edoc_package(attachments=()),
    "signed": signed(an_edoc_package()),
    "signed status": signed(a_status_package("03")),
    **{
        f"status {code}": a_status_package(code)
        for code in ("01", "02", "03", "04", "05", "06", "13", "15", "16")
    },
}


@pytest.mark.parametrize("what", list(_OURS))
@pytest.mark.parametrize("name", list(SchemaName))
def test_what_we_write_follows_both(name: SchemaName, what: str) -> None:
    """Every kind of message the writer makes, signed or not."""
    assert _errors(name, _OURS[what]) == []


_E = "/edXML/edXMLEnvelope"
_H = f"{_E}/edXMLHeader/MessageHeader"


def _moved(package: bytes, element: str, *, before: str) -> bytes:
    text = package.decode()
    start = text.index(f"<{element}>")
    end = text.index(f"</{element}>", start) + len(f"</{element}>")
    piece, rest = text[start:end], text[:start] + text[end:]
    at = rest.index(f"<{before}>")
    return (rest[:at] + piece + rest[at:]).encode()


_DOC, _STATUS = an_edoc_package(), a_status_package("01")
_LOOSE: dict[str, tuple[bytes, list[tuple[str, str]]]] = {
    # What the wire has and we do not write: message, what `strict` says. `wire` says nothing.
    "order of the Java SDK": (
        _moved(_DOC, "edXML:DocumentId", before="edXML:Code"),
        [(f"{_H}/DocumentId", "<DocumentId> may not stand here, <To>, <Code> must")],
    ),
    "empty element": (
        altered(_DOC, "<edXML:SignerInfo>", "<edXML:SignerInfo><edXML:Competence/>", count=1),
        [
            (f"{_H}/SignerInfo/Competence[1]", "the value may not be empty"),
            (
                f"{_H}/SignerInfo/Competence[2]",
                "<Competence> may not stand here, <Position>, <FullName> must",
            ),
        ],
    ),
    "another date": (
        altered(_DOC, "2026/03/20", "20/03/2026"),
        [(f"{_H}/DueDate", "the value does not have the prescribed form")],
    ),
    "no code": (
        without(_DOC, "edXML:Code"),
        [(f"{_H}/PromulgationInfo", "<PromulgationInfo> may not stand here, <To>, <Code> must")],
    ),
    "an unknown element": (
        altered(_DOC, "<edXML:Subject>", "<edXML:Promulgator>x</edXML:Promulgator><edXML:Subject>"),
        [(f"{_H}/Promulgator", "<Promulgator> may not stand here, <Subject> must")],
    ),
    "text between elements": (
        altered(_DOC, "<edXML:Subject>", "abc<edXML:Subject>"),
        [(_H, "only elements may stand here, no text")],
    ),
    "an attribute": (
        altered(_DOC, "<edXML:From>", '<edXML:From nil="true">'),
        [(f"{_H}/From", "an attribute is not allowed")],
    ),
    "a number in words": (
        altered(_DOC, "Priority>0<", "Priority>khẩn<"),
        [(f"{_H}/OtherInfo/Priority", "the value must be a number")],
    ),
    "the other spelling": (
        altered(_DOC, "Bussiness>", "Business>"),
        [
            (
                f"{_E}/edXMLHeader/TraceHeaderList/Business",
                "<Business> may not stand here, <TraceHeader>, <Bussiness> must",
            )
        ],
    ),
    "a signature in the wrong namespace": (
        altered(_DOC, "</edXML:edXMLHeader>", "<Signature><SignedInfo/></Signature></edXML:edXMLHeader>"),
        [(f"{_E}/edXMLHeader/Signature", "<Signature> may not stand here")],
    ),
    "a manifest of another version": (
        altered(_DOC, 'version="1.0">', 'version="2.0">', count=1),
        [(f"{_E}/edXMLBody/edXMLManifest", "the structure is not that of the schema")],
    ),
    "one digit": (
        altered(_STATUS, "StatusCode>01<", "StatusCode>1<"),
        [(f"{_H}/StatusCode", "the value does not have the prescribed form")],
    ),
    "no time": (without(_STATUS, "edXML:Timestamp"), [(_H, "<MessageHeader> lacks <Timestamp>")]),
}


@pytest.mark.parametrize("what", list(_LOOSE))
def test_the_wire_is_looser_than_what_we_write(what: str) -> None:
    """Each habit of other software: `wire` takes it, `strict` names the place and the fault."""
    package, expected = _LOOSE[what]

    assert _errors(SchemaName.WIRE, package) == []
    assert expected == _errors(SchemaName.STRICT, package)


_CLOSED: dict[str, tuple[bytes, list[tuple[str, str]]]] = {
    "an element in the envelope": (
        altered(_DOC, "<edXML:edXMLBody>", "<edXML:Extra/><edXML:edXMLBody>"),
        [(f"{_E}/Extra", "<Extra> may not stand here")],
    ),
    "an element in the manifest": (
        altered(_DOC, "</edXML:edXMLManifest>", "<edXML:Extra/></edXML:edXMLManifest>"),
        [(f"{_E}/edXMLBody/edXMLManifest/Extra", "<Extra> may not stand here, <Reference> must")],
    ),
    "an element among the attachments": (
        altered(_DOC, "<AttachmentEncoded>", "<AttachmentEncoded><Extra/>"),
        [("/edXML/AttachmentEncoded/Extra", "<Extra> may not stand here, <Attachment> must")],
    ),
    "a foreign element among the attachments": (
        altered(_DOC, "<AttachmentEncoded>", '<AttachmentEncoded><Extra xmlns="urn:x"/>'),
        [("/edXML/AttachmentEncoded/Extra", "<Extra> may not stand here, <Attachment> must")],
    ),
    "an element after the attachments": (
        altered(_DOC, "</AttachmentEncoded>", "</AttachmentEncoded><Extra/>"),
        [("/edXML/Extra", "<Extra> may not stand here")],
    ),
    "text in the envelope": (
        altered(_DOC, "<edXML:edXMLBody>", "abc<edXML:edXMLBody>"),
        [(_E, "only elements may stand here, no text")],
    ),
    "an element in a text": (
        altered(_DOC, "<edXML:Subject>", "<edXML:Subject><edXML:b>x</edXML:b>"),
        [(f"{_H}/Subject", "only text may stand here, no elements")],
    ),
    "an element in the second receiver's code": (
        altered(_DOC, "000.00.00.H14</edXML:OrganId>", "000.00.00.H14<edXML:b/></edXML:OrganId>", count=1),
        [(f"{_H}/To[2]/OrganId", "only text may stand here, no elements")],
    ),
    "a business of another kind": (
        altered(_DOC, "BussinessDocType>0<", "BussinessDocType>4<"),
        [
            (
                f"{_E}/edXMLHeader/TraceHeaderList/Bussiness/BussinessDocType",
                "the value does not have the prescribed form",
            )
        ],
    ),
}


@pytest.mark.requirement("LR-36")
@pytest.mark.parametrize("what", list(_CLOSED))
def test_the_outer_structure_is_closed(what: str) -> None:
    """What two readers could read in two ways is refused by both schemas, with the place."""
    package, expected = _CLOSED[what]

    assert expected == _errors(SchemaName.WIRE, package)
    assert not schema(SchemaName.STRICT).accepts(_root(package))


def _judged_by_another(name: SchemaName) -> Callable[[etree._Element], bool]:
    other = xmlschema.XMLSchema10(schema_source(name).decode(), defuse="always", allow="none", locations=None)
    return lambda root: next(other.iter_errors(root, use_location_hints=False), None) is None


@pytest.mark.parametrize("name", list(SchemaName))
def test_another_implementation_agrees(name: SchemaName) -> None:
    """libxml2 judges at run time; the schemas mean the same to `xmlschema`."""
    accepts = _judged_by_another(name)
    messages = {**_OURS, **{what: one for what, (one, _) in itertools.chain(_LOOSE.items(), _CLOSED.items())}}

    differing = [
        what
        for what, package in messages.items()
        if accepts(_root(package)) != schema(name).accepts(_root(package))
    ]

    assert differing == []


def test_a_schema_that_a_message_points_to_is_not_used(tmp_path: Path) -> None:
    """The hint is not followed: neither does its schema bless the message, nor is anything read."""
    trap = tmp_path / "trap.xsd"
    trap.write_text(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:x">'
        '<xs:element name="Extra"/></xs:schema>'
    )
    hint = f'<edXML xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="urn:x {trap.as_uri()}" '
    pointing = altered(_DOC, "<edXML ", hint, count=1)
    wrong = altered(pointing, "<AttachmentEncoded>", '<AttachmentEncoded><Extra xmlns="urn:x"/>')

    assert _errors(SchemaName.WIRE, pointing) == []
    assert [path for path, _ in _errors(SchemaName.WIRE, wrong)] == ["/edXML/AttachmentEncoded/Extra"]
    assert "form.schema_hint" in {one.code for one in read_package(pointing).reading.oddities}


def test_errors_quote_names_and_no_text() -> None:
    """A receipt must not repeat the document: a wrong date is placed, not quoted; a long name is cut."""
    secret, long = "noi-dung-khong-lo-ra", "N" * 500
    package = altered(_DOC, "Date>2026/03/02", f"Date>{secret}")
    package = altered(package, "<edXML:Subject>", f"<edXML:{long}>{secret}</edXML:{long}><edXML:Subject>")

    found = schema(SchemaName.STRICT).errors(_root(package))

    assert len(found) == 2
    assert not any(secret in f"{one.path}{one.vi}{one.en}" for one in found)
    assert max(len(one.path) + len(one.en) for one in found) < 300


def test_the_list_of_faults_is_short() -> None:
    """However many there are: a receipt has room for twenty."""
    faults = "<edXML:To><edXML:OrganId><edXML:b/></edXML:OrganId></edXML:To>" * 500
    package = altered(_DOC, "<edXML:From>", f"{faults}<edXML:From>")

    found = schema(SchemaName.WIRE).errors(_root(package))

    assert len(found) == 20
    assert f"{_H}/To[20]/OrganId" == found[19].path


def test_threads_do_not_see_each_others_errors() -> None:
    """Messages are judged in threads; each hears of its own faults only."""
    judged = Schema(SchemaName.WIRE)
    roots = [_root(one) for one, _ in _CLOSED.values()]
    expected = [judged.errors(root) for root in roots]
    wrong: list[tuple[SchemaError, ...]] = []

    def judge(number: int) -> None:
        for _ in range(30):
            found = judged.errors(roots[number])
            if found != expected[number]:
                wrong.append(found)

    threads = [threading.Thread(target=judge, args=(number,)) for number in range(len(roots))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_paths_are_numbered_where_a_name_repeats() -> None:
    """As in findings: `To[2]`, but `From`."""
    root = _root(_DOC)
    paths = [element_path(element) for element in root.iter("{*}OrganId")]

    assert [f"{_H}/From/OrganId", f"{_H}/To[1]/OrganId", f"{_H}/To[2]/OrganId"] == paths[:3]


def _samples() -> Iterator[Path]:
    yield from sorted(SAMPLES.rglob("*.edxml"))


@pytest.mark.published_samples
def test_the_published_samples() -> None:
    """`wire` takes every sample that is well-formed; `strict` takes the one that an independent signer wrote."""
    roots: dict[str, etree._Element] = {}
    for path in _samples():
        try:
            roots[path.name] = _root(path.read_bytes())
        except MessageError:
            continue

    assert len(roots) >= 18, f"the samples are expected in {SAMPLES}"
    assert [name for name, root in roots.items() if not schema(SchemaName.WIRE).accepts(root)] == []
    assert [name for name, root in roots.items() if schema(SchemaName.STRICT).accepts(root)] == ["good.edxml"]
