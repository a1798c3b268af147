"""What `axis verify` says: to programs a shape that stays, to clerks a page they understand."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from signing.errors import MaterialError
from signing.pdf import DocumentValue
from signing.report import (
    exit_status,
    judge_files,
    render_text,
    shown,
    verify_files,
)
from tests.signing.builders import (
    AT,
    SIGNED_AT,
    AnAttachment,
    a_document,
    a_status,
    good,
    ministry,
    pki,
    signed,
    trust,
)
from tests.signing.pdfs import a_pdf, signed_pdf, zipped
from tests.signing.test_pdf import minister

SHAPE = ["file", "verdict", "reason", "signer", "signed_at", "checks", "attachments", "policy"]


def written(folder: Path, name: str, message: bytes) -> Path:
    path = folder / name
    path.write_bytes(message)
    return path


def some_of_each(folder: Path) -> dict[str, Path]:
    legacy = a_document().replace(
        b"</edXML:edXMLHeader>",
        b'<Signature><SignedInfo><Reference URI=""/></SignedInfo></Signature></edXML:edXMLHeader>',
    )
    return {
        "passed": written(folder, "passed.edxml", good()),
        "failed": written(folder, "failed.edxml", good().replace(b"000.00.00.H26", b"000.00.00.H27")),
        "legacy": written(folder, "legacy.edxml", legacy),
        "unsigned": written(folder, "unsigned.edxml", a_document()),
        "no XML": written(folder, "no.edxml", b"%PDF-1.7\n"),
        "missing": folder / "missing.edxml",
    }


def the_list(folder: Path, *, revoked: bool = False, age: timedelta = timedelta(hours=1)) -> list[Path]:
    issued = AT - age
    entries = [(ministry().certificate, AT - timedelta(days=1))] if revoked else []
    lists = [
        pki().revocation_list(issued_at=issued, revoked=entries),
        pki().revocation_list(issued_at=issued, by=pki().root),
    ]
    return [written(folder, f"list{n}.pem", one.public_bytes(Encoding.PEM)) for n, one in enumerate(lists)]


def test_the_shape_for_programs_is_the_same_for_every_file(tmp_path: Path) -> None:
    """Seven names, whatever became of the file; and JSON can carry it."""
    rows = verify_files(list(some_of_each(tmp_path).values()), trust=trust(), at=AT)

    assert [list(row) for row in rows] == [SHAPE] * 6
    assert [row["verdict"] for row in rows] == [
        "passed",
        "failed",
        "legacy",
        "unsigned",
        "failed",
        "failed",
    ]
    assert json.loads(json.dumps(rows)) == rows


def test_a_passed_file_says_who_when_and_what(tmp_path: Path) -> None:
    """Signer, signing time, each step, each attachment by digest."""
    (row,) = verify_files([written(tmp_path, "a.edxml", good())], trust=trust(), at=AT)

    assert row["reason"] == "signature.passed"
    assert row["signer"] == ministry().certificate.subject.rfc4514_string()
    assert row["signed_at"] == SIGNED_AT.isoformat()
    assert {c["name"]: c["result"] for c in row["checks"]}["revocation"] == "not_checked"
    assert [(a["content_id"], a["signed"]) for a in row["attachments"]] == [("c0", True), ("c1", True)]


@pytest.mark.parametrize(
    ("names", "status"),
    [
        (["passed"], 0),
        (["passed", "unsigned"], 4),
        (["legacy"], 4),
        (["legacy", "failed"], 1),
        (["no XML", "passed"], 1),
        (["failed", "missing", "unsigned"], 2),
        ([], 0),
    ],
)
def test_the_exit_status_is_that_of_the_worst(names: list[str], status: int, tmp_path: Path) -> None:
    """2, then 1, 3, 4, 0."""
    files = some_of_each(tmp_path)
    paths = [files[name] for name in names]

    rows = verify_files(paths, trust=trust(), at=AT)
    reports = judge_files(paths, trust=trust(), at=AT)

    assert (exit_status(rows), exit_status(reports)) == (status, status)


def test_indeterminate_stands_between_failed_and_unsigned(tmp_path: Path) -> None:
    """Three."""
    files = some_of_each(tmp_path)
    stale = the_list(tmp_path, age=timedelta(days=3))

    rows = verify_files([files["passed"], files["unsigned"]], trust=trust(), at=AT, crls=stale)

    assert [row["verdict"] for row in rows] == ["indeterminate", "unsigned"]
    assert (
        exit_status(rows),
        exit_status([*rows, *verify_files([files["failed"]], trust=trust(), at=AT)]),
    ) == (
        3,
        1,
    )


@pytest.mark.parametrize(
    ("revoked", "verdict", "reason"),
    [(False, "passed", "signature.passed"), (True, "failed", "revocation.revoked")],
)
def test_lists_given_are_asked(revoked: bool, verdict: str, reason: str, tmp_path: Path) -> None:
    """`--crl`, once for each authority of the chain."""
    path = written(tmp_path, "a.edxml", good())

    (row,) = verify_files([path], trust=trust(), at=AT, crls=the_list(tmp_path, revoked=revoked))

    assert (row["verdict"], row["reason"]) == (verdict, reason)


def test_a_list_for_one_authority_only_is_not_enough(tmp_path: Path) -> None:
    """Whether the issuing authority itself was revoked stays open."""
    path = written(tmp_path, "a.edxml", good())

    (row,) = verify_files([path], trust=trust(), at=AT, crls=the_list(tmp_path)[:1])

    assert (row["verdict"], row["reason"]) == ("indeterminate", "revocation.unknown")


def test_a_list_that_is_none_is_a_fault_of_the_caller(tmp_path: Path) -> None:
    """It is no verdict on the message."""
    path = written(tmp_path, "a.edxml", good())

    with pytest.raises(MaterialError, match=r"crl\.unreadable"):
        verify_files([path], trust=trust(), at=AT, crls=[path])


@pytest.mark.parametrize("language", ["vi", "en"])
def test_the_page_names_everything_in_both_languages(language: str, tmp_path: Path) -> None:
    """Verdict, reason, signer, time, files: no code is needed to understand it."""
    assert language in {"vi", "en"}
    reports = judge_files(list(some_of_each(tmp_path).values()), trust=trust(), at=AT)

    page = render_text(reports, language="vi" if language == "vi" else "en", width=120)

    expected = {
        "vi": ["HỢP LỆ", "KHÔNG CÓ CHỮ KÝ", "KHÔNG MỞ ĐƯỢC TỆP", "Người ký", "đã bị sửa sau khi ký"],
        "en": ["VALID", "NOT SIGNED", "CANNOT BE OPENED", "Signer", "was changed after signing"],
    }[language]
    assert [words for words in expected if words not in page] == []
    assert "Bộ Thử nghiệm" in page
    assert "quyet_dinh.pdf" in page
    assert "02/03/2026 15:30:00" in page, "Vietnam time"
    assert "--crl" in page, "what was not checked is said"


def test_a_status_has_no_attachments(tmp_path: Path) -> None:
    """And is judged like a document."""
    path = written(tmp_path, "s.edxml", signed(a_status()))

    (row,) = verify_files([path], trust=trust(), at=AT)

    assert (row["verdict"], row["attachments"]) == ("passed", [])


def test_names_of_strangers_cannot_play_with_the_terminal(tmp_path: Path) -> None:
    """No markup of rich, no control characters, no reversed file names, no endless lines."""
    name = "[red]x[/red]\u202efdp.exe" + "y" * 300
    message = a_document(attachments=[AnAttachment(content_id="c0", name=name)])
    path = written(tmp_path, "a.edxml", signed(message))

    page = render_text(judge_files([path], trust=trust(), at=AT), width=400)

    assert "[red]x[/red] fdp.exe" in page
    assert "\u202e" not in page
    assert "y" * 201 not in page
    assert shown("a\x1b[31m\r\nb\u2028c") == "a [31m  b c"


def test_signatures_inside_attachments_are_shown_at_their_file(tmp_path: Path) -> None:
    """Who, as what, and what the document is worth; they do not change the verdict about the message."""
    both = signed_pdf(signed_pdf(a_pdf(), by=minister()), by=ministry(), field="Organ")
    attachments = [
        AnAttachment(content_id="c0", name="vb.pdf", content=both),
        AnAttachment(content_id="c1", name="pl.pdf", content=both.replace(b"Helvetica", b"Helvetiga")),
        AnAttachment(content_id="c2", name="bang.txt", content=b"hello"),
        AnAttachment(content_id="c3", name="khong_ky.pdf", content=a_pdf()),
        AnAttachment(content_id="c4", name="nen.xlsx", content=zipped(("a.pdf", both))),
    ]
    path = written(tmp_path, "a.edxml", signed(a_document(attachments=attachments)))

    (report,) = judge_files([path], trust=trust(), at=AT)
    (row,) = verify_files([path], trust=trust(), at=AT)
    page = render_text([report], language="vi", width=160)

    assert row["verdict"] == "passed"
    assert [a["inside"]["reason"] for a in row["attachments"]] == [
        "pdf.passed",
        "pdf.broken",
        "pdf.not_pdf",
        "pdf.unsigned",
        "pdf.passed",
    ]
    assert report.value is not None
    assert report.value.value is DocumentValue.REFERENCE
    assert "✓ Nguyễn Văn Kiểm (người ký)" in page
    assert "chỉ để tham khảo" in page


def test_attachments_of_unsigned_messages_are_looked_into_too(tmp_path: Path) -> None:
    """Their PDFs are all that carries weight."""
    file = AnAttachment(content_id="c0", content=signed_pdf(a_pdf(), by=ministry()))
    path = written(tmp_path, "a.edxml", a_document(attachments=[file]))

    (row,) = verify_files([path], trust=trust(), at=AT)

    assert (row["verdict"], row["attachments"][0]["inside"]["reason"]) == ("unsigned", "pdf.passed")


def test_looking_into_attachments_can_be_left_out(tmp_path: Path) -> None:
    """For whoever has only the message in mind."""
    path = written(tmp_path, "a.edxml", good())

    (row,) = verify_files([path], trust=trust(), at=AT, pdfs=False)

    assert [a["inside"] for a in row["attachments"]] == [None, None]
