"""
Test collections of other projects, as they stand in their source distributions at the package registry.

They are fetched once with pip, at test time, into a folder that git ignores, and never committed. A test that needs
one fails where it cannot be had; it is never skipped.
"""

import subprocess
import sys
import tarfile
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / ".run" / "collections"


@cache
def collection(project: str) -> Path:
    """The unpacked source distribution of the version that is installed here."""
    wanted = version(project)
    target = FOLDER / f"{project}-{wanted}"
    if target.exists():
        return target
    FOLDER.mkdir(parents=True, exist_ok=True)
    archive = _download(project, wanted, FOLDER)
    unpacking = FOLDER / f".{target.name}.{archive.stat().st_mtime_ns}"
    with tarfile.open(archive) as tar:
        tar.extractall(unpacking, filter="data")
    (inner,) = unpacking.iterdir()
    try:
        inner.rename(target)
    except OSError:
        # Another worker was faster; what it unpacked is the same.
        assert target.exists(), target
    archive.unlink(missing_ok=True)
    return target


def _download(project: str, wanted: str, folder: Path) -> Path:
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
        *("--no-binary", project, "--dest", str(folder / f".{project}"), f"{project}=={wanted}"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    found = sorted((folder / f".{project}").glob("*.tar.gz"))
    if done.returncode or not found:
        pytest.fail(
            f"This test needs the source distribution of {project} {wanted}, and pip could not fetch it. "
            f"Give pip a registry that has it, or unpack it into {folder.name}/{project}-{wanted} yourself.\n"
            f"{done.stderr.strip()[-800:]}",
            pytrace=False,
        )
    return found[-1]
