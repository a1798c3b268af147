"""
The directory: organs, their codes, stations, delegations and bound certificates, as one immutable snapshot.

Routing and verification are pure functions of a snapshot, so a verdict can be repeated with the version it names.
Codes are looked up in their normal form (`axis.edxml.organ_code.normal`); the text as written stays with the delivery.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique
from functools import cached_property

from axis.core.model import Channel, Digest, OrganNumber, SignaturePolicy, StationId, StationState


@unique
class Readiness(StrEnum):
    """LR-09: how far an organ can exchange electronically."""

    NOT_CONNECTED = "not_connected"
    RECEIVE_ONLY = "receive_only"
    FULL = "full"


@unique
class View(StrEnum):
    """How a system of the VXP interface is given what it receives."""

    AS_SENT = "as_sent"
    NORMAL = "normal"
    """A derived copy, elements in the order of the regulation; never of what carries an AX-1 signature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Organ:
    """An addressable body."""

    number: OrganNumber
    code: str
    """The code it is shown under, as registered."""
    name: str
    kind: str
    """`ministry`, `government_agency`, `province`, `party`, `unit` …: data, not logic."""
    parent: OrganNumber | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    successor: OrganNumber | None = None
    terminate_here: bool = False
    """Documents to any organ below are delivered to this one (QĐ28 Art. 21.2: Ministry of National Defence)."""
    confidence: str = "sourced"
    """How sure the code is: `sourced`, `alphabetical` (follows from the rule), `assumed`, `demo`."""
    aliases: tuple[str, ...] = ()
    """Every code it has or had, as registered."""

    @property
    def shown_code(self) -> str:
        """The code for people: with `?` when nobody has confirmed it."""
        return f"{self.code}?" if self.confidence == "assumed" else self.code

    def is_open(self, at: datetime) -> bool:
        """Whether the organ exists at `at`."""
        return (self.valid_from is None or self.valid_from <= at) and (
            self.valid_to is None or at < self.valid_to
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """A connected system and what it may do."""

    id: StationId
    name: str
    state: StationState
    channel: Channel
    policy: SignaturePolicy
    inline_bytes: int
    """Largest payload that travels inside an AMQP delivery to this station."""
    window: int
    """Most consignments in its inbox that are not yet acknowledged."""
    secret: str
    """Queue-name suffix of 16 characters; known to the axis and the station only."""
    refuses_unpassed: bool = False
    """A receiver that takes only documents whose signature passed."""
    is_platform: bool = False
    """A shared platform of a ministry or province, behind which other systems stand (LR-61)."""
    priority_scale: str = "0-4"
    """How its software numbers urgency: `0-4`, or `1-5` with 5 = normal (`axis.edxml.message.PriorityScale`)."""
    acts_for: frozenset[StationId] = frozenset()
    """Stations a central gateway may act as, with its own credential (design section 7)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VXPSystem:
    """A program that speaks the VXP interface, and the station it is at the axis."""

    id: str
    """Its `systemid`."""
    station: StationId
    view: View
    is_open: bool
    """A closed one is not let in any more; its name stays taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """`station` speaks for `organ`, and for everything below it if `subtree`."""

    station: StationId
    organ: OrganNumber
    subtree: bool
    valid_from: datetime
    valid_to: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundCertificate:
    """A certificate that may sign for an organ (strict rule 28): never by name text, always by key or issuer + serial."""

    organ: OrganNumber
    fingerprint: Digest
    """SHA-256 of the certificate (DER)."""
    spki: Digest
    """SHA-256 of its SubjectPublicKeyInfo (DER)."""
    issuer: str
    serial: str
    valid_from: datetime
    valid_to: datetime | None = None
    revoked_at: datetime | None = None
    subject: str = ""
    """For people; nothing is decided by it."""

    def holds(self, at: datetime) -> bool:
        """Whether the binding is in force at `at`."""
        return (
            self.valid_from <= at
            and (self.valid_to is None or at < self.valid_to)
            and (self.revoked_at is None or at < self.revoked_at)
        )


@dataclass(frozen=True, kw_only=True)
class Directory:
    """One version of everything routing and verification need to know."""

    version: int
    organs: Mapping[OrganNumber, Organ]
    codes: Mapping[str, tuple[OrganNumber, ...]]
    """Normal form of a code -> organs that have or had it, newest first."""
    stations: Mapping[StationId, Station]
    delegations: Mapping[OrganNumber, tuple[Delegation, ...]]
    certificates: Mapping[OrganNumber, tuple[BoundCertificate, ...]]
    released: frozenset[Digest] = field(default_factory=frozenset)
    """Digests two operators released from a secrecy hit."""
    releases: Mapping[Digest, tuple[str, ...]] = field(default_factory=dict)
    """Who released which digest; one person alone releases nothing."""
    systems: Mapping[str, VXPSystem] = field(default_factory=dict)
    """Systems of the VXP interface, by systemid."""

    def by_code(self, code: str, *, at: datetime) -> Organ | None:
        """The organ that has the code (normal form) at `at`, else one that had it, else None."""
        found = [self.organs[number] for number in self.codes.get(code, ())]
        return next((organ for organ in found if organ.is_open(at)), found[0] if found else None)

    def ancestry(self, number: OrganNumber) -> Iterator[Organ]:
        """The organ, its parent, and so on to level 1; bounded, so that a loop in bad data ends."""
        current: OrganNumber | None = number
        for _ in range(16):
            if current is None:
                return
            organ = self.organs[current]
            yield organ
            current = organ.parent

    def successor(self, organ: Organ, *, at: datetime) -> Organ | None:
        """The open organ at the end of the chain of successors, or None."""
        for _ in range(16):
            if organ.is_open(at):
                return organ
            if organ.successor is None:
                return None
            organ = self.organs[organ.successor]
        return None

    @cached_property
    def _merged(self) -> Mapping[OrganNumber, tuple[OrganNumber, ...]]:
        """Organ -> those that name it as their successor; made once for a snapshot."""
        found: dict[OrganNumber, list[OrganNumber]] = {}
        for organ in self.organs.values():
            if organ.successor is not None:
                found.setdefault(organ.successor, []).append(organ.number)
        return {heir: tuple(sorted(numbers)) for heir, numbers in found.items()}

    def predecessors(self, heirs: Iterable[OrganNumber], *, at: datetime) -> tuple[OrganNumber, ...]:
        """Closed organs in whose place one of `heirs` stands at `at`: what they sent is its to act on."""
        wanted = set(heirs)
        found: set[OrganNumber] = set()
        near = list(wanted)
        while near:
            for number in self._merged.get(near.pop(), ()):
                if number not in found:
                    found.add(number)
                    near.append(number)
        closed = [self.organs[number] for number in sorted(found - wanted)]
        return tuple(
            organ.number
            for organ in closed
            if not organ.is_open(at)
            and (heir := self.successor(organ, at=at)) is not None
            and heir.number in wanted
        )

    def station_of(self, number: OrganNumber, *, at: datetime) -> Station | None:
        """The station that receives for the organ: its own, else the nearest delegated sub-tree above it."""
        for distance, organ in enumerate(self.ancestry(number)):
            for delegation in self.delegations.get(organ.number, ()):
                if (distance == 0 or delegation.subtree) and _in_force(delegation, at):
                    return self.stations[delegation.station]
        return None

    def speaks_for(self, station: StationId, number: OrganNumber, *, at: datetime) -> bool:
        """Whether the station may send for the organ (LR-58)."""
        return any(
            delegation.station == station
            and (distance == 0 or delegation.subtree)
            and _in_force(delegation, at)
            for distance, organ in enumerate(self.ancestry(number))
            for delegation in self.delegations.get(organ.number, ())
        )

    def has_gateway(self, station: StationId) -> bool:
        """Whether the axis's own VXP gateway acts as this station: it has an open system of that interface."""
        return any(one.station == station and one.is_open for one in self.systems.values())

    def bound(self, number: OrganNumber, *, at: datetime) -> tuple[BoundCertificate, ...]:
        """Certificates that may sign for the organ at `at`."""
        return tuple(one for one in self.certificates.get(number, ()) if one.holds(at))


def are_two(persons: Iterable[str]) -> bool:
    """Whether these are at least two people: a login name in other letters is no second person."""
    return len({unicodedata.normalize("NFKC", one).casefold().strip() for one in persons}) >= 2


def _in_force(delegation: Delegation, at: datetime) -> bool:
    return delegation.valid_from <= at and (delegation.valid_to is None or at < delegation.valid_to)
