"""
`axis bench` on a private RabbitMQ and PostgreSQL: `make bench`. Writes docs/bench.json and docs/bench.md.

    python -m tests.bench [OPTIONS OF axis bench]     with options it only measures and writes no page
    python -m tests.bench --page 0.2                  the page, from a fifth of the documents
    python -m tests.bench --backlog FILE...           what `axis bench backlog` and `replay` wrote with -o, into the page
    python -m tests.bench --growth 1000000 1          the whole way beside so many deliveries of history, into the page
"""

import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.services.processes import ServiceUnavailable
from tests.services.shared import SharedServices

_DOCS = Path(__file__).parents[2] / "docs"
_MEMBERS = ("fanout", "load", "documents_per_s", "deliveries_per_s", "cpu_ms_per_document", "p50_ms", "p95_ms", "p99_ms", "ratio_to_hop")  # fmt: skip
_ROUNDS = 3
_GROWTH = ("--profile", "10KBx3", "--profile", "100KBx3", "--no-latency")
_HEADINGS = ("", "documents", "fan-out", "load", "documents/s", "deliveries/s", "CPU ms", "p50 ms", "p95 ms", "p99 ms", "of the floor")  # fmt: skip


def main(options: list[str]) -> int:
    if options[:1] == ["--backlog"]:
        found = [json.loads(Path(one).read_text()) for one in options[1:]]
        return _write({**_written(), "backlog": [row for one in found for row in one["results"]]})
    try:
        services = SharedServices.make(environment={})
        try:
            broker, database = services.broker(), services.database()

            def servers() -> list[str]:
                """Empty ones: every axis has keys of its own, and believes no other's log."""
                return [
                    "--broker", broker.make_vhost().url, "--management", broker.management_url,
                    "--database", database.url_of(database.create()),
                ]  # fmt: skip

            if options[:1] == ["--page"]:
                return _write_page(servers, scale=options[1])
            if options[:1] == ["--growth"]:
                return _write_growth(servers, deliveries=options[1], scale=options[2])
            if options:
                return _axis_bench(*servers(), *options)
            return _write_page(servers, scale="1")
        finally:
            services.stop()
    except ServiceUnavailable as error:
        print(error, file=sys.stderr)
        return 1


def _axis_bench(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "axis", "bench", *arguments], check=False).returncode


def _write_page(servers: Callable[[], list[str]], *, scale: str) -> int:
    results: list[dict[str, Any]] = []
    runs = (
        servers(),
        [*servers(), "--hubs", "2", "--hubs", "4", "--profile", "100KBx3", "--no-latency"],
        ["--profile", "10KBx3", "--profile", "100KBx3"],
    )
    with tempfile.TemporaryDirectory() as folder:
        for number, arguments in enumerate(runs):
            found = Path(folder) / f"{number}.json"
            status = _axis_bench(*arguments, "--scale", scale, "--output", str(found))
            if status:
                return status
            results.append(json.loads(found.read_text()))
    rows = [row for one in results for row in one["results"]]
    # Measured by themselves, as they take as long as all the rest.
    return _write({**_written(), **results[0], "results": rows})


def _write_growth(servers: Callable[[], list[str]], *, deliveries: str, scale: str) -> int:
    """In turn on an empty ledger and on one with years of history: what else the machine does falls on both."""
    full, rows = servers(), []
    with tempfile.TemporaryDirectory() as folder:
        history, found = Path(folder) / "history.json", Path(folder) / "found.json"
        database = full[full.index("--database") + 1]
        # Its status says whether every question was answered in time, which is not asked here.
        _axis_bench("ledger", "--database", database, "--deliveries", deliveries, "--output", str(history))
        documents = json.loads(history.read_text())["ledger"]["documents"]
        for _ in range(_ROUNDS):
            for beside, arguments in ((0, servers()), (documents, full)):
                status = _axis_bench(*arguments, *_GROWTH, "--scale", scale, "--output", str(found))
                if status:
                    return status
                load = f"full, {beside:,} in the ledger"
                results = json.loads(found.read_text())["results"]
                rows += [{**row, "load": load} for row in results if row["name"] == "axis"]
    return _write({**_written(), "growth": rows})


def _written() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((_DOCS / "bench.json").read_text())
    return found


def _write(whole: dict[str, Any]) -> int:
    (_DOCS / "bench.json").write_text(json.dumps(whole, ensure_ascii=False, indent=1) + "\n")
    (_DOCS / "bench.md").write_text(page(whole))
    return 0


def page(found: dict[str, Any]) -> str:
    """docs/bench.md."""
    machine, versions = found["machine"], found["versions"]
    lines = [
        "<!-- Written by `make bench`; changes made here are overwritten. -->",
        "",
        "# How fast an axis is",
        "",
        (
            "`hop` is the floor: the same bytes from one quorum queue to the quorum queues of all receivers, without any "
            "axis. `axis` is the whole way: submitted by real stations, verified, recorded, receipted, delivered, fetched, "
            "checked against its digest, acknowledged and recorded as such. `embedded` is the same without broker, over "
            "HTTP. `admission` is judging and recording alone, in one process. `value` runs from handing in to the sender's "
            "hearing what its signed files are worth, which no delivery waits for. CPU is what every process together used for "
            "one document. Times run from handing in to a receiver's hands. Compare the ratios: everything stands on one "
            "machine."
        ),
        "",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_mb'] // 1024} GB; {machine['system']}; "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + f". {found['keys']}.",
        "",
        *_table(found["results"]),
    ]
    if found.get("backlog"):
        lines += [
            "## What waits, and what is sent round again",
            "",
            (
                "`axis bench backlog` and `axis bench replay`, on servers of their own. `wait`: so many documents for "
                "stations that are away, which do not slow the others. `drain`: one of them is back and takes all "
                "that waits for it, while the others go on at the steady rate. `replay`: deliveries that failed, planned "
                "and offered again beside a hub; a second plan of the same moves nothing twice. Compare within a run: "
                "other work went on on the machine."
            ),
            "",
            *_table(found["backlog"]),
        ]
    if found.get("growth"):
        lines += [
            "## Beside years of history",
            "",
            (
                "The whole way on an empty ledger and on one with so many documents of the years before, in turn "
                "(`python -m tests.bench --growth`)."
            ),
            "",
            *_table(found["growth"]),
        ]
    lines += ["## Processor time by part", "", "Milliseconds a document.", ""]
    for one in found["results"]:
        if one["cpu_ms"] and one["load"] == "full":
            parts = ", ".join(f"{part} {value}" for part, value in one["cpu_ms"].items())
            lines.append(f"- {one['name']}, {one['profile']} x {one['fanout']}: {parts}")
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The rows, their notes, and an empty line."""
    lines = [f"| {' | '.join(_HEADINGS)} |", f"| {' | '.join('---' for _ in _HEADINGS)} |"]
    lines += [f"| {' | '.join(_cells(one))} |" for one in rows]
    notes = [
        f"- {one['profile']} x {one['fanout']}, {one['load']}: {one['note']}" for one in rows if one["note"]
    ]
    return [*lines, "", *notes, *([""] if notes else [])]


def _cells(one: dict[str, Any]) -> list[str]:
    hubs = "" if one["hubs"] == 1 else f", {one['hubs']} hubs"
    values = [
        one["name"] + hubs,
        f"{one['documents']} of {one['profile']}",
        *(one[name] for name in _MEMBERS),
    ]
    return ["" if value is None else str(value) for value in values]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--help"]:
        print(shlex.join([sys.executable, "-m", "axis", "bench", "--help"]))
        sys.exit(0)
    sys.exit(main(sys.argv[1:]))
