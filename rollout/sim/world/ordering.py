"""Which instances of a scenario restart last, from their own stream of draws.

Used by `scenario` and `build`. Most scenarios have none, so that they cost and find what they did
before.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rollout.model import selector
from rollout.model.instance import Instance
from rollout.model.spec import Last
from rollout.sim.time.dice import Dice


class Ordering(msgspec.Struct, frozen=True):
    """The rules of the spec's `last`: a selector, and instances by number. `own` is the number of
    the machine that runs rollout, None if it is not an instance.
    """

    select: str = ""
    numbers: tuple[int, ...] = ()
    own: int | None = None

    def rules(self, rows: Sequence[Instance]) -> tuple[Last, ...]:
        """Return the rules of the spec for these instances."""
        named = frozenset(rows[number % len(rows)].id for number in self.numbers)
        rules = (Last(select=selector.parse(self.select)),) if self.select else ()
        return (*rules, Last(instances=named)) if named else rules

    def own_id(self, rows: Sequence[Instance]) -> str:
        """Return the id of the machine that runs rollout; empty if it is not an instance."""
        return "" if self.own is None else rows[self.own % len(rows)].id


def draw(seed: int) -> Ordering:
    """Return the order of a seed."""
    dice = Dice(seed, "last")
    if not dice.chance(12):
        return Ordering()
    return Ordering(
        dice.pick(("", "", "role=member", "tier=data")),
        tuple(dice.number() for _ in range(dice.pick((0, 1, 2, 4)))),
        dice.number() if dice.chance(40) else None,
    )
