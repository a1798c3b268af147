"""
How the command line speaks: language, tables, JSON, CSV, progress, and errors that say the next step.

With `--json` exactly one JSON document goes to standard output; everything for people goes to standard error.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum, unique
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from axis.core.model import iso

IN_ENGLISH = os.environ.get("AXIS_LANG") == "en"
"""Vietnamese unless AXIS_LANG=en; read before the settings, as help texts need it."""

out = Console(soft_wrap=True)
"""What was asked for."""
err = Console(stderr=True, soft_wrap=True)
"""What goes on meanwhile, and what went wrong."""


_PROSE = frozenset(
    {
        "subject",
        "text",
        "then",
        "name",
        "to_name",
        "organ_name",
        "from_name",
        "what",
        "step",
        "reason",
        "value",
        "vi",
        "en",
    }
)
"""Members that are sentences or names, which may be broken where a table is too narrow."""


@unique
class Format(StrEnum):
    """Forms of a list."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def say(vi: str, en: str) -> str:
    """The text in the language of the person."""
    return en if IN_ENGLISH else vi


def lang() -> str:
    """`vi` or `en`."""
    return "en" if IN_ENGLISH else "vi"


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        return iso(value)
    raise TypeError(type(value).__name__)


def print_rows(
    rows: Sequence[Mapping[str, Any]],
    *,
    form: Format,
    columns: Mapping[str, str],
    title: str = "",
    empty: str = "",
) -> None:
    """
    Rows as a table of the named columns (member -> heading), or whole as JSON or CSV.

    A table shows what fits a terminal; JSON and CSV have every member.
    """
    match form:
        case Format.JSON:
            print_json(list(rows))
        case Format.CSV:
            write_csv(rows)
        case Format.TABLE:
            if not rows:
                out.print(empty or say("Không có dòng nào.", "No rows."))
                return
            table = Table(
                title=title or None,
                title_justify="left",
                header_style="bold",
                box=SIMPLE_HEAD,
                pad_edge=False,
            )
            for name, heading in columns.items():
                is_number = all(isinstance(row.get(name), int | float | None) for row in rows)
                is_prose = name in _PROSE
                table.add_column(
                    heading,
                    justify="right" if is_number else "left",
                    # What is read letter by letter is never broken; sentences give way.
                    no_wrap=not is_prose,
                    overflow="fold",
                    ratio=1 if is_prose else None,
                )
            for row in rows:
                table.add_row(*(escape(_cell(row.get(name))) for name in columns))
            out.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return say("có", "yes") if value else ""
    if isinstance(value, str) and len(value) == 32 and value[10:11] == "T":
        # A record's time to the microsecond is for machines.
        return value[:19].replace("T", " ")
    return str(value)


def write_csv(rows: Iterable[Mapping[str, Any]]) -> None:
    """CSV with a heading of every member, UTF-8; cells that a spreadsheet would run as a formula are defused."""
    writer: csv.DictWriter[str] | None = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(sys.stdout, fieldnames=list(row), extrasaction="ignore")
            writer.writeheader()
        writer.writerow({name: _csv_cell(value) for name, value in row.items()})


def _csv_cell(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return "'" + value
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return value


def tell(text: str, *, style: str = "") -> None:
    """One line of what was asked for, as it is: text of strangers is never read as markup."""
    out.print(Text(text, style=style))


def complain(problem: str, *, then: str = "") -> None:
    """What went wrong and what to do next, on standard error."""
    err.print(f"[bold red]{say('Lỗi', 'Error')}:[/] {escape(problem)}", highlight=False)
    if then:
        err.print(f"  → {escape(then)}", highlight=False)
