"""
Writes what `axis bench ledger` measured into docs/ledger-bench.md, between its two comments.

    axis bench ledger --database ... --deliveries 10000 -o a.json      once for each size
    python -m tests.bench.ledger a.json b.json c.json
"""

import json
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "ledger-bench.md"
_BEGIN = "<!-- begin: measured, written by `python -m tests.bench.ledger` -->"
_END = "<!-- end: measured -->"


def main(files: list[str]) -> int:
    if not files:
        print(__doc__, file=sys.stderr)
        return 2
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    found = [json.loads(Path(one).read_text(encoding="utf-8")) for one in files]
    PAGE.write_text(f"{before}{_BEGIN}\n\n{measured(found)}\n{_END}{after}", encoding="utf-8")
    return 0


def measured(found: list[dict[str, Any]]) -> str:
    """The runs, and a row for each question: p50 and p95 of every run, with a mark where p95 is beyond the limit."""
    machine = found[-1]["machine"]
    names = "ABCDEFGH"
    lines = [
        (
            f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_mb'] // 1024} GB, "
            f"PostgreSQL {found[-1]['ledger']['server']}."
        ),
        "",
        "| run | deliveries | documents | events | MiB | accepted/s | numbered/s | machine busy |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, one in zip(names, found, strict=False):
        run = one["ledger"]
        lines.append(
            f"| {name} | {run['deliveries']:,} | {run['documents']:,} | {run['events']:,} | {run['database_mb']:,} "
            f"| {run['append_per_s']:.0f} | {run['numbered_per_s']:.0f} | {run['busy']:.0%} |"
        )
    shown = names[: len(found)]
    heads = "".join(f" {name} p50 | {name} p95 |" for name in shown)
    lines += [
        "",
        f"| question, ms | rows | limit |{heads}",
        "|---|---:|---:|" + "---:|---:|" * len(found),
    ]
    by_name = [{row["name"]: row for row in one["results"]} for one in found]
    for row in found[-1]["results"]:
        cells = ""
        for rows in by_name:
            if row["name"] not in rows:
                cells += " | |"
                continue
            asked = rows[row["name"]]
            mark = "" if asked["holds"] else " ✗"
            cells += f" {asked['p50_ms']:.0f} | {asked['p95_ms']:.0f}{mark} |"
        limit = f"{row['limit_ms']:.0f}" if row["limit_ms"] is not None else ""
        lines.append(f"| {row['name']} | {row['rows']} | {limit} |{cells}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
