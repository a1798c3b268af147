"""docs/connect.md says what the wire contracts say: every name of them, and examples the readers take."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from axis.broker import wire as amqp
from axis.core.exchange import (
    MAX_ACKS,
    MAX_OWED,
    Ask,
    BadMessage,
    Duty,
    Outcome,
    OwedBy,
    read_answer,
    read_consignment,
    read_owed_list,
    read_station_message,
    read_whereabouts,
)
from axis.core.model import LegalValue, RequestKind, SubmissionState, Tier
from axis.web import wire as http
from tests.project.collect import ROOT

_PAGE = (ROOT / "docs" / "connect.md").read_text(encoding="utf-8")
_EXAMPLES: list[tuple[str, str]] = re.findall(r"^```json (\w+)\n(.*?)^```", _PAGE, re.MULTILINE | re.DOTALL)


def _read_problem(value: Mapping[str, Any]) -> http.Problem:
    problem = http.read_problem(int(value["status"]), json.dumps(value).encode())
    if problem.code == "http":
        raise BadMessage("problem", "not the one shape of errors")
    return problem


_READERS: dict[str, Callable[[Any], object]] = {
    "answer": read_answer,
    "consignment": read_consignment,
    "acks": lambda value: read_station_message(json.dumps(value).encode()),
    "where_is": read_whereabouts,
    "owed": read_owed_list,
    "problem": _read_problem,
    "organs": http.read_organs,
}


@pytest.mark.requirement("LR-48")
@pytest.mark.parametrize(("kind", "text"), _EXAMPLES, ids=[kind for kind, _ in _EXAMPLES])
def test_the_readers_take_the_examples(kind: str, text: str) -> None:
    """An example that cannot be read would be copied into a hundred programs."""
    value = json.loads(text)

    assert _READERS[kind](value) is not None
    assert {kind for kind, _ in _EXAMPLES} == set(_READERS)


@pytest.mark.parametrize("name", sorted(name for name in dir(amqp) if name.startswith("H_")))
def test_every_header_is_described(name: str) -> None:
    """AMQP: the headers of a consignment."""
    assert f"`{getattr(amqp, name)}`" in _PAGE


@pytest.mark.parametrize(
    "word",
    [
        amqp.SUBMIT,
        amqp.ACK,
        amqp.TYPE_CONSIGNMENT,
        amqp.TYPE_WITHDRAW,
        amqp.TYPE_RECEIPT,
        amqp.TYPE_EVENTS,
        amqp.TYPE_REPLY,
        amqp.EDXML,
        amqp.BY_DIGEST,
        http.PROBLEM,
        *Ask,
        *Outcome,
        *Duty,
        *OwedBy,
        *RequestKind,
        *SubmissionState,
        *Tier,
        *LegalValue,
    ],
)
def test_every_word_of_the_contract_is_named(word: str) -> None:
    """A word that is not described is met in production."""
    assert f"`{word}`" in _PAGE


@pytest.mark.parametrize(
    "path",
    [
        getattr(http, name)
        for name in (
            "SUBMISSIONS",
            "UPLOADS",
            "INBOX",
            "CONSIGNMENT",
            "PAYLOAD",
            "REPORT",
            "ACKS",
            "STATUSES",
            "RECEIPTS",
            "EVENTS",
            "WHERE_IS",
            "OWED",
            "WHOAMI",
            "ORGANS",
            "CHECKPOINT",
            "CONSISTENCY",
            "PROOF",
            "EPOCHS",
            "OPENAPI",
        )
    ],
)
def test_every_path_is_described(path: str) -> None:
    """HTTP: what can be called."""
    assert path in _PAGE


@pytest.mark.parametrize(
    "header", [http.IDEMPOTENCY_KEY, http.LANE, http.DIGEST, http.REQUEST, http.UPLOAD_OFFSET, http.ACTS_FOR]
)
def test_every_http_header_is_described(header: str) -> None:
    """HTTP: what is sent beside a body."""
    assert header in _PAGE


def test_numbers_are_those_of_the_contract() -> None:
    """Bounds that a program is written against."""
    assert f"At most {MAX_ACKS} in one message" in _PAGE
    assert f"at most {MAX_OWED} in a page" in _PAGE
    assert f"up to {amqp.MAX_SUBMIT_BYTES >> 20} MiB" in _PAGE
    assert f"at most {amqp.MAX_REFS}" in _PAGE
    assert f"at most {http.MAX_ORGANS:,} in an answer" in _PAGE
    assert f"`wait` up to {http.MAX_WAIT_SECONDS} seconds" in _PAGE
    assert f"the first {amqp.MAX_NOTICES_BYTES >> 10} KiB" in _PAGE
