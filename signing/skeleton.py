"""
The one pass over received bytes: first contact with a message, before anything believes a word of it.

A message is a few kilobytes of XML around megabytes of base64. This pass reads it once, in constant memory:
it cuts the base64 of every `ContentTransferEncoded` out of the bytes, decodes and hashes it, hands the decoded
bytes on, and keeps every other byte as the *skeleton*, which is small enough for an ordinary XML parser.
The reader of messages and the verifier of signatures both stand on its result, so that they cannot see
different documents.

Why cutting is sound: only a run of character data is cut that begins and ends inside one element and holds
neither `<` nor `&`; taking it away cannot change what any parser makes of the remaining bytes. The parser that
then reads the skeleton must find the same number of (now empty) content elements, or the message is refused.

It never judges a signature, never follows a DTD, an entity or an address, and never looks into an attachment.
What a lenient reader may tolerate and a signature may not (comments, a byte order mark, ...) is reported in
`Oddities` and refused by `signing.verify`, not here.
"""

import hashlib
import re
from binascii import Error as Base64Error
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum, unique
from io import BytesIO
from typing import BinaryIO, Protocol
from xml.parsers import expat

import pybase64
from lxml import etree

from signing.algorithms import HASHES
from signing.errors import MessageError
from signing.reasons import Reason

EDXML_NAMESPACE = "http://www.mic.gov.vn/TBT/QCVN_102_2016"
CONTENT_TAG = f"{{{EDXML_NAMESPACE}}}ContentTransferEncoded"

_EXPAT_CONTENT = f"{EDXML_NAMESPACE} ContentTransferEncoded"
_EXPAT_DIGEST_METHOD = "http://www.w3.org/2000/09/xmldsig# DigestMethod"
_WIDER_DIGESTS = {
    "http://www.w3.org/2001/04/xmldsig-more#sha384": "sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
}
_WHITESPACE = b" \t\r\n"
_WHITESPACES = (b"\n", b"\r", b" ", b"\t")
_BOM = b"\xef\xbb\xbf"
_FOREIGN_ENCODING = (b"\xff\xfe", b"\xfe\xff", b"\x00", b"<\x00", b"\x4c\x6f\xa7\x94")
_PLAIN_PROLOG = re.compile(rb"\A(?:\xef\xbb\xbf)?(?:<\?xml[^<>]*\?>)?[ \t\r\n]*<[A-Za-z_]")
_CHUNK_BYTES = 256 * 1024
_EMPTY_CONTENT = -1
"""Stands among the places of contents for one that has no text, and so no place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a message may cost us before it is refused."""

    message_bytes: int = 150 * 1024 * 1024
    skeleton_bytes: int = 4 * 1024 * 1024
    """All bytes outside the base64 of attachments."""
    depth: int = 32
    elements: int = 20_000
    attributes: int = 64
    """Of one element; namespace declarations are counted apart, with the same bound."""
    attachments: int = 26
    """With four other parts this makes 30 references, the most that JDK and Santuario verify."""


@unique
class Base64Problem(StrEnum):
    """Why the content of an attachment could not be decoded."""

    ALPHABET = "alphabet"
    """A character outside base64, or padding in the middle."""
    LENGTH = "length"
    """It ends in the middle of a group of four."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The decoded content of one `ContentTransferEncoded`, in the order in which they stand in the message."""

    index: int
    size: int
    """Decoded bytes."""
    sha256: str
    sha384: str | None
    sha512: str | None
    """The wider digests are computed only when a signature ahead of the content names them."""
    problem: Base64Problem | None
    """If set, size and digests describe only what could be decoded before the problem."""


class PartSink(Protocol):
    """
    Where decoded bytes go, usually to blobs on disk.

    Calls come as begin, write*, end for each part in turn. When the pass raises, `end` of the open part never
    comes: whoever made the sink throws away what it began.
    """

    def begin(self, index: int) -> None: ...

    def write(self, index: int, chunk: bytes) -> None: ...

    def end(self, part: Part) -> None: ...


class NullSink:
    """For whoever needs only the digests."""

    def begin(self, index: int) -> None:
        pass

    def write(self, index: int, chunk: bytes) -> None:
        pass

    def end(self, part: Part) -> None:
        pass


class MemorySink:
    """Keeps all content in memory: for signing, small tools and tests, not for a hub."""

    def __init__(self) -> None:
        self._chunks: dict[int, list[bytes]] = {}
        self._contents: dict[int, bytes] = {}

    def begin(self, index: int) -> None:
        self._chunks[index] = []

    def write(self, index: int, chunk: bytes) -> None:
        self._chunks[index].append(chunk)

    def end(self, part: Part) -> None:
        self._contents[part.index] = b"".join(self._chunks.pop(part.index))

    @property
    def contents(self) -> tuple[bytes, ...]:
        """Decoded bytes by part index."""
        return tuple(self._contents.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Oddities:
    """What a lenient reader tolerates; facts, not judgements."""

    bom: bool
    declared_encoding: str | None
    """As written in the XML declaration; some spelling of UTF-8, or nothing."""
    plain_prolog: bool
    """Nothing but a byte order mark, an XML declaration and white space stands before the root."""
    comments: int
    instructions: int
    cdata_sections: int
    trailing_whitespace: int
    """Bytes after the root element; the national SDK always leaves CR LF there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeleton:
    """One message: its XML without the base64, and what was cut out."""

    xml: bytes
    """Every received byte but those of the contents."""
    parts: tuple[Part, ...]
    sha256: str
    """Of all received bytes."""
    size: int
    """Of all received bytes."""
    oddities: Oddities

    def tree(self) -> etree._Element:
        """
        Parse the skeleton with the hardened parser and return its root.

        Each call returns a fresh tree, so that no reader can change what another one sees.

        Raises:
            MessageError: the parser does not take it, or disagrees with the pass about its contents.
        """
        try:
            root = etree.fromstring(self.xml, _PARSER)  # noqa: TID251 - this is the one hardened parser
        except (etree.XMLSyntaxError, ValueError) as error:
            raise MessageError(Reason.XML_NOT_WELL_FORMED, "second reader") from error
        if root.getroottree().docinfo.internalDTD is not None:
            raise MessageError(Reason.XML_DOCTYPE)
        return root

    def contents(self, root: etree._Element) -> tuple[tuple[etree._Element, Part], ...]:
        """
        Pair each content element of `root`, which came from `tree()`, with its part.

        Raises:
            MessageError: `xml.disagreement` when the two readers of the message do not see the same contents.
        """
        elements = list(root.iter(CONTENT_TAG))
        if len(elements) != len(self.parts) or any(len(e) or e.text for e in elements):
            raise MessageError(Reason.XML_DISAGREEMENT)
        return tuple(zip(elements, self.parts, strict=True))


_PARSER = etree.XMLParser(
    encoding="utf-8",
    resolve_entities=False,
    no_network=True,
    load_dtd=False,
    dtd_validation=False,
    huge_tree=False,
    collect_ids=False,
)


def read_skeleton(
    source: BinaryIO | bytes, *, limits: Limits | None = None, sink: PartSink | None = None
) -> Skeleton:
    """
    Read one message to its end.

    Memory stays below a few chunks and `limits.skeleton_bytes`, whatever the size of the message. A content
    that is no base64 does not stop the pass: its part says so.

    Raises:
        MessageError: with the reason why the bytes are no acceptable XML. Exceptions of `source` and `sink`
            pass through unchanged.
    """
    reading = _Reading(limits or Limits(), sink or NullSink())
    stream = BytesIO(source) if isinstance(source, bytes) else source
    try:
        for chunk in _chunks(stream):
            reading.feed(chunk)
        return reading.close()
    finally:
        reading.leave()


def _why(error: expat.ExpatError, there: bytes) -> Reason:
    """Expat calls bytes that are no UTF-8 an invalid token like any other; people need to hear which it is."""
    if error.code == expat.errors.codes[expat.errors.XML_ERROR_UNDEFINED_ENTITY]:
        return Reason.XML_ENTITY
    if error.code == expat.errors.codes[expat.errors.XML_ERROR_INVALID_TOKEN]:
        try:
            there.decode("utf-8")
        except UnicodeDecodeError as wrong:
            if wrong.start == 0 and wrong.reason != "unexpected end of data":
                return Reason.XML_ENCODING
    return Reason.XML_NOT_WELL_FORMED


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk


class _Content:
    """The content element being read: decodes, hashes, hands on."""

    __slots__ = ("_carry", "_hashes", "_padded", "_sink", "_size", "index", "problem")

    def __init__(self, index: int, sink: PartSink, wider: set[str]) -> None:
        self.index = index
        self.problem: Base64Problem | None = None
        self._sink = sink
        self._hashes = {name: HASHES[name]() for name in ("sha256", *wider)}
        self._carry = b""
        self._padded = False
        self._size = 0
        sink.begin(index)

    def feed(self, span: bytes) -> None:
        if b"&" in span:
            raise MessageError(Reason.XML_ATTACHMENT_MARKUP, f"content {self.index + 1}")
        if self.problem is not None:
            return
        # Most senders write one long line; looking for white space is far cheaper than copying without it.
        is_plain = not any(space in span for space in _WHITESPACES)
        text = self._carry + (span if is_plain else span.translate(None, _WHITESPACE))
        whole = len(text) & ~3
        self._carry = text[whole:]
        if self._padded and text:
            self.problem = Base64Problem.ALPHABET
            return
        if not whole:
            return
        block = text[:whole]
        try:
            decoded = pybase64.b64decode(block, validate=True)
        except (Base64Error, ValueError):
            self.problem = Base64Problem.ALPHABET
            return
        self._padded = block.endswith(b"=")
        self._size += len(decoded)
        for digest in self._hashes.values():
            digest.update(decoded)
        self._sink.write(self.index, decoded)

    def close(self) -> Part:
        if self._carry and self.problem is None:
            self.problem = Base64Problem.LENGTH
        digests = {name: digest.hexdigest() for name, digest in self._hashes.items()}
        part = Part(
            index=self.index,
            size=self._size,
            sha256=digests["sha256"],
            sha384=digests.get("sha384"),
            sha512=digests.get("sha512"),
            problem=self.problem,
        )
        self._sink.end(part)
        return part


class _Reading:
    """
    State of one pass.

    Expat says where a content begins and ends; the bytes themselves are taken from what was fed. While no
    content is open all bytes go to `_kept`; expat may report the start of a content late, so `_kept` is cut back
    when it does. While one is open, bytes go to `_pending` and from there to the content.
    """

    def __init__(self, limits: Limits, sink: PartSink) -> None:
        self._limits = limits
        self._max_depth, self._max_elements = limits.depth, limits.elements
        self._max_attribute_items = 2 * limits.attributes
        self._sink = sink
        self._hash = hashlib.sha256()
        self._fed = 0
        self._kept = bytearray()
        self._pending = b""
        self._pending_at = 0
        self._content: _Content | None = None
        self._marks: list[int] = []
        self._parts: list[Part] = []
        self._elements = 0
        self._ended: list[str] = []
        self._declared = 0
        self._declared_before = 0
        self._contents = 0
        self._inside_content = False
        self._text_seen = False
        self._wider: set[str] = set()
        self._declared_encoding: str | None = None
        self._comments = 0
        self._instructions = 0
        self._cdata = 0
        # The encoding given here overrides the declared one: expat never leaves UTF-8.
        parser = expat.ParserCreate("UTF-8", " ")
        parser.ordered_attributes = True
        parser.StartElementHandler = self._on_start
        # Half of all calls: how many have ended is all there is to know, and a list counts without our code.
        parser.EndElementHandler = self._ended.append
        parser.StartNamespaceDeclHandler = self._on_namespace
        parser.StartDoctypeDeclHandler = self._on_doctype
        parser.XmlDeclHandler = self._on_declaration
        parser.CommentHandler = self._on_comment
        parser.ProcessingInstructionHandler = self._on_instruction
        parser.StartCdataSectionHandler = self._on_cdata
        self._parser = parser

    def feed(self, chunk: bytes) -> None:
        if not self._fed:
            self._look_at_first_bytes(chunk)
        self._hash.update(chunk)
        self._fed += len(chunk)
        if self._fed > self._limits.message_bytes:
            raise MessageError(Reason.XML_TOO_LARGE, f"more than {self._limits.message_bytes} bytes")
        self._parse(chunk, last=False)
        if self._content is None:
            self._kept += chunk
        else:
            self._pending += chunk
        self._cut()

    def close(self) -> Skeleton:
        if not self._fed:
            raise MessageError(Reason.XML_EMPTY)
        self._parse(b"", last=True)
        self._cut()
        if self._content is not None:
            raise MessageError(Reason.XML_DISAGREEMENT)
        xml = bytes(self._kept)
        return Skeleton(
            xml=xml,
            parts=tuple(self._parts),
            sha256=self._hash.hexdigest(),
            size=self._fed,
            oddities=Oddities(
                bom=xml.startswith(_BOM),
                declared_encoding=self._declared_encoding,
                plain_prolog=_PLAIN_PROLOG.match(xml) is not None,
                comments=self._comments,
                instructions=self._instructions,
                cdata_sections=self._cdata,
                trailing_whitespace=len(xml) - len(xml.rstrip(_WHITESPACE)),
            ),
        )

    def leave(self) -> None:
        """Let go of the parser, which holds this in turn: neither has to wait for the garbage collector."""
        del self._parser

    def _look_at_first_bytes(self, chunk: bytes) -> None:
        if chunk.startswith(_FOREIGN_ENCODING):
            raise MessageError(Reason.XML_ENCODING, "the first bytes are those of another encoding")

    def _parse(self, chunk: bytes, *, last: bool) -> None:
        try:
            self._parser.Parse(chunk, last)
        except expat.ExpatError as error:
            at = self._parser.ErrorByteIndex - (self._fed - len(chunk))
            reason = _why(error, chunk[at : at + 4] if at >= 0 else b"")
            raise MessageError(reason, f"line {error.lineno}, column {error.offset + 1}") from error

    def _cut(self) -> None:
        """Move the bytes of contents, as far as they are known, out of what is kept."""
        for mark in self._marks:
            if mark == _EMPTY_CONTENT:
                self._parts.append(_Content(len(self._parts), self._sink, self._wider).close())
            elif self._content is None:
                # The start of character data. Everything from there on has been kept too early.
                start = len(self._kept) - (self._fed - mark)
                self._pending = bytes(self._kept[start:])
                self._pending_at = mark
                del self._kept[start:]
                self._content = _Content(len(self._parts), self._sink, self._wider)
            else:
                length = mark - self._pending_at
                if self._pending[length : length + 2] != b"</" or b"<" in self._pending[:length]:
                    raise MessageError(Reason.XML_DISAGREEMENT)
                self._content.feed(self._pending[:length])
                self._parts.append(self._content.close())
                self._content = None
                self._kept += self._pending[length:]
                self._pending = b""
        self._marks.clear()
        if self._content is not None:
            found = self._pending.find(b"<")
            length = len(self._pending) if found < 0 else found
            self._content.feed(self._pending[:length])
            self._pending = self._pending[length:]
            self._pending_at += length
        if len(self._kept) + len(self._pending) > self._limits.skeleton_bytes:
            raise MessageError(
                Reason.XML_MARKUP_TOO_LARGE, f"more than {self._limits.skeleton_bytes} bytes without contents"
            )

    # Handlers. They run inside expat, so they only count, remember places, and refuse.

    def _on_start(self, name: str, attributes: list[str]) -> None:
        # Called for every element, so it looks closer only where there is something to look at.
        self._elements = elements = self._elements + 1
        if elements - len(self._ended) > self._max_depth or elements > self._max_elements:
            self._refuse_size()
        if attributes:
            if len(attributes) > self._max_attribute_items:
                raise MessageError(Reason.XML_TOO_MANY_ATTRIBUTES, f"more than {self._limits.attributes}")
            if name == _EXPAT_DIGEST_METHOD:
                self._note_digest(attributes)
        if name == _EXPAT_CONTENT:
            self._begin_content()

    def _note_digest(self, attributes: list[str]) -> None:
        # In whatever attribute it stands: a digest too many costs time, one too few a signature that holds.
        for value in attributes:
            if value in _WIDER_DIGESTS:
                self._wider.add(_WIDER_DIGESTS[value])

    def _refuse_size(self) -> None:
        if self._elements - len(self._ended) > self._max_depth:
            raise MessageError(Reason.XML_TOO_DEEP, f"more than {self._max_depth} levels")
        raise MessageError(Reason.XML_TOO_MANY_ELEMENTS, f"more than {self._max_elements}")

    def _begin_content(self) -> None:
        self._contents += 1
        if self._contents > self._limits.attachments:
            raise MessageError(Reason.XML_TOO_MANY_ATTACHMENTS, f"more than {self._limits.attachments}")
        self._inside_content = True
        self._text_seen = False
        self._parser.CharacterDataHandler = self._on_text
        self._parser.StartElementHandler = self._on_start_inside_content
        self._parser.EndElementHandler = self._on_end_of_content

    def _on_start_inside_content(self, _name: str, _attributes: list[str]) -> None:
        self._refuse_inside_content()

    def _on_text(self, _text: str) -> None:
        # Only the first run is of interest: from here to the next markup all is content.
        self._text_seen = True
        self._marks.append(self._parser.CurrentByteIndex)
        self._parser.CharacterDataHandler = None

    def _on_end_of_content(self, name: str) -> None:
        self._ended.append(name)
        self._inside_content = False
        self._parser.CharacterDataHandler = None
        self._parser.StartElementHandler = self._on_start
        self._parser.EndElementHandler = self._ended.append
        self._marks.append(self._parser.CurrentByteIndex if self._text_seen else _EMPTY_CONTENT)

    def _on_namespace(self, _prefix: str | None, _uri: str | None) -> None:
        # Reported ahead of the element they stand on.
        if self._declared_before != self._elements:
            self._declared_before, self._declared = self._elements, 0
        self._declared += 1
        if self._declared > self._limits.attributes:
            raise MessageError(Reason.XML_TOO_MANY_ATTRIBUTES, "namespace declarations")

    def _on_doctype(self, *_arguments: object) -> None:
        raise MessageError(Reason.XML_DOCTYPE)

    def _on_declaration(self, version: str, encoding: str | None, _standalone: int) -> None:
        if version != "1.0":
            raise MessageError(Reason.XML_VERSION)
        if encoding is not None and encoding.upper() not in {"UTF-8", "UTF8"}:
            raise MessageError(Reason.XML_ENCODING, "another encoding is declared")
        self._declared_encoding = encoding

    def _on_comment(self, _text: str) -> None:
        self._refuse_inside_content()
        self._comments += 1

    def _on_instruction(self, _target: str, _text: str) -> None:
        self._refuse_inside_content()
        self._instructions += 1

    def _on_cdata(self) -> None:
        self._refuse_inside_content()
        self._cdata += 1

    def _refuse_inside_content(self) -> None:
        if self._inside_content:
            raise MessageError(Reason.XML_ATTACHMENT_MARKUP, f"content {self._contents}")
