"""The command line explains itself: every command, every option, in both languages; names are those of the contract."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import cache

import pytest

_WALK = """
import json
from typer.main import get_command
from axis.cli import app

found = {}

def walk(command, name):
    inner = getattr(command, "commands", None)
    options = {one.opts[-1]: getattr(one, "help", None) for one in command.params if one.opts[0].startswith("-")}
    found[name] = {"help": command.help, "is_group": bool(inner), "options": options}
    for word, one in (inner or {}).items():
        walk(one, f"{name} {word}".strip())

walk(get_command(app), "")
print(json.dumps(found))
"""

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


@cache
def _helps(language: str) -> dict[str, dict[str, object]]:
    environment = {**os.environ, "AXIS_LANG": language}
    done = subprocess.run(
        [sys.executable, "-c", _WALK], env=environment, capture_output=True, text=True, check=True
    )
    found: dict[str, dict[str, object]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", sorted(_CONTRACT))
def test_the_names_others_call_are_there(name: str) -> None:
    """Commands and options; more may be added, none renamed."""
    command = _helps("en").get(name)

    assert command is not None
    spellings = set(re.findall(r"\S+", " ".join(_options(name))))
    assert _CONTRACT[name] <= spellings


def _options(name: str) -> list[str]:
    from typer.main import get_command

    from axis.cli import app

    command: object = get_command(app)
    for word in name.split():
        command = command.commands[word]  # type: ignore[attr-defined] # a group until the last word
    return [spelling for one in command.params for spelling in one.opts]  # type: ignore[attr-defined] # as above


def test_every_command_and_option_says_what_it_does_in_both_languages() -> None:
    """Nothing is left to guess, and nobody gets the other language."""
    vi, en = _helps("vi"), _helps("en")

    assert vi.keys() == en.keys()
    silent = []
    for name, command in en.items():
        if not command["help"] or command["help"] == vi[name]["help"]:
            silent.append(f"axis {name}")
        options = command["options"]
        theirs = vi[name]["options"]
        assert isinstance(options, dict)
        assert isinstance(theirs, dict)
        silent += [
            f"axis {name} {option}"
            for option, text in options.items()
            if option not in {"--help", "--install-completion", "--show-completion"}
            and (not text or (text == theirs[option] and not _VALUES.fullmatch(text)))
        ]
    assert silent == []


def test_english_help_is_english() -> None:
    """No Vietnamese letters in it."""
    texts = [str(one["help"]) for one in _helps("en").values()]

    assert [text for text in texts if re.search(r"[ăđơưạảấầậắặẹẻếềệịọỏốồộớờợụủứừựỳ]", text)] == []
