"""
`make chaos`: break everything while documents flow, and give an exact account.

    make chaos                                  the short form, with every kind of fault: three or four minutes
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
    short = Plan(seed=secrets.randbelow(1_000_000))
    parser.add_argument("--documents", type=int, default=short.documents)
    parser.add_argument("--kills", type=int, default=short.kills)
    parser.add_argument("--seed", type=int, default=short.seed)
    parser.add_argument("--hubs", type=int, default=short.hubs)
    parser.add_argument("--stations", type=int, default=short.stations)
    help_rate = "0: as fast as they are answered"
    parser.add_argument("--per-second", type=float, default=short.per_second, help=help_rate)
    plan = Plan(**vars(parser.parse_args(arguments)))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    again = f"make chaos SEED={plan.seed} DOCUMENTS={plan.documents} KILLS={plan.kills}"
    print(again, file=sys.stderr, flush=True)
    result = asyncio.run(chaos(plan, say=lambda words: print(words, file=sys.stderr, flush=True)))
    print(json.dumps(result, indent=2, ensure_ascii=False))
    if result["problems"]:
        print(f"the account is wrong; the same again: {again}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
