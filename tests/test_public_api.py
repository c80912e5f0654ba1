"""The Python API: its names, its import time, and the program in docs/python-api.md."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rollout
from tests import tree
from tests.e2e.stage import stage

PAGE = (tree.ROOT / "docs" / "python-api.md").read_text("utf-8")
NAMES = """
    Allow Connection Exit Instance Inventory Notices Plan PlanResult Problem Progress
    Rehearsal RehearsalOptions RolloutError RunResult RunView SavedPlan Session Spec Verdict
    __version__ apply load_plan load_spec make_plan plan rehearse resume retry save_plan
    undo verify_journal
"""


def test_the_public_names_are_pinned() -> None:
    """The list of public names changes only on purpose."""
    assert rollout.__all__ == NAMES.split() == sorted(rollout.__all__)
    assert dir(rollout) == rollout.__all__


def test_every_public_name_can_be_loaded() -> None:
    """The table of modules, the imports for type checkers and the list of names agree."""
    source = tree.parse(Path(rollout.__file__))
    checked = {
        alias.name: node.module
        for node in ast.walk(source)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for name in rollout.__all__:
        module = f"rollout.{rollout._MODULE_OF[name]}"
        assert getattr(rollout, name) is getattr(sys.modules[module], name)
        assert checked[name] == module


def test_an_unknown_name_is_an_attribute_error() -> None:
    """An unknown name raises AttributeError, which `hasattr` and inspection tools expect."""
    with pytest.raises(AttributeError, match="has no attribute 'rotate'"):
        rollout.rotate  # noqa: B018


def test_importing_the_package_loads_nothing_else() -> None:
    """`import rollout` is fast: it loads no other module of the package and no library."""
    program = (
        "import sys, rollout; print([m for m in sys.modules if m.startswith('rollout.')"
        " or m in ('aiohttp', 'anyio', 'msgspec', 'pydantic')])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], cwd=tree.ROOT, check=True, capture_output=True, text=True
    ).stdout

    assert printed.strip() == "[]"


def test_every_public_name_is_documented() -> None:
    """docs/python-api.md names every public name."""
    assert [name for name in rollout.__all__ if not re.search(rf"\b{name}\b", PAGE)] == []


def test_the_documented_program_rotates_a_fleet(tmp_path: Path) -> None:
    """The program on the page plans, applies and verifies with an emulator."""
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    shutil.copytree(tree.ROOT / "plans", tmp_path / "plans")
    (tmp_path / "rotate.py").write_text(program, "utf-8")
    spec = tmp_path / "plans" / "quickstart.yaml"
    quick = spec.read_text("utf-8").replace("maxDown: 10%", "maxDown: 60%")
    spec.write_text(quick.replace("settleWindow: 5s", "settleWindow: 1s"), "utf-8")
    with stage(tmp_path, size=30, options=("--boot-time", "200ms")) as made:
        ended = made.run("rotate.py", program=(sys.executable,))

    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    match = re.fullmatch(
        r"(\d+) targets, digest sha256:\w{64}\n(\d+) done, exit code 0\n\d+ lines verified\n",
        ended.stdout,
    )
    assert match is not None, ended.stdout
    assert match[1] == match[2] != "0"
