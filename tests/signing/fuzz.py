"""
Fuzzing of the two entrances that strangers use, messages and certificates: `python -m tests.signing.fuzz --seconds 600`.

It starts from the signed messages and the attacks of the tests and changes them at random: bytes, runs, markup, pieces
of one in another. Whatever comes out: no exception but the package's own, no message accepted whose signed parts are
not those of a message that we signed, and no input that takes long. An input that breaks a rule is written to the folder
of `--keep`. `tests.signing.fuzz_by_coverage` is the same with libFuzzer choosing the changes by what they reach.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from random import Random

from cryptography.hazmat.primitives.serialization import Encoding

from signing.certificates import certificates_from_pem, read_certificate
from signing.crl import parse_list, tabulate
from signing.errors import MaterialError, SigningError
from signing.ocsp import read_response
from signing.reasons import Tier
from signing.timestamp import TimestampError, verify_timestamp
from signing.verify import judge
from tests.signing.builders import AT, a_document, a_status, good, ministry, pki, signed, trust
from tests.signing.vectors import VECTORS

SLOWEST_SECONDS = 2.0
"""Of processor time. A bound on what one input may cost, far above what any should."""
_LARGEST = 200_000
_TOKENS = (
    b"<",
    b">",
    b"</",
    b"/>",
    b"&",
    b"&amp;",
    b"&#0;",
    b"<![CDATA[",
    b"]]>",
    b"<!--",
    b"-->",
    b"<?x?>",
    b"<!DOCTYPE a>",
    b' Id="mh"',
    b' Id="body"',
    b' xmlns=""',
    b' xmlns:ds="urn:x"',
    b"ContentTransferEncoded",
    b"<edXML:ContentTransferEncoded>QQ==</edXML:ContentTransferEncoded>",
    b"\0",
    b"\xff\xfe",
    b"\xc2\xa0",
    b"=",
    b"\r\n",
)


class BrokenRuleError(AssertionError):
    """An input did what no input may."""


@cache
def messages() -> tuple[bytes, ...]:
    """Signed messages and attacks, but for the large ones."""
    built = [good(), signed(a_status()), signed(a_document(bussiness=False)), a_document()]
    built += [vector.build() for vector in VECTORS if vector.name != "too_large"]
    return tuple(one for one in built if len(one) <= _LARGEST)


@cache
def materials() -> tuple[bytes, ...]:
    """Certificates and lists, DER and PEM."""
    crl = pki().revocation_list(issued_at=AT, revoked=[(ministry().certificate, AT)])
    return (
        ministry().certificate.public_bytes(Encoding.DER),
        pki().issuing.certificate.public_bytes(Encoding.DER),
        crl.public_bytes(Encoding.DER),
        ministry().chain_pem,
    )


@cache
def true_contents() -> frozenset[tuple[bytes, ...]]:
    """What the messages that we did sign say."""
    contents = set()
    for message in messages():
        content = judge(message, trust=trust(), at=AT).signed
        if content is not None:
            contents.add((content.header, content.body or b"", content.bussiness or b""))
    return frozenset(contents)


def try_message(data: bytes) -> str:
    """Judge one input; returns what became of it."""
    verdict = judge(data, trust=trust(), at=AT)
    if verdict.tier is Tier.PASSED:
        content = verdict.signed
        if content is None:
            raise BrokenRuleError("passed without content")
        if (content.header, content.body or b"", content.bussiness or b"") not in true_contents():
            raise BrokenRuleError("passed with content that nobody signed")
    return verdict.reason.value


def try_material(data: bytes) -> str:
    """Read one input as each kind of thing that it might be."""
    outcome = []
    readers: tuple[Callable[[bytes], object], ...] = (
        read_certificate,
        certificates_from_pem,
        lambda der: tabulate(parse_list(der)),
        read_response,
        lambda der: verify_timestamp(der, b"x", trust=trust()),
    )
    for read in readers:
        try:
            read(data)
            outcome.append("read")
        except (MaterialError, TimestampError) as error:
            outcome.append(str(error).partition(":")[0])
    return " ".join(outcome)


def mutate(data: bytes, random: Random, others: tuple[bytes, ...]) -> bytes:
    """One to eight changes."""
    for _ in range(random.choice([1, 1, 1, 2, 3, 8])):
        data = _change(data, random, others)[:_LARGEST]
    return data


def _change(data: bytes, random: Random, others: tuple[bytes, ...]) -> bytes:
    place = random.randrange(len(data) + 1)
    until = min(len(data), place + random.choice([1, 2, 4, 20, 300]))
    kind = random.randrange(7)
    if kind == 0 and place < len(data):
        return data[:place] + bytes([random.randrange(256)]) + data[place + 1 :]
    if kind == 1:
        return data[:place] + data[until:]
    if kind == 2:
        return data[:until] + data[place:until] * random.choice([1, 2, 50]) + data[until:]
    if kind == 3:
        return data[:place] + random.choice(_TOKENS) + data[place:]
    if kind == 4:
        other = random.choice(others)
        start = random.randrange(len(other) + 1)
        return data[:place] + other[start : start + random.choice([10, 100, 2000])] + data[until:]
    if kind == 5:
        to = random.randrange(len(data) + 1)
        piece, rest = data[place:until], data[:place] + data[until:]
        return rest[:to] + piece + rest[to:]
    return data.replace(random.choice(_TOKENS), random.choice(_TOKENS), 1)


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was tried, and what became of it."""

    tried: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0


def run(
    target: Callable[[bytes], str],
    seeds: tuple[bytes, ...],
    *,
    seconds: float,
    seed: int,
    keep: Path | None = None,
) -> Tally:
    """
    Fuzz one entrance for that long.

    Raises:
        BrokenRuleError: an input was found, and kept.
    """
    random, tally = Random(seed), Tally()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        data = mutate(random.choice(seeds), random, seeds)
        started = time.process_time()
        try:
            outcome = target(data)
        except BrokenRuleError:
            _keep(data, keep)
            raise
        except (Exception, SigningError) as error:
            _keep(data, keep)
            raise BrokenRuleError(f"{type(error).__name__}: {error}") from error
        elapsed = time.process_time() - started
        if elapsed > SLOWEST_SECONDS:
            _keep(data, keep)
            raise BrokenRuleError(f"{elapsed:.1f} s for {len(data)} bytes")
        tally.tried += 1
        tally.outcomes[outcome] += 1
        tally.slowest = max(tally.slowest, elapsed)
    return tally


def _keep(data: bytes, folder: Path | None) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{sha256(data).hexdigest()[:16]}.bin").write_bytes(data)


def main() -> None:
    """From the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=None, help="drawn anew if not given, and printed")
    parser.add_argument("--keep", type=Path, default=Path(".run/fuzz"))
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else time.time_ns() % 1_000_000
    print(f"seed {seed}")
    for name, target, seeds in (
        ("messages", try_message, messages()),
        ("materials", try_material, materials()),
    ):
        tally = run(target, seeds, seconds=options.seconds / 2, seed=seed, keep=options.keep)
        print(f"{name}: {tally.tried} tried, slowest {tally.slowest * 1000:.0f} ms")
        for outcome, count in tally.outcomes.most_common(12):
            print(f"  {count:8} {outcome}")


if __name__ == "__main__":
    main()
