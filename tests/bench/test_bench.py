"""The benchmark carries every document the whole way, on real servers and embedded. Its speed is no test's matter."""

from pathlib import Path

import pytest

from axis.bench import backlog, replay
from axis.bench.figures import Figure, Times, percentiles
from axis.bench.town import Servers
from axis.cli.bench import _show
from axis.speech import out
from tests.bench.__main__ import page
from tests.e2e.command import axis
from tests.services.postgres import Database
from tests.services.rabbitmq import Broker, Vhost

_FEW = ("--profile", "10KBx3", "--scale", "0.01", "--no-latency", "--json")
_MEMBERS = {
    "name", "profile", "fanout", "load", "hubs", "documents", "documents_per_s", "deliveries_per_s",
    "cpu_ms_per_document", "cpu_ms", "p50_ms", "p95_ms", "p99_ms", "ratio_to_hop", "note",
}  # fmt: skip


def test_percentiles_are_by_nearest_rank() -> None:
    times = percentiles([number / 1000 for number in range(1, 101)])

    assert times is not None
    assert (times.p50_ms, times.p95_ms, times.p99_ms) == (51, 96, 100)
    assert percentiles([]) is None


def test_the_table_of_a_terminal_names_what_was_measured_in_80_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each figure on one line, with its name, the size, the fan-out and the load."""
    rows = [
        Figure(name=name, profile=profile, fanout=fanout, documents=1_000, documents_per_s=1_234.5, load=load,
               hubs=hubs, cpu_ms_per_document=4_354.0, times=Times(p50_ms=10_902.2, p95_ms=1, p99_ms=16_548.6),
               ratio_to_hop=0.35).as_json()
        for name, profile, fanout, load, hubs in (
            ("admission", "100 KB", 69, "full", 1), ("axis", "100 KB", 3, "full", 2), ("urgent", "10 KB", 1, "normal lane 10x", 1),
        )
    ]  # fmt: skip
    monkeypatch.setattr(out, "width", 80)

    with out.capture() as captured:
        _show(rows)

    lines = [" ".join(line.split()) for line in captured.get().splitlines()]
    assert "admission 100 KB x 69 full 1234 4354 10902 16549 0.35" in lines, captured.get()
    assert "axis 100 KB x 3 full, 2 hubs 1234 4354 10902 16549 0.35" in lines
    assert "urgent 10 KB x 1 normal lane 10x 1234 4354 10902 16549 0.35" in lines


@pytest.mark.service
@pytest.mark.timeout(400)
def test_the_floor_and_the_whole_way_on_servers(
    broker: Broker, vhost: Vhost, database: Database, empty_database_url: str, tmp_path: Path
) -> None:
    ended = axis(
        "bench", *_FEW, "--profile", "2signedPDFsx3", "--dir", tmp_path, "--broker", vhost.url, "--management", broker.management_url,
        "--database", empty_database_url, within_s=380,
    )  # fmt: skip

    assert ended.status == 0, ended.err
    results = ended.json["results"]
    assert [one["name"] for one in results] == ["hop", "axis", "axis", "value"]
    assert all(set(one) == _MEMBERS for one in results)
    hop, whole, signed, value = results
    assert hop["documents_per_s"] > whole["documents_per_s"] > 0
    assert {"hub", "web", "receivers", "broker", "database", "senders"} <= whole["cpu_ms"].keys()
    # Either there is a ratio, or it is said why there is none.
    assert (whole["ratio_to_hop"] is None) == ("baseline too slow" in whole["note"])
    assert value["documents"] == signed["documents"] == 20
    # A value is told behind the road, so never before it.
    assert value["p99_ms"] > signed["p50_ms"] > 0
    assert "10 KB" in page(ended.json)


@pytest.mark.timeout(400)
def test_the_embedded_axis(tmp_path: Path) -> None:
    ended = axis("bench", *_FEW, "--dir", tmp_path, within_s=380)

    assert ended.status == 0, ended.err
    results = ended.json["results"]
    assert [one["name"] for one in results] == ["embedded", "admission"]
    assert all(one["documents_per_s"] > 0 for one in results)


@pytest.mark.timeout(400)
async def test_a_backlog_stands_beside_what_is_taken_and_is_drained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "_STEADY_SECONDS", 1)
    monkeypatch.setattr(backlog, "_STILL_SECONDS", 0.5)
    monkeypatch.setattr(backlog, "_AWAY", 3)
    plan = backlog.Plan(servers=Servers(home=tmp_path / "home"), waiting=12, others=9, documents=20)

    found = await backlog.bench_backlog(plan, say=lambda _: None)

    assert [(one["name"], one["load"]) for one in found["results"]] == [
        ("embedded", "alone, full"),
        ("embedded", "alone"),
        ("embedded", "21 wait, full"),
        ("embedded", "21 wait"),
        ("embedded", "beside a drain"),
        ("drain", "12 wait"),
    ]
    assert all(set(one) == _MEMBERS for one in found["results"])
    shown = page({**found, "results": [], "backlog": found["results"]})
    assert "| drain | 12 of waiting | 1 | 12 wait |" in shown


@pytest.mark.timeout(400)
async def test_a_replay_moves_every_failed_delivery_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "_RECEIVERS", 5)

    found = await replay.bench_replay(Servers(home=tmp_path / "home"), items=250, say=lambda _: None)

    assert [(one["load"], one["documents"]) for one in found["results"]] == [
        ("preview, plan", 250),
        ("run", 250),
        ("run again", 250),
    ]
    assert all(set(one) == _MEMBERS for one in found["results"])


def test_an_unknown_profile_is_named() -> None:
    ended = axis("bench", "--profile", "7KBx2")

    assert ended.status == 2
    assert "7KBx2" in ended.err
