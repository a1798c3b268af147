"""
How fast a signature is judged, ours against others in the same run: `python -m tests.signing.bench`.

Writes docs/signing-bench.md. Each verifier gets the same messages of two attachments, as bytes in memory (xmlsec1: as
files), and must say yes. All three are told the root, and check digests, signature and the chain to it; ours checks
the strict rules as well and hands the decoded attachments on. signxml is measured a second time with the certificate
given and no chain to check, its cheapest way to a yes. Costs are processor time of one core, the best of several
rounds; memory is the peak of a process that judges one message.
"""

import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

from lxml import etree
from signxml.verifier import SignatureConfiguration, XMLVerifier

from signing.reasons import Tier
from signing.verify import judge
from tests.signing.builders import AT, AnAttachment, a_document, ministry, pki, signed, trust

PAGE = Path(__file__).parents[2] / "docs" / "signing-bench.md"
SIZES = {"10 KB": 10_000, "100 KB": 100_000, "1 MB": 1_000_000, "20 MB": 20_000_000, "100 MB": 100_000_000}
COMPARED = ("10 KB", "100 KB", "1 MB", "20 MB")
VERIFIERS = ("ours", "signxml", "signxml, certificate given", "xmlsec1")
ID_ATTRIBUTES = (
    "MessageHeader",
    "Bussiness",
    "edXMLBody",
    "ContentTransferEncoded",
    "http://uri.etsi.org/01903/v1.3.2#:SignedProperties",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One verifier on one size."""

    verifier: str
    size: str
    cpu_ms: float
    peak_mb: float | None


def a_message(size: int) -> bytes:
    """A signed message of about `size` bytes with two attachments, as the average document has (2.4 files)."""
    bare = len(signed(a_document(attachments=[AnAttachment(content_id=name) for name in ("c0", "c1")])))
    content = hashlib.shake_256(b"bench").digest(max(1, (size - bare) * 3 // 8))
    return signed(
        a_document(attachments=[AnAttachment(content_id=name, content=content) for name in ("c0", "c1")])
    )


def ours(message: bytes) -> None:
    """Everything `axis verify` asks but revocation."""
    assert judge(message, trust=trust(), at=AT).tier is Tier.PASSED


def signxml(message: bytes, *, roots: Path | None) -> None:
    """To the root; or, without `roots`, with the certificate given and everything but the signature switched off."""
    told = {"x509_cert": ministry().certificate} if roots is None else {"ca_pem_file": str(roots)}
    XMLVerifier().verify(
        message,
        **told,
        parser=etree.XMLParser(huge_tree=True, resolve_entities=False),
        expect_config=SignatureConfiguration(expect_references=6, location=".//", verification_time=AT),
        id_attribute="Id",
    )


def cpu_ms(*runs: Callable[[], None]) -> list[float]:
    """
    The best of many rounds for each. They take turns, so that whatever else the machine does disturbs them alike.
    """
    once = []
    for run in runs:
        run()
        started = time.process_time()
        run()
        once.append(max(time.process_time() - started, 1e-6))
    counts = [max(1, min(100, int(0.01 / seconds))) for seconds in once]
    for _ in range(75 if max(once) < 0.2 else 4):
        for place, (run, count) in enumerate(zip(runs, counts, strict=True)):
            started = time.process_time()
            for _ in range(count):
                run()
            once[place] = min(once[place], (time.process_time() - started) / count)
    return [seconds * 1000 for seconds in once]


def xmlsec1_command(message: Path, roots: Path, *, repeat: int) -> list[str]:
    """The command line of signing-by-hand.md."""
    ids = [option for name in ID_ATTRIBUTES for option in ("--id-attr:Id", name)]
    times = ["--verification-gmt-time", f"{AT:%Y-%m-%d %H:%M:%S}"]
    return [
        "xmlsec1",
        "--verify",
        "--repeat",
        str(repeat),
        *ids,
        "--trusted-pem",
        str(roots),
        *times,
        str(message),
    ]


_LAUNCHER = """
import json, os, subprocess, sys
done = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
_, status, used = os.wait4(done.pid, 0)
print(json.dumps([status, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""


def launched(command: list[str]) -> tuple[float, float]:
    """
    Processor seconds and peak memory in MB of a command.

    It is started from a small process, because a child's peak begins with that of its parent.
    """
    done = subprocess.run(
        [sys.executable, "-S", "-c", _LAUNCHER, *command], capture_output=True, text=True, check=True
    )
    status, seconds, peak_kb = json.loads(done.stdout)
    if status:
        raise SystemExit(f"{command[0]} said no")
    return float(seconds), float(peak_kb) / 1024


def xmlsec1(message: Path, roots: Path) -> tuple[float, float]:
    """Milliseconds for one verification, without starting the process; and the peak of judging one."""
    once, peak = launched(xmlsec1_command(message, roots, repeat=1))
    count = 200 if message.stat().st_size < 2_000_000 else 4
    many, _ = launched(xmlsec1_command(message, roots, repeat=count + 1))
    return max(0.0, (many - once) / count * 1000), peak


def peak_of(verifier: str, message: Path, roots: Path) -> float:
    """Peak memory of a fresh interpreter that judges one message from a file, in MB."""
    code = {
        "ours": (
            "from pathlib import Path; from datetime import datetime\n"
            "from signing.verify import judge; from signing.certificates import TrustStore\n"
            f"verdict = judge(open({str(message)!r}, 'rb'), trust=TrustStore.from_files(Path({str(roots)!r})),"
            f" at=datetime.fromisoformat({AT.isoformat()!r}))\nassert verdict.tier == 'passed', verdict\n"
        ),
        "signxml": (
            "from datetime import datetime; from lxml import etree; from signxml.verifier import *\n"
            f"XMLVerifier().verify(open({str(message)!r}, 'rb').read(),"
            f" ca_pem_file={str(roots)!r},"
            " parser=etree.XMLParser(huge_tree=True, resolve_entities=False),"
            " expect_config=SignatureConfiguration(expect_references=6, location='.//',"
            f" verification_time=datetime.fromisoformat({AT.isoformat()!r})), id_attribute='Id')\n"
        ),
    }[verifier]
    return launched([sys.executable, "-c", code])[1]


def measure(folder: Path) -> list[Row]:
    """All rows."""
    roots = folder / "trust.pem"
    roots.write_bytes(pki().trust_pem)
    rows = []
    for name, size in SIZES.items():
        print(f"{name} …", file=sys.stderr)
        message = a_message(size)
        file = folder / "message.edxml"
        file.write_bytes(message)
        if name not in COMPARED:
            (first,) = cpu_ms(partial(ours, message))
            rows.append(Row(verifier="ours", size=name, cpu_ms=first, peak_mb=peak_of("ours", file, roots)))
            continue
        first, second, cheapest = cpu_ms(
            partial(ours, message),
            partial(signxml, message, roots=roots),
            partial(signxml, message, roots=None),
        )
        third, peak = xmlsec1(file, roots)
        rows += [
            Row(verifier="ours", size=name, cpu_ms=first, peak_mb=peak_of("ours", file, roots)),
            Row(verifier="signxml", size=name, cpu_ms=second, peak_mb=peak_of("signxml", file, roots)),
            Row(verifier="signxml, certificate given", size=name, cpu_ms=cheapest, peak_mb=None),
            Row(verifier="xmlsec1", size=name, cpu_ms=third, peak_mb=peak),
        ]
    return rows


def page(rows: list[Row]) -> str:
    """The table, and on what it was measured."""
    tool = subprocess.run(["xmlsec1", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("lxml", "cryptography", "pybase64", "signxml")
    )
    cells = {(row.verifier, row.size): row for row in rows}
    introduction = (
        "Milliseconds of processor time for one message with two attachments, and the peak memory of a process that"
        " judges it from a file. All three are told the root and check digests, signature and chain; ours checks the"
        " strict rules as well, and hands the decoded attachments on. *Certificate given*: signxml with the signer's"
        " certificate in hand and no chain to check, less than a hub may leave out. xmlsec1 is measured by its"
        " `--repeat`, without the start of the process."
    )
    ground = (
        f"Python {platform.python_version()}, {os.cpu_count()} cores ({platform.machine()}), {platform.system()};"
        f" {packages}; {tool}. The numbers are those of one machine: run it on yours."
    )
    lines = [
        "<!-- Written by `python -m tests.signing.bench`; changes made here are overwritten. -->",
        "",
        "# How fast a signature is judged",
        "",
        introduction,
        "",
        "| message | "
        + " | ".join((*VERIFIERS, "ours is faster than signxml", "… certificate given"))
        + " | ours, peak | signxml, peak | xmlsec1, peak |",
        "|---" * 10 + "|",
    ]
    for size in SIZES:
        found = {verifier: cells.get((verifier, size)) for verifier in VERIFIERS}
        speeds = ["—" if row is None else f"{row.cpu_ms:.2f} ms" for row in found.values()]
        peaks = [
            "—" if row is None or row.peak_mb is None else f"{row.peak_mb:.0f} MB"
            for row in (found["ours"], found["signxml"], found["xmlsec1"])
        ]
        ratios = [_ratio(found[other], found["ours"]) for other in ("signxml", "signxml, certificate given")]
        lines.append(f"| {size} | {' | '.join((*speeds, *ratios, *peaks))} |")
    lines += ["", ground, ""]
    return "\n".join(lines)


def _ratio(slower: Row | None, faster: Row | None) -> str:
    return "—" if slower is None or faster is None else f"{slower.cpu_ms / faster.cpu_ms:.1f} times"


def main() -> None:
    """Measure and write the page."""
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder))
    PAGE.write_text(page(rows), "utf-8")
    print(page(rows))


if __name__ == "__main__":
    main()
