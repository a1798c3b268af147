"""
Secrets the axis must be able to say again, such as the HMAC secret it shares with a VXP system: AES-GCM under a key file.

What is sealed lies in the ledger, the key beside the signing keys and never in a database or its backup. A sealed
secret is bound to what it belongs to: moved to another row it does not open.
"""

from __future__ import annotations

import base64
import contextlib
import os
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from axis.core.errors import SettingsError
from axis.core.ports import Randomness
from axis.ledger.disk import sync_folder

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class NotOurs(Exception):
    """Sealed under another key, bound to something else, or changed since."""


class Vault:
    """Implements `axis.core.ports.Vault`."""

    def __init__(self, key: bytes, *, randomness: Randomness) -> None:
        self._cipher = AESGCM(key)
        self._randomness = randomness

    def seal(self, secret: bytes, *, bound_to: str) -> str:
        """See the port."""
        nonce = self._randomness.take(_NONCE_BYTES)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, secret, bound_to.encode())).decode()

    def unseal(self, sealed: str, *, bound_to: str) -> bytes:
        """
        The secret again.

        Raises:
            NotOurs: this is not what was sealed for `bound_to` under this key.
        """
        try:
            content = base64.b64decode(sealed, validate=True)
            nonce, rest = content[:_NONCE_BYTES], content[_NONCE_BYTES:]
            return self._cipher.decrypt(nonce, rest, bound_to.encode())
        except (ValueError, InvalidTag) as problem:
            raise NotOurs(bound_to) from problem


def open_vault(path: Path, *, randomness: Randomness, may_create: bool) -> Vault:
    """
    The vault whose key lies in `path`; made on the first start of an axis.

    Raises:
        SettingsError: it is missing and may not be made, cannot be read, or somebody else can read it.
    """
    try:
        if may_create and not path.exists():
            _make(path, randomness.take(KEY_BYTES))
        if path.stat().st_mode & 0o077:
            raise SettingsError((f"AXIS_KEYS: {path}: others can read it; chmod 600",))
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as problem:
        raise SettingsError((f"AXIS_KEYS: {path}: {problem}",)) from problem
    if len(key) != KEY_BYTES:
        raise SettingsError((f"AXIS_KEYS: {path}: not {KEY_BYTES} bytes in hexadecimal",))
    return Vault(key, randomness=randomness)


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
