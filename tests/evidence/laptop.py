"""A laptop that has nothing of ours: an environment with `cryptography` and what it stands on, and `verify.py`."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from axis.evidence import verify as standalone

_NEEDED = ("cryptography", "cffi", "_cffi_backend", "pycparser")


def laptop(folder: Path) -> Path:
    """A virtual environment in `folder`: a desk without a network installs nothing, so packages are linked."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--symlinks", folder], check=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    for name in _NEEDED:
        found = importlib.util.find_spec(name)
        if found is not None and found.origin is not None:
            origin = Path(found.origin)
            source = origin.parent if origin.name == "__init__.py" else origin
            (packages / source.name).symlink_to(source)
    (folder / "verify.py").write_bytes(Path(standalone.__file__).read_bytes())
    return folder


def run(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """A command in that folder, which knows of no other."""
    return subprocess.run(
        command, cwd=folder, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
    )
