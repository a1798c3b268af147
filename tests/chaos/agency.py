"""
One station in a process of its own, to be killed: `python -m tests.chaos.agency SETTINGS.json`.

It hands in the documents of its agency, takes what comes, now and then says that it cannot, and answers some with a
status. What it was told and what it took goes into its journal; started again, it goes on from there.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from adapters.document import Document
from adapters.inbox import Inbox
from adapters.over_amqp import AMQPLimits
from adapters.station import Credentials, Station
from axis.core.exchange import Answer
from axis.core.model import Kind, StationId
from axis.demo.letters import Agency, Pen, status
from axis.edxml.message import Edoc, StatusCode
from signing.certificates import certificates_from_pem
from signing.keys import KeySigner
from signing.receipts import TrustedKeys
from tests.chaos.journal import FAILED, SENT, TAKEN, Journal
from tests.chaos.plan import Task, answers_with_status, fails_first, package_of, task_of

_AT_ONCE = 8
_READERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """Everything the process is told; written as JSON."""

    seed: int
    documents: int
    position: int
    agencies: tuple[tuple[str, str], ...]
    """(code, name), in the order of positions."""
    per_second: float
    """Of this station; 0: as fast as it is answered."""
    at: str
    station: str
    key: str
    queue_secret: str
    url: str
    http: str
    answer_seconds: float
    trusted: str
    """The axis's public keys."""
    folder: str
    """Holds `pen.key.pem`, `pen.chain.pem`, `state`, `journal`."""

    @classmethod
    def read(cls, path: Path) -> Role:
        members: dict[str, Any] = json.loads(path.read_text())
        members["agencies"] = tuple(map(tuple, members["agencies"]))
        return cls(**members)


class _System:
    """The agency's own system: sends, takes, answers."""

    def __init__(self, role: Role, station: Station) -> None:
        self._role = role
        self._station = station
        self._agencies = [Agency(code=code, name=name) for code, name in role.agencies]
        self._at = datetime.fromisoformat(role.at)
        folder = Path(role.folder)
        self._pen = Pen(
            signer=KeySigner.from_file(folder / "pen.key.pem"),
            chain=certificates_from_pem((folder / "pen.chain.pem").read_bytes()),
        )
        self._journal = Journal(folder / "journal")
        self._answered: set[str] = set()
        self._failed: set[str] = set()
        for line in self._journal.new_lines():
            if line["what"] == SENT:
                self._answered.add(line["id"])
            elif line["what"] == FAILED:
                self._failed.add(line["document"])

    async def send(self) -> None:
        role = self._role
        turns = asyncio.Semaphore(_AT_ONCE)
        mine = range(role.position, role.documents, len(self._agencies))
        tasks = [task_of(number, seed=role.seed, agencies=len(self._agencies)) for number in mine]
        left = [task for task in tasks if not self._answered.issuperset(task.message_ids)]
        async with asyncio.TaskGroup() as group:
            for task in left:
                await turns.acquire()
                one = group.create_task(self._hand_in(task))
                one.add_done_callback(lambda _: turns.release())
                if role.per_second:
                    await asyncio.sleep(1 / role.per_second)

    async def _hand_in(self, task: Task) -> None:
        body = await asyncio.to_thread(
            package_of,
            task,
            agencies=self._agencies,
            pen=self._pen,
            at=self._at,
            seed=self._role.seed,
        )
        async with asyncio.TaskGroup() as group:
            for message_id in task.message_ids:
                if message_id not in self._answered:
                    group.create_task(self._submit(body, message_id=message_id))

    async def _submit(self, body: bytes, *, message_id: str) -> None:
        answer = await self._station.submit(body, message_id=message_id, within=None)
        self._note(answer, digest=hashlib.sha256(body).hexdigest(), message_id=message_id)

    async def hear(self) -> None:
        """
        What came for one that was killed while it waited. A status settles the delivery it answers, so the document does
        not come again, and nobody asks about that status a second time.
        """
        async with self._station.receipts() as receipts:
            async for answer in receipts:
                if answer.message_id not in self._answered:
                    self._note(answer, digest=answer.digest, message_id=answer.message_id)

    def _note(self, answer: Answer, *, digest: str, message_id: str) -> None:
        self._journal.write(
            SENT,
            id=message_id,
            state=answer.state.value,
            reason=answer.reason.value if answer.reason else None,
            document=answer.document,
            digest=digest,
            deliveries=[[one.delivery, one.code] for one in answer.deliveries],
        )
        self._answered.add(message_id)

    async def take(self, inbox: Inbox) -> None:
        async for document in inbox:
            await self._take(document)

    async def _take(self, document: Document) -> None:
        seed = self._role.seed
        is_status = document.kind is Kind.STATUS
        if not is_status and document.key not in self._failed and fails_first(document.key, seed=seed):
            self._journal.write(FAILED, document=document.key)
            self._failed.add(document.key)
            await document.fail("ổ đĩa đầy (thử nghiệm)")
            return
        self._journal.write(
            TAKEN,
            document=document.key,
            kind=document.kind.value,
            digest=hashlib.sha256(document.body).hexdigest(),
            deliveries=[[one.delivery, one.code] for one in document.deliveries],
        )
        if not is_status:
            for one in document.deliveries:
                if answers_with_status(one.delivery, seed=seed):
                    await self._answer(document, code=one.code, message_id=f"s-{one.delivery}")
        # Only now: killed before, the document comes again, and the status is the same bytes under the same id.
        await document.done()

    async def _answer(self, document: Document, *, code: str, message_id: str) -> None:
        if message_id in self._answered:
            return
        message = await document.message()
        assert isinstance(message, Edoc)
        sender = next(one for one in self._agencies if one.code == code)
        body = status(StatusCode.REGISTERED, sender=sender, answered=message, at=self._at)
        await self._submit(body, message_id=message_id)


async def _run(role: Role) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    station = Station(
        role.url,
        Credentials(station=StationId(role.station), key=role.key, queue_secret=role.queue_secret or None),
        http=role.http if role.url.startswith("amqp") else None,
        state=Path(role.folder) / "state",
        trusted=TrustedKeys.read(role.trusted),
        amqp_limits=AMQPLimits(answer_seconds=role.answer_seconds),
    )
    async with station, station.receive(window=32) as inbox:
        system = _System(role, station)
        work = [
            asyncio.ensure_future(system.send()),
            asyncio.ensure_future(system.hear()),
            *[asyncio.ensure_future(system.take(inbox)) for _ in range(_READERS)],
        ]
        over = asyncio.ensure_future(stop.wait())
        waiting = {over, *work}
        while not over.done():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {over}:
                task.result()
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
    assert station.alarm is None, "the log was rewritten"


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    asyncio.run(_run(Role.read(Path(sys.argv[1]))))
