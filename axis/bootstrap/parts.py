"""
An axis from its settings: which database, which keys, which clock.

`open_axis` gives the parts that every process shares; `axis.worker` runs them as `up`, `hub` or `web`, and the command
line uses them one at a time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import func, select

from axis.bootstrap.files import Keys, TrustFiles, check_private_files, open_calendar, open_keys, read_policy
from axis.bootstrap.system import SystemClock, SystemIds, SystemRandomness
from axis.core.directory import VXPSystem
from axis.core.errors import InvalidAct, InvalidQuestion, NotFound, ServiceUnavailable, SettingsError
from axis.core.events import JSON, Event, EventKind, read_record
from axis.core.model import Actor, EventId
from axis.core.ports import Clock, Ids, NotOurs, StationAccounts
from axis.core.retry import DELIVERIES, Backoff
from axis.flow.acts import Acts
from axis.flow.bells import Bells
from axis.flow.bury import Gravedigger
from axis.flow.desk import Desk, DeskLimits
from axis.flow.dispatch import PullKeeper
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
from axis.ledger.migrate import upgrade
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
from signing.errors import SigningError
from signing.note import Checkpoint, epoch_of
from signing.pdf import PdfLimits
from signing.policy import Policy
from signing.receipts import BatchReceiptSigner
from signing.skeleton import Limits

log = structlog.get_logger(__name__)

VAULT_KEY: Final = "secrets.key"
"""What secrets the axis must say again are sealed under; not one of the signing keys."""
HEAD_FILE: Final = "head.note"
"""The newest signed head of the log, kept beside the keys: a database from a backup cannot go back on it."""


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
    policy = read_policy(settings)
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


def _sources(settings: Settings) -> Sources:
    return Sources(
        files=settings.crl_files,
        lists=tuple(one.reveal() for one in settings.crl_urls),
        responders=tuple(one.reveal() for one in settings.ocsp_urls),
    )
