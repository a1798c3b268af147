"""
The one place where parts become an axis: which database, which broker, which keys, which clock.

Everything else takes what it needs as arguments. `open_axis` gives the parts that every process shares; `axis.worker`
runs them as `up`, `hub` or `web`, and the command line uses them one at a time.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import structlog
from sqlalchemy import func, select, text

from axis.broker.admin import StationUsers
from axis.broker.connection import BrokerAddress, Link, TLSFiles
from axis.broker.consumer import Consumer
from axis.broker.management import Management
from axis.broker.migration import Migration, Say
from axis.broker.orphans import Orphaned, orphaned
from axis.broker.publisher import BrokerPublisher
from axis.broker.topology import whole_topology
from axis.broker.undertaker import Undertaker
from axis.core.calendar import Calendar, read_calendar
from axis.core.directory import VXPSystem
from axis.core.errors import InvalidAct, InvalidQuestion, NotFound, ServiceUnavailable, SettingsError
from axis.core.events import JSON, Event, EventKind, read_record
from axis.core.ids import compose
from axis.core.model import Actor, Channel, EventId
from axis.core.ports import Clock, Ids, NotOurs, StationAccounts
from axis.core.retry import DELIVERIES, Backoff
from axis.flow.acts import Acts
from axis.flow.bells import Bells
from axis.flow.bury import Gravedigger
from axis.flow.deadlines import SHIPPED_CALENDAR
from axis.flow.desk import Desk, DeskLimits
from axis.flow.dispatch import Dispatcher, Pace, PullKeeper
from axis.flow.expiry import Ending, ExpiryKeeper, endings
from axis.flow.hold import HoldKeeper, HoldPace
from axis.flow.judges import AttachmentJudge, KeptLists
from axis.flow.overdue import DeadlineKeeper
from axis.flow.pipeline import Pipeline
from axis.flow.quota import Meter, Quota
from axis.flow.receive import World
from axis.flow.recheck import Rechecker
from axis.flow.replay import Replayer
from axis.flow.revocation import RevocationKeeper, RevocationPace, Revocations, Sources
from axis.flow.seal import Seal
from axis.flow.stamp import Timekeeper
from axis.flow.station_acts import StationActs
from axis.flow.value import Valuer, remove_leftovers
from axis.flow.vxp_acts import VXPActs, bound_to
from axis.ledger.blobs import FileBlobs
from axis.ledger.check import CheckResult, Progress, check
from axis.ledger.deadlines import SQLDeadlines
from axis.ledger.directory import SQLDirectories
from axis.ledger.evidence import Exported, SQLEvidence
from axis.ledger.expiry import SQLWarned
from axis.ledger.figures import SQLFigures
from axis.ledger.log import SQLLogView
from axis.ledger.migrate import current, upgrade
from axis.ledger.organ_changes import SQLOrganPages
from axis.ledger.outbox import SQLOutbox
from axis.ledger.people import person_named, read_people
from axis.ledger.queries import Queries
from axis.ledger.retention import Keeper, Retention
from axis.ledger.revocations import SQLRevocations
from axis.ledger.scope import Viewer
from axis.ledger.seals import HistoryBroken, SealFile, begin_epoch
from axis.ledger.sequencer import Sequencer
from axis.ledger.station_view import SQLStationView
from axis.ledger.store import SQLLedger, as_unavailable, open_engine
from axis.ledger.tables import event, pending_leaf, vxp_system
from axis.ledger.timestamps import SQLTimestamps
from axis.ledger.uploads import Spool, SQLUploads
from axis.ledger.valuations import SQLValuations
from axis.ledger.vault import Vault, open_vault
from axis.outside import Outside
from axis.settings import ClosedOrgans, Settings
from signing.certificates import TrustStore
from signing.errors import MaterialError, SigningError
from signing.keys import read_private
from signing.note import Checkpoint, SigningKey, create_key_file, epoch_of, load_key_file
from signing.pdf import PdfLimits
from signing.policy import CURRENT_POLICY, Policy
from signing.receipts import BatchReceiptSigner, TrustedKeys
from signing.skeleton import Limits

log = structlog.get_logger(__name__)

RECEIPT_KEY: Final = "receipts.key"
LOG_KEY: Final = "log.key"
VAULT_KEY: Final = "secrets.key"
"""What secrets the axis must say again are sealed under; not one of the signing keys."""
HEAD_FILE: Final = "head.note"
"""The newest signed head of the log, kept beside the keys: a database from a backup cannot go back on it."""


class SystemClock:
    """Reads the machine's clock: the only thing in the axis that does."""

    def now(self) -> datetime:
        """The time, aware."""
        return datetime.now(UTC)  # noqa: TID251 - this is that one place


class SystemRandomness:
    """The operating system's random source."""

    def take(self, size: int) -> bytes:
        """So many random bytes."""
        return secrets.token_bytes(size)


class SystemIds:
    """Ids from the operating system's random source."""

    def new(self, at: datetime) -> str:
        """A fresh id for the moment `at`."""
        return compose(at=at, randomness=secrets.randbits(80))


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What the axis signs with. Receipts and checkpoints have separate keys."""

    receipts: SigningKey
    log: SigningKey

    @property
    def trusted(self) -> TrustedKeys:
        """The public halves: what stations and auditors pin."""
        return TrustedKeys(receipts=(self.receipts.verifier,), log=(self.log.verifier,))


def open_keys(folder: Path, *, log_name: str, may_create: bool) -> Keys:
    """
    The keys in `folder`; made on the first start of an axis.

    Raises:
        SettingsError: they are missing and may not be made, or somebody else can read them.
    """
    try:
        if may_create:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Keys(
            receipts=_key(folder / RECEIPT_KEY, name=f"{log_name}/receipts", may_create=may_create),
            log=_key(folder / LOG_KEY, name=log_name, may_create=may_create),
        )
    except (SigningError, OSError) as problem:
        raise SettingsError((f"AXIS_KEYS: {problem}",)) from problem


def _key(path: Path, *, name: str, may_create: bool) -> SigningKey:
    if may_create and not path.exists():
        try:
            return create_key_file(path, name=name, seed=secrets.token_bytes(32))
        except MaterialError:
            # Another process of this axis was quicker.
            if not path.exists():
                raise
    return load_key_file(path)


class TrustFiles:
    """The roots in files, read again when a file changes. A file that cannot be read counts as our fault."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._marks: tuple[tuple[int, int], ...] | None = None
        self._store: TrustStore | None = None

    def current(self) -> TrustStore | None:
        """The roots now, or None when there are none that can be read."""
        try:
            marks = tuple((found.st_mtime_ns, found.st_size) for found in map(os.stat, self._paths))
            if marks != self._marks:
                self._store = TrustStore.from_files(*self._paths)
                self._marks = marks
        except (SigningError, OSError) as problem:
            if self._store is not None or self._marks is None:
                log.error("trust.unreadable", problem=str(problem)[:200])  # noqa: TRY400 - a person mends a file
            self._store, self._marks = None, ()
        return self._store


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """All parts of one axis, wired."""

    settings: Settings
    clock: Clock
    ids: Ids
    keys: Keys
    ledger: SQLLedger
    blobs: FileBlobs
    uploads: SQLUploads
    spool: Spool
    directories: SQLDirectories
    outbox: SQLOutbox
    view: SQLStationView
    log: SQLLogView
    figures: SQLFigures
    organ_pages: SQLOrganPages
    bells: Bells
    pipeline: Pipeline
    holds: HoldKeeper
    desk: Desk
    gravedigger: Gravedigger
    replayer: Replayer
    seal: Seal
    policy: Policy
    trust: TrustFiles
    revocations: Revocations
    timestamps: SQLTimestamps
    """Tokens over the log: `covering(index)` is what evidence of a record carries."""

    def sequencer(self, *, holder: str) -> Sequencer:
        """A sequencer under this name; the database lets only one of all of them append."""
        return Sequencer(
            self.ledger,
            clock=self.clock,
            signer=self.keys.log,
            log=self.settings.log_name,
            holder=holder,
            seals=SealFile(self.settings.keys / HEAD_FILE),
        )

    def acts(self, *, accounts: StationAccounts | None = None) -> Acts:
        """What people may change; with `accounts` the stations' users at the broker follow."""
        return Acts(
            ledger=self.ledger,
            directories=self.directories,
            clock=self.clock,
            ids=self.ids,
            randomness=SystemRandomness(),
            accounts=accounts,
        )

    def vxp_acts(self) -> VXPActs:
        """
        What people may change about the systems of the VXP interface.

        Raises:
            SettingsError: the key file of sealed secrets cannot be used.
        """
        return VXPActs(self.acts(), vault=self._vault(), randomness=SystemRandomness())

    def station_acts(self) -> StationActs:
        """What a station itself may change of the directory."""
        return StationActs(self.acts())

    async def vxp_secret(self, system: VXPSystem) -> bytes | None:
        """
        The secret shared with a system of the VXP interface; None when it was sealed under another key file.

        Raises:
            ServiceUnavailable: the database does not answer.
            SettingsError: the key file cannot be used.
        """
        query = select(vxp_system.c.secret).where(vxp_system.c.id == system.id)
        for _ in range(2):
            async with self.ledger.reading() as connection:
                sealed = (await connection.execute(query)).scalar()
            # The key may have been renewed between the row and the file: then both are other ones a moment later.
            with suppress(NotOurs):
                return self._vault().unseal(sealed or "", bound_to=bound_to(system))
        log.error("vxp.sealed_elsewhere", system=system.id)
        return None

    def _vault(self) -> Vault:
        return open_vault(self.settings.keys / VAULT_KEY, randomness=SystemRandomness(), may_create=True)

    def deadline_keeper(self) -> DeadlineKeeper:
        """Records what has passed its deadline in silence; any number may run."""
        return DeadlineKeeper(
            deadlines=SQLDeadlines(self.ledger),
            ledger=self.ledger,
            clock=self.clock,
            ids=self.ids,
            bells=self.bells,
        )

    def queries(self, *, viewer: str) -> Queries:
        """What may be asked about the whole axis; every question is recorded with this name."""
        return self._queries(Viewer(name=viewer))

    async def queries_of(self, name: str) -> Queries:
        """
        What the person with this name may ask, by the file of people; without one, everything.

        Raises:
            NotAllowed: the name does not stand in it.
            SettingsError: it cannot be read, or names an organ that is not there.
        """
        if self.settings.people is None:
            return self.queries(viewer=name)
        person = person_named(read_people(self.settings.people), name)
        if person.organ is None:
            return self._queries(Viewer(name=name, role=person.role))
        try:
            tree = await self.queries(viewer=name).organ(person.organ)
        except (NotFound, InvalidQuestion) as problem:
            raise SettingsError((f"AXIS_PEOPLE: {name}: {problem}",)) from problem
        return self._queries(Viewer(name=name, tree=tree, role=person.role))

    def _queries(self, viewer: Viewer) -> Queries:
        return Queries(self.ledger, viewer=viewer, clock=self.clock, ids=self.ids)

    def valuer(self) -> Valuer:
        """Judges what documents are worth, with processes of its own, which `run` starts and stops."""
        settings = self.settings
        trust = TrustFiles(settings.attachment_trust or settings.trust)
        limits = PdfLimits(seconds=float(settings.judge_seconds), memory_mb=settings.judge_megabytes)
        lists = KeptLists(
            shelf=SQLRevocations(self.ledger),
            blobs=self.blobs,
            clock=self.clock,
            are_configured=self.revocations.sources.are_configured,
        )
        return Valuer(
            judges=[
                AttachmentJudge(trust=trust.current, lists=lists.current, limits=limits, policy=self.policy)
                for _ in range(settings.judges)
            ],
            ledger=self.ledger,
            valuations=SQLValuations(self.ledger),
            blobs=self.blobs,
            directories=self.directories,
            clock=self.clock,
            ids=self.ids,
            bells=self.bells,
            folder=settings.blobs,
            limits=Limits(message_bytes=settings.max_message_bytes),
            policy=self.policy,
        )

    async def tidy(self) -> None:
        """
        Remove what was begun and left: unfinished uploads, rights to submit by digest, files a crash left behind.

        Raises:
            ServiceUnavailable: some other time.
        """
        now = self.clock.now()
        await self.spool.expire(before=now - timedelta(hours=24))
        await self.uploads.forget(before=now - timedelta(hours=24))
        await self.blobs.sweep(before=now - timedelta(hours=1))
        await remove_leftovers(self.settings.blobs, before=now - timedelta(hours=1))

    async def announce_keys(self) -> None:
        """
        Record the public keys this axis signs with, when the ledger does not name them yet (design section 9).

        Raises:
            ServiceUnavailable: not recorded for certain; recorded twice, it says the same twice.
        """
        keys: list[JSON] = [one.text for one in (self.keys.receipts.verifier, self.keys.log.verifier)]
        newest = (
            select(event.c.record)
            .where(event.c.kind == EventKind.KEYS_CHANGED.value)
            .order_by(event.c.at.desc(), event.c.id.desc())
            .limit(1)
        )
        async with self.ledger.reading() as connection:
            record = (await connection.execute(newest)).scalar()
        before: JSON = read_record(bytes(record)).facts["after"] if record is not None else []
        if before == keys:
            return
        at = self.clock.now()
        async with self.ledger.transaction() as tx:
            await tx.append(
                [
                    Event(
                        id=EventId(self.ids.new(at)),
                        kind=EventKind.KEYS_CHANGED,
                        at=at,
                        by=Actor(axis="start"),
                        facts={"before": before, "after": keys},
                    )
                ]
            )

    async def announce_policy(self) -> None:
        """
        Record which signature policy is in force, when the ledger does not say so yet; its text is kept.

        Raises:
            ServiceUnavailable: not recorded for certain; recorded twice, it says the same twice.
        """
        text_of = self.policy.text.encode()
        (digest,) = await self.blobs.put([text_of])
        after: JSON = {"version": self.policy.version, "digest": digest}
        newest = (
            select(event.c.record)
            .where(event.c.kind == EventKind.POLICY_CHANGED.value)
            .order_by(event.c.at.desc(), event.c.id.desc())
            .limit(1)
        )
        async with self.ledger.reading() as connection:
            record = (await connection.execute(newest)).scalar()
        before: JSON = read_record(bytes(record)).facts["after"] if record is not None else None
        if before == after:
            return
        at = self.clock.now()
        async with self.ledger.transaction() as tx:
            await tx.append(
                [
                    Event(
                        id=EventId(self.ids.new(at)),
                        kind=EventKind.POLICY_CHANGED,
                        at=at,
                        by=Actor(axis="start"),
                        facts={"before": before, "after": after},
                    )
                ]
            )

    def expiry_keeper(self) -> ExpiryKeeper:
        """Warns of bound certificates that end soon."""
        return ExpiryKeeper(
            ledger=self.ledger,
            directories=self.directories,
            warned=SQLWarned(self.ledger),
            clock=self.clock,
            ids=self.ids,
        )

    async def endings(self) -> list[Ending]:
        """Bound certificates that end soon, and nothing follows them."""
        return endings(await self.directories.current(), at=self.clock.now())

    def revocation_keeper(self, *, pace: RevocationPace | None = None) -> RevocationKeeper:
        """Keeps lists and responses fresh, and tells of documents what they change."""
        shelf = SQLRevocations(self.ledger)
        return RevocationKeeper(
            revocations=self.revocations,
            shelf=shelf,
            blobs=self.blobs,
            fetcher=Outside(),
            concerned=Rechecker(
                ledger=self.ledger, blobs=self.blobs, shelf=shelf, clock=self.clock, ids=self.ids
            ),
            world=self.pipeline.world,
            clock=self.clock,
            ids=self.ids,
            pace=pace,
        )

    def timekeeper(self, *, turn_seconds: float = 1.0) -> Timekeeper | None:
        """
        Asks for timestamps of the log; None where no authority is configured.

        Raises:
            SettingsError: the roots of the authority cannot be read.
        """
        settings = self.settings
        if settings.tsa_url is None:
            return None
        try:
            trust = TrustStore.from_files(*(settings.tsa_trust or settings.trust))
        except SigningError as problem:
            raise SettingsError((f"AXIS_TSA_TRUST: {problem}",)) from problem
        return Timekeeper(
            url=settings.tsa_url.reveal(),
            trust=trust,
            every=timedelta(seconds=settings.tsa_seconds),
            checkpoints=self.timestamps,
            authority=Outside(),
            ledger=self.ledger,
            blobs=self.blobs,
            clock=self.clock,
            ids=self.ids,
            policy=self.policy,
            revocation=self.revocations.index if self.revocations.sources.are_configured else None,
            turn_seconds=turn_seconds,
        )

    async def unnumbered(self) -> int:
        """How many events wait for the sequencer."""
        query = select(func.count()).select_from(pending_leaf)
        async with self.ledger.reading() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def evidence_of(self, queries: Queries, document: str, *, organ: str | None = None) -> Exported:
        """
        The evidence of a document that whoever asks may see, as a bundle; for one receiving organ or for all.

        Raises:
            NotFound: there is none, it was not sent to that organ, or no checkpoint covers it yet.
            Ambiguous: the DocumentId fits several.
            InvalidQuestion: whoever asks sees some receivers only, and named none.
        """
        maker = SQLEvidence(
            self.ledger,
            blobs=self.blobs,
            timestamps=self.timestamps,
            keys=self.keys.trusted,
            policy=self.policy,
        )
        return await maker.export(await queries.show(document), organ=organ)

    def keeper(self) -> Keeper:
        """Lets payloads go when their time has come."""
        return Keeper(
            self.ledger,
            blobs=self.blobs,
            policy=Retention(
                delivered=timedelta(days=self.settings.payload_days),
                refused=timedelta(days=self.settings.refused_days),
                refused_octets=self.settings.refused_bytes,
            ),
            clock=self.clock,
            ids=self.ids,
        )

    async def new_epoch(self, *, person: str, reason: str) -> tuple[Event, Checkpoint]:
        """
        Say in public that the log goes on from an older copy of the database; the record, and the head signed over it.

        Raises:
            InvalidAct: the log continues everything that was signed, so there is nothing to say; or no reason is given.
            HistoryBroken: the log is not whole in itself: that is no older copy, and no statement mends it.
        """
        if not reason.strip():
            raise InvalidAct(("a new epoch needs a reason: what happened to the database",))
        numbers = self.sequencer(holder="new-epoch")
        try:
            await numbers.examine()
        except HistoryBroken as broken:
            if broken.signed is None:
                raise
            lost = broken.signed
        else:
            raise InvalidAct(("the log continues every head that was signed; there is nothing to say",))
        if not await numbers.may_number():
            raise ServiceUnavailable("sequencer", "another process numbers this log; stop it first")
        # An epoch is told by what was signed in it, so one that was signed already is not begun again.
        after = epoch_of(lost.origin, log=self.settings.log_name)
        while True:
            event = await begin_epoch(
                self.ledger, person=person, reason=reason, lost=lost, clock=self.clock, ids=self.ids
            )
            while await numbers.turn():
                pass
            if int(str(event.facts["epoch"])) > after:
                break
        await numbers.examine()
        signed = await numbers.sign_head()
        if signed is None:
            raise ServiceUnavailable("sequencer", "another one signs heads of this log")
        return event, signed

    async def check_ledger(self, *, progress: Progress | None = None) -> CheckResult:
        """Recompute the whole ledger from its records."""
        return await check(self.ledger, keys=[self.keys.log.verifier], progress=progress)

    def pull_keeper(self, *, everybody_pulls: bool) -> PullKeeper:
        """Offers again what pulling stations listed and never settled."""
        return PullKeeper(
            ledger=self.ledger,
            outbox=self.outbox,
            directories=self.directories,
            clock=self.clock,
            ids=self.ids,
            bells=self.bells,
            everybody_pulls=everybody_pulls,
        )


@asynccontextmanager
async def open_axis(
    settings: Settings,
    *,
    clock: Clock | None = None,
    ids: Ids | None = None,
    may_create: bool = False,
    failures: Backoff = DELIVERIES,
) -> AsyncIterator[Axis]:
    """
    Open the ledger and everything around it; close it at the end.

    With `may_create` the database is migrated and missing folders and keys are made; without it they must be there.
    `failures` is the schedule for what a station failed to take.

    Raises:
        SettingsError: something needed is missing, with what to do about it.
        ServiceUnavailable: the database does not answer.
    """
    clock = clock or SystemClock()
    ids = ids or SystemIds()
    _check_home(settings, may_create=may_create)
    check_private_files(settings)
    keys = open_keys(settings.keys, log_name=settings.log_name, may_create=may_create)
    async with AsyncExitStack() as stack:
        engine = open_engine(settings.database_url.reveal())
        stack.push_async_callback(engine.dispose)
        if may_create:
            with as_unavailable():
                await upgrade(engine, year=clock.now().year)
        ledger = SQLLedger(engine)
        yield _wire(settings, ledger=ledger, keys=keys, clock=clock, ids=ids, failures=failures)


def open_calendar(settings: Settings) -> Calendar:
    """
    The working days that come with the axis, and those of the operator's file.

    Raises:
        SettingsError: the file cannot be read or makes no sense.
    """
    if settings.calendar is None:
        return SHIPPED_CALENDAR
    try:
        return read_calendar(settings.calendar.read_text("utf-8"), base=SHIPPED_CALENDAR)
    except (OSError, ValueError) as problem:
        raise SettingsError((f"AXIS_CALENDAR: {settings.calendar}: {problem}",)) from problem


def check_private_files(settings: Settings) -> None:
    """
    Make sure that nobody but its owner may read a private key of the settings.

    Raises:
        SettingsError: somebody may, or one cannot be read.
    """
    problems = []
    for name, path in (("AXIS_HTTP_KEY", settings.http_key), ("AXIS_BROKER_KEY", settings.broker_key)):
        try:
            if path is not None:
                read_private(path)
        except MaterialError as problem:
            problems.append(f"{name}: {problem}")
    if problems:
        raise SettingsError(tuple(problems))


def _check_home(settings: Settings, *, may_create: bool) -> None:
    if may_create:
        for folder in (settings.home, settings.blobs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    elif not settings.is_postgresql and not settings.home.is_dir():
        raise SettingsError((f"AXIS_HOME: {settings.home} does not exist; `axis up` makes one",))


def _wire(
    settings: Settings, *, ledger: SQLLedger, keys: Keys, clock: Clock, ids: Ids, failures: Backoff
) -> Axis:
    blobs = FileBlobs(settings.blobs)
    uploads = SQLUploads(ledger, clock=clock)
    directories = SQLDirectories(ledger)
    outbox = SQLOutbox(ledger)
    view = SQLStationView(ledger)
    log_view = SQLLogView(ledger)
    seal = Seal(BatchReceiptSigner(keys.receipts))
    bells = Bells()
    trust = TrustFiles(settings.trust)
    policy = _policy(settings)
    limits = Limits(message_bytes=settings.max_message_bytes)
    revocations = Revocations(
        sources=_sources(settings),
        shelf=SQLRevocations(ledger),
        blobs=blobs,
        clock=clock,
        trust=trust.current,
        policy=policy,
    )

    async def world() -> World:
        return World(
            directory=await directories.current(),
            trust=trust.current(),
            policy=policy,
            revocation=await revocations.current(),
            limits=limits,
            forwards_closed=settings.closed_organs is ClosedOrgans.FORWARD,
        )

    quota = Quota(
        messages=settings.quota_messages,
        octets=settings.quota_bytes,
        period=timedelta(seconds=settings.quota_seconds),
    )
    pipeline = Pipeline(
        meter=Meter(quota),
        ledger=ledger,
        blobs=blobs,
        uploads=uploads,
        signer=seal,
        clock=clock,
        ids=ids,
        bells=bells,
        world=world,
        calendar=open_calendar(settings),
    )
    holds = HoldKeeper(
        pipeline=pipeline,
        ledger=ledger,
        outbox=outbox,
        blobs=blobs,
        directories=directories,
        clock=clock,
        bells=bells,
        pace=HoldPace(longest=timedelta(hours=settings.hold_hours)),
    )
    desk = Desk(
        pipeline=pipeline,
        ledger=ledger,
        view=view,
        log=log_view,
        outbox=outbox,
        blobs=blobs,
        directories=directories,
        signer=seal,
        clock=clock,
        ids=ids,
        bells=bells,
        limits=DeskLimits(failures=failures, poll_seconds=5.0 if settings.is_embedded else 1.0),
    )
    return Axis(
        settings=settings,
        clock=clock,
        ids=ids,
        keys=keys,
        ledger=ledger,
        blobs=blobs,
        uploads=uploads,
        spool=Spool(settings.blobs / "spool"),
        directories=directories,
        outbox=outbox,
        view=view,
        log=log_view,
        figures=SQLFigures(ledger),
        organ_pages=SQLOrganPages(ledger),
        bells=bells,
        pipeline=pipeline,
        holds=holds,
        desk=desk,
        gravedigger=Gravedigger(
            ledger=ledger, blobs=blobs, directories=directories, clock=clock, ids=ids, bells=bells
        ),
        replayer=Replayer(
            pipeline=pipeline,
            holds=holds,
            ledger=ledger,
            blobs=blobs,
            directories=directories,
            clock=clock,
            ids=ids,
            bells=bells,
        ),
        seal=seal,
        policy=policy,
        trust=trust,
        revocations=revocations,
        timestamps=SQLTimestamps(ledger, blobs),
    )


def _policy(settings: Settings) -> Policy:
    if settings.policy is None:
        return CURRENT_POLICY
    try:
        return Policy.from_file(settings.policy)
    except MaterialError as problem:
        raise SettingsError((f"AXIS_POLICY: {problem}",)) from problem


def _sources(settings: Settings) -> Sources:
    return Sources(
        files=settings.crl_files,
        lists=tuple(one.reveal() for one in settings.crl_urls),
        responders=tuple(one.reveal() for one in settings.ocsp_urls),
    )


def broker_address(settings: Settings) -> BrokerAddress:
    """
    Where the broker is and who we are there.

    Raises:
        SettingsError: no broker is configured.
    """
    if settings.is_embedded:
        raise SettingsError(("AXIS_BROKER_URL: required for this command",))
    tls = None
    if settings.broker_ca is not None:
        tls = TLSFiles(ca=settings.broker_ca, certificate=settings.broker_cert, key=settings.broker_key)
    return BrokerAddress(
        urls=tuple(one.reveal() for one in settings.broker_urls),
        tls=tls,
        external=settings.broker_external,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerParts:
    """What a hub does with the broker."""

    publisher: BrokerPublisher
    consumer: Consumer
    dispatcher: Dispatcher
    undertaker: Undertaker


@asynccontextmanager
async def open_broker(axis: Axis) -> AsyncIterator[BrokerParts]:
    """
    Everything between an axis and its broker; the hub's exchanges and queues are declared.

    Raises:
        SettingsError: no broker is configured.
        TopologyDiffers: run `axis broker plan`.
        ServiceUnavailable: the broker does not answer.
    """
    address = broker_address(axis.settings)
    async with BrokerPublisher(address, clock=axis.clock) as publisher:
        await publisher.declare_hub()
        yield BrokerParts(
            publisher=publisher,
            consumer=Consumer(
                address,
                desk=axis.desk,
                publisher=publisher,
                clock=axis.clock,
                ids=axis.ids,
                ignore=axis.desk.ignore,
                declare_station=publisher.declare_station,
            ),
            dispatcher=Dispatcher(
                ledger=axis.ledger,
                outbox=axis.outbox,
                blobs=axis.blobs,
                publisher=publisher,
                declare=publisher.declare_station,
                depth=publisher.depth,
                directories=axis.directories,
                clock=axis.clock,
                ids=axis.ids,
                bells=axis.bells,
                pace=Pace(unsettled=timedelta(seconds=axis.settings.reoffer_seconds)),
            ),
            undertaker=Undertaker(address, bury=axis.gravedigger.bury, clock=axis.clock),
        )


@asynccontextmanager
async def open_accounts(settings: Settings) -> AsyncIterator[StationAccounts | None]:
    """
    The stations' users at the broker; None for an embedded axis, which has no broker.

    Raises:
        SettingsError: there is a broker, and its management interface is not configured.
    """
    if settings.is_embedded:
        yield None
        return
    own_user = unquote(urlsplit(settings.broker_urls[0].reveal()).username or "")
    async with _management(settings) as management:
        yield StationUsers(management, reserved=(own_user,) if own_user else ())


@asynccontextmanager
async def _management(settings: Settings) -> AsyncIterator[Management]:
    if settings.broker_management_url is None:
        raise SettingsError(("AXIS_BROKER_MANAGEMENT_URL: required for this command",))
    path = urlsplit(settings.broker_urls[0].reveal()).path
    async with Management(
        settings.broker_management_url.reveal(),
        vhost=unquote(path.removeprefix("/")) or "/",
        ca=settings.broker_ca,
    ) as management:
        yield management


# --- looking, for `axis doctor` ---------------------------------------------------------------------------------


async def look_at_database(settings: Settings) -> tuple[str | None, str | None]:
    """
    The revision the database has, and the one this version needs.

    Raises:
        ServiceUnavailable: it does not answer.
    """
    if not settings.is_postgresql and not settings.home.is_dir():
        return None, "?"
    engine = open_engine(settings.database_url.reveal(), pool_size=1)
    try:
        with as_unavailable():
            return await current(engine)
    finally:
        await engine.dispose()


async def look_at_durability(settings: Settings) -> str | None:
    """
    Why a commit of this database could be lost, or None when it cannot.

    Raises:
        ServiceUnavailable: it does not answer.
    """
    if not settings.is_postgresql:
        return None
    engine = open_engine(settings.database_url.reveal(), pool_size=1)
    try:
        with as_unavailable():
            async with engine.connect() as connection:
                values = {
                    name: str((await connection.execute(text(f"SHOW {name}"))).scalar())
                    for name in (
                        "fsync",
                        "full_page_writes",
                        "synchronous_commit",
                        "synchronous_standby_names",
                    )
                }
                replicas = await connection.execute(text("SELECT count(*) FROM pg_stat_replication"))
                has_replicas = bool(replicas.scalar())
    finally:
        await engine.dispose()
    for name in ("fsync", "full_page_writes"):
        if values[name] != "on":
            return f"{name} = {values[name]}"
    if values["synchronous_commit"] not in {"on", "remote_apply", "remote_write"}:
        return f"synchronous_commit = {values['synchronous_commit']}"
    if has_replicas and not values["synchronous_standby_names"]:
        return "replicas, and synchronous_standby_names is empty"
    return None


async def look_at_broker(settings: Settings) -> str:
    """
    Log in and tell the broker's version.

    Raises:
        ServiceUnavailable: it does not answer.
    """
    link = Link(broker_address(settings), name="axis doctor")
    try:
        await (await link.open_channel()).close()
        return link.version
    finally:
        await link.close()


async def look_for_orphans(settings: Settings) -> list[Orphaned]:
    """
    Queues whose messages lie with a consumer that is gone.

    Raises:
        SettingsError: broker or management interface is not configured.
        ServiceUnavailable: it does not answer.
        ManagementRefused: its user may not look.
    """
    async with _management(settings) as management:
        return await orphaned(management)


# --- the broker's topology, for `axis broker` -------------------------------------------------------------------


async def plan_topology(settings: Settings, *, say: Say) -> list[dict[str, str]]:
    """
    What differs between the broker and this version's topology; empty when nothing does.

    Raises:
        SettingsError: broker or management interface is not configured.
        ServiceUnavailable: one of them does not answer.
    """
    async with _migration(settings) as migration:
        return [one.row(say) for one in await migration.plan()]


async def apply_topology(
    settings: Settings, *, progress: Callable[[str], None], say: Say
) -> list[dict[str, str]]:
    """
    Bring the broker to this version's topology without losing a message; returns what differed.

    Raises:
        SettingsError: broker or management interface is not configured.
        MoveBlocked: a client has messages in hand and does not acknowledge them.
        ServiceUnavailable: one of them does not answer.
    """
    async with _migration(settings) as migration:
        return [one.row(say) for one in await migration.apply(progress=progress, say=say)]


@asynccontextmanager
async def _migration(settings: Settings) -> AsyncIterator[Migration]:
    address = broker_address(settings)
    async with open_axis(settings) as axis, _management(settings) as management:
        stations = (await axis.directories.current()).stations.values()
        topology = whole_topology(
            (one.id, one.secret) for one in stations if one.channel is Channel.AMQP and one.secret
        )
        yield Migration(management, address, topology=topology, randomness=SystemRandomness())
