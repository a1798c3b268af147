"""
Writes the parts of the documentation that follow from the code: `python -m tests.project.write`, or `make docs`.

    docs/reasons.md        every reason code, its owner, what happened, what next, and the test that makes it happen
    docs/settings.md       every setting
    docs/lifecycle.md      both lifecycle tables, drawn
    docs/conformance.md    every requirement: where it is met and which test shows it
    docs/edxml-quirks.md   every oddity of real messages, and what the axis makes of it
    docs/connect.md        its table of errors over HTTP
    docs/cli.md            its list of commands
    SECURITY.md            its table: threat, control, test

`tests/project/test_generated.py` fails while one of them differs from what this writes. Texts around a generated
table are written by hand, outside the two comments that enclose it.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from axis.core.lifecycle import DELIVERY, DOCUMENT, REQUEST, SUBMISSION
from axis.core.model import DeliveryState, DocumentState, Owner, RequestState, SubmissionState
from axis.core.reasons import REASONS
from axis.settings import SETTINGS, Group
from axis.web.wire import HTTP_REASONS
from tests.edxml.quirks import quirks_table
from tests.project.collect import (
    ROOT,
    Case,
    marks,
    reasons_expected,
    requirements_named,
    requirements_shown,
)
from tests.project.commands import commands
from tests.project.requirements import TITLES

_State = TypeVar("_State", bound=Enum)
_Step = TypeVar("_Step", bound=Enum)

_HEAD = "<!-- Written by `make docs`; changes made here are overwritten. -->\n"
_BEGIN = "<!-- begin: {name}, written by `make docs` -->"
_END = "<!-- end: {name} -->"


def _plain(text: str) -> str:
    """Text that is to be read as it stands, inside a cell."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


def _both(en: str, vi: str) -> str:
    return f"{_plain(en)}<br>{_plain(vi)}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return (
        "\n".join("| " + " | ".join(cell.replace("\n", " ") for cell in line) + " |" for line in lines) + "\n"
    )


def _links(tests: Sequence[Case], *, up: str = "../", most: int = 3) -> str:
    shown = [f"[{one.name.removeprefix('test_').replace('_', ' ')}]({up}{one.path})" for one in tests[:most]]
    more = len(tests) - most
    return "<br>".join(shown) + (f"<br>and {more} more" if more > 0 else "")


# --- reasons ------------------------------------------------------------------------------------------------------

_STAGES = MappingProxyType(
    {
        "receive": "1 Receive · tiếp nhận",
        "parse": "2 Parse · đọc gói tin",
        "validate": "3 Validate · kiểm tra nghiệp vụ",
        "verify": "4 Verify · xác minh chữ ký",
        "route": "5 Route · xác định nơi nhận",
        "deliver": "Deliveries · lượt chuyển",
        "bury": "Buried before anyone judged it · gói tin bị cách ly",
        "axis": "The axis itself · Trục",
    }
)
_OWNERS = MappingProxyType(
    {
        Owner.SENDER: "sender · bên gửi",
        Owner.RECEIVER: "receiver · bên nhận",
        Owner.AXIS: "axis · Trục",
    }
)


def reasons_page() -> str:
    """The catalogue of reasons."""
    expected = reasons_expected()
    parts = [
        _HEAD,
        "# Reason codes · Mã lý do\n",
        (
            "Why something was refused, held, failed or buried. A code is never renamed or reused. Its *owner* is the one"
            " who can mend the cause: a cause owned by the axis is never a refusal, it is a hold that the axis tries again"
            " by itself.\n"
        ),
        (
            "Mỗi mã lý do cho biết điều gì đã xảy ra, ai khắc phục được và cần làm gì tiếp theo. Lỗi thuộc về Trục không"
            " bao giờ là từ chối: gói tin được giữ lại và Trục tự thử lại.\n"
        ),
    ]
    for stage, title in _STAGES.items():
        rows = [
            (
                f"`{code.value}`",
                _OWNERS[reason.owner],
                _both(reason.en, reason.vi),
                _both(reason.next_en, reason.next_vi),
                _links(expected[code], most=1) or "—",
            )
            for code, reason in REASONS.items()
            if code.value.startswith(f"{stage}.")
        ]
        parts += [f"## {title}\n", _table(("code", "owner", "what happened", "what next", "test"), rows)]
    return "\n".join(parts)


# --- settings -----------------------------------------------------------------------------------------------------

_GROUPS = MappingProxyType(
    {
        Group.STATE: "State · trạng thái",
        Group.BROKER: "RabbitMQ",
        Group.HTTP: "HTTP",
        Group.TRUST: "Trust and log · tin cậy và nhật ký",
        Group.PEOPLE: "People · ngôn ngữ và log vận hành",
        Group.LIMITS: "Limits · giới hạn",
        Group.STATION: "The station's side · phía điểm kết nối",
    }
)


def settings_page() -> str:
    """The list of settings."""
    parts = [
        _HEAD,
        "# Settings · Cài đặt\n",
        (
            "Read once, at the start, from variables of the environment. A name that is not listed here stops the start,"
            " and so does a wrong value; everything that is wrong is said at once. An empty variable counts as not set."
            " Secrets (🔒) may be given as a file instead, such as `AXIS_BROKER_PASSWORD_FILE=/run/secrets/broker`, and"
            " are printed as stars. `axis config` shows what is in force.\n"
        ),
        (
            "Đọc một lần khi khởi động, từ biến môi trường. Tên lạ hoặc giá trị sai sẽ dừng việc khởi động và mọi lỗi"
            " được liệt kê cùng lúc. Giá trị bí mật (🔒) có thể đặt trong tệp (`…_FILE`).\n"
        ),
    ]
    for group, title in _GROUPS.items():
        rows = [
            (
                f"`{one.name}`" + (" 🔒" if one.said.is_secret else ""),
                _plain(one.said.kind),
                f"`{one.said.default}`" if one.said.default else "—",
                _both(one.said.en, one.said.vi),
            )
            for one in SETTINGS
            if one.said.group is group
        ]
        parts += [f"## {title}\n", _table(("name", "value", "default", ""), rows)]
    parts.append(
        "`{home}` stands for the value of `AXIS_HOME`. `AXIS_TEST_*` belong to the tests and are ignored.\n"
    )
    return "\n".join(parts)


# --- lifecycle ----------------------------------------------------------------------------------------------------


def _members_said(module: str, name: str) -> dict[str, str]:
    """What stands under each member of an enum in the source."""
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    [found] = [one for one in tree.body if isinstance(one, ast.ClassDef) and one.name == name]
    said: dict[str, str] = {}
    for member, text in zip(found.body, found.body[1:], strict=False):
        match member, text:
            case (
                ast.Assign(value=ast.Constant(value=str(value))),
                ast.Expr(value=ast.Constant(value=str(words))),
            ):
                said[value] = " ".join(words.split())
            case _:
                pass
    return said


def _diagram(table: Mapping[tuple[_State, _Step], _State], *, first: Sequence[str]) -> str:
    lines = ["```mermaid", "stateDiagram-v2", "    direction LR"]
    lines += [f"    [*] --> {state}" for state in first]
    lines += [f"    {state.value} --> {after.value}: {step.value}" for (state, step), after in table.items()]
    return "\n".join([*lines, "```", ""])


def _grid(
    table: Mapping[tuple[_State, _Step], _State], states: Sequence[_State], steps: Sequence[_Step]
) -> str:
    rows = [
        (
            f"**{state.value}**",
            *(after.value if (after := table.get((state, step))) else "·" for step in steps),
        )
        for state in states
    ]
    return _table(("", *(step.value for step in steps)), rows)


def lifecycle_page() -> str:
    """The tables of `axis/core/lifecycle.py`."""
    from axis.core.lifecycle import DeliveryStep, DocumentStep, RequestStep, SubmissionStep

    said = _members_said("axis/core/lifecycle.py", "DeliveryStep")
    documents = _members_said("axis/core/lifecycle.py", "DocumentStep")
    requests = _members_said("axis/core/lifecycle.py", "RequestStep")
    pending = "waiting, handed_over and fetched are *pending*: the receiver's system has not taken it yet."
    return "\n".join(
        [
            _HEAD,
            "# Life of a submission, a document, a delivery and a request · Vòng đời\n",
            (
                "Drawn from `axis/core/lifecycle.py`; nothing else changes a state. A dot is a step that is not allowed"
                " there: when a station says something twice or too late it is ignored, and recorded as ignored.\n"
            ),
            "## Submission · lần nộp gói tin\n",
            (
                "A submission is accepted, refused, held or found a duplicate when it is received. Only a held one is"
                " judged again; its time of receipt does not change.\n"
            ),
            _diagram(SUBMISSION, first=[state.value for state in SubmissionState]),
            _grid(SUBMISSION, list(SubmissionState), list(SubmissionStep)),
            "## Document · văn bản\n",
            (
                "Whether a document still stands, as far as its sender, or its successor, has said. From `recalling` on"
                " its payload answers 410 `deliver.recalled`, and it is neither sent on, updated nor replaced.\n"
            ),
            _diagram(DOCUMENT, first=[DocumentState.IN_FORCE.value]),
            _grid(DOCUMENT, list(DocumentState), list(DocumentStep)),
            _table(("step", ""), ((f"`{step.value}`", documents[step.value]) for step in DocumentStep)),
            "## Request to a receiver · yêu cầu thu hồi, lấy lại, cập nhật\n",
            (
                "What a recall (type 1), a take-back (status 13) or an update (type 2) wants of one delivery; the"
                " delivery's own state and the status that is shown stay what they are.\n"
            ),
            _diagram(REQUEST, first=[RequestState.NONE.value]),
            _grid(REQUEST, list(RequestState), list(RequestStep)),
            _table(("step", ""), ((f"`{step.value}`", requests[step.value]) for step in RequestStep)),
            "## Delivery · lượt chuyển\n",
            f"One document for one organ. {pending} `not_connected` is final: that receiver gets paper.\n",
            _diagram(DELIVERY, first=[DeliveryState.WAITING.value, DeliveryState.NOT_CONNECTED.value]),
            _grid(DELIVERY, list(DeliveryState), list(DeliveryStep)),
            _table(("step", ""), ((f"`{step.value}`", said[step.value]) for step in DeliveryStep)),
        ]
    )


# --- conformance --------------------------------------------------------------------------------------------------


def conformance_page() -> str:
    """Every requirement with where it is met and what shows it."""
    named, shown = requirements_named(), requirements_shown()
    unknown = (set(named) | set(shown)) - set(TITLES)
    if unknown:
        raise ValueError(f"named in the code and not in the list of requirements: {sorted(unknown)}")
    rows = [
        (
            number,
            title,
            "<br>".join(f"[{path}](../{path})" for path in named.get(number, [])[:4]) or "—",
            _links(shown.get(number, [])) or "no test yet",
        )
        for number, title in TITLES.items()
    ]
    return "\n".join(
        [
            _HEAD,
            "# Requirements: where they are met, and what shows it\n",
            (
                f"{len(shown)} of {len(TITLES)} have a test that shows them, or one side of them: read it. *Where* lists"
                " the modules that name the requirement; one without test is not claimed, whether code for it exists"
                " or not.\n"
            ),
            _table(("", "requirement", "where", "test"), rows),
        ]
    )


# --- threats ------------------------------------------------------------------------------------------------------


def threats_table() -> str:
    """Threat, control, test: from the `threat` markers of the tests."""
    rows: dict[tuple[str, str], list[Case]] = {}
    for mark in marks("threat"):
        rows.setdefault((mark.arguments[0], mark.keywords["control"]), []).append(mark.test)
    return _table(
        ("threat", "control", "test"),
        (
            (_plain(threat), _plain(control), _links(tests, up=""))
            for (threat, control), tests in sorted(rows.items())
        ),
    )


# --- command line -------------------------------------------------------------------------------------------------


def commands_table() -> str:
    """Every command with its options."""
    vi, en = commands("vi"), commands("en")
    parts = []
    for name, command in en.items():
        # A group that has options does something by itself, too: `axis count`, `axis bench`.
        if command.is_group and not command.options:
            continue
        usage = " ".join(["axis", name, *command.arguments])
        rows = [
            (f"`{option.replace(' ', '`, `')}`", _both(text, vi[name].options[option]))
            for option, text in command.options.items()
            if "--help" not in option
        ]
        parts += [f"### `{_plain(usage)}`\n", f"{_both(command.help, vi[name].help)}\n"]
        parts += [_table(("option", ""), rows)] if rows else []
    return "\n".join(parts)


# --- errors over HTTP ---------------------------------------------------------------------------------------------


def http_errors_table() -> str:
    """Why a request was not served, where no document was judged."""
    return _table(
        ("status", "code", "what happened", "what next"),
        (
            (
                str(row.status),
                f"`{code.value}`",
                _both(row.en, row.vi),
                _both(row.next_en, row.next_vi),
            )
            for code, row in sorted(HTTP_REASONS.items(), key=lambda item: item[1].status)
        ),
    )


# --- writing ------------------------------------------------------------------------------------------------------

PAGES: Mapping[str, Callable[[], str]] = MappingProxyType(
    {
        "docs/reasons.md": reasons_page,
        "docs/settings.md": settings_page,
        "docs/lifecycle.md": lifecycle_page,
        "docs/conformance.md": conformance_page,
        "docs/edxml-quirks.md": quirks_table,
    }
)
"""Whole pages."""

PARTS: Mapping[tuple[str, str], Callable[[], str]] = MappingProxyType(
    {
        ("SECURITY.md", "threats"): threats_table,
        ("docs/connect.md", "http-errors"): http_errors_table,
        ("docs/cli.md", "commands"): commands_table,
    }
)
"""Tables inside pages that are otherwise written by hand: page and name of the part."""


def written(page: str, text: str, *, part: str) -> str:
    """`text` with the part between its two comments made anew."""
    begin, end = _BEGIN.format(name=part), _END.format(name=part)
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"{page} has no place for {part}: {begin} … {end}")
    return pattern.sub(lambda _: f"{begin}\n\n{PARTS[page, part]()}\n{end}", text)


def contents() -> dict[str, str]:
    """Every page that holds something generated, as it should be."""
    found = {page: make() for page, make in PAGES.items()}
    for page, part in PARTS:
        text = found.get(page) or (ROOT / page).read_text(encoding="utf-8")
        found[page] = written(page, text, part=part)
    return found


def main(root: Path = ROOT) -> int:
    """Write what differs and say what was written."""
    for page, text in contents().items():
        path = root / page
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
