"""Every strict rule has messages that break it, and each is refused for the reason in its story."""

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from signing.reasons import EXPLANATIONS, Reason, Tier
from signing.revocation import RevocationIndex
from signing.verify import CheckResult, Verdict, judge
from tests.signing.builders import trust
from tests.signing.vectors import VECTORS, Vector

ELSEWHERE = {
    Reason.PASSED,
    Reason.UNSIGNED,
    Reason.LEGACY,
    # test_skeleton: it takes two parsers that disagree
    Reason.XML_DISAGREEMENT,
}
RULES_OF_THE_HUB = {28, 29}
WITHOUT_A_MESSAGE = {
    3: "no DTD is ever loaded: an_undefined_entity shows the rest",
    19: "test_verify: only canonical bytes come out",
    20: "this test: one reason per verdict",
}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v.name)
def test_the_message_is_refused_for_its_reason(vector: Vector) -> None:
    """Never passed, never legacy, and with the code that its story promises."""
    judged = judge_vector(vector)

    assert (judged.tier, judged.reason) == (expected_tier(vector), vector.reason), judged.detail
    assert judged.signed is None or judged.tier is Tier.INDETERMINATE
    results = [c.result for c in judged.checks]
    assert results.count(CheckResult.FAILED) + results.count(CheckResult.INDETERMINATE) == 1


def judge_vector(vector: Vector) -> Verdict:
    """Judge it at its moment, with the revocation lists it comes with."""
    revocation = None
    if vector.lists is not None:
        revocation = RevocationIndex()
        for one in vector.lists():
            revocation.add_list(one.public_bytes(Encoding.DER))
    return judge(vector.build(), trust=trust(), at=vector.at, revocation=revocation)


def expected_tier(vector: Vector) -> Tier:
    """What cannot be told yet is held; everything else is refused."""
    is_open = vector.reason in {Reason.REVOCATION_STALE, Reason.REVOCATION_UNKNOWN}
    return Tier.INDETERMINATE if is_open else Tier.FAILED


def test_every_reason_has_a_vector() -> None:
    """A code that nothing produces is a rule that nobody tests."""
    produced = {vector.reason for vector in VECTORS}

    missing = set(Reason) - produced - ELSEWHERE

    assert missing == set()


def test_every_rule_has_a_vector() -> None:
    """Rules 1 to 30, but for those that the hub applies."""
    covered = {vector.rule for vector in VECTORS} | RULES_OF_THE_HUB | set(WITHOUT_A_MESSAGE)

    assert set(range(1, 31)) - covered == set()


def test_every_vector_tells_its_story() -> None:
    """So that the next reader knows which attack it was."""
    assert [v.name for v in VECTORS if not v.story.strip()] == []
    assert len({v.name for v in VECTORS}) == len(VECTORS)
    assert all(EXPLANATIONS[v.reason].rule for v in VECTORS)
