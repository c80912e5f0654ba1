"""Generated documentation: the diagrams in docs/architecture.md, and docs/files.md.

`python -m tests.diagrams` writes both.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterable
from pathlib import Path

from rollout.core.running import journey, stations
from tests import tree

PAGE = tree.ROOT / "docs" / "architecture.md"
FILES = tree.ROOT / "docs" / "files.md"


def phases() -> list[str]:
    """Return one line for each move of the phase table, in the table's order."""
    moves = journey.TABLE.items()
    return [
        "[*] --> planned",
        *(f"{start.label} --> {end.label}: {trigger.value}" for (start, trigger), end in moves),
    ]


def station_moves() -> list[str]:
    """Return one line for each move of the station table, in the table's order."""
    return [
        f"{'[*]' if before is stations.Station.NONE else before.name.lower()} --> "
        f"{after.name.lower()}"
        for before, reachable in stations.TABLE.items()
        for after in sorted(reachable)
    ]


def block(name: str, lines: Iterable[str]) -> str:
    """Return the part of the page that belongs to one diagram."""
    drawn = "\n".join(f"    {line}" for line in lines)
    return (
        f"<!-- generated: {name} -->\n\n```mermaid\nstateDiagram-v2\n{drawn}\n```\n\n"
        f"<!-- end of {name} -->"
    )


def page() -> str:
    """Return the page with both diagrams as the tables have them."""
    text = PAGE.read_text("utf-8")
    for name, lines in (("phases", phases()), ("stations", station_moves())):
        pattern = rf"<!-- generated: {name} -->.*<!-- end of {name} -->"
        text, found = re.subn(pattern, block(name, lines), text, flags=re.DOTALL)
        if found != 1:
            raise ValueError(f"{PAGE} has no place for the diagram of {name}")
    return text


def files() -> str:
    """Return the index of all files: the first sentence of each module's docstring, by folder."""
    package = tree.ROOT / "rollout"
    modules = [path for path in package.rglob("*.py") if path.name != "__init__.py"]
    lines = ["# Files", "", "Generated from the docstrings of the modules.", ""]
    for folder, paths in itertools.groupby(
        sorted(modules, key=_by_folder), lambda path: path.parent
    ):
        lines += [f"## `{folder.relative_to(tree.ROOT).as_posix()}/`", ""]
        lines += [f"- `{path.name}`: {first_sentence(path)}" for path in paths]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def first_sentence(path: Path) -> str:
    """Return the first sentence of a module's docstring, in one line."""
    text = ast.get_docstring(tree.parse(path)) or ""
    return " ".join(text.partition("\n\n")[0].split())


def _by_folder(path: Path) -> tuple[str, str]:
    return path.parent.as_posix(), path.name


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    FILES.write_text(files(), "utf-8")
