"""
How the tables follow from the events: one pure function from an event to row changes.

The store applies these changes in the transaction that inserts the event; `axis ledger check` applies the same ones to
an empty memory and compares. Nothing else writes a derived column.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from axis.core.events import Event, EventKind
from axis.core.ids import year_of
from axis.core.model import (
    DeliveryState,
    DocumentState,
    Kind,
    LegalValue,
    RequestState,
    SubmissionState,
    micros,
)
from axis.core.text import searchable
from axis.ledger.search import code_of, code_text, word_text


@dataclass(frozen=True, slots=True)
class Insert:
    """A new row."""

    table: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """New values in the row with this key."""

    table: str
    key: tuple[tuple[str, Any], ...]
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Put:
    """A row that is inserted or overwritten: the directory's. One that is all key stays as it is."""

    table: str
    key: tuple[tuple[str, Any], ...]
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Remove:
    """A row that is no more, such as the claim of a hold that ended in a refusal."""

    table: str
    key: tuple[tuple[str, Any], ...]


Op = Insert | Change | Put | Remove

_DELIVERY_STATE = {
    EventKind.DELIVERY_HANDED_OVER: DeliveryState.HANDED_OVER,
    EventKind.DELIVERY_OFFERED_AGAIN: DeliveryState.WAITING,
    EventKind.DELIVERY_FETCHED: DeliveryState.FETCHED,
    EventKind.DELIVERY_ACKNOWLEDGED: DeliveryState.ACKNOWLEDGED,
    EventKind.DELIVERY_FAILED: DeliveryState.FAILED,
    EventKind.DELIVERY_ASKED_BACK: DeliveryState.WAITING,
    EventKind.DELIVERY_WITHDRAWN: DeliveryState.WITHDRAWN,
    EventKind.DELIVERY_REPLAYED: DeliveryState.WAITING,
}


_CHECKING = LegalValue.CHECKING.value
WHOLE_VERSION = 1
"""The row of `directory_version` that every act on the directory changes."""
ORGANS_VERSION = 2
"""The one that only acts on organs change: 120,000 of them need not be read again for one station."""


def project(event: Event) -> Iterator[Op]:
    """The row changes an event means, besides its own row."""
    facts: Any = event.facts
    match event.kind:
        case EventKind.SUBMISSION_ACCEPTED:
            yield from _submission(event, facts, SubmissionState.ACCEPTED)
            yield from _document(event, facts)
        case EventKind.SUBMISSION_REFUSED:
            yield from _submission(event, facts, SubmissionState.REFUSED)
        case EventKind.SUBMISSION_HELD:
            yield from _submission(event, facts, SubmissionState.HELD)
        case EventKind.SUBMISSION_DUPLICATE:
            yield from _submission(event, facts, SubmissionState.DUPLICATE)
        case EventKind.SUBMISSION_BURIED:
            yield from _buried(event, facts)
        case kind if kind in _DELIVERY_STATE:
            yield from _delivery_step(event, facts, _DELIVERY_STATE[kind])
        case EventKind.DELIVERY_ADDED:
            yield from _deliveries(event, facts)
        case EventKind.DELIVERY_ANSWERED:
            yield from _answered(event, facts)
        case EventKind.DOCUMENT_RECALL_CLOSED:
            closed = {"state": DocumentState.RECALLED.value, "head": event.hash.hex()}
            yield Change("document", _wide("id", event.document), closed)
        case EventKind.DOCUMENT_VERIFIED:
            values = {name: facts[name] for name in ("tier", "value") if name in facts}
            yield Change("document", _wide("id", event.document), {**values, "head": event.hash.hex()})
            yield from _judged(event, facts)
        case EventKind.REVOCATION_TAKEN:
            yield Put(
                "revocation",
                (("digest", facts["digest"]),),
                {
                    "kind": facts["kind"],
                    "about": facts["about"],
                    "number": facts["number"],
                    "issued_at": _time(facts["issued_at"]),
                    "next_update": _time(facts["next_update"]),
                    "taken_at": micros(event.at),
                },
            )
        case EventKind.LOG_TIMESTAMPED:
            yield Put(
                "timestamp",
                (("size", facts["size"]),),
                {
                    "digest": facts["digest"],
                    "at": _time(facts["at"]),
                    "serial": facts["serial"],
                    "authority": facts["authority"],
                },
            )
        case EventKind.DELIVERY_NOT_TAKEN:
            yield from _not_taken(event, facts)
        case EventKind.DOCUMENT_VALUED:
            yield Change(
                "document", _wide("id", event.document), {"value": facts["value"], "head": event.hash.hex()}
            )
            yield from _valued(event, facts)
        case EventKind.ORGANS_CHANGED:
            yield from _organs(facts)
        case EventKind.STATION_CHANGED:
            yield from _station(facts)
        case EventKind.DELEGATION_CHANGED:
            yield from _delegation(facts)
        case EventKind.CERTIFICATE_CHANGED:
            yield from _certificate(facts)
        case EventKind.CERTIFICATE_ENDING:
            bound = (("fingerprint", facts["fingerprint"]), ("organ", facts["organ"]))
            yield Change("certificate", bound, {"warned": facts["step"]})
        case EventKind.VXP_CHANGED:
            yield from _vxp(facts)
        case EventKind.SECRECY_RELEASED:
            key = (("digest", facts["digest"]), ("person", event.by.person))
            yield Put("release", key, {"at": micros(event.at)})
            yield from _directory_version(facts)
        case EventKind.PAYLOAD_PURGED:
            for one in facts["payloads"]:
                yield Put("payload_purge", (("digest", one["digest"]),), {"at": micros(event.at)})
        case EventKind.LEGAL_HOLD_CHANGED:
            hold = (("document_key", facts["document"]),)
            said = {"person": event.by.person, "reason": event.by.reason, "at": micros(event.at)}
            yield Put("legal_hold", hold, said) if facts["after"] else Remove("legal_hold", hold)
        case EventKind.REPLAY_CHANGED:
            yield from _replay(event, facts)
        case _:
            return


def _wide(column: str, identifier: Any) -> tuple[tuple[str, Any], ...]:
    return (("year", year_of(identifier)), (column, identifier))


def _time(text: str | None) -> int | None:
    return None if text is None else micros(datetime.fromisoformat(text))


def _submission(event: Event, facts: Any, state: SubmissionState) -> Iterator[Op]:
    causes = facts.get("causes") or ()
    values = {
        "recorded_at": micros(event.at),
        "state": state.value,
        "reason": causes[0]["code"] if causes else None,
        "kind": facts.get("kind"),
        "business_type": facts.get("business_type"),
        "document_key": event.document,
        "sender": facts.get("sender"),
        "from_code": facts.get("from"),
        "document_id": facts.get("document_id"),
        "code": facts.get("code"),
        "code_text": code_text(facts.get("code") or ""),
        "subject": facts.get("subject"),
        "search_text": word_text(facts.get("subject") or "", facts.get("code") or ""),
        "event_id": event.id,
        "head": event.hash.hex(),
    }
    if facts.get("after_hold"):
        # The legal time of sending stays the time of receipt; only the verdict is new.
        yield Change("submission", _wide("id", event.submission), values)
        if state in {SubmissionState.REFUSED, SubmissionState.DUPLICATE}:
            for key in facts.get("frees", ()):
                yield Remove("claim", (("key", key),))
    else:
        yield Insert(
            "submission",
            {
                "year": year_of(str(event.submission)),
                "id": event.submission,
                "station_id": facts.get("station"),
                "message_id": facts["message_id"],
                "digest": facts["digest"],
                "size": facts["size"],
                "received_at": _time(facts["received_at"]),
                "lane": facts["lane"],
                **values,
            },
        )
        if facts.get("station") is not None and facts["message_id"]:
            yield Insert(
                "answered_message",
                {
                    "station_id": facts["station"],
                    "message_id": facts["message_id"],
                    "digest": facts["digest"],
                    "submission_id": event.submission,
                },
            )
    for key in facts.get("claims", ()):
        yield Put(
            "claim", (("key", key),), {"submission_id": event.submission, "document_key": event.document}
        )
    if facts.get("unburies"):
        yield Change("buried", (("id", facts["unburies"]),), {"submission_id": event.submission})


def _document(event: Event, facts: Any) -> Iterator[Op]:
    document = str(event.document)
    accepted_at = micros(event.at)
    signatory = facts.get("signatory", "")
    signer = ((facts.get("verdict") or {}).get("signer") or {}).get("subject")
    yield Insert(
        "document",
        {
            "year": year_of(document),
            "id": document,
            "submission_id": event.submission,
            "kind": facts["kind"],
            "station_id": facts["station"],
            "sender": facts["sender"],
            "from_code": facts["from"],
            "document_id": facts["document_id"],
            "business_type": facts["business_type"],
            "number": facts["number"],
            "notation": facts["notation"],
            "code_text": code_text(code_of(facts["number"], facts["notation"])),
            "promulgation_date": facts.get("date"),
            "due_date": facts.get("due_date"),
            "late": facts.get("late"),
            "paper": facts.get("paper", False),
            "type_name": facts["type_name"],
            "subject": facts["subject"],
            "search_text": word_text(facts["subject"], facts["number"], facts["notation"]),
            "signatory": signatory,
            "signer": signer,
            "signer_text": word_text(signatory, signer or ""),
            "urgency": facts["urgency"],
            "lane": facts["lane"],
            "digest": facts["digest"],
            "size": facts["size"],
            "content": facts["content"],
            "tier": facts["tier"],
            "value": facts.get("value", _CHECKING),
            "received_at": _time(facts["received_at"]),
            "accepted_at": accepted_at,
            "root": facts["root"],
            "target": facts.get("target"),
            "status_code": facts.get("status_code"),
            "report": facts.get("report"),
            "signer_serial": ((facts.get("verdict") or {}).get("signer") or {}).get("serial"),
            "attachments": json.dumps(facts["attachments"], ensure_ascii=False, sort_keys=True),
            "state": DocumentState.IN_FORCE.value,
            "head": event.hash.hex(),
        },
    )
    if facts["kind"] == Kind.EDOC.value and facts.get("value", _CHECKING) == _CHECKING:
        yield Insert("valuation", {"document_key": document})
    yield from _certified_under(facts.get("verdict") or {})
    yield from _deliveries(event, facts)
    yield from _acts_on(event, facts)


def _acts_on(event: Event, facts: Any) -> Iterator[Op]:
    """What a recall, update or replacement, or a status 13, means for the documents it names."""
    for one in facts.get("acts_on", ()):
        yield Change("document", _wide("id", one["document"]), {"state": one["state"]})
    for one in facts.get("replaces", ()):
        yield Insert(
            "replacement",
            {
                "document_key": event.document,
                "target": one["document"],
                "organs": json.dumps(one["organs"], ensure_ascii=False),
            },
        )
    for asked in facts.get("asks", ()):
        values = {
            "request": RequestState.ASKED.value,
            "request_kind": asked["kind"],
            "requested_by": event.document,
            "requested_at": micros(event.at),
        }
        for delivery in asked["deliveries"]:
            yield Change("delivery", _wide("id", delivery), values)


def _deliveries(event: Event, facts: Any) -> Iterator[Op]:
    """The consignments and deliveries an event makes."""
    document = str(event.document)
    accepted_at = micros(event.at)
    for one in facts["consignments"]:
        yield Insert(
            "consignment",
            {
                "year": year_of(one["id"]),
                "id": one["id"],
                "document_key": document,
                "station_id": one["station"],
                "lane": facts["lane"],
                "state": "waiting",
                "state_at": accepted_at,
                "attempt": 0,
                "head": event.hash.hex(),
            },
        )
    for line in facts["deliveries"]:
        yield Insert(
            "delivery",
            {
                "year": year_of(line["id"]),
                "id": line["id"],
                "document_key": document,
                "consignment_id": line.get("consignment"),
                "station_id": line.get("station"),
                "kind": facts["kind"],
                "sender": facts["sender"],
                "organ": line["organ"],
                "code": line["code"],
                "name": line["name"],
                "state": line["state"],
                "reason": line.get("reason"),
                "state_at": accepted_at,
                "accepted_at": accepted_at,
                "received_at": None,
                "status": None,
                "registered": False,
                "returned": False,
                **_receipt(facts, line),
                "failures": 0,
                "request": RequestState.NONE.value,
                "request_kind": None,
                "requested_by": None,
                "requested_at": None,
            },
        )
        yield Insert(
            "delivery_key", {"root": facts["root"], "organ": line["organ"], "delivery_id": line["id"]}
        )
        if "number" in line:
            pair = (("sender", facts["sender"]), ("receiver", line["organ"]))
            yield Put("pair", pair, {"n": line["number"]})


def _judged(event: Event, facts: Any) -> Iterator[Op]:
    """A value other than "being checked" ends the judging of the document's attachments."""
    if facts.get("value", _CHECKING) != _CHECKING:
        yield Remove("valuation", (("document_key", event.document),))


def _valued(event: Event, facts: Any) -> Iterator[Op]:
    """Judged; or to be judged again, as a certificate in it was revoked as of an earlier moment."""
    if facts["value"] == _CHECKING:
        yield Insert("valuation", {"document_key": event.document})
        return
    yield from _judged(event, facts)
    if facts["value"] == LegalValue.REFERENCE.value:
        return  # nothing that is revoked later takes anything away
    for file in facts["files"]:
        for signature in file["signatures"]:
            if signature["signer"] is not None:
                serial = signature["signer"]["serial"]
                yield Put("file_signer", (("serial", serial), ("document_key", event.document)), {})
                yield from _certified_under(signature)


def _certified_under(signed: Any) -> Iterator[Op]:
    """Whose certificate stands above whose, of a verdict or of a signature in a file."""
    for above in signed.get("above", ()):
        yield Put("certified_under", (("above", above), ("serial", signed["signer"]["serial"])), {})


def _delivery_step(event: Event, facts: Any, state: DeliveryState) -> Iterator[Op]:
    at = micros(event.at)
    consignment: dict[str, Any] = {
        "head": event.hash.hex(),
        "state": facts["consignment_state"],
        "state_at": at,
    }
    if "attempt" in facts:
        consignment["attempt"] = facts["attempt"]
    yield Change("consignment", _wide("id", facts["consignment"]), consignment)
    # A failure without a reason could not be grouped, so it could not be mended: such an event is refused here.
    reason = facts["reason"] if state is DeliveryState.FAILED else facts.get("reason")
    values: dict[str, Any] = {"state": state.value, "state_at": at, "reason": reason}
    if state is DeliveryState.ACKNOWLEDGED:
        values["received_at"] = at
    elif state in {DeliveryState.FAILED, DeliveryState.WITHDRAWN}:
        values["due_at"] = None  # nobody owes an answer to what did not reach them
    if "failures" in facts:
        values["failures"] = facts["failures"]
    values.update(_request(event, facts))
    for delivery, *_ in facts["lines"]:
        yield Change("delivery", _wide("id", delivery), values)


def _request(event: Event, facts: Any) -> Iterator[tuple[str, Any]]:
    """What a step means for the wish to have the delivery back."""
    if "request" in facts:
        yield "request", facts["request"]
    elif event.kind is EventKind.DELIVERY_WITHDRAWN:
        yield "request", RequestState.NONE.value
    if "requested_by" in facts:
        yield "request_kind", facts["request_kind"]
        yield "requested_by", facts["requested_by"]
        yield "requested_at", _time(facts["requested_at"])


def _answered(event: Event, facts: Any) -> Iterator[Op]:
    settled = facts.get("settles")
    for delivery in settled["deliveries"] if settled else ():
        yield Change("delivery", _wide("id", delivery), {"request": settled["request"]})
    for delivery, _, change in facts["lines"]:
        values: dict[str, Any] = {}
        if facts.get("shown") is not None:
            values["status"] = facts["shown"]
        if "registered" in change:
            values["registered"] = True
            values["registered_at"] = micros(event.at)
        if facts.get("first_told"):
            values["told_at"] = micros(event.at)
        if "returned" in change:
            values["returned"] = True
        if values:
            yield Change("delivery", _wide("id", delivery), values)
    if facts.get("consignment"):
        yield Change("consignment", _wide("id", facts["consignment"]), {"head": event.hash.hex()})


def _receipt(facts: Any, line: Any) -> dict[str, Any]:
    """By when the receiver must have answered, and what it has not answered yet."""
    receipt = facts.get("receipt") or {}
    is_due = line["state"] != DeliveryState.NOT_CONNECTED.value
    return {
        "due_at": _time(receipt.get("due")) if is_due else None,
        "next_day": receipt.get("next_day") if is_due else None,
        "told_at": None,
        "registered_at": None,
        "not_taken_at": None,
    }


def _not_taken(event: Event, facts: Any) -> Iterator[Op]:
    for delivery, *_ in facts["lines"]:
        yield Change("delivery", _wide("id", delivery), {"not_taken_at": micros(event.at)})
    yield Change("consignment", _wide("id", facts["consignment"]), {"head": event.hash.hex()})


def _buried(event: Event, facts: Any) -> Iterator[Op]:
    yield Insert(
        "buried",
        {
            "id": event.submission,
            "station_id": facts.get("station"),
            "message_id": facts["message_id"],
            "digest": facts["digest"],
            "size": facts["size"],
            "reason": facts["reason"],
            "at": micros(event.at),
            "submission_id": None,
        },
    )
    for key in facts.get("claims", ()):
        yield Put("claim", (("key", key),), {"submission_id": event.submission, "document_key": None})


def _organs(facts: Any) -> Iterator[Op]:
    for change in facts["changes"]:
        after = change["after"]
        yield Put(
            "organ",
            (("number", after["number"]),),
            {
                "code": after["code"],
                "name": after["name"],
                "kind": after["kind"],
                "parent": after.get("parent"),
                "valid_from": _time(after.get("valid_from")),
                "valid_to": _time(after.get("valid_to")),
                "successor": after.get("successor"),
                "terminate_here": after.get("terminate_here", False),
                "confidence": after.get("confidence", "sourced"),
                "version": facts["directory_version"],
                "search_text": searchable(after["name"]),
            },
        )
        for normal, written in after["codes"]:
            yield Put("organ_code", (("code", normal), ("organ", after["number"])), {"written": written})
    yield Put("directory_version", (("id", ORGANS_VERSION),), {"n": facts["directory_version"]})
    yield from _directory_version(facts)


def _station(facts: Any) -> Iterator[Op]:
    after = facts["after"]
    yield Put(
        "station",
        (("id", after["id"]),),
        {
            "is_platform": after.get("is_platform", False),
            "priority_scale": after.get("priority_scale", "0-4"),
            **{
                name: after[name]
                for name in (
                    "name",
                    "state",
                    "channel",
                    "policy",
                    "inline_bytes",
                    "window",
                    "refuses_unpassed",
                )
            },
            "acts_for": " ".join(after.get("acts_for", ())),
        },
    )
    yield from _directory_version(facts)


def _vxp(facts: Any) -> Iterator[Op]:
    after = facts["after"]
    yield Put(
        "vxp_system",
        (("id", after["id"]),),
        {"station_id": after["station"], "view": after["view"], "is_open": after["is_open"]},
    )
    yield from _directory_version(facts)


def _delegation(facts: Any) -> Iterator[Op]:
    for change in facts["changes"]:
        after = change["after"]
        key = (
            ("station_id", after["station"]),
            ("organ", after["organ"]),
            ("valid_from", _time(after["valid_from"])),
        )
        yield Put("delegation", key, {"subtree": after["subtree"], "valid_to": _time(after.get("valid_to"))})
    yield from _directory_version(facts)


def _certificate(facts: Any) -> Iterator[Op]:
    for change in facts["changes"]:
        after = change["after"]
        yield Put(
            "certificate",
            (("fingerprint", after["fingerprint"]), ("organ", after["organ"])),
            {
                "spki": after["spki"],
                "issuer": after["issuer"],
                "serial": after["serial"],
                "subject": after["subject"],
                "valid_from": _time(after["valid_from"]),
                "valid_to": _time(after.get("valid_to")),
                "revoked_at": _time(after.get("revoked_at")),
                # Bound again, perhaps until later: what was said of it before says nothing now.
                "warned": None,
            },
        )
    yield from _directory_version(facts)


def _directory_version(facts: Any) -> Iterator[Op]:
    yield Put("directory_version", (("id", WHOLE_VERSION),), {"n": facts["directory_version"]})


def _replay(event: Event, facts: Any) -> Iterator[Op]:
    plan = facts["plan"]
    if facts["change"] == "planned":
        yield Insert(
            "replay_plan",
            {
                "id": plan,
                "person": event.by.person,
                "reason": event.by.reason,
                "at": micros(event.at),
                "state": "planned",
            },
        )
        for kind, item in facts["items"]:
            yield Insert(
                "replay_item",
                {"plan_id": plan, "kind": kind, "item_id": item, "state": "planned", "result": None},
            )
    elif facts["change"] == "item":
        key = (("plan_id", plan), ("kind", facts["item"][0]), ("item_id", facts["item"][1]))
        yield Change("replay_item", key, {"state": "done", "result": facts["result"]})
    else:
        yield Change("replay_plan", (("id", plan),), {"state": facts["change"]})
