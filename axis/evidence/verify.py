"""
Verify an evidence bundle of the axis without the axis: one file, Python 3.11 and `cryptography`, nothing else.

    python verify.py bundle.zip --keys axis-keys.txt [--message FILE]

`axis-keys.txt` holds the public keys you trust, one a line: `log <name>+<id>+<base64>`. Get it from whom you trust,
never from the bundle. No network, nothing is written. Exit status: 0 it holds, 1 it does not, 2 wrong usage.

    1 archive     the zip is the only one its files make: stored, sorted, fixed times, nothing hidden between
    2 sums        SHA256SUMS names every file with its SHA-256
    3 checkpoint  the head of the log is signed by a key you trust (Ed25519, C2SP signed note)
    4 inclusion   every record is a leaf of that log (RFC 9162)
    5 records     all are about one document, and none is missing in front of another
    6 digests     the message and its attachments have the SHA-256 that the record of its acceptance says

What it does not do: judge the signature inside the message, the timestamp (VERIFY.md has the openssl command), or
whether cover.html says the same as the records. `axis evidence verify` does. Read the records, not the cover.
"""

import argparse
import base64
import binascii
import hashlib
import io
import json
import re
import struct
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any
from xml.parsers import expat

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Refused(Exception):
    """The bundle does not hold."""


# --- 1, 2: the archive ------------------------------------------------------------------------------------------------


def read_archive(archive: bytes) -> dict[str, bytes]:
    """All files of the zip, after making sure that it is the one zip these files make."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as found:
            infos = found.infolist()
            if any(one.compress_type != zipfile.ZIP_STORED or one.file_size > len(archive) for one in infos):
                raise Refused("archive: something in it is compressed")
            files = {one.filename: found.read(one) for one in infos}
    except (
        zipfile.BadZipFile,
        OSError,
        ValueError,
        RuntimeError,
        EOFError,
        struct.error,
        OverflowError,
    ) as problem:
        raise Refused(f"archive: {problem}") from problem
    if write_archive(files) != archive:
        raise Refused("archive: it is not the zip that its files make")
    return files


def write_archive(files: dict[str, bytes]) -> bytes:
    """Stored, in the order of the names, 1 January 1980, permissions 0644 of Unix, no comment, no extra field."""
    body, directory = b"", b""
    for name, content in sorted(files.items()):
        raw = name.encode()
        common = struct.pack(
            "<HHHHHIIIHH", 20, 0, 0, 0, 0x21, zlib.crc32(content), len(content), len(content), len(raw), 0
        )
        more = struct.pack("<HHHII", 0, 0, 0, 0o100644 << 16, len(body))
        directory += b"PK\1\2" + struct.pack("<H", 3 << 8 | 20) + common + more + raw
        body += b"PK\3\4" + common + raw + content
    end = struct.pack("<HHHHIIH", 0, 0, len(files), len(files), len(directory), len(body), 0)
    return body + directory + b"PK\5\6" + end


def check_sums(files: dict[str, bytes]) -> None:
    """SHA256SUMS names every other file, and nothing else."""
    sums = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in sorted(files.items())
        if name != "SHA256SUMS"
    )
    if files.get("SHA256SUMS") != sums.encode():
        raise Refused("sums: SHA256SUMS is not that of the other files")


# --- 3: the checkpoint ------------------------------------------------------------------------------------------------


def read_keys(text: str) -> dict[tuple[str, bytes], Ed25519PublicKey]:
    """The lines `log <name>+<id>+<base64 of 0x01 and the key>`: (name, id) -> key."""
    keys = {}
    for line in text.splitlines():
        if line.startswith("log "):
            name, digits, encoded = line.removeprefix("log ").strip().split("+", 2)
            raw = base64.b64decode(encoded, validate=True)
            key_id = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
            if raw[:1] != b"\1" or key_id.hex() != digits:
                raise ValueError(f"not an Ed25519 key with its id: {name}")
            keys[name, key_id] = Ed25519PublicKey.from_public_bytes(raw[1:])
    if not keys:
        raise ValueError("no line 'log <key>'")
    return keys


def check_checkpoint(note: str, keys: dict[tuple[str, bytes], Ed25519PublicKey]) -> tuple[str, int, bytes]:
    """Origin, size and root of the log, as a key you trust signed them."""
    text, blank, signatures = note.partition("\n\n")
    lines = text.split("\n")
    if not blank or len(lines) != 3 or not re.fullmatch(r"0|[1-9][0-9]*", lines[1]):
        raise Refused("checkpoint: origin, size and root expected")
    origin, size, root = lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True)
    for line in signatures.splitlines():
        name, _, encoded = line.removeprefix("\u2014 ").rpartition(" ")
        raw = base64.b64decode(encoded, validate=True)
        key = keys.get((name, raw[:4]))
        # After a restored backup a log goes on under `<name>/epoch-<n>`, and says so in public.
        if key is not None and (
            origin == name or re.fullmatch(re.escape(name) + r"/epoch-[1-9][0-9]*", origin)
        ):
            try:
                key.verify(raw[4:], (text + "\n").encode())
            except InvalidSignature as problem:
                raise Refused(f"checkpoint: {name} did not sign it") from problem
            return origin, size, root
    raise Refused("checkpoint: not signed by a key you trust for this log")


# --- 4: inclusion -----------------------------------------------------------------------------------------------------


def check_inclusion(
    record: bytes, proof: str, *, checkpoint: str, index: int, size: int, root: bytes
) -> None:
    """The record is leaf `index` of the log (RFC 9162, 2.1.3.2); the proof is a C2SP tlog-proof against it."""
    head, _, note = proof.partition("\n\n")
    lines = head.split("\n")
    if note != checkpoint or lines[:2] != ["c2sp.org/tlog-proof@v1", f"index {index}"]:
        raise Refused(f"inclusion: the proof of record {index} is for something else")
    if not 0 <= index < size:
        raise Refused(f"inclusion: no record {index} in a log of {size}")
    node, last = index, size - 1
    found = hashlib.sha256(b"\0" + record).digest()
    for line in lines[2:]:
        other = base64.b64decode(line, validate=True)
        if last == 0 or len(other) != 32:
            raise Refused(f"inclusion: the proof of record {index} is too long")
        if node & 1 or node == last:
            found = hashlib.sha256(b"\1" + other + found).digest()
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = hashlib.sha256(b"\1" + found + other).digest()
        node, last = node >> 1, last >> 1
    if last or found != root:
        raise Refused(f"inclusion: record {index} does not stand in that log")


# --- 5, 6: what the records say ---------------------------------------------------------------------------------------


def check_records(subject: str, records: list[tuple[int, bytes]]) -> list[dict[str, Any]]:
    """One life: about the document, its submissions and supplementary sendings; each behind the one it names."""
    read = [json.loads(record) for _, record in records]
    accepted = [
        one for one in read if one["kind"] == "submission.accepted" and one["facts"]["root"] == subject
    ]
    known = {subject} | {one["document"] for one in accepted} | {one["submission"] for one in accepted}
    before: set[str] = set()
    for (index, record), one in zip(records, read, strict=True):
        if not {one.get("document"), one.get("submission")} & known:
            raise Refused(f"records: record {index} is about another document")
        if one.get("previous") is not None and one["previous"] not in before:
            raise Refused(f"records: the one that record {index} names is not there")
        before.add(hashlib.sha256(b"\0" + record).hexdigest())
    if not read:
        raise Refused("records: there are none")
    return read


def check_message(message: bytes, records: list[dict[str, Any]]) -> str:
    """The bytes are those of one record, and hold exactly the attachments it names."""
    digest = hashlib.sha256(message).hexdigest()
    named = [one["facts"] for one in records if one["facts"].get("digest") == digest]
    if not named:
        raise Refused(f"digests: no record names a message with SHA-256 {digest}")
    attachments = next((one["attachments"] for one in named if "attachments" in one), None)
    if attachments is not None:
        found = sorted(hashlib.sha256(one).hexdigest() for one in attachments_in(message))
        if found != sorted(one["sha256"] for one in attachments):
            raise Refused("digests: the attachments are not those of the record")
    return digest


def attachments_in(message: bytes) -> list[bytes]:
    """Contents of the elements ContentTransferEncoded; a message with a document type is refused unread."""
    found: list[list[str]] = []
    inside = False

    def start(name: str, _attributes: dict[str, str]) -> None:
        nonlocal inside
        inside = name.rpartition(" ")[2] == "ContentTransferEncoded"
        if inside:
            found.append([])

    def end(_name: str) -> None:
        nonlocal inside
        inside = False

    def text(piece: str) -> None:
        if inside:
            found[-1].append(piece)

    def doctype(*_: object) -> None:
        raise Refused("digests: the message has a document type")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(message, True)
        return [base64.b64decode("".join("".join(one).split()), validate=True) for one in found]
    except (expat.ExpatError, binascii.Error) as problem:
        raise Refused(f"digests: the message cannot be read: {problem}") from problem


# --- all of it --------------------------------------------------------------------------------------------------------


def verify(
    archive: bytes, keys: dict[tuple[str, bytes], Ed25519PublicKey], message: bytes | None
) -> list[str]:
    """What holds, one line a step; raises `Refused` at the first that does not."""
    files = read_archive(archive)
    check_sums(files)
    said = [
        f"archive     {len(files)} files, the only zip they make",
        "sums        every file has its SHA-256",
    ]
    checkpoint = files["checkpoint.txt"].decode()
    origin, size, root = check_checkpoint(checkpoint, keys)
    said.append(f"checkpoint  {origin}: {size} records")
    records = []
    for name, record in sorted(files.items()):
        if name.startswith("records/"):
            index = int(name.removeprefix("records/").removesuffix(".json"))
            proof = files[f"proofs/{index:012}.tlog-proof"].decode()
            check_inclusion(record, proof, checkpoint=checkpoint, index=index, size=size, root=root)
            records.append((index, record))
    said.append(f"inclusion   all {len(records)} records stand in it")
    read = check_records(json.loads(files["bundle.json"])["subject"], records)
    said += ["records     one document:"] + [f"            {one['at']}  {one['kind']}" for one in read]
    messages = [content for name, content in sorted(files.items()) if name.startswith("messages/")]
    for one in messages + ([message] if message is not None else []):
        said.append(f"digests     message {check_message(one, read)} and its attachments")
    if not messages and message is None:
        said.append("digests     the message is not in the bundle; give it with --message")
    return said


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Verify an evidence bundle without the axis.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--keys", type=Path, required=True, help="public keys you trust, lines 'log <key>'")
    parser.add_argument("--message", type=Path, help="the document, where the bundle has only its digest")
    chosen = parser.parse_args()
    try:
        keys = read_keys(chosen.keys.read_text(encoding="utf-8"))
        archive = chosen.bundle.read_bytes()
        message = chosen.message.read_bytes() if chosen.message is not None else None
    except (OSError, ValueError) as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    try:
        said = verify(archive, keys, message)
    except Refused as problem:
        sys.stdout.write(f"REFUSED     {problem}\n")
        return 1
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as problem:
        sys.stdout.write(f"REFUSED     a file has another form: {type(problem).__name__} {problem}\n")
        return 1
    sys.stdout.write("\n".join([*said, "HOLDS       cover.html, timestamp and signature: see VERIFY.md", ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
