"""What a document says: the groups of information of the law, their lengths, and what follows from them."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import replace

import pytest

from axis.core.model import BusinessType, Urgency
from axis.edxml import findings as f
from axis.edxml.message import (
    Bussiness,
    Code,
    DocumentType,
    Edoc,
    OtherInfo,
    Party,
    PriorityScale,
    PromulgationInfo,
    Reference,
    Replacement,
    ResponseFor,
    SignerInfo,
    Status,
    StatusCode,
    content_key,
    urgency_of,
)
from axis.edxml.reader import read_package
from axis.edxml.rules import HEADER, LR30_GROUPS, check
from tests.edxml.builders import a_bussiness, a_status, an_edoc, an_edoc_package

_LETTERS = ["a", "b", "c", "d", "đ", "e", "g", "h", "i", "k", "l", "m", "n", "o", "p", "q"]
"""QĐ28 Art. 10.2; the Vietnamese alphabet as laws use it."""


def _document() -> Edoc:
    message = read_package(an_edoc_package()).message
    assert isinstance(message, Edoc)
    return message


def _codes(edoc: Edoc) -> set[str]:
    return {found.code for found in check(edoc)}


@pytest.mark.requirement("LR-30")
def test_the_sixteen_groups_have_their_fields() -> None:
    """Every letter is read from a message that has it; `h`, the state of processing, is the status messages."""
    full = _document()

    assert len(_LETTERS) == 16
    assert set(_LETTERS) == {*LR30_GROUPS, "h"}
    assert [letter for letter, (_, is_present) in LR30_GROUPS.items() if not is_present(full)] == []
    assert [letter for letter, (_, is_present) in LR30_GROUPS.items() if is_present(Edoc())] == ["q"]


_WITHOUT: dict[str, tuple[Edoc, str]] = {
    "a": (replace(_document(), sender=Party()), "sender.missing"),
    "b": (replace(_document(), document_id=""), "document_id.missing"),
    "c": (replace(_document(), code=Code(number="7816")), "field.missing"),
    "d": (replace(_document(), promulgation=PromulgationInfo()), "field.missing"),
    "đ": (replace(_document(), document_type=DocumentType(type=2)), "field.missing"),
    "e": (replace(_document(), subject=""), "field.missing"),
    "g": (replace(_document(), manifest=(), attachments=()), "attachment.none"),
    "i": (replace(_document(), signer=SignerInfo(competence="TL.")), "field.missing"),
    "m": (replace(_document(), receivers=()), "receiver.missing"),
}


@pytest.mark.requirement("LR-30")
@pytest.mark.parametrize("letter", list(_WITHOUT))
def test_what_is_missing_is_named(letter: str) -> None:
    """A group without which nobody can work is refused, any other is a warning with its letter."""
    edoc, code = _WITHOUT[letter]
    found = [one for one in check(edoc) if one.code == code]

    assert len(found) == 1
    assert not LR30_GROUPS[letter][1](edoc)
    assert code != "field.missing" or f"letter {letter})" in found[0].en


_LIMITS: dict[str, tuple[int, Callable[[str], Edoc]]] = {
    "From/OrganId": (35, lambda text: an_edoc(sender=Party(organ_id=text))),
    "From/OrganName": (200, lambda text: an_edoc(sender=Party(organ_id="G22", organ_name=text))),
    "To/OrganId": (35, lambda text: an_edoc(receivers=(Party(organ_id=text),))),
    "To/OrganName": (200, lambda text: an_edoc(receivers=(Party(organ_id="H41", organ_name=text),))),
    "Code/CodeNumber": (11, lambda text: an_edoc(code=Code(number=text, notation="A"))),
    "Code/CodeNotation": (30, lambda text: an_edoc(code=Code(number="1", notation=text))),
    "PromulgationInfo/Place": (50, lambda text: an_edoc(promulgation=PromulgationInfo(place=text))),
    "DocumentType/TypeName": (100, lambda text: an_edoc(document_type=DocumentType(type_name=text))),
    "Subject": (500, lambda text: an_edoc(subject=text)),
    "Content": (500, lambda text: an_edoc(content=text)),
    "SignerInfo/Competence": (100, lambda text: an_edoc(signer=SignerInfo(competence=text))),
    "SignerInfo/Position": (100, lambda text: an_edoc(signer=SignerInfo(position=text))),
    "SignerInfo/FullName": (50, lambda text: an_edoc(signer=SignerInfo(full_name=text))),
    "OtherInfo/SphereOfPromulgation": (
        100,
        lambda text: an_edoc(other=OtherInfo(sphere_of_promulgation=text)),
    ),
    "OtherInfo/TyperNotation": (10, lambda text: an_edoc(other=OtherInfo(typer_notation=text))),
    "OtherInfo/Appendixes/Appendix": (250, lambda text: an_edoc(other=OtherInfo(appendixes=(text,)))),
    "ToPlaces": (1000, lambda text: an_edoc(to_places=(text[:400], text[400:]))),
}


@pytest.mark.requirement("LR-38", "LR-39")
@pytest.mark.parametrize("field", list(_LIMITS))
def test_lengths_are_counted_in_vietnamese_letters(field: str) -> None:
    """At the limit no word, one beyond it a warning; a letter with its marks is one, however it is encoded."""
    limit, make = _LIMITS[field]
    at, beyond = ("ệ" * limit, "ệ" * (limit + 1))

    said = [
        [found for found in check(make(text)) if found.kind is f.TOO_LONG]
        for text in (at, unicodedata.normalize("NFD", at), beyond, unicodedata.normalize("NFD", beyond))
    ]

    assert [len(found) for found in said] == [0, 0, 1, 1]
    assert said[2][0].path == f"{HEADER}/{field}"
    assert said[2][0].severity is f.Severity.WARN
    assert dict(said[2][0].facts)["limit"] == str(limit)


@pytest.mark.requirement("LR-38")
@pytest.mark.parametrize("name", ["PageAmount", "PromulgationAmount"])
def test_amounts_have_three_digits(name: str) -> None:
    """999 pages are fine, 1000 are beyond the form."""
    made = [
        OtherInfo(page_amount=number) if name == "PageAmount" else OtherInfo(promulgation_amount=number)
        for number in (999, 1000)
    ]

    assert ["field.too_long" in _codes(an_edoc(other=other)) for other in made] == [False, True]


@pytest.mark.requirement("LR-39")
def test_the_text_stays_as_it_was_written() -> None:
    """Decomposed letters, no-break and zero-width spaces are reported and left alone."""
    subject = unicodedata.normalize("NFD", "Về việc\u00a0kết\u200b nối")

    package = read_package(an_edoc_package(subject=subject))

    assert isinstance(package.message, Edoc)
    assert subject == package.message.subject
    assert {found.code for found in package.reading.oddities} == {"text.not_nfc", "text.invisible"}


@pytest.mark.requirement("LR-08")
@pytest.mark.parametrize("paper", [True, False, None])
def test_whether_paper_follows_is_read(*, paper: bool | None) -> None:
    """`Bussiness/Paper` 0, 1, or nothing said."""
    message = read_package(an_edoc_package(bussiness=Bussiness(paper=paper))).message

    assert isinstance(message, Edoc)
    assert message.bussiness is not None
    assert paper is message.bussiness.paper


@pytest.mark.parametrize(
    ("priority", "by_four", "by_five"),
    [
        (None, Urgency.NORMAL, Urgency.NORMAL),
        (0, Urgency.NORMAL, Urgency.NORMAL),
        (1, Urgency.URGENT, Urgency.URGENT),
        (2, Urgency.VERY_URGENT, Urgency.VERY_URGENT),
        (3, Urgency.EXPRESS, Urgency.EXPRESS),
        (4, Urgency.EXPRESS, Urgency.EXPRESS),
        (5, Urgency.NORMAL, Urgency.NORMAL),
        (6, Urgency.NORMAL, Urgency.NORMAL),
        (-1, Urgency.NORMAL, Urgency.NORMAL),
    ],
)
def test_urgency(priority: int | None, by_four: Urgency, by_five: Urgency) -> None:
    """Two scales are in use; what is outside a station's own is normal."""
    assert (by_four, by_five) == tuple(urgency_of(priority, scale=scale) for scale in PriorityScale)
    assert by_four is an_edoc(other=OtherInfo(priority=priority)).urgency()


@pytest.mark.parametrize(
    ("scale", "odd"), [(PriorityScale.ZERO_TO_FOUR, {-1, 5, 6}), (PriorityScale.ONE_TO_FIVE, {-1, 0, 6})]
)
def test_a_priority_is_odd_by_the_scale_of_its_station(scale: PriorityScale, odd: set[int]) -> None:
    """5 is normal for one vendor and unknown to the others."""
    warned = {
        priority
        for priority in range(-1, 7)
        if any(
            found.kind is f.PRIORITY
            for found in check(an_edoc(other=OtherInfo(priority=priority)), scale=scale)
        )
    }

    assert odd == warned


_ANSWERED = (ResponseFor(document_id="answered"),)


@pytest.mark.parametrize(
    ("edoc", "targets"),
    [
        (an_edoc(bussiness=None, document_id="own"), ()),
        (an_edoc(bussiness=a_bussiness(target="noise"), document_id="own", responses=_ANSWERED), ()),
        (
            an_edoc(
                bussiness=a_bussiness(BusinessType.RECALL, target="named"),
                document_id="own",
                responses=_ANSWERED,
            ),
            ("named", "own", "answered"),
        ),
        (
            an_edoc(bussiness=a_bussiness(BusinessType.RECALL), document_id="own", responses=_ANSWERED),
            ("own", "answered"),
        ),
        (
            an_edoc(bussiness=a_bussiness(BusinessType.UPDATE, target="own"), document_id="own"),
            ("own",),
        ),
        (
            an_edoc(
                bussiness=Bussiness(
                    type=BusinessType.REPLACE,
                    document_id="named",
                    replacements=(
                        Replacement(document_id="one"),
                        Replacement(document_id="two"),
                        Replacement(document_id="one"),
                        Replacement(),
                    ),
                )
            ),
            ("one", "two"),
        ),
        (an_edoc(bussiness=Bussiness(type=BusinessType.REPLACE, document_id="named")), ("named",)),
    ],
)
def test_what_a_document_acts_on(edoc: Edoc, targets: tuple[str, ...]) -> None:
    """A new document acts on nothing; a recall or update names its target in up to three places, best first."""
    assert targets == edoc.target_ids


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("01", StatusCode.ARRIVED),
        ("1", StatusCode.ARRIVED),
        ("001", StatusCode.ARRIVED),
        ("16", StatusCode.REJECTED),
        ("07", None),
        ("14", None),
        ("0001", None),
        ("1.0", None),
        ("-1", None),
        ("٠١", None),
        ("", None),
    ],
)
def test_status_codes(written: str, code: StatusCode | None) -> None:
    """Nine codes, with or without their leading zero."""
    status: Status = a_status(written)

    assert code is status.code
    assert code is None or len(code.written) == 2


@pytest.mark.parametrize(
    ("content_id", "key"),
    [("cid:c0", "c0"), ("c0", "c0"), ("cid:cid:c0", "c0"), (" CID:c0 ", "c0"), ("cid:", ""), ("", "")],
)
def test_the_key_of_an_attachment(content_id: str, key: str) -> None:
    """Peers write `cid:` never, once or twice; manifest and content belong together all the same."""
    assert key == content_key(content_id) == Reference(content_id=content_id).key


def test_findings_of_one_kind_are_counted_beyond_twenty() -> None:
    """A receipt has room for what matters."""
    edoc = an_edoc(receivers=tuple(Party(organ_id="null") for _ in range(500)))

    found = [one for one in check(edoc) if one.severity is f.Severity.REFUSE]
    more = [one for one in check(edoc) if one.kind is f.MORE_OF_THE_SAME]

    assert len(found) == f.MOST_OF_A_KIND
    assert [one.en for one in more] == ["… and 480 more places with receiver.code_missing."]
    assert more[0].path == f"{HEADER}/To[500]/OrganId"
