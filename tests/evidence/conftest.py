"""`made`: bundles of one small history, once for all tests of evidence."""

from __future__ import annotations

import pytest

from tests.evidence.making import Made, make


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Everything a bundle can hold, timestamp included."""
    return make(tmp_path_factory.mktemp("evidence"))
