"""Leases of a scenario: whether its processes take them, and other runs that want the same ones.

Used by `scenario`, the locks of the world and its processes. Most scenarios take none, so that they
cost what they did before.
"""

from __future__ import annotations

import msgspec

from rollout.core.running.arrivals import LeaseHeld, LeaseLost
from rollout.journal.locks.lease import SteadyClock
from rollout.journal.locks.leases import Leases
from rollout.model import limits
from rollout.model.time import SECOND, Duration, Instant
from rollout.sim.time.dice import Dice
from rollout.sim.time.heap import Time
from rollout.sim.time.suspension import ProcessClock

STOPPED_MS: Duration = 600 * SECOND
STRIDE_MS: Duration = 60 * SECOND
"""A process that is awake renews its leases at least this often, also while it does nothing."""


class OtherRun(msgspec.Struct, frozen=True):
    """A process of another run, from `at_ms` on. It wants the lease of a region of this run, with
    `apart` of another region, tries again while it is refused, and holds it for `lasts_ms`.

    `unknown`: it does not know the id of its kernel. `stalls`: it is stopped for some minutes.
    `dies`: it ends without a release.
    """

    at_ms: Duration
    lasts_ms: Duration
    apart: bool = False
    unknown: bool = False
    stalls: bool = False
    dies: bool = False


class Leasing(msgspec.Struct, frozen=True):
    """Whether processes take leases and give the lock of the runs directory back, and other runs.
    Without leases they keep that lock, as on a file system that several machines share.
    """

    used: bool = False
    others: tuple[OtherRun, ...] = ()
    stopped_before: int = 0
    """The process is suspended for longer than its leases last before it sends this intent; 0 is
    never.
    """


def draw(seed: int) -> Leasing:
    """Return the leases of a seed."""
    dice = Dice(seed, "leases")
    if not dice.chance(12):
        return Leasing()
    others = tuple(_other(dice) for _ in range(dice.pick((0, 1, 1, 2))))
    stopped_before = dice.between(1, 10) if others and dice.chance(40) else 0
    return Leasing(used=True, others=others, stopped_before=stopped_before)


def _other(dice: Dice) -> OtherRun:
    return OtherRun(
        dice.between(0, dice.pick((5, 60, 300))) * SECOND,
        dice.pick((10, 60, 400)) * SECOND,
        apart=dice.chance(25),
        unknown=dice.chance(40),
        stalls=dice.chance(30),
        dies=dice.chance(30),
    )


class LeaseClock(SteadyClock):
    """The clocks of a process, for its leases. `behind` shifts both to a former moment."""

    def __init__(self, time: Time) -> None:
        self.process: ProcessClock | None = None
        self.behind: Duration = 0
        self._time = time

    def steady(self) -> Duration:
        """See SteadyClock. It stands still while the virtual machine is paused."""
        return self.wall() - (self.process.lag if self.process else 0)

    def wall(self) -> Instant:
        """See SteadyClock."""
        return self._time.now - self.behind


class Keeper:
    """Renews the leases of one process: after the fact, as if it had done so all the time."""

    def __init__(self, leases: Leases, clock: LeaseClock, process: ProcessClock) -> None:
        clock.process = process
        self.lost = leases.lost
        self._leases, self._clock, self._process = leases, clock, process
        self._renewed = clock.steady()
        self._slept = False

    def arrival(self, now: Instant) -> LeaseHeld | LeaseLost:
        """Return what the engine passes to its loop before each step."""
        self.catch_up()
        lost = self.lost()
        return LeaseLost(lost) if lost else LeaseHeld(now + self._leases.left_ms())

    def sleep(self) -> None:
        """Renew for the last time before the machine is suspended."""
        self.catch_up()
        self._slept = True

    def catch_up(self) -> None:
        """Renew the leases as the process did until now, if it was awake."""
        if self._process.suspended:
            return
        now = self._clock.steady()
        while not self._slept and now - self._renewed > STRIDE_MS:
            self._renewed += STRIDE_MS
            self._clock.behind = now - self._renewed
            self._leases.renew()
            self._clock.behind = 0
        if self._slept or now - self._renewed >= limits.LEASE_BEAT_MS:
            self._slept, self._renewed = False, now
            self._leases.renew()
