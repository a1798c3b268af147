"""
The exact account of a run: what the stations saw, document by document and delivery by delivery, against the plan and
against the ledger.

    every document handed in       answered, and as its plan says
    every accepted one             delivered to each of its receivers exactly once, after de-duplication by delivery id
    every delivery                 the bytes its sender handed in, however often it came
    the ledger                     the same numbers, and clean when recomputed from its records
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from sqlalchemy import select

from axis.bootstrap.parts import Axis
from axis.core.model import PENDING, DeliveryId
from axis.ledger import tables as t
from axis.ledger.count import By, CountFilter
from tests.chaos.journal import FAILED, SENT, TAKEN, Line
from tests.chaos.plan import Fate, Plan, task_of
from tests.chaos.stage import Stage

_MOST_SHOWN = 20


@dataclass(slots=True)
class Account:
    """Filled while it runs, closed at the end."""

    plan: Plan
    codes: list[str]
    """Code of each agency."""
    answers: dict[str, Line] = field(default_factory=dict)
    """By message id; the last one of several."""
    documents_answered: int = 0
    """Message ids of documents among them, statuses are not."""
    states: Counter[str] = field(default_factory=Counter)
    addressed: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Delivery -> (code of the receiver, digest), of what was accepted."""
    taken: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Delivery -> (code of the station's agency, digest)."""
    came: Counter[str] = field(default_factory=Counter)
    """How often each delivery was handed to an agency's system."""
    failures: int = 0
    problems: list[str] = field(default_factory=list)

    def read(self, stage: Stage) -> int:
        """Take in what is new in the journals; how many lines."""
        count = 0
        for code, journal in zip(self.codes, stage.journals, strict=True):
            for line in journal.new_lines():
                count += 1
                if line["what"] == SENT:
                    self._sent(line)
                elif line["what"] == TAKEN:
                    self._taken(line, code)
                else:
                    assert line["what"] == FAILED, line
                    self.failures += 1
        return count

    def _sent(self, line: Line) -> None:
        before = self.answers.get(line["id"])
        if before is not None and before["document"] != line["document"]:
            self.problems.append(f"{line['id']}: document {before['document']}, then {line['document']}")
        if before is None:
            self.states[line["state"]] += 1
            self.documents_answered += line["id"].startswith("m-")
        self.answers[line["id"]] = line
        if line["state"] in {"accepted", "duplicate"}:
            for delivery, receiver in line["deliveries"]:
                code = next((one for one in self.codes if one.endswith(f".{receiver}")), receiver)
                self.addressed[delivery] = (code, line["digest"])

    def _taken(self, line: Line, code: str) -> None:
        for delivery, written in line["deliveries"]:
            # A status goes to the code its document's sender is registered under, which may be the short one.
            receiver = next((one for one in self.codes if one.endswith(f".{written}")), written)
            before = self.taken.setdefault(delivery, (code, line["digest"]))
            self.came[delivery] += 1
            if before != (code, line["digest"]) or receiver != code:
                self.problems.append(f"{delivery}: {before}, then {(code, line['digest'])} for {receiver}")

    @property
    def documents_expected(self) -> int:
        """Message ids of the plan: a document that is handed in twice has two."""
        tasks = (
            task_of(one, seed=self.plan.seed, agencies=len(self.codes)) for one in range(self.plan.documents)
        )
        return sum(len(one.message_ids) for one in tasks)

    @property
    def is_complete(self) -> bool:
        return self.addressed.keys() <= self.taken.keys()

    async def close(self, axis: Axis) -> dict[str, object]:
        """Compare everything, and say it in figures; `problems` is empty when nothing is wrong."""
        self._judge_answers()
        self._judge_deliveries()
        await self._tell_lost(axis)
        await self._judge_ledger(axis)
        return {
            "seed": self.plan.seed,
            "documents": self.plan.documents,
            "answers": dict(sorted(self.states.items())),
            "deliveries": len(self.addressed),
            "taken": len(self.taken),
            "lost": len(self.addressed.keys() - self.taken.keys()),
            "came_twice_and_recognised": sum(1 for count in self.came.values() if count > 1),
            "failed_and_taken_later": self.failures,
            "problems": self.problems[:_MOST_SHOWN],
        }

    def _judge_answers(self) -> None:
        for number in range(self.plan.documents):
            task = task_of(number, seed=self.plan.seed, agencies=len(self.codes))
            found = [self.answers.get(one) for one in task.message_ids]
            lines = [one for one in found if one is not None]
            if len(lines) < len(found):
                self.problems.append(f"{task.message_ids}: not answered")
                continue
            states = {one["state"] for one in lines}
            if task.fate is Fate.SPOILT:
                if states != {"refused"} or lines[0]["reason"] != "verify.signature":
                    self.problems.append(f"m-{number}: {states} instead of refused")
                continue
            if not states <= {"accepted", "duplicate"} or len({one["document"] for one in lines}) != 1:
                self.problems.append(f"m-{number}: {[(one['state'], one['reason']) for one in lines]}")
                continue
            receivers = sorted(self.codes[one] for one in task.receivers)
            # A duplicate's answer names no deliveries again.
            told = sorted(code for _, code in max((one["deliveries"] for one in lines), key=len))
            if told != receivers:
                self.problems.append(f"m-{number}: for {receivers}, and deliveries for {told}")

    def _judge_deliveries(self) -> None:
        for delivery, (receiver, digest) in self.addressed.items():
            taken = self.taken.get(delivery)
            if taken is None:
                self.problems.append(f"{delivery}: for {receiver}, and never came")
            elif taken != (receiver, digest):
                self.problems.append(f"{delivery}: {taken} instead of {(receiver, digest)}")
        for delivery in self.taken.keys() - self.addressed.keys():
            self.problems.append(f"{delivery}: came, and nobody who sent it was told so")

    async def _tell_lost(self, axis: Axis) -> None:
        """What the ledger knows of deliveries that never came, or of which nobody said that they were taken."""
        await self._tell_buried(axis)
        query = select(t.delivery.c.id).where(t.delivery.c.state.in_([one.value for one in PENDING]))
        async with axis.ledger.reading() as connection:
            pending = set((await connection.execute(query)).scalars())
        for delivery in sorted({*pending, *self.addressed} - (self.taken.keys() - pending))[:3]:
            async with axis.ledger.transaction() as tx:
                consignment = (await tx.consignments_of([DeliveryId(delivery)]))[DeliveryId(delivery)]
            self.problems.append(f"{delivery}: {consignment}")
            events = select(t.event.c.record).where(t.event.c.document_id == str(consignment.document))
            async with axis.ledger.reading() as connection:
                records = (await connection.execute(events.order_by(t.event.c.at))).scalars()
                self.problems += [
                    text for text in (bytes(one).decode() for one in records) if delivery in text
                ]

    async def _tell_buried(self, axis: Axis) -> None:
        """Nothing here kills who takes it: whatever was buried was an innocent's word."""
        async with axis.ledger.reading() as connection:
            for row in await connection.execute(select(t.buried)):
                self.problems.append(
                    f"buried: {row.station_id}, {row.message_id}, {row.reason}, {row.size} bytes"
                )

    async def _judge_ledger(self, axis: Axis) -> None:
        queries = axis.queries(viewer="chaos")
        await queries.settle_counts(within_s=60)
        rows = (await queries.count(CountFilter(), by=By.YEAR)).rows
        documents = {
            line["document"]
            for one, line in self.answers.items()
            if one.startswith("m-") and line["state"] in {"accepted", "duplicate"}
        }
        of_documents = {
            delivery
            for one, line in self.answers.items()
            if one.startswith("m-") and line["state"] in {"accepted", "duplicate"}
            for delivery, _ in line["deliveries"]
        }
        for name, seen in (
            ("sent", len(documents)),
            ("addressed", len(of_documents)),
            ("received", len(of_documents)),
            ("pending", 0),
            ("failed", 0),
        ):
            told = [int(str(row[name])) for row in rows]
            figure = (told[-1] if told else 0) if name == "pending" else sum(told)
            if figure != seen:
                self.problems.append(f"{name}: the stations saw {seen}, the ledger says {figure}")
        checked = await axis.check_ledger()
        self.problems += [f"ledger check: {one.en}" for one in checked.problems[:5]]
