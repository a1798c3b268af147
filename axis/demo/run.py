"""
The demonstration: the main job on real input, from signed letters to reconciled numbers.

An axis runs as it does in earnest (`axis.worker`), stations of real agencies talk to it over HTTP or AMQP, a test PKI
is made on the spot. Good letters travel and are answered, bad ones are refused, one waits, one fails and is replayed.
At the end every number is compared with what the stations themselves saw, and one receipt is verified offline.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import ssl
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any, Final, Self
from urllib.parse import urlsplit, urlunsplit

import structlog
from cryptography.hazmat.primitives.serialization import Encoding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from adapters.document import Document
from adapters.station import Credentials, Station
from axis import worker
from axis.bootstrap.broker import open_accounts
from axis.bootstrap.parts import Axis, open_axis
from axis.core.credentials import Credential
from axis.core.events import EventKind
from axis.core.exchange import Answer
from axis.core.model import Actor, Channel, Kind, StationId, SubmissionState
from axis.core.reasons import ReasonCode
from axis.core.retry import Backoff
from axis.data import organs_csv
from axis.demo.hanoi import HANOI, hanoi_organs
from axis.demo.letters import Agency, Pen, attachment, letter, package, pdf, status, words_of
from axis.demo.pki import PKI, Issued, KeyShelf
from axis.demo.spoiling import CLOSED, NOWHERE, bad_messages
from axis.demo.stamps import stamped
from axis.edxml.message import Edoc, StatusCode
from axis.flow.acts import NewStation
from axis.flow.organ_import import OrganRow, read_organs
from axis.ledger.count import By, CountFilter
from axis.settings import Settings, read_settings
from axis.speech import Format, err, out, print_json, print_rows, say, tell
from signing.certificates import certificates_from_pem
from signing.errors import SigningError
from signing.keys import KeySigner
from signing.receipts import verify_receipt

_SENDERS: Final = 8
"""Agencies that send; the others receive and answer. Keys are dear."""
_FAILURES: Final = Backoff(first=timedelta(milliseconds=100), longest=timedelta(milliseconds=200), tries=3)
"""A demonstration cannot wait for the eight minutes a failing station is given in earnest."""
_COMPARED: Final = ("sent", "addressed", "received", "refused", "failed")
_SEALED: Final = 40
"""Letters below this number may hold a signed PDF."""
_PATIENCE_SECONDS: Final = 400.0
_OPERATOR: Final = Actor(person="demo", reason="minh họa")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to show, and where."""

    documents: int
    stations: int
    broker_url: str | None = None
    management_url: str | None = None
    database_url: str | None = None
    folder: Path | None = None


@dataclass(slots=True, kw_only=True)
class Tally:
    """What the stations themselves saw."""

    sent: int = 0
    deliveries: int = 0
    received: set[str] = field(default_factory=set)
    statuses_sent: int = 0
    statuses: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    held: int = 0
    replayed: int = 0
    duplicates: int = 0
    signed_inside: Counter[str] = field(default_factory=Counter)
    """The values due to letters whose PDF is signed: every other one is for reference."""
    values: dict[str, str] = field(default_factory=dict)
    """Document -> what its sender was told that it is worth."""
    values_told: Counter[str] = field(default_factory=Counter)
    """Document -> how many stations were told."""
    unexpected: list[str] = field(default_factory=list)


def demonstrate(plan: Plan, *, as_json: bool) -> int:
    """Run it, print the result, and return the exit status: 0 only if every number reconciles."""
    import uvloop

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result, tables = runner.run(_demonstrate(plan, is_quiet=as_json))
    if as_json:
        print_json(result)
    else:
        _show(result, tables)
    return 0 if result["reconciled"] and result["receipt_verified"] else 1


# --- the stage ----------------------------------------------------------------------------------------------------


def _settings(plan: Plan, home: Path) -> Settings:
    environ = {
        "AXIS_HOME": str(home),
        "AXIS_HTTP_PORT": "0",
        "AXIS_TRUST": str(home / "trust.pem"),
        "AXIS_CRL_FILES": str(home / "crl.pem"),
    }
    if plan.database_url is not None:
        environ |= _given("AXIS_DATABASE_PASSWORD", "AXIS_DATABASE_PASSWORD_FILE")
        environ["AXIS_DATABASE_URL"] = plan.database_url
    if plan.broker_url is not None:
        environ |= _given(
            "AXIS_BROKER_PASSWORD", "AXIS_BROKER_PASSWORD_FILE", "AXIS_BROKER_CA", "AXIS_ALLOW_PLAIN"
        )
        environ["AXIS_BROKER_URL"] = plan.broker_url
        environ["AXIS_BROKER_MANAGEMENT_URL"] = plan.management_url or _management_of(plan.broker_url)
    # Roots and lists are put there in the middle of the demonstration: a file that is named must exist.
    (home / "trust.pem").touch()
    (home / "crl.pem").touch()
    return read_settings(environ)


def _given(*names: str) -> dict[str, str]:
    """What the environment says of the servers: passwords and roots do not belong on a command line."""
    return {name: os.environ[name] for name in names if name in os.environ}


def _management_of(broker_url: str) -> str:
    parts = urlsplit(broker_url)
    credentials = parts.netloc.rpartition("@")[0]
    return urlunsplit(("http", f"{credentials}@{parts.hostname}:15672", "", "", ""))


@asynccontextmanager
async def _running(settings: Settings) -> AsyncIterator[str]:
    """An axis as it runs in earnest; yields its HTTP address."""
    stop = asyncio.Event()
    listening = asyncio.Event()
    addresses: list[str] = []

    def ready(where: str) -> None:
        if where.startswith("http"):
            addresses.append(where)
            listening.set()

    if settings.is_embedded:
        parts = [worker.up(settings, stop=stop, ready=ready, failures=_FAILURES)]
    else:
        parts = [
            worker.hub(settings, stop=stop, failures=_FAILURES),
            worker.web(settings, stop=stop, ready=ready),
        ]
    tasks = [asyncio.ensure_future(part) for part in parts]
    heard = asyncio.ensure_future(listening.wait())
    try:
        await asyncio.wait([*tasks, heard], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
        yield addresses[0]
    finally:
        heard.cancel()
        stop.set()
        await asyncio.gather(*tasks)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cast:
    """Who takes part."""

    agencies: tuple[Agency, ...]
    """The first ones send."""
    below_hanoi: tuple[Agency, ...]
    pens: dict[str, Pen]
    seals: dict[str, Issued]
    """What the senders seal their PDFs with."""
    minister: Issued
    """A person who may sign for any of them."""
    old_pen: Pen
    revoked_pen: Pen
    """Of a certificate that its authority has revoked."""
    credentials: dict[str, Credential]
    trust_pem: bytes

    @property
    def senders(self) -> tuple[Agency, ...]:
        return tuple(one for one in self.agencies if one.code in self.pens)


async def _cast(plan: Plan, axis: Axis, settings: Settings, progress: _Steps) -> _Cast:
    """Import the directory, add the stations, make keys and bind certificates: acts of persons, all of them."""
    now = axis.clock.now()
    progress.say(say("Danh mục, khóa và chứng thư", "Directory, keys and certificates"))
    rows, _ = read_organs(organs_csv())
    hanoi = next(row for row in rows if row.code == HANOI)
    chosen = [*[row for row in rows if row.code != HANOI][: plan.stations - 1], hanoi]
    below = hanoi_organs()
    closed = OrganRow(
        code="H99", code_102=CLOSED.code, name=CLOSED.name, kind="unit", valid_to=now - timedelta(days=1)
    )
    async with open_accounts(settings) as accounts:
        acts = axis.acts(accounts=accounts)
        await acts.import_organs([*rows, *below, closed], by=_OPERATOR, with_assumed=True, source="demo")
        # The capital sends, too, so that a big platform is seen from both sides.
        senders = [hanoi, *[row for row in chosen if row is not hanoi][: _SENDERS - 1]]
        pki, issued, minister = await asyncio.to_thread(_issue, [row.name for row in senders], now)
        credentials: dict[str, Credential] = {}
        for row in chosen:
            credentials[row.code] = await acts.add_station(
                NewStation(
                    id=StationId(row.code.lower()),
                    name=row.name,
                    organs=(row.code,),
                    channel=Channel.PULL if settings.is_embedded else Channel.AMQP,
                ),
                by=_OPERATOR,
            )
            progress.advance()
        for row in senders:
            await acts.bind_certificate(row.code, issued[row.name].certificate_pem, by=_OPERATOR)
    pens = {row.code_102 or row.code: _pen(issued[row.name]) for row in senders}
    expired = pki.issue(
        senders[0].name, not_before=now - timedelta(days=20), not_after=now - timedelta(days=2)
    )
    revoked = pki.issue(f"{senders[0].name} (thu hồi)")
    (settings.home / "crl.pem").write_bytes(_lists(pki, revoked, now))
    agencies = tuple(_agency(row) for row in [*senders, *[row for row in chosen if row not in senders]])
    return _Cast(
        agencies=agencies,
        below_hanoi=tuple(_agency(row) for row in below),
        pens=pens,
        seals={row.code_102 or row.code: issued[row.name] for row in senders},
        minister=minister,
        old_pen=_pen(expired),
        revoked_pen=_pen(revoked),
        credentials={_agency(row).code: credentials[row.code] for row in chosen},
        trust_pem=pki.trust_pem,
    )


def _issue(names: Sequence[str], now: datetime) -> tuple[PKI, dict[str, Issued], Issued]:
    pki = PKI.build(
        not_before=now - timedelta(days=30),
        not_after=now + timedelta(days=365),
        shelf=KeyShelf(distinct=len(names) + 3),
    )
    issued = {name: pki.issue(name) for name in names}
    return pki, issued, pki.issue("Nguyễn Văn Kiểm", user_id="CCCD:001080000001")


def _lists(pki: PKI, revoked: Issued, now: datetime) -> bytes:
    """The revocation lists of both authorities: one certificate was revoked yesterday."""
    issued_at, next_update = now - timedelta(hours=1), now + timedelta(days=7)
    issuing = pki.revocation_list(
        issued_at=issued_at,
        next_update=next_update,
        revoked=[(revoked.certificate, now - timedelta(days=1))],
    )
    root = pki.revocation_list(issued_at=issued_at, next_update=next_update, by=pki.root)
    return b"".join(one.public_bytes(Encoding.PEM) for one in (issuing, root))


def _pen(issued: Issued) -> Pen:
    return Pen(signer=KeySigner(issued.key), chain=certificates_from_pem(issued.chain_pem))


def _agency(row: OrganRow) -> Agency:
    return Agency(code=row.code_102 or row.code, name=row.name)


class _Steps:
    """Progress for people; silent when nobody looks."""

    def __init__(self, *, total: int, is_quiet: bool) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", style="bold"),
            BarColumn(),
            MofNCompleteColumn(),
            console=err,
            disable=is_quiet or not err.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task("", total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, words: str) -> None:
        self._progress.update(self._task, description=words)

    def advance(self, by: int = 1) -> None:
        self._progress.advance(self._task, by)


# --- the play -----------------------------------------------------------------------------------------------------


async def _demonstrate(plan: Plan, *, is_quiet: bool) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    began = perf_counter()
    async with AsyncExitStack() as stack:
        home = plan.folder
        if home is None:
            home = Path(tempfile.mkdtemp(prefix="axis-demo-"))
            stack.callback(shutil.rmtree, home, ignore_errors=True)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = _settings(plan, home)
        steps = stack.enter_context(_Steps(total=plan.stations + 4 * plan.documents, is_quiet=is_quiet))
        axis = await stack.enter_async_context(open_axis(settings, may_create=True))
        (home / "keys.txt").write_text(axis.keys.trusted.text)
        async with _running(settings) as url:
            cast = await _cast(plan, axis, settings, steps)
            play = _Play(plan=plan, axis=axis, settings=settings, cast=cast, url=url, home=home, steps=steps)
            await play.perform()
        result, tables = await _reconcile(play)
        result["elapsed_s"] = round(perf_counter() - began, 1)
        return result, tables


class _Play:
    """The stations, what they do, and what they see."""

    def __init__(
        self, *, plan: Plan, axis: Axis, settings: Settings, cast: _Cast, url: str, home: Path, steps: _Steps
    ) -> None:
        self.plan = plan
        self.axis = axis
        self.cast = cast
        self.home = home
        self.tally = Tally()
        self.receipt: Answer | None = None
        self._settings = settings
        self._url = url
        self._steps = steps
        self._stations: dict[str, Station] = {}
        self._failing: str | None = None
        """DocumentId that its receiver fails to take until it is told otherwise."""
        self._failed = asyncio.Event()
        self._moved = asyncio.Event()

    def _station(self, agency: Agency) -> Station:
        credential = self.cast.credentials[agency.code]
        is_pulling = self._settings.is_embedded
        roots = self._settings.broker_ca
        return Station(
            self._url if is_pulling else self._settings.broker_urls[0].reveal(),
            Credentials(station=credential.station, key=credential.key, queue_secret=credential.queue_secret),
            http=None if is_pulling else self._url,
            trusted=self.axis.keys.trusted,
            tls=ssl.create_default_context(cafile=roots) if roots is not None else None,
        )

    async def perform(self) -> None:
        """Everything, in the order a person would show it."""
        async with AsyncExitStack() as stack:
            for agency in self.cast.agencies:
                self._stations[agency.code] = await stack.enter_async_context(self._station(agency))
            receivers = [
                asyncio.ensure_future(work(agency, self._stations[agency.code]))
                for agency in self.cast.agencies
                for work in (self._receive, self._listen)
            ]
            scenes = asyncio.ensure_future(self._scenes())
            try:
                # A receiver never ends by itself: one that does has failed, and nobody waits for what it would take.
                await asyncio.wait([scenes, *receivers], return_when=asyncio.FIRST_COMPLETED)
                for receiver in receivers:
                    if receiver.done():
                        receiver.result()
                await scenes
            finally:
                for task in (scenes, *receivers):
                    task.cancel()
                await asyncio.gather(scenes, *receivers, return_exceptions=True)

    async def _scenes(self) -> None:
        held = await self._send_before_there_are_roots()
        # One file for everything that is trusted here: what stands outside the certificates, readers of PEM pass over.
        keys = self.axis.keys.trusted.text.encode()
        (self.home / "trust.pem").write_bytes(keys + self.cast.trust_pem)
        await self._replay("held", [held.submission])
        await self._send_letters()
        await self._send_to_all_of_hanoi()
        await self._send_bad_ones()
        await self._fail_and_replay()
        await self._until_all_is_taken()
        await self._until_all_is_valued()

    # --- sending --------------------------------------------------------------------------------------------------

    async def _until_lists_are_taken(self) -> None:
        """Until the axis has read the revocation lists nobody can tell, and everything would be held."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not self.axis.revocations.index.lists:
                await asyncio.sleep(0.05)
                await self.axis.revocations.current()

    async def _submit(self, agency: Agency, body: bytes, *, expected: SubmissionState | None) -> Answer:
        answer = await self._stations[agency.code].submit(body)
        if expected is not None and answer.state is not expected:
            self.tally.unexpected.append(
                f"{agency.code}: {answer.state} instead of {expected}: {answer.headline_en}"
            )
        return answer

    def _accepted(self, answer: Answer) -> None:
        self.tally.sent += 1
        self.tally.deliveries += len(answer.deliveries)
        self._steps.advance()

    async def _send_before_there_are_roots(self) -> Answer:
        """Nobody can tell yet: recorded as held, and the sender is told so."""
        self._steps.say(say("Chờ xác minh", "On hold"))
        await self._until_lists_are_taken()
        sender, receiver = self.cast.senders[1], self.cast.agencies[2]
        now = self.axis.clock.now()
        edoc = letter(1, sender=sender, receivers=[receiver], at=now)
        body = package(edoc, pen=self.cast.pens[sender.code], at=now)
        answer = await self._submit(sender, body, expected=SubmissionState.HELD)
        self.tally.held += answer.state is SubmissionState.HELD
        # It will be accepted without being sent again.
        self.tally.sent += 1
        self.tally.deliveries += 1
        return answer

    async def _send_letters(self) -> None:
        """Most of the letters; the last ones are kept for what follows."""
        self._steps.say(say("Gửi văn bản", "Sending"))
        waiting = range(2, self.plan.documents - 2)
        turns = asyncio.Semaphore(8)

        async def send(number: int) -> None:
            async with turns:
                sender = self.cast.senders[number % len(self.cast.senders)]
                now = self.axis.clock.now()
                edoc = letter(
                    number,
                    sender=sender,
                    receivers=self._receivers(number, sender),
                    at=now,
                    priority=3 if number % 10 == 0 else 0,
                )
                body = await asyncio.to_thread(self._sealed, edoc, sender, number, now)
                answer = await self._submit(sender, body, expected=SubmissionState.ACCEPTED)
                self._accepted(answer)
                if number == 2:
                    self.receipt = answer
                    again = await self._submit(sender, body, expected=SubmissionState.DUPLICATE)
                    self.tally.duplicates += again.state is SubmissionState.DUPLICATE

        async with asyncio.TaskGroup() as group:
            for number in waiting:
                group.create_task(send(number))

    def _sealed(self, edoc: Edoc, sender: Agency, number: int, now: datetime) -> bytes:
        """The package; of the first letters some hold a PDF signed by the minister and sealed, or sealed alone."""
        pen, seal = self.cast.pens[sender.code], self.cast.seals[sender.code]
        worth = {2: "original", 3: "copy"}.get(number % 8) if number < _SEALED else None
        if worth is None:
            return package(edoc, pen=pen, at=now)
        self.tally.signed_inside[worth] += 1
        hands = (self.cast.minister, seal) if worth == "original" else (seal,)
        content = stamped(pdf(words_of(edoc)), by=hands)
        return package(edoc, pen=pen, at=now, files=[attachment(edoc, content=content)])

    def _receivers(self, number: int, sender: Agency) -> list[Agency]:
        """Two others, a different pair for every number."""
        others = [one for one in self.cast.agencies if one != sender]
        first = number * 7 % len(others)
        second = (first + 1 + number % (len(others) - 1)) % len(others)
        return [others[first], others[second]]

    async def _send_to_all_of_hanoi(self) -> None:
        """One document, 636 deliveries, one consignment."""
        sender = self.cast.senders[1]
        now = self.axis.clock.now()
        edoc = letter(self.plan.documents, sender=sender, receivers=self.cast.below_hanoi, at=now)
        body = package(edoc, pen=self.cast.pens[sender.code], at=now)
        answer = await self._submit(sender, body, expected=SubmissionState.ACCEPTED)
        self._accepted(answer)

    async def _send_bad_ones(self) -> None:
        """Each kind of refusal once; one of them is corrected and sent again under the same id."""
        self._steps.say(say("Các trường hợp bị từ chối", "Refusals"))
        hanoi, sender, other = self.cast.senders[0], self.cast.senders[1], self.cast.senders[2]
        now = self.axis.clock.now()
        receiver = self.cast.agencies[3]
        pens = self.cast.pens
        for bad in bad_messages(
            sender=hanoi,
            other=other,
            receiver=receiver,
            pen=pens[hanoi.code],
            other_pen=pens[other.code],
            old_pen=self.cast.old_pen,
            at=now,
        ):
            await self._refused(hanoi, bad.body, reason=bad.reason)
        await self._refused(
            hanoi,
            package(
                letter(1_999, sender=hanoi, receivers=[receiver], at=now), pen=self.cast.revoked_pen, at=now
            ),
            reason=ReasonCode.VERIFY_CERTIFICATE,
        )
        first = letter(2_000, sender=sender, receivers=[receiver], at=now)
        body = package(first, pen=pens[sender.code], at=now)
        wrong = replace(first, receivers=(*first.receivers, letter(1, sender=sender, receivers=[NOWHERE], at=now).receivers[0]))  # fmt: skip
        await self._refused(
            sender, package(wrong, pen=pens[sender.code], at=now), reason=ReasonCode.ROUTE_UNKNOWN_RECEIVER
        )
        self._accepted(await self._submit(sender, body, expected=SubmissionState.ACCEPTED))
        conflict = letter(2_000, sender=sender, receivers=[receiver], at=now, subject="V/v một việc khác")
        await self._refused(
            sender, package(conflict, pen=pens[sender.code], at=now), reason=ReasonCode.RECEIVE_CONFLICT
        )
        stranger = status(StatusCode.ARRIVED, sender=other, answered=first, at=now)
        await self._refused(other, stranger, reason=ReasonCode.ROUTE_NOT_YOUR_DOCUMENT)

    async def _refused(self, agency: Agency, body: bytes, *, reason: ReasonCode) -> None:
        answer = await self._submit(agency, body, expected=SubmissionState.REFUSED)
        if reason not in [cause.code for cause in answer.causes]:
            self.tally.unexpected.append(f"{answer.reason} instead of {reason}: {answer.headline_en}")
        if answer.reason is not None:
            self.tally.refused[answer.reason.value] += 1

    async def _listen(self, agency: Agency, station: Station) -> None:
        """What a station is told of its documents' values, as sender or as receiver."""
        own = self.cast.credentials[agency.code].station
        async with station.events() as events:
            async for told in events:
                event = told.event
                if event is None or event.kind is not EventKind.DOCUMENT_VALUED or event.document is None:
                    continue
                self.tally.values_told[event.document] += 1
                if event.stations[0] == own:
                    self.tally.values[event.document] = str(event.facts["value"])
                self._moved.set()

    # --- receiving ------------------------------------------------------------------------------------------------

    async def _receive(self, agency: Agency, station: Station) -> None:
        """A system that takes every document, says that it has it, and answers with 01 or 03."""
        async with station.receive() as inbox:
            async for document in inbox:
                await self._take(agency, document)

    async def _take(self, agency: Agency, document: Document) -> None:
        if hashlib.sha256(document.body).hexdigest() != document.digest:
            self.tally.unexpected.append(f"{agency.code}: other bytes than were sent")
        message = await document.message()
        if isinstance(message, Edoc) and message.document_id == self._failing:
            await document.fail("ổ đĩa đầy (minh họa)")
            self._failed.set()
            return
        await document.done()
        self._moved.set()
        if document.kind is Kind.STATUS:
            self.tally.statuses += 1
            self._steps.advance()
            return
        self.tally.received |= {one.delivery for one in document.deliveries}
        code = document.deliveries[0].code
        is_late = len(self.tally.received) % 3 == 0
        reply = StatusCode.REGISTERED if is_late else StatusCode.ARRIVED
        answerer = Agency(code=code, name=agency.name)
        assert isinstance(message, Edoc), "a document that is no status is an edoc"
        body = status(reply, sender=answerer, answered=message, at=self.axis.clock.now())
        answer = await self._submit(agency, body, expected=SubmissionState.ACCEPTED)
        self.tally.statuses_sent += answer.state is SubmissionState.ACCEPTED
        self._steps.advance()

    # --- holding and failing --------------------------------------------------------------------------------------

    async def _replay(self, kind: str, items: Sequence[str]) -> None:
        """An operator sends them round again."""
        plan = await self.axis.replayer.plan([(kind, one) for one in items], by=_OPERATOR)
        done = await self.axis.replayer.run(plan, by=_OPERATOR)
        self.tally.replayed += done.done - done.failed_again

    async def _fail_and_replay(self) -> None:
        """A receiver fails to take a document to the end; an operator replays the delivery."""
        self._steps.say(say("Chuyển lỗi và chuyển lại", "Failure and replay"))
        sender, receiver = self.cast.senders[1], self.cast.agencies[-1]
        now = self.axis.clock.now()
        edoc = letter(3_000, sender=sender, receivers=[receiver], at=now)
        self._failing = edoc.document_id
        answer = await self._submit(
            sender, package(edoc, pen=self.cast.pens[sender.code], at=now), expected=SubmissionState.ACCEPTED
        )
        self._accepted(answer)
        assert answer.document is not None, "an accepted letter has an id"
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                where = await self._stations[sender.code].where_is(answer.document)
                if where.deliveries[0].state.value == "failed":
                    break
                self._failed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        await self._failed.wait()
        self._failing = None
        await self._replay("delivery", [where.deliveries[0].delivery])

    async def _until_all_is_taken(self) -> None:
        """Wait until the stations have seen every delivery and every status."""
        self._steps.say(say("Nhận và trả lời", "Receiving and answering"))
        tally = self.tally
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while len(tally.received) < tally.deliveries or tally.statuses < tally.statuses_sent:
                self._moved.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        await self._moved.wait()

    async def _until_all_is_valued(self) -> None:
        """Wait until every sender has been told what its documents are worth."""
        self._steps.say(say("Xét chữ ký trong tệp đính kèm", "Signatures inside attachments"))
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while len(self.tally.values) < self.tally.sent:
                self._moved.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        await self._moved.wait()


# --- the account --------------------------------------------------------------------------------------------------


async def _reconcile(play: _Play) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Compare what the stations saw with what the ledger says, to the unit."""
    tally, axis = play.tally, play.axis
    queries = axis.queries(viewer="demo")
    await queries.settle_counts(numbers=axis.sequencer(holder="demo"))
    counts = await queries.count(CountFilter(), by=By.YEAR)
    totals = Counter[str]()
    for row in counts.rows:
        totals.update({name: int(str(row[name])) for name in _COMPARED})
    # Pending is where it stands at the end of the last period, not a sum over periods.
    totals["pending"] = int(str(counts.rows[-1]["pending"])) if counts.rows else 0
    rows = [dict(row) for row in (await queries.count(CountFilter(), by=By.ORGAN)).rows]
    problems = list(tally.unexpected)
    for name, seen in (
        ("sent", tally.sent),
        ("addressed", tally.deliveries),
        ("received", len(tally.received)),
        ("refused", sum(tally.refused.values())),
        ("failed", 0),
        ("pending", 0),
    ):
        if totals[name] != seen:
            problems.append(f"{name}: the stations saw {seen}, the ledger says {totals[name]}")
    if tally.statuses != tally.statuses_sent:
        problems.append(f"statuses: {tally.statuses_sent} sent, {tally.statuses} received")
    if (tally.held, tally.replayed, tally.duplicates) != (1, 2, 1):
        problems.append(f"held, replayed, duplicates: {tally.held}, {tally.replayed}, {tally.duplicates}")
    due = tally.signed_inside.copy()
    due["reference"] = tally.sent - due.total()
    told = Counter(tally.values.values())
    if told != due:
        problems.append(f"values: {dict(due)} by what was signed, {dict(told)} told")
    checked = await axis.check_ledger()
    problems += [one.en for one in checked.problems[:5]]
    result = {
        "documents_sent": tally.sent,
        "deliveries": tally.deliveries,
        "received": len(tally.received),
        "statuses": tally.statuses,
        "refused": dict(sorted(tally.refused.items())),
        "held": tally.held,
        "replayed": tally.replayed,
        "duplicates": tally.duplicates,
        "values": dict(sorted(Counter(tally.values.values()).items())),
        "receipt_verified": _is_receipt_good(play),
        "reconciled": not problems,
        "problems": problems,
        "stations": len(play.cast.agencies),
        "events": checked.events,
    }
    return result, rows


def _is_receipt_good(play: _Play) -> bool:
    """Offline: nothing but the receipt and the pinned keys."""
    if play.receipt is None or play.receipt.receipt is None:
        return False
    try:
        verify_receipt(play.receipt.receipt, keys=play.axis.keys.trusted)
    except SigningError as problem:
        play.tally.unexpected.append(str(problem))
        return False
    return True


def _show(result: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    busiest = sorted(rows, key=lambda row: -(row["sent"] + row["received"]))[:15]
    print_rows(
        busiest,
        form=Format.TABLE,
        title=say("Văn bản gửi, nhận (15 đơn vị nhiều nhất)", "Sent and received (the 15 busiest)"),
        columns={
            "organ": say("Mã", "Code"),
            "organ_name": say("Đơn vị", "Organ"),
            "sent": say("Gửi", "Sent"),
            "addressed": say("Chuyển đến", "Addressed"),
            "received": say("Đã nhận", "Received"),
            "registered": say("Tiếp nhận", "Registered"),
            "refused": say("Bị từ chối", "Refused"),
        },
    )
    out.print()
    print_rows(
        [{"reason": code, "n": n} for code, n in result["refused"].items()],
        form=Format.TABLE,
        title=say("Trục không tiếp nhận, theo lý do", "Refused, by reason"),
        columns={"reason": say("Lý do", "Reason"), "n": say("Số lần", "Times")},
    )
    out.print()
    good = result["reconciled"] and result["receipt_verified"]
    for label, name in (
        (say("Văn bản gửi", "Documents sent"), "documents_sent"),
        (say("Lượt chuyển", "Deliveries"), "deliveries"),
        (say("Đã nhận", "Received"), "received"),
        (say("Trạng thái trả về", "Statuses returned"), "statuses"),
        (say("Chờ xác minh rồi được nhận", "Held, then accepted"), "held"),
        (say("Chuyển lại", "Replayed"), "replayed"),
        (say("Gửi trùng, không chuyển hai lần", "Duplicates, delivered once"), "duplicates"),
    ):
        tell(f"{label:<36} {result[name]:>7}")
    for label, value in (
        (say("Giá trị như bản gốc", "Worth an original"), "original"),
        (say("Giá trị bản sao", "Worth a copy"), "copy"),
        (say("Để tham khảo", "For reference"), "reference"),
    ):
        tell(f"{label:<36} {result['values'].get(value, 0):>7}")
    yes, no = say("[green]đúng[/]", "[green]yes[/]"), say("[red]SAI[/]", "[red]NO[/]")
    out.print(
        f"{say('Giấy xác nhận kiểm tra ngoại tuyến', 'Receipt verified offline'):<36} {yes if result['receipt_verified'] else no:>7}"
    )
    out.print(
        f"{say('Đối soát khớp đến từng đơn vị', 'Reconciled to the unit'):<36} {yes if good else no:>7}   ({result['elapsed_s']} s)"
    )
    for problem in result["problems"]:
        tell(f"  {problem}", style="red")
