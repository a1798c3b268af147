"""
What the test suite says of itself, read from its source: markers, docstrings and the reasons its tests expect.

Nothing is imported or run, so that a table in the documentation needs no server and cannot be made to lie by one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from axis.core.reasons import ReasonCode
from tests.project.requirements import SHOWN_BY

ROOT = Path(__file__).resolve().parents[2]

_REQUIREMENT = re.compile(r"LR-[0-9]{2}")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Case:
    """One test function."""

    path: str
    """From the root of the project."""
    name: str
    fact: str
    """First sentence of its docstring."""

    @property
    def link(self) -> str:
        """As Markdown, from a page in `docs/`."""
        return f"[{self.name.removeprefix('test_').replace('_', ' ')}](../{self.path})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One `@pytest.mark.<kind>(...)` of a test, also one that stands for its whole module or class."""

    kind: str
    test: Case
    arguments: tuple[str, ...]
    keywords: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Function:
    test: Case
    node: ast.FunctionDef | ast.AsyncFunctionDef
    decorators: tuple[ast.expr, ...]


def test_files() -> list[Path]:
    """Every module of tests there is."""
    return sorted((ROOT / "tests").rglob("test_*.py"))


@cache
def _functions() -> tuple[_Function, ...]:
    found: list[_Function] = []
    for path in test_files():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += _functions_in(tree, path.relative_to(ROOT).as_posix(), _pytestmark(tree.body))
    return tuple(found)


def _functions_in(
    node: ast.Module | ast.ClassDef, path: str, inherited: tuple[ast.expr, ...]
) -> Iterator[_Function]:
    for inner in node.body:
        if isinstance(inner, ast.ClassDef) and inner.name.startswith("Test"):
            own = (*inherited, *inner.decorator_list, *_pytestmark(inner.body))
            yield from _functions_in(inner, path, own)
        elif isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and inner.name.startswith("test_"):
            fact = (ast.get_docstring(inner) or "").partition("\n")[0]
            yield _Function(
                test=Case(path=path, name=inner.name, fact=fact),
                node=inner,
                decorators=(*inherited, *inner.decorator_list),
            )


def _pytestmark(body: list[ast.stmt]) -> tuple[ast.expr, ...]:
    found: list[ast.expr] = []
    for statement in body:
        if isinstance(statement, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "pytestmark" for target in statement.targets
        ):
            value = statement.value
            found += value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
    return tuple(found)


def marks(kind: str) -> list[Mark]:
    """Every marker of a kind, sorted by test."""
    found = [
        Mark(
            kind=kind,
            test=function.test,
            arguments=tuple(_text(one, path=function.test.path) for one in decorator.args),
            keywords={str(one.arg): _text(one.value, path=function.test.path) for one in decorator.keywords},
        )
        for function in _functions()
        for decorator in function.decorators
        if isinstance(decorator, ast.Call) and _mark_name(decorator.func) == kind
    ]
    return sorted(found, key=lambda one: one.test)


def _mark_name(function: ast.expr) -> str | None:
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Attribute):
        return function.attr if function.value.attr == "mark" else None
    return None


def _text(node: ast.expr, *, path: str) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.Name) and node.id in (texts := _texts_of(path)):
        return texts[node.id]
    code = _code(node)
    if code is None:
        raise ValueError(f"{path}: a marker needs plain texts, not {ast.unparse(node)}")
    return code.value


@cache
def _texts_of(path: str) -> dict[str, str]:
    """Constants of a module that are plain texts."""
    found = {}
    for statement in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(text)))
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=str(text)))
            ):
                found[name] = text
            case _:
                pass
    return found


def _code(node: ast.AST, *, names: frozenset[str] = frozenset({"ReasonCode"})) -> ReasonCode | None:
    """The code that `ReasonCode.NAME`, or the code as a text, stands for; `names` are what the enum is called here."""
    match node:
        case ast.Attribute(value=ast.Name(id=enum), attr=name) if (
            enum in names and name in ReasonCode.__members__
        ):
            return ReasonCode[name]
        case ast.Constant(value=str(text)) if text in set(ReasonCode):
            return ReasonCode(text)
        case _:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Module:
    """What a module of tests calls the enum of reasons, and its tables of cases."""

    names: frozenset[str]
    tables: dict[str, frozenset[ReasonCode]]
    """Its constants, and those it imports from other modules of tests, with the codes in them."""

    def codes_in(
        self, place: ast.AST, *, local: Mapping[str, frozenset[ReasonCode]] = MappingProxyType({})
    ) -> Iterator[ReasonCode]:
        """Codes named in a place, directly or by a constant of the module or a variable of the function."""
        for node in ast.walk(place):
            code = _code(node, names=self.names)
            if code is not None:
                yield code
            elif isinstance(node, ast.Name):
                yield from local.get(node.id, self.tables.get(node.id, ()))


@cache
def _module(path: str) -> _Module:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    names, tables = {"ReasonCode"}, dict[str, frozenset[ReasonCode]]()
    for statement in tree.body:
        match statement:
            case ast.ImportFrom(module=str(module), names=imported) if module.startswith("tests."):
                other = f"{module.replace('.', '/')}.py"
                if (ROOT / other).exists():
                    there = _module(other).tables
                    tables |= {
                        one.asname or one.name: there[one.name] for one in imported if one.name in there
                    }
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Name(id="ReasonCode")):
                names.add(name)
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                so_far = _Module(names=frozenset(names), tables=tables)
                tables[name] = frozenset(so_far.codes_in(value))
            case _:
                pass
    return _Module(names=frozenset(names), tables=tables)


def reasons_expected() -> dict[ReasonCode, list[Case]]:
    """
    For each code, the tests that expect it to happen: it stands in one of their assertions, in the cases they are
    run with, in a table they take cases from, or in their marker `reason`.
    """
    found: dict[ReasonCode, set[Case]] = {code: set() for code in ReasonCode}
    for mark in marks("reason"):
        for code in mark.arguments:
            found[ReasonCode(code)].add(mark.test)
    for function in _functions():
        module = _module(function.test.path)
        local = {
            target.id: frozenset(module.codes_in(node.value))
            for node in ast.walk(function.node)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for place in _expecting(function):
            for expected in module.codes_in(place, local=local):
                found[expected].add(function.test)
    return {code: sorted(tests) for code, tests in found.items()}


def _expecting(function: _Function) -> Iterator[ast.AST]:
    """Where a test says what it expects: its assertions, the heads of its `with` blocks, the cases it is run with."""
    for node in ast.walk(function.node):
        if isinstance(node, ast.Assert):
            yield node
        elif isinstance(node, ast.With | ast.AsyncWith):
            yield from (item.context_expr for item in node.items)
    for decorator in function.decorators:
        if isinstance(decorator, ast.Call) and _mark_name(decorator.func) == "parametrize":
            yield decorator


def requirements_shown() -> dict[str, list[Case]]:
    """For each `LR-nn`, the tests that show it: by their marker, their docstring, or the list of requirements."""
    found: dict[str, set[Case]] = {}
    cases = {f"{function.test.path}::{function.test.name}": function.test for function in _functions()}
    for number, names in SHOWN_BY.items():
        found[number] = {cases[f"tests/{name}"] for name in names}
    for mark in marks("requirement"):
        for number in mark.arguments:
            found.setdefault(number, set()).add(mark.test)
    for function in _functions():
        for number in _REQUIREMENT.findall(ast.get_docstring(function.node) or ""):
            found.setdefault(number, set()).add(function.test)
    return {number: sorted(tests) for number, tests in found.items()}


def requirements_named() -> dict[str, list[str]]:
    """For each `LR-nn`, the modules of the product that name it where they meet it."""
    found: dict[str, set[str]] = {}
    for package in ("axis", "adapters", "signing", "schemas_xsd"):
        for path in (ROOT / package).rglob("*.py"):
            for number in _REQUIREMENT.findall(path.read_text(encoding="utf-8")):
                found.setdefault(number, set()).add(path.relative_to(ROOT).as_posix())
    return {number: sorted(paths) for number, paths in found.items()}
