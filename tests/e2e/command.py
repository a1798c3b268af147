"""
The `axis` command as people run it: a process of its own, with an environment of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON document and nothing else."""
        return json.loads(self.out)


def axis(*arguments: str | Path, environ: Mapping[str, str] | None = None, within_s: float = 110) -> Ended:
    """Run `axis` to its end; no setting of the person running the tests reaches it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AXIS_")}
    done = subprocess.run(
        [sys.executable, "-m", "axis", *map(str, arguments)],
        cwd=ROOT,
        env={**clean, "AXIS_LANG": "en", "COLUMNS": "120", **(environ or {})},
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)
