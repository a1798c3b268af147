"""What the documents tell people to type exists, what they link to is there, and their Python is right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from axis.settings import SETTINGS
from tests.project.collect import ROOT
from tests.project.commands import commands

_PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_OF_PAGES = pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def _typed(text: str, program: str) -> Iterator[str]:
    """What people are told to type after the name of a program: in blocks for the shell, and set as code."""
    blocks = re.findall(r"^```(?:sh)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    blocks += re.findall(
        r"^(?: {4}.*\n)+", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)
    for line in lines:
        found = re.match(rf"\s*(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?{program} ([a-z][^#]*)", line)
        if found:
            yield re.split(r" {2,}", found[1])[0].strip()


@_OF_PAGES
def test_commands_exist(page: Path) -> None:
    """`axis …` with its options, as far as a page names them."""
    known = commands("en")
    for line in _typed(page.read_text(encoding="utf-8"), "axis"):
        words = line.split()
        name = next((n for n in (" ".join(words[:k]) for k in (3, 2, 1)) if n in known), words[0])

        assert name in known, f"axis {line}"
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert options - {"--help"} <= known[name].spellings, f"axis {line}"


@_OF_PAGES
def test_make_targets_exist(page: Path) -> None:
    """`make …`."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {line.split()[0] for line in _typed(page.read_text(encoding="utf-8"), "make")}

    assert named <= targets


def test_the_makefile_explains_itself() -> None:
    """`make help` lists every target, and no target is a file by accident."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):", text, re.MULTILINE)
    [phony] = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)

    assert [target for target in targets if not re.search(rf"^{target}:.*## .", text, re.MULTILINE)] == []
    assert sorted(phony.split()) == sorted(targets)


@_OF_PAGES
def test_links_lead_somewhere(page: Path) -> None:
    """Files and images of this project."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]

    assert [link for link in links if link and not (page.parent / link).exists()] == []


@_OF_PAGES
def test_settings_named_exist(page: Path) -> None:
    """AXIS_* names, those of the tests aside."""
    known = {one.name for one in SETTINGS} | {f"{one.name}_FILE" for one in SETTINGS if one.said.is_secret}
    named = set(re.findall(r"\bAXIS_[A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8")))

    assert {name for name in named if not name.startswith("AXIS_TEST_")} <= known


@pytest.mark.parametrize("name", ["README.md", "README.vi.md"])
def test_a_system_is_connected_in_twenty_lines(name: str) -> None:
    """The example is Python, and not longer than promised."""
    [example] = re.findall(
        r"^```python\n(.*?)^```", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )

    compile(example, name, "exec")
    assert len([line for line in example.splitlines() if line.strip()]) <= 20


def test_both_readmes_show_the_same_program() -> None:
    """Comments aside."""
    programs = []
    for name in ("README.md", "README.vi.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        [example] = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        programs.append(re.sub(r" +#.*", "", example))

    assert programs[0] == programs[1]
