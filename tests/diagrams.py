"""Diagrams of the core's tables in docs/architecture.md. `python -m tests.diagrams` writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from rollout.core.running import journey, stations

PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"


def phases() -> list[str]:
    """Return one line for each move of the phase table, in the table's order."""
    moves = journey.TABLE.items()
    return [
        "[*] --> planned",
        *(f"{start.word} --> {end.word}: {trigger.value}" for (start, trigger), end in moves),
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


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
