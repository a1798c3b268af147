"""What the axis reads from files: its keys, the roots it trusts, working days, the signature policy."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from axis.core.calendar import Calendar, read_calendar
from axis.core.errors import SettingsError
from axis.flow.deadlines import SHIPPED_CALENDAR
from axis.settings import Settings
from signing.certificates import TrustStore
from signing.errors import MaterialError, SigningError
from signing.keys import read_private
from signing.note import SigningKey, create_key_file, load_key_file
from signing.policy import CURRENT_POLICY, Policy
from signing.receipts import TrustedKeys

log = structlog.get_logger(__name__)

RECEIPT_KEY: Final = "receipts.key"
LOG_KEY: Final = "log.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What the axis signs with. Receipts and checkpoints have separate keys."""

    receipts: SigningKey
    log: SigningKey

    @property
    def trusted(self) -> TrustedKeys:
        """The public halves: what stations and auditors pin."""
        return TrustedKeys(receipts=(self.receipts.verifier,), log=(self.log.verifier,))


def open_keys(folder: Path, *, log_name: str, may_create: bool) -> Keys:
    """
    The keys in `folder`; made on the first start of an axis.

    Raises:
        SettingsError: they are missing and may not be made, or somebody else can read them.
    """
    try:
        if may_create:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Keys(
            receipts=_key(folder / RECEIPT_KEY, name=f"{log_name}/receipts", may_create=may_create),
            log=_key(folder / LOG_KEY, name=log_name, may_create=may_create),
        )
    except (SigningError, OSError) as problem:
        raise SettingsError((f"AXIS_KEYS: {problem}",)) from problem


def _key(path: Path, *, name: str, may_create: bool) -> SigningKey:
    if may_create and not path.exists():
        try:
            return create_key_file(path, name=name, seed=secrets.token_bytes(32))
        except MaterialError:
            # Another process of this axis was quicker.
            if not path.exists():
                raise
    return load_key_file(path)


class TrustFiles:
    """The roots in files, read again when a file changes. A file that cannot be read counts as our fault."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._marks: tuple[tuple[int, int], ...] | None = None
        self._store: TrustStore | None = None

    def current(self) -> TrustStore | None:
        """The roots now, or None when there are none that can be read."""
        try:
            marks = tuple((found.st_mtime_ns, found.st_size) for found in map(os.stat, self._paths))
            if marks != self._marks:
                self._store = TrustStore.from_files(*self._paths)
                self._marks = marks
        except (SigningError, OSError) as problem:
            if self._store is not None or self._marks is None:
                log.error("trust.unreadable", problem=str(problem)[:200])  # noqa: TRY400 - a person mends a file
            self._store, self._marks = None, ()
        return self._store


def open_calendar(settings: Settings) -> Calendar:
    """
    The working days that come with the axis, and those of the operator's file.

    Raises:
        SettingsError: the file cannot be read or makes no sense.
    """
    if settings.calendar is None:
        return SHIPPED_CALENDAR
    try:
        return read_calendar(settings.calendar.read_text("utf-8"), base=SHIPPED_CALENDAR)
    except (OSError, ValueError) as problem:
        raise SettingsError((f"AXIS_CALENDAR: {settings.calendar}: {problem}",)) from problem


def check_private_files(settings: Settings) -> None:
    """
    Make sure that nobody but its owner may read a private key of the settings.

    Raises:
        SettingsError: somebody may, or one cannot be read.
    """
    problems = []
    for name, path in (("AXIS_HTTP_KEY", settings.http_key), ("AXIS_BROKER_KEY", settings.broker_key)):
        try:
            if path is not None:
                read_private(path)
        except MaterialError as problem:
            problems.append(f"{name}: {problem}")
    if problems:
        raise SettingsError(tuple(problems))


def read_policy(settings: Settings) -> Policy:
    """
    The operator's signature policy, or the one of this version.

    Raises:
        SettingsError: the file cannot be read or makes no sense.
    """
    if settings.policy is None:
        return CURRENT_POLICY
    try:
        return Policy.from_file(settings.policy)
    except MaterialError as problem:
        raise SettingsError((f"AXIS_POLICY: {problem}",)) from problem
