"""`axis replay` from the command line: planned, looked at, run, and nothing left out in silence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from axis.bootstrap.parts import open_axis
from axis.core.lifecycle import DeliveryStep
from axis.settings import read_settings
from tests.e2e.command import Ended, axis
from tests.ledger.builders import Story

_GROUP = "delivery:deliver.not_taken"


def _on(home: Path, *arguments: str) -> Ended:
    return axis(*arguments, environ={"AXIS_HOME": str(home)})


@pytest.fixture
async def home(tmp_path: Path) -> Path:
    """An axis with three failed deliveries."""
    folder = tmp_path / "home"
    settings = read_settings({"AXIS_HOME": str(folder), "PATH": os.environ["PATH"]})
    folder.mkdir(mode=0o700)
    async with open_axis(settings, may_create=True) as opened:
        story = Story(opened.ledger)
        await story.organs({1: None, 11: None, 12: None, 13: None})
        sent = await story.accepted(sender=1, to=(11, 12, 13))
        await story.stepped(sent, DeliveryStep.FAIL, organs=[11, 12, 13])
    return folder


async def test_a_group_is_planned_in_parts_and_each_part_says_that_there_is_more(home: Path) -> None:
    first = _on(home, "replay", "plan", _GROUP, "--limit", "2", "--reason", "mended", "--json")
    told = _on(home, "replay", "plan", _GROUP, "--limit", "2", "--dry-run")

    assert first.status == 0, first.err
    assert (first.json["total"], first.json["more"], len(first.json["items"])) == (2, True, 2)
    assert "There are more" in told.err

    run = _on(home, "replay", "run", first.json["plan"], "--reason", "mended", "--json")
    assert (run.status, run.json["done"], run.json["failed_again"]) == (0, 2, 0), run.err
    shown = _on(home, "replay", "show", first.json["plan"], "--json").json
    assert (shown["state"], [one["result"] for one in shown["items"]]) == ("done", ["offered"] * 2)

    rest = _on(home, "replay", "plan", _GROUP, "--limit", "2", "--reason", "mended", "--json")
    assert (rest.json["total"], rest.json["more"]) == (1, False)
