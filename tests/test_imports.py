"""Imports within the package have no cycle, and every module can be imported first."""

import ast
import subprocess
import sys
from collections.abc import Container, Iterator
from graphlib import CycleError, TopologicalSorter

from tests import tree

IMPORT_EACH_ALONE = """
import importlib, os, sys, traceback
import aiohttp.web, anyio, asyncssh, cryptography, cyclopts, msgspec, pydantic, rich, ruamel.yaml

for name in sys.argv[1:]:
    if child := os.fork():
        assert os.waitpid(child, 0)[1] == 0, name
        continue
    try:
        importlib.import_module(name)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
"""


def test_no_files_import_each_other() -> None:
    """The imports of all files have no cycle, also in functions and for type checkers."""
    modules = tree.package_modules()
    graph = {
        name: {found for found in imports(tree.parse(path), modules) if found != name}
        for name, path in modules.items()
    }

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" imports ".join(reversed(error.args[1]))) from None


def test_imports_are_found_at_any_position() -> None:
    """The check finds imports of modules and names, also in functions and for type checkers."""
    source = """
if TYPE_CHECKING:
    import rollout.a
def f():
    from rollout.b import thing
    from rollout.c import d
"""
    modules = {"rollout.a", "rollout.b", "rollout.c", "rollout.c.d"}

    assert list(imports(ast.parse(source), modules)) == ["rollout.a", "rollout.b", "rollout.c.d"]


def test_every_module_can_be_imported_first() -> None:
    """Every module can be imported in a process that has loaded no other module of the package."""
    command = [sys.executable, "-c", IMPORT_EACH_ALONE, *tree.package_modules()]

    done = subprocess.run(command, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


def imports(module: ast.Module, modules: Container[str]) -> Iterator[str]:
    """Yield the modules that a file imports or from which it imports a name."""
    for node in ast.walk(module):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name in modules)
            case ast.ImportFrom(module=str(source), names=names):
                for alias in names:
                    inner = f"{source}.{alias.name}"
                    if found := next((m for m in (inner, source) if m in modules), None):
                        yield found
