"""
What a station saw, as lines of JSON that survive its being killed: the evidence the account is made from.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SENT, TAKEN, FAILED = "sent", "taken", "failed"

Line = Mapping[str, Any]


@dataclass(slots=True)
class Journal:
    """One station's file, appended to by one process at a time."""

    path: Path
    _read_to: int = 0

    def write(self, what: str, **facts: object) -> None:
        """One line with one write: killed before or after, never in the middle of it as far as the kernel can help."""
        line = json.dumps({"what": what, **facts}) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    def new_lines(self) -> Iterator[Line]:
        """Complete lines that were not read before."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._read_to)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read_to += len(line)
                yield json.loads(line)
