"""
The signature policy: which algorithms, keys and certificates are acceptable, until when.

It is data, `policy.toml` beside this file or a file of the axis's own, with a version that stands in every verdict, so that a judgement made
years ago can be explained. It is read once at start; it never loosens what the verifier does not know: an
algorithm has to be both implemented in `signing.algorithms` and named here.
"""

import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from signing.algorithms import DIGEST_METHODS, SIGNATURE_METHODS
from signing.errors import MaterialError
from signing.files import read_file
from signing.reasons import Tier


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Policy:
    """One version of the policy. Two policies with the same version are the same policy."""

    version: str
    text: str
    """What the file says, as it was read: what evidence keeps."""
    signature_methods: MappingProxyType[str, date]
    digest_methods: MappingProxyType[str, date]
    rsa_bits_min: int
    rsa_bits_max: int
    rsa_exponent_min: int
    extended_key_usages: frozenset[str]
    certificate_policies: frozenset[str]
    """Under one of these a signer's certificate must have been issued (OIDs, RFC 5280 6.1.1); empty: under any."""
    chain_hashes: frozenset[str]
    future_tolerance: timedelta
    revocation_grace: timedelta
    revocation_fresh_without_next_update: timedelta
    revocation_urgent_fresh: timedelta
    tiers_when_required: frozenset[Tier]
    """What travels from a station that must sign."""
    tiers_when_labelled: frozenset[Tier]
    """What travels from a station that need not, marked as what it is."""

    def travels(self, tier: Tier, *, must_sign: bool) -> bool:
        """Whether a message of that tier travels at once. Never a failed one, whatever a file says."""
        return tier in (self.tiers_when_required if must_sign else self.tiers_when_labelled)

    def allows_signature(self, method: str, *, at: datetime) -> bool:
        """Whether `method` is known here and has not ended before the day of `at` (UTC)."""
        return _open(self.signature_methods, method, at)

    def allows_digest(self, method: str, *, at: datetime) -> bool:
        """Whether `method` is known here and has not ended before the day of `at` (UTC)."""
        return _open(self.digest_methods, method, at)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """
        Read a policy file.

        Raises:
            MaterialError: it cannot be read, or is no policy.
        """
        try:
            return cls.from_toml(read_file(path).decode("utf-8"))
        except UnicodeDecodeError as error:
            raise MaterialError("policy.syntax", path.name) from error

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """
        Read the text of a policy file.

        Raises:
            MaterialError: it is no TOML, a field is missing or wrong, or it names an algorithm that the verifier
                does not implement.
        """
        try:
            return cls._from_document(tomllib.loads(text), text=text)
        except tomllib.TOMLDecodeError as error:
            raise MaterialError("policy.syntax", str(error)) from error
        except KeyError as error:
            raise MaterialError("policy.missing", str(error)) from error
        except (TypeError, ValueError, AttributeError) as error:
            raise MaterialError("policy.value", str(error)) from error

    @classmethod
    def _from_document(cls, document: dict[str, Any], *, text: str) -> Self:
        keys, certificates = document["keys"], document["certificates"]
        revocation, tiers = document["revocation"], document["tiers"]
        return cls(
            version=str(document["version"]),
            text=text,
            signature_methods=_algorithms(document["signature_methods"], known=frozenset(SIGNATURE_METHODS)),
            digest_methods=_algorithms(document["digest_methods"], known=frozenset(DIGEST_METHODS)),
            # Floors that no file can lower: rule 15.
            rsa_bits_min=max(2048, int(keys["rsa_bits_min"])),
            rsa_bits_max=int(keys["rsa_bits_max"]),
            rsa_exponent_min=max(65537, int(keys["rsa_exponent_min"])),
            extended_key_usages=frozenset(map(str, certificates["extended_key_usages"])),
            certificate_policies=frozenset(map(str, certificates["policies"])),
            chain_hashes=frozenset(map(str, certificates["chain_hashes"])) & {"sha256", "sha384", "sha512"},
            future_tolerance=timedelta(seconds=int(document["time"]["future_tolerance_seconds"])),
            revocation_grace=timedelta(hours=int(revocation["grace_hours_after_next_update"])),
            revocation_fresh_without_next_update=timedelta(
                hours=int(revocation["fresh_hours_without_next_update"])
            ),
            revocation_urgent_fresh=timedelta(days=int(revocation["urgent_fresh_days"])),
            tiers_when_required=_tiers(tiers["when_required"]),
            tiers_when_labelled=_tiers(tiers["when_labelled"]),
        )


def _tiers(names: list[str]) -> frozenset[Tier]:
    tiers = frozenset(map(Tier, names))
    if Tier.FAILED in tiers:
        raise MaterialError("policy.value", "a failed message never travels")
    return tiers


def _open(methods: MappingProxyType[str, date], method: str, at: datetime) -> bool:
    last_day = methods.get(method)
    return last_day is not None and at.astimezone(UTC).date() <= last_day


def _algorithms(table: dict[str, object], *, known: frozenset[str]) -> MappingProxyType[str, date]:
    dates: dict[str, date] = {}
    for method, last_day in table.items():
        if method not in known:
            raise MaterialError("policy.unknown_algorithm", method)
        if not isinstance(last_day, date) or isinstance(last_day, datetime):
            raise MaterialError("policy.value", f"{method} needs a date")
        dates[method] = last_day
    return MappingProxyType(dates)


CURRENT_POLICY = Policy.from_toml(Path(__file__).with_name("policy.toml").read_text("utf-8"))
"""The policy this release was built with."""
