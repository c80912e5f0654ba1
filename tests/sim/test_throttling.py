"""Throttled runs: random throttling costs some time, and a bucket that is used up is left alone."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmarks import world
from rollout.ecs.governor import EMULATOR_RATE_START, RATE_START
from rollout.emulator.faults import Fault
from rollout.journal.reader import read
from rollout.model.event import LaneSlowed
from rollout.model.spec import Calls
from rollout.model.time import MINUTE
from rollout.sim.rehearse import rehearsal
from rollout.sim.rehearse.rehearsal import Assumed
from tests.sim import rotated
from tests.sim.rotated import Reference

FLEET = Reference(
    name="43 instances, one by one",
    fleet=lambda now: world.linux_fleet(43, now=now),
    spec=world.spec(Calls.SINGLE, "30%"),
    boot_ms=5_000,
)
CALM = Assumed(
    boot_ms=5_000,
    boot_spread_percent=0,
    quota=None,
    latency_ms=(2, 20),
    rate_start=EMULATOR_RATE_START,
)
SLOWER_AT_MOST = 4


def slowed(folder: Path) -> int:
    """Count the slowed lanes in the journal of the only run in a directory."""
    (run_dir,) = folder.glob("r-*")
    events = (event for line in read(run_dir) for event in line.body)
    return sum(isinstance(event, LaneSlowed) for event in events)


@pytest.mark.parametrize("fault", ["throttle_user", "throttle_no_header"])
def test_random_throttling_makes_a_run_slower_and_not_crawl(fault: str, tmp_path: Path) -> None:
    """The real engine and client finish 43 instances, with 30 % of all calls throttled, within a
    small multiple of the time without: a lane that closed at each throttle took an hour."""
    plan = rotated.plan_of(FLEET)
    throttled = msgspec.structs.replace(CALM, faults=(Fault(fault, 0.3),))

    calm = rotated.rotate_on_cables(plan, CALM, 1, tmp_path / "calm")
    slow = rotated.rotate_on_cables(plan, throttled, 1, tmp_path / "slow")

    assert calm.exit == slow.exit == 0
    assert slowed(tmp_path / "slow") > slowed(tmp_path / "calm") == 0
    assert calm.duration_ms < slow.duration_ms < SLOWER_AT_MOST * calm.duration_ms


@pytest.mark.parametrize("start", [RATE_START, EMULATOR_RATE_START])
def test_most_randomly_throttled_runs_are_quick(start: float) -> None:
    """Over sixteen seeds half take less than three times the calm duration, and none ten times."""
    plan = rotated.plan_of(FLEET)
    calm = msgspec.structs.replace(CALM, rate_start=start)
    throttled = msgspec.structs.replace(calm, faults=(Fault("throttle_user", 0.3),))

    longest = rehearsal.simulate(plan, calm, 1).duration_ms
    durations = sorted(rehearsal.simulate(plan, throttled, seed).duration_ms for seed in range(16))

    assert durations[8] < 3 * longest
    assert durations[-1] < 10 * longest


def test_a_bucket_that_is_used_up_is_not_hammered() -> None:
    """With six calls a minute of each action every lane is throttled a few times a minute only."""
    plan = rotated.plan_of(FLEET)
    rehearsed = rehearsal.simulate(plan, msgspec.structs.replace(CALM, quota=6), 1)

    assert rehearsed.exit == 0
    minutes = 1 + rehearsed.duration_ms // MINUTE
    assert all(lane.throttled <= 4 * minutes for lane in rehearsed.lanes)
