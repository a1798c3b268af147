"""docs/broker.md names tests as its proof: they must be there."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent


def test_every_test_the_document_names_exists() -> None:
    document = (HERE.parents[1] / "docs" / "broker.md").read_text(encoding="utf-8")
    written = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py"))

    named = re.findall(r"`(test_\w+)`", document)

    assert len(named) > 8
    assert [name for name in named if f"def {name}(" not in written] == []
