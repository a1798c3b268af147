"""
Evidence to carry away: what the ledger knows of one document, as a bundle that verifies without it.

Only records that a signed checkpoint covers go in; when the checkpoint has a timestamp that covers all of them, that
one is taken, else the newest. Whoever may see a receiver's tree alone gets the bundle of one receiver of it. What is
written is judged before it is given out, as whoever gets it will judge it. See `axis.evidence` for what is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, select

from axis.core.errors import InvalidQuestion, InvariantBroken, NotFound
from axis.core.events import Event, EventKind, read_record
from axis.core.ids import year_of
from axis.core.model import Digest, DocumentKey
from axis.core.ports import Blobs
from axis.edxml.organ_code import normal
from axis.evidence.bundle import BEGINNINGS, Bundle, Entry, revocation_names
from axis.evidence.judge import EvidenceTrust, carries, certificates_in, judge_bundle
from axis.evidence.pages import archive_of
from axis.ledger import tables as t
from axis.ledger.log import hashes_at
from axis.ledger.store import SQLLedger
from axis.ledger.timestamps import SQLTimestamps
from signing.merkle import carry_out, plan_inclusion, wanted
from signing.policy import Policy
from signing.receipts import TrustedKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A bundle, and what is not in it yet."""

    archive: bytes
    subject: str
    records: int
    later: int
    """Records of the same document that no checkpoint covers yet."""
    has_message: bool
    has_timestamp: bool


class SQLEvidence:
    """Makes bundles."""

    def __init__(
        self,
        ledger: SQLLedger,
        *,
        blobs: Blobs,
        timestamps: SQLTimestamps,
        keys: TrustedKeys,
        policy: Policy,
    ) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._timestamps = timestamps
        self._keys = keys
        self._policy = policy

    async def export(self, life: Mapping[str, Any], *, organ: str | None) -> Exported:
        """
        The bundle of a document whose life a viewer was shown (`Queries.show`), for one receiving organ or for all.

        Raises:
            NotFound: no checkpoint covers its acceptance yet; or the document was not sent to that organ.
            InvalidQuestion: the viewer sees some receivers only, and named none.
            InvariantBroken: the bundle would be refused; `axis ledger check` says why.
            ServiceUnavailable: the database or the disk does not answer.
        """
        code = _code_in(life, organ)
        subject, documents, submissions = _named(life)
        numbered, later = await self._records(documents, submissions)
        if code is not None:
            numbered = _only(numbered, code)
        checkpoint, size, token = await self._checkpoint(numbered)
        covered = [(index, event) for index, event in numbered if index < size]
        if not any(event.kind.value.startswith("submission.") for _, event in covered):
            raise NotFound("checkpoint that covers the document", subject)
        later += len(numbered) - len(covered)
        bundle = await self._bundle(subject, code, covered, checkpoint=checkpoint, size=size, token=token)
        archive = archive_of(bundle)
        judgement = judge_bundle(archive, trust=EvidenceTrust(keys=self._keys))
        if judgement.failed is not None:
            raise InvariantBroken(
                f"evidence of {subject}: {judgement.failed.step}: {judgement.failed.words.en}"
            )
        return Exported(
            archive=archive,
            subject=subject,
            records=len(covered),
            later=later,
            has_message=bool(bundle.messages),
            has_timestamp=token is not None,
        )

    async def _records(
        self, documents: Sequence[str], submissions: Sequence[str]
    ) -> tuple[list[tuple[int, Event]], int]:
        """Numbered records about them in the order of the log, and how many wait for a number."""
        table = t.event
        query = (
            select(table.c.record, t.leaf.c.idx)
            .outerjoin_from(table, t.leaf, t.leaf.c.event_id == table.c.id)
            .where(
                or_(table.c.document_id.in_(documents), table.c.submission_id.in_(submissions)),
                table.c.year >= min(year_of(one) for one in (*documents, *submissions)),
            )
        )
        async with self._ledger.reading(snapshot=True) as connection:
            rows = (await connection.execute(query)).all()
        numbered = sorted((row.idx, row.record) for row in rows if row.idx is not None)
        return [(index, read_record(record)) for index, record in numbered], len(rows) - len(numbered)

    async def _checkpoint(self, numbered: Sequence[tuple[int, Event]]) -> tuple[str, int, bytes | None]:
        """The checkpoint to prove against: note, size, token."""
        newest = (
            select(t.checkpoint.c.note, t.checkpoint.c.size).order_by(t.checkpoint.c.size.desc()).limit(1)
        )
        async with self._ledger.reading() as connection:
            row = (await connection.execute(newest)).first()
        if row is None or not numbered:
            raise NotFound("checkpoint that covers the document", "none")
        covered = [index for index, _ in numbered if index < row.size]
        stamped = await self._timestamps.covering(covered[-1]) if covered else None
        if stamped is not None:
            return stamped.note, stamped.size, stamped.token
        return row.note, row.size, None

    async def _bundle(
        self,
        subject: str,
        code: str | None,
        records: Sequence[tuple[int, Event]],
        *,
        checkpoint: str,
        size: int,
        token: bytes | None,
    ) -> Bundle:
        plans = {index: plan_inclusion(index, size) for index, _ in records}
        async with self._ledger.reading(snapshot=True) as connection:
            hashes = await hashes_at(connection, (one for plan in plans.values() for one in wanted(plan)))
        messages = await self._messages(event for _, event in records)
        certificates = sorted({one for message in messages.values() for one in certificates_in(message)})
        return Bundle(
            subject=subject,
            organ=code,
            checkpoint=checkpoint,
            entries=tuple(
                Entry(index=index, event=event, path=carry_out(plans[index], hashes))
                for index, event in records
            ),
            timestamp=token,
            messages=messages,
            reports=await self._reports(event for _, event in records),
            certificates=tuple(certificates),
            revocations=await self._revocations(event for _, event in records),
            policy=await self._policy_of(event for _, event in records),
        )

    async def _messages(self, events: Iterable[Event]) -> dict[Digest, bytes]:
        """Received bytes that are still kept."""
        digests = {
            Digest(str(one.facts["digest"]))
            for one in events
            if one.kind
            in {EventKind.SUBMISSION_ACCEPTED, EventKind.SUBMISSION_REFUSED, EventKind.SUBMISSION_HELD}
        }
        return {
            one: await self._blobs.read(one)
            for one in sorted(digests)
            if await self._blobs.size(one) is not None
        }

    async def _reports(self, events: Iterable[Event]) -> dict[DocumentKey, tuple[bytes, bytes]]:
        documents = [
            one.document for one in events if one.kind is EventKind.SUBMISSION_ACCEPTED and one.document
        ]
        table = t.report
        query = select(table.c.document_key, table.c.body, table.c.signature).where(
            table.c.year.in_({year_of(one) for one in documents}), table.c.document_key.in_(documents)
        )
        async with self._ledger.reading() as connection:
            rows = (await connection.execute(query)).all()
        return {DocumentKey(row.document_key): (row.body, row.signature.encode()) for row in rows}

    async def _revocations(self, events: Iterable[Event]) -> dict[str, bytes]:
        """Lists and responses that a verdict names and that are kept."""
        names = {name for one in events for name in revocation_names(one)}
        digests = {name: Digest(name.partition(".")[0]) for name in sorted(names)}
        return {
            name: await self._blobs.read(digest)
            for name, digest in digests.items()
            if await self._blobs.size(digest) is not None
        }

    async def _policy_of(self, events: Iterable[Event]) -> bytes:
        """The policy the acceptance was judged by; the present one where its text was not kept."""
        versions = {str(one.facts["policy"]) for one in events if "policy" in one.facts}
        if self._policy.version in versions or not versions:
            return self._policy.text.encode()
        query = select(t.event.c.record).where(t.is_act, t.event.c.kind == EventKind.POLICY_CHANGED.value)
        async with self._ledger.reading() as connection:
            records = (await connection.execute(query)).scalars().all()
        for record in records:
            after: Any = read_record(record).facts.get("after")
            if isinstance(after, dict) and after.get("version") in versions:
                digest = Digest(str(after["digest"]))
                if await self._blobs.size(digest) is not None:
                    return await self._blobs.read(digest)
        return self._policy.text.encode()


def _code_in(life: Mapping[str, Any], organ: str | None) -> str | None:
    """The organ's code as the sender wrote it."""
    codes = [str(one["to"]) for one in life["deliveries"]]
    if organ is None:
        if life.get("submission") is None:
            listed = ", ".join(dict.fromkeys(codes))
            raise InvalidQuestion(
                vi=f"nêu đơn vị nhận bằng --for: {listed}", en=f"name the receiver with --for: {listed}"
            )
        return None
    found = next((one for one in codes if normal(one) == normal(organ)), None)
    if found is None:
        raise NotFound("receiver of this document", organ)
    return found


def _named(life: Mapping[str, Any]) -> tuple[str, list[str], list[str]]:
    """What the bundle is about, the documents, and a submission that never became one."""
    if life.get("root") is None:
        submission = str(life["submission"]["submission"])
        return submission, [], [submission]
    root = str(life["root"])
    documents = list(
        dict.fromkeys([root, str(life["document"]), *(str(one["document"]) for one in life["sendings"])])
    )
    submissions = [str(one["submission"]) for one in life["events"] if one["submission"] is not None]
    return root, documents, submissions


def _only(records: Sequence[tuple[int, Event]], code: str) -> list[tuple[int, Event]]:
    """
    What is about the deliveries for one organ, and about the document as a whole.

    Its acceptance names all its first receivers, as the message itself does, and is one record: it cannot be told in
    part. A supplementary sending to others, and what became of their deliveries, is not this organ's.
    """
    begun = [event for _, event in records if event.kind in BEGINNINGS]
    mine = {one["id"] for event in begun for one in _lines(event) if one["code"] == code}
    others = [
        event
        for event in begun
        if event.kind is EventKind.SUBMISSION_ACCEPTED
        and event.facts["root"] != event.document
        and not mine & set(event.deliveries)
    ]
    documents, submissions = {one.document for one in others}, {one.submission for one in others}
    return [
        (index, event)
        for index, event in records
        if event.document not in documents
        and event.submission not in submissions
        and (not event.deliveries or event.kind in _WHOLE or carries(event, mine, begun))
    ]


def _lines(event: Event) -> Any:
    return event.facts["deliveries"]


_WHOLE = frozenset({EventKind.SUBMISSION_ACCEPTED})
"""Records that are about all receivers and begin the life of each."""
