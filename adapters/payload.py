"""
The bytes of one document while they arrive: counted and hashed, and complete only when they are what the header says.

Small ones stay in memory, large ones lie in the spool. Nothing here gives out bytes that were not verified.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from typing import IO, Final

from adapters.errors import BadAnswer, MemoryUnusable
from axis.core.model import Digest

IN_MEMORY_BYTES: Final = 8 * 1024 * 1024
"""Above this a payload lies in a file while the caller has it."""


class Payload:
    """One payload under way. `have` says where a download that was cut off goes on."""

    def __init__(self, *, size: int, digest: Digest, spool: Path) -> None:
        self.size = size
        self.digest = digest
        self.have = 0
        self._spool = spool
        self._hash = hashlib.sha256()
        self._pieces: list[bytes] = []
        self._file: IO[bytes] | None = None
        self._path: Path | None = None
        self._body: bytes | None = None

    def write(self, piece: bytes) -> None:
        """
        More of it.

        Raises:
            BadAnswer: there is more than the header says.
            MemoryUnusable: the disk does not take it.
        """
        if self.have + len(piece) > self.size:
            raise BadAnswer(f"the payload is longer than the {self.size} bytes its header says")
        if self.size <= IN_MEMORY_BYTES:
            self._pieces.append(piece)
        else:
            try:
                if self._file is None:
                    self._file = self._open()
                self._file.write(piece)
            except OSError as error:
                raise MemoryUnusable(f"{self._spool}: {error.strerror}") from error
        self._hash.update(piece)
        self.have += len(piece)

    def _open(self) -> IO[bytes]:
        descriptor, name = tempfile.mkstemp(dir=self._spool, prefix=f"{self.digest}.")
        self._path = Path(name)
        return os.fdopen(descriptor, "wb")

    def restart(self) -> None:
        """What has arrived is not what it should be: begin anew."""
        self.discard()
        self.have = 0
        self._hash = hashlib.sha256()

    def is_verified(self) -> bool:
        """
        Whether every byte is here and the digest is the header's.

        Raises:
            MemoryUnusable: the disk does not take the last of it.
        """
        if self.have != self.size or self._hash.hexdigest() != self.digest:
            return False
        if self._path is None and self._body is None:
            self._body = b"".join(self._pieces)
            self._pieces.clear()
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                raise MemoryUnusable(f"{self._spool}: {error.strerror}") from error
            self._file = None
        return True

    @property
    def path(self) -> Path | None:
        """The file it lies in, or None when it is in memory."""
        return self._path

    def read(self) -> bytes:
        """
        The verified bytes.

        Raises:
            BadAnswer: they are not verified, or were discarded.
        """
        if self._body is not None:
            return self._body
        if self._path is None or self._file is not None:
            raise BadAnswer("the payload is not here any more")
        try:
            return self._path.read_bytes()
        except OSError as error:
            raise MemoryUnusable(f"{self._path}: {error.strerror}") from error

    def discard(self) -> None:
        """Let go of the bytes."""
        self._pieces.clear()
        self._body = None
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()
            self._path = None
