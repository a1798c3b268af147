"""A schema is compiled once in a process, however many threads ask for it first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_AT_THE_SAME_TIME = """
import threading
from lxml import etree
import schemas_xsd

compiled, inside = [], []

class Slow(schemas_xsd.Schema):
    def __init__(self, name):
        inside.append(name)
        assert len(inside) == 1, "two compile at the same time"
        super().__init__(name)
        threading.Event().wait(0.05)
        inside.pop()
        compiled.append(name)

schemas_xsd.Schema = Slow
start = threading.Barrier(8)

def ask(name):
    start.wait()
    schemas_xsd.schema(name)

names = list(schemas_xsd.SchemaName) * 4
threads = [threading.Thread(target=ask, args=(name,)) for name in names]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sorted(compiled))
"""


def test_threads_that_ask_first_together_wait_for_one_that_compiles() -> None:
    """Each schema once, and one after the other: libxml2 is not ready for two at its first ones."""
    done = subprocess.run(
        [sys.executable, "-c", _AT_THE_SAME_TIME],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )

    assert done.stdout == "[<SchemaName.STRICT: 'strict'>, <SchemaName.WIRE: 'wire'>]\n", done.stderr
