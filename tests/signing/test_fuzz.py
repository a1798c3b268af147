"""Half a minute of changes by coverage to messages and certificates, and some at random; `make fuzz` goes on longer."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.signing.fuzz import BrokenRuleError, materials, messages, run, try_material, try_message

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Parsed a serial"),
]

SECONDS = 5
SECONDS_BY_COVERAGE = 15


@pytest.mark.parametrize("entrance", ["messages", "materials"])
def test_no_input_found_by_coverage_crashes_slows_or_passes(entrance: str, tmp_path: Path) -> None:
    """What libFuzzer finds by watching which of our lines an input reaches (atheris)."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.signing.fuzz_by_coverage", entrance, str(SECONDS_BY_COVERAGE)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done " in done.stderr


def test_no_changed_message_crashes_slows_or_passes(request: pytest.FixtureRequest) -> None:
    """Hundreds of different inputs a second."""
    seed = request.config.getoption("randomly_seed", 1)

    tally = run(try_message, messages(), seconds=SECONDS, seed=seed if isinstance(seed, int) else 1)

    assert tally.tried > 500
    assert len(tally.outcomes) > 15, "it reaches many rules"


def test_no_changed_certificate_list_or_token_crashes() -> None:
    """Read by every reader that takes bytes of strangers."""
    tally = run(try_material, materials(), seconds=SECONDS, seed=20260302)

    assert tally.tried > 500


def test_the_fuzzer_notices_what_it_looks_for() -> None:
    """A fuzzer that cannot fail shows nothing."""

    def careless(data: bytes) -> str:
        raise RuntimeError(len(data))

    with pytest.raises(BrokenRuleError, match="RuntimeError"):
        run(careless, messages(), seconds=5, seed=1)
