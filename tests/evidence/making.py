"""A small bundle of everything there can be in one, from a real ledger with a real timestamp; made once for all tests."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from axis.core.exchange import Outcome
from axis.demo.pki import Issued
from axis.evidence.archive import read_archive
from axis.evidence.bundle import Bundle
from axis.evidence.judge import EvidenceTrust
from axis.flow.stamp import Timekeeper
from axis.ledger.evidence import Exported, SQLEvidence
from axis.ledger.queries import Queries
from axis.ledger.scope import Viewer
from axis.ledger.store import SQLLedger, open_engine
from axis.ledger.timestamps import SQLTimestamps
from signing.policy import CURRENT_POLICY
from tests.flow.office import KEYS, Office
from tests.flow.town import HANOI, TTTT, a_letter, signed
from tests.services.template import migrate
from tests.signing.builders import pki, trust
from tests.signing.test_timestamp import reply

TRUST = EvidenceTrust.read([("keys", KEYS.text.encode()), ("roots", pki().trust_pem)])
TRUST_FILE = KEYS.text.encode() + pki().trust_pem
"""Both in one file, as the demonstration leaves it."""


class Authority:
    """A timestamp authority in this process: openssl answers."""

    def __init__(self, folder: Path, *, by: Issued | None = None) -> None:
        self._folder = folder
        self._by = by

    async def fetch(self, url: str, *, most: int, body: bytes | None = None, content_type: str = "") -> bytes:
        assert body is not None, (url, most, content_type)
        return await asyncio.to_thread(reply, body, self._folder, by=self._by)


@dataclass(frozen=True, kw_only=True)
class Made:
    """Bundles of one small history."""

    whole: Exported
    """A letter to two organs; one has taken it and answered nothing yet."""
    for_hanoi: Exported
    refused: Exported
    other: Exported
    """Another letter of the same log."""
    before: str
    """An older checkpoint, which covers the acceptance but not what came after."""

    @property
    def bundle(self) -> Bundle:
        return Bundle.read(read_archive(self.whole.archive))


async def number_and_sign(office: Office) -> str:
    """The checkpoint over everything."""
    while await office.sequencer.turn():
        pass
    await office.sequencer.sign_head()
    return str((await office.desk._log.checkpoint()) or "")


async def stamp(office: Office, folder: Path) -> None:
    """A token over the newest checkpoint."""
    keeper = Timekeeper(
        url="http://tsa.example",
        trust=trust(),
        every=timedelta(minutes=1),
        checkpoints=SQLTimestamps(office.ledger, office.blobs),
        authority=Authority(folder),
        ledger=office.ledger,
        blobs=office.blobs,
        clock=office.clock,
        ids=office.ids,
    )
    assert await keeper.turn() is not None


async def export(office: Office, name: str, *, organ: str | None = None) -> Exported:
    """As the command does it."""
    queries = Queries(office.ledger, viewer=Viewer(name="test"), clock=office.clock, ids=office.ids)
    maker = SQLEvidence(
        office.ledger,
        blobs=office.blobs,
        timestamps=SQLTimestamps(office.ledger, office.blobs),
        keys=KEYS,
        policy=CURRENT_POLICY,
    )
    return await maker.export(await queries.show(name), organ=organ)


def make(folder: Path) -> Made:
    """The history, and its bundles."""
    url = f"sqlite+aiosqlite:///{folder}/ledger.db"
    migrate(url)
    return asyncio.run(_make(url, folder))


async def _make(url: str, folder: Path) -> Made:
    ledger = SQLLedger(open_engine(url))
    try:
        office = Office.open(ledger, folder)
        await office.enrol()
        accepted = await office.admit(signed(a_letter(receivers=(HANOI, TTTT))))
        other = await office.admit(signed(a_letter(2, receivers=(TTTT,))))
        refused = await office.admit(b"<edXML>", message_id="m-no")
        assert refused.reason is not None
        before = await number_and_sign(office)
        (mine, *_) = await office.inbox("ha-noi")
        await office.say("ha-noi", Outcome.FETCHED, *(one.delivery for one in mine.deliveries))
        await office.say("ha-noi", Outcome.DONE, *(one.delivery for one in mine.deliveries))
        await office.inbox("bo-tttt")
        await number_and_sign(office)
        await stamp(office, folder)
        assert accepted.document is not None
        assert other.document is not None
        return Made(
            whole=await export(office, accepted.document),
            for_hanoi=await export(office, accepted.document, organ=HANOI.code),
            refused=await export(office, refused.submission),
            other=await export(office, other.document),
            before=before,
        )
    finally:
        await ledger.engine.dispose()
