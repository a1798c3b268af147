"""A hundred megabytes of attachments: judged and stored in memory that does not depend on them."""

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pybase64
import pytest

from signing.algorithms import DS
from tests.signing.bench import a_message, cpu_ms, ours, signxml
from tests.signing.builders import (
    AT,
    AnAttachment,
    Surgery,
    a_document,
    pki,
    signed,
)

MEGABYTE = 1024 * 1024
BLOCK = 3 * MEGABYTE
_MARK = b"PLACEHOLDER"

CHILD = """
import json, re, sys
from datetime import datetime
from pathlib import Path

message, roots, folder, at = sys.argv[1:]

class Disk:
    '''What a hub does: every decoded byte is written once.'''
    def __init__(self):
        self.file, self.written = None, 0
    def begin(self, index):
        self.file = (Path(folder) / str(index)).open("wb")
    def write(self, index, chunk):
        self.written += self.file.write(chunk)
    def end(self, part):
        self.file.close()

from signing.certificates import TrustStore
from signing.verify import judge
sink = Disk()
with open(message, "rb") as source:
    verdict = judge(source, trust=TrustStore.from_files(Path(roots)), at=datetime.fromisoformat(at), sink=sink)
print(json.dumps({
    "tier": verdict.tier, "detail": verdict.detail, "written": sink.written,
    "digests": [one.sha256 for one in verdict.attachments],
    # Not ru_maxrss: that one remembers the process from which this one was started.
    "peak_kb": int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]),
}))
"""


def blocks(seed: int, size: int) -> Iterator[bytes]:
    """Bytes that look like a PDF to nobody and compress for nobody, the same each time."""
    source = random.Random(seed)
    block = source.randbytes(BLOCK)
    for _ in range(size // BLOCK):
        yield block
    yield block[: size % BLOCK]


def write_large(path: Path, *, sizes: list[int]) -> list[str]:
    """
    A signed message with attachments of these sizes, never as a whole in memory here either.

    It is signed with placeholders; then their digests are exchanged for the true ones and it is signed again.
    """
    placeholders = [_MARK + b"%d" % n for n in range(len(sizes))]
    small = signed(
        a_document(
            attachments=[
                AnAttachment(content_id=f"c{n}", content=placeholder)
                for n, placeholder in enumerate(placeholders)
            ]
        )
    )
    digests = []
    surgery = Surgery(small)
    for n, size in enumerate(sizes):
        digest = hashlib.sha256()
        for block in blocks(n, size):
            digest.update(block)
        digests.append(digest.hexdigest())
        reference = next(r for r in surgery.root.iter(f"{{{DS}}}Reference") if r.get("URI") == f"#att-c{n}")
        value = reference.find(f"{{{DS}}}DigestValue")
        assert value is not None
        value.text = pybase64.b64encode(digest.digest()).decode()
    skeleton = surgery.close_resigned()
    with path.open("wb") as file:
        for n, size in enumerate(sizes):
            before, skeleton = skeleton.split(pybase64.b64encode(placeholders[n]), 1)
            file.write(before)
            for block in blocks(n, size):
                # Every block but the last is a multiple of three, so that the texts join.
                file.write(pybase64.b64encode(block))
        file.write(skeleton)
    return digests


def run_child(folder: Path, message: Path) -> dict[str, object]:
    roots, contents = folder / "trust.pem", folder / "contents"
    roots.write_bytes(pki().trust_pem)
    contents.mkdir(exist_ok=True)
    command = [sys.executable, "-c", CHILD, str(message), str(roots), str(contents), AT.isoformat()]
    done = subprocess.run(command, capture_output=True, check=False, timeout=100, cwd=Path.cwd())
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param([100 * MEGABYTE], id="one of 100 MB"),
        pytest.param([4 * MEGABYTE - 1] * 25, id="25 of 4 MB"),
    ],
)
def test_a_hundred_megabytes_are_judged_and_stored_in_constant_memory(
    sizes: list[int], tmp_path: Path
) -> None:
    """Under 120 MB for the whole process, libraries included; each decoded byte is written once."""
    message = tmp_path / "large.edxml"
    digests = write_large(message, sizes=sizes)

    found = run_child(tmp_path, message)

    assert (found["tier"], found["detail"], found["digests"]) == ("passed", "", digests)
    assert found["written"] == sum(sizes)
    stored = [(tmp_path / "contents" / str(n)).read_bytes() for n in range(len(sizes))]
    assert [hashlib.sha256(content).hexdigest() for content in stored] == digests
    assert isinstance(found["peak_kb"], int)
    assert found["peak_kb"] < 120 * 1024


def test_memory_does_not_grow_with_the_message(tmp_path: Path) -> None:
    """Ten times the size, the same peak within a few chunks."""
    peaks = []
    for size in (10 * MEGABYTE, 100 * MEGABYTE):
        message = tmp_path / f"{size}.edxml"
        write_large(message, sizes=[size])
        peak = run_child(tmp_path, message)["peak_kb"]
        assert isinstance(peak, int)
        peaks.append(peak)

    assert peaks[1] - peaks[0] < 4 * 1024


def test_a_small_message_is_no_slower_than_by_a_tree() -> None:
    """Cutting the stream pays for large messages; for small ones it must not cost: signxml judges by a whole tree."""
    message = a_message(10_000)

    ours_ms, tree_ms = cpu_ms(partial(ours, message), partial(signxml, message, roots=None))

    assert ours_ms < tree_ms
