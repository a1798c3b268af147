"""
`make chaos`: break everything while documents flow, and give an exact account.

    make chaos                                  the short form
    make chaos DOCUMENTS=100000 KILLS=50        the long one
    make chaos SEED=7                           the same again
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys

import structlog

from tests.chaos.plan import Plan
from tests.chaos.run import chaos


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--hubs", type=int, default=2)
    parser.add_argument("--stations", type=int, default=6)
    parser.add_argument("--per-second", type=float, default=10, help="0: as fast as they are answered")
    asked = parser.parse_args(arguments)
    seed = asked.seed if asked.seed is not None else secrets.randbelow(1_000_000)
    plan = Plan(
        seed=seed,
        documents=asked.documents,
        kills=asked.kills,
        hubs=asked.hubs,
        stations=asked.stations,
        per_second=asked.per_second,
    )
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    print(f"seed {seed}", file=sys.stderr, flush=True)
    result = asyncio.run(chaos(plan, say=lambda words: print(words, file=sys.stderr, flush=True)))
    print(json.dumps(result, indent=2, ensure_ascii=False))
    return 1 if result["problems"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
