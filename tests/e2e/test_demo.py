"""
The demonstration as a process, then every other command on what it left behind: all of them say the same numbers.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import zipfile
from collections import Counter
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import pytest

from axis.core.reasons import ReasonCode
from axis.demo import run
from axis.evidence import verify
from axis.evidence.archive import read_archive
from axis.evidence.judge import EvidenceTrust, judge_bundle
from tests.e2e.command import Ended, axis
from tests.evidence.laptop import laptop
from tests.evidence.laptop import run as run_at
from tests.services.rabbitmq import Vhost

_DOCUMENTS, _STATIONS = 12, 8


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "D"


@pytest.fixture(scope="module")
def demo(home: Path) -> dict[str, Any]:
    """One small run; it must reconcile to the unit."""
    ended = axis(
        "demo", "--json", "--documents", str(_DOCUMENTS), "--stations", str(_STATIONS), "--dir", home
    )
    assert ended.status == 0, ended.err + ended.out
    result: dict[str, Any] = ended.json
    return result


def _on(home: Path, *arguments: str | Path) -> Ended:
    return axis(*arguments, environ={"AXIS_HOME": str(home)})


pytestmark = pytest.mark.slow


def test_it_reconciles(demo: dict[str, Any]) -> None:
    """One document to all of Hà Nội is one sent and 636 deliveries."""
    assert demo["documents_sent"] == _DOCUMENTS
    assert demo["received"] == demo["deliveries"] > 636
    assert (demo["held"], demo["replayed"], demo["duplicates"]) == (1, 2, 1)
    assert demo["receipt_verified"] is True
    assert demo["reconciled"] is True
    assert set(demo["values"]) == {"original", "copy", "reference"}
    assert sum(demo["values"].values()) == _DOCUMENTS
    assert len(demo["refused"]) > 20


def test_counts_agree_and_balance(demo: dict[str, Any], home: Path) -> None:
    ended = _on(home, "count", "--by", "organ", "--json", "--recount")

    rows = ended.json
    assert ended.status == 0, ended.err
    assert sum(row["sent"] for row in rows) == demo["documents_sent"]
    assert sum(row["addressed"] for row in rows) == demo["deliveries"]
    assert sum(row["received"] for row in rows) == demo["received"]
    assert sum(row["refused"] for row in rows) <= sum(demo["refused"].values())
    for row in rows:
        settled = row["received"] + row["withdrawn"] + row["failed"] + row["pending"]
        assert row["pending_start"] + row["addressed"] == settled, row


def test_the_log_shows_every_refusal_with_its_reason(demo: dict[str, Any], home: Path) -> None:
    rows = _on(home, "log", "--state", "refused", "--json").json

    assert Counter(row["reason"] for row in rows) == Counter(demo["refused"])
    assert {row["state"] for row in rows} == {"refused"}


def test_the_log_in_csv_has_a_row_for_every_delivery(demo: dict[str, Any], home: Path) -> None:
    lines = _on(home, "log", "--state", "acknowledged", "--format", "csv").out.splitlines()

    assert len(lines) - 1 == demo["deliveries"]
    assert lines[0].startswith("document,")


def test_one_document_is_shown_whole(demo: dict[str, Any], home: Path) -> None:
    """By the axis's id and by its DocumentId."""
    row = next(
        row for row in _on(home, "log", "--state", "acknowledged", "--json").json if row["status"] == "03"
    )

    by_key, by_name = (
        _on(home, "show", name, "--json").json for name in (row["document"], row["document_id"])
    )

    assert by_key["document"] == by_name["document"] == row["document"]
    kinds = [event["kind"] for event in by_key["events"]]
    assert {"submission.accepted", "delivery.acknowledged", "delivery.answered"} <= set(kinds)
    assert demo["documents_sent"] == _DOCUMENTS


def test_nothing_waits_for_a_person_and_the_ledger_is_whole(demo: dict[str, Any], home: Path) -> None:
    assert demo["reconciled"]
    assert _on(home, "failed", "--json").json == []
    assert _on(home, "ledger", "check", "--json").json["ok"] is True
    assert _on(home, "doctor").status == 0


def test_a_changed_row_is_named(demo: dict[str, Any], home: Path, tmp_path: Path) -> None:
    """Whoever changes a delivery in the database is found out, with the place."""
    assert demo["reconciled"]
    copy = tmp_path / "D"
    shutil.copytree(home, copy)
    with sqlite3.connect(copy / "ledger.db") as database:
        database.execute("UPDATE delivery SET code = '000.00.00.G99' WHERE rowid = 1")
    database.close()

    ended = _on(copy, "ledger", "check")

    assert ended.status == 1
    assert "delivery[" in ended.out


def test_what_people_changed_is_on_record(demo: dict[str, Any], home: Path) -> None:
    rows = _on(home, "log", "--acts", "--json").json

    assert demo["stations"] == len([row for row in rows if row["kind"] == "station.changed"])
    assert {row["person"] for row in rows if row["person"]} == {"demo"}
    assert all(row["reason"] for row in rows if row["person"])


@pytest.mark.requirement("LR-41", "LR-45", "LR-46", "LR-47", "LR-55")
def test_what_auditors_take_along(demo: dict[str, Any], home: Path, tmp_path: Path) -> None:
    """Files of any form, each for whom it is meant; a statement that a station without papers cannot confirm."""
    (busy, *_) = [row for row in _on(home, "count", "--json").json if row["sent"]]
    people = tmp_path / "people.toml"
    people.write_text(
        f'[people.ha]\nrole = "auditor"\norgan = "{busy["organ"]}"\n[people.lan]\nrole = "reporter"\n'
    )

    def as_person(name: str, *arguments: str | Path) -> Ended:
        return axis(*arguments, "--as", name, environ={"AXIS_HOME": str(home), "AXIS_PEOPLE": str(people)})

    log = as_person("ha", "log", "--format", "jsonl")
    rows = [json.loads(line) for line in log.out.splitlines()]
    assert rows
    assert all(busy["organ"][-4:] in f"{row['from']} {row['to']}" for row in rows)
    assert as_person("ha", "register", "out", "-o", tmp_path / "out.xlsx").status == 0
    assert zipfile.is_zipfile(tmp_path / "out.xlsx")
    refused = as_person("lan", "log", "--acts")
    assert (refused.status, refused.out) == (1, "")

    day = rows[0]["recorded_at"]
    quarter = f"{day[:4]}-Q{(int(day[5:7]) + 2) // 3}"
    report = as_person("lan", "count", "report", "--quarter", quarter, "-o", tmp_path / "report")
    assert report.status == 0, report.err
    assert sum(path.suffix == ".csv" for path in (tmp_path / "report").iterdir()) == 8
    feed = json.loads(as_person("lan", "count", "feed", "--signed").json["record"])
    assert feed["counts"]["day"][0]["sent"] > 0
    assert "subject" not in json.dumps(feed)

    statement = tmp_path / "statement.json"
    made = as_person(
        "lan", "count", "statement", "--organ", busy["organ"], "--month", day[:7], "-o", statement
    )
    assert made.status == 0, made.err
    compared = _on(home, "count", "reconcile", "--statement", statement, "--receipts", tmp_path, "--json")
    assert compared.status == 1
    assert {"where": "sent", "en": f"the axis counts {busy['sent']}, the receipts show 0"}.items() <= (
        compared.json["differences"][0].items()
    )


def test_a_name_that_fits_nothing_or_nobody(home: Path, demo: dict[str, Any]) -> None:
    """1: the answer is no; 2: wrong usage."""
    assert demo["reconciled"]
    assert _on(home, "show", "no-such-document").status == 1
    assert _on(home, "log", "--state", "lost").status == 2
    assert _on(home, "log", "--reason", "no.reason").status == 2
    assert axis("log", environ={"AXIS_HOME": str(home / "nowhere")}).status == 2
    assert axis("config", environ={"AXIS_HOEM": "x"}).status == 2


@pytest.mark.timeout(300)
def test_the_same_on_real_servers(vhost: Vhost, empty_database_url: str, tmp_path: Path) -> None:
    """
    RabbitMQ and PostgreSQL, stations over AMQP; and not one socket to anywhere but the servers it was told of.

    What is counted is every connection, every name asked for, every address listened on, of axis and stations alike.
    """
    seen = tmp_path / "sockets"
    ended = axis(
        *("demo", "--json", "--documents", "8", "--stations", "6", "--dir", tmp_path / "D"),
        *("--broker", vhost.url, "--management", vhost.management_url),
        *("--database", empty_database_url.replace("+asyncpg", "")),
        environ={"PYTHONPATH": str(Path(__file__).parent / "counted"), "SOCKETS_SEEN": str(seen)},
        within_s=280,
    )

    assert ended.status == 0, ended.err + ended.out
    assert ended.json["documents_sent"] == 8
    assert set(ended.json["values"]) == {"original", "copy", "reference"}
    assert ended.json["reconciled"] is True
    calls = [tuple(json.loads(line)) for line in seen.read_text().splitlines()]
    servers = [urlsplit(one) for one in (vhost.url, vhost.management_url, empty_database_url)]
    told = {str(one.hostname) for one in servers} | {"127.0.0.1", "localhost", "::1"}
    assert {host for _, host, _ in calls} <= told
    ours = {port for what, _, port in calls if what == "bind"}
    connected = {port for what, _, port in calls if what == "connect"}
    assert {str(one.port) for one in servers} <= connected
    # What it listens on it was given by the system: bound as port 0, and connected to by its own stations.
    assert ours == {"0"}
    assert len(connected - {str(one.port) for one in servers}) == 1


def test_a_receiver_that_dies_ends_the_demonstration_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits until the end of all patience for what a dead receiver would have taken."""

    async def die(*_: object) -> None:
        raise RuntimeError("the disk of the agency is full")

    monkeypatch.setattr(run._Play, "_take", die)
    began = monotonic()

    with pytest.raises(RuntimeError, match="disk of the agency"):
        run.demonstrate(run.Plan(documents=5, stations=4, folder=tmp_path / "D"), as_json=True)

    assert monotonic() - began < run._PATIENCE_SECONDS / 4


def test_every_refusal_kind_that_a_letter_can_meet_is_shown(demo: dict[str, Any]) -> None:
    """All of steps 2 to 5 whose owner is the sender, but the schema's, which the others go before, and the old kind."""
    shown = set(demo["refused"])
    stages = ("parse.", "validate.", "verify.", "route.")
    known = {code.value for code in ReasonCode if code.value.startswith(stages)}
    ours_or_later = {
        ReasonCode.VERIFY_INDETERMINATE,
        ReasonCode.ROUTE_NOT_CONNECTED,
        ReasonCode.ROUTE_WAITS_FOR_HELD,
        ReasonCode.VALIDATE_SCHEMA,
        ReasonCode.VALIDATE_ATTACHMENT_TWICE,
        ReasonCode.VERIFY_LEGACY,
        # Of what follows a document: a status without its reason, and what is sent after a recall.
        ReasonCode.VALIDATE_STATUS_REASON,
        ReasonCode.ROUTE_RECALLED,
    }
    assert known - shown == {code.value for code in ours_or_later}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, demo: dict[str, Any], home: Path) -> Path:
    """A laptop without our package, with what the demonstration says is to be trusted."""
    assert demo["receipt_verified"]
    folder = laptop(tmp_path_factory.mktemp("desk"))
    shutil.copy(home / "trust.pem", folder)
    return folder


def _exported(home: Path, desk: Path, name: str, *more: str) -> bytes:
    """A bundle that both verifiers take: the command, and `verify.py` where nothing of ours is."""
    bundle = desk / "bundle.zip"
    exported = _on(home, "evidence", "export", name, "-o", bundle, *more)
    judged = axis("evidence", "verify", bundle, "--trust", home / "trust.pem", "--json")
    alone = run_at(desk, "bin/python", "verify.py", "bundle.zip", "--keys", "trust.pem")

    assert exported.status == 0, exported.err
    assert (judged.status, judged.json["verdict"]) == (0, "passed"), judged.out
    assert (alone.returncode, "HOLDS" in alone.stdout) == (0, True), alone.stdout + alone.stderr
    return bundle.read_bytes()


def test_evidence_of_a_document_is_verified_by_both(home: Path, desk: Path) -> None:
    """Exported from what the demonstration left; with the message, whose attachments are those of the record."""
    row = next(row for row in _on(home, "log", "--json").json if row["state"] == "acknowledged")

    archive = _exported(home, desk, row["document"])

    keys = verify.read_keys((desk / "trust.pem").read_text())
    assert any("and its attachments" in one for one in verify.verify(archive, keys, None))
    assert run_at(desk, "bin/python", "-c", "import axis").returncode == 1


def test_evidence_for_one_receiver_tells_nothing_of_another(home: Path, desk: Path) -> None:
    """Records, cover page and all; an organ that did not get the document has no part in it."""
    by_document: dict[str, list[dict[str, Any]]] = {}
    for row in _on(home, "log", "--state", "acknowledged", "--json").json:
        by_document.setdefault(row["document"], []).append(row)
    document, (mine, other, *_) = next(one for one in by_document.items() if len(one[1]) > 1)

    members = read_archive(_exported(home, desk, document, "--for", mine["to"]))

    records = [json.loads(content) for name, content in members.items() if name.startswith("records/")]
    assert records[0]["kind"] == "submission.accepted"
    assert {delivery for one in records[1:] for delivery in one.get("deliveries", ())} == {mine["delivery"]}
    page = members["cover.html"].decode()
    assert (mine["to"] in page, other["to"] in page) == (True, False)
    stranger = _on(home, "evidence", "export", document, "-o", desk / "no.zip", "--for", "000.00.00.X99")
    assert (stranger.status, (desk / "no.zip").exists()) == (1, False)


_FLIP_EACH = """
import sys, verify
keys = verify.read_keys(open("trust.pem").read())
bundle = open("bundle.zip", "rb").read()
verify.verify(bundle, keys, None)
for at in range(len(bundle)):
    try:
        verify.verify(bundle[:at] + bytes([bundle[at] ^ 1]) + bundle[at + 1:], keys, None)
        print(at)
    except verify.Refused:
        pass
"""


def test_each_byte_of_a_small_bundle_in_turn(home: Path, desk: Path) -> None:
    """The evidence of a refusal; one bit of one byte, and neither verifier takes it."""
    row = next(row for row in _on(home, "log", "--state", "refused", "--json").json)
    archive = _exported(home, desk, row["submission"])
    trusted = EvidenceTrust.read([("trust.pem", (desk / "trust.pem").read_bytes())])

    flipped = (archive[:at] + bytes([archive[at] ^ 1]) + archive[at + 1 :] for at in range(len(archive)))
    taken = [at for at, one in enumerate(flipped) if judge_bundle(one, trust=trusted).failed is None]
    alone = run_at(desk, "bin/python", "-c", _FLIP_EACH)

    assert taken == []
    assert (alone.returncode, alone.stdout, alone.stderr) == (0, "", "")
