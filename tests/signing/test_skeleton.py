"""The one pass over received bytes: what is cut, what is kept, what is refused, at what cost."""

import gc
import hashlib
import io
import time
from collections.abc import Iterator

import pybase64
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing.errors import MessageError
from signing.reasons import Reason
from signing.skeleton import Base64Problem, Limits, MemorySink, Part, Skeleton, read_skeleton
from tests.signing.builders import NS, AnAttachment, a_document, good

ROOT = f'<edXML xmlns="{NS}">'.encode()


def with_contents(*contents: bytes) -> bytes:
    body = b"".join(b"<ContentTransferEncoded>" + c + b"</ContentTransferEncoded>" for c in contents)
    return ROOT + body + b"</edXML>"


class Dripping(io.BytesIO):
    """A source that gives its bytes in pieces of any size, as a socket does."""

    def __init__(self, message: bytes, sizes: Iterator[int]) -> None:
        super().__init__(message)
        self._sizes = sizes

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(next(self._sizes, size))


def test_contents_are_cut_decoded_and_hashed() -> None:
    """Everything else stays byte for byte."""
    sink = MemorySink()

    skeleton = read_skeleton(with_contents(b"QUJD\r\n RA==", b"", b"RQ=="), sink=sink)

    assert skeleton.xml == with_contents(b"", b"", b"")
    assert sink.contents == (b"ABCD", b"", b"E")
    assert [p.sha256 for p in skeleton.parts] == [hashlib.sha256(c).hexdigest() for c in sink.contents]
    assert skeleton.sha256 == hashlib.sha256(with_contents(b"QUJD\r\n RA==", b"", b"RQ==")).hexdigest()


@given(st.lists(st.integers(min_value=1, max_value=700), max_size=60))
def test_the_result_does_not_depend_on_how_the_bytes_arrive(sizes: list[int]) -> None:
    """Every cut of the stream gives the same skeleton, parts and contents."""
    whole, dripped = MemorySink(), MemorySink()

    first = read_skeleton(good(), sink=whole)
    second = read_skeleton(Dripping(good(), iter(sizes)), sink=dripped)

    assert first == second
    assert whole.contents == dripped.contents


@given(st.lists(st.binary(max_size=300), max_size=4), st.sampled_from([0, 4, 76]))
def test_any_content_comes_back(contents: list[bytes], width: int) -> None:
    """With and without line breaks."""
    encoded = [pybase64.b64encode(c) for c in contents]
    if width:
        encoded = [b"\n".join(e[i : i + width] for i in range(0, len(e), width)) for e in encoded]
    sink = MemorySink()

    read_skeleton(with_contents(*encoded), sink=sink)

    assert sink.contents == tuple(contents)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"QUJ", Base64Problem.LENGTH),
        (b"QQ==QQ==", Base64Problem.ALPHABET),
        (b"QQ==" + b" " * 300_000 + b"QQ==", Base64Problem.ALPHABET),
        (b"Q Q = =", None),
        (b"QUJD\xc2\xa0QQ", Base64Problem.ALPHABET),
        (b"QU-_", Base64Problem.ALPHABET),
        (b"====", Base64Problem.ALPHABET),
    ],
)
def test_content_that_is_no_base64_is_reported_not_raised(
    content: bytes, problem: Base64Problem | None
) -> None:
    """A lenient reader wants to say which attachment is broken, and what else is wrong with the message."""
    parts = read_skeleton(with_contents(b"QUJD", content)).parts

    assert [p.problem for p in parts] == [None, problem]


def test_wider_digests_are_computed_when_a_signature_ahead_names_them() -> None:
    """SHA-512 costs time, so only who asks for it pays."""
    asks = (
        b'<DigestMethod xmlns="http://www.w3.org/2000/09/xmldsig#" '
        b'Algorithm="http://www.w3.org/2001/04/xmlenc#sha512"/>'
    )

    (part,) = read_skeleton(ROOT + asks + with_contents(b"QUJD").removeprefix(ROOT)).parts

    assert part.sha512 == hashlib.sha512(b"ABC").hexdigest()
    assert part.sha384 is None


def test_only_the_national_content_element_is_cut() -> None:
    """The same name in another namespace is ordinary text."""
    message = with_contents(b"QUJD").replace(NS.encode(), b"urn:other")

    skeleton = read_skeleton(message)

    assert (skeleton.xml, skeleton.parts) == (message, ())


def test_oddities_are_facts_for_the_reader() -> None:
    """What the wire brings and a signature may not have."""
    message = b"\xef\xbb\xbf<?xml version='1.0' encoding='Utf-8'?><!--a--><?b c?>" + with_contents() + b"\r\n"

    oddities = read_skeleton(message).oddities

    assert (oddities.bom, oddities.declared_encoding, oddities.plain_prolog) == (True, "Utf-8", False)
    assert (oddities.comments, oddities.instructions, oddities.trailing_whitespace) == (1, 1, 2)


def test_two_readers_that_disagree_refuse_the_message() -> None:
    """If the tree ever showed other contents than the pass, nothing that was hashed could be trusted."""
    true = read_skeleton(with_contents(b"QUJD"))
    forged = Skeleton(
        xml=with_contents(b"", b""), parts=true.parts, sha256=true.sha256, size=1, oddities=true.oddities
    )

    with pytest.raises(MessageError) as raised:
        forged.contents(forged.tree())

    assert raised.value.reason is Reason.XML_DISAGREEMENT


def test_limits_are_those_given() -> None:
    """They are settings of whoever reads."""
    limits = Limits(attachments=1)

    with pytest.raises(MessageError) as raised:
        read_skeleton(with_contents(b"", b""), limits=limits)

    assert raised.value.reason is Reason.XML_TOO_MANY_ATTACHMENTS


def test_errors_of_source_and_sink_pass_through() -> None:
    """A full disk is no property of the message."""

    class FullDisk(MemorySink):
        def write(self, index: int, chunk: bytes) -> None:
            raise OSError(28, f"no space for {index}: {len(chunk)}")

        def end(self, part: Part) -> None:
            raise AssertionError(part)

    with pytest.raises(OSError, match="no space"):
        read_skeleton(good(), sink=FullDisk())


@pytest.mark.parametrize("spaces", [0, 3_000_000])
def test_a_huge_end_tag_or_attribute_is_bounded(spaces: int) -> None:
    """Neither can make the pass hold the message in memory, nor read it over and over."""
    hostile = (
        ROOT
        + b"<ContentTransferEncoded>QUJD</ContentTransferEncoded"
        + b" " * (5_000_000 + spaces)
        + b"></edXML>"
    )
    started = time.perf_counter()

    with pytest.raises(MessageError) as raised:
        read_skeleton(hostile)

    assert raised.value.reason is Reason.XML_MARKUP_TOO_LARGE
    assert time.perf_counter() - started < 2


def test_many_attachments_cost_no_more_than_their_bytes() -> None:
    """26 of 100 kB in one chunk-crossing message."""
    message = a_document(
        attachments=[AnAttachment(content_id=f"f{n}", content=bytes([n]) * 100_000) for n in range(26)]
    )
    gc.collect()

    parts = read_skeleton(message).parts

    assert [(p.size, p.problem) for p in parts] == [(100_000, None)] * 26


def test_a_tree_that_the_second_reader_does_not_take_is_refused() -> None:
    """Whatever the pass let through, a DOCTYPE or broken markup ends here."""
    true = read_skeleton(with_contents())

    def reason(xml: bytes) -> Reason:
        forged = Skeleton(xml=xml, parts=(), sha256=true.sha256, size=1, oddities=true.oddities)
        with pytest.raises(MessageError) as raised:
            forged.tree()
        return raised.value.reason

    assert reason(b"<a><b></a>") is Reason.XML_NOT_WELL_FORMED
    assert reason(b"<!DOCTYPE a [<!ELEMENT a ANY>]><a/>") is Reason.XML_DOCTYPE
