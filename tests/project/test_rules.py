"""Rules about the tree itself: what no file of it may hold, and what each must."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project.collect import ROOT

_PACKAGES = ("axis", "adapters", "signing", "schemas_xsd")


def _tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode != 0:
        # A copy without its history: everything that is not made by tools.
        made = {".venv", ".git", "__pycache__", ".hypothesis", ".ruff_cache", ".mypy_cache", ".axis", ".run"}
        return [path for path in ROOT.rglob("*") if path.is_file() and not made & set(path.parts)]
    return [path for name in listed.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def _texts() -> Iterator[tuple[str, str]]:
    for path in _tracked():
        try:
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def _modules(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def test_no_path_of_one_machine() -> None:
    """The tree works wherever it is cloned to, so nothing in it names where it was written."""
    # Put together here, so that this file does not hold what it looks for.
    homes = "work|farm|root|home/[a-z]+|Users/[A-Za-z]+"
    machine = re.compile(rf"(?<![\w.\-/$}}])/(?:{homes})/[\w.]")

    found = [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in _texts()
        for number, line in enumerate(text.splitlines(), 1)
        if machine.search(line)
    ]

    assert found == []


def test_dependencies_name_no_registry() -> None:
    """Where packages come from is the business of the machine that installs them."""
    found = [
        f"{name}: {line}"
        for name, text in _texts()
        if name.startswith("requirements/") or name == "pyproject.toml"
        for line in text.splitlines()
        if "://" in line or line.startswith("--")
    ]

    assert [line for line in found if "--hash" not in line] == []


def test_every_dependency_is_pinned_with_its_hash() -> None:
    """`make setup` installs exactly what was tested."""
    for name in ("run", "dev"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
        lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]

        assert lines
        assert [line for line in lines if "==" not in line or "--hash=sha256:" not in line] == []


def test_no_test_is_skipped_by_its_author() -> None:
    """What cannot run here must fail here: a skipped test is a hole that looks like a wall."""
    ways = {"skip", "skipif", "xfail", "importorskip"}

    found = [
        f"{name}:{node.lineno}"
        for name, tree in _modules("tests")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in ways
        and ast.unparse(node.value) in {"pytest", "pytest.mark"}
    ]

    assert found == []


@pytest.mark.parametrize("package", _PACKAGES)
def test_every_module_says_what_it_is(package: str) -> None:
    """The first lines answer the person who opens the file at night."""
    assert [name for name, tree in _modules(package) if tree.body and not ast.get_docstring(tree)] == []


def test_no_module_is_a_heap() -> None:
    """A name that says nothing collects everything."""
    heaps = {"util", "utils", "helper", "helpers", "common", "manager", "misc", "base", "lib"}

    assert [name for name, _ in _modules(*_PACKAGES) if Path(name).stem in heaps] == []


def test_no_error_is_swallowed_whole() -> None:
    """`except:` and `except Exception: pass` hide what went wrong; a broad catch says why in a noqa."""
    found = []
    for name, tree in _modules(*_PACKAGES):
        for node in ast.walk(tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            is_broad = node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"}
            if is_broad and all(isinstance(one, ast.Pass) for one in node.body):
                found.append(f"{name}:{node.lineno}")

    assert found == []


def test_the_wheel_holds_what_runs() -> None:
    """Types and data travel with the packages."""
    for package in _PACKAGES:
        assert (ROOT / package / "py.typed").exists()


def test_documents_named_in_the_code_exist() -> None:
    """A reader who is sent to a page finds it."""
    named = {
        (name, page)
        for name, text in _texts()
        if name.startswith(_PACKAGES)
        for page in re.findall(r"\bdocs/[\w/-]+\.md\b", text)
    }

    assert sorted(f"{name}: {page}" for name, page in named if not (ROOT / page).exists()) == []
