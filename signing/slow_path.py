"""
The slow path: all of RFC 5280, by `pyhanko-certvalidator`, for what the fast path does not understand.

The fast path (signing.certificates, signing.revocation) answers for almost every certificate in a tenth of a
millisecond. It hands over here certificates with policy constraints, policy mappings or name constraints anywhere in
the chain, a policy of ours that demands certificate policies, and revocation by delta, indirect or reason-limited
lists. What comes back is checked by the fast path's own rules as well, so that the stricter of the two holds.

The library works on coroutines and can fetch; here it never fetches, so its coroutines never wait, and they are run
to their end on the spot. A fault of the library is a refusal or "unknown", never an acceptance.
"""

import logging
from collections.abc import Coroutine, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from asn1crypto import algos, keys  # type: ignore[import-untyped]
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko_certvalidator.authority import CertTrustAnchor
from pyhanko_certvalidator.context import ValidationContext
from pyhanko_certvalidator.errors import (
    ExpiredError,
    NotYetValidError,
    PathBuildingError,
    RevokedError,
    StaleRevinfoError,
    ValidationError,
)
from pyhanko_certvalidator.path import ValidationPath
from pyhanko_certvalidator.policy_decl import (
    NO_REVOCATION,
    AlgorithmUsageConstraint,
    AlgorithmUsagePolicy,
    CertRevTrustPolicy,
    PKIXValidationParams,
    RevocationCheckingPolicy,
    RevocationCheckingRule,
)
from pyhanko_certvalidator.validate import async_validate_path

from signing.certificates import PathRefusedError, ReadCertificate, read_certificate
from signing.errors import MaterialError
from signing.policy import Policy
from signing.reasons import Reason
from signing.revocation import RevocationAnswer, RevocationState

_T = TypeVar("_T")

# It warns with a traceback about each list it cannot use; what that means stands in the answer.
logging.getLogger("pyhanko_certvalidator").setLevel(logging.CRITICAL)

MAX_PATHS: Final = 8
"""How many ways from a certificate to a root are tried."""
_LISTS_REQUIRED: Final = RevocationCheckingPolicy(
    ee_certificate_rule=RevocationCheckingRule.CRL_REQUIRED,
    intermediate_ca_cert_rule=RevocationCheckingRule.CRL_REQUIRED,
)
_UNKNOWN: Final = RevocationAnswer(state=RevocationState.UNKNOWN, source="")


class SlowPath:
    """Roots, and known certificates that help to find the way; both as for the fast path."""

    def __init__(
        self,
        roots: Iterable[ReadCertificate],
        *,
        intermediates: Iterable[ReadCertificate] = (),
        policy: Policy,
    ) -> None:
        self._roots = [_asn1(one.der) for one in roots]
        self._known = [_asn1(one.der) for one in intermediates]
        self._policy = policy
        self._algorithms = PolicyAlgorithms(policy)

    def path(
        self,
        chain: Sequence[ReadCertificate],
        *,
        at: datetime,
        parameters: PKIXValidationParams | None = None,
    ) -> tuple[ReadCertificate, ...]:
        """
        The certificates from the first of `chain` to a root, the root last, valid at `at`. No revocation is asked.

        `parameters` are the inputs of RFC 5280 6.1.1 about certificate policies, by default those of our policy.

        Raises:
            PathRefusedError: there is no such path.
        """
        context = ValidationContext(
            trust_roots=self._roots,
            other_certs=[*(_asn1(one.der) for one in chain[1:]), *self._known],
            moment=at.astimezone(UTC),
            revinfo_policy=CertRevTrustPolicy(revocation_checking_policy=NO_REVOCATION),
            algorithm_usage_policy=self._algorithms,
        )
        refusal: PathRefusedError | None = None
        for path in self._paths(context, _asn1(chain[0].der)):
            try:
                _run(async_validate_path(context, path, parameters=parameters or self._parameters()))
            except ValidationError as error:
                refusal = refusal or _refusal(error)
            except Exception as error:  # noqa: BLE001 - whatever the library stumbles over is no path
                refusal = refusal or PathRefusedError(Reason.CHAIN_UNTRUSTED, type(error).__name__)
            else:
                return _read_path(path)
        raise refusal or PathRefusedError(Reason.CHAIN_UNTRUSTED, "slow path: no path")

    def status(
        self, certificate: x509.Certificate, *, issuer: x509.Certificate, lists: Sequence[bytes], at: datetime
    ) -> RevocationAnswer:
        """
        What these lists say about one certificate whose issuer has been judged already, and about all above it.

        Lists issued after `at` can only add a revocation that comes to light later; they clear nobody here.
        """
        answer = self._ask(certificate, issuer=issuer, lists=lists, at=at, later=False)
        if answer.state is not RevocationState.GOOD:
            return answer
        later = self._ask(certificate, issuer=issuer, lists=lists, at=at, later=True)
        return later if later.state is RevocationState.REVOKED else answer

    def _ask(
        self,
        certificate: x509.Certificate,
        *,
        issuer: x509.Certificate,
        lists: Sequence[bytes],
        at: datetime,
        later: bool,
    ) -> RevocationAnswer:
        above = _asn1(issuer.public_bytes(Encoding.DER))
        leaf = _asn1(certificate.public_bytes(Encoding.DER))
        try:
            context = ValidationContext(
                trust_roots=self._roots,
                other_certs=[above, *self._known],
                moment=at.astimezone(UTC),
                crls=list(lists),
                revinfo_policy=CertRevTrustPolicy(
                    revocation_checking_policy=_LISTS_REQUIRED, retroactive_revinfo=later
                ),
                algorithm_usage_policy=self._algorithms,
            )
            path = self._path_through(context, leaf, above)
            _run(async_validate_path(context, path, parameters=PKIXValidationParams()))
        except RevokedError as error:
            return RevocationAnswer(
                state=RevocationState.REVOKED, source="crl:slow-path", revoked_at=error.revocation_dt
            )
        except StaleRevinfoError:
            return RevocationAnswer(state=RevocationState.STALE, source="crl:slow-path")
        except Exception:  # noqa: BLE001 - whatever the library stumbles over is no answer
            return _UNKNOWN
        return RevocationAnswer(state=RevocationState.GOOD, source="crl:slow-path")

    def _paths(self, context: ValidationContext, leaf: asn1.Certificate) -> list[ValidationPath]:
        try:
            return list(_run(context.path_builder.async_build_paths(leaf)))[:MAX_PATHS]
        except PathBuildingError as error:
            raise PathRefusedError(Reason.CHAIN_UNTRUSTED, "slow path: no path") from error

    def _path_through(
        self, context: ValidationContext, leaf: asn1.Certificate, issuer: asn1.Certificate
    ) -> ValidationPath:
        """The path over the issuer that was judged; from a root if one is found, else from that issuer itself."""
        try:
            for path in self._paths(context, leaf):
                certificates = list(path.iter_certs(include_root=True))
                if len(certificates) > 1 and certificates[-2].dump() == issuer.dump():
                    return path
        except PathRefusedError:
            pass
        return ValidationPath(trust_anchor=CertTrustAnchor(issuer), interm=[], leaf=leaf)

    def _parameters(self) -> PKIXValidationParams:
        wanted = self._policy.certificate_policies
        if not wanted:
            return PKIXValidationParams()
        return PKIXValidationParams(user_initial_policy_set=frozenset(wanted), initial_explicit_policy=True)


class PolicyAlgorithms(AlgorithmUsagePolicy):
    """The policy's rules about hashes and keys, as the library asks for them."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def digest_algorithm_allowed(
        self, algo: algos.DigestAlgorithm, moment: datetime | None
    ) -> AlgorithmUsageConstraint:
        del moment
        return AlgorithmUsageConstraint(allowed=str(algo["algorithm"].native) in self._policy.chain_hashes)

    def signature_algorithm_allowed(
        self,
        algo: algos.SignedDigestAlgorithm,
        moment: datetime | None,
        public_key: keys.PublicKeyInfo | None,
    ) -> AlgorithmUsageConstraint:
        del moment
        try:
            hashed, kind = str(algo.hash_algo), str(algo.signature_algo)
        except ValueError:
            return AlgorithmUsageConstraint(allowed=False)
        allowed = hashed in self._policy.chain_hashes and kind in {"rsassa_pkcs1v15", "rsassa_pss", "ecdsa"}
        if public_key is not None:
            smallest = self._policy.rsa_bits_min if kind.startswith("rsa") else 256
            allowed = allowed and int(public_key.bit_size) >= smallest
        return AlgorithmUsageConstraint(allowed=allowed)


def _asn1(der: bytes) -> asn1.Certificate:
    return asn1.Certificate.load(der)


def _run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        value: _T = done.value
        return value
    coroutine.close()
    raise RuntimeError("the certificate validator wants to wait for something")


def _refusal(error: ValidationError) -> PathRefusedError:
    reason = Reason.CHAIN_UNTRUSTED
    if isinstance(error, ExpiredError):
        reason = Reason.CHAIN_EXPIRED
    elif isinstance(error, NotYetValidError):
        reason = Reason.CHAIN_NOT_YET_VALID
    return PathRefusedError(reason, f"slow path: {type(error).__name__}")


def _read_path(path: ValidationPath) -> tuple[ReadCertificate, ...]:
    try:
        return tuple(
            read_certificate(one.dump()) for one in reversed(list(path.iter_certs(include_root=True)))
        )
    except MaterialError as error:
        raise PathRefusedError(Reason.CHAIN_UNTRUSTED, "slow path: unreadable") from error
