"""Imports point down only, and the layers below the adapters are pure."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter import cli

from tests import tree

PEOPLE, USE_CASES, DRIVERS, ADAPTERS, FACTS, VERBS, NOUNS = tree.layers()
PURE = [*FACTS, *VERBS, *NOUNS]
THIRD_PARTY = {
    "rollout.core.scheduling.cron": {"cronsim"},
    "rollout.ecs.wire": {"msgspec", "defusedxml"},
    "rollout.model.signed_note": {"msgspec", "cryptography"},
}
THIRD_PARTY_ELSEWHERE = {"msgspec"}

CLOCKS = {
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
}
IMPURE_BUILTINS = {"hash", "id", "input", "open", "print"}
ORDERED_BY_SET = {"list", "tuple", "enumerate", "iter", "next", "map", "filter", "zip", "reversed"}


def pure_modules() -> list[tuple[str, Path]]:
    """Return the modules of the three lowest layers."""
    return [
        (name, path)
        for name, path in tree.package_modules().items()
        if any(tree.is_within(name, layer) for layer in PURE)
    ]


def test_import_contracts_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """Every import contract in pyproject.toml is kept, as in `make check`."""
    status = cli.lint_imports(config_filename=str(tree.ROOT / "pyproject.toml"), no_cache=True)

    assert status == cli.EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_every_module_has_its_layer() -> None:
    """Every module belongs to exactly one declared layer, so that the contracts cover it."""
    placed = [name for layer in tree.layers() for name in layer]
    gates = {"rollout", "rollout.__main__", "rollout.ecs"}  # they contain no code of a layer

    homeless = [
        name
        for name in tree.package_modules()
        if name not in gates and not any(tree.is_within(name, layer) for layer in placed)
    ]

    assert not homeless, f"name these in the contract `layers` of pyproject.toml: {homeless}"


def test_every_pure_module_is_under_the_purity_contract() -> None:
    """The contract `pure` covers all modules that the contract `layers` puts below the adapters."""
    existing = tree.package_modules()
    expected = {name for name in PURE if name in existing}

    assert set(tree.contract("pure")["source_modules"]) == expected


def test_every_adapter_is_under_the_sibling_contract() -> None:
    """The contract `siblings` covers all adapters; only facts about the API are exempt."""
    existing = tree.package_modules()
    siblings = tree.contract("siblings")
    shared = {line.removeprefix("rollout.** -> ") for line in siblings["ignore_imports"]}

    adapters = {name for name in ADAPTERS if name in existing and "rollout.ecs" not in name}

    assert set(siblings["modules"]) == adapters | {"rollout.ecs"}
    assert shared == set(FACTS)


def test_pure_layers_use_the_standard_library_and_msgspec() -> None:
    """Layers below the adapters import only msgspec; the wire format alone also parses XML."""
    strangers = [
        f"{name}: {imported}"
        for name, path in pure_modules()
        for imported in imported_roots(tree.parse(path))
        if imported not in sys.stdlib_module_names
        and imported not in THIRD_PARTY.get(name, THIRD_PARTY_ELSEWHERE) | {"rollout"}
    ]

    assert not strangers


def test_pure_layers_call_no_impure_function() -> None:
    """Layers below the adapters read no clock, use no seeded hash, open no file, print nothing."""
    calls = [
        f"{name}:{line} {call}"
        for name, path in pure_modules()
        for line, call in impure_calls(tree.parse(path))
    ]

    assert not calls


def test_pure_layers_never_iterate_a_set() -> None:
    """No pure code iterates over a set: the order of strings in a set differs between processes."""
    loops = [
        f"{name}:{line}"
        for name, path in pure_modules()
        for line in set_iterations(tree.parse(path))
    ]

    assert not loops


@pytest.mark.parametrize(
    "source",
    [
        "for x in {1, 2}: pass",
        "[x for x in set(names)]",
        "list(frozenset(names))",
        "','.join({n for n in names})",
        "for i, x in enumerate(set(names)): pass",
        "for x in set(a) - set(b): pass",
    ],
)
def test_iterating_a_set_is_found(source: str) -> None:
    """The check finds every common way to iterate over a set."""
    assert list(set_iterations(ast.parse(source)))


@pytest.mark.parametrize(
    "source", ["sorted(set(names))", "x in {1, 2}", "len(set(names))", "for x in a - b: pass"]
)
def test_ordering_or_counting_a_set_is_allowed(source: str) -> None:
    """The check accepts uses that do not depend on the order of a set."""
    assert not list(set_iterations(ast.parse(source)))


@pytest.mark.parametrize(
    "source", ["hash(name)", "datetime.now()", "datetime.datetime.now(UTC)", "dt.date.today()"]
)
def test_impure_call_is_found(source: str) -> None:
    """The check finds clocks and the seeded hash."""
    assert list(impure_calls(ast.parse(source)))


def imported_roots(module: ast.Module) -> Iterator[str]:
    """Yield the top-level module of each import in a file."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            yield (node.module or "").partition(".")[0]


def impure_calls(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and name of each call of a clock or an impure builtin."""
    for node in ast.walk(module):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id in IMPURE_BUILTINS:
            yield node.lineno, called.id
        elif isinstance(called, ast.Attribute):
            owner = called.value
            owner_name = owner.attr if isinstance(owner, ast.Attribute) else ast.unparse(owner)
            if (owner_name, called.attr) in CLOCKS:
                yield node.lineno, f"{owner_name}.{called.attr}"


def set_iterations(module: ast.Module) -> Iterator[int]:
    """Yield the line of each loop, comprehension or call that uses the order of a set."""
    for node in ast.walk(module):
        match node:
            case ast.For(iter=source) | ast.comprehension(iter=source) | ast.Starred(value=source):
                sources = [source]
            case ast.Call(func=ast.Name(id=name), args=sources) if name in ORDERED_BY_SET:
                pass
            case ast.Call(func=ast.Attribute(attr="join" | "extend"), args=sources):
                pass
            case _:
                continue
        yield from (source.lineno for source in sources if is_set(source))


def is_set(node: ast.expr) -> bool:
    """Return whether an expression is syntactically a set."""
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.BinOp(op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor()):
            return is_set(node.left) or is_set(node.right)
    return False
