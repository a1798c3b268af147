"""What people ask of the ledger, on both databases: the right rows, in a stable order, for whom they are meant."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from axis.core.errors import Ambiguous, InvalidQuestion, NotAllowed, NotFound, ServiceUnavailable
from axis.core.events import EventKind, read_record
from axis.core.lifecycle import DeliveryStep
from axis.core.model import BusinessType, Kind, OrganNumber, StationId, Urgency, iso
from axis.core.reasons import ReasonCode
from axis.ledger import tables as t
from axis.ledger.count import By, CountFilter
from axis.ledger.delivery_log import COLUMNS, LogFilter, states_named
from axis.ledger.export import csv_lines, json_lines
from axis.ledger.queries import ActFilter, Queries
from axis.ledger.scope import Viewer
from axis.ledger.sequencer import Sequencer
from axis.ledger.store import SQLLedger
from axis.ledger.trouble import ReplayFilter, TroubleKind
from tests.ledger.builders import LOG, LOG_KEY, NOON, Clock, Ids, Sent, Story

# Two provinces under nothing: 10 with 11 and 12 below, 20 with 21 below; 1 is a ministry.
ORGANS = {1: None, 10: None, 11: 10, 12: 11, 20: None, 21: 20}


_IDS = Ids("questions")


def asking(ledger: SQLLedger, *, tree: int | None = None, name: str = "kiem.toan") -> Queries:
    viewer = Viewer(name=name, tree=OrganNumber(tree) if tree is not None else None)
    return Queries(ledger, viewer=viewer, clock=Clock(NOON + timedelta(days=20)), ids=_IDS)


def a_sequencer(ledger: SQLLedger) -> Sequencer:
    return Sequencer(ledger, clock=Clock(), signer=LOG_KEY, log=LOG, holder="one")


async def numbered(ledger: SQLLedger) -> None:
    while await a_sequencer(ledger).turn():
        pass


async def looks(ledger: SQLLedger) -> list[dict[str, Any]]:
    """What was recorded of who looked at what."""
    query = select(t.event.c.record).where(t.event.c.kind == "ledger.queried").order_by(t.event.c.at)
    async with ledger.reading() as connection:
        return [dict(read_record(one).facts) for one in (await connection.execute(query)).scalars()]


class World:
    """A small history that most questions are asked about."""

    def __init__(self, ledger: SQLLedger) -> None:
        self.story = Story(ledger)
        self.sent: dict[str, Sent] = {}

    async def tell(self) -> World:
        story = self.story
        await story.organs(ORGANS)
        self.sent["ministry"] = await story.accepted(
            sender=1, to=(11, 12, 21), document_id="BNV-1", number="15", notation="NQ-CP",
            subject="Về việc thí điểm tổ chức bộ máy",
        )  # fmt: skip
        await story.taken(self.sent["ministry"], organs=[11])
        await story.answered(self.sent["ministry"], 11, "03")
        await story.stepped(self.sent["ministry"], DeliveryStep.FAIL, organs=[21])
        story.clock.move(days=1)
        self.sent["province"] = await story.accepted(
            sender=11, to=(20,), document_id="HN-7", number="7", notation="QĐ-UBND",
            subject="Quyết định về mật độ xây dựng", urgency=2,
        )  # fmt: skip
        self.sent["paper"] = await story.accepted(
            sender=20, to=(1, 21), not_connected={21}, number="150", notation="TB-SXD", subject="Thông báo"
        )
        self.sent["status"] = await story.accepted(
            sender=11, to=(1,), kind=Kind.STATUS, document_id="BNV-1", subject="Đã tiếp nhận"
        )
        await story.refused(sender=11, subject="Về việc sai mã", code="15/NQ-CP")
        await story.refused(ReasonCode.PARSE_NOT_XML, sender=None)
        await story.held(sender=21)
        await story.duplicate(self.sent["ministry"])
        await story.buried(organ=11)
        return self


@pytest.fixture
async def world(ledger: SQLLedger) -> World:
    return await World(ledger).tell()


async def rows_of(queries: Queries, **asked: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in (await queries.log(LogFilter(**asked), limit=1_000)).rows]


def ways(rows: list[dict[str, Any]]) -> set[tuple[str | None, str | None]]:
    """Document and receiver of each row."""
    return {(row["document"], row["to"]) for row in rows}


# --- the delivery log


async def test_a_row_per_delivery_or_per_submission_that_has_none(ledger: SQLLedger, world: World) -> None:
    """With the members the command line promises, and nothing of accepted statuses."""
    rows = await rows_of(asking(ledger))

    assert all(tuple(row) == COLUMNS for row in rows)
    assert sorted(row["state"] for row in rows) == [
        "acknowledged", "duplicate", "failed", "held", "not_connected", "refused", "refused",
        "waiting", "waiting", "waiting",
    ]  # fmt: skip
    assert sorted(row["recorded_at"] for row in rows)[::-1] == [row["recorded_at"] for row in rows]
    (taken,) = [row for row in rows if row["state"] == "acknowledged"]
    ministry = world.sent["ministry"]
    assert {
        "document": ministry.document,
        "document_id": "BNV-1",
        "code": "15/NQ-CP",
        "from": "000.00.01.H01",
        "from_name": "Sở số 1",
        "to": "000.00.11.H01",
        "status": "03",
        "registered": True,
        "tier": "passed",
        "value": "checking",
        "submitted_at": ministry.facts["received_at"],
        "recorded_at": iso(ministry.acceptance.at),
        "reason": None,
    }.items() <= taken.items()
    assert taken["received_at"] == taken["state_at"] > taken["recorded_at"]
    (unread,) = [row for row in rows if row["reason"] == "parse.not_xml"]
    assert (unread["to"], unread["from"], unread["document"], unread["kind"]) == (None, None, None, None)


async def test_pages_give_every_row_once(ledger: SQLLedger, world: World) -> None:
    """In the same order as one large page, also while new rows come in; both ways."""
    queries = asking(ledger)
    for oldest_first in (False, True):
        whole = (await queries.log(LogFilter(), limit=1_000, oldest_first=oldest_first)).rows
        found: list[Any] = []
        after: str | None = None
        while True:
            page = await queries.log(LogFilter(), limit=3, after=after, oldest_first=oldest_first)
            found += page.rows
            after = page.after
            if after is None:
                break
            if not oldest_first:
                await world.story.accepted()
        assert found == list(whole)


@pytest.mark.parametrize("after", ["", "x", "1", "1.x", "-1.01M80T074189FMPEEGPFJFXY87", "9" * 30, "1.2.3"])
async def test_a_page_that_was_never_handed_out_is_refused(ledger: SQLLedger, after: str) -> None:
    """What is not a key of ours is no question."""
    with pytest.raises(InvalidQuestion):
        await asking(ledger).log(LogFilter(), after=after)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"subject": "thi diem"}, 4),
        ({"subject": "THÍ ĐIỂM"}, 4),
        ({"subject": "thi\u0301 bộ  máy"}, 4),
        ({"subject": "thí máy bộ về"}, 4),
        ({"subject": "điể"}, 0),
        ({"subject": "mat do xay dung"}, 1),
        ({"subject": "sai mã"}, 1),
        ({"subject": "15/NQ-CP"}, 5),
        ({"subject": "% _ '"}, 10),
        ({"subject": "đã tiếp nhận"}, 0),
        ({"subject": "đã tiếp nhận", "kind": Kind.STATUS}, 1),
        ({"number": "15/NQ-CP"}, 5),
        ({"number": "15/nq-cp "}, 5),
        ({"number": "15"}, 5),
        ({"number": "7/QD-UBND"}, 1),
        ({"number": "150"}, 2),
        ({"number": "1"}, 0),
        ({"document": "BNV-1"}, 4),
        ({"document": "bnv-1"}, 0),
        ({"states": states_named("failed")}, 1),
        ({"states": states_named("pending")}, 3),
        ({"states": states_named("accepted")}, 6),
        ({"states": states_named("refused")}, 2),
        ({"states": states_named("held") | states_named("not_connected")}, 2),
        ({"reason": ReasonCode.DELIVER_NOT_TAKEN}, 1),
        ({"reason": ReasonCode.ROUTE_UNKNOWN_RECEIVER}, 1),
        ({"reason": ReasonCode.ROUTE_NOT_CONNECTED}, 1),
        ({"urgency": Urgency.VERY_URGENT}, 1),
        ({"business_type": BusinessType.RECALL}, 0),
        ({"organ": OrganNumber(10)}, 4),
        ({"organ": OrganNumber(12)}, 1),
        ({"organ": OrganNumber(20)}, 5),
        ({"organ": OrganNumber(99)}, 0),
        ({"organ": OrganNumber(10), "states": states_named("refused")}, 1),
        ({"since": NOON + timedelta(hours=1)}, 7),
        ({"until": NOON + timedelta(hours=1)}, 3),
        ({"since": NOON + timedelta(days=9)}, 0),
    ],
)  # fmt: skip
async def test_filters(ledger: SQLLedger, world: World, asked: dict[str, Any], expected: int) -> None:
    """Each alone; both databases find the same."""
    assert len(await rows_of(asking(ledger), **asked)) == expected


async def test_a_document_is_found_by_the_axis_s_id(ledger: SQLLedger, world: World) -> None:
    """Also its submission's."""
    ministry = world.sent["ministry"]

    by_document = await rows_of(asking(ledger), document=ministry.document)
    by_submission = await rows_of(asking(ledger), document=ministry.submission)

    assert {"acknowledged", "waiting", "failed", "duplicate"} == {row["state"] for row in by_document}
    assert {"acknowledged", "waiting", "failed"} == {row["state"] for row in by_submission}


async def test_a_province_sees_its_tree_and_no_other(ledger: SQLLedger, world: World) -> None:
    """As sender or receiver; asking for another tree widens nothing."""
    everything = await rows_of(asking(ledger))
    theirs = await rows_of(asking(ledger, tree=10))

    assert ways(theirs) < ways(everything)
    for row in theirs:
        assert {row["from"], row["to"]} & {f"000.00.{number}.H01" for number in (10, 11, 12)}
    assert len(theirs) == 4 == len(await rows_of(asking(ledger), organ=OrganNumber(10)))
    between = await rows_of(asking(ledger, tree=10), organ=OrganNumber(20))
    assert [(row["from"], row["to"]) for row in between] == [("000.00.11.H01", "000.00.20.H01")]
    assert await rows_of(asking(ledger, tree=12), organ=OrganNumber(20)) == []


async def test_what_nobody_could_read_belongs_to_its_station(ledger: SQLLedger, world: World) -> None:
    """A province sees the unreadable messages of the station that speaks for it."""
    unread = {"reason": ReasonCode.PARSE_NOT_XML}
    assert await rows_of(asking(ledger, tree=1), **unread) == []

    await world.story.delegation("station-1", 1)

    assert len(await rows_of(asking(ledger, tree=1), **unread)) == 1
    assert await rows_of(asking(ledger, tree=10), **unread) == []


async def test_an_unknown_state_is_refused(ledger: SQLLedger) -> None:
    """The message lists those there are."""
    with pytest.raises(InvalidQuestion, match="not_connected"):
        states_named("gone")


@pytest.mark.parametrize("text", ["\x00", "\ud800"])
async def test_what_is_no_text_is_no_question(ledger: SQLLedger, text: str) -> None:
    """It is refused before it reaches a database."""
    for name in ("subject", "number", "document"):
        with pytest.raises(InvalidQuestion):
            LogFilter(**{name: text})  # type: ignore[arg-type] # one of the texts
    with pytest.raises(InvalidQuestion):
        await asking(ledger).show(text)
    with pytest.raises(InvalidQuestion):
        await asking(ledger).organ(text)


async def test_an_export_has_every_row_and_is_recorded(ledger: SQLLedger, world: World) -> None:
    """Oldest first, as CSV and JSON lines, when it begins and when it has ended."""
    queries = asking(ledger)
    expected = (await queries.log(LogFilter(), limit=1_000, oldest_first=True)).rows

    lines = [line async for line in json_lines(queries.export_log(LogFilter()))]
    table = "".join([line async for line in csv_lines(queries.export_log(LogFilter()), columns=COLUMNS)])

    assert [json.loads(line) for line in lines] == list(expected)
    read = list(csv.DictReader(io.StringIO(table)))
    assert [row["state"] for row in read] == [row["state"] for row in expected]
    assert [(one["question"], one["rows"]) for one in await looks(ledger)][1:3] == [
        ("log.export", None),
        ("log.exported", 10),
    ]


async def test_a_spreadsheet_finds_no_formula(ledger: SQLLedger) -> None:
    """What strangers write is text there too."""
    story = Story(ledger)
    await story.accepted(subject='=HYPERLINK("http://x","y"),"\n@')

    table = "".join(
        [line async for line in csv_lines(asking(ledger).export_log(LogFilter()), columns=["subject", "to"])]
    )

    assert list(csv.DictReader(io.StringIO(table, newline=""))) == [
        {"subject": '\'=HYPERLINK("http://x","y"),"\n@', "to": "000.00.02.H01"}
    ]


# --- one document


async def test_the_whole_life_of_a_document(ledger: SQLLedger, world: World) -> None:
    """Across all receivers, with every event in the order of the log, and how far it is signed."""
    await numbered(ledger)
    await a_sequencer(ledger).sign_head()
    ministry = world.sent["ministry"]
    await world.story.stepped(ministry, DeliveryStep.HAND_OVER, organs=[12])

    life: Any = await asking(ledger).show(ministry.document)

    assert (ministry.document, "BNV-1", "15/NQ-CP") == (life["document"], life["document_id"], life["code"])
    assert life["states"] == {"acknowledged": 1, "handed_over": 1, "failed": 1}
    assert [one["kind"] for one in life["events"]] == [
        "submission.accepted",
        "delivery.handed_over",
        "delivery.fetched",
        "delivery.acknowledged",
        "delivery.answered",
        "delivery.failed",
        "submission.duplicate",
        "delivery.handed_over",
    ]
    indexes = [one["index"] for one in life["events"]]
    assert indexes == [*sorted(indexes[:-1]), None]
    assert (
        life["log"]["numbered"],
        life["log"]["not_numbered"],
        life["log"]["under_checkpoint"],
    ) == (7, 1, 7)
    assert life["events"][5]["to"] == ["000.00.21.H01"]
    assert (life["events"][4]["status"], life["events"][5]["reason"]) == ("03", "deliver.not_taken")
    assert life["attachments"][0]["name"] == "Quyết định.pdf"
    assert ministry.submission == life["submission"]["submission"]
    assert len(life["duplicates"]) == 1
    json.dumps(life)


async def test_a_document_is_named_in_many_ways(ledger: SQLLedger, world: World) -> None:
    """Document, submission, delivery, or the sender's DocumentId; a status of the same DocumentId is not meant."""
    ministry = world.sent["ministry"]
    names = [ministry.document, ministry.submission, ministry.deliveries[12], "BNV-1"]

    found = [(await asking(ledger).show(name))["document"] for name in names]

    assert [ministry.document] * 4 == found


async def test_one_life_has_many_sendings(ledger: SQLLedger) -> None:
    """Supplementary sendings and recalls with the same DocumentId are the life of the first."""
    story = Story(ledger)
    first = await story.accepted(sender=1, to=(2,), document_id="A")
    more = await story.accepted(sender=1, to=(3,), document_id="A", root=first)
    recall = await story.accepted(sender=1, to=(2,), document_id="A", business_type=1, target=first)

    life: Any = await asking(ledger).show("A")

    assert first.document == life["document"]
    assert [more.document] == [one["document"] for one in life["sendings"]]
    assert [recall.document] == [one["document"] for one in life["acted_on_by"]]
    assert {"000.00.02.H01", "000.00.03.H01"} == {one["to"] for one in life["deliveries"]}
    assert first.document == (await asking(ledger).show(more.submission))["root"]


async def test_a_name_that_fits_several_is_ambiguous(ledger: SQLLedger) -> None:
    """The candidates are ids that name one each; whoever sees one of them only is not asked."""
    story = Story(ledger)
    await story.organs(ORGANS)
    one = await story.accepted(sender=10, to=(1,), document_id="A")
    other = await story.accepted(sender=20, to=(1,), document_id="A")

    with pytest.raises(Ambiguous) as caught:
        await asking(ledger).show("A")

    assert (one.document, other.document) == caught.value.candidates
    assert other.document == (await asking(ledger, tree=20).show("A"))["document"]


async def test_a_submission_without_a_document_has_a_life_too(ledger: SQLLedger) -> None:
    """Held, held longer, refused: by its id, or by its DocumentId while it is the only one."""
    story = Story(ledger)
    held = await story.held()
    await story.refused(after_hold=await story.held(after_hold=held))

    life: Any = await asking(ledger).show(str(held.submission))

    assert [one["kind"] for one in life["events"]] == [
        "submission.held",
        "submission.held",
        "submission.refused",
    ]
    assert (life["submission"]["state"], life["submission"]["reason"]) == (
        "refused",
        "route.unknown_receiver",
    )
    assert life["events"] == (await asking(ledger).show("R-1"))["events"]
    await story.refused()
    with pytest.raises(Ambiguous):
        await asking(ledger).show("R-1")


async def test_a_receiver_s_province_sees_its_part_of_a_life(ledger: SQLLedger, world: World) -> None:
    """Its deliveries and the events about them: not who else got it, not what the sender did besides."""
    ministry = world.sent["ministry"]

    life: Any = await asking(ledger, tree=20).show("BNV-1")

    assert [one["to"] for one in life["deliveries"]] == ["000.00.21.H01"]
    assert [one["kind"] for one in life["events"]] == ["submission.accepted", "delivery.failed"]
    assert {ministry.deliveries[21]} == {one for event in life["events"] for one in event["deliveries"]}
    assert life["submission"] is None
    assert life["duplicates"] == []
    assert "000.00.11.H01" not in json.dumps({**life, "from": None})


async def test_what_is_not_theirs_does_not_exist(ledger: SQLLedger, world: World) -> None:
    """No such document and not yours look the same."""
    province = world.sent["province"]
    for name in (province.document, province.submission, "HN-7", "no such thing", "0" * 26):
        with pytest.raises(NotFound, match="no such document"):
            await asking(ledger, tree=1).show(name)


# --- organs and acts


async def test_an_organ_is_named_by_code_or_number(ledger: SQLLedger, world: World) -> None:
    """In the form people type it."""
    queries = asking(ledger)

    assert (await queries.organ(" 000.00.11.h01"), await queries.organ("11")) == (11, 11)
    for code in ("000.00.99.H01", "99", "", "9" * 40):
        with pytest.raises(NotFound):
            await queries.organ(code)


async def test_acts_of_people(ledger: SQLLedger) -> None:
    """Who, why, before and after; newest first, page by page, by person and time."""
    story = Story(ledger)
    await story.organs({1: None})
    await story.station("station-1", person="binh.tran")
    await story.accepted()
    story.clock.move(days=1)
    await story.delegation("station-1", 1)
    queries = asking(ledger)

    kinds = [row["kind"] for row in (await queries.acts(ActFilter())).rows]
    page = await queries.acts(ActFilter(), limit=2)
    rest = await queries.acts(ActFilter(), limit=2, after=page.after)
    (row,) = (await queries.acts(ActFilter(person="binh.tran"))).rows

    assert kinds == ["delegation.changed", "station.changed", "organs.changed"]
    assert kinds == [one["kind"] for one in (*page.rows, *rest.rows)]
    assert rest.after is None
    assert (row["person"], row["reason"], row["index"]) == ("binh.tran", "phiếu 12/VHT", None)
    assert len((await queries.acts(ActFilter(until=NOON + timedelta(hours=1)))).rows) == 2
    assert len((await queries.acts(ActFilter(since=NOON + timedelta(hours=1)))).rows) == 1
    with pytest.raises(NotAllowed):
        await asking(ledger, tree=1).acts(ActFilter())


# --- every look is recorded


async def test_every_question_leaves_a_record(ledger: SQLLedger, world: World) -> None:
    """Who, which tree, what was asked, how much was seen; and the record can itself be asked for."""
    await numbered(ledger)
    queries = asking(ledger, tree=10)
    await queries.log(LogFilter(subject="mật độ", states=states_named("waiting")))
    await queries.show("HN-7")
    await queries.count(CountFilter(since="2026-11-01"), by=By.ORGAN)
    await queries.failed_groups()
    await queries.replay_candidates(ReplayFilter(reason=ReasonCode.DELIVER_NOT_TAKEN))

    found = await looks(ledger)

    assert [(one["question"], one["filters"], one["rows"]) for one in found] == [
        ("log", {"subject": "mật độ", "states": ["waiting"], "limit": 100}, 1),
        ("show", {"document": "HN-7"}, 1),
        ("count", {"since": "2026-11-01", "by": "organ"}, 2),
        ("failed", {}, 0),
        (
            "replay.candidates",
            {"kinds": ["buried", "delivery", "held"], "reason": "deliver.not_taken"},
            0,
        ),
    ]
    assert {("kiem.toan", 10)} == {(one["viewer"], one["tree"]) for one in found}
    seen = await asking(ledger, name="thanh.tra").acts(
        ActFilter(kinds=frozenset({EventKind.LEDGER_QUERIED}), person="kiem.toan")
    )
    assert len(seen.rows) == 5


async def test_an_answer_that_cannot_be_recorded_is_not_given(ledger: SQLLedger, world: World) -> None:
    """The record is part of the answer."""
    queries = asking(ledger, name="\ud800")

    with pytest.raises(ValueError, match="surrogates"):
        await queries.log(LogFilter())


# --- what waits for a person


async def test_troubles_come_in_groups(ledger: SQLLedger, world: World) -> None:
    """Kind, reason, owner, count, first, last and the next step in two languages."""
    story = world.story
    story.clock.move(days=2)
    other = await story.accepted(to=(21,))
    await story.stepped(other, DeliveryStep.FAIL)

    groups: Any = await asking(ledger).failed_groups()

    assert [(one["group"], one["owner"], one["count"]) for one in groups] == [
        ("delivery:deliver.not_taken", "receiver", 2),
        ("buried:bury.delivery_limit", "axis", 1),
        ("held:verify.indeterminate", "axis", 1),
    ]
    first = groups[0]
    assert first["first"] < first["last"]
    assert all(first["next"][language] for language in ("vi", "en"))
    json.dumps(groups)


async def test_a_province_sees_its_own_troubles(ledger: SQLLedger, world: World) -> None:
    """Failed deliveries to or from it, its holds, and what its station's messages died of."""
    await world.story.delegation("station-11", 11)

    async def of(tree: int) -> set[Any]:
        return {one["group"] for one in await asking(ledger, tree=tree).failed_groups()}

    assert {"delivery:deliver.not_taken", "held:verify.indeterminate"} == await of(20)
    assert {"buried:bury.delivery_limit"} == await of(10)
    assert {"delivery:deliver.not_taken"} == await of(1)


async def test_what_a_replay_would_move(ledger: SQLLedger, world: World) -> None:
    """With what certainly fails again, and what was replayed before."""
    story = world.story
    await story.station("station-21")
    ministry = world.sent["ministry"]
    queries = asking(ledger)

    found: Any = await queries.replay_candidates(ReplayFilter())
    assert {one["kind"]: one["would_fail"] for one in found} == {
        "delivery": False,
        "held": False,
        "buried": True,
    }
    (failed,) = await queries.replay_candidates(ReplayFilter(kinds=frozenset({TroubleKind.DELIVERY})))
    assert (ministry.deliveries[21], ministry.document, "000.00.21.H01", "15/NQ-CP", 0) == (
        failed["id"], failed["document"], failed["to"], failed["code"], failed["replayed_before"],
    )  # fmt: skip

    await story.station("station-21", state="suspended")
    plan = await story.planned([("delivery", ministry.deliveries[21])])
    await story.replayed(plan, "delivery", ministry.deliveries[21])
    (failed,) = await queries.replay_candidates(ReplayFilter(reason=ReasonCode.DELIVER_NOT_TAKEN))
    obstacle: Any = failed["obstacle"]
    assert (failed["would_fail"], failed["replayed_before"]) == (True, 1)
    assert "suspended" in obstacle["en"]
    assert "tạm dừng" in obstacle["vi"]

    for asked, expected in (
        (ReplayFilter(station=StationId("station-21")), 2),
        (ReplayFilter(organ=OrganNumber(10)), 0),
        (ReplayFilter(organ=OrganNumber(20)), 2),
        (ReplayFilter(document=ministry.document), 1),
        (ReplayFilter(since=NOON + timedelta(days=3)), 0),
        (ReplayFilter(until=NOON + timedelta(hours=1)), 1),
    ):
        assert expected == len(await queries.replay_candidates(asked)), asked
    assert len(await queries.replay_candidates(ReplayFilter(), limit=1)) == 1


async def test_a_plan_is_shown_as_its_items_are_now(ledger: SQLLedger, world: World) -> None:
    """Done or not, whatever became of them; the oldest question first."""
    ministry = world.sent["ministry"]
    held = await world.story.held()
    plan = await world.story.planned(
        [("delivery", ministry.deliveries[21]), ("held", str(held.submission)), ("buried", "0" * 26)]
    )
    await world.story.replayed(plan, "held", str(held.submission), result="accepted")

    found: Any = await asking(ledger).plan(plan)

    assert (
        found["person"], found["reason"], found["state"], found["total"], found["done"],
    ) == ("an.nguyen", "phiếu 12/VHT", "planned", 3, 1)  # fmt: skip
    assert [(one["kind"], one["state"]) for one in found["items"]] == [
        ("buried", "planned"),
        ("delivery", "planned"),
        ("held", "done"),
    ]
    assert (found["items"][2]["result"], found["items"][2]["replayed_before"]) == ("accepted", 0)
    assert [(plan, 3, 1)] == [
        (one["plan"], one["total"], one["done"]) for one in await asking(ledger).plans()
    ]
    for nothing in ("x", "0" * 26):
        with pytest.raises(NotFound):
            await asking(ledger).plan(nothing)
    with pytest.raises(NotAllowed):
        await asking(ledger, tree=10).plan(plan)


# --- waiting for numbers


async def test_counts_can_be_waited_for(ledger: SQLLedger, world: World) -> None:
    """Who has a sequencer of their own numbers; who has none is told that nobody does."""
    queries = asking(ledger)
    before = await queries.count(CountFilter(), by=By.ORGAN)

    with pytest.raises(ServiceUnavailable, match="sequencer"):
        await queries.settle_counts(within_s=0.2)
    await queries.settle_counts(numbers=a_sequencer(ledger))
    after = await queries.count(CountFilter(), by=By.ORGAN)

    assert (before.numbered_up_to, before.not_numbered > 10, before.rows) == (0, True, [])
    assert (after.numbered_up_to > 10, after.not_numbered) == (True, 0)
    assert (await queries.count(CountFilter(), by=By.ORGAN)).not_numbered == 1, "the question itself"
