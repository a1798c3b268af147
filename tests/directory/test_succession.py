"""
A province writes, is merged the next day, and its successor acts on what it had sent: by DocumentId and by code.

The mergers are the table of `mergers-2025-07-01.csv`; the road, the ledger and the questions are real ones.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from axis.core.exchange import Answer, Consignment, Outcome
from axis.core.model import BusinessType, Channel, DocumentKey, SignaturePolicy, StationId
from axis.core.reasons import ReasonCode
from axis.data import organs_csv
from axis.demo.letters import Agency, status
from axis.edxml.message import Edoc, Party, Replacement, ResponseFor, StatusCode, WrittenDate
from axis.flow.acts import NewStation
from axis.flow.organ_import import read_organs
from axis.ledger import tables as t
from axis.ledger.check import check
from axis.ledger.count import By, CountFilter
from axis.ledger.directory import SQLDirectories
from axis.ledger.queries import Queries
from axis.ledger.scope import Viewer
from axis.ledger.store import SQLLedger
from tests.directory.acting import AN
from tests.directory.acting import Office as Acting
from tests.flow.office import LOG, Office
from tests.flow.town import FROM, a_letter, a_message, unsigned

_MERGERS = Path(__file__).with_name("mergers-2025-07-01.csv")
HA_GIANG = Agency(code="000.00.00.H22", name="Hà Giang")
TUYEN_QUANG = Agency(code="000.00.00.H60", name="Tuyên Quang")
BAC_KAN = Agency(code="000.00.00.H03", name="Bắc Kạn")
THAI_NGUYEN = Agency(code="000.00.00.H55", name="Thái Nguyên")
HANOI = Agency(code="000.00.00.H26", name="Hà Nội")
_STATIONS = {"ha-giang": "H22", "tuyen-quang": "H60", "bac-kan": "H03", "thai-nguyen": "H55", "ha-noi": "H26"}
BEFORE = datetime(2025, 6, 30, 2, 0, tzinfo=UTC)
AFTER = datetime(2025, 7, 2, 2, 0, tzinfo=UTC)
ISSUED = WrittenDate.of(date(2025, 6, 30))


@dataclass
class Story:
    """The axis on the last day of sixty-three provinces, and after the mergers."""

    office: Office
    acting: Acting
    sent: int = 0

    async def read_directory(self) -> None:
        """As it stands in the ledger; the stations have been there all the time."""
        found = await SQLDirectories(self.office.ledger).current()
        delegations = {
            organ: tuple(replace(one, valid_from=FROM) for one in those)
            for organ, those in found.delegations.items()
        }
        self.office.country.directory = replace(found, delegations=delegations)

    async def merge(self) -> None:
        rows, defects = read_organs(_MERGERS.read_bytes())
        await self.acting.acts.import_organs(rows, defects=defects, by=AN)
        await self.read_directory()
        self.office.clock.jump(AFTER - self.office.clock.now())

    async def admit(self, body: bytes, *, station: str) -> Answer:
        self.sent += 1
        message = a_message(body, station=station, message_id=f"s-{self.sent}")
        return (await self.office.admit_all([replace(message, received_at=self.office.clock.now())]))[0]

    async def sends(self, letter: Edoc, *, station: str) -> DocumentKey:
        answer = await self.admit(unsigned(letter), station=station)
        assert answer.state.value == "accepted", answer
        assert answer.document is not None
        return answer.document

    async def takes(self, station: str) -> Sequence[Consignment]:
        listed = await self.office.inbox(station)
        for one in listed:
            await self.office.say(station, Outcome.DONE, *(ref.delivery for ref in one.deliveries))
        return listed

    async def state(self, document: DocumentKey) -> str:
        [row] = [row for row in await self.office.rows(t.document) if row["id"] == document]
        return str(row["state"])

    async def requests(self, document: DocumentKey) -> list[str]:
        rows = await self.office.rows(t.delivery)
        return [str(row["request"]) for row in rows if row["document_key"] == document]

    @property
    def queries(self) -> Queries:
        viewer = Viewer(name="test")
        return Queries(self.office.ledger, viewer=viewer, clock=self.office.clock, ids=self.office.ids)


@pytest.fixture
async def story(ledger: SQLLedger, tmp_path: Path) -> AsyncIterator[Story]:
    acting = Acting(ledger)
    rows, defects = read_organs(organs_csv())
    await acting.acts.import_organs(rows, defects=defects, by=AN, with_assumed=True)
    for name, code in _STATIONS.items():
        station = NewStation(
            id=StationId(name),
            name=name,
            organs=(code,),
            channel=Channel.PULL,
            policy=SignaturePolicy.LABELLED,
        )
        await acting.acts.add_station(station, by=AN)
    office = Office.open(ledger, tmp_path, first_id=10_000)
    office.clock.jump(BEFORE - office.clock.now())
    found = Story(office=office, acting=acting)
    await found.read_directory()
    yield found
    while await office.sequencer.turn():
        pass
    result = await check(ledger, keys=[LOG.verifier])
    assert result.ok, result.first


def _letter(number: int, *, sender: Agency = HA_GIANG, receivers: Sequence[Agency] = (HANOI,)) -> Edoc:
    """With an id that says nothing: whoever does not have it must name the code."""
    letter = a_letter(number, sender=sender, receivers=receivers, at=BEFORE)
    return replace(letter, document_id=f"{number:08d}-f1f8-4256-a2eb-50fb1061cddb")


def _acting(
    kind: BusinessType, *, target: str = "", response: ResponseFor | None = None, sender: Agency = TUYEN_QUANG
) -> Edoc:
    """The successor's recall or update, which names what it is about by an id, by `ResponseFor`, or not at all."""
    letter = a_letter(90, sender=sender, receivers=(HANOI,), kind=kind, at=AFTER)
    assert letter.bussiness is not None
    return replace(
        letter,
        document_id="recall-1",
        bussiness=replace(letter.bussiness, document_id=target),
        responses=(response,) if response is not None else (),
    )


def _code(letter: Edoc, *, organ: Agency = HA_GIANG, issued: WrittenDate | None = ISSUED) -> ResponseFor:
    return ResponseFor(organ_id=organ.code, code=letter.code.written, promulgation_date=issued)


def _canonical(letter: Edoc, *, organ: Agency) -> str:
    return f"{organ.code},2025/06/30,{letter.code.written}"


_NAMED = {
    "DocumentId": lambda letter: _acting(BusinessType.RECALL, target=letter.document_id),
    "old code": lambda letter: _acting(BusinessType.RECALL, response=_code(letter)),
    "new code": lambda letter: _acting(BusinessType.RECALL, response=_code(letter, organ=TUYEN_QUANG)),
    "code, other letters": lambda letter: _acting(
        BusinessType.RECALL, response=replace(_code(letter), code=f" {letter.code.written.lower()} ")
    ),
    "QĐ 20 code": lambda letter: _acting(
        BusinessType.RECALL, response=_code(letter, organ=Agency(code="H22", name=""))
    ),
    "canonical id": lambda letter: _acting(BusinessType.RECALL, target=_canonical(letter, organ=HA_GIANG)),
    "canonical id, new code": lambda letter: _acting(
        BusinessType.RECALL, target=_canonical(letter, organ=TUYEN_QUANG)
    ),
}


@pytest.mark.requirement("LR-22", "LR-33")
@pytest.mark.parametrize("named", list(_NAMED))
async def test_the_successor_recalls_what_its_predecessor_sent(story: Story, named: str) -> None:
    """It gets the answer, both stations hear of the end, and the history stays under the old code."""
    letter = _letter(1)
    sent = await story.sends(letter, station="ha-giang")
    await story.takes("ha-noi")
    await story.merge()

    recall = _NAMED[named](letter)
    answer = await story.admit(unsigned(recall), station="tuyen-quang")

    assert (answer.state.value, [one.code for one in answer.deliveries]) == ("accepted", [HANOI.code])
    assert (await story.state(sent), await story.requests(sent)) == ("recalling", ["asked"])
    [received] = await story.takes("ha-noi")
    assert received.document == answer.document
    agreed = status(StatusCode.AGREED, sender=HANOI, answered=recall, at=AFTER, words="Đã hủy")
    assert (await story.admit(agreed, station="ha-noi")).state.value == "accepted"
    assert await story.state(sent) == "recalled"
    [closed] = await story.office.events("document.recall_closed")
    assert closed.stations == ("ha-giang", "tuyen-quang")
    assert [one.kind.value for one in await story.takes("tuyen-quang")] == ["status"]


@pytest.mark.requirement("LR-33")
async def test_history_under_the_old_code(story: Story) -> None:
    """`show`, `count` and `where_is` tell of Hà Giang after it is closed, and of nothing it did not do."""
    letter = _letter(1)
    sent = await story.sends(letter, station="ha-giang")
    await story.takes("ha-noi")
    await story.merge()
    await story.admit(unsigned(_acting(BusinessType.RECALL, response=_code(letter))), station="tuyen-quang")
    while await story.office.sequencer.turn():
        pass

    station = story.office.country.directory.stations[StationId("ha-giang")]
    where = [await story.office.desk.where_is(station, name) for name in (sent, letter.document_id)]
    shown = await story.queries.show(letter.document_id)
    counts = await story.queries.count(CountFilter(), by=By.ORGAN)
    old = await story.queries.organ("H22")
    only = await story.queries.count(CountFilter(organ=old), by=By.ORGAN)

    assert where[0] == where[1]
    assert [(one.code, one.state.value) for one in where[0].deliveries] == [(HANOI.code, "acknowledged")]
    assert (shown["from"], shown["document"]) == (HA_GIANG.code, sent)
    sent_by = {row["organ"]: row["sent"] for row in counts.rows if row["sent"]}
    assert sent_by == {"H22": 1, "H60": 1}
    assert [(row["organ"], row["sent"], row["recalled"]) for row in only.rows] == [("H22", 1, 0)]


@pytest.mark.requirement("LR-25", "LR-33")
async def test_the_successor_takes_back_by_code(story: Story) -> None:
    """Status 13 of the successor, for the receiver that has not taken it: withdrawn, told to both stations."""
    letter = _letter(1)
    sent = await story.sends(letter, station="ha-giang")
    await story.merge()
    named = replace(letter, document_id="", sender=Party(organ_id=HANOI.code))

    body = status(StatusCode.TAKE_BACK, sender=TUYEN_QUANG, answered=named, at=AFTER, words="Gửi nhầm")
    answer = await story.admit(body, station="tuyen-quang")

    assert answer.state.value == "accepted", answer
    assert await story.requests(sent) == ["none"]
    [told] = await story.office.events("delivery.withdrawn")
    assert told.stations == ("ha-giang", "tuyen-quang")


@pytest.mark.requirement("LR-26", "LR-33")
@pytest.mark.parametrize("organ", [HA_GIANG, TUYEN_QUANG], ids=["old code", "new code"])
@pytest.mark.parametrize("by_id", [True, False], ids=["DocumentId", "code"])
async def test_a_status_reaches_the_successor_of_the_sender(
    story: Story, organ: Agency, *, by_id: bool
) -> None:
    """Whoever answers may know the sender under its new code; without a date a code names nobody's predecessor."""
    letter = _letter(1)
    await story.sends(letter, station="ha-giang")
    await story.takes("ha-noi")
    await story.merge()
    named = replace(
        letter, sender=Party(organ_id=organ.code), document_id=letter.document_id if by_id else ""
    )

    answer = await story.admit(
        status(StatusCode.REGISTERED, sender=HANOI, answered=named, at=AFTER), station="ha-noi"
    )

    assert answer.state.value == "accepted", answer
    assert [one.kind.value for one in await story.takes("tuyen-quang")] == ["status"]
    [event] = await story.office.events("delivery.answered")
    assert event.stations == ("ha-giang",)


@pytest.mark.requirement("LR-26", "LR-33")
@pytest.mark.parametrize("by_id", [True, False], ids=["DocumentId", "code"])
async def test_the_successor_of_a_receiver_answers(story: Story, *, by_id: bool) -> None:
    """Sent to Hà Giang, finished by Tuyên Quang, which has another station; a stranger may not."""
    letter = _letter(1, sender=HANOI, receivers=(HA_GIANG,))
    await story.sends(letter, station="ha-noi")
    await story.takes("ha-giang")
    await story.merge()
    named = letter if by_id else replace(letter, document_id="")

    heir = await story.admit(
        status(StatusCode.FINISHED, sender=TUYEN_QUANG, answered=named, at=AFTER), station="tuyen-quang"
    )
    stranger = await story.admit(
        status(StatusCode.FINISHED, sender=THAI_NGUYEN, answered=named, at=AFTER), station="thai-nguyen"
    )

    assert heir.state.value == "accepted", heir
    assert (stranger.state.value, stranger.reason) == ("refused", ReasonCode.ROUTE_NOT_YOUR_DOCUMENT)
    rows = await story.office.rows(t.delivery)
    assert [row["status"] for row in rows if row["code"] == HA_GIANG.code] == ["06"]


@pytest.mark.requirement("LR-22", "LR-33")
async def test_only_the_successor_finds_it_by_code(story: Story) -> None:
    """Not another province, not the successor before the merger, not by another day; the refusal says why."""
    letter = _letter(1)
    sent = await story.sends(letter, station="ha-giang")
    recall = _acting(BusinessType.RECALL, response=_code(letter))
    early = await story.admit(unsigned(recall), station="tuyen-quang")
    await story.merge()

    other_day = _code(letter, issued=WrittenDate.of(date(2025, 6, 29)))
    refused = [
        early,
        await story.admit(
            unsigned(_acting(BusinessType.RECALL, response=_code(letter), sender=THAI_NGUYEN)),
            station="thai-nguyen",
        ),
        await story.admit(unsigned(_acting(BusinessType.RECALL, response=other_day)), station="tuyen-quang"),
        await story.admit(
            unsigned(_acting(BusinessType.RECALL, response=_code(letter, issued=None))), station="tuyen-quang"
        ),
    ]

    assert {(one.state.value, one.reason) for one in refused} == {
        ("refused", ReasonCode.ROUTE_UNKNOWN_DOCUMENT)
    }
    assert await story.state(sent) == "in_force"


@pytest.mark.requirement("LR-22", "LR-33")
async def test_a_code_that_fits_two_predecessors_is_never_guessed(story: Story) -> None:
    """
    Hà Giang and Tuyên Quang sent the same number on the same day: the old code names one, the new code its own; what
    two documents of one organ fit is refused with both ids.
    """
    mine, other = _letter(7), _letter(7, sender=TUYEN_QUANG)
    other = replace(other, document_id="of-tuyen-quang", code=mine.code)
    twin = replace(_letter(7), document_id="its-twin", subject="Văn bản khác")
    sent = await story.sends(mine, station="ha-giang")
    theirs = await story.sends(other, station="tuyen-quang")
    await story.merge()

    recall = _acting(BusinessType.RECALL, response=_code(mine, organ=TUYEN_QUANG))
    assert (await story.admit(unsigned(recall), station="tuyen-quang")).state.value == "accepted"
    states = [await story.state(one) for one in (sent, theirs)]
    story.office.clock.jump(BEFORE - story.office.clock.now())
    again = await story.admit(unsigned(twin), station="ha-giang")
    story.office.clock.jump(AFTER - story.office.clock.now())
    both = replace(_acting(BusinessType.RECALL, response=_code(mine)), document_id="recall-2")
    refused = await story.admit(unsigned(both), station="tuyen-quang")

    assert states == ["in_force", "recalled"]
    assert again.state.value == "accepted"
    assert (refused.state.value, refused.reason) == ("refused", ReasonCode.ROUTE_UNKNOWN_DOCUMENT)
    named = " ".join(one.en for one in refused.causes[0].details)
    assert mine.document_id in named
    assert "its-twin" in named


@pytest.mark.requirement("LR-24", "LR-33")
async def test_the_successor_updates_and_replaces_by_code(story: Story) -> None:
    """Type 2 asks the holders; type 3 links the chain by the canonical name of what it replaces."""
    letter, second = _letter(1), _letter(2)
    sent = [await story.sends(one, station="ha-giang") for one in (letter, second)]
    await story.takes("ha-noi")
    await story.merge()

    update = _acting(BusinessType.UPDATE, response=_code(letter))
    updated = await story.admit(unsigned(update), station="tuyen-quang")
    replacing = _acting(BusinessType.REPLACE)
    assert replacing.bussiness is not None
    entry = Replacement(document_id=_canonical(second, organ=HA_GIANG))
    replacing = replace(replacing, bussiness=replace(replacing.bussiness, replacements=(entry,)))
    replaced = await story.admit(unsigned(replacing), station="tuyen-quang")

    assert (updated.state.value, replaced.state.value) == ("accepted", "accepted"), (updated, replaced)
    assert [await story.state(one) for one in sent] == ["in_force", "replaced"]
    assert await story.requests(sent[0]) == ["asked"]
    assert "record.replaces_unknown" not in {one.code for one in replaced.notices}
