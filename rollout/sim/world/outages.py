"""Outages of a scenario: members of groups that are no targets go down and come back.

Used by `scenario`; `others` makes the changes.
"""

from __future__ import annotations

import msgspec

from rollout.model.time import MINUTE, SECOND, Duration
from rollout.sim.time.dice import Dice


class Outage(msgspec.Struct, frozen=True):
    """A member goes down `at_ms` after the start of the run, or before it, and is Running again
    after `lasts_ms`. `released`: it is never listed again.
    """

    member: int
    at_ms: Duration
    lasts_ms: Duration
    released: bool = False


def draw(seed: int) -> tuple[Outage, ...]:
    """Return the outages of a seed; most of them are over before the run gives up waiting."""
    dice = Dice(seed, "outages")
    return tuple(
        Outage(
            dice.number(),
            dice.pick((-1, -1, 5, 30, 120, 650)) * SECOND,
            dice.pick((20 * SECOND, 90 * SECOND, 4 * MINUTE, 15 * MINUTE)),
            released=dice.chance(10),
        )
        for _ in range(dice.pick((0, 0, 1, 3)))
    )
