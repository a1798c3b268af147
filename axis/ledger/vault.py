"""
Secrets the axis must be able to say again, such as the HMAC secret it shares with a VXP system: AES-GCM under a key file.

What is sealed lies in the ledger, the key beside the signing keys and never in a database or its backup. A sealed
secret is bound to what it belongs to: moved to another row it does not open.

The file holds one key, and while it is being renewed a second line with the one before it: the first seals, either
opens. It is read at every use, so that what one process has changed holds in all of them at once.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from axis.core.errors import ServiceUnavailable, SettingsError
from axis.core.ports import NotOurs, Randomness
from axis.ledger.disk import sync_folder
from signing.errors import MaterialError
from signing.files import write_file

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_MOST_KEYS: Final = 2


class Vault:
    """Implements `axis.core.ports.Vault`."""

    def __init__(self, path: Path, *, randomness: Randomness) -> None:
        self._path = path
        self._randomness = randomness

    def seal(self, secret: bytes, *, bound_to: str) -> str:
        """See the port."""
        cipher = AESGCM(_read(self._path)[0])
        nonce = self._randomness.take(_NONCE_BYTES)
        return base64.b64encode(nonce + cipher.encrypt(nonce, secret, bound_to.encode())).decode()

    def unseal(self, sealed: str, *, bound_to: str) -> bytes:
        """See the port."""
        try:
            content = base64.b64decode(sealed, validate=True)
            nonce, rest = content[:_NONCE_BYTES], content[_NONCE_BYTES:]
        except ValueError as problem:
            raise NotOurs(bound_to) from problem
        for key in _read(self._path):
            with contextlib.suppress(ValueError, InvalidTag):
                return AESGCM(key).decrypt(nonce, rest, bound_to.encode())
        raise NotOurs(bound_to)

    @contextlib.contextmanager
    def renewed(self) -> Iterator[None]:
        """See the port."""
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as problem:
                raise ServiceUnavailable("keys", f"{self._path.name} is being renewed already") from problem
            for begun in self._path.parent.glob(f".{self._path.name}.*"):
                begun.unlink()  # a key that a crash left half-way to its place
            keys = _read(self._path)
            if len(keys) == 1:
                _write(self._path, [self._randomness.take(KEY_BYTES), *keys])
            # With two of them a renewal was begun and not ended: it goes on with the key that it made.
            yield
            _write(self._path, _read(self._path)[:1])
        finally:
            os.close(folder)


def open_vault(path: Path, *, randomness: Randomness, may_create: bool) -> Vault:
    """
    The vault whose key lies in `path`; made on the first start of an axis.

    Raises:
        SettingsError: it is missing and may not be made, cannot be read, or somebody else can read it.
    """
    try:
        if may_create and not path.exists():
            _make(path, randomness.take(KEY_BYTES))
    except OSError as problem:
        raise SettingsError((f"AXIS_KEYS: {path}: {problem}",)) from problem
    _read(path)
    return Vault(path, randomness=randomness)


def _read(path: Path) -> Sequence[bytes]:
    """The keys in a file, the one that seals first."""
    try:
        if path.stat().st_mode & 0o077:
            raise SettingsError((f"AXIS_KEYS: {path}: others can read it; chmod 600",))
        keys = [bytes.fromhex(line) for line in path.read_text(encoding="ascii").split()]
    except (OSError, ValueError) as problem:
        raise SettingsError((f"AXIS_KEYS: {path}: {problem}",)) from problem
    if not 1 <= len(keys) <= _MOST_KEYS or any(len(key) != KEY_BYTES for key in keys):
        raise SettingsError((f"AXIS_KEYS: {path}: not {KEY_BYTES} bytes in hexadecimal",))
    return keys


def _write(path: Path, keys: Sequence[bytes]) -> None:
    """In the place of the file before it, in one step."""
    try:
        write_file(path, b"".join(key.hex().encode() + b"\n" for key in keys), mode=0o600)
        sync_folder(path.parent)
    except (MaterialError, OSError) as problem:
        raise SettingsError((f"AXIS_KEYS: {path}: {problem}",)) from problem


def _make(path: Path, key: bytes) -> None:
    """Written in full under another name first: nobody finds half a key, and the first of two processes wins."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    begun = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, key.hex().encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    with contextlib.suppress(FileExistsError):
        os.link(begun, path)
    begun.unlink()
    sync_folder(path.parent)
