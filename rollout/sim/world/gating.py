"""Bakes, gates and pauses of a scenario, from their own stream of draws.

Used by `scenario`. Most scenarios have none, so that they cost and find what they did before.
"""

from __future__ import annotations

import msgspec

from rollout.model.event import OperatorVerb
from rollout.model.spec import WaveGate
from rollout.model.time import MINUTE, SECOND, Duration
from rollout.sim.time.dice import Dice


class OperatorPause(msgspec.Struct, frozen=True):
    """An operator pauses the run `at_ms` after its start and ends the pause `lasts_ms` later."""

    at_ms: Duration
    lasts_ms: Duration
    ended_by: OperatorVerb


class Gating(msgspec.Struct, frozen=True):
    """Bake and gate after each wave, and what operators do. An operator promotes a manual gate
    `answered_ms` after it waits, with `full` all gates at once. Without `waits`, processes halt
    where they would wait for an operator.
    """

    bake_ms: Duration = 0
    gate: WaveGate = WaveGate.AUTO
    answered_ms: Duration = 100
    full: bool = False
    waits: bool = True
    pauses: tuple[OperatorPause, ...] = ()


def draw(seed: int) -> Gating:
    """Return the bakes, gates and pauses of a seed."""
    dice = Dice(seed, "gates")
    pauses = tuple(_pause(dice) for _ in range(dice.pick((0, 0, 0, 0, 0, 0, 0, 1, 2))))
    if not dice.chance(25):
        return Gating(pauses=pauses, waits=dice.chance(70))
    return Gating(
        dice.pick((0, 10 * SECOND, 2 * MINUTE, 20 * MINUTE)),
        dice.pick((WaveGate.AUTO, WaveGate.MANUAL, WaveGate.MANUAL)),
        dice.pick((100, 30 * SECOND, 10 * MINUTE)),
        dice.chance(30),
        dice.chance(60),
        pauses,
    )


def _pause(dice: Dice) -> OperatorPause:
    return OperatorPause(
        dice.between(0, dice.pick((20, 60, 300))) * SECOND,
        dice.between(0, dice.pick((2, 60, 600))) * SECOND,
        dice.pick((OperatorVerb.PROMOTE, OperatorVerb.RESUME)),
    )
