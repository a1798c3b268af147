"""A statement and what a station keeps: equal when nothing is missing, and every difference named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axis.core.errors import InvalidQuestion
from axis.core.events import Event, canonical
from axis.core.exchange import Receipt, dump, receipt_json
from axis.core.lifecycle import DeliveryStep
from axis.core.model import Kind, OrganNumber
from axis.flow.seal import Seal
from axis.ledger.count import COLUMNS
from axis.ledger.reconcile import compare, read_kept, read_statement
from axis.ledger.register import INCOMING, OUTGOING, Direction
from axis.ledger.statement import month_of, numbers_in, ranges, statement_bytes
from axis.ledger.store import SQLLedger
from signing.note import SigningKey
from signing.receipts import BatchReceiptSigner, TrustedKeys
from tests.ledger.builders import LOG, NOON, Sent, Story
from tests.ledger.test_queries import ORGANS, asking, numbered

_KEY = SigningKey.from_seed(f"{LOG}/receipts", seed=bytes(range(32, 64)))
_OTHER = SigningKey.from_seed(f"{LOG}/receipts", seed=bytes(32))
KEYS = TrustedKeys(receipts=(_KEY.verifier,))


def signed(record: bytes, *, key: SigningKey = _KEY) -> Receipt:
    return Seal(BatchReceiptSigner(key)).sign([record])[0]


def keep(folder: Path, event: Event) -> Path:
    """The answer to a submission, as a station keeps it."""
    path = folder / f"{event.submission}.json"
    path.write_bytes(dump({"type": "receipt", "receipt": receipt_json(signed(event.record))}))
    return path


def keep_report(folder: Path, sent: Sent) -> Path:
    """The report that came with a document, as the folder adapter keeps it."""
    lines: Any = sent.facts["deliveries"]
    report = canonical(
        {
            "v": 1,
            "document": sent.document,
            "sender": {"code": str(sent.facts["from"]), "name": ""},
            "receivers": [{"code": line["code"], "number": line["number"]} for line in lines],
        }
    )
    path = folder / f"{sent.document}.report.json"
    path.write_bytes(dump({"report": report.decode(), "receipt": receipt_json(signed(report))}))
    return path


class Year:
    """What both sides hold: organ 1 sends to 10 and 20 in November, and something in December."""

    def __init__(self, ledger: SQLLedger, folder: Path) -> None:
        self.ledger = ledger
        self.folder = folder
        self.papers: list[Path] = []

    async def tell(self) -> Year:
        story = Story(self.ledger)
        await story.organs(ORGANS)
        for _ in range(3):
            sent = await story.accepted(sender=1, to=(10, 20))
            self.papers += [keep(self.folder, sent.acceptance), keep_report(self.folder, sent)]
            await story.taken(sent)
        self.papers.append(keep(self.folder, await story.refused(sender=1)))
        back = await story.accepted(sender=10, to=(1,), tier="unsigned")
        self.papers.append(keep_report(self.folder, back))
        await story.taken(back)
        story.clock.move(days=20)
        later = await story.accepted(sender=1, to=(10,))
        keep(self.folder, later.acceptance)
        await numbered(self.ledger)
        return self

    async def statement(self, organ: int, month: str = "2026-11") -> Mapping[str, Any]:
        found = await asking(self.ledger).statement(OrganNumber(organ), month, log=LOG)
        text = dump(receipt_json(signed(statement_bytes(found)))).decode()
        return read_statement(text, keys=KEYS)


@pytest.fixture
async def year(ledger: SQLLedger, tmp_path: Path) -> Year:
    return await Year(ledger, tmp_path).tell()


@pytest.mark.requirement("LR-45")
async def test_both_sides_hold_the_same(year: Year) -> None:
    """The sender by its receipts, the receiver by the reports it took; other months and organs are left alone."""
    sender = await year.statement(1)
    assert sender["counts"]["sent"] == 3
    assert sender["counts"]["refused"] == 1
    assert set(sender["counts"]) == set(COLUMNS) - {"rule_version"}
    assert [(one["code"], one["numbers"], one["n"]) for one in sender["sent_to"]] == [
        ("000.00.10.H01", "1-3", 3),
        ("000.00.20.H01", "1-3", 3),
    ]
    assert [(one["code"], one["numbers"]) for one in sender["received_from"]] == [("000.00.10.H01", "1")]

    kept = read_kept(year.folder, sender, keys=KEYS)
    assert (kept.receipts, kept.reports) == (4, 1)
    assert compare(sender, kept) == []

    receiver = await year.statement(20)
    assert compare(receiver, read_kept(year.folder, receiver, keys=KEYS)) == []
    december = await year.statement(1, "2026-12")
    assert [one["numbers"] for one in december["sent_to"]] == ["4"]
    assert compare(december, read_kept(year.folder, december, keys=KEYS)) == []


async def test_every_difference_is_named(year: Year) -> None:
    """What one side has and the other has not: by column, organ and number."""
    statement = await year.statement(1)
    gone = next(path for path in year.papers if not path.name.endswith(".report.json"))
    gone.unlink()
    found = compare(statement, read_kept(year.folder, statement, keys=KEYS))
    assert [(one.where, one.en) for one in found] == [
        ("sent", "the axis counts 3, the receipts show 2"),
        ("sent_to 000.00.10.H01", "the axis has numbers 1, the station keeps nothing of them"),
        ("sent_to 000.00.20.H01", "the axis has numbers 1, the station keeps nothing of them"),
    ]

    poorer = json.loads(json.dumps(statement))
    poorer["sent_to"] = poorer["sent_to"][1:]
    poorer["sent_to"][0]["numbers"] = "1,3"
    found = compare(poorer, read_kept(year.folder, poorer, keys=KEYS))
    assert [one.en for one in found[1:]] == [
        "the axis has numbers 1, the station keeps nothing of them",
        "the station has papers of numbers 2, the axis does not have them",
        "the station has papers of numbers 2-3, the statement does not name this organ",
    ]


async def _reconciled(ledger: SQLLedger, folder: Path, *, month: str = "2026-11") -> list[tuple[str, str]]:
    """The differences of organ 10's statement and what lies in the folder."""
    await numbered(ledger)
    found = await asking(ledger).statement(OrganNumber(10), month, log=LOG)
    statement = read_statement(dump(receipt_json(signed(statement_bytes(found)))).decode(), keys=KEYS)
    return [(one.where, one.en) for one in compare(statement, read_kept(folder, statement, keys=KEYS))]


async def _status(story: Story, folder: Path, sent: Sent, code: str, *, organ: int = 10) -> Path:
    """An organ answers; the receipt of its status lies in the folder."""
    status = await story.accepted(
        sender=organ, to=(1,), kind=Kind.STATUS, target=sent, more={"status_code": code}
    )
    await story.answered(sent, 10, code)
    return keep(folder, status.acceptance)


@pytest.mark.requirement("LR-45")
async def test_what_was_received_and_answered_is_compared(ledger: SQLLedger, tmp_path: Path) -> None:
    """Received: its report lies there. Registered and returned: the organ said so, or one below it, in that month."""
    story = Story(ledger)
    await story.organs(ORGANS)
    first, second, third = [await story.accepted(sender=1, to=(10,)) for _ in range(3)]
    waiting = await story.accepted(sender=1, to=(10,))
    await story.stepped(await story.accepted(sender=1, to=(10,)), DeliveryStep.FAIL)
    papers = [keep_report(tmp_path, one) for one in (first, second, third)]
    for one in (first, second):
        await story.taken(one)
    registered = await _status(story, tmp_path, first, "03")
    await _status(story, tmp_path, second, "03", organ=11)
    story.clock.move(days=20)
    await story.taken(third)
    returned = await _status(story, tmp_path, third, "02")

    assert await _reconciled(ledger, tmp_path, month="2026-12") == []
    # Nobody took it in November, and it lies there: by now the axis has it as received.
    assert await _reconciled(ledger, tmp_path) == []

    papers[0].rename(tmp_path / "lost")
    registered.rename(tmp_path / "lost, too")
    assert await _reconciled(ledger, tmp_path) == [
        ("received_from 000.00.01.H01", "the axis has numbers 1, the station keeps nothing of them"),
        (
            "registered 000.00.01.H01",
            "the axis counts numbers 1, the station keeps no receipt of a status 03",
        ),
    ]
    papers[2].rename(tmp_path / "lost, as well")
    returned.unlink()
    assert await _reconciled(ledger, tmp_path, month="2026-12") == [
        (
            "received_from 000.00.01.H01",
            "the axis counts numbers 3 as received, the station keeps nothing of them",
        ),
        ("returned 000.00.01.H01", "the axis counts numbers 3, the station keeps no receipt of a status 02"),
    ]
    keep_report(tmp_path, waiting)
    assert (
        "received_from 000.00.01.H01",
        "the station has papers of numbers 4, the axis does not have them as received",
    ) in await _reconciled(ledger, tmp_path)


async def test_a_status_that_the_axis_does_not_count_is_named(ledger: SQLLedger, tmp_path: Path) -> None:
    """The station has the receipt of its status. Said too late, or once more, it counts on neither side."""
    story = Story(ledger)
    await story.organs(ORGANS)
    sent, other = await story.accepted(sender=1, to=(10,)), await story.accepted(sender=1, to=(10,))
    for one in (sent, other):
        keep_report(tmp_path, one)
        await story.taken(one)
    await _status(story, tmp_path, sent, "03")
    for code in ("03", "02"):
        again = await story.accepted(
            sender=10, to=(1,), kind=Kind.STATUS, target=sent, more={"status_code": code}
        )
        await story.answered(sent, 10, code, change=[])
        keep(tmp_path, again.acceptance)
    assert await _reconciled(ledger, tmp_path) == []

    forgotten = await story.accepted(
        sender=10, to=(1,), kind=Kind.STATUS, target=other, more={"status_code": "02"}
    )
    keep(tmp_path, forgotten.acceptance)
    assert await _reconciled(ledger, tmp_path) == [
        (
            "returned 000.00.01.H01",
            "the station has receipts of a status 02 of numbers 2, the axis does not count them",
        )
    ]


async def test_lists_of_a_statement_make_its_columns(ledger: SQLLedger, tmp_path: Path) -> None:
    """Whoever changes one of the two is found out by the statement alone."""
    story = Story(ledger)
    await story.organs(ORGANS)
    sent = await story.accepted(sender=1, to=(10,))
    keep_report(tmp_path, sent)
    await story.taken(sent)
    await numbered(ledger)
    statement = dict(await asking(ledger).statement(OrganNumber(10), "2026-11", log=LOG))
    counts: Any = statement["counts"]
    statement["counts"] = {**counts, "received": 2}

    found = compare(statement, read_kept(tmp_path, statement, keys=KEYS))

    assert [(one.where, one.en) for one in found] == [
        ("received", "the statement contradicts itself: it counts 2 and lists 1")
    ]


async def test_what_the_axis_added_to_a_recall_is_listed_and_needs_no_paper(
    ledger: SQLLedger, tmp_path: Path
) -> None:
    """It tells whoever took the original late; neither the receipt of the recall nor its report could list them."""
    story = Story(ledger)
    await story.organs(ORGANS)
    sent = await story.accepted(sender=1, to=(10,))
    recall = await story.accepted(
        sender=1, to=(20,), business_type=1, target=sent, more={"recalls": sent.root}
    )
    for one in (sent, recall):
        keep(tmp_path, one.acceptance)
        keep_report(tmp_path, one)
    await story.taken(sent)
    await story.added(recall, organ=10)
    await numbered(ledger)
    statements = [await asking(ledger).statement(OrganNumber(one), "2026-11", log=LOG) for one in (1, 10)]

    pairs: Any = [statements[0]["sent_to"], statements[1]["received_from"]]
    assert [(one["numbers"], one["added"]) for one in (pairs[0][0], pairs[1][0])] == [("1-2", "2")] * 2
    for statement in statements:
        assert compare(statement, read_kept(tmp_path, statement, keys=KEYS)) == []


async def test_what_nobody_signed_proves_nothing(year: Year) -> None:
    """A changed record, another's key, a report that is not the signed one, and whatever else lies in a folder."""
    statement = await year.statement(1)
    receipt = json.loads(year.papers[0].read_bytes())
    receipt["receipt"]["record"] = receipt["receipt"]["record"].replace("QĐ-TTg", "QĐ-TTG")
    year.papers[0].write_bytes(json.dumps(receipt).encode())
    report = json.loads(year.papers[1].read_bytes())
    year.papers[1].write_bytes(json.dumps({**report, "report": report["report"] + " "}).encode())
    forged = json.loads(year.papers[2].read_bytes())["receipt"]["record"]
    year.papers[2].write_bytes(dump({"receipt": receipt_json(signed(forged.encode(), key=_OTHER))}))
    for number, rubbish in enumerate(
        (b"", b"\xff", b"[]", b"3", b"{", b'{"receipt": 3}', b'{"record": "x", "batch": []}', b"[" * 100_000)
    ):
        (year.folder / f"rubbish-{number}.json").write_bytes(rubbish)

    found = compare(statement, read_kept(year.folder, statement, keys=KEYS))

    by_file = {one.where: one.en for one in found if one.where.endswith(".json")}
    assert by_file[year.papers[0].name].startswith("cannot be verified")
    assert by_file[year.papers[1].name] == "the report is not what was signed"
    assert by_file[year.papers[2].name].startswith("cannot be verified")
    assert "the axis counts 3, the receipts show 1" in [one.en for one in found]


async def test_one_number_for_two_documents_is_named(year: Year) -> None:
    """Whoever shows different receipts to different people cannot number them alike."""
    statement = await year.statement(1)
    receipt = json.loads(year.papers[0].read_bytes())
    record = json.loads(receipt["receipt"]["record"])
    other = "01M7HRRV63TR8MFZMY6GV1BYDV"
    twin = {**record, "id": other, "document": other, "facts": {**record["facts"], "root": other}}
    (year.folder / "twin.json").write_bytes(dump({"receipt": receipt_json(signed(canonical(twin)))}))

    found = compare(statement, read_kept(year.folder, statement, keys=KEYS))

    assert [one for one in found if "was used for document" in one.en]


@pytest.mark.parametrize("text", ["", "{}", "[", "3", '{"record": "{}", "batch": {}}', "[" * 50_000])
def test_what_is_no_statement_is_refused(text: str) -> None:
    """Hostile bytes end in a sentence."""
    with pytest.raises(InvalidQuestion):
        read_statement(text, keys=KEYS)


async def test_a_receipt_is_no_statement(year: Year) -> None:
    """Both are signed by the same key: what is signed says which it is."""
    receipt = json.loads(year.papers[0].read_bytes())["receipt"]
    with pytest.raises(InvalidQuestion):
        read_statement(json.dumps(receipt), keys=KEYS)
    found = await asking(year.ledger).statement(OrganNumber(1), "2026-11", log=LOG)
    other = receipt_json(signed(statement_bytes(found), key=_OTHER))
    with pytest.raises(InvalidQuestion, match="not signed by a trusted key"):
        read_statement(json.dumps(other), keys=KEYS)


@given(st.sets(st.integers(min_value=1, max_value=10_000)))
def test_ranges_hold_every_number_once(numbers: set[int]) -> None:
    """There and back."""
    assert list(numbers_in(ranges(numbers))) == sorted(numbers)


@pytest.mark.parametrize("text", ["0", "3-1", "a", "1-99999999999", "-1", "1--2", "1,,2"])
def test_other_texts_are_no_ranges(text: str) -> None:
    """A statement from elsewhere cannot make us count to the end of time."""
    with pytest.raises(ValueError, match=r"."):
        list(numbers_in(text))


@pytest.mark.parametrize("text", ["2026", "2026-13", "2026-1", "2026-11-01", "", "x" * 100, "２０２６-11"])
def test_other_texts_are_no_months(text: str) -> None:
    """`yyyy-mm` and nothing else."""
    with pytest.raises(InvalidQuestion):
        month_of(text)
    assert month_of("2026-12")[1].isoformat() == "2027-01-01T00:00:00+07:00"


@pytest.mark.requirement("LR-41")
async def test_registers_have_the_columns_of_the_law(ledger: SQLLedger) -> None:
    """Ten each (NĐ30 Annex IV), one line a document going out and one a delivery coming in."""
    story = Story(ledger)
    await story.organs(ORGANS)
    first = await story.accepted(sender=10, to=(1, 20), more={"signatory": "Nguyễn Văn An"}, urgency=3)
    await story.accepted(sender=10, to=(11,), root=first, document_id=str(first.facts["document_id"]))
    await story.taken(first, organs=[1])
    await story.answered(first, 1, "02")
    queries = asking(ledger)
    time = {"since": NOON - timedelta(days=1), "until": NOON + timedelta(days=1)}

    out = [row async for row in queries.register(Direction.OUT, organ=OrganNumber(10), lang="vi", **time)]
    into = [row async for row in queries.register(Direction.IN, organ=OrganNumber(1), lang="en", **time)]

    assert len(OUTGOING) == len(INCOMING) == 10
    (line,) = out
    assert set(OUTGOING) <= set(line)
    assert line["code"] == "15/QĐ-TTg"
    assert line["date"] == "2026-11-20"
    assert line["signatory"] == "Nguyễn Văn An"
    assert line["copies"] == 3
    assert line["signed_for"] == "1/3 đã nhận"
    assert line["remarks"] == "Hỏa tốc"
    assert "Sở số 11 (000.00.11.H01)" in str(line["receivers"])
    (line,) = into
    assert set(INCOMING) <= set(line)
    assert line["arrival_number"] is None
    assert line["author"] == "Sở số 10"
    assert line["taken_by"] == "Sở số 1"
    assert line["remarks"] == "Express; Returned"
    assert line["digest"] == first.facts["digest"]
