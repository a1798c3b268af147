"""
Files of ours: keys, certificates, lists, signed messages. Read whole, written whole or not at all.

Errors name the file by its last part only, so that no folder of the machine ends up in a report.
"""

import os
import tempfile
from pathlib import Path

from signing.errors import MaterialError


def read_file(path: Path) -> bytes:
    """
    All bytes of a file.

    Raises:
        MaterialError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise MaterialError("file.unreadable", f"{path.name}: {error.strerror}") from error


def write_file(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """
    Write a file so that whoever looks sees the old one or the whole new one, also after a crash.

    Raises:
        MaterialError: the folder does not take it.
    """
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:64]}.")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise MaterialError("file.unwritable", f"{path.name}: {error.strerror}") from error
