"""The benchmark carries every document the whole way, on real servers and embedded. Its speed is no test's matter."""

from pathlib import Path

import pytest

from axis.bench.figures import percentiles
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


def test_an_unknown_profile_is_named() -> None:
    ended = axis("bench", "--profile", "7KBx2")

    assert ended.status == 2
    assert "7KBx2" in ended.err
