"""The scenario of a seed: fleet, plan, the cloud's behavior, faults and other operators.

Swarm testing: each seed arms about a quarter of the faults, so that combinations of a few occur.
Small fleets and short boots are more frequent, because waiting is expensive to simulate and finds
nothing. Pure: the same seed gives the same scenario everywhere.
"""

from __future__ import annotations

import enum
import errno

import msgspec

from rollout.ecs.contract import Edition
from rollout.emulator import faults
from rollout.emulator.cloud import regions
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.faults import Fault
from rollout.model.spec import PPM, Calls, OnFailure, OnUnknown, Stopped
from rollout.model.time import MINUTE, SECOND, Duration
from rollout.sim.time.dice import Dice
from rollout.sim.world import (
    approving,
    cohort,
    gating,
    leasing,
    logins,
    opening,
    ordering,
    outages,
)
from rollout.sim.world.approving import Approving
from rollout.sim.world.cohort import BadCohort
from rollout.sim.world.gating import Gating
from rollout.sim.world.leasing import Leasing
from rollout.sim.world.logins import LoginProofs
from rollout.sim.world.opening import Opening
from rollout.sim.world.ordering import Ordering
from rollout.sim.world.outages import Outage

SIZE = (14, 60)
SMALL_MAX = 20
"""Three of four fleets are small: they show the faults of large ones, earlier."""
INSTANCES_A_REGION_MIN = 14
"""The first instances of each region are special ones, followed by plain ones."""
PROCESSES_MAX = 4
"""Maximum number of processes that the scenario stops."""
DRIFTS_MAX = 4
STORM = 24

_STOPPING_FAULTS = frozenset(
    {
        *("timestamp_expired", "nonce_used", "signature_mismatch", "token_expired"),
        *("forbidden", "key_pair_gone", "region_gone"),
        *("results_extra", "results_doubled"),
    }
)
"""Each stops the whole run at once: armed rarely, because nothing else would happen."""


_FACTS = tuple(
    name
    for name in faults.INSTANCE_FAULTS
    if name not in ("key_installed_late", "host_key_changed")
)
"""The other two show only in logins, and are drawn with them."""


class Stop(enum.StrEnum):
    """What ends a process before its run is finished."""

    CRASH = "crash"
    DRAIN = "drain"
    INTERRUPT = "interrupt"
    DISK_FULL = "disk_full"
    DISK_BROKEN = "disk_broken"
    DISK_LOW = "disk_low"


class Stopping(msgspec.Struct, frozen=True):
    """`after`: crash points passed before a crash, writes for a disk, milliseconds for signals.

    `pause_ms` is the time until the run is resumed.
    """

    stop: Stop
    after: int
    pause_ms: Duration

    @property
    def errno(self) -> int:
        """Return the error number of the disk."""
        return errno.ENOSPC if self.stop is Stop.DISK_FULL else errno.EIO


class ExternalChange(enum.StrEnum):
    """A change by another operator, or by the cloud, to one instance or key pair."""

    KEY = "key"
    ROTATED = "rotated"
    GONE = "gone"
    STOPPED = "stopped"
    RESTARTED = "restarted"
    LOCKED = "locked"
    WINDOWS = "windows"
    HANGS = "hangs"
    KEY_PAIR_REPLACED = "key_pair_replaced"
    FOREIGN_RUN = "foreign_run"
    UNLISTED = "unlisted"
    BUSY = "busy"


_OF_MANY = (ExternalChange.FOREIGN_RUN, ExternalChange.UNLISTED, ExternalChange.BUSY)
"""Drawn separately: each concerns a share of the targets for a while."""
_OF_ONE = tuple(change for change in ExternalChange if change not in _OF_MANY)


class Interference(msgspec.Struct, frozen=True):
    """One interference. `at_ms` counts from the run's begin; with `before_call` it happens right
    before that intent is sent, to one of its instances, too late to be observed. Changes that take
    time last `lasts_ms`.
    """

    change: ExternalChange
    target: int
    at_ms: Duration = 0
    before_call: int = 0
    lasts_ms: Duration = 0


class Suspension(msgspec.Struct, frozen=True):
    """The machine of the process is suspended for `lasts_ms`: when intent `before_call` is durable
    and not yet sent, or at a time after the start of the run.

    `paused`: a virtual machine whose steady clock stops too.
    """

    lasts_ms: Duration
    paused: bool
    at_ms: Duration = 0
    before_call: int = 0


class Rival(msgspec.Struct, frozen=True):
    """Another process that tries to resume the run, on another machine if `elsewhere`.

    While a process is alive, the rival must be refused: by the lock of all runs; after `removes`
    of that file by the lock of the run; if that is removed too, by the lock of the journal.
    Without a live process it is the next one.
    """

    at_ms: Duration
    elsewhere: bool = False
    removes: int = 0


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """All parameters of one simulated run."""

    seed: int
    size: int
    regions: tuple[str, ...]
    switches: Switches
    faults: tuple[Fault, ...]
    calls_per_minute: int | None
    key_present: bool
    already_percent: int
    stopped: Stopped
    calls: Calls
    on_unknown: OnUnknown
    settle_ms: Duration
    timeout_ms: Duration
    cap_percents: tuple[int, ...]
    exposed_max: int
    canary: bool
    cover: bool
    allow_password_loss: bool
    stops: tuple[Stopping, ...]
    drifts: tuple[Interference, ...]
    rivals: tuple[Rival, ...] = ()
    suspensions: tuple[Suspension, ...] = ()
    abort_ms: Duration | None = None
    """When an operator aborts the run; None = never."""
    resolves: bool = False
    """Whether an operator resolves instances in doubt at the end."""
    keys: int = 1
    """Wanted keys of the plan."""
    gating: Gating = Gating()
    logins: LoginProofs = LoginProofs()
    parts: tuple[tuple[str, str], ...] = ()
    """Further budgets, of parts of the fleet: `by` and `maxDown`."""
    rates: tuple[tuple[str, int], ...] = ()
    """Budgets that limit only restarts per ten minutes: `by` and `restartsPer10m`."""
    on_failure: OnFailure | None = None
    windows: tuple[Opening, ...] = ()
    ordering: Ordering = Ordering()
    approving: Approving = Approving()
    cohort: BadCohort = BadCohort()
    leasing: Leasing = Leasing()
    outages: tuple[Outage, ...] = ()


_PARTS: tuple[tuple[tuple[str, str], ...], ...] = (
    *[()] * 3,
    (("tag:quorum", "1"),),
    (("zone", "1"),),
    (("tag:app", "2"), ("tag:quorum", "1")),
    (("zone", "30%"), ("tag:app", "50%"), ("tag:tier", "3")),
    (("region", "5"), ("tag:app", "1")),
)
"""Budgets of parts of the fleet that a scenario may have; a share is at least 1."""

_RATES: tuple[tuple[tuple[str, int], ...], ...] = (
    *[()] * 5,
    (("fleet", 4),),
    (("fleet", 15), ("tag:app", 3)),
    (("zone", 2),),
)
"""Rates that a scenario may have."""


_ON_FAILURE: tuple[OnFailure | None, ...] = (
    *[None] * 4,
    *[OnFailure(failed=1)] * 2,
    OnFailure(failed=3),
    OnFailure(failed=1, strict=True),
    OnFailure(failed=2, strict=True),
    OnFailure(failed=5, strict=True),
    OnFailure(share_ppm=PPM // 10, min_sample=5),
    OnFailure(failed=4, share_ppm=PPM // 4, min_sample=3, strict=True),
)
"""Limits of failures that a scenario may have; None = the built-in ones."""


def draw(seed: int) -> Scenario:
    """Return the scenario of a seed."""
    dice, others = Dice(seed, "scenario"), Dice(seed, "others")
    operators = Dice(seed, "operators")
    proofs, guest_faults = logins.draw(seed)
    bad, leases = cohort.draw(seed), leasing.draw(seed)
    names = regions.DEFAULT[: dice.pick((1, 1, 1, 2, 2, 3))]
    least = max(SIZE[0], INSTANCES_A_REGION_MIN * len(names))
    most = dice.pick((SMALL_MAX, SMALL_MAX, SMALL_MAX, SIZE[1]))
    return Scenario(
        seed=seed,
        size=dice.between(least, max(least, most)),
        regions=tuple(names),
        switches=_switches(dice),
        faults=(*_faults(dice), *guest_faults),
        calls_per_minute=dice.between(5, 60) if dice.chance(20) else None,
        key_present=dice.chance(70),
        already_percent=dice.pick((0, 0, 20, 100)),
        stopped=dice.pick((Stopped.START, Stopped.START, Stopped.LEAVE)),
        calls=dice.pick((Calls.SINGLE, Calls.BATCH)),
        on_unknown=dice.pick(
            (OnUnknown.HOLD, OnUnknown.HOLD, OnUnknown.RETRY_ONCE, OnUnknown.ASSUME_DONE)
        ),
        settle_ms=dice.pick((60 * SECOND, 60 * SECOND, 120 * SECOND)),
        timeout_ms=dice.pick((2 * MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE)),
        cap_percents=dice.pick(((1,), (20,), (30,), (50, 20), (100,))),
        exposed_max=dice.pick((1, 3, 10, 1000)),
        canary=dice.chance(50),
        cover=dice.chance(25),
        allow_password_loss=dice.chance(30),
        stops=tuple(_stopping(dice) for _ in range(dice.pick((0, 0, 1, 1, 2, PROCESSES_MAX)))),
        drifts=(*_drifts(dice), *_of_many(others)),
        rivals=tuple(_rival(dice) for _ in range(dice.pick((0, 0, 1, 2)))),
        suspensions=_suspensions(others, leases),
        abort_ms=operators.between(0, 300) * SECOND if operators.chance(8) else None,
        resolves=operators.chance(50),
        keys=Dice(seed, "keys").pick((1, 1, 1, 2, 3)),
        gating=gating.draw(seed),
        logins=proofs,
        parts=Dice(seed, "budgets").pick(_PARTS),
        rates=Dice(seed, "rates").pick(_RATES),
        on_failure=bad.rule or Dice(seed, "failures").pick(_ON_FAILURE),
        cohort=bad,
        leasing=leases,
        windows=opening.draw(seed),
        ordering=ordering.draw(seed),
        approving=approving.draw(seed),
        outages=outages.draw(seed),
    )


def _switches(dice: Dice) -> Switches:
    return Switches(
        edition=Edition.SEED if dice.chance(15) else Edition.CURRENT,
        boot_time_ms=dice.pick((*[3 * SECOND, 15 * SECOND] * 2, 45 * SECOND, 90 * SECOND)),
        boot_spread_percent=dice.pick((0, 30)),
        stop_time_ms=dice.pick((500, 3 * SECOND)),
        stopping_hidden=dice.chance(25),
        stale_status_ms=dice.pick((0, 0, 2 * SECOND)),
        describe_lag_ms=dice.pick((0, 0, 0, 4 * SECOND)),
        start_time_moves_on_reboot=dice.chance(65),
        windows_refuses_batch=dice.chance(50),
        unknown_id_refuses_batch=dice.chance(30),
        attach_locked=dice.chance(50),
        attach_again_refused=dice.chance(15),
        loose_types=dice.chance(10),
    )


def _faults(dice: Dice) -> tuple[Fault, ...]:
    per_mille = dice.pick((0, 5, 10, 30, 60))
    armed = []
    for name in faults.INJECTIONS:
        drawn = dice.chance(6 if name in _STOPPING_FAULTS else 25)
        if drawn and per_mille:
            armed.append(Fault(name, per_mille / 1000))
    facts = [Fault(name, 0.08) for name in _FACTS if dice.chance(8)]
    return (*armed, *facts)


def _stopping(dice: Dice) -> Stopping:
    stop = dice.pick((*[Stop.CRASH] * 5, *Stop))
    pause_ms = dice.pick((200, 5 * SECOND, 50 * SECOND, 10 * MINUTE))
    match stop:
        case Stop.CRASH:  # the first sixteen points are before the run's first line
            return Stopping(stop, dice.between(1, dice.pick((16, 24, 80, 300, 1000))), pause_ms)
        case Stop.DRAIN | Stop.INTERRUPT:
            return Stopping(stop, dice.between(0, dice.pick((5, 60, 300)) * SECOND), pause_ms)
        case _:
            return Stopping(stop, dice.between(0, dice.pick((5, 30, 100))), pause_ms)


def _drifts(dice: Dice) -> tuple[Interference, ...]:
    """Return a few external changes; rarely so many at once that the plan is stale."""
    if dice.chance(3):
        change = dice.pick(
            (ExternalChange.GONE, ExternalChange.LOCKED, ExternalChange.STOPPED, ExternalChange.KEY)
        )
        return tuple(Interference(change, dice.number()) for _ in range(STORM))
    return tuple(_drift(dice) for _ in range(dice.pick((0, 0, 0, 1, 2, DRIFTS_MAX))))


def _drift(dice: Dice) -> Interference:
    often = [change for change in _OF_ONE if change is not ExternalChange.KEY_PAIR_REPLACED]
    change = dice.pick(
        (*often * 3, *_OF_ONE, *[ExternalChange.RESTARTED] * 8)
    )  # it rarely hits a waiting instance
    target = dice.number()
    if dice.chance(30) or (change is ExternalChange.WINDOWS and dice.chance(80)):
        return Interference(change, target, before_call=dice.between(1, 12))
    latest_s = dice.pick((60, 200, 600) if change is ExternalChange.RESTARTED else (0, 20, 200))
    return Interference(change, target, at_ms=dice.between(0, latest_s) * SECOND)


def _rival(dice: Dice) -> Rival:
    at_ms = dice.between(0, dice.pick((5, 60, 600))) * SECOND
    return Rival(at_ms, elsewhere=dice.chance(30), removes=dice.pick((0, 0, 1, 2)))


def _of_many(dice: Dice) -> tuple[Interference, ...]:
    """Return changes of many instances, or of the key pair of all of them."""
    drawn = (
        (ExternalChange.FOREIGN_RUN, 5, (0, 0)),
        (ExternalChange.UNLISTED, 15, (2, 30)),
        (ExternalChange.BUSY, 15, (15, 100)),
        (ExternalChange.KEY_PAIR_REPLACED, 4, (0, 0)),
    )
    return tuple(
        Interference(
            change,
            dice.number(),
            at_ms=dice.between(0, dice.pick((10, 60, 200))) * SECOND,
            lasts_ms=dice.between(*seconds) * SECOND,
        )
        for change, percent, seconds in drawn
        if dice.chance(percent)
    )


def _suspensions(dice: Dice, leases: Leasing) -> tuple[Suspension, ...]:
    drawn = tuple(_suspension(dice) for _ in range(dice.pick((0, 0, 0, 0, 0, 1, 2))))
    if not leases.stopped_before:
        return drawn
    before = leases.stopped_before
    return *drawn, Suspension(leasing.STOPPED_MS, paused=False, before_call=before)


def _suspension(dice: Dice) -> Suspension:
    lasts_ms, paused = dice.pick((20, 96, 600)) * SECOND, dice.chance(60)
    if dice.chance(60):
        return Suspension(lasts_ms, paused, before_call=dice.between(1, 20))
    return Suspension(lasts_ms, paused, at_ms=dice.between(0, 120) * SECOND)
