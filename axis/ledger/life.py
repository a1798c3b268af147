"""
The whole life of one document across all receivers, or of a submission that never became one: `axis show`.

A document is shown with its supplementary sendings, with what acts on it (recalls, updates, statuses) and with every
event in the order of the log. Whoever may see only a receiver's tree sees the deliveries of that tree, and the events
that are about them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from axis.core.errors import Ambiguous, NotFound
from axis.core.events import JSON, Event, EventKind, read_record
from axis.core.ids import is_id, year_of
from axis.core.model import Kind, from_micros, iso
from axis.ledger import tables as t
from axis.ledger.scope import Scope, names_of
from axis.ledger.search import code_of
from axis.ledger.store import rows_by_id

_MOST_CANDIDATES = 20
_JUDGED = frozenset({EventKind.DOCUMENT_VALUED, EventKind.DOCUMENT_VERIFIED})
"""What is decided about a document after it was accepted, and concerns everybody who has it."""

_Row = Row[*tuple[Any, ...]]


async def life_of(connection: AsyncConnection, name: str, *, scope: Scope) -> dict[str, JSON]:
    """
    The life of what `name` names: the axis's id of a document, submission or delivery, else a DocumentId.

    Raises:
        NotFound: there is none that this scope may see.
        Ambiguous: the DocumentId fits several; the candidates are ids.
    """
    document, submission = await _resolve(connection, name, scope=scope)
    if document is None:
        assert submission is not None, "one of the two was found"
        return await _submission_only(connection, submission)
    return await _document(connection, document, scope=scope)


# --- which one ----------------------------------------------------------------------------------------------------


async def _resolve(
    connection: AsyncConnection, name: str, *, scope: Scope
) -> tuple[_Row | None, _Row | None]:
    if is_id(name):
        document = await _by_id(connection, name)
        if document is not None and await _may_see(connection, document, scope):
            return document, None
        submission = await _one(connection, t.submission, name)
        if submission is not None and _may_see_submission(submission, scope):
            return None, submission
        raise NotFound("document", name)
    return await _by_document_id(connection, name, scope=scope)


async def _one(connection: AsyncConnection, table: Any, identifier: str) -> _Row | None:
    query = select(table).where(table.c.year == year_of(identifier), table.c.id == identifier)
    return (await connection.execute(query)).first()


async def _by_id(connection: AsyncConnection, identifier: str) -> _Row | None:
    """The document that has the id, or whose submission or delivery has it."""
    document = await _one(connection, t.document, identifier)
    if document is not None:
        return document
    submission = await _one(connection, t.submission, identifier)
    if submission is not None and submission.state == "accepted":
        return await _one(connection, t.document, submission.document_key)
    delivery = await _one(connection, t.delivery, identifier)
    return None if delivery is None else await _one(connection, t.document, delivery.document_key)


async def _by_document_id(
    connection: AsyncConnection, name: str, *, scope: Scope
) -> tuple[_Row | None, _Row | None]:
    table = t.document
    query = (
        select(table)
        .where(t.has_document_id(name), table.c.kind == Kind.EDOC.value)
        .order_by(table.c.accepted_at, table.c.id)
        .limit(_MOST_CANDIDATES)
    )
    rows = (await connection.execute(query)).all()
    found = [row for row in rows if await _may_see(connection, row, scope)]
    # A supplementary sending and a recall carry the id of the first: one life, which the first one tells.
    lives = {row.target or row.root for row in found}
    if len(lives) > 1:
        raise Ambiguous(name, tuple(row.id for row in found))
    if found:
        first = await _one(connection, table, lives.pop())
        is_visible = first is not None and await _may_see(connection, first, scope)
        return (first if is_visible else found[0]), None
    refused = t.submission
    never = (
        select(refused)
        .where(t.is_not_accepted, refused.c.document_id == name, refused.c.document_key.is_(None))
        .order_by(refused.c.recorded_at)
        .limit(_MOST_CANDIDATES)
    )
    submissions = [row for row in await connection.execute(never) if _may_see_submission(row, scope)]
    if not submissions:
        raise NotFound("document", name)
    if len(submissions) > 1:
        raise Ambiguous(name, tuple(row.id for row in submissions))
    return None, submissions[0]


async def _may_see(connection: AsyncConnection, document: _Row, scope: Scope) -> bool:
    if scope.has(document.sender):
        return True
    receivers = (
        select(t.delivery_key.c.organ)
        .where(t.delivery_key.c.root == document.root, scope.covers(t.delivery_key.c.organ))
        .limit(1)
    )
    return (await connection.execute(receivers)).first() is not None


def _may_see_submission(submission: _Row, scope: Scope) -> bool:
    return not scope.trees or (submission.sender is not None and scope.has(submission.sender))


# --- a document ---------------------------------------------------------------------------------------------------


async def _document(connection: AsyncConnection, document: _Row, *, scope: Scope) -> dict[str, JSON]:
    table = t.document
    sendings = (
        await connection.execute(
            select(table).where(table.c.root == document.root).order_by(table.c.accepted_at, table.c.id)
        )
    ).all()
    acting = (
        await connection.execute(
            select(table).where(table.c.target == document.root).order_by(table.c.accepted_at, table.c.id)
        )
    ).all()
    deliveries = await _deliveries(connection, [row.id for row in sendings])
    is_senders = scope.has(document.sender)
    if not is_senders:
        deliveries = [row for row in deliveries if scope.has(row.organ)]
        acting = [row for row in acting if row.kind == Kind.EDOC.value or scope.has(row.sender)]
    events = await _events(
        connection,
        documents=[row.id for row in sendings],
        submissions=[row.submission_id for row in sendings],
    )
    if not is_senders:
        theirs = {row.id for row in deliveries}
        events = [
            (index, event)
            for index, event in events
            if theirs & set(event.deliveries)
            or event.kind in {EventKind.DOCUMENT_VALUED, EventKind.DOCUMENT_VERIFIED}
        ]
    told_by = [event.facts["by_organ"] for _, event in events if event.facts.get("branch")]
    names = await names_of(connection, [document.sender, *(row.sender for row in acting), *told_by])  # type: ignore[list-item]  # numbers of organs
    branches = _branches(events, names)
    replaced_by, replaces = await _chain(connection, document.root)
    codes = {row.id: row.code for row in deliveries}
    submission = await _one(connection, t.submission, document.submission_id) if is_senders else None
    return {
        **_document_json(document, names),
        "attachments": json.loads(document.attachments),
        "submission": _submission_json(submission) if submission is not None else None,
        "sendings": [_document_json(row, names) for row in sendings if row.id != document.id],
        "acted_on_by": [_document_json(row, names) for row in acting],
        "replaces": replaces,
        "replaced_by": replaced_by,
        "duplicates": [
            str(event.submission) for _, event in events if event.kind is EventKind.SUBMISSION_DUPLICATE
        ],
        "deliveries": [{**_delivery_json(row), "branches": branches.get(row.id, [])} for row in deliveries],
        "states": dict(Counter(row.state for row in deliveries)),
        "events": [_event_json(index, event, codes) for index, event in events],
        "log": await _log_json(connection, [index for index, _ in events]),
    }


async def _chain(connection: AsyncConnection, root: str) -> tuple[list[JSON], list[JSON]]:
    """What stands in the place of the document, and in whose place it stands: each with its DocumentId and for whom."""
    table = t.replacement
    found: list[list[JSON]] = []
    for here, there in ((table.c.target, table.c.document_key), (table.c.document_key, table.c.target)):
        rows = (
            await connection.execute(select(there.label("other"), table.c.organs).where(here == root))
        ).all()
        others = {
            row.id: row for row in await rows_by_id(connection, t.document, [one.other for one in rows])
        }
        found.append(
            [
                {
                    "document": one.other,
                    "document_id": others[one.other].document_id,
                    "code": code_of(others[one.other].number, others[one.other].notation) or None,
                    "organs": json.loads(one.organs),
                }
                for one in sorted(rows, key=lambda each: str(each.other))
            ]
        )
    return found[0], found[1]


def _branches(
    events: Sequence[tuple[int | None, Event]], names: Mapping[int, tuple[str, str]]
) -> dict[str, list[JSON]]:
    """What organs below a receiver said of its delivery: the newest status of each."""
    newest: dict[tuple[str, int], JSON] = {}
    for _, event in events:
        facts: Any = event.facts
        if event.kind is not EventKind.DELIVERY_ANSWERED or not facts.get("branch"):
            continue
        code, name = names.get(facts["by_organ"], (None, None))
        for delivery in event.deliveries:
            newest[delivery, facts["by_organ"]] = {
                "organ": code,
                "name": name,
                "status": facts["code"],
                "at": iso(event.at),
            }
    found: dict[str, list[JSON]] = {}
    for (answered, _), branch in newest.items():
        found.setdefault(answered, []).append(branch)
    return found


async def _deliveries(connection: AsyncConnection, documents: Sequence[str]) -> list[_Row]:
    table = t.delivery
    query = (
        select(table)
        .where(table.c.document_key.in_(documents), table.c.year.in_({year_of(one) for one in documents}))
        .order_by(table.c.accepted_at, table.c.code, table.c.id)
    )
    return list((await connection.execute(query)).all())


async def _events(
    connection: AsyncConnection, *, documents: Sequence[str], submissions: Sequence[str]
) -> list[tuple[int | None, Event]]:
    """Every event about them: numbered ones in the order of the log, then those that wait, as they were written."""
    table = t.event
    query = (
        select(table.c.record, t.leaf.c.idx, t.pending_leaf.c.seq)
        .outerjoin_from(table, t.leaf, t.leaf.c.event_id == table.c.id)
        .outerjoin(t.pending_leaf, t.leaf.c.idx.is_(None) & (t.pending_leaf.c.event_id == table.c.id))
        .where(
            or_(table.c.document_id.in_(documents), table.c.submission_id.in_(submissions)),
            # Nothing happens to a document before its submission was received.
            table.c.year >= min(year_of(one) for one in (*documents, *submissions)),
        )
    )
    rows = (await connection.execute(query)).all()
    ordered = sorted(rows, key=lambda row: (row.idx is None, row.idx if row.idx is not None else row.seq))
    return [(row.idx, read_record(row.record)) for row in ordered]


async def _submission_only(connection: AsyncConnection, submission: _Row) -> dict[str, JSON]:
    """A submission without a document: refused, held, or a duplicate of something else."""
    events = await _events(connection, documents=[], submissions=[submission.id])
    return {
        "document": submission.document_key,
        "kind": submission.kind,
        "document_id": submission.document_id,
        "business_type": submission.business_type,
        "code": submission.code or None,
        "subject": submission.subject,
        "from": submission.from_code,
        "submission": _submission_json(submission),
        "deliveries": [],
        "events": [_event_json(index, event, {}) for index, event in events],
        "log": await _log_json(connection, [index for index, _ in events]),
    }


# --- JSON ---------------------------------------------------------------------------------------------------------


def _time(value: int | None) -> str | None:
    return None if value is None else iso(from_micros(value))


def _document_json(row: _Row, names: Mapping[int, tuple[str, str]]) -> dict[str, JSON]:
    return {
        "document": row.id,
        "kind": row.kind,
        "document_id": row.document_id,
        "business_type": row.business_type,
        "code": code_of(row.number, row.notation) or None,
        "promulgation_date": row.promulgation_date,
        "type_name": row.type_name or None,
        "subject": row.subject,
        "urgency": row.urgency,
        "tier": row.tier,
        "value": row.value,
        "status_code": row.status_code,
        "from": row.from_code,
        "from_name": names.get(row.sender, (None, None))[1],
        "station": row.station_id,
        "digest": row.digest,
        "size": row.size,
        "report": row.report,
        "submitted_at": _time(row.received_at),
        "accepted_at": _time(row.accepted_at),
        "root": row.root,
        "target": row.target,
        "document_state": row.state,
    }


def _submission_json(row: _Row) -> dict[str, JSON]:
    return {
        "submission": row.id,
        "state": row.state,
        "reason": row.reason,
        "station": row.station_id,
        "message_id": row.message_id,
        "digest": row.digest,
        "size": row.size,
        "submitted_at": _time(row.received_at),
        "recorded_at": _time(row.recorded_at),
        "next_try_at": _time(row.next_try_at) if row.state == "held" else None,
    }


def _delivery_json(row: _Row) -> dict[str, JSON]:
    return {
        "delivery": row.id,
        "document": row.document_key,
        "to": row.code,
        "to_name": row.name,
        "station": row.station_id,
        "state": row.state,
        "reason": row.reason,
        "state_at": _time(row.state_at),
        "received_at": _time(row.received_at),
        "status": row.status,
        "registered": row.registered,
        "returned": row.returned,
        "request": row.request,
        "request_kind": row.request_kind,
        "requested_by": row.requested_by,
        "requested_at": _time(row.requested_at),
    }


def _event_json(index: int | None, event: Event, codes: Mapping[str, str]) -> dict[str, JSON]:
    facts: Any = event.facts
    causes: Iterable[Any] = facts.get("causes") or ()
    by = {
        name: value
        for name, value in (
            ("station", event.by.station),
            ("person", event.by.person),
            ("axis", event.by.axis),
            ("reason", event.by.reason),
        )
        if value is not None
    }
    return {
        "index": index,
        "event": event.id,
        "at": iso(event.at),
        "kind": event.kind.value,
        "by": by,
        "submission": event.submission,
        "document": event.document,
        "deliveries": [one for one in event.deliveries if one in codes],
        "to": [codes[one] for one in event.deliveries if one in codes],
        "reason": facts.get("reason") or next((one["code"] for one in causes), None),
        "status": facts.get("code") if event.kind is EventKind.DELIVERY_ANSWERED else None,
        "mark": facts.get("mark"),
        "settles": (facts.get("settles") or {}).get("request"),
        "said": (facts.get("settles") or {}).get("said") or facts.get("said"),
        "value": facts.get("value") if event.kind in _JUDGED else None,
        "files": facts.get("files") if event.kind is EventKind.DOCUMENT_VALUED else None,
        "tier": facts.get("tier") if event.kind is EventKind.DOCUMENT_VERIFIED else None,
        "hash": event.hash.hex(),
        "previous": event.previous,
    }


async def _log_json(connection: AsyncConnection, indexes: Sequence[int | None]) -> dict[str, JSON]:
    """How far the events are in the log, and the newest checkpoint that covers those that are."""
    numbered = [index for index in indexes if index is not None]
    newest = select(t.checkpoint.c.size).order_by(t.checkpoint.c.size.desc()).limit(1)
    signed = (await connection.execute(newest)).scalar()
    return {
        "numbered": len(numbered),
        "not_numbered": len(indexes) - len(numbered),
        "checkpoint": signed,
        "under_checkpoint": sum(index < (signed or 0) for index in numbered),
    }
