"""What the pipeline does when it is the axis that is wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from axis.core.errors import ServiceUnavailable
from axis.core.model import SubmissionState
from axis.core.reasons import ReasonCode
from axis.ledger import tables as t
from tests.flow.office import Office
from tests.flow.town import a_letter, a_message, directory, signed


async def test_a_fault_of_ours_is_a_hold_and_stops_no_neighbour(office: Office) -> None:
    """A directory that contradicts itself brings routing down; the message is kept and tried again."""
    good = directory()
    # A delegation to a station that is not there.
    stations = {name: one for name, one in good.stations.items() if name != "bo-tttt"}
    office.country.directory = replace(good, stations=stations)

    answers = await office.admit_all(
        [
            a_message(signed(a_letter(1)), message_id="m-1"),
            a_message(b"%PDF-1.7", message_id="m-2"),
        ]
    )
    office.country.directory = good
    office.clock.jump(timedelta(seconds=20))
    await office.holds.turn()

    assert [one.state for one in answers] == [SubmissionState.HELD, SubmissionState.REFUSED]
    assert answers[0].reason is ReasonCode.AXIS_FAULT
    states = {row["id"]: row["state"] for row in await office.rows(t.submission)}
    assert states[answers[0].submission] == "accepted"


async def test_a_full_disk_records_nothing(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be acknowledged: the transport offers the same message again."""

    async def full(payloads: object) -> None:
        raise ServiceUnavailable("disk", "no space left")

    monkeypatch.setattr(office.blobs, "put", full)
    with pytest.raises(ServiceUnavailable):
        await office.admit(signed(a_letter()))

    assert await office.rows(t.submission) == []
