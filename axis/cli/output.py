"""
How rows of any number leave the command line: as a table, JSON, JSON lines, CSV or a spreadsheet.

To standard output, or with `-o` to a file that appears when it is complete and never half. Everything but a table
passes row by row, so that its length costs no memory.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum, unique
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from axis.core.errors import InvalidQuestion
from axis.ledger.export import csv_lines, json_lines, write_xlsx
from axis.speech import err, say


@unique
class Form(StrEnum):
    """Forms of rows."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    XLSX = "xlsx"


FORM = Annotated[Form, typer.Option("--format", help="table | json | jsonl | csv | xlsx")]
TARGET = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help=say("Ghi vào tệp.", "Write to this file.")),
]


def form_of(form: Form, *, as_json: bool, target: Path | None) -> Form:
    """
    The form that is meant: `--json`, or the ending of the file where no form was named.

    Raises:
        InvalidQuestion: a spreadsheet without a file, or a file for a table.
    """
    if as_json:
        return Form.JSON
    if form is Form.TABLE and target is not None:
        ending = target.suffix.lower().lstrip(".")
        if ending not in set(Form) - {Form.TABLE}:
            raise InvalidQuestion(
                vi=f"{target.name}: cần --format json, jsonl, csv hoặc xlsx",
                en=f"{target.name}: --format json, jsonl, csv or xlsx expected",
            )
        return Form(ending)
    if form is Form.XLSX and target is None:
        raise InvalidQuestion(
            vi="--format xlsx cần tệp ghi ra: -o FILE.xlsx", en="--format xlsx needs a file: -o FILE.xlsx"
        )
    return form


async def pour(
    rows: AsyncIterable[Mapping[str, Any]],
    *,
    form: Form,
    target: Path | None,
    headings: Mapping[str, str],
    title: str,
) -> int:
    """
    Write all rows, and say how many there were.

    Raises:
        InvalidQuestion: the file cannot be written.
    """
    with _progress(target) as seen:
        counted = _Counted(rows, seen=seen)
        if form is Form.XLSX:
            assert target is not None, "form_of makes sure of it"
            with replacing(target) as path:
                return await write_xlsx(path, counted, headings=headings, title=title)
        if target is None:
            await _write(sys.stdout, counted, form=form, headings=headings)
        else:
            with replacing(target) as path, path.open("w", encoding="utf-8", newline="") as file:
                if form is Form.CSV:
                    # Without it the usual spreadsheet program reads Vietnamese as something else.
                    file.write("\N{ZERO WIDTH NO-BREAK SPACE}")
                await _write(file, counted, form=form, headings=headings)
        return counted.rows


async def each(rows: Iterable[Mapping[str, Any]]) -> AsyncIterator[Mapping[str, Any]]:
    """Rows that are all there already, one by one."""
    for row in rows:
        yield row


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """
    A path to write to; when the block ends without an error it becomes `target`, otherwise nothing is left.

    Raises:
        InvalidQuestion: there is no such folder, or it cannot be written.
    """
    path = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield path
        path.replace(target)
    except OSError as problem:
        cause = problem.strerror or problem
        raise InvalidQuestion(
            vi=f"{target}: không ghi được ({cause})", en=f"{target}: cannot be written ({cause})"
        ) from problem
    finally:
        path.unlink(missing_ok=True)


class _Counted:
    """Rows as they pass, counted."""

    def __init__(self, rows: AsyncIterable[Mapping[str, Any]], *, seen: Callable[[int], None]) -> None:
        self._rows = rows
        self._seen = seen
        self.rows = 0

    async def __aiter__(self) -> AsyncIterator[Mapping[str, Any]]:
        async for row in self._rows:
            self.rows += 1
            if self.rows % 1_000 == 0:
                self._seen(self.rows)
            yield row


async def _write(
    file: TextIO, rows: AsyncIterable[Mapping[str, Any]], *, form: Form, headings: Mapping[str, str]
) -> None:
    match form:
        case Form.CSV:
            async for line in csv_lines(rows, columns=list(headings), headings=headings):
                file.write(line)
        case Form.JSONL:
            async for line in json_lines(rows):
                file.write(line)
        case _:
            first = True
            async for row in rows:
                file.write(("[\n" if first else ",\n") + json.dumps(row, ensure_ascii=False))
                first = False
            file.write("[]\n" if first else "\n]\n")


@contextmanager
def _progress(target: Path | None) -> Iterator[Callable[[int], None]]:
    """Rows so far, on a terminal and only when they go elsewhere."""
    quiet = target is None or not err.is_terminal
    with Progress(
        TextColumn("{task.description}"), TimeElapsedColumn(), console=err, disable=quiet
    ) as progress:
        task = progress.add_task("")
        yield lambda rows: progress.update(task, description=say(f"{rows:,} dòng", f"{rows:,} rows"))
