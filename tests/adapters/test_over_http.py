"""The station's client over HTTP: the whole contract, and what is HTTP's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.adapters.contract import StationContract
from tests.adapters.worlds import HTTPWorld, http_world
from tests.services.proxy import TCPProxy


@pytest.fixture(name="world")
async def _world(tmp_path: Path, tcp_proxy: Callable[[str], TCPProxy]) -> AsyncIterator[HTTPWorld]:
    async with http_world(tmp_path / "axis", tcp_proxy) as world:
        yield world


class TestContract(StationContract):
    """Everything a station may rely on."""
