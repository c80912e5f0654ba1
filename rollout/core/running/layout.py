"""The plan laid out flat: targets by ordinal, cells and waves as ranges of ordinals.

Made once per run from the plan and never changed. An ordinal is a target's position in the plan;
exclusions have the ordinals after those of the targets.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

import msgspec

from rollout.model.plan import Exclusion, Plan, RestartKind, Target, WantedKey
from rollout.model.site import KeySite, Site
from rollout.model.spec import FLEET


class CellSpan(msgspec.Struct, frozen=True):
    """The position of a cell: wave, site, ordinals [start, end), and those of its batches."""

    wave: int
    site: Site
    start: int
    end: int
    batches: tuple[tuple[int, int], ...]


class WaveSpan(msgspec.Struct, frozen=True):
    """The position of a wave: name, cells [start, end), number of targets."""

    name: str
    cells: tuple[int, int]
    targets: int


class Layout:
    """All targets of a plan by ordinal, with the cell of each. `members` are the ordinals that a
    census observes: exclusions that are members of groups, and targets that are members of a capped
    part of the fleet.
    """

    __slots__ = (
        "cell_of", "cells", "key_sites", "keys", "kinds", "members", "plan", "site_ends", "sites",
        "targets", "waves",
    )  # fmt: skip

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.keys = plan.keys
        self.kinds = plan.target_kinds()
        self.targets: list[Target] = []
        self.cell_of = array("i")
        self.cells: list[CellSpan] = []
        self.waves: list[WaveSpan] = []
        used: set[KeySite] = set()
        for number, wave in enumerate(plan.waves):
            first_cell, first_target = len(self.cells), len(self.targets)
            for cell in wave.cells:
                start = len(self.targets)
                spans = []
                for batch in cell.batches:
                    low = len(self.targets)
                    self.targets.extend(batch.targets)
                    used.update(KeySite(cell.site, one.key) for one in batch.targets[:1])
                    spans.append((low, len(self.targets)))
                end = len(self.targets)
                self.cell_of.extend([len(self.cells)] * (end - start))
                self.cells.append(CellSpan(number, cell.site, start, end, tuple(spans)))
            self.waves.append(
                WaveSpan(wave.name, (first_cell, len(self.cells)), len(self.targets) - first_target)
            )
        first = len(self.targets)
        self.members = (
            *_in_parts(plan, self.targets),
            *(ordinal for ordinal, out in enumerate(plan.exclusions, first) if out.groups),
        )
        self.sites: tuple[Site, ...] = tuple(sorted({cell.site for cell in self.cells}))
        self.key_sites: dict[Site, list[KeySite]] = {site: [] for site in self.sites}
        for key_site in sorted(used):
            self.key_sites[key_site.site].append(key_site)

        self.site_ends: dict[Site, tuple[int, int]] = {}
        for span in self.cells:
            first, _ = self.site_ends.get(span.site, (span.start, 0))
            self.site_ends[span.site] = first, span.end - 1

    def ordinal_of(self, instance: str) -> int | None:
        """The ordinal of an instance; None where it is no target. Walks all targets."""
        named = (o for o, target in enumerate(self.targets) if target.instance == instance)
        return next(named, None)

    def member(self, ordinal: int) -> Target | Exclusion:
        """A target, or an exclusion by the number of targets plus its position."""
        first = len(self.targets)
        return self.targets[ordinal] if ordinal < first else self.plan.exclusions[ordinal - first]

    def groups_of(self, ordinal: int) -> tuple[int, ...]:
        """The groups of a member."""
        return self.member(ordinal).groups or ()

    def home_of(self, ordinal: int) -> Site:
        """The account and region of a member."""
        first = len(self.targets)
        if ordinal < first:
            return self.site_of(ordinal)
        return self.plan.exclusions[ordinal - first].site

    def span_of(self, ordinal: int) -> CellSpan:
        """The cell of one target."""
        return self.cells[self.cell_of[ordinal]]

    def site_of(self, ordinal: int) -> Site:
        """The account and region of one target."""
        return self.span_of(ordinal).site

    def wanted(self, ordinal: int) -> WantedKey:
        """The key that one target gets."""
        return self.keys[self.targets[ordinal].key]

    def key_site_of(self, ordinal: int) -> KeySite:
        """The site and the wanted key of one target."""
        return KeySite(self.site_of(ordinal), self.targets[ordinal].key)

    def wave_of(self, ordinal: int) -> int:
        """The wave of one target."""
        return self.span_of(ordinal).wave


def _in_parts(plan: Plan, targets: Sequence[Target]) -> Iterator[int]:
    """Yield the ordinals of targets that are to be rebooted and in a capped part of the fleet."""
    parts = {
        number
        for number, group in enumerate(plan.groups)
        if group.key != FLEET and plan.budgets[group.budget].max_down
    }
    for ordinal, target in enumerate(targets) if parts else ():
        if target.restart is RestartKind.REBOOT and not parts.isdisjoint(target.groups):
            yield ordinal
