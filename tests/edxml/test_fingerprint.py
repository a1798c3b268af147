"""What is content and what is envelope: the same document sent again must be recognised (design section 3, rule 5)."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from datetime import date

import pytest

from axis.core.model import BusinessType, Digest
from axis.edxml.fingerprint import content_digest
from axis.edxml.message import Attachment, Code, Edoc, PromulgationInfo, WrittenDate
from axis.edxml.reader import read_package
from axis.edxml.writer import AttachmentSource
from tests.edxml.builders import (
    a_bussiness,
    a_party,
    a_pdf,
    an_attachment,
    an_edoc,
    an_edoc_package,
    parties,
)

_FIRST, _SECOND = (
    an_attachment(content_id="c0"),
    an_attachment(a_pdf("Phu luc"), content_id="c1", name="pl.pdf"),
)


def _edoc(*attachments: AttachmentSource) -> Edoc:
    message = read_package(an_edoc_package(attachments=attachments or (_FIRST, _SECOND))).message
    assert isinstance(message, Edoc)
    return message


_SAME: dict[str, Edoc] = {
    "other receivers": replace(_edoc(), receivers=parties("000.00.00.H53")),
    "sender's name": replace(_edoc(), sender=a_party(name="VPCP")),
    "another DocumentId": replace(_edoc(), document_id="9fbfbad2-f1f8-4256-a2eb-50fb1061cddb"),
    "another business type": replace(_edoc(), bussiness=a_bussiness(BusinessType.RECALL)),
    "no trace": replace(_edoc(), traces=()),
    "attachments in another order": _edoc(_SECOND, _FIRST),
    "attachments under other names": _edoc(
        replace(_FIRST, name="khac.pdf"), replace(_SECOND, content_id="z")
    ),
    "date in another form": replace(
        _edoc(), promulgation=PromulgationInfo(date=WrittenDate(written="02/03/2026", value=date(2026, 3, 2)))
    ),
    "split for one receiver": replace(_edoc(), code=Code(number="7816", notation="VPCP-TTĐT#000.00.00.H41")),
    "decomposed": replace(
        _edoc(),
        subject=unicodedata.normalize("NFD", _edoc().subject),
        code=Code(number="7816", notation=unicodedata.normalize("NFD", "VPCP-TTĐT")),
    ),
    "white space and zero-width spaces": replace(
        _edoc(), subject=_edoc().subject.replace(" ", "\u00a0\u200b \n") + "\ufeff "
    ),
}

_OTHER: dict[str, Edoc] = {
    "number": replace(_edoc(), code=Code(number="7817", notation="VPCP-TTĐT")),
    "notation": replace(_edoc(), code=Code(number="7816", notation="VPCP-KSTT")),
    "number and notation swapped": replace(_edoc(), code=Code(number="VPCP-TTĐT", notation="7816")),
    "date": replace(_edoc(), promulgation=PromulgationInfo(date=WrittenDate.of(date(2026, 3, 3)))),
    "no date": replace(_edoc(), promulgation=PromulgationInfo()),
    "subject": replace(_edoc(), subject=_edoc().subject + " (lần 2)"),
    "subject in capitals": replace(_edoc(), subject=_edoc().subject.upper()),
    "fewer attachments": _edoc(_FIRST),
    "the same attachment twice": _edoc(_FIRST, replace(_FIRST, content_id="c1")),
    "another attachment": _edoc(_FIRST, an_attachment(a_pdf("Khac"), content_id="c1")),
}


@pytest.mark.parametrize("what", list(_SAME))
def test_the_same_content(what: str) -> None:
    """Envelope, order and form of writing are not content."""
    assert content_digest(_edoc()) == content_digest(_SAME[what])


@pytest.mark.parametrize("what", list(_OTHER))
def test_other_content(what: str) -> None:
    """Every part of the content counts."""
    assert content_digest(_edoc()) != content_digest(_OTHER[what])


def test_all_of_them_differ() -> None:
    """No two changes give the same digest by shifting text from field to field."""
    assert len({content_digest(edoc) for edoc in _OTHER.values()}) == len(_OTHER)


def test_the_digest_never_changes() -> None:
    """It stands in ledgers for years: this value may only change together with the version in the module."""
    edoc = an_edoc()
    digest = content_digest(replace(edoc, attachments=(Attachment(sha256=Digest("ab" * 32)),)))

    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert digest == "f16f2af48d9941ae99acb28b5809dedf488690adf337bd93f1aa50b77244fa76"
