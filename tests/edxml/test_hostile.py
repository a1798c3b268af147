"""Bytes that mean harm, and bytes that mean nothing: each is refused for its own reason, in bounded time and memory."""

from __future__ import annotations

import io
import json
import re
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pybase64
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from axis.core.reasons import ReasonCode
from axis.edxml import findings as f
from axis.edxml import rules
from axis.edxml.fingerprint import content_digest
from axis.edxml.inspect import inspect_file
from axis.edxml.message import Edoc
from axis.edxml.reader import Unreadable, read_package
from axis.flow.secrecy import find_secrecy_mark
from tests.edxml.builders import (
    SENT_AT,
    a_pdf,
    a_status_package,
    altered,
    an_attachment,
    an_edoc_package,
    parties,
    without,
)
from tests.edxml.quirks import QUIRKS, judge
from tests.signing.builders import signed

_DOC = an_edoc_package()
_STATUS = a_status_package("03")
_SIGNED = signed(_DOC)
_NS = "http://www.mic.gov.vn/TBT/QCVN_102_2016"
_B64 = pybase64.b64encode(a_pdf()).decode()
_R = ReasonCode


def _prolog(declarations: str) -> bytes:
    return altered(_DOC, "<edXML xmlns", f"<!DOCTYPE edXML {declarations}><edXML xmlns", count=1)


def _bomb() -> str:
    """Ten entities, each ten times the one before: ten thousand million characters."""
    steps = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    return f'[<!ENTITY e0 "aaaaaaaaaa">{steps}]'


def _many(name: str) -> str:
    return " ".join(f'{name.format(number)}="urn:{number}"' for number in range(65))


_REFUSED: dict[str, tuple[bytes, ReasonCode]] = {
    "nothing": (b"", _R.PARSE_NOT_XML),
    "white space": (b" \r\n\t", _R.PARSE_NOT_XML),
    "a PDF": (a_pdf(), _R.PARSE_NOT_XML),
    "JSON": (b'{"edXML": {}}', _R.PARSE_NOT_XML),
    "compressed": (b"\x1f\x8b\x08\x00\x00\x00\x00\x00", _R.PARSE_NOT_XML),
    "half a message": (_DOC[: len(_DOC) // 2], _R.PARSE_NOT_XML),
    "two messages": (_DOC + _DOC, _R.PARSE_NOT_XML),
    "text after the message": (_DOC + b"x", _R.PARSE_NOT_XML),
    "a null character": (altered(_DOC, "V/v", "V\0v"), _R.PARSE_NOT_XML),
    "a reference to a null character": (altered(_DOC, "V/v", "V&#0;v"), _R.PARSE_NOT_XML),
    "an undefined entity": (altered(_DOC, "V/v", "&xxe;"), _R.PARSE_NOT_XML),
    "an unbound prefix": (altered(_DOC, "<edXML:Subject>", "<x:y/><edXML:Subject>"), _R.PARSE_NOT_XML),
    "an attribute twice": (
        altered(_DOC, "<edXML:From>", '<edXML:From a="1" a="2">'),
        _R.PARSE_NOT_XML,
    ),
    "XML 1.1": (altered(_DOC, 'version="1.0" encoding', 'version="1.1" encoding'), _R.PARSE_NOT_XML),
    "a DTD inside": (_prolog("[<!ELEMENT edXML ANY>]"), _R.PARSE_DOCTYPE),
    "a DTD outside": (_prolog('SYSTEM "http://127.0.0.1:9/edxml.dtd"'), _R.PARSE_DOCTYPE),
    "a default for an attribute": (_prolog('[<!ATTLIST edXML Id CDATA "mh">]'), _R.PARSE_DOCTYPE),
    "a parameter entity": (_prolog('[<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]'), _R.PARSE_DOCTYPE),
    "a file as an entity": (
        altered(_prolog('[<!ENTITY xxe SYSTEM "file:///etc/passwd">]'), "V/v", "&xxe;"),
        _R.PARSE_DOCTYPE,
    ),
    "an entity bomb": (altered(_prolog(_bomb()), "V/v", "&e9;"), _R.PARSE_DOCTYPE),
    "one large entity used often": (
        altered(_prolog(f'[<!ENTITY a "{"a" * 100_000}">]'), "V/v", "&a;" * 10_000),
        _R.PARSE_DOCTYPE,
    ),
    "UTF-16 with its mark": (_DOC.decode().encode("utf-16"), _R.PARSE_ENCODING),
    "UTF-16 without": (_DOC.decode().encode("utf-16-le"), _R.PARSE_ENCODING),
    "UTF-32": (_DOC.decode().encode("utf-32"), _R.PARSE_ENCODING),
    "EBCDIC": ('<?xml version="1.0"?><edXML/>'.encode("cp037"), _R.PARSE_ENCODING),
    "another encoding declared": (altered(_DOC, 'encoding="UTF-8"', 'encoding="UTF-7"'), _R.PARSE_ENCODING),
    "another encoding used": (_DOC.replace("bản".encode(), b"b\xe4n"), _R.PARSE_ENCODING),
    "an overlong form of <": (_DOC.replace(b"V/v", b"V\xc0\xbcv"), _R.PARSE_ENCODING),
    "half of a surrogate pair": (_DOC.replace(b"V/v", b"V\xed\xa0\x80v"), _R.PARSE_ENCODING),
    "another root": (b"<html><body>x</body></html>", _R.PARSE_NOT_EDXML),
    "another namespace": (altered(_DOC, _NS, "urn:x"), _R.PARSE_NOT_EDXML),
    "an envelope in another namespace": (
        altered(_DOC, f'edXMLEnvelope xmlns:edXML="{_NS}"', 'edXMLEnvelope xmlns:edXML="urn:x"'),
        _R.PARSE_NOT_EDXML,
    ),
    "two headers": (
        altered(_DOC, "</edXML:MessageHeader>", "</edXML:MessageHeader><edXML:MessageHeader/>"),
        _R.PARSE_NOT_EDXML,
    ),
    "two envelopes": (
        altered(_DOC, "</edXML:edXMLEnvelope>", "</edXML:edXMLEnvelope><edXMLEnvelope/>"),
        _R.PARSE_NOT_EDXML,
    ),
    "two subjects": (
        altered(_DOC, "</edXML:Subject>", "</edXML:Subject><edXML:Subject>x</edXML:Subject>"),
        _R.PARSE_NOT_EDXML,
    ),
    "a fifth kind of business": (altered(_DOC, "DocType>0<", "DocType>4<"), _R.PARSE_BUSINESS_TYPE),
    "a kind of business in words": (altered(_DOC, "DocType>0<", "DocType>new<"), _R.PARSE_BUSINESS_TYPE),
    "20,001 elements": (
        altered(_DOC, "<edXML:Subject>", "<edXML:x/>" * 20_000 + "<edXML:Subject>", count=1),
        _R.PARSE_LIMITS,
    ),
    "10,000 receivers": (
        altered(_DOC, "<edXML:To>", "<edXML:To><edXML:OrganId/></edXML:To>" * 10_000 + "<edXML:To>", count=1),
        _R.PARSE_LIMITS,
    ),
    "33 levels": (
        altered(_DOC, "<edXML:Subject>", "<edXML:x>" * 40 + "</edXML:x>" * 40 + "<edXML:Subject>", count=1),
        _R.PARSE_LIMITS,
    ),
    "65 attributes": (
        altered(_DOC, "<edXML:From>", f"<edXML:From {_many('a{}')}>"),
        _R.PARSE_LIMITS,
    ),
    "65 namespaces": (
        altered(_DOC, "<edXML:From>", f"<edXML:From {_many('xmlns:n{}')}>"),
        _R.PARSE_LIMITS,
    ),
    "a subject of 5 MB": (altered(_DOC, "V/v", "v" * 5_000_000, count=1), _R.PARSE_LIMITS),
    "an attribute of 5 MB": (
        altered(_DOC, "<edXML:From>", f'<edXML:From a="{"v" * 5_000_000}">'),
        _R.PARSE_LIMITS,
    ),
    "27 attachments": (
        an_edoc_package(attachments=tuple(an_attachment(content_id=f"c{n}") for n in range(27))),
        _R.PARSE_LIMITS,
    ),
    "no receivers": (without(without(_DOC, "edXML:To"), "edXML:To"), _R.VALIDATE_NO_RECEIVER),
    "duplicate receivers": (
        an_edoc_package(receivers=parties("G22", "000.00.00.H41", "g22 ")),
        _R.VALIDATE_DUPLICATE_RECEIVER,
    ),
    "listed and missing": (without(_DOC, "AttachmentEncoded"), _R.VALIDATE_ATTACHMENT_MISSING),
    "there and not listed": (without(_DOC, "edXML:Reference"), _R.VALIDATE_ATTACHMENT_UNLISTED),
    "listed twice": (
        altered(an_edoc_package(attachments=(an_attachment(), an_attachment(content_id="c1"))), "c1<", "c0<"),
        _R.VALIDATE_ATTACHMENT_TWICE,
    ),
    "base64 with other characters": (altered(_DOC, _B64, "!!!!"), _R.VALIDATE_BASE64),
    "base64 with padding inside": (altered(_DOC, _B64, "AA==AAAA"), _R.VALIDATE_BASE64),
    "base64 with markup inside": (altered(_DOC, _B64, "AAAA<x/>AAAA"), _R.VALIDATE_BASE64),
    "base64 in CDATA": (altered(_DOC, _B64, f"<![CDATA[{_B64}]]>"), _R.VALIDATE_BASE64),
    "base64 in references": (altered(_DOC, _B64, "&#65;&#65;&#65;&#65;"), _R.VALIDATE_BASE64),
    "no sender": (without(_DOC, "edXML:From"), _R.VALIDATE_NO_SENDER),
    "no id": (without(_DOC, "edXML:DocumentId"), _R.VALIDATE_NO_DOCUMENT_ID),
    "a status code of no meaning": (altered(_STATUS, "Code>03<", "Code>99<"), _R.VALIDATE_STATUS_CODE),
    "a status about nothing": (without(_STATUS, "edXML:ResponseFor"), _R.VALIDATE_STATUS_TARGET),
    "an element in a text": (
        altered(_DOC, "V/v", "V<edXML:b>x</edXML:b>v", count=1),
        _R.VALIDATE_SCHEMA,
    ),
}  # fmt: skip


@pytest.mark.requirement("LR-36")
@pytest.mark.threat(
    "a message is built to confuse or exhaust whoever reads it",
    control="one hardened reader: no DTD, no entity, bounds on size, depth, elements and attributes",
)
@pytest.mark.parametrize("what", list(_REFUSED))
def test_each_is_refused_for_its_own_reason(what: str) -> None:
    """Quickly, with a place and a text in both languages, and never by an exception of a library."""
    message, reason = _REFUSED[what]
    began = time.process_time()

    judged = judge(message)

    assert reason == judged.reason, [one.en for one in judged.findings]
    assert f.refusals(judged.findings)
    assert all(one.path and one.vi and one.en for one in judged.findings)
    assert time.process_time() - began < 5


def test_nothing_outside_the_message_is_read(tmp_path: Path) -> None:
    """Neither a file that an entity names, nor one that a style sheet, schema or inclusion names."""
    secret = tmp_path / "secret"
    secret.write_text("khong-duoc-lo-ra")
    pointing = altered(
        _DOC,
        "<edXML xmlns",
        f'<?xml-stylesheet href="{secret.as_uri()}" type="text/xsl"?><edXML xmlns:xsi="'
        f'http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="{_NS} {secret.as_uri()}" xmlns',
        count=1,
    )
    including = altered(
        pointing,
        "V/v triển khai",
        "V/v",
        count=1,
    )
    including = altered(
        including,
        "<edXML:Subject>",
        f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="{secret.as_uri()}" parse="text"/><edXML:Subject>',
    )

    judged = judge(including)

    assert judged.reason is None
    assert "khong-duoc-lo-ra" not in repr(judged)


class _Endless(io.BytesIO):
    """A message that never ends: a head, then the same block again and again; counts what was read of it."""

    def __init__(self, head: bytes, block: bytes, *, most: int) -> None:
        super().__init__()
        self.given = 0
        self._parts = self._make(head, block)
        self._most = most
        self._rest = b""

    def _make(self, head: bytes, block: bytes) -> Iterator[bytes]:
        yield head
        while self.given < self._most:
            yield block

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert size > 0, "a reader that asks for everything at once"
        while len(self._rest) < size:
            part = next(self._parts, b"")
            if not part:
                break
            self._rest += part
        piece, self._rest = self._rest[:size], self._rest[size:]
        self.given += len(piece)
        return piece


@pytest.mark.threat(
    "a message is larger than the memory of the hub",
    control="the reader streams: attachments are decoded and hashed in constant memory",
)
@pytest.mark.parametrize(
    ("until", "block", "most_read"),
    [
        pytest.param("ContentTransferEncoded", "A" * 262_144, 151 * 1024 * 1024, id="base64"),
        pytest.param("<edXML:Subject>", "v" * 262_144, 5 * 1024 * 1024, id="text"),
        pytest.param("<edXML:Subject>", "<edXML:x/>" * 1_000, 5 * 1024 * 1024, id="elements"),
        pytest.param("<edXML:Subject>", "<!-- -->" * 1_000, 5 * 1024 * 1024, id="comments"),
        pytest.param("<edXML:Subject>", " " * 262_144, 5 * 1024 * 1024, id="space"),
    ],
)
def test_two_hundred_megabytes_cost_little_memory(until: str, block: str, most_read: int) -> None:
    """Reading stops where the limit is passed, and memory stays small until then."""
    head = _DOC[: _DOC.index(b">", _DOC.index(until.encode())) + 1]
    source = _Endless(head, block.encode(), most=200 * 1024 * 1024)
    tracemalloc.start()
    try:
        with pytest.raises(Unreadable) as caught:
            read_package(source)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert caught.value.reason is ReasonCode.PARSE_LIMITS
    assert source.given < most_read
    assert peak < 24 * 1024 * 1024


def test_the_largest_message_is_read_in_little_memory() -> None:
    """140 MB pass; what is kept of them is a digest and a few kilobytes."""
    head, tail = _DOC.split(_B64.encode())
    body = pybase64.b64encode(bytes(range(256)) * 768)
    source = io.BytesIO()
    source.write(head)
    for _ in range(535):
        source.write(body)
    source.write(tail)
    source.seek(0)
    tracemalloc.start()
    try:
        package = read_package(source)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert isinstance(package.message, Edoc)
    assert package.message.attachments[0].size == 535 * 768 * 256
    assert package.skeleton.size > 140_000_000
    assert peak < 8 * 1024 * 1024


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1023, 4096])
def test_it_does_not_matter_how_the_bytes_arrive(size: int) -> None:
    """A network gives a few bytes at a time; the message is the same."""

    class Slow(io.BytesIO):
        def read(self, most: int | None = -1, /) -> bytes:
            return super().read(size if most is None or most < 0 else min(size, most))

    slow, at_once = read_package(Slow(_SIGNED)), read_package(_SIGNED)

    assert slow == at_once


# What nobody thought of: changed bytes and invented trees.


def _must_hold(message: bytes) -> None:
    """Whatever the bytes are: read or refused, and everything that is said of them can be shown and recorded."""
    said = _everything_said_of(message)
    assert len(said) < 1000
    for one in said:
        assert len(one.path) < 2000
        text = one.vi + one.en
        assert len(text) < 2000
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029]", text)
        json.dumps([one.path, one.vi, one.en], ensure_ascii=False).encode("utf-8")


def _everything_said_of(received: bytes) -> list[f.Finding]:
    try:
        package = read_package(received)
    except Unreadable as unreadable:
        return _reasons_of(unreadable)
    message = package.message
    find_secrecy_mark(message)
    if isinstance(message, Edoc):
        assert len(content_digest(message)) == 64
        assert len(message.target_ids) <= 20_000
        message.urgency()
    return [*package.reading.oddities, *rules.check(message, at=SENT_AT)]


def _reasons_of(unreadable: Unreadable) -> list[f.Finding]:
    assert unreadable.reason in set(ReasonCode)
    assert unreadable.details
    return list(unreadable.problems)


_BASES = (_DOC, _STATUS, _SIGNED, *(quirk.message for quirk in QUIRKS if len(quirk.message) < 20_000))


@st.composite
def _changed(draw: st.DrawFn) -> bytes:
    """A message with some of its bytes exchanged, left out, doubled or put elsewhere."""
    message = bytearray(draw(st.sampled_from(_BASES)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(message) - 1)))
        length = draw(st.integers(0, 40))
        piece = bytes(message[at : at + length])
        match draw(st.sampled_from(("exchange", "insert", "leave out", "double", "move", "cut"))):
            case "exchange":
                message[at : at + length] = draw(st.binary(max_size=40))
            case "insert":
                message[at:at] = draw(st.sampled_from(_PIECES))
            case "leave out":
                del message[at : at + length]
            case "double":
                message[at:at] = piece * draw(st.integers(1, 50))
            case "move":
                del message[at : at + length]
                there = draw(st.integers(0, len(message)))
                message[there:there] = piece
            case _:
                del message[at:]
    return bytes(message)


_PIECES = (
    b"<", b">", b"&", b"&#x202e;", b"&#55296;", b"&#0;", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<?x y?>", b"\x00",
    b"\xff", b"\xef\xbb\xbf", b"\xef\xbf\xbd", b"<!DOCTYPE x>", b' Id="mh"', b' xmlns=""', b"<edXML:Subject>",
    b"</edXML:Subject>", b"<edXML:To/>", b"<edXML:OrganId>", b"null", b"cid:cid:", b"9" * 400, b"9999/99/99", b"#",
    b"2026-03-02T00:00:00+99:99", b"0000/00/00", b"-" * 300, "Ậ".encode() * 300, b"=", b"M\xe1\xba\xacT",
)  # fmt: skip


@settings(max_examples=600)
@given(_changed())
def test_changed_bytes_are_read_or_refused(message: bytes) -> None:
    """No change of bytes makes the reader, the rules or anything after them fail."""
    _must_hold(message)


@settings(max_examples=150)
@given(st.binary(max_size=400))
@example(b"<")
@example(b"<?xml")
@example(b"\xef\xbb\xbf")
@example(b"<edXML/>")
def test_any_bytes_are_read_or_refused(message: bytes) -> None:
    """Nor do bytes that never were a message."""
    _must_hold(message)


_NAMES = [
    *sorted(set(re.findall(rb"<(?:edXML:)?([A-Za-z]+)", _DOC + _STATUS + _SIGNED))),
    b"Business", b"BusinessDocType", b"ReplacementInfo", b"ReplacementInfoList", b"ReceiverList", b"Receiver",
    b"ReceiverType", b"OrganIdList", b"Unknown",
]  # fmt: skip
_TEXTS = st.one_of(
    st.sampled_from(("", "null", "0", "1", "2", "3", "-1", "02", "2026/03/02", "30/02/2026", "cid:c0", "MẬT", " ")),
    st.text(
        alphabet=st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=("Cs", "Cc", "Cn")),
        max_size=30,
    ),
)  # fmt: skip


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_BRANCHES = st.lists(st.tuples(st.sampled_from(_NAMES), _TEXTS, st.integers(0, 3)), max_size=30)
"""Elements in their order: name, text, and how many of those open before it are closed first."""


def _tree(branches: list[tuple[bytes, str, int]]) -> str:
    written: list[str] = []
    opened: list[str] = []
    for name, text, closed in branches:
        written += [f"</{opened.pop()}>" for _ in range(min(closed, len(opened)))]
        if len(opened) < 12:
            opened.append(name.decode())
            written.append(f"<{opened[-1]}>{_escaped(text)}")
    return "".join([*written, *(f"</{name}>" for name in reversed(opened))])


@settings(max_examples=200)
@given(header=_BRANCHES, traces=_BRANCHES, rest=_BRANCHES)
def test_any_tree_of_known_names_is_read_or_refused(
    header: list[tuple[bytes, str, int]],
    traces: list[tuple[bytes, str, int]],
    rest: list[tuple[bytes, str, int]],
) -> None:
    """Elements of the format in places where nobody expects them."""
    message = (
        f'<edXML xmlns="{_NS}"><edXMLEnvelope><edXMLHeader><MessageHeader>{_tree(header)}</MessageHeader>'
        f"<TraceHeaderList>{_tree(traces)}</TraceHeaderList></edXMLHeader><edXMLBody>{_tree(rest[::2])}</edXMLBody>"
        f"</edXMLEnvelope><AttachmentEncoded>{_tree(rest[1::2])}</AttachmentEncoded></edXML>"
    )

    _must_hold(message.encode())


@settings(max_examples=60)
@given(message=_changed())
def test_inspecting_any_file_gives_one_json_object(
    tmp_path_factory: pytest.TempPathFactory, message: bytes
) -> None:
    """Also of a file that is ruined."""
    path = tmp_path_factory.getbasetemp() / "ruined.edxml"
    path.write_bytes(message)

    found = inspect_file(path)

    assert found["kind"] in {"edoc", "status", "unreadable"}
    assert json.loads(json.dumps(found))["file"] == str(path)
