"""
The same fuzzing driven by coverage: `python -m tests.signing.fuzz_by_coverage ENTRANCE SECONDS [SEED]`, with atheris.

ENTRANCE is `messages` or `materials`. Our own code is instrumented while it is loaded, so this module imports it; what
an input must never do is said in `tests.signing.fuzz`. Ends with another status than 0 when one does it, and leaves
that input in the folder it was started in.
"""

import sys
import tempfile
import warnings
from pathlib import Path

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["signing"]):
    from tests.signing import fuzz

_LARGEST_INPUT = 64 * 1024
_SECONDS_PER_INPUT = 5


def main(entrance: str, seconds: str, seed: str = "0") -> None:
    """Hand over to libFuzzer; does not return."""
    warnings.filterwarnings("ignore", message="Parsed a serial")
    target, seeds = {
        "messages": (fuzz.try_message, fuzz.messages),
        "materials": (fuzz.try_material, fuzz.materials),
    }[entrance]
    corpus = Path(tempfile.mkdtemp(prefix="axis-fuzz-"))
    for number, one in enumerate(seeds()):
        (corpus / f"{number:04}").write_bytes(one)

    def try_one(data: bytes) -> None:
        target(data)

    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={seconds}",
            f"-seed={seed}",
            f"-max_len={_LARGEST_INPUT}",
            f"-timeout={_SECONDS_PER_INPUT}",
            str(corpus),
        ],
        try_one,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
