"""
The evidence bundle, version 1: what is in it, under which names, and the one archive it makes.

    bundle.json                 version, the document (or submission) it is about, the receiving organ it is limited to
    records/<number>.json       the records, byte for byte as they are leaves of the log
    proofs/<number>.tlog-proof  for each, that it stands in the log (C2SP tlog-proof@v1), all against one checkpoint
    checkpoint.txt              that checkpoint (C2SP tlog-checkpoint, Ed25519)
    timestamp.tsr               a timestamp authority's answer over checkpoint.txt (RFC 3161), where there is one
    messages/<sha256>.edxml     the received bytes, as long as they are kept
    reports/<document>.json     the verification report, and its signature beside it (`.receipt.json`)
    certificates/<sha256>.pem   those in the signature of the message
    revocation/<sha256>.crl|ocsp  the lists and responses the verdict rests on, as they came
    policy.toml                 the signature policy of that time
    cover.html, VERIFY.md       for people: made from the above alone
    SHA256SUMS                  of everything else

A bundle has no fact of its own: every byte follows from records, proofs and files that records name. So a verifier
makes it anew and compares. What it proves is that these things happened; not that nothing else did.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from axis.core.errors import AxisError
from axis.core.events import Event, EventKind, canonical, read_record
from axis.core.ids import is_id
from axis.core.model import Digest, DocumentKey
from axis.evidence.archive import write_archive
from signing.note import Checkpoint, LogProof, NoteError, read_checkpoint, read_proof, split_note

VERSION: Final = 1
MANIFEST: Final = "bundle.json"
CHECKPOINT: Final = "checkpoint.txt"
TIMESTAMP: Final = "timestamp.tsr"
POLICY: Final = "policy.toml"
COVER: Final = "cover.html"
GUIDE: Final = "VERIFY.md"
SUMS: Final = "SHA256SUMS"
PAGES: Final = frozenset({COVER, GUIDE})
"""Members that are made from the others for people."""

BEGINNINGS: Final = frozenset({EventKind.SUBMISSION_ACCEPTED, EventKind.DELIVERY_ADDED})
"""Records that begin deliveries."""

_RECORD: Final = re.compile(r"records/(\d{12})\.json\Z")
_MESSAGE: Final = re.compile(r"messages/([0-9a-f]{64})\.edxml\Z")
_REPORT: Final = re.compile(r"reports/([0-9A-Z]{26})\.json\Z")
_CERTIFICATE: Final = re.compile(r"certificates/([0-9a-f]{64})\.pem\Z")
_REVOCATION: Final = re.compile(r"revocation/([0-9a-f]{64}\.(?:crl|ocsp))\Z")


class BundleError(AxisError):
    """Members that are not those of a bundle of this version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One record and its way to the root of the checkpoint."""

    index: int
    event: Event
    path: tuple[bytes, ...]

    @property
    def name(self) -> str:
        """How its files are called."""
        return f"{self.index:012}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The evidence about one document, or about one submission that never became one. Nothing here is verified."""

    subject: str
    """Id of the document as the axis knows it, or of the submission."""
    organ: str | None = None
    """Code of the receiving organ, as the sender wrote it, when the bundle is for it alone."""
    checkpoint: str
    """The signed note."""
    entries: tuple[Entry, ...]
    """In the order of the log."""
    timestamp: bytes | None = None
    messages: Mapping[Digest, bytes] = field(default_factory=dict)
    reports: Mapping[DocumentKey, tuple[bytes, bytes]] = field(default_factory=dict)
    """Report and the JSON of its receipt."""
    certificates: tuple[bytes, ...] = ()
    """DER."""
    revocations: Mapping[str, bytes] = field(default_factory=dict)
    """`<sha256>.crl` or `<sha256>.ocsp` -> DER."""
    policy: bytes

    @property
    def head(self) -> Checkpoint:
        """
        What the checkpoint says.

        Raises:
            NoteError: it is none.
        """
        return read_checkpoint(split_note(self.checkpoint)[0])

    @property
    def acceptances(self) -> tuple[Event, ...]:
        """The acceptance of the document and of every supplementary sending of it; none of a submission."""
        return tuple(one.event for one in self.entries if one.event.kind is EventKind.SUBMISSION_ACCEPTED)

    @property
    def beginnings(self) -> tuple[Event, ...]:
        """Acceptances, and where a recall was sent on to whoever else it concerns."""
        return tuple(one.event for one in self.entries if one.event.kind in BEGINNINGS)

    def members(self) -> dict[str, bytes]:
        """Everything but the pages for people and the sums."""
        found = {
            MANIFEST: canonical({"v": VERSION, "subject": self.subject, "organ": self.organ}) + b"\n",
            CHECKPOINT: self.checkpoint.encode(),
            POLICY: self.policy,
        }
        if self.timestamp is not None:
            found[TIMESTAMP] = self.timestamp
        for one in self.entries:
            found[f"records/{one.name}.json"] = one.event.record
            proof = LogProof(index=one.index, path=one.path, checkpoint=self.checkpoint)
            found[f"proofs/{one.name}.tlog-proof"] = proof.text.encode()
        for digest, message in self.messages.items():
            found[f"messages/{digest}.edxml"] = message
        for document, (body, receipt) in self.reports.items():
            found[f"reports/{document}.json"] = body
            found[f"reports/{document}.receipt.json"] = receipt
        for der in self.certificates:
            found[f"certificates/{hashlib.sha256(der).hexdigest()}.pem"] = pem_of(der)
        for name, der in self.revocations.items():
            found[f"revocation/{name}"] = der
        return found

    @classmethod
    def read(cls, members: Mapping[str, bytes]) -> Self:
        """
        The bundle that has these members.

        Raises:
            BundleError: some are missing, have another form or do not belong to a bundle.
        """
        try:
            found = cls(**_parts(members))
            again = found.members()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, NoteError) as problem:
            raise BundleError(f"not the parts of a bundle: {str(problem)[:200]}") from problem
        for name in sorted({*again, *members} - {*PAGES, SUMS}):
            if again.get(name) != members.get(name):
                raise BundleError(f"{name[:200]} does not belong there, or not in this form")
        return found


def sums_of(members: Mapping[str, bytes]) -> bytes:
    """What SHA256SUMS says: one line for each member, as `sha256sum` writes and checks it."""
    return "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in sorted(members.items())
        if name != SUMS
    ).encode()


def seal(members: Mapping[str, bytes]) -> bytes:
    """The archive of all members of a bundle, its pages included."""
    return write_archive({**members, SUMS: sums_of(members)})


def pem_of(der: bytes) -> bytes:
    """A certificate as text, in the one form that bundles have."""
    text = base64.b64encode(der).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""]).encode()


def revocation_names(event: Event) -> Iterator[str]:
    """Names of the revocation lists and responses that the verdict in a record rests on."""
    facts: Any = event.facts
    for source in ((facts.get("verdict") or {}).get("revocation") or {}).get("sources") or ():
        kind, _, rest = str(source).partition(":")
        digest = rest.rpartition(":")[2]
        if kind in {"crl", "ocsp"} and re.fullmatch(r"[0-9a-f]{64}", digest):
            yield f"{digest}.{kind}"


def _parts(members: Mapping[str, bytes]) -> dict[str, Any]:
    manifest = json.loads(members[MANIFEST])
    if manifest.get("v") != VERSION or not is_id(manifest["subject"]):
        raise ValueError(f"{MANIFEST}: version {VERSION} and the id of a document expected")
    checkpoint = members[CHECKPOINT].decode()
    entries, messages, reports, certificates, revocations = [], {}, {}, [], {}
    for name, content in sorted(members.items()):
        if found := _RECORD.match(name):
            entries.append(_entry(int(found[1]), content, members, checkpoint))
        elif found := _MESSAGE.match(name):
            messages[Digest(found[1])] = content
        elif found := _REPORT.match(name):
            reports[DocumentKey(found[1])] = (content, members[f"reports/{found[1]}.receipt.json"])
        elif _CERTIFICATE.match(name):
            certificates.append(ssl.PEM_cert_to_DER_cert(content.decode("ascii")))
        elif found := _REVOCATION.match(name):
            revocations[found[1]] = content
    return {
        "subject": manifest["subject"],
        "organ": manifest["organ"],
        "checkpoint": checkpoint,
        "entries": tuple(entries),
        "timestamp": members.get(TIMESTAMP),
        "messages": messages,
        "reports": reports,
        "certificates": tuple(certificates),
        "revocations": revocations,
        "policy": members[POLICY],
    }


def _entry(index: int, record: bytes, members: Mapping[str, bytes], checkpoint: str) -> Entry:
    proof = read_proof(members[f"proofs/{index:012}.tlog-proof"].decode())
    if proof.checkpoint != checkpoint or proof.index != index:
        raise ValueError(f"the proof of record {index} is against another checkpoint, or of another record")
    return Entry(index=index, event=read_record(record), path=proof.path)
