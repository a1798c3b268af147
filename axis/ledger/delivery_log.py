"""
The delivery log (nhật ký gửi, nhận): one row per delivery, or per submission that has none.

Rows are ordered by `recorded_at`, then by id, and read page by page behind a key, never by offset. `recorded_at` is
when the verdict was recorded that the row shows: the moment that decides on which day it counts. It never changes for
a delivery; a held submission that is judged anew moves to its new place, and nothing else moves.

The rows come from up to three sources, each with an index in that order: deliveries by their receiver, deliveries by
their sender, and submissions that were not accepted. They are merged here.

What hangs on the document (words, type, urgency) or on many organs has no index in that order. Such deliveries are
looked for stretch by stretch, the newest documents first: a page costs what lies between its rows, not what years of
history hold.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Row,
    Select,
    Text,
    and_,
    cast,
    literal,
    or_,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from axis.core.errors import InvalidQuestion
from axis.core.events import JSON
from axis.core.ids import first_of, is_id, moment_of, year_of
from axis.core.model import (
    PENDING,
    BusinessType,
    DeliveryState,
    Kind,
    OrganNumber,
    SubmissionState,
    Urgency,
    from_micros,
    iso,
    micros,
)
from axis.core.reasons import ReasonCode
from axis.ledger import tables as t
from axis.ledger.scope import Scope, names_of
from axis.ledger.search import code_of, code_text, is_plain, words

MOST_ROWS = 1_000
"""Most rows of a page."""

COLUMNS = (
    "document",
    "submission",
    "delivery",
    "kind",
    "document_id",
    "business_type",
    "code",
    "type_name",
    "subject",
    "urgency",
    "tier",
    "value",
    "signatory",
    "signer",
    "late",
    "from",
    "from_name",
    "to",
    "to_name",
    "station",
    "to_station",
    "state",
    "reason",
    "status",
    "registered",
    "returned",
    "submitted_at",
    "recorded_at",
    "state_at",
    "received_at",
    "digest",
    "size",
)
"""Members of a row, in this order; a member that does not apply is null."""

State = SubmissionState | DeliveryState

_ALIASES: Mapping[str, frozenset[State]] = {
    "pending": frozenset(PENDING),
    SubmissionState.ACCEPTED.value: frozenset(DeliveryState),
}
"""`pending` is any of the three; what was accepted has deliveries, and shows as them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Which rows are asked for; what is not said does not restrict."""

    organ: OrganNumber | None = None
    """Sender or receiver, with everything below it."""
    since: datetime | None = None
    """Recorded at this moment or later."""
    until: datetime | None = None
    """Recorded before this moment."""
    states: frozenset[State] = frozenset()
    reason: ReasonCode | None = None
    subject: str = ""
    """Words of subject, number or notation; marks and capitals do not matter, all of them must occur."""
    number: str = ""
    """`15/QĐ-TTg`, or the number alone."""
    signer: str = ""
    """Words of the name that signed in the header, or of the certificate's subject."""
    late: bool | None = None
    """Sent behind the time limit of QĐ28 Art. 6.2, or in time; where nobody can tell, neither."""
    document: str = ""
    """The axis's id of a document or submission, or the sender's DocumentId."""
    business_type: BusinessType | None = None
    urgency: Urgency | None = None
    kind: Kind | None = None
    """
    Only documents, or only statuses. Where nothing is said, the ways of accepted statuses are left out, as they are
    no deliveries of documents; a status that was refused or held shows.
    """

    def __post_init__(self) -> None:
        """Refuse what cannot be asked."""
        plain(subject=self.subject, number=self.number, signer=self.signer, document=self.document)

    def said(self) -> dict[str, JSON]:
        """What was asked for, as the record of the question holds it."""
        found: dict[str, JSON] = {}
        for one in fields(self):
            value: Any = getattr(self, one.name)
            if value is None or value in ("", frozenset()):
                continue
            if isinstance(value, bool):
                found[one.name] = value
            elif isinstance(value, datetime):
                found[one.name] = iso(value)
            elif isinstance(value, frozenset):
                found[one.name] = sorted(state.value for state in value)
            elif isinstance(value, str):
                found[one.name] = str(getattr(value, "value", value))
            else:
                found[one.name] = int(value)
        return found


def plain(**texts: str) -> None:
    """
    Make sure that these texts can be asked for.

    Raises:
        InvalidQuestion: one cannot stand in a record or a statement.
    """
    for name, one in texts.items():
        if not is_plain(one):
            raise InvalidQuestion(vi=f"{name}: không phải là văn bản thuần", en=f"{name}: not a text")


def states_named(name: str) -> frozenset[State]:
    """
    The states a person names: one of a submission or a delivery, or `pending`.

    Raises:
        InvalidQuestion: there is no such state; says which there are.
    """
    if name in _ALIASES:
        return _ALIASES[name]
    for states in (SubmissionState, DeliveryState):
        if name in set(states):
            return frozenset({states(name)})
    known = sorted({*SubmissionState, *DeliveryState, "pending"})
    listed = ", ".join(known)
    raise InvalidQuestion(
        vi=f"{name[:40]!r} không phải là trạng thái; có {listed}",
        en=f"{name[:40]!r} is no state; there are {listed}",
    )


@dataclass(frozen=True, slots=True)
class Cursor:
    """The row a page ends with; the next one begins behind it."""

    at: int
    id: str

    @property
    def text(self) -> str:
        """The form that is handed out."""
        return f"{self.at}.{self.id}"

    @classmethod
    def read(cls, text: str) -> Cursor:
        """
        The inverse of `text`.

        Raises:
            InvalidQuestion: it was not handed out by us.
        """
        digits, _, identifier = text.partition(".")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 18 and is_id(identifier)):
            raise InvalidQuestion(
                vi="`after` phải là `after` của một trang, giữ nguyên",
                en="`after` is the `after` of a page, unchanged",
            )
        return cls(int(digits), identifier)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some rows, and where the next ones begin; None at the end."""

    rows: Sequence[dict[str, JSON]]
    after: str | None


async def read_page(
    connection: AsyncConnection,
    asked: LogFilter,
    *,
    scope: Scope,
    after: Cursor | None,
    limit: int,
    oldest_first: bool = False,
) -> Page:
    """At most `limit` rows behind `after`, newest first or oldest first."""
    limit = max(1, min(limit, MOST_ROWS))
    writer = _Writer(
        asked, scope=scope, after=after, oldest_first=oldest_first, dialect=connection.dialect.name
    )
    most = limit + 1
    found = [await _lines(connection, source, most) for source in writer.submissions()]
    found.append(await _deliveries(connection, writer, most))
    lines = writer.merged(found)[:most]
    shown = lines[:limit]
    names = await names_of(connection, [line.sender for line in shown if line.sender is not None])
    end = shown[-1].place if len(lines) > limit else None
    return Page(
        rows=[line.row(names) for line in shown], after=Cursor(*end).text if end is not None else None
    )


async def _lines(connection: AsyncConnection, source: Select[Any], most: int) -> list[_Line]:
    return [_line(row) for row in await connection.execute(source.limit(most))]


async def _deliveries(connection: AsyncConnection, writer: _Writer, most: int) -> list[_Line]:
    """The first deliveries of the question, from stretch to stretch until there are enough."""
    lines: list[_Line] = []
    ahead = writer.ahead()
    for documents in writer.steps():
        newest = await _newest(connection, ahead, documents)
        if newest is None:
            break
        lines += await _in_stretch(connection, writer, newest, most - len(lines))
        if len(lines) == most or newest.begin == ahead.begin:
            return lines
        ahead = replace(ahead, end=newest.begin, after=None)
    return lines + await _in_stretch(connection, writer, ahead, most - len(lines))


async def _newest(connection: AsyncConnection, ahead: _Stretch, documents: int) -> _Stretch | None:
    """The stretch in front that holds so many documents; None: there are fewer."""
    query = select(t.document.c.id).where(*ahead.has_document())
    query = query.order_by(t.document.c.year.desc(), t.document.c.id.desc()).offset(documents).limit(1)
    oldest = (await connection.execute(query)).scalar()
    if oldest is None:
        return None
    begin = micros(moment_of(oldest))
    if ahead.begin is not None and ahead.begin >= begin:
        begin = ahead.begin
    return replace(ahead, begin=begin, is_short=True)


async def _in_stretch(
    connection: AsyncConnection, writer: _Writer, stretch: _Stretch, most: int
) -> list[_Line]:
    latecomers: Sequence[str] = ()
    if stretch.is_short:
        latecomers = (await connection.execute(writer.latecomers(stretch))).scalars().all()
        if len(latecomers) > MOST_LATECOMERS:
            stretch, latecomers = replace(stretch, is_short=False), ()
    sources = writer.deliveries(stretch, latecomers)
    return writer.merged([await _lines(connection, source, most) for source in sources])[:most]


@dataclass(frozen=True, slots=True)
class _Line:
    """One row before it is shown."""

    place: tuple[int, str]
    sender: int | None
    members: Mapping[str, JSON]

    def row(self, names: Mapping[int, tuple[str, str]]) -> dict[str, JSON]:
        name = names.get(self.sender, ("", ""))[1] if self.sender is not None else ""
        return {**dict.fromkeys(COLUMNS), **self.members, "from_name": name or None}


def _time(value: int | None) -> str | None:
    return None if value is None else iso(from_micros(value))


def _line(row: Row[*tuple[Any, ...]]) -> _Line:
    """A row of either kind: the columns say which."""
    common: dict[str, JSON] = {
        "submission": row.submission_id,
        "kind": row.kind,
        "document_id": row.document_id,
        "business_type": row.business_type,
        "subject": row.subject,
        "from": row.from_code,
        "station": row.station_id,
        "state": row.state,
        "reason": row.reason,
        "submitted_at": _time(row.submitted_at),
        "recorded_at": _time(row.recorded_at),
        "digest": row.digest,
        "size": row.size,
    }
    if not hasattr(row, "delivery_id"):
        more: dict[str, JSON] = {"code": row.code or None, "document": row.document_key}
        return _Line((row.recorded_at, row.submission_id), row.sender, {**common, **more})
    more = {
        "document": row.document_key,
        "delivery": row.delivery_id,
        "code": code_of(row.number, row.notation) or None,
        "type_name": row.type_name or None,
        "urgency": row.urgency,
        "tier": row.tier,
        "value": row.value,
        "signatory": row.signatory or None,
        "signer": row.signer,
        "late": row.late,
        "to": row.to_code,
        "to_name": row.to_name,
        "to_station": row.to_station,
        "status": row.status,
        "registered": row.registered,
        "returned": row.returned,
        "state_at": _time(row.state_at),
        "received_at": _time(row.received_at),
    }
    return _Line((row.recorded_at, row.delivery_id), row.sender, {**common, **more})


_DELIVERIES = select(
    t.delivery.c.id.label("delivery_id"),
    t.delivery.c.document_key,
    t.delivery.c.state,
    t.delivery.c.reason,
    t.delivery.c.status,
    t.delivery.c.registered,
    t.delivery.c.returned,
    t.delivery.c.code.label("to_code"),
    t.delivery.c.name.label("to_name"),
    t.delivery.c.station_id.label("to_station"),
    t.delivery.c.state_at,
    t.delivery.c.received_at,
    t.delivery.c.accepted_at.label("recorded_at"),
    t.document.c.submission_id,
    t.document.c.kind,
    t.document.c.document_id,
    t.document.c.business_type,
    t.document.c.number,
    t.document.c.notation,
    t.document.c.type_name,
    t.document.c.subject,
    t.document.c.urgency,
    t.document.c.tier,
    t.document.c.value,
    t.document.c.signatory,
    t.document.c.signer,
    t.document.c.late,
    t.document.c.sender,
    t.document.c.from_code,
    t.document.c.station_id,
    t.document.c.received_at.label("submitted_at"),
    t.document.c.digest,
    t.document.c.size,
).join_from(
    t.delivery,
    t.document,
    # Both ids are of one moment, that of the acceptance: the year is the same, and names the partition.
    and_(t.document.c.id == t.delivery.c.document_key, t.document.c.year == t.delivery.c.year),
)

_SUBMISSIONS = select(
    t.submission.c.id.label("submission_id"),
    t.submission.c.document_key,
    t.submission.c.kind,
    t.submission.c.document_id,
    t.submission.c.business_type,
    t.submission.c.code,
    t.submission.c.subject,
    t.submission.c.sender,
    t.submission.c.from_code,
    t.submission.c.station_id,
    t.submission.c.state,
    t.submission.c.reason,
    t.submission.c.received_at.label("submitted_at"),
    t.submission.c.recorded_at,
    t.submission.c.digest,
    t.submission.c.size,
).where(t.is_not_accepted)


STEPS = (5_000, 50_000)
"""Documents in the first stretch and in the next one; behind them everything that is left is looked for at once."""

MOST_LATECOMERS = 1_000
"""Named one by one in a statement."""

_SLACK = 3_600_000_000
"""Microseconds between the ids of a document and its deliveries that nobody can have made: they are of one moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretch:
    """A part of the log that is looked through before what lies behind it."""

    begin: int | None
    """Recorded at this moment or later."""
    end: int | None
    """Recorded before this moment."""
    after: Cursor | None = None
    """Behind this row."""
    oldest_first: bool = False
    """Which way "behind" is."""
    is_short: bool = False
    """
    Only its own documents are looked at, by their ids. Deliveries in it of documents from before it are then named one
    by one: a recall reaches whoever took the recalled document late, so they are few (`_Writer.latecomers`).
    """

    def has(self, at: Any, identifier: Any) -> Iterator[ColumnElement[bool]]:
        """The conditions that a row of the log lies in it."""
        if self.begin is not None:
            yield at >= self.begin
        if self.end is not None:
            yield at < self.end
        if self.after is not None:
            here = tuple_(at, identifier)
            there = tuple_(literal(self.after.at, BigInteger()), literal(self.after.id))
            yield here > there if self.oldest_first else here < there

    def has_document(self) -> Iterator[ColumnElement[bool]]:
        """The conditions that a document can have a delivery in it; in a short one, one that was made with it."""
        table = t.document
        newest = self.after.at if self.after is not None and not self.oldest_first else None
        ends = [one for one in (self.end, newest) if one is not None]
        if ends:
            last = _first_id(min(ends) + _SLACK)
            yield table.c.id < last
            yield table.c.year <= year_of(last)
        if self.is_short and self.begin is not None:
            first = _first_id(self.begin)
            yield table.c.id >= first
            yield table.c.year >= year_of(first)


def _first_id(at: int) -> str:
    return first_of(from_micros(at))


class _Writer:
    """The statements of one question."""

    def __init__(
        self, asked: LogFilter, *, scope: Scope, after: Cursor | None, oldest_first: bool, dialect: str
    ) -> None:
        self._asked = asked
        self._scope = scope
        self._after = after
        self._oldest_first = oldest_first
        self._postgresql = dialect == "postgresql"

    def submissions(self) -> Iterator[Select[Any]]:
        """What was not accepted, in the order of the log."""
        if not self._asked.states or self._asked.states & frozenset(SubmissionState):
            query = _SUBMISSIONS.where(*self._of_submissions())
            yield self._in_order(query, t.submission.c.recorded_at, t.submission.c.id, self.ahead())

    def ahead(self) -> _Stretch:
        """All of the log that the question is about."""
        since, until = self._asked.since, self._asked.until
        return _Stretch(
            begin=None if since is None else micros(since),
            end=None if until is None else micros(until),
            after=self._after,
            oldest_first=self._oldest_first,
        )

    def steps(self) -> Sequence[int]:
        """How many documents to look through at first, and then: none where an index has the order of the log."""
        asked = self._asked
        if self._oldest_first or asked.number or asked.document:
            return ()
        of_documents = (asked.business_type, asked.urgency, asked.late, asked.subject, asked.signer)
        is_of_documents = any(one not in (None, "") for one in of_documents)
        has_organs = any(len(tree.organs) > 1 for tree in self._scope.trees)
        if is_of_documents:
            # What is rarer than the first stretch shows is found faster by its words; of one tree there is less.
            return STEPS if self._scope.trees else STEPS[:1]
        return STEPS if has_organs and self._may_be_received() else ()

    def deliveries(self, stretch: _Stretch, latecomers: Sequence[str]) -> Iterator[Select[Any]]:
        """Every source that can have deliveries in the stretch, each in the order of the log."""
        asked, table = self._asked, t.delivery
        if asked.states and not asked.states & frozenset(DeliveryState):
            return
        query = _DELIVERIES.where(*self._of_deliveries())
        if latecomers:
            years = sorted({year_of(one) for one in latecomers})
            named = query.where(table.c.year.in_(years), table.c.id.in_(latecomers))
            yield self._in_order(named, table.c.accepted_at, table.c.id, stretch)
        query = query.where(*stretch.has_document())
        for condition in self._whose(t.document.c.sender):
            yield self._in_order(query.where(condition), table.c.accepted_at, table.c.id, stretch)

    def latecomers(self, stretch: _Stretch) -> Any:
        """Ids of deliveries in a short stretch whose documents were recorded before it."""
        assert stretch.begin is not None, "a short stretch has a begin"
        table = t.delivery
        # An index ends with the delivery's id, which is of its document's moment: of the others no row is read.
        bounds = (
            table.c.id < _first_id(stretch.begin + _SLACK),
            table.c.document_key < _first_id(stretch.begin),
        )
        found = [
            select(table.c.id).where(*stretch.has(table.c.accepted_at, table.c.id), *bounds, condition)
            for condition in self._whose(table.c.sender)
        ]
        return union_all(*found).limit(MOST_LATECOMERS + 1)

    def merged(self, found: Sequence[Sequence[_Line]]) -> list[_Line]:
        """Lines of several sources in the order of the log."""
        return list(heapq.merge(*found, key=lambda line: line.place, reverse=not self._oldest_first))

    def _whose(self, document_sender: Any) -> Iterator[ColumnElement[bool]]:
        """The conditions of whose deliveries are asked for, one for each index; no delivery fulfils two."""
        if not self._scope.trees:
            yield true()
            return
        table = t.delivery
        first, *others = self._scope.trees
        also = and_(true(), *(one.covers(table.c.sender) | one.covers(table.c.organ) for one in others))
        # Two statements instead of one OR: each has an index that begins with its organ.
        received, sent = first.covers(table.c.organ), first.covers(table.c.sender)
        yield received & also
        # Document and delivery name one sender: said of both, few documents are looked at.
        yield sent & ~received & first.covers(document_sender) & also

    def _in_order(self, query: Select[Any], at: Any, identifier: Any, stretch: _Stretch) -> Select[Any]:
        query = query.where(*stretch.has(at, identifier))
        if self._oldest_first:
            return query.order_by(at, identifier)
        return query.order_by(at.desc(), identifier.desc())

    def _may_be_received(self) -> bool:
        """Whether deliveries that were received can be among what is asked for."""
        asked = self._asked
        states = [one for one in asked.states if isinstance(one, DeliveryState)]
        return asked.reason is None and (not states or DeliveryState.ACKNOWLEDGED in states)

    def _of_deliveries(self) -> Iterator[ColumnElement[bool]]:
        asked, delivery, document = self._asked, t.delivery, t.document
        yield delivery.c.kind == (asked.kind or Kind.EDOC).value
        states = sorted(state.value for state in asked.states if isinstance(state, DeliveryState))
        if states and len(states) < len(DeliveryState):
            yield delivery.c.state.in_(states)
        if asked.reason is not None:
            yield delivery.c.reason == asked.reason.value
        if not self._may_be_received():
            yield t.is_not_received
        if asked.document:
            yield from self._named(delivery.c.document_key, document.c.submission_id)
        if asked.number:
            yield _has_code(document.c.code_text, asked.number)
        if asked.business_type is not None:
            yield document.c.business_type == int(asked.business_type)
        if asked.urgency is not None:
            yield document.c.urgency == int(asked.urgency)
        if asked.late is not None:
            yield document.c.late.is_(asked.late)
        for wanted, listed, column in (
            (words(asked.subject), t.document_words, document.c.search_text),
            (words(asked.signer), t.signer_words, document.c.signer_text),
        ):
            if wanted and self._postgresql:
                yield listed.op("@>")(cast(wanted, ARRAY(Text)))
            elif wanted:
                yield _has_words(column, wanted)

    def _named(self, *ids: Any) -> Iterator[ColumnElement[bool]]:
        name = self._asked.document
        if is_id(name):
            yield or_(*(column == name for column in ids))
        else:
            yield t.has_document_id(name)

    def _of_submissions(self) -> Iterator[ColumnElement[bool]]:
        asked, table = self._asked, t.submission
        states = sorted(state.value for state in asked.states if isinstance(state, SubmissionState))
        if states:
            yield table.c.state.in_(states)
        for tree in self._scope.trees:
            # A message nobody could read names no sender: it belongs to whoever its station speaks for.
            theirs = select(t.delegation.c.station_id).where(tree.covers(t.delegation.c.organ))
            yield tree.covers(table.c.sender) | (table.c.sender.is_(None) & table.c.station_id.in_(theirs))
        if asked.kind is not None:
            yield table.c.kind == asked.kind.value
        if asked.reason is not None:
            yield table.c.reason == asked.reason.value
        if asked.document and is_id(asked.document):
            yield (table.c.id == asked.document) | (table.c.document_key == asked.document)
        elif asked.document:
            yield table.c.document_id == asked.document
        if asked.number:
            yield _has_code(table.c.code_text, asked.number)
        if asked.business_type is not None:
            yield table.c.business_type == int(asked.business_type)
        if asked.urgency is not None or asked.signer or asked.late is not None:
            # What was not accepted was not routed: nobody decided how urgent or late it is, or looked who signed.
            yield literal(False)
        wanted = words(asked.subject)
        if wanted:
            yield _has_words(table.c.search_text, wanted)


def _has_words(column: Any, wanted: Iterable[str]) -> ColumnElement[bool]:
    # Words hold letters and digits only, so nothing in them means anything to LIKE.
    surrounded = literal(" ") + column + literal(" ")
    return and_(*(surrounded.like(f"% {word} %") for word in wanted))


def _has_code(column: Any, number: str) -> ColumnElement[bool]:
    """The whole code, or every notation behind a number that stands alone."""
    sought = code_text(number)
    exact: ColumnElement[bool] = column == sought
    if "/" in sought:
        return exact
    # "0" follows "/": everything that begins with the number and a stroke. Compared byte by byte in both databases.
    return or_(exact, and_(column >= f"{sought}/", column < f"{sought}0"))
