"""
What kind of file an attachment is, told by its first bytes and never by what the message claims.

Content types on the wire are not to be relied on: `application/docx`, a ZIP declared as PDF, a spreadsheet wrapped in
a ZIP of its own. Only the first few kilobytes are looked at, at most 64 KiB are ever unpacked, and nothing here opens
a file, runs anything or fails on any bytes.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass

HEAD_BYTES = 8192
"""How much of a file is enough to tell its kind."""

PDF = "application/pdf"
ZIP = "application/zip"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
OPC = "application/vnd.openxmlformats-package"
DOC = "application/msword"
XLS = "application/vnd.ms-excel"
PPT = "application/vnd.ms-powerpoint"
OLE = "application/x-ole-storage"
PNG = "image/png"
JPEG = "image/jpeg"
RTF = "application/rtf"
XML = "application/xml"
HTML = "text/html"
TEXT = "text/plain"
UNKNOWN = "application/octet-stream"
EMPTY = "application/x-empty"
RUINED_PDF = "application/x-ruined-pdf"
RUINED = "application/x-ruined"

_REPLACEMENT = b"\xef\xbf\xbd"
_BOM = b"\xef\xbb\xbf"
_PDF_ANYWHERE = 1024
_MOST_ENTRIES = 64
_MOST_UNPACKED = 65_536
_LONGEST_NAME = 255
_LOCAL_HEADER = struct.Struct("<4sHHHHHIIIHH")
_LOCAL_MAGIC = b"PK\x03\x04"
_EMPTY_ZIP = b"PK\x05\x06"
_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_BY_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff", JPEG),
    (b"{\\rtf", RTF),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"BM", "image/bmp"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"\x1f\x8b\x08", "application/gzip"),
)
_BY_OLE_STREAM = (
    ("WordDocument".encode("utf-16-le"), DOC),
    ("Workbook".encode("utf-16-le"), XLS),
    ("PowerPoint Document".encode("utf-16-le"), PPT),
)
_BY_OPC_CONTENT = ((b"wordprocessingml", DOCX), (b"spreadsheetml", XLSX), (b"presentationml", PPTX))
_BY_OPC_FOLDER = (("word/", DOCX), ("xl/", XLSX), ("ppt/", PPTX))
_OPC_ENTRIES = ("[Content_Types].xml", "_rels/.rels")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_SECOND_LINE_OF_RUINED_PDF = re.compile(rb"%PDF-[0-9.]{1,5}[^%]{0,8}%[^\r\n]{0,8}\xef\xbf\xbd")
_STREAM_OF_RUINED_PDF = re.compile(rb"stream\r?\n[^\n]{0,64}?\xef\xbf\xbd[^\n]{0,64}?\xef\xbf\xbd")

_EXTENSIONS: dict[str, tuple[str, ...]] = {
    "pdf": (PDF, RUINED_PDF),
    "zip": (ZIP,),
    "docx": (DOCX, OPC),
    "xlsx": (XLSX, OPC),
    "pptx": (PPTX, OPC),
    "doc": (DOC, OLE, RTF),
    "xls": (XLS, OLE),
    "ppt": (PPT, OLE),
    "rtf": (RTF,),
    "png": (PNG,),
    "jpg": (JPEG,),
    "jpeg": (JPEG,),
    "gif": ("image/gif",),
    "tif": ("image/tiff",),
    "tiff": ("image/tiff",),
    "bmp": ("image/bmp",),
    "xml": (XML, TEXT),
    "edxml": (XML, TEXT),
    "txt": (TEXT, XML, HTML),
    "csv": (TEXT,),
    "html": (HTML, TEXT, XML),
    "htm": (HTML, TEXT, XML),
    "rar": ("application/vnd.rar",),
    "7z": ("application/x-7z-compressed",),
}
_DECLARED: dict[str, tuple[str, ...]] = {
    PDF: ("pdf",),
    ZIP: ("zip",),
    DOCX: ("docx",),
    XLSX: ("xlsx",),
    PPTX: ("pptx",),
    DOC: ("doc",),
    XLS: ("xls",),
    PPT: ("ppt",),
    RTF: ("rtf",),
    "text/rtf": ("rtf",),
    PNG: ("png",),
    JPEG: ("jpg",),
    "image/jpg": ("jpg",),
    TEXT: ("txt", "csv"),
    XML: ("xml",),
    "text/xml": ("xml",),
    "application/x-zip-compressed": ("zip",),
    "application/excel": ("xls", "xlsx"),
    "application/word": ("doc", "docx"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """What the first bytes tell."""

    media_type: str
    first_entry: str = ""
    """Name of the first file inside a ZIP that is no office document."""

    @property
    def ruined(self) -> bool:
        """Whether binary content went through UTF-8 text: bytes are lost for ever, only the original helps."""
        return self.media_type in {RUINED_PDF, RUINED}


def detect(head: bytes) -> Detected:
    """Tell the kind of a file from its first `HEAD_BYTES`; fewer only if the file is shorter."""
    head = head[:HEAD_BYTES]
    if not head:
        return Detected(media_type=EMPTY)
    if head.startswith(_LOCAL_MAGIC):
        return _zip(head)
    if head.startswith(_EMPTY_ZIP):
        return Detected(media_type=ZIP)
    if head.startswith(_OLE_MAGIC):
        return Detected(media_type=next((kind for name, kind in _BY_OLE_STREAM if name in head), OLE))
    for magic, kind in _BY_MAGIC:
        if head.startswith(magic):
            return Detected(media_type=kind)
    if b"%PDF-" in head[:_PDF_ANYWHERE]:
        # Readers let something stand before the header, so this comes after all that begins with its magic.
        return Detected(media_type=RUINED_PDF if _is_ruined_pdf(head) else PDF)
    if head.startswith(_REPLACEMENT):
        # The first byte of every binary magic above 0x7F became U+FFFD: PNG, JPEG, OLE.
        return Detected(media_type=RUINED)
    return Detected(media_type=_text(head))


def fits_extension(detected: Detected, extension: str) -> bool:
    """Whether the content may carry this extension; an extension nobody knows fits everything."""
    expected = _EXTENSIONS.get(extension)
    return expected is None or detected.media_type in expected or detected.ruined


def fits_declared(detected: Detected, declared: str) -> bool:
    """Whether the content may be declared so; half of the traffic writes `application/<extension>`."""
    claim = declared.partition(";")[0].strip().lower().removeprefix(".")
    if claim == detected.media_type or detected.ruined:
        return True
    extensions = _DECLARED.get(claim)
    if extensions is None:
        family, _, rest = claim.partition("/")
        short = (rest or family).removeprefix(".")
        if short not in _EXTENSIONS:
            return True
        extensions = (short,)
    return any(fits_extension(detected, extension) for extension in extensions)


def extension_of(name: str) -> str:
    """The extension of a file name in small letters without its dot; empty if there is none."""
    base, dot, extension = name.rpartition(".")
    return extension.strip().lower() if dot and base and len(extension) <= 8 else ""


def _is_ruined_pdf(head: bytes) -> bool:
    return (
        _SECOND_LINE_OF_RUINED_PDF.search(head[: _PDF_ANYWHERE + 64]) is not None
        or _STREAM_OF_RUINED_PDF.search(head) is not None
    )


def _zip(head: bytes) -> Detected:
    names: list[str] = []
    at = 0
    while at >= 0 and len(names) < _MOST_ENTRIES and len(head) >= at + _LOCAL_HEADER.size:
        fields = _LOCAL_HEADER.unpack_from(head, at)
        if fields[0] != _LOCAL_MAGIC:
            break
        flags, method, packed, name_length, extra_length = (
            fields[2],
            fields[3],
            fields[7],
            fields[9],
            fields[10],
        )
        begin = at + _LOCAL_HEADER.size
        start = begin + name_length + extra_length
        raw = head[begin : begin + min(name_length, _LONGEST_NAME)]
        names.append(raw.decode("utf-8" if flags & 0x800 else "cp437", "replace"))
        if len(names) == 1:
            special = _office_by_first_entry(names[0], method, head[start:])
            if special:
                return Detected(media_type=special)
        # Bit 3: the size stands behind the content, so the next entry is searched for.
        known = packed and not flags & 0x08
        at = start + packed if known else head.find(_LOCAL_MAGIC, start)
    if any(name in _OPC_ENTRIES for name in names):
        for folder, kind in _BY_OPC_FOLDER:
            if any(name.startswith(folder) for name in names):
                return Detected(media_type=kind)
        return Detected(media_type=OPC)
    if head.count(_REPLACEMENT) > 1:
        # Packed content holds these three bytes by chance once in sixteen million places.
        return Detected(media_type=RUINED)
    return Detected(media_type=ZIP, first_entry=names[0] if names else "")


def _office_by_first_entry(name: str, method: int, content: bytes) -> str:
    if name == "mimetype" and method == 0 and content.startswith(b"application/"):
        found = re.match(rb"application/[a-z0-9.+-]{1,80}?(?=PK|[^a-z0-9.+-]|\Z)", content)
        return found.group().decode("ascii") if found else ""
    if name != "[Content_Types].xml":
        return ""
    unpacked = content
    if method == zlib.DEFLATED:
        try:
            unpacked = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, _MOST_UNPACKED)
        except zlib.error:
            return ""
    return next((kind for word, kind in _BY_OPC_CONTENT if word in unpacked), "")


def _text(head: bytes) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return TEXT
    body = head.removeprefix(_BOM)
    if _CONTROL.search(body):
        return UNKNOWN
    try:
        # The head may end inside a character.
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(body) - 3:
            return UNKNOWN
    start = body.lstrip()[:64].lower()
    if start.startswith(b"<?xml"):
        return XML
    if start.startswith((b"<!doctype html", b"<html")):
        return HTML
    return TEXT
