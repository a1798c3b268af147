"""What documents are worth: judged after they were accepted, recorded once, whatever the files and processes do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from axis.core.errors import ServiceUnavailable
from axis.core.events import Event
from axis.core.model import BusinessType, Digest, DocumentKey, LegalValue
from axis.demo.letters import package
from axis.edxml.writer import AttachmentSource
from axis.flow.judges import AttachmentJudge
from axis.flow.value import Judge, ValuePace, Valuer, remove_leftovers
from axis.ledger import tables as t
from axis.ledger.check import check
from axis.ledger.valuations import SQLValuations
from signing.pdf import PdfLimits, PdfReason, PdfReport, PdfSignature, RoleKeys, SignerRole
from signing.policy import CURRENT_POLICY, Policy
from signing.skeleton import Limits
from tests.adapters.contract import until
from tests.flow.office import LOG, Office
from tests.flow.town import AT, HANOI, TTTT, VPCP, a_letter, hand, pen, unsigned
from tests.signing.builders import trust
from tests.signing.pdfs import a_pdf, an_endless_pdf, signed_pdf, zipped
from tests.signing.test_pdf import minister

BOTH = signed_pdf(signed_pdf(a_pdf(), by=minister(), field="Person"), by=hand(VPCP.name), field="Organ")
ORGAN = signed_pdf(a_pdf(), by=hand(VPCP.name), field="Organ")
PERSON = signed_pdf(a_pdf(), by=minister(), field="Person")
DAMAGED = BOTH.replace(b"/MediaBox [0 0 595", b"/MediaBox [0 0 596", 1)
STRANGER = signed_pdf(a_pdf(), by=hand("Một đơn vị khác"), field="Organ")


@pytest.fixture(scope="module")
def judge() -> Iterator[AttachmentJudge]:
    judge = AttachmentJudge(trust=trust)
    yield judge
    judge.close()


class Scripted:
    """A judge that finds what it is told: first its faults, one for each file, then always the same."""

    file_bytes = 1024 * 1024

    def __init__(self, *faults: PdfReason, then: PdfReport | PdfReason = PdfReason.UNSIGNED) -> None:
        self.left = list(faults)
        self.then = PdfReport(reason=then) if isinstance(then, PdfReason) else then
        self.seen = 0

    async def judge(self, file: Path, *, at: datetime, keys: RoleKeys) -> PdfReport:
        del file, at, keys
        self.seen += 1
        return PdfReport(reason=self.left.pop(0)) if self.left else self.then

    def interrupt(self) -> None: ...

    def close(self) -> None: ...


class Stopping(Scripted):
    """A judge in whose hub it is time to stop after its first file."""

    def __init__(self, stop: asyncio.Event) -> None:
        super().__init__()
        self.stop = stop

    async def judge(self, file: Path, *, at: datetime, keys: RoleKeys) -> PdfReport:
        self.stop.set()
        return await super().judge(file, at=at, keys=keys)


def valuer(
    office: Office, tmp_path: Path, *judges: Judge, ledger: Any = None, policy: Policy = CURRENT_POLICY
) -> Valuer:
    """One process that values the office's documents; several on one office are several processes."""
    return Valuer(
        judges=judges,
        ledger=ledger or office.ledger,
        valuations=SQLValuations(office.ledger),
        blobs=office.blobs,
        directories=office.country,
        clock=office.clock,
        ids=office.ids,
        bells=office.pipeline.bells,
        folder=tmp_path,
        limits=Limits(),
        policy=policy,
        pace=ValuePace(sweep_seconds=0.05),
    )


def letter_with(*files: bytes, number: int = 1) -> bytes:
    """A signed letter of VPCP with these files: the letter and its annexes."""
    attached = [
        AttachmentSource(
            content_id=f"c{place}",
            name=f"tep_{place}.pdf",
            content_type="application/pdf",
            source=content,
        )
        for place, content in enumerate(files)
    ]
    return package(a_letter(number), pen=pen(VPCP), at=AT, files=attached)


async def sent(office: Office, *files: bytes, number: int = 1) -> DocumentKey:
    answer = await office.admit(letter_with(*files, number=number))
    assert answer.document is not None, answer.headline_en
    return answer.document


async def the_value(office: Office, document: DocumentKey) -> LegalValue:
    rows = {row["id"]: row["value"] for row in await office.rows(t.document)}
    return LegalValue(rows[document])


async def the_event(office: Office) -> Event:
    """The one record of a value."""
    [event] = await office.events("document.valued")
    return event


def reasons(event: Event) -> list[str]:
    files: Any = event.facts["files"]
    return [one["reason"] for one in files]


async def turns(office: Office, work: Valuer, judge: Judge, *, most: int = 10) -> int:
    """Let it work, the clock far ahead before every turn, until there is nothing left to value."""
    for done in range(most):
        office.clock.jump(timedelta(hours=1))
        if not await work.turn(judge):
            return done
    return most


# What follows from the files.


CASES = {
    "person and organ": ([BOTH], "original", ["pdf.passed"]),
    "with an annex": ([BOTH, ORGAN], "original", ["pdf.passed"] * 2),
    "organ alone": ([ORGAN], "copy", ["pdf.passed"]),
    "person alone": ([PERSON], "reference", ["pdf.passed"]),
    "another body's seal": ([STRANGER], "reference", ["pdf.passed"]),
    "an unsigned annex": ([BOTH, a_pdf()], "reference", ["pdf.passed", "pdf.unsigned"]),
    "unsigned": ([a_pdf()], "reference", ["pdf.unsigned"]),
    "something added after signing": ([BOTH + b"\n%more"], "reference", ["pdf.changed"]),
    "damaged": ([DAMAGED], "reference", ["pdf.broken"]),
    "no PDF": ([b"khong phai PDF"], "reference", ["pdf.not_pdf"]),
    "alone in a zip": ([zipped(("van ban.pdf", BOTH))], "original", ["pdf.passed"]),
    "two in a zip": ([zipped(("a.pdf", BOTH), ("b.pdf", BOTH))], "reference", ["pdf.zip"]),
    "no file": ([], "reference", []),
}


async def test_the_value_follows_from_every_file(
    office: Office, judge: AttachmentJudge, tmp_path: Path
) -> None:
    """LR-05, LR-06, LR-07, LR-67: original, copy or reference, with the reason at each file."""
    names = {
        await sent(office, *files, number=number): name
        for number, (name, (files, *_)) in enumerate(CASES.items(), start=1)
    }
    before = {await the_value(office, document) for document in names}

    done = await turns(office, valuer(office, tmp_path, judge), judge, most=20)

    events = {names[one.document]: one for one in await office.events("document.valued") if one.document}
    # All of them in one turn, and recorded together.
    assert (done, before, DAMAGED != BOTH) == (1, {LegalValue.CHECKING}, True)
    assert {name: (value, found) for name, (_, value, found) in CASES.items()} == {
        name: (one.facts["value"], reasons(one)) for name, one in events.items()
    }
    for document, name in names.items():
        assert await the_value(office, document) == events[name].facts["value"]


async def test_the_record_says_who_signed_what(
    office: Office, judge: AttachmentJudge, tmp_path: Path
) -> None:
    """Per file and signature: role, signer, intact, trusted, coverage, changes; told to sender and receivers."""
    document = await sent(office, zipped(("van ban.pdf", BOTH)))

    await valuer(office, tmp_path, judge).turn(judge)

    event = await the_event(office)
    [file] = json.loads(json.dumps(event.facts["files"]))
    person, organ = file["signatures"]
    assert (event.document, event.stations) == (document, ("vpcp", "bo-tttt", "ha-noi"))
    assert (file["content_id"], file["name"], file["inside_zip"]) == ("cid:c0", "tep_0.pdf", "van ban.pdf")
    assert (person["role"], organ["role"]) == ("person", "organ")
    assert "Kiểm" in person["signer"]["subject"]
    assert (organ["intact"], organ["trusted"], organ["covers_whole_file"]) == (True, True, True)
    assert (person["covers_whole_file"], person["changes_after"]) == (False, "signing")
    assert await office.rows(t.valuation) == []
    while await office.sequencer.turn():
        pass
    assert (await check(office.ledger, keys=[LOG.verifier])).ok
    assert {row["station_id"] for row in await office.rows(t.feed)} >= {"vpcp", "bo-tttt", "ha-noi"}


async def test_attachments_are_judged_by_the_axis_own_policy(office: Office, tmp_path: Path) -> None:
    """A policy file that no longer allows SHA-256 holds for PDFs as it does for messages, and is named."""
    policy = Policy.from_toml(
        CURRENT_POLICY.text.replace("axis-signature-policy/1", "mot-chinh-sach/7").replace('"sha256", ', "")
    )
    strict = AttachmentJudge(trust=trust, policy=policy)
    await sent(office, BOTH)

    await valuer(office, tmp_path, strict, policy=policy).turn(strict)
    strict.close()

    event = await the_event(office)
    assert (event.facts["value"], event.facts["policy"]) == ("reference", "mot-chinh-sach/7")
    assert reasons(event) == [PdfReason.ALGORITHM]


async def test_delivered_before_and_after_it_was_judged(
    office: Office, judge: AttachmentJudge, tmp_path: Path
) -> None:
    """Delivery does not wait; who takes the document later finds the value in its header."""
    await sent(office, BOTH)
    early = await office.inbox("ha-noi")

    await valuer(office, tmp_path, judge).turn(judge)
    late = await office.inbox("bo-tttt")

    assert [one.value for one in early] == [LegalValue.CHECKING]
    assert [one.value for one in late] == [LegalValue.ORIGINAL]


async def test_what_was_taken_back_is_not_told_of(office: Office, tmp_path: Path) -> None:
    """A station whose delivery was withdrawn hears nothing more of the document's files."""
    edoc = a_letter(1)
    answer = await office.admit(package(edoc, pen=pen(VPCP), at=AT))
    recall = a_letter(2, kind=BusinessType.RECALL, target=edoc.document_id)
    assert (await office.admit(package(recall, pen=pen(VPCP), at=AT))).document is not None
    work = Scripted()

    await turns(office, valuer(office, tmp_path, work), work)

    told = {one.document: one.stations for one in await office.events("document.valued")}
    assert told[answer.document] == ("vpcp",)


async def test_what_carries_no_value_by_its_tier_is_not_judged(office: Office, tmp_path: Path) -> None:
    """Unsigned and legacy messages are for reference whatever is inside; statuses have nothing inside."""
    await office.admit(unsigned(a_letter(sender=TTTT, receivers=(HANOI,))), station="bo-tttt")

    assert await office.rows(t.valuation) == []
    assert not await valuer(office, tmp_path).turn(Scripted())


# What hostile files and dying processes cost.


async def test_a_file_that_never_ends_costs_its_own_verdict(office: Office, tmp_path: Path) -> None:
    """Tried again, then for reference with the reason; the document behind it is judged as if nothing had been."""
    judge = AttachmentJudge(trust=trust, limits=PdfLimits(seconds=1))
    hanging = await sent(office, BOTH, an_endless_pdf(), number=1)
    other = await sent(office, BOTH, number=2)
    work = valuer(office, tmp_path, judge)

    first = [await work.turn(judge), await work.turn(judge)]
    between = [await the_value(office, one) for one in (hanging, other)]
    done = await turns(office, work, judge)
    judge.close()

    events = {one.document: one for one in await office.events("document.valued")}
    assert (first, done, between) == ([True, False], 1, [LegalValue.CHECKING, LegalValue.ORIGINAL])
    assert (events[hanging].facts["value"], reasons(events[hanging])) == (
        "reference",
        ["pdf.passed", "pdf.time"],
    )
    assert events[other].facts["value"] == "original"


async def test_what_was_taken_before_is_taken_alone(office: Office) -> None:
    """Whoever took it may have died of it: the others' tries are not counted for what it did."""
    documents = [await sent(office, a_pdf(), number=number) for number in (1, 2, 3)]
    valuations = SQLValuations(office.ledger)
    at = office.clock.now()
    [first] = await valuations.take(at=at, until=at + timedelta(seconds=1), limit=1)
    later = at + timedelta(seconds=2)

    fresh = await valuations.take(at=later, until=later + timedelta(seconds=9), limit=10)
    alone = await valuations.take(at=later, until=later + timedelta(seconds=9), limit=10)
    none = await valuations.take(at=later, until=later + timedelta(seconds=9), limit=10)

    assert first.document.id == documents[0]
    assert [(one.document.id, one.tries) for one in fresh] == [(one, 1) for one in documents[1:]]
    assert [(one.document.id, one.tries) for one in alone] == [(documents[0], 2)]
    assert not none


async def test_what_is_left_of_a_batch_at_the_stop_is_free_at_once(office: Office, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        await sent(office, a_pdf(), number=number)
    stop = asyncio.Event()
    work = Stopping(stop)

    await valuer(office, tmp_path, work).turn(work, stop=stop)

    at = office.clock.now()
    again = await SQLValuations(office.ledger).take(at=at, until=at, limit=10)
    assert (len(await office.events("document.valued")), [one.tries for one in again]) == (1, [1, 1])


async def test_a_process_that_crashes_is_tried_again(office: Office, tmp_path: Path) -> None:
    document = await sent(office, a_pdf())
    work = Scripted(PdfReason.CRASH, PdfReason.CRASH)

    done = await turns(office, valuer(office, tmp_path, work), work)

    assert (done, work.seen) == (3, 3)
    assert reasons(await the_event(office)) == ["pdf.unsigned"]
    assert await the_value(office, document) is LegalValue.REFERENCE


async def test_a_file_that_crashes_every_process_is_given_up(office: Office, tmp_path: Path) -> None:
    """It could not be judged: for reference, with that reason."""
    document = await sent(office, a_pdf())
    work = Scripted(then=PdfReason.CRASH)

    done = await turns(office, valuer(office, tmp_path, work), work)

    assert done == 3
    assert reasons(await the_event(office)) == ["pdf.given_up"]
    assert await the_value(office, document) is LegalValue.REFERENCE


async def test_a_document_that_takes_its_hub_down_is_not_opened_for_ever(
    office: Office, tmp_path: Path
) -> None:
    """Every process that took it died without a word."""
    await sent(office, a_pdf())
    valuations = SQLValuations(office.ledger)
    for _ in range(6):
        at = office.clock.now()
        assert len(await valuations.take(at=at, until=at, limit=1)) == 1
    work = Scripted()

    done = await turns(office, valuer(office, tmp_path, work), work)

    assert (done, work.seen) == (1, 0)
    assert reasons(await the_event(office)) == ["pdf.given_up"]


async def test_what_nobody_can_tell_yet_stays_open(office: Office, tmp_path: Path) -> None:
    """Looked at again for as long as it takes, and told once."""
    document = await sent(office, a_pdf())
    unknown = PdfReport(reason=PdfReason.CRASH)
    open_ = replace(unknown, reason=_unknown_revocation())
    work = Scripted(then=open_)
    process = valuer(office, tmp_path, work)

    await turns(office, process, work, most=8)
    between = await the_value(office, document)
    work.then = _signed_by_organ()
    await turns(office, process, work)

    assert (between, work.seen) == (LegalValue.CHECKING, 9)
    assert (await the_event(office)).facts["value"] == "copy"


def _unknown_revocation() -> Any:
    from signing.reasons import Reason

    return Reason.REVOCATION_UNKNOWN


def _signed_by_organ(field: str = "Organ") -> PdfReport:
    signature = PdfSignature(
        field=field,
        reason=PdfReason.PASSED,
        role=SignerRole.ORGAN,
        signer=None,
        claimed_at=datetime(2026, 3, 1, 8, 0),
        timestamp=None,
        is_intact=True,
        is_trusted=True,
        covers_whole_file=True,
        changes_after="none",
    )
    return PdfReport(reason=PdfReason.PASSED, signatures=(signature,))


async def test_a_strangers_text_can_be_recorded(office: Office, tmp_path: Path) -> None:
    """Half of a pair and a zero, which neither a record nor a database takes; a time without a zone."""
    await sent(office, a_pdf())
    work = Scripted(then=_signed_by_organ("A\ud800\0B" * 100))

    await valuer(office, tmp_path, work).turn(work)

    [file] = json.loads(json.dumps((await the_event(office)).facts["files"]))
    assert file["signatures"][0]["field"].startswith("A\ufffd\ufffdB")
    assert file["signatures"][0]["claimed_at"] == "2026-03-01T08:00:00"


async def test_without_roots_nothing_is_decided(office: Office, tmp_path: Path) -> None:
    """Ours to mend: it stays open, and is judged when there are roots."""
    await sent(office, ORGAN)
    roots: list[Any] = [None]
    judge = AttachmentJudge(trust=lambda: roots[0])
    work = valuer(office, tmp_path, judge)

    await turns(office, work, judge, most=8)
    before = await office.events("document.valued")
    roots[0] = trust()
    await turns(office, work, judge)
    judge.close()

    assert before == []
    assert (await the_event(office)).facts["value"] == "copy"


async def test_stored_bytes_that_are_gone_or_changed_decide_nothing(office: Office, tmp_path: Path) -> None:
    """Never a verdict on other bytes than were accepted."""
    document = await sent(office, a_pdf())
    [row] = [row for row in await office.rows(t.document) if row["id"] == document]
    path = office.blobs.path(Digest(row["digest"]))
    whole = path.read_bytes()
    work = Scripted()
    process = valuer(office, tmp_path, work)

    path.write_bytes(whole.replace(b"Subject>", b"subject>"))
    await turns(office, process, work, most=2)
    path.unlink()
    await turns(office, process, work, most=8)
    between = await office.events("document.valued")
    path.write_bytes(whole)
    await turns(office, process, work)

    assert (between, work.seen) == ([], 1)
    assert reasons(await the_event(office)) == ["pdf.unsigned"]


# Several processes, and processes that die.


async def test_two_processes_value_every_document_once(office: Office, tmp_path: Path) -> None:
    """Each document is taken by one; nobody waits for the other."""
    documents = {await sent(office, a_pdf(), number=number) for number in range(1, 7)}
    works = [Scripted(), Scripted()]
    processes = [valuer(office, tmp_path, work) for work in works]

    async def drain(process: Valuer, work: Scripted) -> None:
        while await process.turn(work):
            pass

    async with asyncio.TaskGroup() as group:
        for process, work in zip(processes, works, strict=True):
            group.create_task(drain(process, work))

    events = await office.events("document.valued")
    assert {one.document for one in events} == documents
    assert len(events) == sum(work.seen for work in works) == 6


async def test_two_that_judge_the_same_document_record_it_once(office: Office, tmp_path: Path) -> None:
    """The first was stopped for longer than it may be; its late word changes nothing."""
    await sent(office, a_pdf())
    second = Scripted()

    class Paused(Scripted):
        async def judge(self, file: Path, *, at: datetime, keys: RoleKeys) -> PdfReport:
            office.clock.jump(timedelta(minutes=5))
            assert await valuer(office, tmp_path, second).turn(second)
            return await super().judge(file, at=at, keys=keys)

    first = Paused(then=PdfReason.ENCRYPTED)

    assert await valuer(office, tmp_path, first).turn(first)

    assert (first.seen, second.seen) == (1, 1)
    assert reasons(await the_event(office)) == ["pdf.unsigned"]


@dataclass
class _Failing:
    """A ledger whose writing fails once, after everything was judged."""

    office: Office
    has_failed: bool = False

    @asynccontextmanager
    async def transaction(self) -> Any:
        async with self.office.ledger.transaction() as tx:
            yield tx
            if not self.has_failed:
                self.has_failed = True
                raise ServiceUnavailable("database", "cut off before the commit")


async def test_cut_off_before_the_commit_it_is_judged_again(office: Office, tmp_path: Path) -> None:
    await sent(office, a_pdf())
    work = Scripted()
    process = valuer(office, tmp_path, work, ledger=_Failing(office))

    with pytest.raises(ServiceUnavailable):
        await process.turn(work)
    is_free_at_once = await process.turn(work)
    await turns(office, process, work)

    assert (is_free_at_once, work.seen) == (False, 2)
    assert reasons(await the_event(office)) == ["pdf.unsigned"]


async def test_stopping_does_not_wait_for_a_file_that_never_ends(office: Office, tmp_path: Path) -> None:
    """It is left as it was, for the next process, at once."""
    await sent(office, an_endless_pdf())
    judge = AttachmentJudge(trust=trust)
    stop = asyncio.Event()
    running = asyncio.ensure_future(valuer(office, tmp_path, judge).run(stop))
    await until(lambda: any((tmp_path / "judging").glob("*/0")))

    stop.set()
    async with asyncio.timeout(10):
        await running

    assert await office.events("document.valued") == []
    assert [row["tries"] for row in await office.rows(t.valuation)] == [0]
    assert list((tmp_path / "judging").iterdir()) == []
    office.clock.jump(timedelta(seconds=1))
    work = Scripted()
    assert await valuer(office, tmp_path, work).turn(work)


async def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    """Its folders, once they are old; one in use is not touched."""
    old, new = tmp_path / "judging" / "old", tmp_path / "judging" / "new"
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "0").write_bytes(b"x")
    at = datetime.fromtimestamp(new.stat().st_mtime, tz=AT.tzinfo)

    await remove_leftovers(tmp_path, before=at - timedelta(hours=1))
    both = sorted(one.name for one in (tmp_path / "judging").iterdir())
    await remove_leftovers(tmp_path, before=at + timedelta(hours=1))

    assert both == ["new", "old"]
    assert list((tmp_path / "judging").iterdir()) == []
