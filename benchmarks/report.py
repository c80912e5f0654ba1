"""Figures with their bounds, and the table that shows them.

Created by every script of this folder and printed by `__main__`.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

import msgspec


class Size(enum.StrEnum):
    """The size of a measurement: of a smoke test, of a default run, or of the claim."""

    TINY = "tiny"
    DEFAULT = "default"
    FULL = "full"


class Row(msgspec.Struct, frozen=True):
    """One figure. `least` and `most` are its bounds; both are None if it has no bound.

    `peak_mib` is the peak memory of the measuring process, 0 if it was not measured.
    """

    what: str
    value: float
    unit: str = ""
    least: float | None = None
    most: float | None = None
    peak_mib: float = 0

    @property
    def verdict(self) -> str:
        """Return `ok` or `MISSED`, or an empty string without a bound."""
        if self.least is None and self.most is None:
            return ""
        low = self.least is not None and self.value < self.least
        high = self.most is not None and self.value > self.most
        return "MISSED" if low or high else "ok"

    @property
    def bound(self) -> str:
        """Return the bound as text."""
        least = "" if self.least is None else f"≥ {figure(self.least)}"
        most = "" if self.most is None else f"≤ {figure(self.most)}"
        return " ".join(part for part in (least, most) if part)


def figure(value: float) -> str:
    """Format a number with its significant digits."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def table(title: str, rows: Sequence[Row]) -> str:
    """Return all rows under one title, in columns."""
    cells = [("", "measured", "bound", "", "peak")]
    for row in rows:
        peak = f"{figure(row.peak_mib)} MiB" if row.peak_mib else ""
        cells.append(
            (row.what, f"{figure(row.value)} {row.unit}".strip(), row.bound, row.verdict, peak)
        )
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    return "\n".join([title, *(f"  {line}" for line in lines)])
