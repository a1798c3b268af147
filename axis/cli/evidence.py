"""
`axis evidence export | verify | keys | verifier`: evidence to carry away, and its judgement on any laptop.

`verify` and `verifier` need no axis, no database and no settings.
"""

from __future__ import annotations

import asyncio
import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from axis.bootstrap.parts import open_axis
from axis.cli.asking import AS, JSON, ask
from axis.cli.run import settings
from axis.evidence.judge import EvidenceTrust, Judgement, Result, judge_bundle
from axis.speech import complain, err, print_json, say, tell
from signing.errors import MaterialError
from signing.files import read_file, write_file

_EXITS = {"passed": 0, "failed": 1, "indeterminate": 3}
_MARKS = {Result.PASSED: "✓", Result.FAILED: "✗", Result.ABSENT: "–", Result.NOT_CHECKED: "?"}

_OUT = Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help=say("Tệp ghi ra.", "Where to write."), show_default=False)]  # fmt: skip


def add_to(app: typer.Typer) -> None:
    """Put the commands into the application."""
    evidence = typer.Typer(
        no_args_is_help=True,
        help=say("Chứng cứ mang đi, kiểm tra ngoại tuyến.", "Evidence to carry away, verified offline."),
    )
    evidence.command("export", help=say("Ghi gói chứng cứ của một văn bản.", "Write the evidence bundle of a document."))(export)  # fmt: skip
    evidence.command("verify", help=say("Kiểm tra gói chứng cứ. Mã thoát: 0 đúng, 1 sai, 3 chưa xét được hết.",
                                        "Verify a bundle. Exit: 0 passed, 1 failed, 3 something could not be judged."))(verify)  # fmt: skip
    evidence.command("keys", help=say("Khóa công khai của Trục này, để người kiểm tra tin cậy.",
                                      "This axis's public keys, for those who verify."))(keys)  # fmt: skip
    evidence.command("verifier", help=say("Ghi verify.py: kiểm tra không cần phần mềm này.",
                                          "Write verify.py, which verifies without this package."))(verifier)  # fmt: skip
    app.add_typer(evidence, name="evidence")


def export(
    document: Annotated[str, typer.Argument(metavar="DOCUMENT", show_default=False)],
    out: _OUT,
    organ: Annotated[str | None, typer.Option("--for", metavar="ORGAN", help=say("Chỉ phần của đơn vị nhận này.", "Only what is about this receiver."))] = None,
    who: AS = None,
    as_json: JSON = False,
) -> None:  # fmt: skip
    found = ask(who, lambda axis, queries: axis.evidence_of(queries, document, organ=organ))
    write_file(out, found.archive)
    if as_json:
        print_json(
            {
                "file": str(out),
                "document": found.subject,
                "records": found.records,
                "later": found.later,
                "message": found.has_message,
                "timestamp": found.has_timestamp,
            }
        )
        return
    tell(str(out))
    err.print(say(f"{found.records} bản ghi.", f"{found.records} records."))
    if found.later:
        err.print(say(f"{found.later} bản ghi mới hơn chưa có điểm kiểm tra: lát nữa xuất lại.",
                      f"{found.later} newer records have no checkpoint yet: export again in a moment."))  # fmt: skip
    if not found.has_message:
        err.print(
            say(
                "Gói tin không còn được lưu: chỉ có mã băm.",
                "The message is not kept any more: digests only.",
            )
        )
    if not found.has_timestamp:
        err.print(say("Chưa có dấu thời gian.", "Not timestamped yet."))


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", show_default=False)],
    trust: Annotated[
        list[Path],
        typer.Option("--trust", metavar="FILE", show_default=False,
                     help=say("Khóa của Trục (`axis evidence keys`) hoặc chứng thư gốc PEM; lặp lại được.",
                              "Keys of the axis (`axis evidence keys`) or root certificates in PEM; repeatable.")),
    ],
    as_json: JSON = False,
) -> None:  # fmt: skip
    try:
        trusted = EvidenceTrust.read((one.name, read_file(one)) for one in trust)
        archive = read_file(file)
    except MaterialError as problem:
        complain(str(problem))
        sys.exit(2)
    judgement = judge_bundle(archive, trust=trusted)
    if as_json:
        print_json(
            {
                "file": str(file),
                "verdict": judgement.verdict,
                "steps": [
                    {
                        "step": one.step.value,
                        "result": one.result.value,
                        "vi": one.words.vi,
                        "en": one.words.en,
                    }
                    for one in judgement.findings
                ],
            }
        )
    else:
        _show(judgement)
    sys.exit(_EXITS[judgement.verdict])


def _show(judgement: Judgement) -> None:
    for one in judgement.findings:
        style = {Result.FAILED: "bold red", Result.NOT_CHECKED: "yellow"}.get(one.result, "")
        tell(f"{_MARKS[one.result]} {one.step.value:<11} {say(one.words.vi, one.words.en)}", style=style)
    said = {
        "passed": say("ĐÚNG: gói chứng cứ tin được.", "HOLDS: the bundle can be believed."),
        "failed": say("SAI: gói chứng cứ không tin được.", "REFUSED: the bundle cannot be believed."),
        "indeterminate": say("CHƯA XÉT ĐƯỢC HẾT.", "NOT ALL OF IT COULD BE JUDGED."),
    }
    tell(said[judgement.verdict], style="bold")


def keys() -> None:
    async def read() -> str:
        async with open_axis(settings()) as axis:
            return axis.keys.trusted.text

    sys.stdout.write(asyncio.run(read()))


def verifier(out: _OUT) -> None:
    write_file(out, files("axis.evidence").joinpath("verify.py").read_bytes())
    tell(str(out))
