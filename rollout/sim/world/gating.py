"""Bakes, gates and pauses of a scenario, from their own stream of draws.

Used by `scenario`. Most scenarios have none, so that they cost and find what they did before.
"""

from __future__ import annotations

import msgspec

from rollout.model.event import OperatorVerb
from rollout.model.gate import GateAnswer, HttpGate
from rollout.model.spec import WaveGate
from rollout.model.time import HOUR, MINUTE, SECOND, Duration
from rollout.sim.time.dice import Dice
from rollout.sim.world.gate_world import Spell


class OperatorPause(msgspec.Struct, frozen=True):
    """An operator pauses the run `at_ms` after its start and ends the pause `lasts_ms` later."""

    at_ms: Duration
    lasts_ms: Duration
    ended_by: OperatorVerb


class Question(msgspec.Struct, frozen=True):
    """A question of the gates, and the spells of its answers."""

    gate: HttpGate
    spells: tuple[Spell, ...] = ()


class Gating(msgspec.Struct, frozen=True):
    """Bake and gate after each wave, the questions of an automatic gate, and what operators do. An
    operator promotes a manual gate `answered_ms` after it waits, with `full` all gates at once.
    Without `waits`, processes halt where they would wait.
    """

    bake_ms: Duration = 0
    gate: WaveGate = WaveGate.AUTO
    answered_ms: Duration = 100
    full: bool = False
    waits: bool = True
    questions: tuple[Question, ...] = ()
    pauses: tuple[OperatorPause, ...] = ()


def draw(seed: int) -> Gating:
    """Return the bakes, gates and pauses of a seed."""
    dice = Dice(seed, "gates")
    pauses = tuple(_pause(dice) for _ in range(dice.pick((0, 0, 0, 0, 0, 0, 0, 1, 2))))
    if not dice.chance(25):
        return Gating(pauses=pauses, waits=dice.chance(70))
    questions = _questions(Dice(seed, "questions"))
    return Gating(
        dice.pick((0, 10 * SECOND, 2 * MINUTE, 20 * MINUTE)),
        dice.pick((WaveGate.AUTO, WaveGate.MANUAL, WaveGate.MANUAL)),
        dice.pick((100, 30 * SECOND, 10 * MINUTE)),
        dice.chance(30),
        dice.chance(60),
        questions,
        pauses,
    )


def _questions(dice: Dice) -> tuple[Question, ...]:
    """Return up to two questions whose answers change, are slow or do not come."""
    return tuple(
        Question(
            HttpGate(
                url=f"https://gate-{number}.internal/",
                every_ms=dice.pick((0, 0, 5 * SECOND, MINUTE)),
                timeout_ms=10 * SECOND,
                wait_ms=dice.pick((30 * SECOND, 5 * MINUTE, HOUR)),
            ),
            tuple(sorted(_spell(dice) for _ in range(dice.between(0, 5)))),
        )
        for number in range(dice.pick((0, 1, 1, 2)))
    )


def _spell(dice: Dice) -> Spell:
    answer = dice.pick((GateAnswer.OPEN, GateAnswer.SHUT, GateAnswer.UNKNOWN))
    slow = (50, 50, 5 * SECOND, 10 * SECOND)
    return Spell(dice.between(0, dice.pick((60, 600, 3600))) * SECOND, answer, dice.pick(slow))


def _pause(dice: Dice) -> OperatorPause:
    return OperatorPause(
        dice.between(0, dice.pick((20, 60, 300))) * SECOND,
        dice.between(0, dice.pick((2, 60, 600))) * SECOND,
        dice.pick((OperatorVerb.PROMOTE, OperatorVerb.RESUME)),
    )
