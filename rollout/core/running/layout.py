"""The plan laid out flat: targets by ordinal, cells and waves as ranges of ordinals.

Made once per run from the plan and never changed. An ordinal is a target's position in the plan.
"""

from __future__ import annotations

from array import array

import msgspec

from rollout.model.plan import Plan, Target

Lane = tuple[str, str]
"""Account and region: what looks and calls of one kind have in common."""


class CellSpan(msgspec.Struct, frozen=True):
    """A cell's place: its wave, its lane, its ordinals [start, end) and those of its batches."""

    wave: int
    lane: Lane
    start: int
    end: int
    batches: tuple[tuple[int, int], ...]


class WaveSpan(msgspec.Struct, frozen=True):
    """A wave's place: name, cells [start, end), number of targets."""

    name: str
    cells: tuple[int, int]
    targets: int


class Layout:
    """All targets of a plan by ordinal, with the cell of each."""

    __slots__ = ("cell_of", "cells", "lane_ends", "lanes", "targets", "waves")

    def __init__(self, plan: Plan) -> None:
        self.targets: list[Target] = []
        self.cell_of = array("i")
        self.cells: list[CellSpan] = []
        self.waves: list[WaveSpan] = []
        for number, wave in enumerate(plan.waves):
            first_cell, first_target = len(self.cells), len(self.targets)
            for cell in wave.cells:
                start = len(self.targets)
                spans = []
                for batch in cell.batches:
                    low = len(self.targets)
                    self.targets.extend(batch.targets)
                    spans.append((low, len(self.targets)))
                lane = (cell.account, cell.region)
                end = len(self.targets)
                self.cell_of.extend([len(self.cells)] * (end - start))
                self.cells.append(CellSpan(number, lane, start, end, tuple(spans)))
            self.waves.append(
                WaveSpan(
                    wave.name,
                    (first_cell, len(self.cells)),
                    len(self.targets) - first_target,
                )
            )
        self.lanes: tuple[Lane, ...] = tuple(sorted({cell.lane for cell in self.cells}))

        self.lane_ends: dict[Lane, tuple[int, int]] = {}
        for span in self.cells:
            first, _ = self.lane_ends.get(span.lane, (span.start, 0))
            self.lane_ends[span.lane] = first, span.end - 1

    def ordinal_of(self, instance: str) -> int | None:
        """The ordinal of an instance; None where it is no target. Walks all targets."""
        named = (o for o, target in enumerate(self.targets) if target.instance == instance)
        return next(named, None)

    def span_of(self, ordinal: int) -> CellSpan:
        """The cell of one target."""
        return self.cells[self.cell_of[ordinal]]

    def lane_of(self, ordinal: int) -> Lane:
        """The account and region of one target."""
        return self.span_of(ordinal).lane

    def wave_of(self, ordinal: int) -> int:
        """The wave of one target."""
        return self.span_of(ordinal).wave
