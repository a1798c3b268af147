"""
From a list of organs, as somebody keeps it, to changes of the directory: read, clean, match, and name every defect.

Pure. Lists are full of what nobody sees: of 455 rows of a provincial axis 199 names held zero-width spaces, seven codes
came twice, one was malformed. What is only untidy is cleaned and said; what could send a document to the wrong organ
keeps its row out. An organ is found again by any of its codes (13 characters, QĐ 20/2020, 9 characters); which codes
belong together is said by the list and never computed.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from enum import StrEnum, unique
from types import MappingProxyType
from typing import Final

from axis.core.directory import Directory, Organ
from axis.core.model import VIETNAM, OrganNumber
from axis.edxml.organ_code import OrganCodeForm, normal, parse_organ_code
from axis.edxml.text import INVISIBLE, nfc, same_text, visible

MOST_ROWS: Final = 500_000
LONGEST_CODE: Final = 64
LONGEST_NAME: Final = 1_000
USUAL_NAME: Final = 200
"""NĐ30 Annex VI: OrganName has at most 200 characters."""
DEEPEST: Final = 16
"""`Directory.ancestry` looks no further."""

_KIND: Final = re.compile(r"[a-z][a-z0-9_]{0,31}\Z")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_CONFIDENCES: Final = frozenset({"sourced", "alphabetical", "assumed", "demo"})
_TRUE: Final = frozenset({"true", "1", "x"})
_FALSE: Final = frozenset({"false", "0"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganRow:
    """One organ as a list says it. What is empty is not said: an organ that exists keeps what it has."""

    code: str
    name: str
    code_102: str = ""
    """The 13-character code of QCVN 102:2016, where `code` is of QĐ 20/2020."""
    aliases: tuple[str, ...] = ()
    """Further codes it has or had."""
    kind: str = ""
    confidence: str = ""
    parent: str = ""
    """Any code of the organ above; without it the text of the codes says where a new organ stands."""
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    successor: str = ""
    terminate_here: bool | None = None
    row: int = 0
    """Where it stands in the list; the heading is row 1."""


@unique
class DefectKind(StrEnum):
    """Everything that can be wrong with a row."""

    # cleaned or left as it is, and said
    INVISIBLE = "invisible"
    SPACES = "spaces"
    NOT_COMPOSED = "not_composed"
    LETTER_CASE = "letter_case"
    LONG_NAME = "long_name"
    SAME_NAME = "same_name"
    SAME_ROW = "same_row"
    NO_PARENT = "no_parent"
    ASSUMED = "assumed"
    COLUMN = "column"
    # keeps the row out
    UNREADABLE = "unreadable"
    NO_CODE = "no_code"
    NO_NAME = "no_name"
    CONTROL = "control"
    TOO_LONG = "too_long"
    MALFORMED = "malformed"
    VALUE = "value"
    DATES = "dates"
    TWICE = "twice"
    TWO_ORGANS = "two_organs"
    CLOSED = "closed"
    UNKNOWN_PARENT = "unknown_parent"
    UNKNOWN_SUCCESSOR = "unknown_successor"
    LOOP = "loop"
    TOO_DEEP = "too_deep"


_K = DefectKind
HARMLESS: Final = frozenset(
    {
        _K.INVISIBLE,
        _K.SPACES,
        _K.NOT_COMPOSED,
        _K.LETTER_CASE,
        _K.LONG_NAME,
        _K.SAME_NAME,
        _K.SAME_ROW,
        _K.NO_PARENT,
        _K.ASSUMED,
        _K.COLUMN,
    }
)
"""Defects that keep no row out, or a row that was asked to stay out."""

TEXTS: Final = MappingProxyType(
    {
        _K.INVISIBLE: ("có ký tự vô hình, đã bỏ", "holds invisible characters; removed"),
        _K.SPACES: ("thừa khoảng trắng, đã bỏ", "holds spaces too many; removed"),
        _K.NOT_COMPOSED: ("không phải Unicode dựng sẵn, đã sửa", "is not composed Unicode; composed"),
        _K.LETTER_CASE: (
            "mã viết thường, đã đổi thành chữ hoa",
            "the code is in small letters; made capitals",
        ),
        _K.LONG_NAME: (f"tên dài hơn {USUAL_NAME} ký tự", f"the name has more than {USUAL_NAME} characters"),
        _K.SAME_NAME: (
            "trùng tên với đơn vị cùng cấp trên",
            "another organ under the same parent has this name",
        ),
        _K.SAME_ROW: ("lặp lại dòng trước, bỏ qua", "repeats an earlier row; left out"),
        _K.NO_PARENT: ("không tìm thấy cơ quan cấp trên", "no organ above it was found"),
        _K.ASSUMED: (
            "mã phỏng đoán, không nạp khi chưa yêu cầu",
            "the code is assumed; not loaded unless asked for",
        ),
        _K.COLUMN: ("cột không được đọc", "a column that is not read"),
        _K.UNREADABLE: ("dòng không đọc được", "the row cannot be read"),
        _K.NO_CODE: ("thiếu mã định danh", "the code is missing"),
        _K.NO_NAME: ("thiếu tên", "the name is missing"),
        _K.CONTROL: ("có ký tự điều khiển", "holds control characters"),
        _K.TOO_LONG: ("quá dài", "is too long"),
        _K.MALFORMED: ("mã không đúng dạng nào đã biết", "the code has none of the known forms"),
        _K.VALUE: ("giá trị không hợp lệ", "is not a value this column takes"),
        _K.DATES: ("hết hiệu lực trước khi có hiệu lực", "ends before it begins"),
        _K.TWICE: ("mã đã có ở dòng khác với nội dung khác", "another row has this code and says otherwise"),
        _K.TWO_ORGANS: ("các mã thuộc những đơn vị khác nhau", "its codes belong to different organs"),
        _K.CLOSED: (
            "mã đã đóng; ghi ngày hiệu lực mới để mở đơn vị mới",
            "the code is closed; say from when a new organ has it",
        ),
        _K.UNKNOWN_PARENT: ("không có cơ quan cấp trên này", "there is no such organ above"),
        _K.UNKNOWN_SUCCESSOR: ("không có đơn vị kế thừa này", "there is no such successor"),
        _K.LOOP: ("cơ quan cấp trên tạo thành vòng", "the organs above form a loop"),
        _K.TOO_DEEP: (f"sâu hơn {DEEPEST} cấp", f"stands more than {DEEPEST} levels deep"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """One thing that is wrong with one row."""

    row: int
    column: str
    kind: DefectKind
    found: str = ""
    """What stood there, cut short; invisible characters as `\\u200b`."""

    @property
    def is_harmless(self) -> bool:
        """Whether the list can be loaded all the same."""
        return self.kind in HARMLESS

    @property
    def vi(self) -> str:
        """For people, in Vietnamese."""
        return self._text(0, "dòng")

    @property
    def en(self) -> str:
        """For people, in English."""
        return self._text(1, "row")

    def _text(self, language: int, row: str) -> str:
        found = f" ({self.found})" if self.found else ""
        return f"{row} {self.row}, {self.column}: {TEXTS[self.kind][language]}{found}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganChange:
    """One organ before and after; `before` is None for a new one."""

    before: Organ | None
    after: Organ
    row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPlan:
    """What loading a list would do."""

    changes: tuple[OrganChange, ...]
    unchanged: int
    defects: tuple[Defect, ...]
    rows: int

    @property
    def hindrances(self) -> tuple[Defect, ...]:
        """Defects that keep rows out."""
        return tuple(one for one in self.defects if not one.is_harmless)


# --- reading a file -----------------------------------------------------------------------------------------------

_COLUMNS: Final = frozenset(
    {
        "code",
        "code_102",
        "code_9",
        "aliases",
        "name",
        "kind",
        "confidence",
        "code_confidence",
        "parent",
        "valid_from",
        "valid_to",
        "successor",
        "terminate_here",
        "as_of",
    }
)


def read_organs(content: bytes) -> tuple[list[OrganRow], list[Defect]]:
    """
    Rows of a CSV or JSON file in UTF-8, and what could not be read of it. CSV is separated by commas or semicolons.

    Columns: `code` and `name`; where there are, `code_102`, `code_9`, `aliases` (separated by spaces), `kind`,
    `confidence`, `parent`, `valid_from` and `valid_to` (ISO 8601; a date begins at 00:00 in Vietnam), `successor`,
    `terminate_here` (true or false). A file that begins with `[` is JSON: an array of objects with the same members,
    `aliases` an array; its first object is row 1.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        return [], [Defect(row=1, column="*", kind=_K.UNREADABLE, found=f"UTF-8, byte {problem.start}")]
    if text.lstrip()[:1] == "[":
        return _read_json(text)
    heading, _, _ = text.partition("\n")
    separator = ";" if heading.count(";") > heading.count(",") else ","
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[OrganRow] = []
    defects: list[Defect] = []
    number = 1
    try:
        names = [same_text(one).lower().replace(" ", "_") for one in next(lines, [])]
        defects.extend(_judge_heading(names))
        if any(not one.is_harmless for one in defects):
            return [], defects
        for number, cells in enumerate(lines, start=2):
            if number > MOST_ROWS:
                defects.append(Defect(row=number, column="*", kind=_K.TOO_LONG, found=f"> {MOST_ROWS}"))
                break
            if not any(cells):
                continue
            if len(cells) != len(names):
                found = f"{len(cells)} / {len(names)}"
                defects.append(Defect(row=number, column="*", kind=_K.UNREADABLE, found=found))
                continue
            row = _row_of(dict(zip(names, cells, strict=True)), number, defects)
            if row is not None:
                rows.append(row)
    except csv.Error as problem:
        defects.append(Defect(row=number + 1, column="*", kind=_K.UNREADABLE, found=str(problem)[:80]))
    return rows, defects


def _read_json(text: str) -> tuple[list[OrganRow], list[Defect]]:
    rows: list[OrganRow] = []
    defects: list[Defect] = []
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as problem:
        return [], [Defect(row=1, column="*", kind=_K.UNREADABLE, found=str(problem)[:80])]
    for number, one in enumerate(found[:MOST_ROWS], start=1):
        if not isinstance(one, dict) or not {"code", "name"} <= one.keys():
            defects.append(Defect(row=number, column="*", kind=_K.UNREADABLE, found=_shown(str(one))))
            continue
        cells: dict[str, str] = {}
        for name, value in one.items():
            if name not in _COLUMNS:
                defects.append(Defect(row=number, column=_shown(name)[:40], kind=_K.COLUMN))
            elif (cell := _cell(value)) is None:
                defects.append(Defect(row=number, column=name, kind=_K.VALUE, found=_shown(str(value))))
                break
            else:
                cells[name] = cell
        else:
            row = _row_of(cells, number, defects)
            if row is not None:
                rows.append(row)
    if len(found) > MOST_ROWS:
        defects.append(Defect(row=MOST_ROWS + 1, column="*", kind=_K.TOO_LONG, found=f"> {MOST_ROWS}"))
    return rows, defects


def _cell(value: object) -> str | None:
    """A member as the cell of a table says it; None for what no cell can hold."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        value = " ".join(value) if all(isinstance(one, str) for one in value) else None
    # JSON can say half a character (a lone surrogate), which no database keeps.
    return value if isinstance(value, str) and not _SURROGATE.search(value) else None


def _judge_heading(names: Sequence[str]) -> Iterator[Defect]:
    for needed in ("code", "name"):
        if needed not in names:
            yield Defect(row=1, column=needed, kind=_K.UNREADABLE, found=", ".join(names)[:80])
    for position, name in enumerate(names):
        if name in names[:position]:
            yield Defect(row=1, column=name[:40], kind=_K.UNREADABLE, found=name[:40])
        elif name not in _COLUMNS:
            yield Defect(row=1, column=_shown(name)[:40], kind=_K.COLUMN)


def _row_of(cells: Mapping[str, str], number: int, defects: list[Defect]) -> OrganRow | None:
    wrong: list[Defect] = []

    def value(column: str) -> Defect:
        return Defect(row=number, column=column, kind=_K.VALUE, found=_shown(cells[column]))

    def moment(column: str) -> datetime | None:
        said = cells.get(column, "").strip()
        found = _moment(said) if said else None
        if said and found is None:
            wrong.append(value(column))
        return found

    switch = cells.get("terminate_here", "").strip().lower()
    if switch and switch not in _TRUE | _FALSE:
        wrong.append(value("terminate_here"))
    row = OrganRow(
        code=cells["code"],
        code_102=cells.get("code_102", ""),
        aliases=tuple(
            one for one in (cells.get("code_9", ""), *cells.get("aliases", "").split()) if one.strip()
        ),
        name=cells["name"],
        kind=cells.get("kind", ""),
        confidence=cells.get("confidence") or cells.get("code_confidence", ""),
        parent=cells.get("parent", ""),
        valid_from=moment("valid_from"),
        valid_to=moment("valid_to"),
        successor=cells.get("successor", ""),
        terminate_here=switch in _TRUE if switch else None,
        row=number,
    )
    defects.extend(wrong)
    return None if wrong else row


def _moment(said: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(said)
        if found.tzinfo is not None:
            return found.astimezone(VIETNAM)
        return datetime.combine(date.fromisoformat(said), time(), tzinfo=VIETNAM)
    except (ValueError, OverflowError):
        return None


def _shown(text: str) -> str:
    return "".join(
        one if one.isprintable() and INVISIBLE.match(one) is None else f"\\u{ord(one):04x}"
        for one in text[:60]
    )


# --- cleaning one row ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clean:
    """A row without what nobody sees, its codes in order: the shown one first."""

    said: OrganRow
    codes: Mapping[str, str]
    """Normal form -> as it is shown."""

    def same_as(self, other: _Clean) -> bool:
        return replace(self.said, row=0) == replace(other.said, row=0)


def _clean(row: OrganRow, *, other_forms: bool, defects: list[Defect]) -> _Clean | None:
    found: list[Defect] = []

    def tidy(column: str, text: str) -> str:
        """One text of the row, cleaned; every uncleanliness is said once."""
        if text.isascii() and text.isprintable() and text == " ".join(text.split()):
            return text  # nearly every code, at a tenth of the cost
        composed = nfc(text)
        if composed != text:
            found.append(Defect(row=row.row, column=column, kind=_K.NOT_COMPOSED, found=_shown(text)))
        if INVISIBLE.search(composed):
            found.append(Defect(row=row.row, column=column, kind=_K.INVISIBLE, found=_shown(text)))
        seen = visible(text)
        if _CONTROL.search(seen):
            found.append(Defect(row=row.row, column=column, kind=_K.CONTROL, found=_shown(text)))
        clean = same_text(text)
        if clean != seen:
            found.append(Defect(row=row.row, column=column, kind=_K.SPACES, found=_shown(text)))
        return clean

    codes: dict[str, str] = {}
    written = [("code", row.code), ("code_102", row.code_102), *(("aliases", one) for one in row.aliases)]
    for column, text in written:
        if text.strip():
            _read_code(column, tidy(column, text), row, codes, found, other_forms=other_forms)
    if not row.code.strip():
        found.append(Defect(row=row.row, column="code", kind=_K.NO_CODE))
    name = tidy("name", row.name)
    if not name:
        found.append(Defect(row=row.row, column="name", kind=_K.NO_NAME))
    elif len(name) > LONGEST_NAME:
        found.append(Defect(row=row.row, column="name", kind=_K.TOO_LONG, found=name[:60]))
    elif len(name) > USUAL_NAME:
        found.append(Defect(row=row.row, column="name", kind=_K.LONG_NAME, found=name[:60]))
    kind = same_text(row.kind).lower().replace("-", "_").replace(" ", "_")
    if kind and _KIND.match(kind) is None:
        found.append(Defect(row=row.row, column="kind", kind=_K.VALUE, found=_shown(row.kind)))
    confidence = same_text(row.confidence).lower()
    if confidence and confidence not in _CONFIDENCES:
        found.append(Defect(row=row.row, column="confidence", kind=_K.VALUE, found=_shown(row.confidence)))
    if row.valid_from is not None and row.valid_to is not None and row.valid_to <= row.valid_from:
        found.append(Defect(row=row.row, column="valid_to", kind=_K.DATES))
    defects.extend(found)
    if any(not one.is_harmless for one in found):
        return None
    said = replace(
        row,
        code=next(iter(codes.values())),
        code_102="",
        aliases=tuple(codes.values()),
        name=name,
        kind=kind,
        confidence=confidence,
        parent=_code_or_nothing(row.parent),
        successor=_code_or_nothing(row.successor),
    )
    return _Clean(said=said, codes=codes)


def _code_or_nothing(text: str) -> str:
    code = parse_organ_code(text)
    return "" if code.form is OrganCodeForm.MISSING else code.normal


def _read_code(
    column: str, text: str, row: OrganRow, codes: dict[str, str], found: list[Defect], *, other_forms: bool
) -> None:
    code = parse_organ_code(text)
    wrong: DefectKind | None = None
    if len(text) > LONGEST_CODE:
        wrong = _K.TOO_LONG
    elif code.form is OrganCodeForm.MISSING:
        wrong = _K.NO_CODE
    elif (code.form is OrganCodeForm.OTHER and not other_forms) or (
        column == "code_102" and code.form is not OrganCodeForm.QCVN_102
    ):
        wrong = _K.MALFORMED
    if wrong is not None:
        found.append(Defect(row=row.row, column=column, kind=wrong, found=_shown(text)))
        return
    if code.form is OrganCodeForm.OTHER:
        # Names of interchange centres and test systems are shown as they are written.
        codes.setdefault(code.normal, text)
        return
    if text != code.normal:
        found.append(Defect(row=row.row, column=column, kind=_K.LETTER_CASE, found=_shown(text)))
    codes.setdefault(code.normal, code.normal)


# --- what the list changes ----------------------------------------------------------------------------------------


def plan_import(
    rows: Iterable[OrganRow],
    *,
    directory: Directory,
    at: datetime,
    with_assumed: bool = False,
    other_forms: bool = False,
) -> ImportPlan:
    """
    What loading the rows into the directory would change at `at`, and every defect of them.

    Rows whose code is only assumed are left out unless `with_assumed`; codes of no known form keep their row out
    unless `other_forms`, as nearly all of them are slips. Loading the same list twice changes nothing.
    """
    return _Plan(directory, at=at).make(rows, with_assumed=with_assumed, other_forms=other_forms)


@dataclass(slots=True, eq=False)
class _Candidate:
    """A row that could be cleaned, and the organ it is about."""

    clean: _Clean
    number: OrganNumber
    before: Organ | None
    parent: OrganNumber | None = None
    successor: OrganNumber | None = None

    @property
    def said(self) -> OrganRow:
        return self.clean.said

    @property
    def valid_from(self) -> datetime | None:
        return self.said.valid_from or (self.before.valid_from if self.before is not None else None)

    @property
    def valid_to(self) -> datetime | None:
        return self.said.valid_to or (self.before.valid_to if self.before is not None else None)


class _Plan:
    """A plan in the making."""

    def __init__(self, directory: Directory, *, at: datetime) -> None:
        self._directory = directory
        self._at = at
        self._highest = max(directory.organs, default=0)
        self._defects: list[Defect] = []
        self._by_code: dict[str, _Candidate] = {}
        self._candidates: dict[OrganNumber, _Candidate] = {}
        self._named_by: dict[OrganNumber, list[_Candidate]] = {}
        self._lost: set[str] = set()

    def make(self, rows: Iterable[OrganRow], *, with_assumed: bool, other_forms: bool) -> ImportPlan:
        count = 0
        for row in rows:
            count += 1
            if same_text(row.confidence).lower() == "assumed" and not with_assumed:
                self._say(row, "confidence", _K.ASSUMED, row.code)
                continue
            clean = _clean(row, other_forms=other_forms, defects=self._defects)
            if clean is None:
                self._lose(normal(one) for one in (row.code, row.code_102, *row.aliases))
            else:
                self._match(clean)
        self._place()
        changes = [change for one in self._candidates.values() if (change := _change(one)) is not None]
        self._look_around()
        return ImportPlan(
            changes=tuple(changes),
            unchanged=len(self._candidates) - len(changes),
            defects=tuple(sorted(self._defects, key=lambda one: one.row)),
            rows=count,
        )

    def _say(self, row: OrganRow, column: str, kind: DefectKind, found: str = "") -> None:
        self._defects.append(Defect(row=row.row, column=column, kind=kind, found=_shown(found)))

    def _lose(self, codes: Iterable[str]) -> None:
        """Remember codes of rows that stay out: what stands below one must not slip under the organ above it."""
        self._lost.update(codes)

    # --- which organ --------------------------------------------------------------------------------------------

    def _match(self, clean: _Clean) -> None:
        """Find the organ a row is about: one of this list, one of the directory, or a new one."""
        row = clean.said
        earlier = next((self._by_code[one] for one in clean.codes if one in self._by_code), None)
        if earlier is not None:
            kind = _K.SAME_ROW if clean.same_as(earlier.clean) else _K.TWICE
            self._say(row, "code", kind, f"{row.code}: {earlier.said.row}")
            return
        organs = self._directory.organs
        known = {number for code in clean.codes for number in self._directory.codes.get(code, ())}
        live = sorted(number for number in known if organs[number].is_open(self._at))
        if len(live) > 1:
            self._say(row, "code", _K.TWO_ORGANS, ", ".join(organs[number].code for number in live))
            self._lose(clean.codes)
            return
        before = organs[live[0]] if live else self._closed(row, known)
        if before is None and known and row.valid_from is None:
            self._say(row, "code", _K.CLOSED, row.code)
            self._lose(clean.codes)
            return
        if before is not None and before.number in self._candidates:
            other = self._candidates[before.number].said
            self._say(row, "code", _K.TWICE, f"{row.code}: {other.row}")
            return
        if before is None:
            self._highest += 1
        number = before.number if before is not None else OrganNumber(self._highest)
        candidate = _Candidate(clean=clean, number=number, before=before)
        if (
            candidate.valid_from is not None
            and candidate.valid_to is not None
            and candidate.valid_to <= candidate.valid_from
        ):
            self._say(row, "valid_to", _K.DATES)
            self._lose(clean.codes)
            return
        self._candidates[number] = candidate
        self._by_code.update(dict.fromkeys(clean.codes, candidate))

    def _closed(self, row: OrganRow, known: set[OrganNumber]) -> Organ | None:
        """The closed organ the row still describes: it says that it is closed, and not another beginning."""
        if row.valid_to is None:
            return None
        for number in sorted(known, reverse=True):
            organ = self._directory.organs[number]
            if row.valid_from is None or row.valid_from == organ.valid_from:
                return organ
        return None

    # --- where it stands ----------------------------------------------------------------------------------------

    def _place(self) -> None:
        """Find parents and successors; a row that cannot be placed takes those that name it along."""
        waiting = list(self._candidates.values())
        while True:
            lost = [one for one in waiting if not self._find_relatives(one)]
            if not lost:
                lost = [one for one in self._candidates.values() if not self._is_placed(one)]
            if not lost:
                return
            waiting = self._drop(lost)

    def _drop(self, lost: Sequence[_Candidate]) -> list[_Candidate]:
        """Take rows out; returns those that named one of them and must look again."""
        for one in lost:
            del self._candidates[one.number]
            self._lose(one.clean.codes)
            for code in one.clean.codes:
                del self._by_code[code]
        again = {id(by): by for one in lost for by in self._named_by.pop(one.number, ())}
        return [by for by in again.values() if self._candidates.get(by.number) is by]

    def _find_relatives(self, one: _Candidate) -> bool:
        row, before = one.said, one.before
        one.parent = before.parent if before is not None else None
        one.successor = before.successor if before is not None else None
        if row.parent:
            one.parent = self._named(row.parent, by=one)
            if one.parent is None:
                self._say(row, "parent", _K.UNKNOWN_PARENT, row.parent)
                return False
        elif before is None:
            for code in (above for own in one.clean.codes for above in codes_above(own)):
                if code in self._lost and code not in self._by_code:
                    self._say(row, "parent", _K.UNKNOWN_PARENT, code)
                    return False
                one.parent = self._named(code, by=one)
                if one.parent is not None:
                    break
        if row.successor:
            one.successor = self._named(row.successor, by=one)
            if one.successor is None or one.successor == one.number:
                self._say(row, "successor", _K.UNKNOWN_SUCCESSOR, row.successor)
                return False
        return True

    def _named(self, code: str, *, by: _Candidate) -> OrganNumber | None:
        if code in self._by_code:
            number = self._by_code[code].number
            self._named_by.setdefault(number, []).append(by)
            return number
        if code in self._lost:
            return None
        organ = self._directory.by_code(code, at=self._at)
        return organ.number if organ is not None else None

    def _is_placed(self, one: _Candidate) -> bool:
        """Whether the organs above it end at level 1, soon enough."""
        passed = {one.number}
        current = one.parent
        while current is not None:
            if current in passed:
                self._say(one.said, "parent", _K.LOOP, one.said.code)
                return False
            passed.add(current)
            if len(passed) > DEEPEST:
                self._say(one.said, "parent", _K.TOO_DEEP, one.said.code)
                return False
            in_list = self._candidates.get(current)
            current = in_list.parent if in_list is not None else self._directory.organs[current].parent
        return True

    def _look_around(self) -> None:
        """What is odd about rows that are loaded."""
        names: dict[tuple[OrganNumber | None, str], int] = {}
        for one in self._candidates.values():
            row = one.said
            if one.parent is None and any(True for code in one.clean.codes for _ in codes_above(code)):
                self._say(row, "parent", _K.NO_PARENT, row.code)
            key = (one.parent, row.name.casefold())
            if key in names:
                self._say(row, "name", _K.SAME_NAME, f"{row.name}: {names[key]}")
            names.setdefault(key, row.row)


def _change(one: _Candidate) -> OrganChange | None:
    row, before = one.said, one.before
    known = {normal(alias): alias for alias in before.aliases} if before is not None else {}
    aliases = {**known, **one.clean.codes}
    terminate_here = row.terminate_here
    if terminate_here is None:
        terminate_here = before is not None and before.terminate_here
    after = Organ(
        number=one.number,
        code=row.code,
        name=row.name,
        kind=row.kind or (before.kind if before is not None else "unit"),
        parent=one.parent,
        valid_from=one.valid_from,
        valid_to=one.valid_to,
        successor=one.successor,
        terminate_here=terminate_here,
        confidence=row.confidence or (before.confidence if before is not None else "sourced"),
        aliases=tuple(sorted(aliases.values(), key=lambda alias: (alias != row.code, alias))),
    )
    return None if after == before else OrganChange(before=before, after=after, row=row.row)


def codes_above(code: str) -> Iterator[str]:
    """
    The codes the text of a code places it below, nearest first: `H37.02.02` stands below `H37.02`, then `H37`.

    A code of 13 or 9 characters stands below both spellings of the code above: those two forms say the same.
    """
    read = parse_organ_code(code)
    groups = read.groups
    while len(groups) > 1:
        groups = groups[:-1]
        match read.form:
            case OrganCodeForm.DECISION_20:
                yield ".".join(groups)
            case OrganCodeForm.QCVN_102 | OrganCodeForm.NINE_CHARACTERS:
                units = [*groups[:0:-1], groups[0]]
                while len(units) < 4:
                    units.insert(0, "00")
                yield f"{units[0]:0>3}.{'.'.join(units[1:])}"
                if units[0] == "00":
                    yield ".".join(units[1:])
            case OrganCodeForm.OTHER | OrganCodeForm.MISSING:
                return
