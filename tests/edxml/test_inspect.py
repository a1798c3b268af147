"""What `axis inspect` says of a file: of every published sample, of our own messages, of bad ones."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tracemalloc
from dataclasses import dataclass, field
from pathlib import Path

import pybase64
import pytest
from rich.console import Console

from axis.core.errors import NotFound, ServiceUnavailable
from axis.core.model import VIETNAM
from axis.edxml.inspect import Inspection, inspect_file, render_inspection
from axis.edxml.message import Code, OtherInfo
from tests.edxml.builders import (
    SENT_AT,
    a_pdf,
    a_status_package,
    altered,
    an_edoc_package,
    without,
)
from tests.signing.builders import signed

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
"""Published sample messages, beside the checkout in CI and not part of it."""

_ID = "000.00.00.G22,2015/09/30,7816/VPCP-TTĐT"
_ZIPPED = ("cid:209", "1896_QD-TTg_m_294779.doc", "application/zip", "application/zip", 207)
_WRAPPED = {"attachment.zipped", "attachment.zip_entry", "signature.namespace"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a sample is."""

    kind: str
    sender: str
    to: list[str]
    tier: str
    document_id: str = _ID
    code: str | None = "7816/VPCP-TTĐT"
    issued: str | None = "2018-09-28"
    business_type: int = 0
    priority: int | None = None
    status_code: str | None = None
    attachments: list[tuple[str, str, str, str, int]] = field(default_factory=list)
    warnings: set[str] = field(default_factory=set)


def _status(code: str, *, issued: str = "2015-09-30", warnings: set[str] | None = None) -> Sample:
    sender, to = ("000.00.00.H41", "000.00.00.G22")
    if code == "13":
        sender, to = to, sender
    return Sample(
        kind="status",
        sender=sender,
        to=[to],
        tier="unsigned",
        issued=issued,
        status_code=code,
        warnings={"form.trailing_space"} if warnings is None else warnings,
    )


_THREE = ["000.00.00.H41", "000.00.00.H14", "000.00.00.G17"]
_SAMPLES = {
    "ax1/good.edxml": Sample(
        kind="edoc",
        sender="000.00.00.G22",
        to=["000.00.00.H53"],
        tier="indeterminate",
        document_id="000.00.00.G22,2026/11/22,12/QĐ-VPCP",
        code="12/QĐ-VPCP",
        issued="2026-11-22",
        business_type=0,
        priority=0,
        attachments=[
            ("cid:c0", "12_QD_VPCP.pdf", "application/pdf", "application/pdf", 125),
            ("cid:c1", "phu_luc.pdf", "application/pdf", "application/pdf", 134),
        ],
    ),
    "doc-01-new.edxml": Sample(
        kind="edoc",
        sender="000.00.00.A80",
        to=["28.22.H17"],
        tier="legacy",
        code="74fass22/VPCP-TTĐT",
        issued="2019-01-16",
        business_type=0,
        priority=0,
        attachments=[_ZIPPED],
        warnings={
            *_WRAPPED,
            "code.not_a_number",
            "date.impossible",
            "document_id.disagrees",
            "organ.nine_characters",
        },
    ),
    "doc-02-revoke.edxml": Sample(
        kind="edoc",
        sender="000.00.00.G22",
        to=_THREE,
        tier="legacy",
        business_type=1,
        priority=0,
        attachments=[_ZIPPED],
        warnings={*_WRAPPED, "form.trailing_space"},
    ),
    "doc-03-update.edxml": Sample(
        kind="edoc",
        sender="000.00.00.G22",
        to=_THREE,
        tier="legacy",
        business_type=2,
        priority=0,
        attachments=[_ZIPPED],
        warnings={*_WRAPPED, "form.trailing_space", "date.impossible"},
    ),
    "doc-04-replace.edxml": Sample(
        kind="edoc",
        sender="000.00.00.G22",
        to=_THREE,
        tier="legacy",
        business_type=3,
        priority=0,
        attachments=[_ZIPPED],
        warnings={*_WRAPPED, "form.trailing_space", "replacement.repeated"},
    ),
    "doc-06-sdk-output-bussiness-first.edxml": Sample(
        kind="edoc",
        sender="000.00.00.G22",
        to=_THREE,
        tier="legacy",
        issued="2019-04-11",
        business_type=0,
        priority=0,
        attachments=[_ZIPPED],
        warnings={
            *_WRAPPED,
            "form.trailing_space",
            "form.bussiness_first",
            "date.impossible",
            "document_id.disagrees",
        },
    ),
    "doc-11-minimal.edxml": Sample(
        kind="edoc",
        sender="vxp.saas.03",
        to=["vxp.saas.03"],
        # It has no signature at all, so there is nothing legacy about it.
        tier="unsigned",
        document_id="test-doc",
        code=None,
        issued=None,
        business_type=0,
        attachments=[
            (
                "cid:e97bfe2b-24ed-477c-8be0-9d89fc707614",
                "clean.txt",
                "application/zip",
                "application/zip",
                206,
            )
        ],
        warnings={
            "attachment.type_differs",
            "attachment.zipped",
            "bussiness.missing",
            "document_id.form",
            "field.missing",
            "organ.form",
        },
    ),
    "doc-12-bkav-provincial-new.edxml": Sample(
        kind="edoc",
        sender="000.00.11.H53",
        to=["000.00.01.A53"],
        tier="legacy",
        document_id="000.00.11.H53,2020/10/30,2491/STC-BCTC",
        code="2491/STC-BCTC",
        issued="2020-10-30",
        business_type=0,
        priority=0,
        attachments=[_ZIPPED],
        warnings={*_WRAPPED, "date.form", "date.impossible", "field.missing", "form.empty"},
    ),
    "status-00-arrived.edxml": _status("01", issued="2018-09-28"),
    "status-01-inbox.edxml": _status("01"),
    "status-02-rejection.edxml": _status("02"),
    "status-03-acceptance.edxml": _status("03"),
    "status-04-assignment.edxml": _status("04"),
    "status-05-processing-bkav.edxml": _status("05", warnings=set()),
    "status-05-processing.edxml": _status("05"),
    "status-06-finish.edxml": _status("06"),
    "status-13-cancellation.edxml": _status("13"),
    "status-15-change-acceptance.edxml": _status("15"),
    "status-16-change-rejection.edxml": _status("16"),
}


@pytest.mark.published_samples
def test_every_sample_is_known() -> None:
    """A sample that is added later must be added here."""
    found = {path.relative_to(SAMPLES).as_posix() for path in SAMPLES.rglob("*.edxml")}

    assert set(_SAMPLES) == found, f"the samples are expected in {SAMPLES}"


@pytest.mark.published_samples
@pytest.mark.parametrize("name", list(_SAMPLES))
def test_samples(name: str) -> None:
    """Kind, codes, dates, receivers, attachments by their content, and a warning for each quirk."""
    expected = _SAMPLES[name]

    found = inspect_file(SAMPLES / name)

    assert (expected.kind, expected.tier, expected.business_type) == (
        found["kind"],
        found["tier"],
        found["business_type"],
    )
    assert (expected.sender, expected.to) == (found["from"], found["to"])
    assert (expected.document_id, expected.code, expected.issued) == (
        found["document_id"],
        found["code"],
        found["promulgation_date"],
    )
    assert (expected.priority, expected.status_code) == (found["priority"], found.get("status_code"))
    assert expected.attachments == [
        (one["content_id"], one["name"], one["declared_type"], one["detected_type"], one["size"])
        for one in found["attachments"]
    ]
    assert expected.warnings == {one["code"] for one in found["warnings"]}
    assert found["error"] is None
    assert (found["subject"] is None) == (expected.kind == "status")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "goi-tin.edxml"


_MEMBERS = [
    "file", "kind", "business_type", "document_id", "from", "to", "code", "promulgation_date", "subject", "priority",
    "tier", "attachments", "warnings", "error",
]  # fmt: skip


def test_the_json_of_a_document(file: Path) -> None:
    """Exactly the members that scripts rely on, in their order; no warning for a clean message."""
    file.write_bytes(an_edoc_package())

    found = inspect_file(file)

    assert json.loads(json.dumps(found)) == {
        "file": str(file),
        "kind": "edoc",
        "business_type": 0,
        "document_id": "000.00.00.G22,2026/03/02,7816/VPCP-TTĐT",
        "from": "000.00.00.G22",
        "to": ["000.00.00.H41", "000.00.00.H14"],
        "code": "7816/VPCP-TTĐT",
        "promulgation_date": "2026-03-02",
        "subject": "V/v triển khai kết nối phần mềm quản lý văn bản",
        "priority": 0,
        "tier": "unsigned",
        "attachments": [
            {
                "content_id": "cid:c0",
                "name": "7816_VPCP-TTDT.pdf",
                "declared_type": "application/pdf",
                "detected_type": "application/pdf",
                "size": len(a_pdf()),
                "sha256": hashlib.sha256(a_pdf()).hexdigest(),
            }
        ],
        "warnings": [],
        "error": None,
    }
    assert list(found) == _MEMBERS


def test_the_json_of_a_status(file: Path) -> None:
    """The document it answers, the organ it goes to, and what only a status has."""
    file.write_bytes(a_status_package("13", description=""))

    found = inspect_file(file, lang="en")

    assert list(found) == [*_MEMBERS, "status_code", "description", "timestamp"]
    assert (found["kind"], found["to"], found.get("status_code")) == ("status", ["000.00.00.G22"], "13")
    assert found.get("timestamp") == SENT_AT.astimezone(VIETNAM).isoformat()
    assert [(one["code"], one["text"]) for one in found["warnings"]] == [
        ("status.reason_missing", "Status 13 must give a reason (Description).")
    ]


def test_warnings_come_in_the_language_asked_for(file: Path) -> None:
    """One text, not both."""
    file.write_bytes(an_edoc_package(bussiness=None))

    texts = [inspect_file(file, lang=lang)["warnings"][0]["text"] for lang in ("vi", "en")]

    assert texts == [
        "Không có Bussiness; được hiểu là văn bản mới.",
        "There is no Bussiness; the document is taken as new.",
    ]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "parse.not_xml"),
        (b"%PDF-1.7\n", "parse.not_xml"),
        (an_edoc_package()[:-40], "parse.not_xml"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><edXML/>', "parse.doctype"),
        (an_edoc_package().decode().encode("utf-16"), "parse.encoding"),
        (b"<html/>", "parse.not_edxml"),
        (altered(an_edoc_package(), "BussinessDocType>0", "BussinessDocType>7"), "parse.business_type"),
    ],
)
def test_a_bad_file_is_unreadable(file: Path, content: bytes, code: str) -> None:
    """It says why in both languages and with the place; the other members are there and empty."""
    file.write_bytes(content)

    found = inspect_file(file)

    assert list(found) == _MEMBERS
    assert (found["kind"], found["tier"], found["to"], found["attachments"]) == ("unreadable", None, [], [])
    assert found["error"] is not None
    assert found["error"]["code"] == code
    assert all(one["vi"] and one["en"] and one["path"] for one in found["error"]["details"])
    assert found["error"]["details"]


def test_what_the_axis_would_refuse_is_an_error(file: Path) -> None:
    """A message that can be read keeps its facts; every fault is listed, not only the first."""
    wrong = altered(an_edoc_package(attachments=()), "000.00.00.H14", "000.00.00.h41")
    file.write_bytes(without(wrong, "edXML:DocumentId"))

    found = inspect_file(file)

    assert found["kind"] == "edoc"
    assert found["error"] is not None
    assert found["error"]["code"] == "validate.duplicate_receiver"
    assert [one["en"] for one in found["error"]["details"]] == [
        "The receiver 000.00.00.H41 is named already in To number 1.",
        "DocumentId is missing; without it nobody can answer the document.",
    ]
    assert "attachment.none" in {one["code"] for one in found["warnings"]}


def test_a_signature_is_judged_as_far_as_it_can_be_without_trust(file: Path) -> None:
    """Whole: indeterminate. Changed: failed, with the rule it breaks."""
    package = signed(an_edoc_package())
    file.write_bytes(package)
    whole = inspect_file(file)
    file.write_bytes(altered(package, "V/v triển khai", "V/v tạm dừng", count=1))

    changed = inspect_file(file)

    assert (whole["tier"], whole["error"], whole["warnings"]) == ("indeterminate", None, [])
    assert changed["tier"] == "failed"
    assert changed["error"] is not None
    assert changed["error"]["code"] == "verify.signature"
    assert changed["error"]["details"][0]["en"] == "The header was changed after signing."


def test_a_future_date_is_judged_only_against_a_given_moment(file: Path) -> None:
    """The file alone does not know what day it is."""
    file.write_bytes(an_edoc_package())
    before = SENT_AT.replace(year=2025)

    codes = [[one["code"] for one in inspect_file(file, at=at)["warnings"]] for at in (None, SENT_AT, before)]

    assert codes == [[], [], ["date.future"]]


def test_a_content_that_is_no_base64_has_no_digest(file: Path) -> None:
    """A digest of half a file would be taken for that of the file."""
    package = an_edoc_package()
    encoded = pybase64.b64encode(a_pdf()).decode()
    file.write_bytes(altered(package, encoded, encoded[:-5] + "*" + encoded[-4:]))

    found = inspect_file(file)

    assert [one["sha256"] for one in found["attachments"]] == [None]
    assert found["error"] is not None
    assert found["error"]["code"] == "validate.base64"


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, a folder, a disk that fails: errors of the axis, not of the system."""
    with pytest.raises(NotFound):
        inspect_file(tmp_path / "none.edxml")
    with pytest.raises(NotFound):
        inspect_file(tmp_path)
    with pytest.raises(ServiceUnavailable):
        # Its first page is never mapped, so that reading it is an input/output error.
        inspect_file("/proc/self/mem")


def test_memory_does_not_grow_with_the_file(file: Path) -> None:
    """A message of 60 MB is inspected in a few megabytes."""
    head, tail = an_edoc_package().split(b"</edXML:ContentTransferEncoded>")
    start = head.rindex(b">") + 1
    block = pybase64.b64encode(bytes(range(256)) * 3 * 1024)
    with file.open("wb") as out:
        out.write(head[:start])
        for _ in range(60):
            out.write(block)
        out.write(b"</edXML:ContentTransferEncoded>" + tail)
    tracemalloc.start()
    try:
        found = inspect_file(file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert file.stat().st_size > 60_000_000
    assert found["attachments"][0]["size"] == 60 * 3 * 256 * 1024
    assert peak < 8 * 1024 * 1024


def _shown(found: Inspection, *, lang: str, width: int = 120) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    console.print(render_inspection(found, lang=lang))
    written = console.file
    assert isinstance(written, io.StringIO)
    return written.getvalue()


@pytest.mark.parametrize(
    ("lang", "expected"),
    [
        (
            "vi",
            ["văn bản mới", "Trích yếu", "7816/VPCP-TTĐT", "không ký", "1 (khẩn)", "Không có gì bất thường"],
        ),
        ("en", ["new document", "Subject", "7816/VPCP-TTĐT", "not signed", "1 (urgent)", "Nothing odd"]),
    ],
)
def test_a_clerk_can_read_it(file: Path, lang: str, expected: list[str]) -> None:
    """The header in words, in the language asked for."""
    file.write_bytes(an_edoc_package(other=OtherInfo(priority=1)))

    shown = _shown(inspect_file(file, lang=lang), lang=lang)

    assert [one for one in expected if one not in shown] == []


def test_faults_are_shown_first(file: Path) -> None:
    """Unreadable, and readable but refused."""
    file.write_bytes(b"<html/>")
    unreadable = _shown(inspect_file(file), lang="vi")
    file.write_bytes(an_edoc_package(document_id="x", code=Code(number="a", notation="b")))
    warned = _shown(inspect_file(file), lang="en")
    file.write_bytes(a_status_package("13"))
    status = _shown(inspect_file(file), lang="vi")

    assert "[parse.not_edxml] Không đọc được" in unreadable
    assert "Warnings (2)" in warned
    assert "13 (yêu cầu lấy lại)" in status


def test_nothing_is_cut_off_on_a_narrow_terminal(file: Path) -> None:
    """Long texts wrap, also on a console that lets lines run on."""
    file.write_bytes(altered(an_edoc_package(document_id="x" * 70), "Direction>false<", "Direction>không<"))
    found = inspect_file(file, lang="en")

    for soft_wrap in (False, True):
        console = Console(width=60, file=io.StringIO(), color_system=None, soft_wrap=soft_wrap)
        console.print(render_inspection(found, lang="en"))
        written = console.file
        assert isinstance(written, io.StringIO)
        shown = re.sub(r"[\s│•]+", "", written.getvalue())
        for one in found["warnings"]:
            assert re.sub(r"\s+", "", one["text"]) in shown
            assert one["code"] in shown


def test_a_file_cannot_play_with_the_terminal(tmp_path: Path) -> None:
    """Neither colours, nor cursor movements, nor markup of ours, nor reversed text come from a file."""
    evil = tmp_path / "[red]x[bold].edxml"
    evil.write_bytes(
        altered(an_edoc_package(subject="[blink]A[/] &#x202e;txt.exe &#x9b;31m"), "&amp;#x", "&#x")
    )

    shown = _shown(inspect_file(evil), lang="vi", width=300)

    assert "[blink]A[/]" in shown
    assert "[red]x[bold].edxml" in shown
    assert not {"\u202e", "\x9b", "\x1b"} & set(shown)
