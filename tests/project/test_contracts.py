"""The architecture is enforced: each contract of pyproject.toml is broken once, and the linter names it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("axis", "adapters", "schemas_xsd", "signing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """One import that must not be."""

    contract: str
    module: str
    offence: str


BREAKS = (
    Break(contract="layers", module="axis/core/text.py", offence="import axis.edxml.message"),
    Break(contract="layers", module="axis/edxml/dates.py", offence="import axis.flow.pipeline"),
    Break(contract="layers", module="axis/flow/route.py", offence="import axis.ledger.store"),
    Break(contract="layers", module="axis/flow/route.py", offence="import axis.broker.topology"),
    Break(contract="layers", module="axis/broker/topology.py", offence="import axis.ledger.tables"),
    Break(contract="layers", module="axis/ledger/counts.py", offence="import axis.settings"),
    Break(contract="layers", module="axis/ledger/counts.py", offence="import axis.bootstrap"),
    Break(contract="layers", module="axis/bootstrap/parts.py", offence="import axis.cli"),
    Break(contract="layers", module="axis/bootstrap/parts.py", offence="import axis.web.wire"),
    Break(contract="core", module="axis/core/text.py", offence="import structlog"),
    Break(contract="signing", module="signing/keys.py", offence="import axis.core.model"),
    Break(contract="schemas", module="schemas_xsd/__init__.py", offence="import signing.keys"),
    Break(contract="adapters", module="adapters/__init__.py", offence="import axis.flow.pipeline"),
    Break(contract="adapters", module="adapters/__init__.py", offence="import axis.settings"),
    Break(contract="adapters", module="adapters/__init__.py", offence="import axis.broker.topology"),
    Break(contract="evidence", module="axis/evidence/judge.py", offence="import sqlalchemy"),
    Break(contract="evidence", module="axis/evidence/judge.py", offence="import axis.settings"),
    Break(contract="wire", module="axis/broker/wire.py", offence="import axis.edxml.dates"),
    Break(contract="wire", module="axis/broker/wire.py", offence="import axis.broker.topology"),
    Break(contract="wire", module="axis/web/wire.py", offence="import axis.broker.wire"),
    Break(contract="starters", module="axis/web/__init__.py", offence="import adapters"),
    Break(contract="concrete", module="axis/web/__init__.py", offence="import axis.ledger.store"),
    Break(contract="concrete", module="axis/cli/__init__.py", offence="import axis.broker.topology"),
    Break(contract="drivers", module="axis/web/__init__.py", offence="import sqlalchemy"),
    Break(contract="demo", module="axis/bootstrap/parts.py", offence="import axis.demo.pki"),
)


@pytest.fixture(scope="module", name="tree")
def _tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("tree")
    for package in _PACKAGES:
        shutil.copytree(_ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(_ROOT / "pyproject.toml", tree)
    return tree


def _lint(tree: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    chosen = [part for one in contracts for part in ("--contract", one)]
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo", *chosen],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )


def _declared() -> dict[str, str]:
    config = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {one["id"]: one["name"] for one in config["tool"]["importlinter"]["contracts"]}


def test_the_tree_keeps_its_contracts(tree: Path) -> None:
    """So that a broken one below is broken by the import that was added."""
    done = _lint(tree)

    assert done.returncode == 0, done.stdout
    assert f"Contracts: {len(_declared())} kept, 0 broken." in done.stdout


def test_every_contract_is_broken_once() -> None:
    """A contract nobody has seen broken may hold nothing."""
    assert {one.contract for one in BREAKS} == set(_declared())


@pytest.mark.parametrize("one", BREAKS, ids=lambda one: f"{one.contract}: {one.offence} in {one.module}")
def test_an_import_that_must_not_be_is_found(tree: Path, one: Break) -> None:
    """The linter fails and names the contract."""
    path = tree / one.module
    before = path.read_text(encoding="utf-8")
    path.write_text(f"{before}\n{one.offence}\n", encoding="utf-8")
    try:
        done = _lint(tree, one.contract)
    finally:
        path.write_text(before, encoding="utf-8")

    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{_declared()[one.contract]} BROKEN" in " ".join(done.stdout.split())


def test_a_new_module_must_find_its_layer(tree: Path) -> None:
    """A module of the hub that stands in no layer would be free to import anything."""
    path = tree / "axis" / "stray.py"
    path.write_text("", encoding="utf-8")
    try:
        done = _lint(tree, "layers")
    finally:
        path.unlink()

    assert done.returncode != 0
    assert "stray" in done.stdout + done.stderr
