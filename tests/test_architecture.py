"""The architecture page tells what the code does."""

from __future__ import annotations

from pathlib import Path

from rollout.core.running.journey import TABLE

PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"
CORE = Path(__file__).parents[1] / "rollout" / "core"


def test_the_diagram_is_the_table() -> None:
    """Every move of the table stands in the diagram, in order, and no other."""
    drawn = [line.strip() for line in PAGE.read_text().splitlines() if " --> " in line]
    table = [f"{start.word} --> {end.word}: {why.value}" for (start, why), end in TABLE.items()]
    assert drawn == ["[*] --> planned", *table]


def test_every_file_of_the_core_is_introduced() -> None:
    """A reader finds each core file on the page, except the two helpers without a question."""
    text = PAGE.read_text()
    helpers = {"__init__.py", "invariant.py", "retry.py", "layout.py"}
    missing = [path.name for path in CORE.rglob("*.py") if f"`{path.name}`" not in text]
    assert set(missing) <= helpers
