"""Windows of a scenario, from their own stream of draws, and the plan with them.

Used by `scenario` and `build`. Most scenarios have none, so that they cost and find what they did
before.
"""

from __future__ import annotations

import msgspec

from rollout.model.plan import Plan
from rollout.model.time import DAY, HOUR, MINUTE, SECOND, Duration, Instant
from rollout.model.windows import Interval, PlanWindows
from rollout.sim.time.dice import Dice

LAST_MS: Duration = 30 * DAY
"""The last window is longer than any run, so that each run can end."""

Opening = tuple[Duration, Duration]
"""From when the windows before it closed: the time until it opens, and by how much it is longer
than a restart may take.
"""


def draw(seed: int) -> tuple[Opening, ...]:
    """Return the windows of a seed. A change of the clocks moves them by an hour."""
    dice = Dice(seed, "windows")
    if not dice.chance(20):
        return ()
    shut_ms = dice.pick((10 * SECOND, 5 * MINUTE, 50 * MINUTE))
    shifts = (0, 0, HOUR, 20 * MINUTE)
    first = (dice.pick((0, 0, MINUTE, 10 * MINUTE)), _spare(dice))
    later = [(shut_ms + dice.pick(shifts), _spare(dice)) for _ in range(dice.between(1, 5))]
    return first, *later


def _spare(dice: Dice) -> Duration:
    return dice.between(1, dice.pick((30, 120, 900))) * SECOND


def with_windows(plan: Plan, openings: tuple[Opening, ...], now: Instant) -> Plan:
    """Return the plan with these windows, the first of which is counted from `now`."""
    if not openings:
        return plan
    intervals, closed = [], now
    for number, (shut_ms, spare_ms) in enumerate(openings, 1):
        opens = closed + shut_ms
        last = number == len(openings)
        closed = opens + (LAST_MS if last else plan.restart.longest_ms + spare_ms)
        intervals.append(Interval(opens, closed))
    return msgspec.structs.replace(
        plan, windows=PlanWindows("UTC", "simulated", closed, tuple(intervals))
    )
