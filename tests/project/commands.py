"""The command line as it describes itself: every command and option, in either language."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache

_WALK = """
import json
from typer.main import get_command
from axis.cli import app

found = []

def walk(command, name):
    inner = getattr(command, "commands", None)
    options, arguments = {}, []
    for one in command.params:
        if one.opts[0].startswith("-"):
            options[" ".join(one.opts)] = getattr(one, "help", None)
        else:
            arguments.append(one.metavar or one.name.upper())
    found.append([name, command.help, bool(inner), arguments, options])
    for word, one in (inner or {}).items():
        walk(one, f"{name} {word}".strip())

walk(get_command(app), "")
print(json.dumps(found))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command, or a group of them."""

    name: str
    """Without `axis`; empty for the whole."""
    help: str
    is_group: bool
    arguments: tuple[str, ...]
    options: dict[str, str]
    """All spellings of an option -> its help."""

    @property
    def spellings(self) -> set[str]:
        """Every way to write an option."""
        return {spelling for one in self.options for spelling in one.split()}


@cache
def commands(language: str) -> dict[str, Command]:
    """Every command by its name; asked in a process of its own, as help texts are chosen when it starts."""
    environment = {**os.environ, "AXIS_LANG": language}
    done = subprocess.run(
        [sys.executable, "-c", _WALK], env=environment, capture_output=True, text=True, check=True
    )
    return {
        name: Command(
            name=name,
            help=text or "",
            is_group=is_group,
            arguments=tuple(arguments),
            options={option: said or "" for option, said in options.items()},
        )
        for name, text, is_group, arguments, options in json.loads(done.stdout)
    }
