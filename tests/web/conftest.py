"""Everything here runs in the event loop that production runs in, and can see what was logged."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import structlog

from axis.ledger.blobs import FileBlobs
from axis.web.server import loop_factory
from tests.web.memory import MemoryAxis


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"production": loop_factory()}


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[MutableMapping[str, Any]]]:
    """Every line of log of this test."""
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as captured:
        yield captured


@pytest.fixture(scope="session")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> FileBlobs:
    """One folder of payloads for all tests: each is named by what it holds."""
    return FileBlobs(tmp_path_factory.mktemp("blobs"))


@pytest.fixture
def axis(tmp_path: Path, blobs: FileBlobs) -> MemoryAxis:
    """An axis in memory, of this test alone."""
    return MemoryAxis(tmp_path, blobs=blobs)
