"""Checker of the rates of budgets, by the hidden ledger.

It never uses the core's decisions. Listed and called by `checkers`.
"""

from __future__ import annotations

from collections.abc import Iterator

from rollout.model import limits
from rollout.model.time import Instant
from rollout.sim.check.history import History


class RateHeld:
    """No ten minutes contain more restarts of a group by this run than its rate."""

    ids = ("I-32",)

    def check(self, history: History) -> Iterator[str]:
        """Slide a window of ten minutes over the effects of each group with a rate."""
        groups = history.record.plan.groups
        begun: dict[int, list[Instant]] = {n: [] for n, group in enumerate(groups) if group.rate}
        for name, effects in history.restarts.items() if begun else ():
            ordinal = history.ordinal_of.get(name)
            if ordinal is None:
                continue
            ours = [one.entry.at for one in effects if one.ours and not one.duplicate]
            for number in history.layout.targets[ordinal].groups:
                if number in begun:
                    begun[number] += ours
        for number, instants in begun.items():
            instants.sort()
            rate = groups[number].rate
            for first, last in zip(instants, instants[rate:], strict=False):
                if last - first < limits.RATE_WINDOW_MS:
                    within = f"{rate + 1} restarts of {groups[number].key} in {last - first} ms"
                    yield f"{within}, at most {rate} in ten minutes"
                    break
