"""Revoked certificates on the road: refused, held, let through when urgent, and found out afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from axis.core.events import Event
from axis.core.exchange import Outcome
from axis.core.model import DeliveryState, Digest, Owner, SubmissionState
from axis.core.reasons import REASONS, ReasonCode
from axis.demo.pki import CA_USAGE, Issued
from axis.flow.judges import AttachmentJudge, KeptLists
from axis.flow.recheck import Rechecker
from axis.flow.revocation import RevocationKeeper, RevocationPace, Revocations, Sources
from axis.ledger import tables as t
from axis.ledger.check import check
from axis.ledger.revocations import SQLRevocations
from axis.outside import Outside
from signing.pdf import PdfReport, RoleKeys
from tests.flow.office import LOG, Office
from tests.flow.places import Place
from tests.flow.test_value import sent, valuer
from tests.flow.town import AT, HANOI, NV, TTTT, VPCP, a_letter, a_message, hand, signed
from tests.signing.builders import own_key, pki, trust
from tests.signing.pdfs import a_pdf, signed_pdf
from tests.signing.test_revocation import respond

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
Revoked = Sequence[tuple[x509.Certificate, datetime]]


def der(crl: x509.CertificateRevocationList) -> bytes:
    return crl.public_bytes(Encoding.DER)


def pem(*lists: x509.CertificateRevocationList) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in lists)


def lists(
    *, issued_at: datetime, days: float = 1, number: int = 1, revoked: Revoked = ()
) -> tuple[x509.CertificateRevocationList, x509.CertificateRevocationList]:
    """A list of the issuing authority and one of the root."""
    issue = partial(
        pki().revocation_list, issued_at=issued_at, next_update=issued_at + days * DAY, number=number
    )
    return issue(revoked=revoked), issue(by=pki().root)


class Desk:
    """An office whose axis checks revocation, and the keeper that works in its background."""

    def __init__(self, office: Office, sources: Sources, *, seconds: float = 5) -> None:
        self.office = office
        shelf = SQLRevocations(office.ledger)
        self.revocations = Revocations(
            sources=sources, shelf=shelf, blobs=office.blobs, clock=office.clock, trust=trust
        )
        office.country.revocations = self.revocations
        self.keeper = RevocationKeeper(
            revocations=self.revocations,
            shelf=shelf,
            blobs=office.blobs,
            fetcher=Outside(seconds=seconds),
            concerned=Rechecker(
                ledger=office.ledger,
                blobs=office.blobs,
                shelf=shelf,
                clock=office.clock,
                ids=office.ids,
            ),
            world=office.country.world,
            clock=office.clock,
            ids=office.ids,
            pace=RevocationPace(retry=timedelta(0), every=timedelta(seconds=1)),
        )

    async def verdict(self, kind: str) -> Any:
        """What the last event of a kind says of the verdict."""
        return (await self.office.events(kind))[-1].facts["verdict"]


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with Place() as one:
        yield one


@pytest.fixture
def desk(office: Office, place: Place) -> Desk:
    return Desk(office, Sources(lists=(place.url.replace("http://", "http://reader:s3cret@"),)))


async def test_what_nobody_can_tell_yet_waits_and_travels_by_itself(desk: Desk, place: Place) -> None:
    """LR-43: no list, no verdict. The list is fetched, kept as it came, and named in the record."""
    office = desk.office
    await desk.keeper.turn()

    held = await office.admit(signed(a_letter()))
    place.answer = pem(*lists(issued_at=AT - HOUR))
    await desk.keeper.turn()
    await office.holds.turn()

    assert (held.state, held.reason) == (SubmissionState.HELD, ReasonCode.VERIFY_INDETERMINATE)
    assert REASONS[ReasonCode.VERIFY_INDETERMINATE].owner is Owner.AXIS
    before, after = await desk.verdict("submission.held"), await desk.verdict("submission.accepted")
    assert (before["reason"], before["revocation"]["result"]) == ("revocation.unknown", "indeterminate")
    assert (after["tier"], after["revocation"]["result"]) == ("passed", "passed")
    assert after["policy"] == "axis-signature-policy/1"
    digests = [one.rpartition(":")[2] for one in after["revocation"]["sources"]]
    assert len(digests) == 2
    kept = [await office.blobs.read(Digest(one)) for one in digests]
    assert sorted(kept) == sorted(der(one) for one in lists(issued_at=AT - HOUR))
    taken = await office.events("revocation.taken")
    assert {one.facts["origin"] for one in taken} == {place.url}, (
        "an address is recorded without its password"
    )
    assert {row["digest"] for row in await office.rows(t.revocation)} == set(digests)
    await office.sequencer.turn()
    assert (await check(office.ledger, keys=[LOG.verifier])).ok


async def test_the_address_may_be_away_and_wrong_and_nothing_stops(desk: Desk, place: Place) -> None:
    """Nothing listens, a page instead of a list, an error, a list cut in half, too much: traffic waits, no more."""
    office = desk.office
    good = pem(*lists(issued_at=AT - HOUR))
    for answer, status in (
        (None, "200 OK"),
        (b"<html>moved</html>", "200 OK"),
        (b"", "200 OK"),
        (good, "503 Service Unavailable"),
        (good, "302 Found"),
        (good[: len(good) // 3], "200 OK"),
        (bytes(64 * 1024 * 1024 + 1), "200 OK"),
    ):
        place.answer, place.status = answer, status
        office.clock.jump(timedelta(seconds=2))
        await desk.keeper.turn()

    answer_then = await office.admit(signed(a_letter()))

    assert place.asked == 7
    assert answer_then.state is SubmissionState.HELD
    assert await office.rows(t.revocation) == []


async def test_an_address_that_never_answers_holds_nobody_up(office: Office, place: Place) -> None:
    """The keeper gives it up after its time; messages are judged meanwhile."""
    place.is_stuck = True
    desk = Desk(office, Sources(lists=(place.url,)), seconds=0.3)

    await desk.keeper.turn()

    assert place.asked == 1
    assert (await office.admit(signed(a_letter()))).state is SubmissionState.HELD


async def test_a_revoked_certificate_is_refused_with_its_reason(desk: Desk, place: Place) -> None:
    """LR-43: revoked an hour before the message came."""
    revoked = [(hand(VPCP.name).certificate, AT - HOUR)]
    place.answer = pem(*lists(issued_at=AT - HOUR / 2, revoked=revoked))
    await desk.keeper.turn()

    answer = await desk.office.admit(signed(a_letter()))

    assert (answer.state, answer.reason) == (SubmissionState.REFUSED, ReasonCode.VERIFY_CERTIFICATE)
    assert answer.causes[0].details[0].path == "revocation.revoked"
    said = await desk.verdict("submission.refused")
    assert (said["revocation"]["result"], len(said["revocation"]["sources"])) == ("failed", 1)


async def test_revoked_after_receipt_is_no_reason_to_refuse(desk: Desk, place: Place) -> None:
    """Held when it came, judged later by a list that names the signer as of a later moment."""
    office = desk.office
    held = await office.admit(signed(a_letter()))
    revoked = [(hand(VPCP.name).certificate, AT + HOUR)]
    place.answer = pem(*lists(issued_at=AT + 2 * HOUR, revoked=revoked))
    await desk.keeper.turn()
    await office.holds.turn()

    assert held.state is SubmissionState.HELD
    assert [one.submission for one in await office.events("submission.accepted")] == [held.submission]


async def _told(events: Sequence[Event]) -> list[tuple[str, ...]]:
    return [one.stations for one in events]


async def test_an_urgent_document_travels_and_both_sides_hear_its_verdict(desk: Desk, place: Place) -> None:
    """Design section 8: the last list is three days old; a normal one waits."""
    office = desk.office
    place.answer = pem(*lists(issued_at=AT - 3 * DAY))
    await desk.keeper.turn()

    urgent = await office.admit(signed(a_letter(1, priority=3)))
    normal = await office.admit(signed(a_letter(2)))
    (consignment,) = await office.inbox("ha-noi")
    place.answer = pem(*lists(issued_at=AT + HOUR, number=2))
    office.clock.jump(timedelta(seconds=2))
    await desk.keeper.turn()
    await office.holds.turn()

    assert (urgent.state, normal.state) == (SubmissionState.ACCEPTED, SubmissionState.HELD)
    assert (consignment.tier.value, consignment.value.value) == ("indeterminate", "checking")
    (event,) = await office.events("document.verified")
    assert (event.document, event.facts["was"], event.facts["tier"]) == (
        urgent.document,
        "indeterminate",
        "passed",
    )
    assert event.stations == ("vpcp", "ha-noi", "bo-tttt")
    assert {row["tier"] for row in await office.rows(t.document)} == {"passed"}
    assert len(await office.events("submission.accepted")) == 2


@pytest.mark.parametrize(
    ("age", "receivers"), [(8 * DAY, (HANOI, TTTT)), (3 * DAY, (HANOI, NV))], ids=["too-old", "wary-receiver"]
)
async def test_an_urgent_document_waits_too(
    desk: Desk, place: Place, age: timedelta, receivers: Sequence[Any]
) -> None:
    """When the last list is older than the policy allows, or a receiver takes nothing but what has passed."""
    place.answer = pem(*lists(issued_at=AT - age))
    await desk.keeper.turn()

    answer = await desk.office.admit(signed(a_letter(priority=3, receivers=receivers)))

    assert (answer.state, answer.reason) == (SubmissionState.HELD, ReasonCode.VERIFY_INDETERMINATE)


@pytest.mark.parametrize("priority", [0, 3])
async def test_what_turns_bad_is_told_at_once_and_withdrawn(desk: Desk, place: Place, priority: int) -> None:
    """
    A list that came later says: revoked before it was received. Whoever has it is told; who has not, never gets it.
    """
    office = desk.office
    place.answer = pem(*lists(issued_at=AT - (3 * DAY if priority else HOUR)))
    await desk.keeper.turn()
    sent = await office.admit(signed(a_letter(priority=priority)))
    (consignment,) = await office.inbox("ha-noi")
    await office.say("ha-noi", Outcome.DONE, consignment.deliveries[0].delivery)

    revoked = [(hand(VPCP.name).certificate, AT - DAY)]
    place.answer = pem(*lists(issued_at=AT + HOUR, number=2, revoked=revoked))
    office.clock.jump(timedelta(seconds=2))
    await desk.keeper.turn()

    assert sent.state is SubmissionState.ACCEPTED
    (event,) = await office.events("document.verified")
    causes: Any = event.facts["causes"]
    assert (event.facts["tier"], event.facts["value"]) == ("failed", "reference")
    assert (causes[0]["code"], causes[0]["details"][0]["path"]) == (
        "verify.certificate",
        "revocation.revoked",
    )
    assert event.stations == ("vpcp", "ha-noi", "bo-tttt")
    assert await office.states() == {
        HANOI.code: DeliveryState.ACKNOWLEDGED,
        TTTT.code: DeliveryState.WITHDRAWN,
    }
    (gone,) = await office.events("delivery.withdrawn")
    assert gone.facts["reason"] == ReasonCode.DELIVER_TURNED_BAD
    assert not await office.inbox("bo-tttt")
    while await office.sequencer.turn():
        pass
    assert (await check(office.ledger, keys=[LOG.verifier])).ok


async def test_what_was_signed_under_an_authority_turns_bad_with_it(desk: Desk, place: Place) -> None:
    """The root revokes the issuing authority: no list names a signer, and everything received since is found."""
    office = desk.office
    place.answer = pem(*lists(issued_at=AT - HOUR))
    await desk.keeper.turn()
    before = await office.admit(signed(a_letter(1)))
    office.clock.jump(3 * HOUR)
    since = office.clock.now() - HOUR
    place.answer = pem(*lists(issued_at=since, number=2))
    await desk.keeper.turn()
    now = office.clock.now()
    (after,) = await office.admit_all([a_message(signed(a_letter(2), at=now), message_id="m-2", at=now)])

    revoked = [(pki().issuing.certificate, since)]
    place.answer = pem(
        pki().revocation_list(issued_at=office.clock.now(), by=pki().root, number=3, revoked=revoked)
    )
    office.clock.jump(timedelta(seconds=2))
    await desk.keeper.turn()

    assert (before.state, after.state) == (SubmissionState.ACCEPTED, SubmissionState.ACCEPTED)
    (event,) = await office.events("document.verified")
    assert (event.document, event.facts["tier"]) == (after.document, "failed")
    verdict: Any = event.facts["verdict"]
    assert verdict["reason"] == "revocation.revoked"
    while await office.sequencer.turn():
        pass
    assert (await check(office.ledger, keys=[LOG.verifier])).ok


async def test_a_response_that_comes_to_light_later_turns_bad_as_a_list_does(
    office: Office, place: Place
) -> None:
    """OCSP said good, and says now: revoked since yesterday."""
    async with Place(der(lists(issued_at=AT - HOUR)[1])) as roots:
        desk = Desk(office, Sources(lists=(roots.url,), responders=(place.url,)))
        place.answer = respond(by=pki().issuing, of=hand(VPCP.name), issued_at=AT - HOUR)
        await office.admit(signed(a_letter()))
        await desk.keeper.turn()
        await desk.keeper.turn()
        await office.holds.turn()
        place.answer = respond(
            by=pki().issuing,
            of=hand(VPCP.name),
            issued_at=AT + HOUR,
            next_update=AT + 2 * HOUR,
            status=ocsp.OCSPCertStatus.REVOKED,
            revoked_at=AT - DAY,
        )
        office.clock.jump(timedelta(hours=2))
        await desk.keeper.turn()

    assert len(await office.events("submission.accepted")) == 1
    (event,) = await office.events("document.verified")
    assert (event.facts["tier"], event.facts["value"]) == ("failed", "reference")


def _signed_by(person: Issued, organ: Issued) -> bytes:
    return signed_pdf(signed_pdf(a_pdf(), by=person, field="Person"), by=organ, field="Organ")


def signature_reasons(event: Event) -> list[list[str]]:
    files: Any = event.facts["files"]
    return [[one["reason"] for one in file["signatures"]] for file in files]


@pytest.mark.parametrize("who", ["signer", "authority"])
async def test_a_value_does_not_outlive_the_certificate_it_rests_on(
    desk: Desk, place: Place, tmp_path: Path, who: str
) -> None:
    """
    LR-06, LR-43: like the original, until a list says that the person's certificate, or the authority above it, was
    revoked before the document came. Both sides hear at once that it is being checked, then what came of it.
    """
    office = desk.office
    above = pki().issue(
        "Cấp chứng thư cá nhân", usage=CA_USAGE, ca=True, by=pki().root, key=own_key("persons")
    )
    person = pki().issue("Trần Văn Ký", by=above, user_id="CCCD:001080000002", key=own_key("person"))
    of_persons = partial(pki().revocation_list, by=above)
    place.answer = pem(*lists(issued_at=AT - HOUR), of_persons(issued_at=AT - HOUR))
    await desk.keeper.turn()
    pdf = await asyncio.to_thread(_signed_by, person, hand(VPCP.name))
    kept = KeptLists(
        shelf=SQLRevocations(office.ledger), blobs=office.blobs, clock=office.clock, are_configured=True
    )
    judge = AttachmentJudge(trust=trust, lists=kept.current)
    work = valuer(office, tmp_path, judge)
    await sent(office, pdf)
    await work.turn(judge)

    if who == "signer":
        place.answer = der(
            of_persons(issued_at=AT + HOUR, number=2, revoked=[(person.certificate, AT - DAY)])
        )
    else:
        place.answer = der(
            pki().revocation_list(
                issued_at=AT + HOUR, number=2, by=pki().root, revoked=[(above.certificate, AT - DAY)]
            )
        )
    office.clock.jump(timedelta(seconds=2))
    await desk.keeper.turn()
    office.clock.jump(timedelta(seconds=2))
    while await work.turn(judge):
        pass
    judge.close()

    events = await office.events("document.valued")
    assert [(one.facts["before"], one.facts["value"]) for one in events] == [
        ("checking", "original"),
        ("original", "checking"),
        ("checking", "copy"),
    ]
    assert [sorted(one.stations) for one in events] == [["bo-tttt", "ha-noi", "vpcp"]] * 3
    assert signature_reasons(events[-1]) == [["revocation.revoked", "pdf.passed"]]
    assert await office.events("document.verified") == []
    while await office.sequencer.turn():
        pass
    assert (await check(office.ledger, keys=[LOG.verifier])).ok


async def test_no_value_rests_on_the_lists_of_before(desk: Desk, place: Place, tmp_path: Path) -> None:
    """The list that revokes the signer is taken after the file was judged and before its value is recorded."""
    office = desk.office
    place.answer = pem(*lists(issued_at=AT - HOUR))
    await desk.keeper.turn()
    person = pki().issue("Trần Văn Ký", user_id="CCCD:001080000002", key=own_key("person"))
    pdf = await asyncio.to_thread(_signed_by, person, hand(VPCP.name))
    kept = KeptLists(
        shelf=SQLRevocations(office.ledger), blobs=office.blobs, clock=office.clock, are_configured=True
    )

    class Slow(AttachmentJudge):
        async def judge(self, file: Path, *, at: datetime, keys: RoleKeys) -> PdfReport | None:
            report = await super().judge(file, at=at, keys=keys)
            revoked = [(person.certificate, AT - DAY)]
            place.answer = der(lists(issued_at=AT + HOUR, number=2, revoked=revoked)[0])
            office.clock.jump(timedelta(seconds=2))
            await desk.keeper.turn()
            return report

    judge = Slow(trust=trust, lists=kept.current)
    work = valuer(office, tmp_path, judge)
    await sent(office, pdf)

    while await work.turn(judge):
        pass
    judge.close()

    (event,) = await office.events("document.valued")
    assert (event.facts["before"], event.facts["value"]) == ("checking", "copy")
    assert signature_reasons(event) == [["revocation.revoked", "pdf.passed"]]


async def test_a_list_nobody_of_ours_signed_turns_nothing_bad(desk: Desk, place: Place) -> None:
    """Whoever answers at the address writes a list in the authority's name: kept, and never believed."""
    office = desk.office
    place.answer = pem(*lists(issued_at=AT - HOUR))
    await desk.keeper.turn()
    await office.admit(signed(a_letter()))

    forged = pki().revocation_list(
        issued_at=AT + HOUR, revoked=[(hand(VPCP.name).certificate, AT - DAY)], number=9
    )
    stranger = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(forged.issuer)
        .last_update(forged.last_update_utc)
        .next_update(AT + DAY)
        .add_revoked_certificate(next(iter(forged)))
        .sign(pki().root.key, forged.signature_hash_algorithm)  # type: ignore[arg-type]  # the list has one
    )
    place.answer = der(stranger)
    office.clock.jump(timedelta(seconds=2))
    await desk.keeper.turn()

    assert len(await office.rows(t.revocation)) == 3
    assert await office.events("document.verified") == []
    assert (await office.admit(signed(a_letter(2)))).state is SubmissionState.ACCEPTED


async def test_lists_in_files_are_read_when_they_change_and_survive_a_restart(
    office: Office, tmp_path: Path
) -> None:
    """A file that is empty or broken is said and does no harm; another process finds what this one took."""
    path = tmp_path / "lists.pem"
    path.touch()
    desk = Desk(office, Sources(files=(path,)))
    await desk.keeper.turn()
    path.write_bytes(b"-----BEGIN X509 CRL-----\nnonsense")
    await desk.keeper.turn()
    path.write_bytes(pem(*lists(issued_at=AT - HOUR)))
    await desk.keeper.turn()
    await desk.keeper.turn()
    path.write_bytes(b"")

    restarted = Desk(office, Sources(files=(path,)))

    assert (await office.admit(signed(a_letter()))).state is SubmissionState.ACCEPTED
    assert len(await office.events("revocation.taken")) == 2
    assert len(restarted.revocations.index.lists) == 2


async def test_a_responder_of_the_settings_is_asked_about_signers(office: Office, place: Place) -> None:
    """OCSP: asked once somebody signed, in the background; the answer is kept as the lists are."""
    async with Place(der(lists(issued_at=AT - HOUR)[1])) as roots:
        desk = Desk(office, Sources(lists=(roots.url,), responders=(place.url,)))
        place.answer = respond(by=pki().issuing, of=hand(VPCP.name), issued_at=AT - HOUR)
        await desk.keeper.turn()
        held = await office.admit(signed(a_letter()))
        await desk.keeper.turn()
        await office.holds.turn()

    assert held.state is SubmissionState.HELD
    said = await desk.verdict("submission.accepted")
    assert [one.partition(":")[0] for one in said["revocation"]["sources"]] == ["ocsp", "crl"]
    assert {row["kind"] for row in await office.rows(t.revocation)} == {"crl", "ocsp"}


async def test_a_responder_that_says_revoked_is_believed(office: Office, place: Place) -> None:
    """And one whose answer is about somebody else says nothing."""
    async with Place(der(lists(issued_at=AT - HOUR)[1])) as roots:
        desk = Desk(office, Sources(lists=(roots.url,), responders=(place.url,)))
        place.answer = respond(by=pki().issuing, of=hand(HANOI.name), issued_at=AT - HOUR)
        await office.admit(signed(a_letter()))
        await desk.keeper.turn()
        await office.holds.turn()
        still_held = [row["state"] for row in await office.rows(t.submission)]
        place.answer = respond(
            by=pki().issuing,
            of=hand(VPCP.name),
            issued_at=AT - HOUR,
            status=ocsp.OCSPCertStatus.REVOKED,
            revoked_at=AT - DAY,
        )
        office.clock.jump(timedelta(seconds=3))
        await desk.keeper.turn()
        await office.holds.turn()

    assert still_held == ["held"]
    (refused,) = await office.events("submission.refused")
    causes: Any = refused.facts["causes"]
    assert causes[0]["details"][0]["path"] == "revocation.revoked"


async def test_where_nothing_is_configured_every_verdict_says_so(office: Office) -> None:
    """Passed, and plainly not checked: in the record, and in the report that the receiver gets."""
    desk = Desk(office, Sources())
    await office.admit(signed(a_letter()))

    said = await desk.verdict("submission.accepted")

    assert (said["tier"], said["revocation"]) == (
        "passed",
        {"result": "not_checked", "sources": [], "issued_at": None},
    )
    (report,) = await office.rows(t.report)
    assert b'{"name":"revocation","result":"not_checked"}' in report["body"]
