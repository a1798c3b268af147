"""
What receipts and reports prove to a station that has pinned the axis's keys; offline.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from adapters.document import Report
from adapters.errors import BadAnswer, NotProven
from axis.core.events import EventKind, read_record
from axis.core.exchange import Answer, Consignment, Receipt
from axis.core.model import LegalValue
from axis.web.wire import SignedReport
from signing.receipts import ReceiptError, TrustedKeys, VerifiedReceipt, verify_receipt


def prove_receipt(receipt: Receipt, *, keys: TrustedKeys) -> VerifiedReceipt:
    """
    Make sure that a pinned key signed the record, and that the log holds it where the receipt has a proof.

    Raises:
        NotProven: naming the step.
    """
    try:
        return verify_receipt(receipt, keys=keys)
    except ReceiptError as error:
        raise NotProven(error.step.value, error.detail) from error


def prove_answer(answer: Answer, *, keys: TrustedKeys) -> None:
    """
    Make sure that an answer is what the signed record says.

    Raises:
        NotProven: it has no receipt, nobody trusted signed it, or it says something else.
    """
    if answer.receipt is None:
        raise NotProven("form", "the answer has no receipt", answer=answer)
    try:
        proven = prove_receipt(answer.receipt, keys=keys)
    except NotProven as error:
        raise NotProven(error.step, error.detail, answer=answer) from error
    try:
        record: Any = json.loads(proven.record)
        facts = record["facts"]
        signed = (record["submission"], record.get("document"), facts["message_id"], facts["digest"])
        state = str(record["kind"]).partition(".")[2]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotProven("record", "the signed record is not about a submission", answer=answer) from error
    if signed != (answer.submission, answer.document, answer.message_id, answer.digest):
        raise NotProven("record", "the signed record is about another submission", answer=answer)
    if state != answer.state.value:
        raise NotProven("record", f"the signed record says {state}, not {answer.state}", answer=answer)


def prove_report(found: SignedReport, *, header: Consignment, keys: TrustedKeys | None) -> Report:
    """
    Make sure that a report is the one the header of the document names, and that the axis signed it.

    Raises:
        NotProven: it is another report, or the axis's pinned key did not sign it.
        BadAnswer: it is no report.
    """
    if hashlib.sha256(found.report).hexdigest() != header.report:
        raise NotProven("digest", f"it is not the report that the header of {header.document} names")
    if found.receipt.record.encode(errors="replace") != found.report:
        raise NotProven("record", "the signature is over another report")
    if keys is not None:
        prove_receipt(found.receipt, keys=keys)
    try:
        facts = json.loads(found.report)
    except ValueError as error:
        raise BadAnswer("the report is not JSON") from error
    if not isinstance(facts, dict):
        raise BadAnswer("the report is not an object")
    if facts.get("document") != header.document or facts.get("digest") != header.digest:
        raise NotProven("report", f"the report is not about {header.document}")
    if found.valued is not None:
        _prove_valued(found.valued, header=header, keys=keys)
    return Report(body=found.report, receipt=found.receipt, is_proven=keys is not None, valued=found.valued)


def _prove_valued(valued: Receipt, *, header: Consignment, keys: TrustedKeys | None) -> None:
    if keys is not None:
        prove_receipt(valued, keys=keys)
    try:
        event = read_record(valued.record.encode(errors="replace"))
        is_whole = event.facts["value"] in set(LegalValue) and isinstance(event.facts["files"], list)
    except (ValueError, LookupError, TypeError) as error:
        raise BadAnswer("the record of the value cannot be read") from error
    if event.kind is not EventKind.DOCUMENT_VALUED or event.document != header.document or not is_whole:
        raise NotProven("valued", f"the record is not about the value of {header.document}")
