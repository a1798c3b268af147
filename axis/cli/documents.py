"""
`axis inspect`, `axis verify`, `axis sign`: what is in a file, what its signature is worth, and a signature for it.

They need no axis, no database and no settings.
"""

from __future__ import annotations

import getpass
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from axis.speech import complain, err, lang, out, print_json, say

_FILES = Annotated[
    list[Path],
    typer.Argument(metavar="FILE…", help=say("Các tệp edXML.", "edXML files."), show_default=False),
]
_JSON = Annotated[bool, typer.Option("--json", help=say("In một tài liệu JSON.", "Print one JSON document."))]


def add_to(app: typer.Typer) -> None:
    """Put the commands into the application."""
    app.command(help=say("Tệp edXML này là gì: loại, tiêu đề, tệp đính kèm, mọi cảnh báo.",
                         "What this edXML is: kind, header, attachments, every warning."))(inspect)  # fmt: skip
    app.command(help=say("Kiểm tra chữ ký AX-1. Mã thoát: 0 đạt, 1 không đạt, 3 chưa xác định, 4 không ký hoặc kiểu cũ.",
                         "Verify AX-1 signatures. Exit: 0 passed, 1 failed, 3 indeterminate, 4 unsigned or legacy."))(verify)  # fmt: skip
    app.command(help=say("Ký một gói tin theo hồ sơ AX-1.", "Make an AX-1 signature."))(sign)


def inspect(files: _FILES, as_json: _JSON = False) -> None:
    from axis.edxml.inspect import inspect_file, render_inspection

    results = [inspect_file(one, lang=lang()) for one in files]
    if as_json:
        print_json(results[0] if len(results) == 1 else results)
    else:
        for one in results:
            out.print(render_inspection(one, lang=lang()))
    sys.exit(1 if any(one["kind"] == "unreadable" for one in results) else 0)


def verify(
    files: _FILES,
    trust: Annotated[
        list[Path],
        typer.Option("--trust", metavar="PEM", help=say("Chứng thư gốc được tin cậy.", "Trusted roots."), show_default=False),
    ],
    crl: Annotated[
        list[Path] | None,
        typer.Option("--crl", metavar="FILE", help=say("Danh sách thu hồi (CRL).", "Revocation lists."), show_default=False),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help=say("Xét tại thời điểm này (ISO 8601); mặc định: bây giờ.",
                                                      "Judge at this time (ISO 8601); default: now.")),
    ] = None,
    as_json: _JSON = False,
) -> None:  # fmt: skip
    from axis.bootstrap.system import SystemClock
    from signing.certificates import TrustStore
    from signing.errors import SigningError
    from signing.report import exit_status, judge_files, render

    moment = SystemClock().now() if at is None else _time(at)
    try:
        reports = judge_files(files, trust=TrustStore.from_files(*trust), at=moment, crls=crl or ())
    except SigningError as problem:
        complain(str(problem))
        sys.exit(2)
    if as_json:
        print_json([one.as_json() for one in reports])
    else:
        out.print(render(reports, language="en" if lang() == "en" else "vi"))
    sys.exit(exit_status(reports))


def sign(
    file: Annotated[Path, typer.Argument(metavar="FILE", show_default=False)],
    key: Annotated[Path, typer.Option("--key", metavar="PEM", help=say("Khóa riêng, chỉ chủ sở hữu đọc được.", "Private key, readable by its owner alone."), show_default=False)],
    cert: Annotated[Path, typer.Option("--cert", metavar="PEM", help=say("Chứng thư, có thể kèm chuỗi.", "Certificate, with its chain if wanted."), show_default=False)],
    to: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help=say("Tệp kết quả.", "The signed file."), show_default=False)],
    passphrase_file: Annotated[Path | None, typer.Option("--passphrase-file", metavar="FILE", help=say("Tệp chứa mật khẩu của khóa.", "File with the passphrase of the key."), show_default=False)] = None,
) -> None:  # fmt: skip
    from axis.bootstrap.system import SystemClock
    from signing.errors import SigningError
    from signing.sign import sign_file

    try:
        facts = sign_file(
            file,
            key=key,
            certificate=cert,
            out=to,
            signing_time=SystemClock().now(),
            passphrase=_passphrase(key, passphrase_file),
        )
    except SigningError as problem:
        complain(str(problem))
        sys.exit(1)
    err.print(say(f"Đã ký bằng chứng thư của {facts.subject} → {to}", f"Signed as {facts.subject} → {to}"))


def _passphrase(key: Path, file: Path | None) -> bytes | None:
    """From the file, else asked for when the key needs one and somebody is there to answer."""
    try:
        if file is not None:
            return file.read_bytes().rstrip(b"\r\n")
        needs_one = b"ENCRYPTED" in key.read_bytes()[:2_000]
    except OSError as problem:
        complain(f"{problem.filename}: {problem.strerror}")
        sys.exit(2)
    if needs_one and sys.stdin.isatty():
        return getpass.getpass(say("Mật khẩu của khóa: ", "Passphrase of the key: ")).encode()
    return None


def _time(text: str) -> datetime:
    from axis.core.model import VIETNAM

    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        complain(
            say(f"--at: {text!r} không phải thời gian", f"--at: {text!r} is no time"),
            then=say("Viết như 2026-11-24T09:00:00+07:00", "Write it like 2026-11-24T09:00:00+07:00"),
        )
        sys.exit(2)
    return found if found.tzinfo is not None else found.replace(tzinfo=VIETNAM)
