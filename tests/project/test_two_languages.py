"""What the command line says went wrong is Vietnamese, and English for who asks for it."""

from __future__ import annotations

import sys

import pytest

from axis import cli, speech
from axis.core.errors import InvalidQuestion
from axis.ledger.seals import HistoryBroken

NO_FILE = ["axis", "log", "--format", "xlsx"]


@pytest.mark.parametrize(
    ("in_english", "said"),
    [
        (False, "--format xlsx cần tệp ghi ra: -o FILE.xlsx"),
        (True, "--format xlsx needs a file: -o FILE.xlsx"),
    ],
)
def test_a_question_that_makes_no_sense(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], in_english: bool, said: str
) -> None:
    """Exit status 2, before anything is opened."""
    monkeypatch.setattr(speech, "IN_ENGLISH", in_english)
    monkeypatch.setattr(sys, "argv", NO_FILE)

    with pytest.raises(SystemExit) as ended:
        cli.main()

    assert ended.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (InvalidQuestion(vi="không có tháng này", en="no such month"), 2),
        (HistoryBroken(vi="không có tháng này", en="no such month"), 1),
        (ExceptionGroup("parts", [HistoryBroken(vi="không có tháng này", en="no such month")]), 1),
    ],
    ids=["question", "history", "history of a service"],
)
@pytest.mark.parametrize("in_english", [False, True])
def test_what_ends_a_command(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    problem: Exception,
    status: int,
    in_english: bool,
) -> None:
    """One language at a time; logs, which are for machines, have the English one."""

    def ends() -> None:
        raise problem

    monkeypatch.setattr(speech, "IN_ENGLISH", in_english)
    monkeypatch.setattr(cli, "app", ends)

    with pytest.raises(SystemExit) as ended:
        cli.main()

    shown = capsys.readouterr().err
    assert ended.value.code == status
    assert ("no such month" in shown, "không có tháng này" in shown) == (in_english, not in_english)
