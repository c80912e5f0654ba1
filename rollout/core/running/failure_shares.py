"""Count the share of failed instances in total, by wave and by group.

Written by `evolve` only; read by `thresholds`. Counts nothing without `failedPercent`.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from rollout.core.running.layout import Layout
from rollout.model.spec import PPM, OnFailure


class Shares(msgspec.Struct, eq=False):
    """Judged and failed instances of each scope: the run (0), the waves, then the groups.

    An instance is judged once it is finished, unless it was skipped, or once it is held as failed.
    `over` are the scopes whose share of failed instances has reached `share_ppm`; a set.
    """

    layout: Layout
    share_ppm: int
    min_sample: int
    outcomes: bytearray
    judged: list[int]
    failed: list[int]
    over: dict[int, None]

    @classmethod
    def of(cls, layout: Layout, groups: int, rule: OnFailure | None) -> Shares:
        """Return the counts before the first event."""
        share = rule.share_ppm if rule else 0
        sample = rule.min_sample if rule else 0
        scopes = (1 + len(layout.waves) + groups) if share else 0
        outcomes = bytearray(len(layout.targets) if share else 0)
        return cls(layout, share, sample, outcomes, [0] * scopes, [0] * scopes, {})

    @property
    def counts(self) -> bool:
        """Return whether a percentage is set."""
        return self.share_ppm > 0

    def count(self, ordinal: int, *, failed: bool, judged: bool) -> None:
        """Count one target with this outcome instead of its former one."""
        before, after = self.outcomes[ordinal], judged + failed
        if before == after:
            return
        self.outcomes[ordinal] = after
        for scope in self._scopes_of(ordinal):
            self.judged[scope] += bool(after) - bool(before)
            self.failed[scope] += (after > 1) - (before > 1)
            if self._reached(scope):
                self.over[scope] = None
            else:
                self.over.pop(scope, None)

    def name(self, scope: int, groups: list[str]) -> str:
        """Return the name of a scope, for users; `groups` are the keys of the groups."""
        if scope == 0:
            return "run"
        waves = self.layout.waves
        if scope <= len(waves):
            return f"wave {waves[scope - 1].name}"
        return f"group {groups[scope - 1 - len(waves)]}"

    def _reached(self, scope: int) -> bool:
        failed, judged = self.failed[scope], self.judged[scope]
        return failed > 0 and judged >= self.min_sample and failed * PPM >= judged * self.share_ppm

    def _scopes_of(self, ordinal: int) -> Iterator[int]:
        yield 0
        yield 1 + self.layout.wave_of(ordinal)
        first = 1 + len(self.layout.waves)
        yield from (first + group for group in self.layout.targets[ordinal].groups)
