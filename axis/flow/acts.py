"""
What people change: organs, stations, delegations, certificates, releases. Nothing else of the axis changes these.

Every act is one transaction that raises the directory's version and leaves its event: who, why, before, after. The
decision is made on a snapshot and holds only if the version is still the one it was made on; otherwise it is made anew,
so that two people at once cannot overwrite what neither has seen.

Stations have an account at the broker as well. What an act gives is prepared at the broker first and becomes true by
the commit; what it takes away is taken in the ledger first: at every moment the ledger, which decides about every
message, is the stricter of the two. An act that was cut off in between is mended by the same act again:

    add       broker, ledger    cut off: a user nobody has the password of, whose messages nobody takes; add again
    resume    broker, ledger    cut off: still suspended; resume again
    rotate    broker, ledger    cut off: the old key holds over HTTP only, the new one nobody has; rotate again
    suspend   ledger, broker    cut off: messages are refused, the inbox can still be read; suspend again
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Generic, TypeVar

from axis.core.credentials import (
    KEY_BYTES,
    QUEUE_SECRET_BYTES,
    STATION_ID,
    Credential,
    hash_of_key,
    key_of,
    queue_secret_of,
)
from axis.core.directory import BoundCertificate, Delegation, Directory, Organ, Station, are_two
from axis.core.errors import InvalidAct, NotFound, ServiceUnavailable
from axis.core.events import JSON, Event, EventKind
from axis.core.model import (
    Actor,
    Channel,
    Digest,
    EventId,
    OrganNumber,
    SignaturePolicy,
    StationId,
    StationState,
    iso,
)
from axis.core.ports import (
    Clock,
    Directories,
    Ids,
    Ledger,
    Randomness,
    StationAccounts,
    Transaction,
)
from axis.edxml.message import PriorityScale
from axis.edxml.organ_code import normal
from axis.edxml.text import same_text
from axis.flow.nearest import nearest
from axis.flow.organ_import import Defect, OrganChange, OrganRow, plan_import
from signing.certificates import CertificateFacts, certificates_from_pem, read_certificate
from signing.errors import MaterialError

MOST_CHANGES: Final = 1_000
"""Most organs in one event: a larger import is several events of one transaction."""
MOST_INLINE_BYTES: Final = 8 * 1024 * 1024
MOST_WINDOW: Final = 100_000
LONGEST_REASON: Final = 500
LONGEST_PERSON: Final = 80
LONGEST_NAME: Final = 200
_MOST_CERTIFICATE_BYTES: Final = 64 * 1024
_TRIES: Final = 20

_R = TypeVar("_R")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewStation:
    """A station to be added."""

    id: StationId
    name: str
    organs: tuple[str, ...] = ()
    """Codes of the organs it speaks for, each with everything below it."""
    channel: Channel = Channel.AMQP
    policy: SignaturePolicy = SignaturePolicy.REQUIRED
    inline_bytes: int = 256 * 1024
    window: int = 1_000
    refuses_unpassed: bool = False
    is_platform: bool = False
    priority_scale: PriorityScale = PriorityScale.ZERO_TO_FOUR
    acts_for: frozenset[StationId] = frozenset()
    """Stations a central gateway may act as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What loading a list of organs did, or would do."""

    rows: int
    added: int
    changed: int
    unchanged: int
    defects: tuple[Defect, ...]
    version: int | None
    """The directory's version after it; None when nothing was recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """How far a digest is released from a secrecy hit."""

    persons: tuple[str, ...]
    in_force: bool
    """Two people released it: it travels when it is sent again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision(Generic[_R]):
    """What an act comes to on one snapshot: events' facts, and what else belongs into the transaction."""

    facts: Sequence[tuple[EventKind, Mapping[str, JSON]]]
    result: _R
    first: Callable[[], Awaitable[None]] | None = None
    """Done before anything is written, and nothing is when it fails: the broker's part of giving."""
    within: Callable[[Transaction], Awaitable[None]] | None = None
    """Written in the same transaction, behind the events."""


class Acts:
    """The acts of people. `by` is a person with a reason: an act without either is refused."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        directories: Directories,
        clock: Clock,
        ids: Ids,
        randomness: Randomness,
        accounts: StationAccounts | None = None,
    ) -> None:
        """Without `accounts` there is no broker: stations come over HTTP only."""
        self._ledger = ledger
        self._directories = directories
        self._clock = clock
        self._ids = ids
        self._randomness = randomness
        self._accounts = accounts

    # --- organs ---------------------------------------------------------------------------------------------------

    async def import_organs(
        self,
        rows: Iterable[OrganRow],
        *,
        by: Actor,
        defects: Sequence[Defect] = (),
        dry_run: bool = False,
        partial: bool = False,
        with_assumed: bool = False,
        other_forms: bool = False,
        source: str = "",
    ) -> ImportReport:
        """
        Load a list of organs; `defects` are those found when it was read, `source` is its name.

        With `dry_run` nothing is recorded. With `partial` rows that cannot be loaded are left out.

        Raises:
            InvalidAct: rows cannot be loaded, and `partial` was not asked for; all of them are listed.
        """
        listed = list(rows)

        def decide(directory: Directory, at: datetime) -> Decision[ImportReport]:
            plan = plan_import(
                listed, directory=directory, at=at, with_assumed=with_assumed, other_forms=other_forms
            )
            every = (*defects, *plan.defects)
            hindrances = tuple(one.en for one in every if not one.is_harmless)
            if hindrances and not partial and not dry_run:
                raise InvalidAct(hindrances)
            added = sum(one.before is None for one in plan.changes)
            report = ImportReport(
                rows=plan.rows,
                added=added,
                changed=len(plan.changes) - added,
                unchanged=plan.unchanged,
                defects=every,
                version=directory.version + 1 if plan.changes and not dry_run else None,
            )
            facts = () if dry_run else tuple(organs_facts(plan.changes, source=source))
            return Decision(facts=facts, result=report)

        return await self.act(by, decide, reason_needed=not dry_run)

    # --- stations -------------------------------------------------------------------------------------------------

    async def add_station(self, wanted: NewStation, *, by: Actor) -> Credential:
        """
        Add a station that speaks for some organs. Its credential is returned here and never again.

        Raises:
            InvalidAct: the name is taken, or what was asked for makes no sense.
            ServiceUnavailable: broker or database did not take it; the same act again mends what was begun.
        """
        credential = Credential(
            station=wanted.id,
            key=key_of(wanted.id, randomness=self._randomness.take(KEY_BYTES)),
            queue_secret=queue_secret_of(self._randomness.take(QUEUE_SECRET_BYTES)),
        )

        def decide(directory: Directory, at: datetime) -> Decision[Credential]:
            station = Station(
                id=wanted.id,
                name=same_text(wanted.name),
                state=StationState.ACTIVE,
                channel=wanted.channel,
                policy=wanted.policy,
                inline_bytes=wanted.inline_bytes,
                window=wanted.window,
                secret="",
                refuses_unpassed=wanted.refuses_unpassed,
                is_platform=wanted.is_platform,
                priority_scale=wanted.priority_scale.value,
                acts_for=wanted.acts_for,
            )
            problems = _problems_of(station, directory)
            if STATION_ID.match(wanted.id) is None:
                problems.append(f"{wanted.id[:40]!r}: 2 to 31 of a-z, 0-9 and -, not beginning with -")
            elif wanted.id in directory.stations:
                problems.append(
                    f"{wanted.id}: there is such a station; `axis station rotate` gives it a new credential"
                )
            changes = _delegations(
                directory, wanted.id, wanted.organs, subtree=True, begin=at, end=None, problems=problems
            )
            if problems:
                raise InvalidAct(tuple(problems))
            facts: list[tuple[EventKind, Mapping[str, JSON]]] = [
                (EventKind.STATION_CHANGED, {"before": None, "after": station_facts(station)})
            ]
            if changes:
                facts.append((EventKind.DELEGATION_CHANGED, {"changes": changes}))
            return Decision(
                facts=facts,
                result=credential,
                first=self._at_broker(
                    lambda accounts: accounts.add(
                        wanted.id, secret=credential.queue_secret, password=credential.password
                    )
                ),
                within=_keep(credential, queue_secret=True),
            )

        return await self.act(by, decide)

    async def set_station(
        self,
        station: StationId,
        *,
        by: Actor,
        name: str | None = None,
        channel: Channel | None = None,
        policy: SignaturePolicy | None = None,
        inline_bytes: int | None = None,
        window: int | None = None,
        refuses_unpassed: bool | None = None,
        is_platform: bool | None = None,
        priority_scale: PriorityScale | None = None,
        acts_for: frozenset[StationId] | None = None,
    ) -> Station:
        """
        Change what a station is and may do; None leaves a thing as it is. Returns the station as it is now.

        Raises:
            NotFound: there is no such station.
            InvalidAct: what was asked for makes no sense.
        """

        def decide(directory: Directory, _: datetime) -> Decision[Station]:
            before = _station(directory, station)
            after = replace(
                before,
                name=before.name if name is None else same_text(name),
                channel=channel or before.channel,
                policy=policy or before.policy,
                inline_bytes=before.inline_bytes if inline_bytes is None else inline_bytes,
                window=before.window if window is None else window,
                refuses_unpassed=before.refuses_unpassed if refuses_unpassed is None else refuses_unpassed,
                is_platform=before.is_platform if is_platform is None else is_platform,
                priority_scale=before.priority_scale if priority_scale is None else priority_scale.value,
                acts_for=before.acts_for if acts_for is None else acts_for,
            )
            if problems := _problems_of(after, directory):
                raise InvalidAct(tuple(problems))
            return Decision(facts=_changed(before, after), result=after)

        return await self.act(by, decide)

    async def suspend_station(self, station: StationId, *, by: Actor) -> Station:
        """
        Refuse what the station sends from now on, and close its connections. Its deliveries wait.

        Raises:
            NotFound: there is no such station.
            ServiceUnavailable: recorded, as the ledger says; its account at the broker may still be open. Again.
        """

        def decide(directory: Directory, _: datetime) -> Decision[Station]:
            before = _station(directory, station)
            after = replace(before, state=StationState.SUSPENDED)
            return Decision(facts=_changed(before, after), result=after)

        after = await self.act(by, decide)
        if self._accounts is not None:
            await self._accounts.suspend(station, secret=after.secret)
        return after

    async def resume_station(self, station: StationId, *, by: Actor) -> Station:
        """
        Take again what the station sends.

        Raises:
            NotFound: there is no such station.
            ServiceUnavailable: not recorded for certain. Again.
        """

        def decide(directory: Directory, _: datetime) -> Decision[Station]:
            before = _station(directory, station)
            after = replace(before, state=StationState.ACTIVE)
            return Decision(
                facts=_changed(before, after),
                result=after,
                first=self._at_broker(lambda accounts: accounts.resume(station, secret=before.secret)),
            )

        return await self.act(by, decide)

    async def rotate_station(self, station: StationId, *, by: Actor) -> Credential:
        """
        Give the station a new credential, returned here and never again; the old one is worth nothing any more.

        Its queues keep their names: whoever had the old credential alone cannot read them without an account.

        Raises:
            NotFound: there is no such station.
            ServiceUnavailable: not recorded for certain. Again.
        """
        key = key_of(station, randomness=self._randomness.take(KEY_BYTES))

        def decide(directory: Directory, _: datetime) -> Decision[Credential]:
            found = _station(directory, station)
            credential = Credential(station=station, key=key, queue_secret=found.secret)
            said = station_facts(found)
            return Decision(
                facts=[(EventKind.STATION_CHANGED, {"before": said, "after": said, "rotated": ["key"]})],
                result=credential,
                first=self._at_broker(
                    lambda accounts: accounts.rotate(
                        station, secret=found.secret, password=credential.password
                    )
                ),
                within=_keep(credential, queue_secret=False),
            )

        return await self.act(by, decide)

    def _at_broker(
        self, call: Callable[[StationAccounts], Awaitable[None]]
    ) -> Callable[[], Awaitable[None]] | None:
        accounts = self._accounts
        return None if accounts is None else lambda: call(accounts)

    # --- delegations ----------------------------------------------------------------------------------------------

    async def delegate(
        self,
        station: StationId,
        organs: Sequence[str],
        *,
        by: Actor,
        subtree: bool = True,
        begin: datetime | None = None,
        end: datetime | None = None,
        take_over: bool = False,
    ) -> int:
        """
        Let a station speak for organs, named by any of their codes, from `begin` (now) to `end` (for ever).

        An organ has one station at a time; with `take_over` that of another station ends where this one begins.
        Returns how many delegations changed.

        Raises:
            NotFound: there is no such station.
            InvalidAct: an unknown code, or an organ that another station speaks for.
        """

        def decide(directory: Directory, at: datetime) -> Decision[int]:
            _station(directory, station)
            problems: list[str] = [] if organs else ["no organs were named"]
            changes = _delegations(
                directory,
                station,
                organs,
                subtree=subtree,
                begin=begin or at,
                end=end,
                problems=problems,
                take_over=take_over,
            )
            if problems:
                raise InvalidAct(tuple(problems))
            facts = [(EventKind.DELEGATION_CHANGED, {"changes": changes})] if changes else []
            return Decision(facts=facts, result=len(changes))

        return await self.act(by, decide)

    async def end_delegation(
        self, station: StationId, organs: Sequence[str], *, by: Actor, end: datetime | None = None
    ) -> int:
        """
        Let a station speak for these organs no longer, from `end` (now) on. Returns how many delegations changed.

        Raises:
            NotFound: there is no such station.
            InvalidAct: it does not speak for one of them.
        """

        def decide(directory: Directory, at: datetime) -> Decision[int]:
            _station(directory, station)
            until = end or at
            problems: list[str] = [] if organs else ["no organs were named"]
            changes: list[JSON] = []
            for organ in _organs(directory, organs, at=at, problems=problems):
                held = [
                    one
                    for one in directory.delegations.get(organ.number, ())
                    if one.station == station and (one.valid_to is None or one.valid_to > until)
                ]
                if not held:
                    problems.append(f"{organ.code}: {station} does not speak for it")
                changes.extend(_ended(one, until) for one in held)
            if problems:
                raise InvalidAct(tuple(problems))
            return Decision(facts=[(EventKind.DELEGATION_CHANGED, {"changes": changes})], result=len(changes))

        return await self.act(by, decide)

    # --- certificates ---------------------------------------------------------------------------------------------

    async def bind_certificate(
        self,
        organ: str,
        certificate: bytes,
        *,
        by: Actor,
        begin: datetime | None = None,
        end: datetime | None = None,
    ) -> BoundCertificate:
        """
        Let a certificate (PEM or DER) sign for an organ, from `begin` (now, or when it begins to be valid) to `end`.

        From then on the organ must sign (design section 8). Its chain is not judged here: that is done at every
        message, for the moment of the message.

        Raises:
            InvalidAct: no such organ, no certificate, or one that may never be valid in that time.
        """
        read = _read_certificate(certificate)

        def decide(directory: Directory, at: datetime) -> Decision[BoundCertificate]:
            problems: list[str] = []
            found = _organs(directory, [organ], at=at, problems=problems)
            valid_from = begin or max(at, read.not_before)
            valid_to = end or read.not_after
            if valid_to <= valid_from:
                problems.append(f"the certificate is valid until {iso(read.not_after)} only")
            if problems:
                raise InvalidAct(tuple(problems))
            fingerprint = Digest(read.sha256)
            before = next(
                (
                    one
                    for one in directory.certificates.get(found[0].number, ())
                    if one.fingerprint == fingerprint
                ),
                None,
            )
            if before is not None and before.revoked_at is not None:
                raise InvalidAct(
                    (f"{fingerprint}: revoked on {iso(before.revoked_at)}, cannot be bound again",)
                )
            after = BoundCertificate(
                organ=found[0].number,
                fingerprint=fingerprint,
                spki=Digest(read.spki_sha256),
                issuer=read.issuer,
                serial=read.serial,
                subject=read.subject,
                # Binding it again changes when it ends; what was signed before stays bound.
                valid_from=min(valid_from, before.valid_from) if before is not None else valid_from,
                valid_to=valid_to,
            )
            changes = [] if after == before else [_pair(before, after, certificate_facts)]
            return Decision(facts=_certificates(changes), result=after)

        return await self.act(by, decide)

    async def revoke_certificate(
        self, fingerprint: Digest, *, by: Actor, at: datetime | None = None
    ) -> Sequence[BoundCertificate]:
        """
        Let a certificate sign for nobody any more, from `at` (now) on; an earlier moment may be given later.

        Raises:
            NotFound: no organ has it.
            InvalidAct: it is revoked from an earlier moment on.
        """

        def decide(directory: Directory, now: datetime) -> Decision[Sequence[BoundCertificate]]:
            moment = at or now
            held = [
                one
                for same in directory.certificates.values()
                for one in same
                if one.fingerprint == fingerprint.lower()
            ]
            if not held:
                raise NotFound("certificate", fingerprint[:64])
            changes: list[JSON] = []
            revoked: list[BoundCertificate] = []
            for before in held:
                if before.revoked_at is not None and before.revoked_at < moment and at is not None:
                    raise InvalidAct((f"revoked from {iso(before.revoked_at)} on; only earlier is possible",))
                after = replace(before, revoked_at=min(before.revoked_at or moment, moment))
                revoked.append(after)
                if after != before:
                    changes.append(_pair(before, after, certificate_facts))
            return Decision(facts=_certificates(changes), result=tuple(revoked))

        return await self.act(by, decide)

    # --- secrecy --------------------------------------------------------------------------------------------------

    async def release_digest(self, digest: Digest, *, by: Actor) -> Released:
        """
        Release a package from a secrecy hit that was none; it takes two people (LR-02).

        Raises:
            InvalidAct: no digest, or this person released it before.
        """

        def decide(directory: Directory, _: datetime) -> Decision[Released]:
            wanted = Digest(digest.lower())
            if len(wanted) != 64 or not set(wanted) <= set("0123456789abcdef"):
                raise InvalidAct((f"{digest[:80]!r}: not a SHA-256 in hexadecimal",))
            person = str(by.person)
            before = directory.releases.get(wanted, ())
            if any(not are_two((one, person)) for one in before):
                raise InvalidAct((f"{person} has released it; a second person is needed",))
            after = (*before, person)
            facts: dict[str, JSON] = {"digest": wanted, "before": list(before), "after": list(after)}
            return Decision(
                facts=[(EventKind.SECRECY_RELEASED, facts)],
                result=Released(persons=after, in_force=are_two(after)),
            )

        return await self.act(by, decide)

    # --- one act --------------------------------------------------------------------------------------------------

    async def act(
        self,
        by: Actor,
        decide: Callable[[Directory, datetime], Decision[_R]],
        *,
        reason_needed: bool = True,
        by_station: bool = False,
    ) -> _R:
        """
        Decide on a snapshot, and record the decision if the snapshot still stands; else again.

        With `by_station` it is a station's own act, and who called has made sure which station it is.
        """
        if not by_station:
            by = _person(by, reason_needed=reason_needed)
        for _ in range(_TRIES):
            directory = await self._directories.current()
            # In a thread: a list of all organs of the country takes seconds to compare.
            decision = await asyncio.to_thread(decide, directory, self._clock.now())
            if not decision.facts and decision.first is None:
                return decision.result
            async with self._ledger.transaction() as tx:
                if await tx.directory_version() != directory.version:
                    continue
                if decision.first is not None:
                    await decision.first()
                if decision.facts:
                    await self._record(tx, decision.facts, by=by, version=directory.version + 1)
                if decision.within is not None:
                    await decision.within(tx)
            return decision.result
        raise ServiceUnavailable("directory", "others change it faster than it can be read")

    async def _record(
        self,
        tx: Transaction,
        facts: Sequence[tuple[EventKind, Mapping[str, JSON]]],
        *,
        by: Actor,
        version: int,
    ) -> None:
        at = self._clock.now()
        for kind, said in facts:
            event = Event(
                id=EventId(self._ids.new(at)),
                kind=kind,
                at=at,
                by=by,
                facts={**said, "directory_version": version},
            )
            # One after the other: each may hold thousands of organs, and a statement has a time limit.
            await tx.append([event])


def _person(by: Actor, *, reason_needed: bool) -> Actor:
    person, reason = same_text(by.person or ""), same_text(by.reason or "")
    problems = []
    if not person or len(person) > LONGEST_PERSON or by.station is not None or by.axis is not None:
        problems.append(f"an act is a person's: a name of at most {LONGEST_PERSON} characters is needed")
    if reason_needed and not reason:
        problems.append("a reason is needed")
    if len(reason) > LONGEST_REASON:
        problems.append(f"the reason has more than {LONGEST_REASON} characters")
    if problems:
        raise InvalidAct(tuple(problems))
    return Actor(person=person, reason=reason or None)


def _keep(credential: Credential, *, queue_secret: bool) -> Callable[[Transaction], Awaitable[None]]:
    async def within(tx: Transaction) -> None:
        await tx.keep_secrets(
            credential.station,
            secret=credential.queue_secret if queue_secret else None,
            key_hash=hash_of_key(credential.key),
        )

    return within


# --- what stands in the records -----------------------------------------------------------------------------------


def _time(at: datetime | None) -> str | None:
    return None if at is None else iso(at)


def organ_facts(organ: Organ) -> dict[str, JSON]:
    """An organ as it stands in a record."""
    return {
        "number": organ.number,
        "code": organ.code,
        "name": organ.name,
        "kind": organ.kind,
        "parent": organ.parent,
        "valid_from": _time(organ.valid_from),
        "valid_to": _time(organ.valid_to),
        "successor": organ.successor,
        "terminate_here": organ.terminate_here,
        "confidence": organ.confidence,
        "codes": [[normal(alias), alias] for alias in organ.aliases],
    }


def station_facts(station: Station) -> dict[str, JSON]:
    """A station as it stands in a record: without its secrets."""
    return {
        "id": station.id,
        "name": station.name,
        "state": station.state.value,
        "channel": station.channel.value,
        "policy": station.policy.value,
        "inline_bytes": station.inline_bytes,
        "window": station.window,
        "refuses_unpassed": station.refuses_unpassed,
        "is_platform": station.is_platform,
        "priority_scale": station.priority_scale,
        "acts_for": sorted(station.acts_for),
    }


def delegation_facts(delegation: Delegation) -> dict[str, JSON]:
    """A delegation as it stands in a record."""
    return {
        "station": delegation.station,
        "organ": delegation.organ,
        "subtree": delegation.subtree,
        "valid_from": iso(delegation.valid_from),
        "valid_to": _time(delegation.valid_to),
    }


def certificate_facts(bound: BoundCertificate) -> dict[str, JSON]:
    """A bound certificate as it stands in a record."""
    return {
        "organ": bound.organ,
        "fingerprint": bound.fingerprint,
        "spki": bound.spki,
        "issuer": bound.issuer,
        "serial": bound.serial,
        "subject": bound.subject,
        "valid_from": iso(bound.valid_from),
        "valid_to": _time(bound.valid_to),
        "revoked_at": _time(bound.revoked_at),
    }


_Thing = TypeVar("_Thing")


def _pair(before: _Thing | None, after: _Thing, facts: Callable[[_Thing], dict[str, JSON]]) -> JSON:
    return {"before": facts(before) if before is not None else None, "after": facts(after)}


def organs_facts(
    changes: Sequence[OrganChange], *, source: str
) -> Iterable[tuple[EventKind, Mapping[str, JSON]]]:
    parts = [changes[start : start + MOST_CHANGES] for start in range(0, len(changes), MOST_CHANGES)]
    for number, part in enumerate(parts, start=1):
        facts: dict[str, JSON] = {"changes": [_pair(one.before, one.after, organ_facts) for one in part]}
        if len(parts) > 1:
            facts.update(part=number, parts=len(parts))
        if source:
            facts["source"] = source[:LONGEST_NAME]
        yield EventKind.ORGANS_CHANGED, facts


def _changed(before: Station, after: Station) -> Sequence[tuple[EventKind, Mapping[str, JSON]]]:
    if before == after:
        return ()
    facts: dict[str, JSON] = {"before": station_facts(before), "after": station_facts(after)}
    return [(EventKind.STATION_CHANGED, facts)]


def _certificates(changes: Sequence[JSON]) -> Sequence[tuple[EventKind, Mapping[str, JSON]]]:
    return [(EventKind.CERTIFICATE_CHANGED, {"changes": changes})] if changes else ()


# --- what makes sense ---------------------------------------------------------------------------------------------


def _station(directory: Directory, station: StationId) -> Station:
    found = directory.stations.get(station)
    if found is None:
        raise NotFound("station", station[:40])
    return found


def _problems_of(station: Station, directory: Directory) -> list[str]:
    problems = [
        f"{one[:40]}: no such station to act for"
        for one in sorted(station.acts_for)
        if one == station.id or one not in directory.stations
    ]
    if not station.name or len(station.name) > LONGEST_NAME:
        problems.append(f"name: 1 to {LONGEST_NAME} characters")
    if not 0 <= station.inline_bytes <= MOST_INLINE_BYTES:
        problems.append(f"inline_bytes: 0 to {MOST_INLINE_BYTES}")
    if not 1 <= station.window <= MOST_WINDOW:
        problems.append(f"window: 1 to {MOST_WINDOW}")
    return problems


def _organs(
    directory: Directory, codes: Sequence[str], *, at: datetime, problems: list[str]
) -> Sequence[Organ]:
    """Each organ once, however often and by whichever of its codes it is named."""
    found: dict[OrganNumber, Organ] = {}
    for code in codes:
        organ = directory.by_code(normal(code), at=at)
        if organ is None:
            near = ", ".join(f"{one.code} {one.name}" for one in nearest(directory, normal(code)))
            problems.append(f"{code[:64]}: no such organ" + (f"; did you mean {near}?" if near else ""))
        elif not organ.is_open(at):
            problems.append(f"{code[:64]}: {organ.name} is closed")
        else:
            found[organ.number] = organ
    return tuple(found.values())


def _ended(delegation: Delegation, end: datetime) -> JSON:
    # One that has not begun yet ends where it begins: it never was.
    return _pair(delegation, replace(delegation, valid_to=max(end, delegation.valid_from)), delegation_facts)


def _delegations(
    directory: Directory,
    station: StationId,
    codes: Sequence[str],
    *,
    subtree: bool,
    begin: datetime,
    end: datetime | None,
    problems: list[str],
    take_over: bool = False,
) -> list[JSON]:
    if end is not None and end <= begin:
        problems.append("it ends before it begins")
        return []
    changes: list[JSON] = []
    for organ in _organs(directory, codes, at=begin, problems=problems):
        wanted = Delegation(
            station=station, organ=organ.number, subtree=subtree, valid_from=begin, valid_to=end
        )
        existing = directory.delegations.get(organ.number, ())
        others = [one for one in existing if one.station != station and _overlap(one, wanted)]
        if others and not take_over:
            problems.append(f"{organ.code}: {others[0].station} speaks for it")
            continue
        changes.extend(_ended(one, begin) for one in others)
        mine = [one for one in existing if one.station == station]
        own = next((one for one in mine if _overlap(one, wanted) or one.valid_from == begin), None)
        # The one it has goes on under its own beginning, with what is asked for now.
        after = wanted if own is None else replace(own, subtree=subtree, valid_to=end)
        if after != own:
            changes.append(_pair(own, after, delegation_facts))
    return changes


def _overlap(one: Delegation, other: Delegation) -> bool:
    """Whether there is a moment at which both are in force."""
    ends = [each.valid_to for each in (one, other) if each.valid_to is not None]
    begins = max(one.valid_from, other.valid_from)
    return all(begins < end for end in ends)


def _read_certificate(content: bytes) -> CertificateFacts:
    if len(content) > _MOST_CERTIFICATE_BYTES:
        raise InvalidAct((f"a certificate has at most {_MOST_CERTIFICATE_BYTES} bytes",))
    try:
        if b"-----BEGIN" not in content:
            return read_certificate(content).facts
        found = certificates_from_pem(content)
    except MaterialError as problem:
        raise InvalidAct((f"not a certificate that can be read ({problem.cause})",)) from problem
    # A file that holds the chain has the certificate itself first (what `axis sign --cert` takes).
    return found[0].facts
