"""The checker of the spec's `last`: its targets restart after all others, and one at a time.

It compares intents and the hidden ledger with the rules of the spec and never uses the waves or the
groups of the plan. Listed and called by `checkers`.
"""

from __future__ import annotations

from collections.abc import Iterator

from rollout.sim.check.claims import BudgetHeld
from rollout.sim.check.history import History


class LastOnes:
    """Nothing begins on another target once a target of `last` was begun, nothing on any target
    once the machine that runs rollout was, and no two of them are down at once. A target that was
    held may be released later.
    """

    ids = ("I-83",)

    def check(self, history: History) -> Iterator[str]:
        """Compare the order of intents, and the intervals in which targets were down."""
        record = history.record
        if not record.last and not record.own:
            return
        rank = {
            ordinal: 2 if name == record.own else int(name in record.last)
            for name, ordinal in history.ordinal_of.items()
        }
        begun, held = 0, history.held
        for n, intent in history.intents.items():
            ranks = [rank[ordinal] for ordinal in intent.ordinals if ordinal not in held]
            if ranks and min(ranks) < begun:
                yield f"call {n} is about a target that restarts before those of earlier calls"
            begun = max((begun, *ranks))
        down: set[int] = set()
        for at, change, ordinal in BudgetHeld().changes(history):
            if not rank[ordinal]:
                continue
            (down.add if change > 0 else down.discard)(ordinal)
            if len(down) > 1:
                yield f"{len(down)} targets of `last` are down at {at - record.begun} ms"
                return
