"""Rates: how many restarts may begin in ten minutes, by group, and how many did.

Part of the state, written by `evolve` and read by `decide_instances`. A restart counts from its
intent until ten minutes after the last instant at which it can have begun, so that no window of ten
minutes holds more of them than the rate, however long a call is under way.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator

import msgspec

from rollout.core.invariant import invariant
from rollout.core.running.layout import Layout
from rollout.model import limits
from rollout.model.plan import Plan
from rollout.model.time import Duration, Instant


class Rates(msgspec.Struct, eq=False):
    """Restarts that count against the rates of their groups: `open` calls, and ended ones.

    `rates` and both counts are by group and hold only groups with a rate. `until` are the instants
    at which ended restarts stop counting, ascending. Nothing may begin before `shut_until`.
    """

    layout: Layout
    rates: dict[int, int]
    open: dict[int, int] = {}
    until: dict[int, list[Instant]] = {}
    shut_until: Instant = 0

    @classmethod
    def of(cls, layout: Layout, plan: Plan) -> Rates:
        """Return the rates of a plan, with no restart counted."""
        return cls(layout, {n: group.rate for n, group in enumerate(plan.groups) if group.rate})

    # queries

    def groups_of(self, ordinal: int) -> Iterator[int]:
        """Yield the groups of one instance that have a rate."""
        if self.rates:
            yield from (one for one in self.layout.targets[ordinal].groups if one in self.rates)

    def left(self, group: int, now: Instant) -> int:
        """Return how many restarts of this group may begin at `now`."""
        if now < self.shut_until:
            return 0
        ended = self.until.get(group, [])
        counted = self.open.get(group, 0) + len(ended) - bisect_right(ended, now)
        return self.rates[group] - counted

    def frees_at(self, group: int, now: Instant) -> Instant | None:
        """Return when time alone makes room in this group next; None where open calls fill it."""
        if now < self.shut_until:
            return self.shut_until
        ended = self.until.get(group, [])
        position = bisect_right(ended, now)
        return ended[position] if position < len(ended) else None

    # updates

    def begin(self, ordinal: int, now: Instant) -> None:
        """Count a restart whose intent is written at `now`."""
        for group in self.groups_of(ordinal):
            invariant(self.left(group, now) > 0, f"I-32: group {group} has no restart left")
            self.open[group] = self.open.get(group, 0) + 1
            ended = self.until.get(group)
            if ended:
                del ended[: bisect_right(ended, now)]

    def end(self, ordinal: int, begun_by: Instant | None) -> None:
        """Count a restart that began at `begun_by` at the latest; None: it did not begin."""
        for group in self.groups_of(ordinal):
            self.open[group] -= 1
            if begun_by is not None:
                insort(self.until.setdefault(group, []), begun_by + limits.RATE_WINDOW_MS)

    def shut(self, begun_by: Instant) -> None:
        """An unknown number of restarts began at `begun_by` at the latest."""
        self.shut_until = max(self.shut_until, begun_by + limits.RATE_WINDOW_MS)

    def shift(self, by: Duration) -> None:
        """Count for longer what another machine counted: its clock may be ahead of this one."""
        self.until = {group: [at + by for at in ended] for group, ended in self.until.items()}
        self.shut_until += by if self.shut_until else 0
