"""Everything here runs in the event loop that production runs in."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from axis.web.server import loop_factory


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"production": loop_factory()}
