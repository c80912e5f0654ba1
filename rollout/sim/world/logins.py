"""Whether the plan of a scenario proves logins, and how the guests of its instances misbehave."""

from __future__ import annotations

import msgspec

from rollout.emulator.faults import Fault
from rollout.model.time import SECOND, Duration
from rollout.sim.time.dice import Dice

FAULTS = ("key_never_installed", "former_key_kept", "key_installed_late", "host_key_changed")


class LoginProofs(msgspec.Struct, frozen=True):
    """`lost_percent` of the probes reach no guest while faults are injected."""

    proved: bool = False
    expect_refused: bool = True
    timeout_ms: Duration = 30 * SECOND
    lost_percent: int = 0


def draw(seed: int) -> tuple[LoginProofs, tuple[Fault, ...]]:
    """Return the logins of a seed, and the faults of its guests."""
    dice = Dice(seed, "logins")
    if not dice.chance(35):
        return LoginProofs(), ()
    logins = LoginProofs(
        proved=True,
        expect_refused=dice.chance(70),
        timeout_ms=dice.pick((15, 30, 60)) * SECOND,
        lost_percent=dice.pick((0, 0, 10, 50)),
    )
    return logins, tuple(Fault(name, 0.1) for name in FAULTS if dice.chance(15))
