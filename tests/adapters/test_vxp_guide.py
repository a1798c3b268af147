"""docs/vxp.md says what the gateway does: its recorded examples, its operations and its error codes."""

from __future__ import annotations

from adapters.vxp import _OPERATIONS
from adapters.vxp_words import ErrorCode
from tests.adapters.vxp_record import GUIDE, recorded, within


async def test_the_recorded_examples_are_what_the_gateway_does() -> None:
    """When this fails and the change is meant: `python -m tests.adapters.vxp_record`."""
    guide = GUIDE.read_text()

    assert within(guide, await recorded()) == guide


def test_every_operation_and_every_code_is_explained() -> None:
    """In the tables of the guide."""
    guide = GUIDE.read_text()

    for name in _OPERATIONS:
        assert f"`{name}`" in guide.lower()
    for code in ErrorCode:
        assert f"| `{code.value}` |" in guide
