"""The operators' log: one shape, ids bound once, and nothing in it that nobody may read."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st

from axis.logs import configure_logs, redact
from axis.setting_values import Secret
from axis.settings import LogFormat, LogLevel

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in logging.root.manager.loggerDict}
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in logging.root.manager.loggerDict:
        logging.getLogger(name).setLevel(levels.get(name, logging.NOTSET))
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture(name="lines")
def _lines() -> Lines:
    out = io.StringIO()
    configure_logs(form=LogFormat.AUTO, level=LogLevel.INFO, stream=out)
    return lambda: [json.loads(line) for line in out.getvalue().splitlines()]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_is_an_event_with_its_ids(lines: Lines) -> None:
    """Not a terminal: one JSON object a line, with time, level, logger and the ids bound around it."""
    with structlog.contextvars.bound_contextvars(document_id="D1", message_id="m-1"):
        structlog.get_logger("axis.flow").info("submission.accepted", deliveries=3)

    [line] = lines()
    at = line.pop("at")
    assert at.endswith("Z")
    assert line == {
        "event": "submission.accepted",
        "level": "info",
        "logger": "axis.flow",
        "document_id": "D1",
        "message_id": "m-1",
        "deliveries": 3,
    }


def test_lines_of_libraries_have_the_same_shape(lines: Lines) -> None:
    """The standard library's records and warnings take the same road."""
    with structlog.contextvars.bound_contextvars(document_id="D1"):
        logging.getLogger("some.library").warning("took %d s", 7, extra={"station": "h26"})
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old name", UserWarning, stacklevel=1)

    first, second = lines()
    assert tuple(first[name] for name in ("event", "level", "logger", "document_id", "station")) == (
        "took 7 s",
        "warning",
        "some.library",
        "D1",
        "h26",
    )
    assert (second["logger"], second["level"]) == ("py.warnings", "warning")


def test_chatty_libraries_are_kept_short(lines: Lines) -> None:
    """What a library says at info is for its developers; what the level excludes is not written."""
    logging.getLogger("aiormq.connection").info("frame")
    logging.getLogger("uvicorn.access").info("GET /")
    structlog.get_logger("axis").debug("step.done")

    assert lines() == []


def test_a_terminal_gets_pretty_lines() -> None:
    """On a terminal a person reads; JSON can still be asked for."""
    terminal, asked = _Terminal(), _Terminal()
    configure_logs(form=LogFormat.AUTO, level=LogLevel.INFO, stream=terminal)
    structlog.get_logger("axis").info("hub.started", port=8080)
    configure_logs(form=LogFormat.JSON, level=LogLevel.INFO, stream=asked)
    structlog.get_logger("axis").info("hub.started", port=8080)

    assert "hub.started" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")
    assert json.loads(asked.getvalue())["port"] == 8080


@pytest.mark.threat(
    "secrets in logs and on screens", control="fields named like secrets are replaced in every line"
)
def test_secrets_never_reach_the_log(lines: Lines) -> None:
    """By their name, by their type, in headers, and inside addresses, also those of an exception."""
    log = structlog.get_logger("axis")
    log.info(
        "station.connected",
        api_key="pw-1",
        password=["pw-2"],
        token=12345678,
        setting=Secret("pw-3"),
        headers={"Authorization": "Bearer pw-4", "X-Api-Key": "pw-5", "Accept": "*/*"},
        url="amqps://axis:pw-6@broker/",
    )
    log.error("broker.unreachable", exc_info=OSError("cannot reach amqp://axis:pw-7@broker/"))

    text = json.dumps(lines())
    assert "pw-" not in text
    assert "12345678" not in text
    assert "*/*" in text
    assert "amqp://axis:****@broker/" in text


@pytest.mark.threat(
    "document content in logs", control="content is replaced by its length, tracebacks show no values"
)
def test_content_never_reaches_the_log(lines: Lines) -> None:
    """Bytes, texts under a telling name, and the variables of a failed call."""

    def judge(payload: bytes) -> None:
        subject = payload.decode() + " của Bộ"
        raise ValueError(len(subject))

    content = "V/v nhân sự".encode()
    log = structlog.get_logger("axis")
    log.warning("message.odd", first=b"<edXML>", subject="V/v nhân sự", payload="<edXML>", size=7)
    try:
        judge(content)
    except ValueError:
        log.exception("message.fault")

    odd, fault = lines()
    assert tuple(odd[name] for name in ("first", "subject", "payload", "size")) == (
        "<7 bytes>",
        "<11 characters>",
        "<7 characters>",
        7,
    )
    assert "ValueError" in fault["exception"]
    assert "nhân sự" not in json.dumps([odd, fault], ensure_ascii=False)


@pytest.mark.threat("forged log lines", control="control characters in values are written as escapes")
@pytest.mark.parametrize("form", [LogFormat.JSON, LogFormat.PRETTY])
def test_a_value_cannot_start_a_line_of_its_own(form: LogFormat) -> None:
    """A line break, an escape sequence or a reversed text from outside stays inside its value."""
    out = io.StringIO()
    configure_logs(form=form, level=LogLevel.INFO, stream=out)

    structlog.get_logger("axis").info("message.odd", message_id="m\n2026 [error] all lost\x1b[2J\u202e")
    logging.getLogger("library").warning("name\r\n%s", "\x1b[31m")

    assert len(out.getvalue().splitlines()) == 2
    assert not set("\x1b\r\u202e") & set(out.getvalue())


def test_long_things_are_cut(lines: Lines) -> None:
    """A text, a list or a traceback of any length leaves a line of bounded length."""

    def deeper(left: int) -> None:
        if left:
            # Two lines by turns: a frame that repeats would be folded by the interpreter.
            if left % 2:
                deeper(left - 1)
            else:
                deeper(left - 1)
        raise ValueError("x" * 100_000)

    try:
        deeper(300)
    except ValueError:
        structlog.get_logger("axis").error(
            "fault", exc_info=True, text="y" * 10_000, many=list(range(10_000))
        )

    [line] = lines()
    assert len(json.dumps(line)) < 90_000
    assert line["text"].endswith("(10000 characters)")
    assert "ValueError" in line["exception"]


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(min_size=1, max_size=12), _VALUES, max_size=5))
@example({"_body": b"<edXML>"})
@example({"_record": b""})
def test_any_values_make_a_line(values: dict[str, Any]) -> None:
    """Logging never raises, whatever it is given, and never writes an unpaired surrogate or a raw line break."""
    safe = redact(None, "info", {"event": "e", **values})

    text = json.dumps(safe, ensure_ascii=False)
    assert "\n" not in text


def test_lines_follow_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output stays free for answers, and whoever replaces standard error gets the lines."""
    configure_logs(form=LogFormat.JSON, level=LogLevel.INFO)
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", err)

    structlog.get_logger("axis").info("hub.started")

    assert out.getvalue() == ""
    assert json.loads(err.getvalue())["event"] == "hub.started"
