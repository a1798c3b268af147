"""The policy is a file with a version: it can forbid anything and allow nothing that the code does not know."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import signing.policy
from signing.algorithms import DIGEST_METHODS, SIGNATURE_METHODS
from signing.errors import MaterialError
from signing.policy import CURRENT_POLICY, Policy
from signing.reasons import Reason, Tier
from signing.verify import judge
from tests.signing.builders import AT, good, trust

FILE = Path(signing.policy.__file__).with_name("policy.toml")
TEXT = FILE.read_text("utf-8")


def test_the_version_stands_in_every_verdict() -> None:
    """Of good, bad, unsigned and unreadable messages."""
    policy = Policy.from_toml(TEXT.replace("axis-signature-policy/1", "axis-signature-policy/77"))

    versions = {
        judge(message, trust=trust(), at=AT, policy=policy).policy_version
        for message in (good(), good().replace(b"H26", b"H27"), b"<edXML/>", b"")
    }

    assert versions == {"axis-signature-policy/77"}


def test_what_is_known_is_named_in_the_file_of_this_release() -> None:
    """Nothing is implemented that nobody decided about."""
    assert CURRENT_POLICY.signature_methods.keys() == SIGNATURE_METHODS.keys()
    assert CURRENT_POLICY.digest_methods.keys() == DIGEST_METHODS.keys()
    assert Policy.from_file(FILE).version == CURRENT_POLICY.version


@pytest.mark.parametrize(("day", "reason"), [(1, Reason.PASSED), (2, Reason.ALGORITHM_EXPIRED)])
def test_an_algorithm_ends_with_its_last_day(day: int, reason: Reason) -> None:
    """The whole day still counts, in UTC."""
    policy = Policy.from_toml(TEXT.replace("2035-12-31", "2026-03-01"))
    at = datetime(2026, 3, day, 23, 59, 59, tzinfo=UTC)
    signed_before = AT - timedelta(days=2)

    judged = judge(_signed(signed_before), trust=trust(), at=at, policy=policy)

    assert judged.reason is reason


def _signed(signing_time: datetime) -> bytes:
    from tests.signing.builders import signed

    return signed(signing_time=signing_time)


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ("rsa-sha256", "rsa-sha1", "policy.unknown_algorithm"),
        ("xmlenc#sha256", "xmldsig#sha1", "policy.unknown_algorithm"),
        ("= 2035-12-31", "= 2035", "policy.value"),
        ("= 2035-12-31", "= 2035-12-31T00:00:00Z", "policy.value"),
        ("[keys]", "[key]", "policy.missing"),
        ("version =", "versio =", "policy.missing"),
        ("rsa_bits_min = 2048", 'rsa_bits_min = "many"', "policy.value"),
        ('when_required = ["passed"]', 'when_required = ["passed", "failed"]', "policy.value"),
        ('when_required = ["passed"]', 'when_required = ["all"]', "policy.value"),
        ("version =", "version ", "policy.syntax"),
    ],
)
def test_a_wrong_policy_is_refused_at_start(old: str, new: str, cause: str) -> None:
    """With the cause; never half a policy."""
    assert old in TEXT

    with pytest.raises(MaterialError) as raised:
        Policy.from_toml(TEXT.replace(old, new, 1))

    assert raised.value.cause == cause


@pytest.mark.parametrize("content", [b"\xff\xfe", b"version = 1"])
def test_a_wrong_file_is_refused_at_start(content: bytes, tmp_path: Path) -> None:
    """Not text, or no policy."""
    path = tmp_path / "policy.toml"
    path.write_bytes(content)

    with pytest.raises(MaterialError, match="policy"):
        Policy.from_file(path)


def test_no_file_can_lower_the_floors() -> None:
    """RSA-1024, small exponents, SHA-1 in chains."""
    lowered = Policy.from_toml(
        TEXT.replace("rsa_bits_min = 2048", "rsa_bits_min = 512")
        .replace("rsa_exponent_min = 65537", "rsa_exponent_min = 3")
        .replace('chain_hashes = ["sha256"', 'chain_hashes = ["sha1", "md5", "sha256"')
    )

    assert (lowered.rsa_bits_min, lowered.rsa_exponent_min) == (2048, 65537)
    assert lowered.chain_hashes == {"sha256", "sha384", "sha512"}


def test_which_tiers_travel() -> None:
    """From those who must sign only what passed; a failed message never, an open one is held."""
    travelling = {
        must_sign: {tier for tier in Tier if CURRENT_POLICY.travels(tier, must_sign=must_sign)}
        for must_sign in (True, False)
    }

    assert travelling == {True: {Tier.PASSED}, False: {Tier.PASSED, Tier.LEGACY, Tier.UNSIGNED}}


def test_a_policy_can_demand_certificate_policies() -> None:
    """The demonstration's certificates name none, so that none is good enough."""
    policy = Policy.from_toml(TEXT.replace("policies = []", 'policies = ["1.2.3.4"]').replace("/1", "/oid"))

    judged = judge(good(), trust=trust(), at=AT, policy=policy)

    assert judged.reason is Reason.CHAIN_UNTRUSTED
    assert "slow path" in judged.detail
