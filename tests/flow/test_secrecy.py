"""Marks of secrecy: every form is found where it is written, and ordinary words are not (LR-02)."""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Iterator
from dataclasses import fields, replace
from importlib import resources
from typing import Any

import pytest

from axis.core.model import BusinessType
from axis.edxml.message import Attachment, Code, DocumentType, Edoc, OtherInfo, Reference
from axis.edxml.reader import read_package
from axis.edxml.rules import HEADER, MANIFEST
from axis.flow.secrecy import Hit, Patterns, TextKind, find_secrecy_mark, patterns
from tests.edxml.builders import (
    a_bussiness,
    a_status,
    a_zip,
    an_attachment,
    an_edoc,
    an_edoc_package,
)

_FILE: dict[str, Any] = tomllib.loads(
    resources.files("axis.flow").joinpath("secrecy.toml").read_text("utf-8")
)
_NEGATIVE: list[str] = _FILE["examples"]["negative"]


def _positives() -> Iterator[tuple[str, str, str]]:
    for entry in _FILE["pattern"]:
        for text in entry["positive"]:
            for kind in entry["applies"]:
                yield entry["name"], kind, text


def _alone(name: str) -> Patterns:
    return replace(patterns(), patterns=tuple(one for one in patterns().patterns if one.name == name))


@pytest.mark.requirement("LR-02")
@pytest.mark.threat(
    "a state secret is sent over the axis",
    control="marks of secrecy refuse the message before anything is stored",
)
@pytest.mark.parametrize(("name", "kind", "text"), list(_positives()))
def test_a_pattern_finds_each_of_its_forms(name: str, kind: str, text: str) -> None:
    """By itself, in every kind of text it is for, and also as decomposed Unicode with invisible characters."""
    alone = _alone(name)

    assert name == alone.find(text, kind=TextKind(kind))
    assert name == alone.find(unicodedata.normalize("NFD", text), kind=TextKind(kind))
    assert name == alone.find(f"\u200b {text}\u00a0\ufeff", kind=TextKind(kind))


@pytest.mark.requirement("LR-02", "LR-66")
@pytest.mark.parametrize("text", _NEGATIVE)
def test_ordinary_words_are_no_mark(text: str) -> None:
    """In no kind of text, as a whole or as a file name."""
    found = {kind: patterns().find(text, kind=kind) for kind in TextKind}

    assert dict.fromkeys(TextKind) == found
    assert patterns().find(f"{text}.pdf", kind=TextKind.FILE) is None
    assert patterns().find(f"{text.replace(' ', '_')}_Signed.pdf", kind=TextKind.FILE) is None


def test_there_are_enough_examples() -> None:
    """At least forty texts that look like marks and are none, and no two patterns of a name."""
    names = [one.name for one in patterns().patterns]

    assert len(_NEGATIVE) >= 40
    assert len(set(_NEGATIVE)) == len(_NEGATIVE)
    assert len(set(names)) == len(names)
    assert all(entry["positive"] for entry in _FILE["pattern"])


_FIELDS = {
    f"{HEADER}/OtherInfo/SphereOfPromulgation": an_edoc(other=OtherInfo(sphere_of_promulgation="Tối mật")),
    f"{HEADER}/DocumentType/TypeName": an_edoc(document_type=DocumentType(type=2, type_name="MẬT")),
    f"{HEADER}/OtherInfo/Appendixes/Appendix[2]": an_edoc(
        other=OtherInfo(appendixes=("Biểu mẫu", "Tuyệt mật"))
    ),
    f"{HEADER}/Subject": an_edoc(subject="Kế hoạch diễn tập (Mật)"),
    f"{HEADER}/Content": an_edoc(content="[TỐI MẬT] Kế hoạch"),
    f"{HEADER}/Code/CodeNotation": an_edoc(code=Code(number="12", notation="KH-UBND-MẬT")),
    f"{MANIFEST}/Reference/AttachmentName": replace(an_edoc(), manifest=(Reference(name="KH_12_MẬT.pdf"),)),
    f"{MANIFEST}/Reference/Description": replace(
        an_edoc(), manifest=(Reference(description="Kế hoạch (Tối mật)"),)
    ),
    "/edXML/AttachmentEncoded/Attachment[2]/AttachmentName": replace(
        an_edoc(), attachments=(Attachment(name="a.pdf"), Attachment(name="TUYET MAT_Ke hoach_Signed.pdf"))
    ),
    "/edXML/AttachmentEncoded/Attachment/ContentTransferEncoded": replace(
        an_edoc(), attachments=(Attachment(name="a.doc", zip_entry="van ban/KH (Mật).doc"),)
    ),
    "/edXML/edXMLEnvelope/edXMLHeader/TraceHeaderList/Bussiness/BussinessDocReason": an_edoc(
        bussiness=replace(a_bussiness(BusinessType.RECALL), reason="(Mật) thu hồi")
    ),
}


@pytest.mark.parametrize("field", list(_FIELDS))
def test_a_mark_is_found_in_each_field_it_is_written_in(field: str) -> None:
    """The hit names the field, and the same document without the mark passes."""
    hit = find_secrecy_mark(_FIELDS[field])

    assert hit is not None
    assert field == hit.field
    assert find_secrecy_mark(an_edoc()) is None


def test_a_hit_carries_nothing_of_the_content() -> None:
    """Only where and by which pattern: this is what the ledger may keep."""
    hit = find_secrecy_mark(an_edoc(subject="TUYỆT MẬT: Kế hoạch A-75"))

    assert Hit(field=f"{HEADER}/Subject", pattern="begins.in_capitals") == hit
    assert {"field", "pattern"} == {one.name for one in fields(Hit)}


def test_a_mark_is_found_in_a_message_as_received() -> None:
    """Through the reader, with the name of the file inside a ZIP."""
    package = an_edoc_package(
        attachments=(
            an_attachment(
                a_zip(("KH_TỐI MẬT.doc", b"x")), name="kehoach.doc", content_type="application/zip"
            ),
        )
    )

    hit = find_secrecy_mark(read_package(package).message)

    assert (
        Hit(field="/edXML/AttachmentEncoded/Attachment/ContentTransferEncoded", pattern="ends.in_capitals")
        == hit
    )


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("KH_12_MẬT.pdf", True),
        ("KH_12_(Mật)_Signed.pdf", True),
        ("KH 12 - TỐI MẬT (1).signed.PDF", True),
        ("TOI_MAT_KH12.docx", True),
        ("MẬT_KH12.zip", True),
        ("mật khẩu.txt", False),
        ("quy_che_bao_mat.pdf", False),
        ("QUY_CHẾ_BẢO_MẬT.SIGNED.PDF", False),
        ("DANH_SACH_VANG_MAT.xlsx", False),
        ("bao_mat.toi", False),
        (".pdf", False),
        ("pdf", False),
    ],
)
def test_file_names(name: str, *, found: bool) -> None:
    """What programs append to a name does not hide a mark, and makes none."""
    assert found == (find_secrecy_mark(replace(an_edoc(), manifest=(Reference(name=name),))) is not None)


@pytest.mark.parametrize(
    ("description", "found"),
    [
        ("MẬT", True),
        ("(Tối mật) chuyển đồng chí A", True),
        ("Trả lại vì văn bản đóng dấu (Mật)", False),
        ("Từ chối không tiếp nhận: đây là văn bản MẬT", False),
        ("Tiếp nhận văn bản điện tử, vào sổ văn bản đến", False),
    ],
)
def test_a_status_may_speak_of_a_mark(description: str, *, found: bool) -> None:
    """A return that says why must come through; one that begins with a mark is marked itself."""
    hit = find_secrecy_mark(a_status("02", description=description))

    assert found == (hit is not None)
    assert hit is None or f"{HEADER}/Description" == hit.field


@pytest.mark.parametrize("filler", ["a", "MẬT ", "(", "-", " ", "m ậ ", "(mật", "tối mật-", "MẬT, "])
def test_long_texts_are_searched_in_no_time(filler: str) -> None:
    """Only the ends of a text count, so a hostile one costs nothing; the mark at its end is still found."""
    long = filler * 200_000

    edoc: Edoc = replace(
        an_edoc(subject=f"{long} x", content=""), manifest=(Reference(name=f"x {long} x.pdf"),)
    )
    find_secrecy_mark(edoc)

    assert patterns().find(f"{long} x (Mật)", kind=TextKind.TITLE) is not None
    assert patterns().find(f"{long} x (Mật).pdf", kind=TextKind.FILE) is not None
