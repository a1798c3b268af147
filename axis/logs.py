"""
The operators' log: one shape for every line, whoever wrote it, on standard error.

A line is a constant event name (`submission.accepted`), identifiers and numbers. Ids of the message at hand are
bound once with `structlog.contextvars.bound_contextvars` and stand on every line below. The ledger is the record of
what happened; this log is for the people who run the axis. Never document content, secrets or personal data: fields
named like a secret are replaced here, and tracebacks never show the values of variables.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from axis.setting_values import Secret
from axis.settings import LogFormat, LogLevel

_STARS: Final = "****"

_SECRET_NAMES: Final = re.compile(
    r"(\A|[_.-])(password|passwd|passphrase|pwd|secret|token|authorization|cookie|api[_-]?key|private[_-]?key|"
    r"credentials?|hmac|seed)s?(\Z|[_.-])",
    re.IGNORECASE,
)
"""Names of fields, headers and variables whose values nobody may read in a log."""

_CONTENT_NAMES: Final = re.compile(
    r"(\A|[_.-])(body|payload|content|subject|attachment|xml)s?\Z", re.IGNORECASE
)
"""Names under which a part of a document might come; its length is said instead."""

_PASSWORD_IN_ADDRESS: Final = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+@")
"""The user and password of an address such as `amqp://user:password@host/`."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Characters with which a value could start a line of its own, or colour or reverse the reader's terminal."""

_MOST_CHARACTERS: Final = 2_000
"""A longer value is cut: no text worth logging is longer, and a document is."""
_MOST_IN_A_LINE: Final = 400
"""Of a traceback: the message of an exception may quote what it choked on."""
_MOST_LINES: Final = 200
_MOST_MEMBERS: Final = 50
_META: Final = frozenset({"_record", "_from_structlog"})
"""What structlog itself hangs on to a line of the standard library, and takes off before it is written."""
_MOST_DEPTH: Final = 6

_QUIET: Final = {
    "aio_pika": logging.WARNING,
    "aiormq": logging.WARNING,
    "aiosqlite": logging.WARNING,
    "alembic": logging.WARNING,
    "asyncio": logging.WARNING,
    "fontTools": logging.WARNING,
    "fpdf": logging.WARNING,
    "httpcore2": logging.WARNING,
    "httpx2": logging.WARNING,
    "pyhanko": logging.WARNING,
    "pyhanko_certvalidator": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "uvicorn.access": logging.WARNING,
    "xmlschema": logging.WARNING,
}
"""Libraries that say more than an operator can use, some of it content; a level above the axis's own holds."""


def configure_logs(*, form: LogFormat, level: LogLevel, stream: TextIO | None = None) -> None:
    """
    Send structlog and the standard library's records through one formatter to `stream` (standard error by default,
    so that standard output stays free for `--json`). Replaces what an earlier call set up.
    """
    out = sys.stderr if stream is None else stream
    is_pretty = form is LogFormat.PRETTY or (form is LogFormat.AUTO and out.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
    ]
    last: Processor = structlog.processors.JSONRenderer(ensure_ascii=False)
    if is_pretty:
        last = structlog.dev.ConsoleRenderer(
            colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback, timestamp_key="at"
        )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = _StandardError() if stream is None else logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    own = logging.getLevelNamesMapping()[level.value.upper()]
    root.setLevel(own)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(least, own))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        # uvicorn brings handlers of its own; its lines take our road instead.
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.captureWarnings(capture=True)


class _StandardError(logging.StreamHandler[TextIO]):
    """Standard error as it is when a line is written: whoever replaces it gets the lines from then on."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # an attribute in the library
        return sys.stderr


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """
    Make a line safe to read and to keep: secrets as stars, bytes as their number, texts short and on one line.

    The last processor before a line is written; what it has not seen is not logged.
    """
    for name, value in event.items():
        if name in {"exception", "stack"}:
            event[name] = _traceback(str(value))
        elif name not in _META or not isinstance(value, logging.LogRecord | bool):
            # Under these names the formatter passes what it needs; whatever else stands there was logged by somebody.
            event[name] = _safe(name, value, depth=0)
    return event


def _safe(name: str, value: object, *, depth: int) -> object:
    match value:
        case None | bool() | int() | float():
            return _STARS if _SECRET_NAMES.search(name) and value is not None else value
        case Secret():
            return str(value)
        case _ if _SECRET_NAMES.search(name):
            return _STARS
        case str() if _CONTENT_NAMES.search(name):
            return f"<{len(value)} characters>"
        case bytes() | bytearray() | memoryview():
            return f"<{len(value)} bytes>"
        case Mapping() if depth < _MOST_DEPTH:
            members = list(value.items())[:_MOST_MEMBERS]
            return {_line(str(key)): _safe(str(key), member, depth=depth + 1) for key, member in members}
        case list() | tuple() | set() | frozenset() if depth < _MOST_DEPTH:
            return [_safe(name, member, depth=depth + 1) for member in list(value)[:_MOST_MEMBERS]]
        case BaseException():
            return _line(f"{type(value).__name__}: {value}"[:_MOST_IN_A_LINE])
        case _:
            return _line(str(value))


def _line(text: str) -> str:
    text = _PASSWORD_IN_ADDRESS.sub(rf"\1:{_STARS}@", text)
    if len(text) > _MOST_CHARACTERS:
        text = f"{text[:_MOST_CHARACTERS]}… ({len(text)} characters)"
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _traceback(text: str) -> str:
    lines = [_line(line[:_MOST_IN_A_LINE]) for line in text.split("\n")]
    if len(lines) > _MOST_LINES:
        # The end says what went wrong, the beginning where it came from.
        half = _MOST_LINES // 2
        lines = [*lines[:half], f"… {len(lines) - 2 * half} lines …", *lines[-half:]]
    return "\n".join(lines)
