"""
Runs the long tests of `signing` and writes what they found: `python -W ignore -m tests.signing.evidence`.

    docs/signing-tests.md    vectors by rule, mutations, NIST PKITS, the collections of signxml and pyHanko, fuzzing
"""

import logging
import sys
import time
from collections import Counter
from importlib.metadata import version

from signing.pdf import PdfJudge
from signing.reasons import Tier
from tests.signing import test_collections, test_mutation, test_pdf_collection, test_pkits
from tests.signing.builders import AT, trust
from tests.signing.collections import collection
from tests.signing.fuzz import materials, messages, run, try_material, try_message
from tests.signing.pages import FOLDER
from tests.signing.test_vectors import expected_tier, judge_vector
from tests.signing.vectors import VECTORS

FUZZ_SECONDS = 60


def _table(header: tuple[str, ...], rows: list[tuple[object, ...]]) -> list[str]:
    lines = [header, ("---",) * len(header), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines] + [""]


def vectors() -> list[str]:
    """How many messages break each rule, and whether each was refused for its reason."""
    refused = Counter(v.rule for v in VECTORS if judge_vector(v).reason is v.reason)
    total = Counter(v.rule for v in VECTORS)
    held = sum(expected_tier(v) is Tier.INDETERMINATE for v in VECTORS)
    rows: list[tuple[object, ...]] = [(rule, total[rule], refused[rule]) for rule in sorted(total)]
    return [
        "## Messages that break a rule",
        "",
        f"{len(VECTORS)} messages; {held} of them cannot be told yet and are held, the others are refused.",
        "",
        *_table(("rule", "messages", "refused or held for their reason"), rows),
    ]


def mutations() -> list[str]:
    """Every single move and copy, and drawn chains of changes."""
    test_mutation.OUTCOMES.clear()
    for subject in range(3):
        test_mutation.test_every_single_move_and_copy_is_refused_or_harmless(subject)
        test_mutation.test_no_mutation_passes_with_other_content(subject)
    by_kind: dict[str, Counter[str]] = {}
    for name, count in test_mutation.OUTCOMES.items():
        kind, _, tier = name.partition(": ")
        by_kind.setdefault(kind, Counter())[tier] += count
    tiers = [tier.value for tier in (Tier.FAILED, Tier.PASSED, Tier.LEGACY, Tier.UNSIGNED)]
    rows: list[tuple[object, ...]] = [
        (kind, sum(found.values()), *(found[tier] for tier in tiers))
        for kind, found in sorted(by_kind.items())
    ]
    return [
        "## Structural mutation",
        "",
        (
            "Nodes and attributes of signed messages moved, copied, renamed, retyped, taken away. Where the verdict is"
            " `passed`, what came out was byte for byte what had been signed; that is the test's condition."
        ),
        "",
        *_table(("first change", "tried", *tiers), rows),
    ]


def pkits() -> list[str]:
    """Accepted, refused, handed over."""
    rows: list[tuple[object, ...]] = [
        (expected, judged, way, count)
        for (expected, judged, way), count in sorted(test_pkits.table().items())
    ]
    refused = [o for o in test_pkits.outcomes() if o.expected and not o.accepted]
    reasons: list[tuple[object, ...]] = [(o.case, o.reason.partition(" CN=")[0]) for o in refused]
    source = (
        f"{len(test_pkits.outcomes())} cases, from the sources of pyhanko-certvalidator"
        f" {version('pyhanko-certvalidator')}."
    )
    return [
        "## NIST PKITS",
        "",
        source,
        "",
        *_table(("the suite says", "judged", "by", "cases"), rows),
        "Refused although the suite accepts them:",
        "",
        *_table(("case", "reason"), reasons),
    ]


def collections() -> list[str]:
    """Foreign documents and PDFs."""
    swept = test_collections.sweep()
    slowest = max(swept, key=lambda one: one.milliseconds)
    tiers = Counter(one.tier.value for one in swept)
    with PdfJudge(trust=trust()) as judge:
        judge.judge(b"warm up", at=AT)
        files = sorted(collection("pyHanko").rglob("*.pdf"))
        pdfs = [test_pdf_collection.judge_one(judge, path) for path in files]
    longest = max(pdfs, key=lambda one: one.seconds)
    reasons = Counter(one.report.reason.value for one in pdfs)
    documents = (
        f"signxml {version('signxml')}: {len(swept)} files; slowest `{slowest.name}` with"
        f" {slowest.milliseconds:.1f} ms of processor time."
    )
    return [
        "## Collections of others",
        "",
        documents,
        "",
        *_table(("verdict", "files"), list(tiers.most_common())),
        f"pyHanko {version('pyHanko')}: {len(pdfs)} PDFs; slowest `{longest.name}` with {longest.seconds:.2f} s.",
        "",
        *_table(("first finding", "files"), list(reasons.most_common())),
    ]


def fuzzing() -> list[str]:
    """A minute for each entrance."""
    seed = time.time_ns() % 1_000_000
    rows: list[tuple[object, ...]] = []
    for name, target, seeds in (
        ("messages", try_message, messages()),
        ("certificates, lists, responses, tokens", try_material, materials()),
    ):
        tally = run(target, seeds, seconds=FUZZ_SECONDS, seed=seed)
        rows.append((name, tally.tried, len(tally.outcomes), f"{tally.slowest * 1000:.0f} ms"))
    return [
        "## Fuzzing",
        "",
        f"{FUZZ_SECONDS} s for each entrance, seed {seed}; no exception, nothing accepted that nobody signed.",
        "",
        *_table(("entrance", "inputs", "different outcomes", "slowest"), rows),
    ]


def main() -> None:
    """Run and write."""
    logging.disable(logging.CRITICAL)
    parts = [
        "<!-- Written by `python -W ignore -m tests.signing.evidence`; changes made here are overwritten. -->",
        "",
        "# What the tests of signatures found",
        "",
        "The numbers are those of one run. The same conditions are part of the test suite and must hold in every run.",
        "",
    ]
    for part in (vectors, mutations, pkits, collections, fuzzing):
        print(part.__name__, file=sys.stderr)
        parts += part()
    (FOLDER / "signing-tests.md").write_text("\n".join(parts), "utf-8")


if __name__ == "__main__":
    main()
