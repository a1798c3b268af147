"""
What an acceptance says of time: sent late or not, when the receivers must answer, until when a reply is asked for.

Judged once, when the document is recorded, by the calendar of that moment, and kept in the record: a day off that is
decided later changes no count of the past. LR-13 and LR-14 are about the first sending of a new document only; recalls,
updates, replacements and supplementary sendings have no day of signing of their own.
"""

from __future__ import annotations

from datetime import datetime, time
from typing import Final

from axis.core.calendar import Calendar, read_calendar, receipt_due, sending_of
from axis.core.events import JSON
from axis.core.model import BusinessType, iso
from axis.data import working_days_toml
from axis.edxml.dates import read_time
from axis.edxml.message import Edoc

SHIPPED_CALENDAR: Final = read_calendar(working_days_toml())
"""The years that come with the axis; an operator adds later ones."""

TIMED: Final = 4
"""Hỏa tốc hẹn giờ of the rules before NĐ30: express, with an hour; it stands in DueDate where a sender writes one."""


def deadline_facts(
    message: Edoc, *, is_first: bool, received_at: datetime, accepted_at: datetime, calendar: Calendar
) -> dict[str, JSON]:
    """
    Facts of the acceptance of a document.

    `late` and `late_nd30` stand there where the rule applies and the date says something; `receipt` is for every
    delivery of it, and its `due` is null where the calendar does not know the year.
    """
    facts: dict[str, JSON] = {}
    issued = message.promulgation.date.value if message.promulgation.date is not None else None
    if is_first and message.business_type is BusinessType.NEW:
        sending = sending_of(issued, sent=received_at, calendar=calendar)
        if sending.due is not None:
            facts["sending_due"] = iso(sending.due)
        if sending.is_late is not None:
            facts["late"] = sending.is_late
        if sending.is_late_nd30 is not None:
            facts["late_nd30"] = sending.is_late_nd30
    receipt = receipt_due(accepted_at, calendar=calendar)
    facts["receipt"] = {
        "due": iso(receipt.due) if receipt.due is not None else None,
        "next_day": receipt.is_next_day,
    }
    if message.due_date is not None and message.due_date.value is not None:
        facts["due_date"] = message.due_date.value.isoformat()
    if message.other.priority == TIMED:
        facts["timed"] = True
        moment = read_time(message.due_date.written)[0].value if message.due_date is not None else None
        if moment is not None and moment.time() != time():
            facts["due_time"] = iso(moment)
    if message.bussiness is not None and message.bussiness.paper:
        facts["paper"] = True
    return facts
