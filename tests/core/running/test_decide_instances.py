"""What one step decides for the instances of open cells."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.core.running import decide_instances
from rollout.core.running.evolve import evolve
from rollout.core.running.journey import Phase
from rollout.core.running.state import LaneUse
from rollout.core.running.step import Step
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import Attach, ObserveInstances, ObserveKeyPair, RestartCall
from rollout.model.instance import Status
from rollout.model.observation import spread
from rollout.model.plan import RestartKind
from rollout.model.site import Lane
from rollout.model.spec import Calls, Restart
from rollout.model.time import SECOND
from tests.core import samples
from tests.core.world import World


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 2), st.sampled_from(Calls))
def test_all_commands_of_a_step_fit_together(
    size: int, cap: int, regions: int, calls: Calls
) -> None:
    """Applied one after the other, what one turn decided never trips an invariant of the fold."""
    rows = samples.fleet(size, regions=regions)
    wanted = samples.capped(min(cap, size), restart=Restart(calls=calls))
    story = World(samples.make_plan(rows, wanted), rows).start().go()
    story.check_end()

    assert story.classes["done"] == size
    for issued in story.events(ev.Issued):
        if isinstance(issued.command, Attach):
            assert len(issued.command.ordinals) <= min(limits.ATTACH_IDS_MAX, cap)
        if isinstance(issued.command, RestartCall):
            assert len(issued.command.ordinals) <= (min(cap, size) if calls is Calls.BATCH else 1)


def test_batch_calls_name_many_and_single_calls_name_one() -> None:
    """`restart.calls: batch` restarts a cell's ready instances in one call."""
    rows = samples.fleet(8)
    wanted = samples.capped(8, restart=Restart(calls=Calls.BATCH))
    story = World(samples.make_plan(rows, wanted), rows).start().go()
    restarts = [e for e in story.events(ev.Issued) if isinstance(e.command, RestartCall)]

    assert [len(list(spread(e.observed))) for e in restarts] == [8]


def test_an_intent_may_not_outlive_what_it_was_judged_on() -> None:
    """`not_after` counts from the observation, not from the decision."""
    rows = samples.fleet(2)
    story = World(samples.make_plan(rows), rows).start().go()

    for issued in story.events(ev.Issued):
        assert issued.observed
        oldest = min(sight.api_time for sight in issued.observed)
        assert issued.not_after == oldest + limits.STATE_AGE_MAX_MS


def test_an_observation_names_a_witness() -> None:
    """A known instance is observed too, so that an empty reply proves something."""
    rows = samples.fleet(4)
    story = World(samples.make_plan(rows, samples.capped(1)), rows).start()
    story.go(until=story.now + 5 * SECOND)
    watching, site = story.decider.watching, story.run.layout.sites[0]
    watching.witness[site] = 3
    watching.due[site][0] = None
    look = decide_instances.decide(story.decider.waiting, story.now).observations[0]

    assert isinstance(look, ObserveInstances)
    assert (look.ordinals[0], look.instances[-1]) == (0, "i-0003")


def test_a_full_observation_has_no_witness() -> None:
    """DescribeInstances takes 100 ids: a witness is named only where it is not one too many."""
    rows = samples.fleet(limits.OBSERVE_IDS_MAX + 1)
    story = World(samples.make_plan(rows), rows).start()
    story.turn()
    site = story.run.layout.sites[0]
    step = Step(story.decider.waiting, story.now)
    step.watching.witness[site] = limits.OBSERVE_IDS_MAX
    for count in (limits.OBSERVE_IDS_MAX - 1, limits.OBSERVE_IDS_MAX):
        look = decide_instances._observe(step, site, range(count))

        assert len(look.instances) == limits.OBSERVE_IDS_MAX
        assert look.instances[:count] == tuple(row.id for row in rows[:count])


def test_a_full_lane_gets_no_further_attach() -> None:
    """As many attaches are on their way as the site's window holds, and not one more."""
    rows = samples.fleet(4)
    story = World(samples.make_plan(rows, samples.capped(4)), rows).start()
    waiting, site = story.decider.waiting, story.run.layout.sites[0]
    use = story.run.lanes[Lane(site, "AttachKeyPair")] = LaneUse()
    looked = story.decider.instances_observed
    attaches: list[int] = []

    def observed_in_a_full_lane(*answer: Any) -> None:
        looked(*answer)
        if waiting.checked[site] and not attaches:
            for opened in (use.window, use.window - 1):
                use.open = opened
                step = decide_instances.decide(waiting, story.now)
                attaches.append(sum(isinstance(one, ev.Issued) for one in step.events))
            use.open = 0

    story.decider.instances_observed = observed_in_a_full_lane  # type: ignore[method-assign, assignment]
    story.go(until=story.now + 5 * SECOND)

    assert attaches == [0, 1]


def test_only_a_reboot_without_a_permit_claims_one() -> None:
    """In one step a start takes no permit, nor does an instance that reserved its own before its
    attach; each reboot without one takes one in every group, and the next is parked."""
    first, second = samples.REGIONS
    stopped = samples.instance(0, status=Status.STOPPED, region=first)
    rows = [stopped, *(samples.instance(number, region=second) for number in (1, 2, 3))]
    story = World(samples.make_plan(rows, samples.capped(2)), rows).start()
    story.turn()
    waiting, sites = story.decider.waiting, story.run.layout.sites
    numbers = {target.instance: n for n, target in enumerate(story.run.layout.targets)}
    start, reserved, claiming, last = (numbers[row.id] for row in rows)
    story.decider.put(
        ev.Moved(ev.Trigger.OBSERVED_ATTACHED, (0, 1, 2, 3), "key_pair", story.now), story.now
    )
    story.run.ledger.reserve(reserved, Phase.ATTACHED)
    ready = {RestartKind.START: [start], RestartKind.REBOOT: [reserved, claiming, last]}
    assert sites[0][1] == first, "the start is decided before the reboots"
    for site in sites:
        story.decider.key_pair_observed(
            ObserveKeyPair(site), samples.PUBLIC_KEY, samples.FINGERPRINT, story.now
        )
        waiting.ready[site] = {
            kind: [o for o in ordinals if story.run.layout.site_of(o) == site]
            for kind, ordinals in ready.items()
        }

    step = decide_instances.decide(waiting, story.now)

    looks = [look for look in step.observations if isinstance(look, ObserveInstances)]
    assert [set(look.ordinals) for look in looks] == [{start}, {reserved, claiming}]
    assert step.parks == [(last, 0)]


@pytest.mark.parametrize("cap, holder", [(1, "i-0002"), (0, "the cap 0 of fleet")])
def test_a_hold_for_the_budget_names_who_keeps_it(cap: int, holder: str) -> None:
    """The reason names the instance that keeps the permit; a group without a running member when
    planned has the cap 0, and no instance keeps a permit of it.
    """
    rows = samples.fleet(4)
    story = World(samples.make_plan(rows, samples.capped(1)), rows).start()
    ledger, permits = story.run.ledger, story.decider.waiting.permits
    ledger.caps[0], ledger.keeper[0], ledger.full[0] = cap, 2 if cap else -1, None
    ledger.kept[0] = cap
    permits.parked[0] = [1, 3]
    step = Step(story.decider.waiting, story.now)

    decide_instances._hold_parked(step)

    assert step.events == [ev.Held((1, 3), f"budget_held by {holder}")]


def test_restarts_end_before_the_next_wave() -> None:
    """Instances from the end of the front wave on are neither observed nor parked."""
    rows = samples.fleet(4)
    story = World(samples.make_plan(rows, samples.capped(4)), rows).start()
    story.turn()
    waiting, site = story.decider.waiting, story.run.layout.sites[0]
    story.decider.put(
        ev.Moved(ev.Trigger.OBSERVED_ATTACHED, (0, 1, 2, 3), "key_pair", story.now), story.now
    )
    waiting.ready[site] = {RestartKind.START: [], RestartKind.REBOOT: [0, 1, 2, 3]}
    step = Step(waiting, story.now)
    decide_instances._restart_site(step, site, 2)

    [look] = step.observations
    assert isinstance(look, ObserveInstances) and look.ordinals == (0, 1)
    assert not step.parks


def test_a_stopping_run_decides_nothing() -> None:
    """After a drain a step is empty whatever waits."""
    rows = samples.fleet(4)
    story = World(samples.make_plan(rows), rows).start()
    story.turn()
    story.decider.watching.due[story.run.layout.sites[0]][0] = None
    evolve(story.run, ev.Drained("SIGTERM", "signal"))

    assert not decide_instances.decide(story.decider.waiting, story.now)
