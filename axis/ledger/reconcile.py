"""
A statement of the axis against what a station kept itself: every difference, in words.

What a station keeps: answers to its submissions (`<submission>.json`, with the receipt inside), its statuses among
them, and the verification reports of what it took (`<document>.report.json`). Every one of them is verified first;
what nobody signed proves nothing and is named. The numbers of deliveries do the comparing: a number on one side only
is a difference. What the axis counts as received must lie here with its report, and what lies here must be received;
what it counts as registered or returned, this organ must have said in a status. Needs no database and no network.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from axis.core.errors import InvalidQuestion
from axis.core.events import Event, EventKind, read_record
from axis.core.exchange import BadMessage, Receipt, read_receipt
from axis.core.ids import is_id
from axis.core.model import Kind
from axis.edxml.organ_code import normal
from axis.ledger.counts import AT_THE_SENDER, Metric, fold
from axis.ledger.statement import STATEMENT_VERSION, month_of, numbers_in, ranges
from signing.receipts import ReceiptError, TrustedKeys, verify_receipt

_MOST_BYTES = 64 * 1024 * 1024
_SAID_BY = {"registered": "03", "returned": "02"}
"""Columns that statuses make, and which: a receipt of its submission proves each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing the two sides do not agree on."""

    where: str
    """A column, a pair of organs, or a file."""
    vi: str
    en: str


@dataclass(slots=True, kw_only=True)
class Kept:
    """What a station's own papers say of one organ and month."""

    receipts: int = 0
    reports: int = 0
    sent_to: dict[str, list[int]] = field(default_factory=dict)
    """Normal form of the receiver's code -> numbers."""
    received_from: dict[str, list[int]] = field(default_factory=dict)
    held: dict[str, set[int]] = field(default_factory=dict)
    """As `received_from`, of all months: what was addressed before may have been received in this one."""
    answered: dict[str, dict[str, set[int]]] = field(default_factory=dict)
    """Column -> normal form of the sender's code -> numbers this organ said it of, in this month."""
    ever_answered: dict[str, dict[str, set[int]]] = field(default_factory=dict)
    """The same of all months, and by any organ of the station: one below it may answer for it."""
    counts: Counter[Metric] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)


def read_statement(text: str, *, keys: TrustedKeys) -> Mapping[str, Any]:
    """
    A signed statement.

    Raises:
        InvalidQuestion: it is none, or nobody trusted signed it.
    """
    try:
        receipt = read_receipt(json.loads(text))
        verified = verify_receipt(receipt, keys=keys)
        statement: Any = json.loads(verified.record)
        if statement["statement"] != STATEMENT_VERSION:
            raise InvalidQuestion(
                vi="bảng kê: phiên bản mà Trục này không biết",
                en="the statement: a version this axis does not know",
            )
        month_of(statement["month"])
    except ReceiptError as problem:
        raise InvalidQuestion(
            vi=f"bảng kê không được ký bằng khóa tin cậy: {problem}",
            en=f"the statement is not signed by a trusted key: {problem}",
        ) from problem
    except (ValueError, BadMessage, LookupError, TypeError, AttributeError, RecursionError) as problem:
        raise InvalidQuestion(
            vi="bảng kê: không phải bảng kê của Trục",
            en="the statement: not a statement of the axis",
        ) from problem
    found: Mapping[str, Any] = statement
    return found


def read_kept(folder: Path, statement: Mapping[str, Any], *, keys: TrustedKeys) -> Kept:
    """
    Everything in the folder and below it that concerns the statement's organ and month.

    Raises:
        InvalidQuestion: there is no such folder.
    """
    if not folder.is_dir():
        raise InvalidQuestion(vi=f"{folder}: không có thư mục này", en=f"{folder}: no such folder")
    reading = _Reading(statement, keys=keys)
    for path in sorted(folder.rglob("*.json")):
        if path.is_file():
            reading.look_at(path, shown=str(path.relative_to(folder)))
    reading.answers()
    return reading.kept


class _Reading:
    """Goes through the files of a station."""

    def __init__(self, statement: Mapping[str, Any], *, keys: TrustedKeys) -> None:
        self._keys = keys
        self._organ = int(statement["organ"]["number"])
        self._codes = {normal(one) for one in (statement["organ"]["code"], *statement["organ"]["codes"])}
        self._begin, self._end = month_of(statement["month"])
        self._events: set[str] = set()
        self._documents: set[str] = set()
        self._used: dict[tuple[str, int], str] = {}
        self._places: dict[str, list[tuple[str, int]]] = {}
        self._statuses: dict[str, list[tuple[datetime, str, bool]]] = {}
        self.kept = Kept()

    def look_at(self, path: Path, *, shown: str) -> None:
        """One file: an answer, a bare receipt or a report; anything else is none of ours."""
        try:
            with path.open("rb") as file:
                found: Any = json.loads(file.read(_MOST_BYTES))
            if not isinstance(found, dict):
                return
            if "report" in found and "receipt" in found:
                self._report(found, shown=shown)
            elif "receipt" in found and found["receipt"] is not None:
                self._receipt(read_receipt(found["receipt"]), shown=shown)
            elif "record" in found and "batch" in found:
                self._receipt(read_receipt(found), shown=shown)
        except ReceiptError as problem:
            self._differs(shown, vi=f"không kiểm chứng được: {problem}", en=f"cannot be verified: {problem}")
        except (OSError, ValueError, BadMessage, LookupError, TypeError, AttributeError, RecursionError):
            self._differs(shown, vi="không đọc được", en="cannot be read")

    def _differs(self, where: str, *, vi: str, en: str) -> None:
        self.kept.differences.append(Difference(where=where, vi=vi, en=en))

    def _is_in_month(self, at: datetime) -> bool:
        return self._begin <= at < self._end

    def _receipt(self, receipt: Receipt, *, shown: str) -> None:
        record = verify_receipt(receipt, keys=self._keys).record
        said: Any = json.loads(record)
        if "kind" not in said:
            return  # a statement, or something else that was signed
        event = read_record(record)
        facts: Any = event.facts
        if event.id in self._events:
            return
        if event.kind is EventKind.SUBMISSION_ACCEPTED and facts["kind"] == Kind.STATUS.value:
            self._status(event, facts)
        if facts.get("sender") != self._organ or not self._is_in_month(event.at):
            return
        self._events.add(event.id)
        if event.kind not in {EventKind.SUBMISSION_ACCEPTED, EventKind.SUBMISSION_REFUSED}:
            return
        self.kept.receipts += 1
        for one in fold(event):
            if one.sender == self._organ and one.metric in AT_THE_SENDER:
                self.kept.counts[one.metric] += one.n
        for code, number in _lines(event):
            self._take(self.kept.sent_to, code, number, document=str(event.document), shown=shown)

    def _report(self, found: Mapping[str, Any], *, shown: str) -> None:
        record = verify_receipt(read_receipt(found["receipt"]), keys=self._keys).record
        if record.decode() != found["report"]:
            self._differs(shown, vi="báo cáo khác bản đã ký", en="the report is not what was signed")
            return
        said: Any = json.loads(record)
        document = said["document"]
        if not is_id(document) or document in self._documents:
            return
        mine = [one for one in said["receivers"] if normal(one["code"]) in self._codes]
        if not mine:
            return
        self._documents.add(document)
        sender = normal(said["sender"]["code"])
        numbers = [one["number"] for one in mine if one["number"] is not None]
        self._places[document] = [(sender, number) for number in numbers]
        self.kept.held.setdefault(sender, set()).update(numbers)
        if not self._is_in_month(_time_in(document)):
            return
        self.kept.reports += 1
        for number in numbers:
            self._take(self.kept.received_from, sender, number, document=document, shown=shown)

    def _status(self, event: Event, facts: Any) -> None:
        """What a status said of the document it answers, and when; whose it is is known when all files are read."""
        target, code = facts.get("target"), facts["status_code"]
        if target is not None:
            said = self._statuses.setdefault(target, [])
            said.append((event.at, code, facts["sender"] == self._organ))

    def answers(self) -> None:
        """What the statuses amount to, by the rules of the counts: the first one of its kind counts."""
        for document, places in self._places.items():
            said = sorted(self._statuses.get(document, ()))
            for column, code in _SAID_BY.items():
                theirs = [(at, is_mine) for at, one, is_mine in said if one == code]
                if not theirs:
                    continue
                _add(self.kept.ever_answered, column, places)
                at, is_mine = theirs[0]
                # Who says "returned" of what was worked on already is too late, and it is not counted.
                is_late = column == "returned" and any(
                    one not in {"01", "02"} for when, one, _ in said if when < at
                )
                if is_mine and not is_late and self._is_in_month(at):
                    _add(self.kept.answered, column, places)

    def _take(self, side: dict[str, list[int]], code: str, number: int, *, document: str, shown: str) -> None:
        key = (f"{id(side)}/{code}", number)
        other = self._used.setdefault(key, document)
        if other != document:
            self._differs(
                shown,
                vi=f"số {number} với {code} đã dùng cho văn bản {other}",
                en=f"number {number} with {code} was used for document {other}",
            )
        side.setdefault(code, []).append(number)


def _add(found: dict[str, dict[str, set[int]]], column: str, places: Iterable[tuple[str, int]]) -> None:
    for code, number in places:
        found.setdefault(column, {}).setdefault(code, set()).add(number)


def _lines(event: Event) -> Iterator[tuple[str, int]]:
    facts: Any = event.facts
    if event.kind is EventKind.SUBMISSION_ACCEPTED:
        for line in facts["deliveries"]:
            if "number" in line:
                yield normal(line["code"]), line["number"]


def _time_in(identifier: str) -> datetime:
    """When an id was made: a document's is made at its acceptance."""
    number = 0
    for letter in identifier[:10]:
        number = number << 5 | "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(letter)
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=number)


def compare(statement: Mapping[str, Any], kept: Kept) -> list[Difference]:
    """
    Every difference; an empty list says that both sides hold the same.

    A side the station kept nothing of at all is not compared with what the axis says of it, as long as that is nothing.
    """
    found = list(kept.differences)
    for metric in (one for one in Metric if one in AT_THE_SENDER):
        theirs, ours = statement["counts"].get(metric.value, 0), kept.counts[metric]
        if theirs != ours:
            found.append(
                Difference(
                    where=metric.value,
                    vi=f"Trục đếm {theirs}, giấy xác nhận cho thấy {ours}",
                    en=f"the axis counts {theirs}, the receipts show {ours}",
                )
            )
    found += _compare_pairs("sent_to", statement["sent_to"], kept.sent_to)
    found += _compare_pairs("received_from", statement["received_from"], kept.received_from)
    for column in (Metric.RECEIVED.value, *_SAID_BY):
        listed = sum(len(_numbers(pair, column)) for pair in statement["received_from"])
        if (counted := statement["counts"].get(column, 0)) != listed:
            found.append(
                Difference(
                    where=column,
                    vi=f"bảng kê tự mâu thuẫn: đếm {counted}, liệt kê {listed}",
                    en=f"the statement contradicts itself: it counts {counted} and lists {listed}",
                )
            )
    for pair in statement["received_from"]:
        found += _compare_received(pair, kept)
    return found


def open_numbers(statement: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What was sent to the organ in the month and not received, on which both sides may agree: senders and numbers."""
    for pair in statement["received_from"]:
        if pair.get("not_received"):
            yield str(pair["code"]), str(pair["not_received"])


def _numbers(pair: Mapping[str, Any], column: str) -> set[int]:
    return set(numbers_in(pair.get(column, "")))


def _of(pair: Mapping[str, Any], found: Mapping[str, Iterable[int]]) -> set[int]:
    """What was found under any of the codes of the pair's organ."""
    codes = {normal(one) for one in (pair["code"], *pair["codes"])}
    return {number for code in codes for number in found.get(code, ())}


def _compare_received(pair: Mapping[str, Any], kept: Kept) -> Iterator[Difference]:
    """What the axis counts for this organ of what one sender sent it."""
    where = f"received_from {pair['code']}"
    held, added = _of(pair, kept.held), _numbers(pair, "added")
    # What it says of this month's numbers is compared with them; these are older.
    if unseen := _numbers(pair, "received") - _numbers(pair, "numbers") - held - added:
        yield Difference(
            where=where,
            vi=f"Trục tính là đã nhận các số {ranges(unseen)}, điểm kết nối không giữ giấy tờ nào của chúng",
            en=f"the axis counts numbers {ranges(unseen)} as received, the station keeps nothing of them",
        )
    if untaken := _numbers(pair, "not_received") & held:
        yield Difference(
            where=where,
            vi=f"điểm kết nối giữ giấy tờ của các số {ranges(untaken)}, Trục chưa tính là đã nhận",
            en=f"the station has papers of numbers {ranges(untaken)}, the axis does not have them as received",
        )
    for column, code in _SAID_BY.items():
        theirs = _numbers(pair, column)
        if unsaid := theirs - _of(pair, kept.ever_answered.get(column, {})) - added:
            yield Difference(
                where=f"{column} {pair['code']}",
                vi=f"Trục đếm các số {ranges(unsaid)}, điểm kết nối không giữ giấy xác nhận trạng thái {code} nào",
                en=f"the axis counts numbers {ranges(unsaid)}, the station keeps no receipt of a status {code}",
            )
        if uncounted := _of(pair, kept.answered.get(column, {})) - theirs:
            yield Difference(
                where=f"{column} {pair['code']}",
                vi=f"điểm kết nối giữ giấy xác nhận trạng thái {code} của các số {ranges(uncounted)}, Trục không đếm",
                en=f"the station has receipts of a status {code} of numbers {ranges(uncounted)}, the axis does not count"
                " them",
            )


def _compare_pairs(side: str, theirs: Any, ours: Mapping[str, list[int]]) -> Iterator[Difference]:
    left = {code: set(numbers) for code, numbers in ours.items()}
    for pair in theirs:
        codes = {normal(one) for one in (pair["code"], *pair["codes"])}
        mine: set[int] = set()
        for code in codes:
            mine |= left.pop(code, set())
        said = _numbers(pair, "numbers")
        # Of what the axis added no paper lists a receiver, and nobody has a paper of what nobody received.
        if unseen := said - mine - _numbers(pair, "added") - _numbers(pair, "not_received"):
            yield Difference(
                where=f"{side} {pair['code']}",
                vi=f"Trục ghi các số {ranges(unseen)}, điểm kết nối không giữ giấy tờ nào của chúng",
                en=f"the axis has numbers {ranges(unseen)}, the station keeps nothing of them",
            )
        if unsaid := mine - said:
            yield Difference(
                where=f"{side} {pair['code']}",
                vi=f"điểm kết nối giữ giấy tờ của các số {ranges(unsaid)}, Trục không ghi",
                en=f"the station has papers of numbers {ranges(unsaid)}, the axis does not have them",
            )
    for code, numbers in sorted(left.items()):
        yield Difference(
            where=f"{side} {code}",
            vi=f"điểm kết nối giữ giấy tờ của các số {ranges(numbers)}, bảng kê không có đơn vị này",
            en=f"the station has papers of numbers {ranges(numbers)}, the statement does not name this organ",
        )
