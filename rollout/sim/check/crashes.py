"""Crashes at every point of small calm runs, alone and in pairs. The result must be the same.

Called by `--crash-pairs` of the command line and by the tests. Crash points are around
locks, writes, syncs and renames, before a call is sent and before a reply is received.
"""

from __future__ import annotations

import itertools

import msgspec

from rollout.core.running.layout import Layout
from rollout.emulator.cloud.switches import Switches
from rollout.model.event import OperatorVerb
from rollout.model.spec import Calls, OnUnknown, Stopped, WaveGate
from rollout.model.time import SECOND
from rollout.sim.check import checkers
from rollout.sim.world import scenario
from rollout.sim.world.approving import Approving
from rollout.sim.world.cohort import BadCohort
from rollout.sim.world.driver import End
from rollout.sim.world.gating import Gating, OperatorPause
from rollout.sim.world.leasing import Leasing
from rollout.sim.world.logins import LoginProofs
from rollout.sim.world.ordering import Ordering
from rollout.sim.world.record import RunRecord
from rollout.sim.world.scenario import Scenario, Stop, Stopping
from rollout.sim.world.world import World

PAUSE_MS = 5 * SECOND

Ends = dict[str, tuple[str, int, str | None]]
"""By instance: its phase, number of restarts, key in force."""


class Pairs(msgspec.Struct, frozen=True):
    """All second crashes after one first: their number, and those with another result."""

    count: int
    wrong: dict[tuple[int, int], list[str]]


def calm(**changes: object) -> Scenario:
    """Return a scenario of fourteen instances in one region without faults, with `changes`."""
    plain = msgspec.structs.replace(
        scenario.draw(1),
        size=14,
        regions=("cn-hangzhou",),
        switches=Switches(boot_time_ms=15 * SECOND),
        faults=(),
        calls_per_minute=None,
        key_present=True,
        already_percent=0,
        stopped=Stopped.START,
        calls=Calls.SINGLE,
        on_unknown=OnUnknown.HOLD,
        settle_ms=60 * SECOND,
        cap_percents=(30,),
        exposed_max=1000,
        canary=True,
        cover=False,
        stops=(),
        drifts=(),
        rivals=(),
        suspensions=(),
        gating=Gating(),
        logins=LoginProofs(),
        windows=(),
        ordering=Ordering(),
        approving=Approving(),
        cohort=BadCohort(),
        leasing=Leasing(),
        abort_ms=None,
        keys=1,
        resolves=False,
    )
    return msgspec.structs.replace(plain, **changes)


REFERENCES = {
    "one by one": calm(),
    "many a call": calm(calls=Calls.BATCH, canary=False),
    "key imported": calm(key_present=False, cap_percents=(100,)),
    "gated and paused": calm(
        cap_percents=(100,),
        gating=Gating(
            10 * SECOND,
            WaveGate.MANUAL,
            SECOND,
            pauses=(OperatorPause(15 * SECOND, 40 * SECOND, OperatorVerb.RESUME),),
        ),
    ),
}
FOURTEEN = calm(size=18)
"""Fourteen targets, of which one is a canary; the other four instances are excluded."""


def points(reference: Scenario) -> int:
    """Return the number of points of an undisturbed run at which its process may die."""
    world = World(reference)
    world.run()
    return world.crash_points.passed


def crashed(reference: Scenario, *passes: int) -> RunRecord:
    """Return the record of a run with a crash at each of these points, counted per process."""
    stops = tuple(Stopping(Stop.CRASH, after, PAUSE_MS) for after in passes)
    return World(msgspec.structs.replace(reference, stops=stops)).run()


def pairs_after(reference: Scenario, expected: Ends, first: int) -> Pairs:
    """Return a crash at `first`, then one at every point of the process that resumes the run."""
    found: dict[tuple[int, int], list[str]] = {}
    for second in itertools.count(1):
        record = crashed(reference, first, second)
        if [life.end for life in record.processes[:2]] != [End.CRASHED, End.CRASHED]:
            return Pairs(second - 1, found)
        if problems := wrong(record, expected):
            found[first, second] = problems
    raise AssertionError


def ends(record: RunRecord) -> Ends:
    """Return the result of each target."""
    assert record.run is not None  # noqa: S101 - every run that ended has one
    restarts: dict[str | None, int] = {}
    for entry in record.cloud.ledger:
        if entry.effect in ("reboot", "start"):
            restarts[entry.instance] = restarts.get(entry.instance, 0) + 1
    in_force = {one.instance: one.key_in_force for one in record.cloud.observe(record.ended)}
    return {
        target.instance: (
            record.run.phase(ordinal).label,
            restarts.get(target.instance, 0),
            in_force[target.instance],
        )
        for ordinal, target in enumerate(record.run.layout.targets)
    }


def wrong(record: RunRecord, expected: Ends) -> list[str]:
    """Return violations, and targets with another result.

    A restart without a reply may stay in doubt where StartTime is not trusted yet: then it happened
    once or never, and instances that wait only for its permits are held.
    """
    if record.stuck or record.bug:
        return checkers.violations(record)
    found = ends(record)
    kept = {
        target.instance
        for ordinal, target in enumerate(Layout(record.plan).targets)
        if record.run and record.run.causes.get(ordinal, "").startswith("budget_held")
    }
    others = [
        f"{instance}: {found[instance]}"
        for instance, end in expected.items()
        if found[instance] != end
        and instance not in kept
        and (found[instance][0] != "in_doubt" or found[instance][1] > 1)
    ]
    return checkers.violations(record) + others
