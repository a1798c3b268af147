"""The command line explains itself: every command, every option, in both languages; names are those of the contract."""

from __future__ import annotations

import re

import pytest

from tests.project.commands import commands

_VALUES = re.compile(r"[a-z0-9_ |]+")
"""A list of values to choose from is the same in both languages."""

# Design: names that scripts outside the project call.
_CONTRACT = {
    "demo": {"--documents", "--stations", "--broker", "--database", "--json", "--dir"},
    "up": set(),
    "hub": set(),
    "web": set(),
    "broker plan": set(),
    "broker apply": set(),
    "organ import": set(),
    "organ show": set(),
    "organ search": set(),
    "station add": {"--organs", "--channel", "--signature"},
    "station list": set(),
    "station show": set(),
    "station suspend": set(),
    "station resume": set(),
    "station rotate": set(),
    "send": {"--station"},
    "receive": {"--into", "--station"},
    "ack": {"--station"},
    "answer": {"--status", "--station"},
    "inspect": {"--json"},
    "verify": {"--trust", "--crl", "--at", "--json"},
    "sign": {"--key", "--cert", "-o"},
    "log": {
        "--organ",
        "--from",
        "--to",
        "--state",
        "--subject",
        "--number",
        "--reason",
        "--acts",
        "--format",
    },
    "show": set(),
    "count": {"--from", "--to", "--by", "--format"},
    "failed": set(),
    "replay plan": set(),
    "replay run": set(),
    "ledger check": set(),
    "doctor": set(),
    "config": set(),
}


@pytest.mark.parametrize("name", sorted(_CONTRACT))
def test_the_names_others_call_are_there(name: str) -> None:
    """Commands and options; more may be added, none renamed."""
    command = commands("en").get(name)

    assert command is not None
    assert _CONTRACT[name] <= command.spellings


def test_every_command_and_option_says_what_it_does_in_both_languages() -> None:
    """Nothing is left to guess, and nobody gets the other language."""
    vi, en = commands("vi"), commands("en")

    assert vi.keys() == en.keys()
    silent = []
    for name, command in en.items():
        if not command.help or command.help == vi[name].help:
            silent.append(f"axis {name}")
        silent += [
            f"axis {name} {option}"
            for option, text in command.options.items()
            if "--help" not in option and "-completion" not in option
            if not text or (text == vi[name].options[option] and not _VALUES.fullmatch(text))
        ]
    assert silent == []


def test_english_help_is_english() -> None:
    """No Vietnamese letters in it."""
    letters = re.compile(r"[ăđơưạảấầậắặẹẻếềệịọỏốồộớờợụủứừựỳ]")

    assert [one.name for one in commands("en").values() if letters.search(one.help)] == []
