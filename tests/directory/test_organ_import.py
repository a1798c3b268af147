"""Lists of organs are cleaned, matched and judged row by row, and no defect passes unsaid."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axis.core.directory import Directory, Organ
from axis.core.model import VIETNAM, OrganNumber
from axis.data import ORGANS_AS_OF, organs_csv
from axis.demo.hanoi import hanoi_organs
from axis.edxml.organ_code import normal
from axis.flow.organ_import import (
    HARMLESS,
    TEXTS,
    DefectKind,
    ImportPlan,
    OrganRow,
    codes_above,
    plan_import,
    read_organs,
)

NOW = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
K = DefectKind


def a_directory(*organs: Organ) -> Directory:
    codes: dict[str, tuple[OrganNumber, ...]] = {}
    for organ in organs:
        for alias in organ.aliases:
            codes[normal(alias)] = (organ.number, *codes.get(normal(alias), ()))
    return Directory(
        version=1,
        organs={organ.number: organ for organ in organs},
        codes=codes,
        stations={},
        delegations={},
        certificates={},
    )


def an_organ(number: int, code: str, *aliases: str, parent: int | None = None, **more: object) -> Organ:
    return replace(
        Organ(
            number=OrganNumber(number),
            code=code,
            name=f"Cơ quan {code}",
            kind="unit",
            parent=OrganNumber(parent) if parent is not None else None,
            aliases=tuple(sorted({code, *aliases}, key=lambda one: (one != code, one))),
        ),
        **more,  # type: ignore[arg-type] # fields of an organ
    )


def loaded(plan: ImportPlan, directory: Directory) -> Directory:
    """The directory after the plan."""
    organs = {**directory.organs, **{one.after.number: one.after for one in plan.changes}}
    return a_directory(*organs.values())


def kinds(plan: ImportPlan) -> list[tuple[int, str, DefectKind]]:
    return [(one.row, one.column, one.kind) for one in plan.defects]


def rows(*said: OrganRow) -> list[OrganRow]:
    """The rows, numbered as in a file."""
    return [replace(one, row=number) for number, one in enumerate(said, start=2)]


def planned(*said: OrganRow, directory: Directory | None = None, **how: bool) -> ImportPlan:
    return plan_import(rows(*said), directory=directory or a_directory(), at=NOW, **how)


H37 = OrganRow(code="H37", code_102="000.00.00.H37", name="Lạng Sơn", kind="province")


# --- the list that comes with the axis ----------------------------------------------------------------------------


def test_the_list_that_comes_with_the_axis_loads() -> None:
    """95 organs of level 1; the four codes that are only assumed stay out until they are asked for."""
    listed, problems = read_organs(organs_csv())

    plan = plan_import(listed, directory=a_directory(), at=NOW)
    every = plan_import(listed, directory=a_directory(), at=NOW, with_assumed=True)

    assert (len(listed), problems) == (95, [])
    assert len(plan.changes) == 91
    assert {one.kind for one in plan.defects} == {K.ASSUMED}
    assert (len(every.changes), every.defects) == (95, ())
    assert all(ORGANS_AS_OF.isoformat() in line for line in organs_csv().decode().splitlines()[1:])
    assert {"G23", "G25", "G26", "A01"} == {
        one.after.code for one in every.changes if one.after.confidence == "assumed"
    }


def test_hanoi_has_22_departments_30_districts_and_584_communes() -> None:
    """Loaded below H26, every one stands where it should, under a name of its own."""
    listed, _ = read_organs(organs_csv())
    directory = loaded(plan_import(listed, directory=a_directory(), at=NOW), a_directory())

    plan = plan_import(hanoi_organs(), directory=directory, at=NOW)

    after = loaded(plan, directory)
    hanoi = after.by_code("H26", at=NOW)
    assert hanoi is not None
    below = [organ for organ in after.organs.values() if hanoi in list(after.ancestry(organ.number))[1:]]
    levels = [len(list(after.ancestry(organ.number))) for organ in below]
    assert plan.defects == ()
    assert (len(plan.changes), len(below)) == (636, 636)
    assert (levels.count(2), levels.count(3)) == (52, 584)
    assert len({organ.name for organ in below}) == 636
    assert [sum(one.kind == kind for one in below) for kind in ("department", "district")] == [22, 30]
    assert all(one.confidence == "demo" for one in below)


# --- reading ------------------------------------------------------------------------------------------------------


def test_reads_every_column() -> None:
    """Dates are of Vietnam, aliases are separated by spaces, the order of columns is free."""
    content = (
        "\ufeffName,Code,code 102,code_9,aliases,kind,confidence,parent,valid_from,valid_to,successor,terminate_here\n"
        '"Sở ""A"", B",H37.02,000.00.02.H37,00.02.H37,X.1 X.2,unit,sourced,H37,2020-02-04,'
        "2026-01-01T00:00:00+07:00,H37.03,true\n"
    ).encode()

    listed, problems = read_organs(content)

    assert problems == []
    assert listed == [
        OrganRow(
            code="H37.02",
            name='Sở "A", B',
            code_102="000.00.02.H37",
            aliases=("00.02.H37", "X.1", "X.2"),
            kind="unit",
            confidence="sourced",
            parent="H37",
            valid_from=datetime(2020, 2, 4, tzinfo=VIETNAM),
            valid_to=datetime(2026, 1, 1, tzinfo=VIETNAM),
            successor="H37.03",
            terminate_here=True,
            row=2,
        )
    ]


def test_reads_semicolons() -> None:
    """What a spreadsheet writes where the comma is the decimal sign."""
    listed, problems = read_organs("code;name\nH37;Lạng Sơn, một tỉnh\n".encode())

    assert (problems, listed[0].name) == ([], "Lạng Sơn, một tỉnh")


@pytest.mark.parametrize(
    ("content", "row", "kind"),
    [
        (b"", 1, K.UNREADABLE),
        (b"\xff\xfe\x00", 1, K.UNREADABLE),
        (b"name\nA\n", 1, K.UNREADABLE),
        (b"code,name,code\nA,B,C\n", 1, K.UNREADABLE),
        (b"code,name\nH37\n", 2, K.UNREADABLE),
        (b"code,name\nH37,A,B\n", 2, K.UNREADABLE),
        (b'code,name\nH37,"A\n', 2, K.UNREADABLE),
        (b'code,name\nH37,"A"b\n', 2, K.UNREADABLE),
        (b"code,name\nH36,A\nH37,\0\n", 3, K.CONTROL),
        (b"code,name\nH37," + b"x" * 200_000 + b"\n", 2, K.UNREADABLE),
        (b"code,name,valid_from\nH37,A,yesterday\n", 2, K.VALUE),
        (b"code,name,valid_from\nH37,A,9999-12-31T23:59:59-23:59\n", 2, K.VALUE),
        (b"code,name,valid_from\nH37,A,2020-02-04T10:00:00\n", 2, K.VALUE),
        (b"code,name,terminate_here\nH37,A,perhaps\n", 2, K.VALUE),
        (b"code,name,remark\nH37,A,x\n", 1, K.COLUMN),
    ],
)
def test_what_cannot_be_read_is_named_with_its_row(content: bytes, row: int, kind: DefectKind) -> None:
    """No file, however broken, raises anything else or is passed over in silence."""
    listed, problems = read_organs(content)
    plan = plan_import(listed, directory=a_directory(), at=NOW)

    assert (row, kind) in [(one.row, one.kind) for one in (*problems, *plan.defects)]
    assert all(one.vi and one.en for one in (*problems, *plan.defects))


@given(
    content=st.binary(max_size=300) | st.text(max_size=300).map(lambda text: f"code,name\n{text}".encode())
)
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    """Hostile files end as rows or as defects."""
    listed, _ = read_organs(content)

    plan_import(listed, directory=a_directory(), at=NOW, other_forms=True)


# --- one row ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (replace(H37, name="Lạng\u200b Sơn"), [("name", K.INVISIBLE)]),
        (replace(H37, name="\ufeffLạng\u00a0Sơn "), [("name", K.INVISIBLE), ("name", K.SPACES)]),
        (replace(H37, name="La\u0323ng So\u031bn"), [("name", K.NOT_COMPOSED)]),
        (replace(H37, code="H37\u200b"), [("code", K.INVISIBLE)]),
        (replace(H37, code=" h37"), [("code", K.SPACES), ("code", K.LETTER_CASE)]),
        (replace(H37, kind="Government-Agency"), []),
    ],
)
def test_what_is_untidy_is_cleaned_and_said(said: OrganRow, found: list[tuple[str, DefectKind]]) -> None:
    """Nobody sees the difference, so the organ is loaded under what a person sees."""
    plan = planned(said)

    after = plan.changes[0].after
    assert (after.code, after.name) == ("H37", "Lạng Sơn")
    assert [(2, column, kind) for column, kind in found] == kinds(plan)
    assert plan.hindrances == ()


@pytest.mark.parametrize(
    ("said", "column", "kind"),
    [
        (replace(H37, code=""), "code", K.NO_CODE),
        (replace(H37, code="null"), "code", K.NO_CODE),
        (replace(H37, name=" \u200b"), "name", K.NO_NAME),
        (replace(H37, name="Lạng\x07Sơn"), "name", K.CONTROL),
        (replace(H37, name="a" * 1_001), "name", K.TOO_LONG),
        (replace(H37, code="H" * 65), "code", K.TOO_LONG),
        (replace(H37, code="000.1137.H53"), "code", K.MALFORMED),
        (replace(H37, code="vxp.saas.03"), "code", K.MALFORMED),
        (replace(H37, code_102="H37"), "code_102", K.MALFORMED),
        (replace(H37, aliases=("?",)), "aliases", K.MALFORMED),
        (replace(H37, kind="tỉnh"), "kind", K.VALUE),
        (replace(H37, confidence="certain"), "confidence", K.VALUE),
        (replace(H37, valid_from=NOW, valid_to=NOW), "valid_to", K.DATES),
        (replace(H37, parent="H99"), "parent", K.UNKNOWN_PARENT),
        (replace(H37, successor="H99"), "successor", K.UNKNOWN_SUCCESSOR),
        (replace(H37, successor="H37"), "successor", K.UNKNOWN_SUCCESSOR),
        (replace(H37, parent="H37"), "parent", K.LOOP),
    ],
)
def test_what_could_mislead_a_document_stays_out(said: OrganRow, column: str, kind: DefectKind) -> None:
    """The row is not loaded, and the defect says where and what."""
    plan = planned(said)

    assert plan.changes == ()
    assert (2, column, kind) in kinds(plan)
    assert plan.hindrances


def test_a_code_of_no_known_form_is_loaded_when_told() -> None:
    """Interchange centres and enterprises have codes of their own making; they are shown as written."""
    plan = planned(OrganRow(code="vxp.saas.03", name="Trung tâm"), other_forms=True)

    assert plan.changes[0].after.code == "vxp.saas.03"


def test_every_defect_has_texts() -> None:
    """In both languages, for the whole closed set."""
    assert set(TEXTS) == set(DefectKind)
    assert set(DefectKind) >= HARMLESS


# --- which organ --------------------------------------------------------------------------------------------------


def test_three_forms_are_one_organ() -> None:
    """13 characters, QĐ 20 and 9 characters lead to the same organ; the list says so, no rule does."""
    plan = planned(replace(H37, aliases=("00.00.H37",)))

    directory = loaded(plan, a_directory())
    assert {directory.by_code(code, at=NOW) for code in ("H37", "000.00.00.H37", "00.00.H37")} == {
        plan.changes[0].after
    }


def test_loading_twice_changes_nothing() -> None:
    """The second time every row finds its organ, whichever of its codes it comes with."""
    directory = loaded(planned(H37), a_directory())

    again = planned(H37, directory=directory)
    by_alias = planned(OrganRow(code="H37", name="Lạng Sơn"), directory=directory)

    assert (again.changes, again.unchanged, again.defects) == ((), 1, ())
    assert (by_alias.changes, by_alias.unchanged) == ((), 1)


def test_an_empty_cell_leaves_what_is_known() -> None:
    """A list without kinds, dates or parents does not erase them."""
    known = an_organ(
        5, "H37.02", parent=4, kind="department", valid_from=NOW - timedelta(days=9), terminate_here=True
    )
    directory = a_directory(an_organ(4, "H37"), known)

    plan = planned(OrganRow(code="H37.02", name="Tên mới", code_102="000.00.02.H37"), directory=directory)

    [change] = plan.changes
    assert change.before == known
    assert change.after == replace(known, name="Tên mới", aliases=("H37.02", "000.00.02.H37"))


def test_codes_of_two_organs_are_not_joined() -> None:
    """A row that would make one organ of two stays out."""
    directory = a_directory(an_organ(1, "H36"), an_organ(2, "H37"))

    plan = planned(OrganRow(code="H36", aliases=("H37",), name="Hai tỉnh"), directory=directory)

    assert (plan.changes, kinds(plan)) == ((), [(2, "code", K.TWO_ORGANS)])


def test_the_same_row_twice_is_one_and_another_with_its_code_is_none() -> None:
    """Repetitions are dropped; contradictions are for a person to decide."""
    plan = planned(H37, H37, replace(H37, name="Cao Bằng"), OrganRow(code="000.00.00.H37", name="Lạng Sơn"))

    assert [one.after.name for one in plan.changes] == ["Lạng Sơn"]
    assert kinds(plan) == [(3, "code", K.SAME_ROW), (4, "code", K.TWICE), (5, "code", K.TWICE)]


def test_two_rows_about_one_known_organ_contradict_each_other() -> None:
    """Also when they name it by different codes."""
    directory = loaded(planned(H37), a_directory())

    plan = planned(
        OrganRow(code="H37", name="Một"), OrganRow(code="000.00.00.H37", name="Hai"), directory=directory
    )

    assert [one.after.name for one in plan.changes] == ["Một"]
    assert kinds(plan) == [(3, "code", K.TWICE)]


def test_a_closed_code_is_given_to_a_new_organ_only_with_its_beginning() -> None:
    """A merger: the old organ ends and names its successor; its code lives on only where a list says since when."""
    old = an_organ(1, "H37", valid_to=NOW - timedelta(days=100))
    directory = a_directory(old)

    silent = planned(OrganRow(code="H37", name="Lạng Sơn"), directory=directory)
    begun = planned(
        OrganRow(code="H37", name="Lạng Sơn mới", valid_from=NOW - timedelta(days=50)), directory=directory
    )
    same = planned(OrganRow(code="H37", name="Lạng Sơn cũ", valid_to=old.valid_to), directory=directory)

    assert kinds(silent) == [(2, "code", K.CLOSED)]
    assert (begun.changes[0].before, begun.changes[0].after.number) == (None, 2)
    assert (same.changes[0].before, same.changes[0].after.name) == (old, "Lạng Sơn cũ")


def test_closing_an_organ_names_its_successor() -> None:
    """LR-33: what is sent to the closed code goes on to the successor."""
    directory = a_directory(an_organ(1, "H36"), an_organ(2, "H37"))

    plan = planned(
        OrganRow(code="H36", name="Cơ quan H36", valid_to=NOW - timedelta(days=1), successor="H37"),
        directory=directory,
    )

    after = loaded(plan, directory)
    closed = after.by_code("H36", at=NOW)
    assert closed is not None
    assert not closed.is_open(NOW)
    assert after.successor(closed, at=NOW) == directory.organs[OrganNumber(2)]


# --- where it stands ----------------------------------------------------------------------------------------------


def test_codes_above() -> None:
    """The text of a code places it within its own direction; a code of level 1 or of no form stands below nothing."""
    assert list(codes_above("H37.02.02")) == ["H37.02", "H37"]
    assert list(codes_above("000.28.31.H53")) == ["000.00.31.H53", "00.31.H53", "000.00.00.H53", "00.00.H53"]
    assert list(codes_above("28.22.H17"))[:2] == ["000.00.22.H17", "00.22.H17"]
    assert not any(list(codes_above(code)) for code in ("H37", "000.00.00.H37", "vxp.saas.03", "null", ""))


def test_parents_follow_from_the_text_in_any_order() -> None:
    """Without a parent said, a new organ stands below the nearest organ its code names, here or in the directory."""
    directory = a_directory(an_organ(1, "H37"))

    plan = planned(
        OrganRow(code="H37.02.05", name="Phòng"),
        OrganRow(code="H37.02", code_102="000.00.02.H37", name="Sở"),
        OrganRow(code="000.07.02.H37", name="Phòng khác"),
        directory=directory,
    )

    after = loaded(plan, directory)

    def line(code: str) -> list[str]:
        found = after.by_code(code, at=NOW)
        assert found is not None
        return [organ.code for organ in after.ancestry(found.number)]

    assert plan.defects == ()
    assert line("H37.02.05") == ["H37.02.05", "H37.02", "H37"]
    assert line("000.07.02.H37") == ["000.07.02.H37", "H37.02", "H37"]


def test_what_stands_below_a_row_that_stays_out_stays_out_too() -> None:
    """It must not slip under the organ above: it would get the documents of another branch, or none."""
    directory = a_directory(an_organ(1, "H37"))

    plan = planned(
        OrganRow(code="H37.02", code_102="broken", name="Sở"),
        OrganRow(code="H37.02.05", name="Phòng"),
        OrganRow(code="H37.02.05.01", name="Tổ"),
        OrganRow(code="H37.03.01", name="Nơi khác", parent="H37.02.05.01"),
        OrganRow(code="H37.04", name="Sở khác"),
        directory=directory,
    )

    assert [one.after.code for one in plan.changes] == ["H37.04"]
    assert {kind for row, column, kind in kinds(plan) if column == "parent"} == {K.UNKNOWN_PARENT}
    assert [row for row, column, _ in kinds(plan) if column == "parent"] == [3, 4, 5]


def test_loops_and_depths_stay_out_with_everything_below() -> None:
    """`ancestry` ends after 16 organs; nothing that is deeper, or that turns in a circle, gets in."""
    deep = [
        OrganRow(
            code=f"K{number:02d}", name=f"Bậc {number}", parent=f"K{number - 1:02d}" if number > 1 else ""
        )
        for number in range(1, 20)
    ]
    circle = [
        OrganRow(code="L01", name="Một", parent="L03"),
        OrganRow(code="L02", name="Hai", parent="L01"),
        OrganRow(code="L03", name="Ba", parent="L02"),
        OrganRow(code="L04", name="Bên cạnh", parent="L02"),
    ]

    plan = planned(*deep, *circle)

    assert [one.after.code for one in plan.changes] == [f"K{number:02d}" for number in range(1, 17)]
    assert {row for row, _, kind in kinds(plan) if kind is K.LOOP} == {21, 22, 23, 24}


def test_a_known_organ_cannot_be_put_below_itself() -> None:
    """Also when the circle closes through organs that are not in the list."""
    directory = a_directory(
        an_organ(1, "H37"), an_organ(2, "H37.02", parent=1), an_organ(3, "H37.02.05", parent=2)
    )

    plan = planned(OrganRow(code="H37", name="Cơ quan H37", parent="H37.02.05"), directory=directory)

    assert (plan.changes, kinds(plan)) == ((), [(2, "parent", K.LOOP)])


def test_an_organ_without_parent_and_two_of_one_name_are_said() -> None:
    """Both are loaded: they may be right."""
    plan = planned(OrganRow(code="H37.02", name="Sở"), OrganRow(code="H37.03", name="SỞ"))

    assert len(plan.changes) == 2
    assert sorted(kind for _, _, kind in kinds(plan)) == [K.NO_PARENT, K.NO_PARENT, K.SAME_NAME]


@given(seed=st.integers(0, 2**32))
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    """Whatever the order, the same organs stand below the same organs."""
    said: list[OrganRow] = [H37, *(OrganRow(code=f"H37.{n:02d}", name=f"Sở {n}") for n in range(1, 6))]
    said += [OrganRow(code=f"H37.{n:02d}.0{m}", name=f"Phòng {n}.{m}") for n in range(1, 7) for m in (1, 2)]

    def tree(listed: Sequence[OrganRow]) -> dict[str, str | None]:
        plan = planned(*listed)
        codes = {one.after.number: one.after.code for one in plan.changes}
        return {
            one.after.code: codes[one.after.parent] if one.after.parent is not None else None
            for one in plan.changes
        }

    mixed = list(said)
    random.Random(seed).shuffle(mixed)

    assert tree(said) == tree(mixed)
