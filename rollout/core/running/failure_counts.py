"""Count failed, unfinished and conflicting instances by wave, for the halts in `thresholds`.

Written by `evolve` only, which maps phases to a kind of trouble.
"""

from __future__ import annotations

import enum

import msgspec

from rollout.core.running.layout import Layout


class Trouble(enum.IntEnum):
    """The kind of trouble that an instance counts as towards a halt."""

    NONE = 0
    FAILED = 1
    """It failed or is stranded."""
    LEFT = 2
    """In doubt, or attached without a permit. It counts only at the end of its wave."""
    CONFLICT = 3
    """It carries a third key. Conflicts have a limit of their own."""


class Troubles(msgspec.Struct, eq=False):
    """The kind of each target. Targets that an operator accepted count as NONE until `reopen`.

    `failed`, `left` and `conflicts` are numbers of targets by wave.
    """

    layout: Layout
    kinds: bytearray
    accepted: bytearray
    failed: list[int]
    left: list[int]
    conflicts: list[int]

    @classmethod
    def of(cls, layout: Layout) -> Troubles:
        """Return the counts before the first event."""
        count, waves = len(layout.targets), len(layout.waves)
        return cls(
            layout, bytearray(count), bytearray(count), [0] * waves, [0] * waves, [0] * waves
        )

    def count(self, ordinal: int, kind: Trouble) -> None:
        """Count one target as this kind, instead of its former one."""
        before = self.kinds[ordinal]
        after = Trouble.NONE if self.accepted[ordinal] else kind
        if before != after:
            wave = self.layout.wave_of(ordinal)
            self.failed[wave] += (after is Trouble.FAILED) - (before == Trouble.FAILED)
            self.left[wave] += (after is Trouble.LEFT) - (before == Trouble.LEFT)
            self.conflicts[wave] += (after is Trouble.CONFLICT) - (before == Trouble.CONFLICT)
            self.kinds[ordinal] = after

    def accept(self, ordinal: int) -> None:
        """Stop counting a target."""
        self.accepted[ordinal] = 1
        self.count(ordinal, Trouble.NONE)

    def reopen(self, ordinal: int) -> None:
        """Count a target again from now on: it failed in another way than an operator accepted."""
        self.accepted[ordinal] = 0

    def total(self) -> int:
        """Return the number of targets of all waves that count as any kind of trouble."""
        return sum(self.failed) + sum(self.left) + sum(self.conflicts)

    def of_wave(self, wave: int, *kinds: Trouble) -> list[int]:
        """Return the targets of one wave that count as one of these kinds, in plan order."""
        first, last = self.layout.waves[wave].cells
        start, end = self.layout.cells[first].start, self.layout.cells[last - 1].end
        return [ordinal for ordinal in range(start, end) if self.kinds[ordinal] in kinds]
