"""How much one station may hand in, and whose turn it is: a flood costs the one it comes from."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axis.core.errors import ServiceUnavailable
from axis.core.model import StationId, SubmissionState
from axis.core.reasons import ReasonCode
from axis.core.together import Together
from axis.flow.quota import Meter, Quota
from axis.ledger import tables as t
from tests.flow.office import Office
from tests.flow.town import AT, a_letter, a_message, signed

A, B = StationId("a"), StationId("b")
MINUTE = timedelta(minutes=1)


def a_meter(*, messages: int = 0, octets: int = 0) -> Meter:
    return Meter(Quota(messages=messages, octets=octets, period=MINUTE))


def test_what_one_station_uses_up_is_not_missing_for_another() -> None:
    meter = a_meter(messages=2)

    taken = [meter.take(one, octets=1, at=AT) for one in (A, A, A, B)]

    assert taken == [None, None, MINUTE / 2, None]


def test_after_the_time_it_names_the_same_message_fits() -> None:
    meter = a_meter(octets=1_000)
    assert meter.take(A, octets=900, at=AT) is None

    wait = meter.take(A, octets=300, at=AT)

    assert wait == MINUTE * 0.2
    assert meter.take(A, octets=300, at=AT + wait) is None


def test_a_message_larger_than_the_measure_fits_alone() -> None:
    meter = a_meter(octets=1_000)

    assert meter.take(A, octets=5_000, at=AT) is None
    assert meter.take(A, octets=1, at=AT) is not None


def test_no_limit_is_no_limit() -> None:
    meter = a_meter()

    assert {meter.take(A, octets=1 << 40, at=AT) for _ in range(1_000)} == {None}


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(1, 400)), max_size=60))
def test_never_more_than_the_measure_and_what_has_refilled(steps: list[tuple[int, int]]) -> None:
    """Whatever comes when: what was taken is at most the measure, once at the start and once a minute."""
    meter, at, taken = a_meter(octets=1_000), AT, 0
    for seconds, octets in steps:
        at += timedelta(seconds=seconds)
        if meter.take(A, octets=octets, at=at) is None:
            taken += octets

        assert taken <= 1_000 * (1 + (at - AT) / MINUTE) + 1e-6


@pytest.mark.reason("receive.quota")
@pytest.mark.threat("flood", control="quota of messages and bytes per station; refused unread")
async def test_beyond_its_quota_a_station_is_refused_unread_and_told_when(office: Office) -> None:
    pipeline = replace(office.pipeline, meter=a_meter(messages=1))
    body = signed(a_letter(2))

    first = (await pipeline.admit([a_message(signed(a_letter(1)), message_id="m-1")]))[0]
    second = (await pipeline.admit([a_message(body, message_id="m-2")]))[0]
    again = (await pipeline.admit([a_message(signed(a_letter(1)), message_id="m-1")]))[0]

    assert first.state is SubmissionState.ACCEPTED
    assert (second.state, second.reason) == (SubmissionState.REFUSED, ReasonCode.RECEIVE_QUOTA)
    assert second.causes[0].details[0].en == "Send again in 60 s"
    assert await office.blobs.size(second.digest) is None
    # What was answered before is answered like that, quota or not.
    assert (again.submission, again.state) == (first.submission, SubmissionState.ACCEPTED)


async def test_what_could_not_be_recorded_is_not_counted(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(payloads: object) -> None:
        raise ServiceUnavailable("disk", "no space left")

    pipeline = replace(office.pipeline, meter=a_meter(messages=1))
    monkeypatch.setattr(office.blobs, "put", full)
    with pytest.raises(ServiceUnavailable):
        await pipeline.admit([a_message(signed(a_letter(1)), message_id="m-1")])
    monkeypatch.undo()

    answer = (await pipeline.admit([a_message(signed(a_letter(1)), message_id="m-1")]))[0]

    assert answer.state is SubmissionState.ACCEPTED
    assert len(await office.rows(t.submission)) == 1


async def test_one_of_each_party_after_the_other_and_the_urgent_ones_first() -> None:
    """A flood of 40 from one party: another's one comes in the next batch, and each party's keep their order."""
    batches: list[list[str]] = []

    async def work(items: Sequence[str]) -> Sequence[str]:
        batches.append(list(items))
        await asyncio.sleep(0)
        return items

    together = Together(
        work, most=8, turn_of=lambda one: (0 if one.startswith("!") else 1, one.strip("!")[0])
    )
    flood = [f"a{n}" for n in range(40)]
    async with asyncio.TaskGroup() as group:
        group.create_task(together.bring(flood))
        await asyncio.sleep(0)
        for others in (["b1", "b2"], ["c1"], [f"!d{n}" for n in range(9)]):
            group.create_task(together.bring(others))

    assert batches[0] == flood[:8]
    assert batches[1] == [*(f"!d{n}" for n in range(7)), "a8"]
    assert batches[2][:6] == ["!d7", "!d8", "b1", "c1", "a9", "b2"]
    served = [one for batch in batches for one in batch]
    assert sorted(served) == sorted([*flood, "b1", "b2", "c1", *(f"!d{n}" for n in range(9))])
    assert [one for one in served if one.startswith("a")] == flood
