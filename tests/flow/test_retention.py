"""How long payloads are kept, on a real ledger with real files: what goes, what stays, and that every proof holds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from axis.core.errors import InvalidAct, InvariantBroken, NotFound, Purged, ServiceUnavailable
from axis.core.events import JSON, Event, EventKind
from axis.core.exchange import Outcome
from axis.core.model import Actor, Digest, EventId, StationId, iso
from axis.evidence.judge import Result, Step, judge_bundle
from axis.ledger import tables as t
from axis.ledger.blobs import FileBlobs
from axis.ledger.check import check
from axis.ledger.retention import Keeper, PayloadClass, Retention
from axis.web.problems import not_served
from axis.web.wire import HTTPReason
from tests.evidence.making import TRUST, export, number_and_sign
from tests.flow.office import LOG, Office
from tests.flow.town import HANOI, TQ, TTTT, a_letter, signed

DAY = timedelta(days=1)
PERSON = Actor(person="an.nguyen", reason="hết hạn lưu")


def a_keeper(office: Office, *, octets: int = 10**9, blobs: FileBlobs | None = None) -> Keeper:
    return Keeper(
        office.ledger,
        blobs=blobs or office.blobs,
        policy=Retention(refused_octets=octets),
        clock=office.clock,
        ids=office.ids,
    )


def _aged(office: Office) -> None:
    """The files are as old as the records that name them; the clock of a test is not the disk's."""
    long_ago = (office.clock.now() - 40 * DAY).timestamp()
    for path in office.blobs._root.glob("*/*"):
        os.utime(path, (long_ago, long_ago))


async def _take(office: Office, station: str) -> None:
    for consignment in await office.inbox(station):
        await office.say(station, Outcome.DONE, *(one.delivery for one in consignment.deliveries))


async def _there(office: Office, digest: str) -> bool:
    return await office.blobs.size(Digest(digest)) is not None


async def test_a_payload_goes_when_its_last_receiver_has_had_it_for_long(office: Office) -> None:
    """30 days after the last of two took it, not a day before; paper counts as at rest; the record says the policy."""
    keeper = a_keeper(office)
    answer = await office.admit(signed(a_letter(receivers=(HANOI, TTTT, TQ))))
    await _take(office, "ha-noi")
    office.clock.jump(40 * DAY)
    assert await keeper.plan() == []
    await _take(office, "bo-tttt")
    office.clock.jump(29 * DAY)
    assert await keeper.plan() == []
    office.clock.jump(2 * DAY)
    _aged(office)

    (planned,) = await keeper.plan()
    assert await _there(office, answer.digest), "a plan changes nothing"
    assert await keeper.purge(by=PERSON) == [planned]

    assert (planned.digest, planned.kept_as) == (answer.digest, PayloadClass.DELIVERED)
    assert not await _there(office, answer.digest)
    (event,) = await office.events(EventKind.PAYLOAD_PURGED.value)
    assert (event.by, event.facts["policy"]) == (PERSON, Retention(refused_octets=10**9).said)
    assert await keeper.purge(by=PERSON) == []
    assert await office.rows(t.payload_purge) == [
        {
            "digest": answer.digest,
            "at": pytest.approx(int(event.at.timestamp() * 1e6), abs=1),
            "removed": True,
        }
    ]


@pytest.mark.requirement("LR-56")
async def test_who_asks_for_bytes_that_were_let_go_is_sent_to_the_issuer(office: Office) -> None:
    """The axis is no archive, and says so; bytes that nobody let go are a loss, and never called "no such document"."""
    let_go = await office.admit(signed(a_letter(receivers=(HANOI,))))
    await _take(office, "ha-noi")
    office.clock.jump(31 * DAY)
    _aged(office)
    await a_keeper(office).purge(by=PERSON)
    lost = await office.admit(signed(a_letter(2, receivers=(HANOI,))))
    office.blobs.path(Digest(lost.digest)).unlink()
    hanoi = office.country.directory.stations[StationId("ha-noi")]

    assert let_go.document is not None
    with pytest.raises(Purged) as purged:
        await office.desk.payload(hanoi, let_go.document)
    assert lost.document is not None
    with pytest.raises(InvariantBroken, match="is gone"):
        await office.desk.payload(hanoi, lost.document)

    assert purged.value.issuer == "000.00.00.G22"
    problem = not_served(purged.value)
    assert (problem.status, problem.cause.code) == (410, HTTPReason.PURGED)
    assert [one.en for one in problem.cause.details] == ["000.00.00.G22"]


async def test_a_payload_that_is_gone_leaves_every_proof_valid(office: Office) -> None:
    """The ledger is in order, and the bundle holds with the digest alone."""
    answer = await office.admit(signed(a_letter(receivers=(HANOI,))))
    await _take(office, "ha-noi")
    office.clock.jump(31 * DAY)
    _aged(office)
    await a_keeper(office).purge(by=PERSON)
    await number_and_sign(office)

    assert answer.document is not None
    exported = await export(office, answer.document)
    judgement = judge_bundle(exported.archive, trust=TRUST)

    assert not exported.has_message
    assert judgement.verdict == "passed"
    assert Step.PAYLOAD in {one.step for one in judgement.findings if one.result is Result.ABSENT}
    assert (await check(office.ledger, keys=[LOG.verifier])).ok


async def test_what_is_held_or_waits_stays(office: Office) -> None:
    """A hold, a delivery nobody took, and a document under a legal hold, until it is lifted."""
    keeper = a_keeper(office)
    waiting = await office.admit(signed(a_letter(receivers=(TTTT,))))
    kept = await office.admit(signed(a_letter(2, receivers=(HANOI,))))
    await _take(office, "ha-noi")
    office.country.trust = None
    held = await office.admit(signed(a_letter(3, receivers=(HANOI,))))
    assert kept.document is not None
    await keeper.hold(kept.document, lifted=False, by=PERSON)
    office.clock.jump(100 * DAY)
    _aged(office)

    assert await keeper.purge(by=PERSON) == []
    assert all([await _there(office, one.digest) for one in (waiting, kept, held)])
    with pytest.raises(InvalidAct, match="under a legal hold"):
        await keeper.hold(kept.document, lifted=False, by=PERSON)
    with pytest.raises(InvalidAct, match="reason"):
        await keeper.hold(kept.document, lifted=True, by=Actor(person="an.nguyen"))
    with pytest.raises(NotFound):
        await keeper.hold("nothing", lifted=True, by=PERSON)
    await keeper.hold(kept.document, lifted=True, by=PERSON)
    assert [kept.digest] == [one.digest for one in await keeper.purge(by=PERSON)]
    assert (await check(office.ledger, keys=[LOG.verifier])).ok


async def test_refused_bytes_have_a_measure(office: Office) -> None:
    """The oldest beyond it go at once, the rest after 30 days; what two submissions share goes when both let it."""
    bodies = [b"<edXML>%d" % number + bytes(1000) for number in range(4)]
    refused = [await office.admit(body) for body in bodies]
    octets = sum(map(len, bodies[2:]))
    _aged(office)

    beyond = await a_keeper(office, octets=octets).purge(by=PERSON)

    assert {one.digest for one in beyond} == {one.digest for one in refused[:2]}
    assert [await _there(office, one.digest) for one in refused] == [False, False, True, True]
    office.clock.jump(20 * DAY)
    again = await office.admit(bodies[3])
    office.clock.jump(11 * DAY)
    _aged(office)
    later = await a_keeper(office).purge(by=Actor(axis="retention"))
    assert again.digest == refused[3].digest
    assert [refused[2].digest] == [one.digest for one in later]
    assert await _there(office, refused[3].digest)


async def test_evidence_that_somebody_hands_in_as_a_message_stays(office: Office) -> None:
    """
    Lists, tokens and policies lie among the payloads by their digest: a copy of one, refused, is no reason to purge it.
    """
    bodies = {kind: f"evidence: {kind}".encode() for kind in ("crl", "token", "policy", "none")}
    refused = {kind: (await office.admit(body)).digest for kind, body in bodies.items()}
    at = office.clock.now()
    facts: dict[EventKind, dict[str, JSON]] = {
        EventKind.REVOCATION_TAKEN: {
            "digest": refused["crl"], "kind": "crl", "about": "CN=CA", "number": "1",
            "issued_at": iso(at), "next_update": None,
        },
        EventKind.LOG_TIMESTAMPED: {
            "size": 1, "digest": refused["token"], "at": iso(at), "serial": "1", "authority": "CN=TSA",
        },
        EventKind.POLICY_CHANGED: {"before": None, "after": {"version": "1", "digest": refused["policy"]}},
    }  # fmt: skip
    async with office.ledger.transaction() as tx:
        await tx.append(
            [
                Event(id=EventId(office.ids.new(at)), kind=kind, at=at, by=Actor(axis="test"), facts=said)
                for kind, said in facts.items()
            ]
        )
    office.clock.jump(31 * DAY)
    _aged(office)

    gone = await a_keeper(office).purge(by=PERSON)

    assert [refused["none"]] == [one.digest for one in gone]
    assert [await _there(office, one) for one in refused.values()] == [True, True, True, False]


class _Dies(FileBlobs):
    """A process that dies between the record and the file."""

    async def remove_idle(self, digests: Sequence[Digest], *, before: datetime) -> Sequence[Digest]:
        raise ServiceUnavailable("disk", f"gone before {len(digests)} files, {before}")


async def test_killed_between_record_and_file_the_next_one_removes_it(office: Office, tmp_path: Path) -> None:
    """The record is there, the file still is; nothing is recorded twice."""
    answer = await office.admit(b"<edXML>old")
    office.clock.jump(31 * DAY)
    _aged(office)
    with pytest.raises(ServiceUnavailable):
        await a_keeper(office, blobs=_Dies(tmp_path / "blobs")).purge(by=PERSON)
    assert await _there(office, answer.digest)

    assert await a_keeper(office).purge(by=PERSON) == []

    assert not await _there(office, answer.digest)
    assert len(await office.events(EventKind.PAYLOAD_PURGED.value)) == 1


async def test_bytes_that_come_again_are_not_lost(office: Office, tmp_path: Path) -> None:
    """Recorded as purged and not removed yet, then handed in again: the file stays."""
    body = b"<edXML>again"
    first = await office.admit(body)
    office.clock.jump(31 * DAY)
    _aged(office)
    with pytest.raises(ServiceUnavailable):
        await a_keeper(office, blobs=_Dies(tmp_path / "blobs")).purge(by=PERSON)
    office.clock.jump(DAY)
    again = await office.admit(body)

    await a_keeper(office).purge(by=PERSON)

    assert first.digest == again.digest
    assert await _there(office, again.digest)
    assert [row["removed"] for row in await office.rows(t.payload_purge)] == [True]


async def test_a_file_somebody_has_just_handed_in_is_kept(tmp_path: Path) -> None:
    """Putting what is there keeps it young: its submission is on the way into the ledger."""
    blobs = FileBlobs(tmp_path)
    old, young = await blobs.put([b"old", b"young"])
    for one in (old, young):
        os.utime(blobs.path(one), (0, 0))
    await blobs.put([b"young"])
    before = datetime.fromtimestamp(10**9).astimezone()

    assert await blobs.remove_idle([old, young, Digest("0" * 64)], before=before) == [old, Digest("0" * 64)]
    assert [await blobs.size(one) for one in (old, young)] == [None, 5]
    assert await blobs.put([blobs.path(young)]) == [young]
    with pytest.raises(NotFound):
        await blobs.put([blobs.path(old)])
