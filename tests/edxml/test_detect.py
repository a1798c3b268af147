"""What kind of file an attachment is, by its bytes; and when a name or a declaration does not fit them."""

from __future__ import annotations

from zipfile import ZIP_DEFLATED, ZIP_STORED

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axis.edxml import detect as d
from tests.edxml.builders import a_pdf, a_zip

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
_PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def _office(folder: str, *, types_first: bool = True, compression: int = ZIP_DEFLATED) -> bytes:
    kind = {"word": "wordprocessingml", "xl": "spreadsheetml", "ppt": "presentationml"}[folder]
    types = ("[Content_Types].xml", f'<Types><Override ContentType="x.{kind}.main+xml"/></Types>'.encode())
    body = (f"{folder}/document.xml", b"<x/>" * 50)
    relations = ("_rels/.rels", b"<Relationships/>")
    return a_zip(
        *((types, relations, body) if types_first else (relations, body, types)), compression=compression
    )


def _through_text(content: bytes) -> bytes:
    return content.decode("utf-8", "replace").encode()


_KINDS: dict[str, tuple[bytes, str]] = {
    "a PDF": (a_pdf(), d.PDF),
    "a PDF with something before it": (b"\r\n\xff\xfejunk " + a_pdf(), d.PDF),
    "a PDF through UTF-8 text": (_through_text(a_pdf()), d.RUINED_PDF),
    "a PDF whose streams went through UTF-8 text": (
        _through_text(b"%PDF-1.4\n1 0 obj<</Length 9>>stream\nx\x9c\x80\x81\x82\xff\xfe\xfd\nendstream"),
        d.RUINED_PDF,
    ),
    "a ZIP": (a_zip(("van ban.txt", b"x")), d.ZIP),
    "an empty ZIP": (b"PK\x05\x06" + bytes(18), d.ZIP),
    "a ZIP that stores a PDF": (a_zip(("a.pdf", a_pdf()), compression=ZIP_STORED), d.ZIP),
    "a ZIP through UTF-8 text": (_through_text(a_zip(("a.bin", bytes(range(256)) * 8))), d.RUINED),
    "a docx": (_office("word"), d.DOCX),
    "a docx that is stored": (_office("word", compression=ZIP_STORED), d.DOCX),
    "a docx in another order": (_office("word", types_first=False), d.DOCX),
    "an xlsx": (_office("xl"), d.XLSX),
    "a pptx": (_office("ppt"), d.PPTX),
    "an office file of no known kind": (
        a_zip(("[Content_Types].xml", b"<Types/>"), ("_rels/.rels", b"x")),
        d.OPC,
    ),
    "an OpenDocument text": (
        a_zip(("mimetype", b"application/vnd.oasis.opendocument.text"), ("c.xml", b"x"), compression=ZIP_STORED),
        "application/vnd.oasis.opendocument.text",
    ),
    "an old Word file": (_OLE + "WordDocument".encode("utf-16-le"), d.DOC),
    "an old Excel file": (_OLE + "Workbook".encode("utf-16-le"), d.XLS),
    "an old office file": (_OLE, d.OLE),
    "a picture": (_PNG, d.PNG),
    "a photograph": (b"\xff\xd8\xff\xe0" + bytes(20), d.JPEG),
    "a picture through UTF-8 text": (_through_text(_PNG), d.RUINED),
    "rich text": (b"{\\rtf1 x}", d.RTF),
    "a RAR archive": (b"Rar!\x1a\x07\x01\x00", "application/vnd.rar"),
    "XML": ('\ufeff<?xml version="1.0"?><a/>'.encode(), d.XML),
    "a web page": (b"  <!DOCTYPE HTML><html>", d.HTML),
    "text": ("Kính gửi: Ủy ban nhân dân".encode(), d.TEXT),
    "text cut inside a letter": ("ệ".encode() * 2730 + "ệ".encode(), d.TEXT),
    "text of 16 bits": ("Kính gửi".encode("utf-16"), d.TEXT),
    "bytes of no kind": (bytes(range(1, 200)), d.UNKNOWN),
    "nothing": (b"", d.EMPTY),
}  # fmt: skip


@pytest.mark.parametrize("what", list(_KINDS))
def test_the_kind_of_a_file(what: str) -> None:
    """By its first bytes, and the same when the file goes on for ever."""
    content, kind = _KINDS[what]

    assert kind == d.detect(content).media_type
    assert kind == d.detect(content[: d.HEAD_BYTES]).media_type


def test_the_name_inside_a_zip_is_told() -> None:
    """The Java SDK wraps files it does not know in a ZIP of their own."""
    assert d.detect(a_zip(("5ccbf32d-7944.txt", b"x"))).first_entry == "5ccbf32d-7944.txt"
    assert d.detect(a_zip(("báo cáo.txt", b"x"))).first_entry == "báo cáo.txt"


@pytest.mark.parametrize(
    ("extension", "content", "fits"),
    [
        ("pdf", a_pdf(), True),
        ("pdf", a_zip(("a.txt", b"x")), False),
        ("docx", _office("word"), True),
        ("docx", _office("xl"), False),
        ("zip", _office("xl"), False),
        ("doc", _OLE, True),
        ("txt", b"<?xml version='1.0'?><a/>", True),
        ("png", a_pdf(), False),
        ("dwg", a_pdf(), True),
        ("", a_pdf(), True),
        ("pdf", _through_text(a_pdf()), True),
    ],
)
def test_whether_an_extension_fits(extension: str, content: bytes, *, fits: bool) -> None:
    """An extension nobody knows fits everything; a ruined file is named as ruined, not as wrongly named."""
    assert fits == d.fits_extension(d.detect(content), extension)


@pytest.mark.parametrize(
    ("declared", "content", "fits"),
    [
        ("application/pdf", a_pdf(), True),
        ("application/pdf; name=a.pdf", a_pdf(), True),
        ("APPLICATION/PDF", a_pdf(), True),
        ("pdf", a_pdf(), True),
        (".PDF", a_pdf(), True),
        ("application/docx", _office("word"), True),
        (d.DOCX, _office("word"), True),
        (d.DOCX, a_pdf(), False),
        ("application/msword", _OLE, True),
        ("application/excel", _office("xl"), True),
        ("application/zip", a_pdf(), False),
        ("text/plain", a_zip(("a.txt", b"x")), False),
        ("application/octet-stream", a_pdf(), True),
        ("", a_pdf(), True),
        ("///", a_pdf(), True),
    ],
)
def test_whether_a_declaration_fits(declared: str, content: bytes, *, fits: bool) -> None:
    """Half of the traffic writes `application/` and the extension."""
    assert fits == d.fits_declared(d.detect(content), declared)


@pytest.mark.parametrize(
    ("name", "extension"),
    [("a.pdf", "pdf"), ("a.SIGNED.PDF", "pdf"), ("a", ""), (".pdf", ""), ("a.", ""), ("a.dai-qua-tam", ""), ("", "")],
)  # fmt: skip
def test_the_extension_of_a_name(name: str, extension: str) -> None:
    """In small letters without its dot."""
    assert extension == d.extension_of(name)


_HEADS = st.sampled_from([content[:400] for content, _ in _KINDS.values()])


@given(st.one_of(st.binary(max_size=600), st.builds(lambda head, at, more: head[:at] + more + head[at:], _HEADS, st.integers(0, 400), st.binary(max_size=60))))  # fmt: skip
def test_detection_never_fails(content: bytes) -> None:
    """Whatever the bytes are, and never at the cost of unpacking much."""
    found = d.detect(content)

    assert found.media_type
    assert len(found.first_entry) <= 255
    d.fits_declared(found, found.media_type)


def test_a_zip_bomb_is_not_unpacked() -> None:
    """Only the first entry is looked into, and never beyond 64 KiB."""
    bomb = a_zip(("[Content_Types].xml", bytes(50_000_000)))

    assert len(bomb) < 100_000
    assert d.detect(bomb).media_type in {d.OPC, d.ZIP}
