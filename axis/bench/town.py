"""
Who takes part in a benchmark: one sending platform and its organs, the receiving stations, keys, and signed letters.

Set up through the same acts as a real axis, on the database and broker the benchmark was given.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from axis.bootstrap.broker import open_accounts
from axis.bootstrap.parts import Axis
from axis.core.credentials import Credential
from axis.core.model import Actor, Channel, StationId
from axis.demo.letters import Agency, Pen, letter, package, pdf
from axis.demo.pki import PKI, Issued, KeyShelf
from axis.demo.stamps import stamped
from axis.edxml.writer import AttachmentSource
from axis.flow.acts import NewStation
from axis.flow.organ_import import OrganRow
from axis.settings import Settings, read_settings
from signing.certificates import certificates_from_pem
from signing.keys import KeySigner

SENDERS: Final = 4
_GROUP: Final = "G99"
_BY: Final = Actor(person="bench", reason="measurement")


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Where the benchmark runs; without a broker it is the embedded axis."""

    home: Path
    broker_url: str | None = None
    management_url: str | None = None
    database_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One kind of document."""

    name: str
    attachment_bytes: int
    fanout: int
    documents: int
    """How many are sent at full load, or at `per_second`."""
    pdfs: int = 0
    """Attachments that are PDFs, each signed by a person and sealed by the organ; without any, one of text."""
    per_second: float | None = None
    """The load that matters for such documents; None: as much as the axis takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    """Everybody, with what they need."""

    senders: tuple[Agency, ...]
    receivers: tuple[Agency, ...]
    pens: dict[str, Pen]
    seals: dict[str, Issued]
    """What the senders seal PDFs with, by code."""
    person: Issued
    """Who signs PDFs."""
    credentials: dict[str, Credential]


def settings_for(servers: Servers) -> tuple[Settings, dict[str, str]]:
    """The settings of the axis under test, and the variables that say the same to its processes."""
    environ = {
        "AXIS_HOME": str(servers.home),
        "AXIS_HTTP_PORT": str(_free_port()),
        "AXIS_TRUST": str(servers.home / "trust.pem"),
        "AXIS_LOG_FORMAT": "json",
    }
    given = {
        "AXIS_DATABASE_URL": servers.database_url,
        "AXIS_BROKER_URL": servers.broker_url,
        "AXIS_BROKER_MANAGEMENT_URL": servers.management_url,
    }
    environ |= {name: value for name, value in given.items() if value is not None}
    servers.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    (servers.home / "trust.pem").touch()
    return read_settings(environ), environ


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def build_town(axis: Axis, settings: Settings, *, receivers: int, advance: Callable[[], None]) -> Town:
    """Organs, stations, certificates: under names of their own, so that a database can be measured again."""
    mark = secrets.token_hex(2)
    now = axis.clock.now()
    names = [f"b{mark}-{number:03d}" for number in range(SENDERS + receivers)]
    # G99.aa.bb.ccc in one form, ccc.bb.aa.G99 in the other: aa and bb are this run's own.
    above, below = (f"{secrets.randbelow(100):02d}" for _ in range(2))
    rows = [
        OrganRow(
            code=f"{_GROUP}.{above}.{below}.{number:03d}",
            code_102=f"{number:03d}.{below}.{above}.{_GROUP}",
            name=f"Cơ quan đo tải {number}",
            kind="unit",
        )
        for number in range(1, len(names) + 1)
    ]
    pki, issued, person = await asyncio.to_thread(_issue, [row.name for row in rows[:SENDERS]], now)
    trust = settings.home / "trust.pem"
    trust.write_bytes(trust.read_bytes() + pki.trust_pem)
    credentials = {}
    async with open_accounts(settings) as accounts:
        acts = axis.acts(accounts=accounts)
        await acts.import_organs(rows, by=_BY, with_assumed=True, source="bench")
        for name, row in zip(names, rows, strict=True):
            credentials[row.code_102] = await acts.add_station(
                NewStation(
                    id=StationId(name),
                    name=row.name,
                    organs=(row.code,),
                    channel=Channel.PULL if settings.is_embedded else Channel.AMQP,
                ),
                by=_BY,
            )
            advance()
        for row in rows[:SENDERS]:
            await acts.bind_certificate(row.code, issued[row.name].certificate_pem, by=_BY)
    agencies = tuple(Agency(code=row.code_102, name=row.name) for row in rows)
    return Town(
        senders=agencies[:SENDERS],
        receivers=agencies[SENDERS:],
        pens={
            row.code_102: Pen(
                signer=KeySigner(issued[row.name].key),
                chain=certificates_from_pem(issued[row.name].chain_pem),
            )
            for row in rows[:SENDERS]
        },
        seals={row.code_102: issued[row.name] for row in rows[:SENDERS]},
        person=person,
        credentials=credentials,
    )


def _issue(names: Sequence[str], now: datetime) -> tuple[PKI, dict[str, Issued], Issued]:
    pki = PKI.build(
        not_before=now - timedelta(days=30),
        not_after=now + timedelta(days=365),
        shelf=KeyShelf(distinct=len(names) + 2),
    )
    return pki, {name: pki.issue(name) for name in names}, pki.issue("Phạm Văn Dũng")


def letters(
    town: Town, profile: Profile, *, count: int, first: int, at: datetime, priority: int = 0
) -> list[tuple[Agency, bytes]]:
    """
    Signed letters and their senders, each with its own number, content and receivers; one signature a document.

    Text that does not compress to nothing is attached, so that no judge of PDFs works beside what is measured, unless
    the profile wants just that.
    """
    luck = random.Random(first)  # noqa: S311 - content, no secret
    written = []
    for number in range(first, first + count):
        sender = town.senders[number % len(town.senders)]
        start = number * profile.fanout
        to = [town.receivers[(start + step) % len(town.receivers)] for step in range(profile.fanout)]
        edoc = letter(number, sender=sender, receivers=to, at=at, priority=priority)
        edoc = replace(edoc, document_id=f"{edoc.document_id}-{number}")
        if profile.pdfs:
            files = [
                _signed_pdf(town, sender, name=f"c{place}", words=f"{number}/{place}")
                for place in range(profile.pdfs)
            ]
        else:
            files = [_text(luck.randbytes(profile.attachment_bytes // 2).hex().encode())]
        written.append((sender, package(edoc, pen=town.pens[sender.code], at=at, files=files)))
    return written


def _text(content: bytes) -> AttachmentSource:
    return AttachmentSource(content_id="c0", name="phu-luc.txt", content_type="text/plain", source=content)


def _signed_pdf(town: Town, sender: Agency, *, name: str, words: str) -> AttachmentSource:
    content = stamped(pdf(words), by=(town.person, town.seals[sender.code]))
    return AttachmentSource(
        content_id=name, name=f"{name}.pdf", content_type="application/pdf", source=content
    )
