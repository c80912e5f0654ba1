"""The architecture page agrees with the code."""

from __future__ import annotations

import re

from tests import diagrams, tree

PACKAGE = tree.ROOT / "rollout"
HELPERS = {"__init__.py", "invariant.py"}


def test_the_diagrams_match_the_tables() -> None:
    """The diagrams match the tables of phases and stations; `python -m tests.diagrams` updates
    them.
    """
    assert diagrams.page() == diagrams.PAGE.read_text("utf-8")


def test_the_index_of_files_is_current() -> None:
    """Each file has its line in docs/files.md: run `python -m tests.diagrams`."""
    assert diagrams.files() == diagrams.FILES.read_text("utf-8")


def test_every_core_file_has_a_row() -> None:
    """Every core file is listed on the page, except helpers that decide nothing."""
    text = diagrams.PAGE.read_text("utf-8")
    files = {path.name for path in (PACKAGE / "core").rglob("*.py")}
    assert {name for name in files if f"`{name}`" not in text} <= HELPERS


def test_every_folder_has_a_row() -> None:
    """Every folder of the package has a row, and every row names an existing folder."""
    text = diagrams.PAGE.read_text("utf-8")
    rows = set(re.findall(r"^\| `(\w+(?:/\w+)*/)` \|", text, re.MULTILINE))
    folders = {
        f"{path.parent.relative_to(PACKAGE).as_posix()}/"
        for path in PACKAGE.rglob("__init__.py")
        if path.parent != PACKAGE
    }
    assert rows == folders


def test_every_file_named_in_a_recipe_exists() -> None:
    """Files and folders named in "Where to add" exist."""
    text = diagrams.PAGE.read_text("utf-8").partition("## Where to add")[2].partition("\n## ")[0]
    named = re.findall(r"`((?:rollout|tests|docs)/[\w/.-]+)`", text)
    assert named
    assert not [name for name in named if not (tree.ROOT / name).exists()]
