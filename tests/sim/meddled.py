"""Scenarios in which other operators reboot much and many calls are lost or late: what seeds of the
simulator bring about once in ten thousand comes once in a hundred here.
"""

from __future__ import annotations

import msgspec

from rollout.emulator.faults import Fault
from rollout.model.time import SECOND
from rollout.sim.check import checkers
from rollout.sim.time.dice import Dice
from rollout.sim.world import scenario
from rollout.sim.world.gating import Gating
from rollout.sim.world.logins import LoginProofs
from rollout.sim.world.scenario import ExternalChange, Interference, Scenario
from rollout.sim.world.world import World

_CALLS = ("RebootInstance", "RebootInstances", "AttachKeyPair")
_LATE = ("late_effect", "slow_arrival")
_LOST = ("lost_before", "timeout_before", "lost_after", "error_after", "slow")


def wrong(seed: int) -> list[str]:
    """What the checkers find in the meddled scenario of a seed."""
    return checkers.violations(World(_meddled(seed)).run())


def trailing(seed: int) -> list[str]:
    """The same where restarts arrive up to half of a settle window late, and nearly every reply
    trails behind by the other half: longer together than a settle window covers.
    """
    drawn = scenario.draw(seed)
    half_ms, reboots = drawn.settle_ms // 2, ("RebootInstance", "RebootInstances")
    return checkers.violations(
        World(
            msgspec.structs.replace(
                drawn,
                faults=(
                    Fault("late_effect", 0.3, reboots, half_ms),
                    Fault("lost_before", 0.1, reboots),
                    Fault("stale_describe", 0.9, (), half_ms),
                ),
                drifts=(),
                stops=(),
                rivals=(),
                suspensions=(),
                gating=Gating(),
                windows=(),
            )
        ).run()
    )


def during_another_run(seed: int) -> list[str]:
    """The same where nothing goes wrong, but another run rotates all or many of the instances."""
    drawn, dice = scenario.draw(seed), Dice(seed, "beside")
    drift = Interference(
        ExternalChange.FOREIGN_RUN, dice.number(), at_ms=dice.between(0, 20) * SECOND
    )
    return checkers.violations(
        World(
            msgspec.structs.replace(
                drawn,
                drifts=(drift,),
                faults=(),
                stops=(),
                rivals=(),
                suspensions=(),
                gating=Gating(),
                windows=(),
            )
        ).run()
    )


def _meddled(seed: int) -> Scenario:
    drawn, dice = scenario.draw(seed), Dice(seed, "meddled")
    switches = msgspec.structs.replace(
        drawn.switches,
        boot_time_ms=dice.pick((2_000, 3_000, 3_000, 6_000, 15_000)),
        stale_status_ms=dice.pick((0, 2_000, 2_000)),
        stop_time_ms=dice.pick((500, 1_500)),
    )
    drifts = tuple(_reboot(dice) for _ in range(dice.between(2, 10)))
    faults = (*drawn.faults, *_faults(dice))
    return msgspec.structs.replace(
        drawn,
        drifts=drifts,
        faults=faults,
        switches=switches,
        suspensions=(),
        gating=Gating(),
        logins=LoginProofs(),
        parts=(),
        rates=(),
        windows=(),
        on_failure=None,
    )


def _reboot(dice: Dice) -> Interference:
    if dice.chance(50):
        return Interference(
            ExternalChange.RESTARTED, dice.number(), before_call=dice.between(1, 40)
        )
    return Interference(
        ExternalChange.RESTARTED, dice.number() * 4, at_ms=dice.between(0, 240) * 250
    )


def _faults(dice: Dice) -> list[Fault]:
    armed = []
    for name in (*_LATE, *_LOST):
        if dice.chance(40):
            delay_ms = dice.pick((None, 3_000, 8_000)) if name in _LATE else None
            armed.append(Fault(name, dice.pick((0.05, 0.15, 0.3)), _CALLS, delay_ms))
    if dice.chance(20):
        armed.append(Fault("stale_describe", 0.1))
    return armed
