"""Both halves of the state as bytes: nothing is lost on the way, and they stay small."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.core.invariant import Bug
from rollout.core.running import carry
from rollout.core.running.findings import Findings
from rollout.core.running.follow import record
from rollout.core.running.state import Attaching, Restarting, Run
from rollout.core.running.waiting import Waiting
from rollout.core.running.watching import Sample
from rollout.model import limits
from rollout.model.instance import Status
from rollout.model.observation import Observed
from rollout.model.plan import RestartKind
from rollout.model.time import MINUTE, SECOND
from tests.core import samples
from tests.core.world import Probed, Script, World


class Carried(Probed):
    """A decider that is carried to another process before some of its turns and events."""

    points: Sequence[bool] = (False,)
    number = 0

    def put(self, *event: Any) -> None:
        self.carry_over()
        super().put(*event)

    def turn(self, *now: Any) -> Any:
        self.carry_over()
        return super().turn(*now)

    def carry_over(self) -> None:
        self.number += 1
        if self.points[self.number % len(self.points)]:
            self.load(self.carry())


class CarriedWorld(World):
    decider_type = Carried


def faulty(seed: int, points: Sequence[bool] = (False,)) -> World:
    """A run in which every kind of call and observation fails now and then."""
    rows = samples.fleet(8, regions=2)
    script = Script(
        odds={"throttled": 0.1, "lost_before": 0.1, "lost_after": 0.1, "late": 0.05},
        look_odds={"lost": 0.1, "stale": 0.2},
    )
    wanted = samples.capped(2, waves=(samples.CANARY, *samples.REST))
    story = CarriedWorld(samples.make_plan(rows, wanted), rows, script, seed=seed)
    assert isinstance(story.decider, Carried)
    story.decider.points = points
    return story.start().go()


@settings(max_examples=5)
@given(seed=st.integers(0, 1_000), points=st.lists(st.booleans(), min_size=1, max_size=40))
def test_a_carried_run_writes_the_same_journal(seed: int, points: list[bool]) -> None:
    """Wherever a run is carried to another process, also in the middle of a turn, its journal
    continues as without it.
    """
    assert faulty(seed, points).journal == faulty(seed).journal


def test_a_carried_state_is_complete() -> None:
    """A state that is carried twice has the same bytes as one that is carried once."""
    waiting = faulty(3).decider.waiting
    once = carry.carry(waiting)

    assert carry.carry(carry.load(waiting.run.plan, once)) == once


def test_the_state_of_another_plan_is_refused() -> None:
    """A state is loaded with the plan that it belongs to."""
    carried = carry.carry(Waiting.of(Run.of(samples.make_plan(samples.fleet(2)))))

    with pytest.raises(Bug, match="of another plan"):
        carry.load(samples.make_plan(samples.fleet(3)), carried)


def test_the_most_open_instances_fit_a_megabyte() -> None:
    """All open instances are being restarted, each with a StartTime, an attach and an observation
    of its own.
    """
    rng = random.Random(1)
    run = Run.of(samples.make_plan(samples.fleet(limits.OPEN_INSTANCES_MAX)))
    waiting = Waiting.of(run)
    site, at = run.layout.sites[0], samples.NOW
    for first in range(0, limits.OPEN_INSTANCES_MAX, limits.OBSERVE_IDS_MAX):
        at += rng.randrange(SECOND)
        findings = Findings(run, waiting.watching, site, at, at)
        for ordinal in range(first, first + limits.OBSERVE_IDS_MAX):
            starts = [at // MINUTE * MINUTE - rng.randrange(500_000) * MINUTE for _ in range(2)]
            before, after = (Observed(Status.RUNNING, samples.NEW_KEY, one, at) for one in starts)
            findings.samples[ordinal] = Sample(after, at)
            findings.since[ordinal] = at
            run.attaching[ordinal] = Attaching(at)
            run.attached_at[ordinal] = at
            run.restarting[ordinal] = Restarting(RestartKind.REBOOT, before, at, at)
            run.comparisons.observe(ordinal)
        record(waiting.watching, findings)
        for ordinal in findings.samples:
            waiting.watching.watch(ordinal, at)

    assert len(carry.carry(waiting)) < 1_000_000
