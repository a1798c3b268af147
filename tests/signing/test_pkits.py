"""
The 246 cases of NIST PKITS, with the expected results that pyhanko-certvalidator publishes.

Fast path, index and slow path together must accept no certificate that the suite refuses. What they refuse although
the suite accepts it must be something that the slow path refuses too, under the same policy (keys and hashes that
ours does not take).
"""

import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import x509 as asn1  # type: ignore[import-untyped]
from pyhanko_certvalidator.context import ValidationContext
from pyhanko_certvalidator.errors import DisallowedAlgorithmError
from pyhanko_certvalidator.policy_decl import PKIXValidationParams
from pyhanko_certvalidator.validate import validate_path

from signing.certificates import (
    PathRefusedError,
    ReadCertificate,
    TrustStore,
    read_certificate,
)
from signing.errors import MaterialError
from signing.policy import CURRENT_POLICY
from signing.revocation import RevocationIndex, RevocationState
from signing.slow_path import PolicyAlgorithms, SlowPath
from tests.signing.collections import collection

AT = datetime(2022, 5, 1, tzinfo=UTC)
"""Inside the validity of the suite's certificates and lists (2010 to 2030)."""

pytestmark = [
    pytest.mark.timeout(240),
    # Serial numbers of 0 and below, on purpose.
    pytest.mark.filterwarnings("ignore:Parsed a serial number"),
]


class Way(StrEnum):
    FAST = "fast path"
    HANDED_OVER = "handed over to the slow path"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one case ended."""

    case: str
    expected: bool
    accepted: bool
    way: Way
    reason: str


@cache
def suite() -> Path:
    return collection("pyhanko-certvalidator") / "tests" / "fixtures" / "nist_pkits"


@cache
def cases() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((suite() / "pkits.json").read_text("utf-8"))
    return rows


def certificate(name: str) -> ReadCertificate:
    return read_certificate((suite() / "certs" / name).read_bytes())


class Watched:
    """The slow path, and whether the index asked it."""

    def __init__(self, slow: SlowPath) -> None:
        self._slow = slow
        self.was_asked = False

    def status(self, *arguments: Any, **named: Any) -> Any:
        self.was_asked = True
        return self._slow.status(*arguments, **named)


def parameters_of(row: dict[str, Any]) -> PKIXValidationParams | None:
    """The inputs about certificate policies that a case asks for; with them it takes the slow path."""
    if "params" not in row:
        return None
    given = dict(row["params"])
    wanted = frozenset(given.pop("user_initial_policy_set", ["any_policy"]))
    return PKIXValidationParams(user_initial_policy_set=wanted, **given)


def judge(row: dict[str, Any]) -> Outcome:
    policy, parameters = CURRENT_POLICY, parameters_of(row)
    expected = "error" not in row

    def ended(accepted: bool, reason: str, *, slow: bool) -> Outcome:
        way = Way.HANDED_OVER if slow else Way.FAST
        return Outcome(case=row["name"], expected=expected, accepted=accepted, way=way, reason=reason)

    try:
        roots = [certificate("TrustAnchorRootCertificate.crt")]
        others = [certificate(name) for name in row.get("other_certs", [])]
        leaf = certificate(row["cert"])
    except MaterialError as error:
        return ended(False, error.cause, slow=False)
    trust = TrustStore(roots, intermediates=others)
    all_of_it = SlowPath(roots, intermediates=others, policy=policy)
    slow = Watched(all_of_it)
    index = RevocationIndex(policy=policy, slow=slow)
    for name in ["TrustAnchorRootCRL.crl", *row.get("crls", [])]:
        index.add_list((suite() / "crls" / name).read_bytes())
    try:
        path = trust.path([leaf], at=AT, policy=policy)
        certificates, is_slow = path.certificates, path.is_slow
        if parameters is not None:
            certificates, is_slow = all_of_it.path([leaf], at=AT, parameters=parameters), True
    except PathRefusedError as refused:
        return ended(False, f"{refused.reason.value} {refused.detail}", slow="slow path" in refused.detail)
    for one, issuer in pairwise(certificates):
        answer = index.status(one.certificate, issuer=issuer.certificate, at=AT)
        if answer.state is not RevocationState.GOOD:
            return ended(False, answer.state.value, slow=is_slow or slow.was_asked)
    return ended(True, "", slow=is_slow or slow.was_asked)


@cache
def outcomes() -> tuple[Outcome, ...]:
    return tuple(judge(row) for row in cases())


def table() -> Counter[tuple[str, str, str]]:
    """How many cases ended how: expected, judged, by which way."""
    return Counter(
        (
            "accept" if o.expected else "refuse",
            "accepted" if o.accepted else "refused",
            o.way.value,
        )
        for o in outcomes()
    )


def test_nothing_is_accepted_that_must_be_refused() -> None:
    """No false accept in 246 cases."""
    assert len(outcomes()) == 246
    assert [o for o in outcomes() if o.accepted and not o.expected] == []


DSA = {"valid_dsa_signatures_test4", "valid_dsa_parameter_inheritance_test5"}
CA_AS_SIGNER = {
    "valid_pathlenconstraint_test8",
    "valid_pathlenconstraint_test14",
    "overlapping_policies_test6",
    "overlapping_policies_test6_with_testpol1",
    "valid_onlycontainscacerts_crl_test13",
}
"""Their last certificate is that of an authority, which may not sign documents here (rule 23)."""


def test_what_is_refused_too_much_the_slow_path_refuses_too() -> None:
    """
    False refusals: DSA, which the slow path refuses under our policy too, and authorities in a signer's place,
    which is a rule of ours.
    """
    wrongly = {o.case: o for o in outcomes() if o.expected and not o.accepted}

    assert wrongly.keys() == DSA | CA_AS_SIGNER
    assert {wrongly[case].reason.partition(" ")[0] for case in CA_AS_SIGNER} == {"chain.ca_as_signer"}
    for row in cases():
        if row["name"] in DSA:
            assert not slow_alone(row)


def slow_alone(row: dict[str, Any]) -> bool:
    """Whether the slow path, asked directly and in its own words, finds a path that our policy allows."""
    context = ValidationContext(
        trust_roots=[load("certs", "TrustAnchorRootCertificate.crt")],
        other_certs=[load("certs", name) for name in row["other_certs"]],
        moment=AT,
        algorithm_usage_policy=PolicyAlgorithms(CURRENT_POLICY),
    )
    try:
        (path,) = context.path_builder.build_paths(load("certs", row["cert"]))  # type: ignore[no-untyped-call]
        validate_path(context, path)
    except DisallowedAlgorithmError:
        return False
    return True


def load(kind: str, name: str) -> asn1.Certificate:
    return asn1.Certificate.load((suite() / kind / name).read_bytes())


def test_most_ordinary_chains_take_the_fast_path() -> None:
    """Handed over is what uses policies, constraints of names, deltas, indirect lists, folded names, key rollover."""
    ways = Counter(o.way for o in outcomes())
    ordinary = [
        o for o in outcomes() if o.case.startswith(("valid_signatures", "valid_pre2000", "valid_keyusage"))
    ]

    assert {o.way for o in ordinary} == {Way.FAST}
    assert ways[Way.FAST] > 60
