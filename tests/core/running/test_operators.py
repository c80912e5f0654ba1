"""What operators command a run: abort it, and state what became of one instance."""

from __future__ import annotations

import pytest

from rollout.core.invariant import Bug
from rollout.model import event as ev
from rollout.model.command import Attach, RestartCall
from rollout.model.event import OperatorVerb, Resolution
from rollout.model.instance import Status
from rollout.model.spec import OnUnknown
from rollout.model.time import MINUTE, SECOND
from tests.core import samples
from tests.core.running.test_thresholds import waves
from tests.core.scenarios import commands, halt_of, world
from tests.core.world import Script, World


def order(
    story: World, word: OperatorVerb, instance: str = "", resolution: Resolution | None = None
) -> ev.OperatorCommand:
    """A command of an operator, sent now."""
    return ev.OperatorCommand(
        "1", word, samples.ACTOR, story.now, "command line", "test", instance, resolution
    )


def abort(story: World) -> World:
    """Abort the run, whether it is driven or not, and drive it to its close."""
    assert story.decider.operate(order(story, OperatorVerb.ABORT), story.now) == ""
    before = len(story.events(ev.Issued))
    if story.run.stopping:
        story.resume()
    story.go()
    assert len(story.events(ev.Issued)) == before
    assert story.run.closed is not None
    assert sum(story.classes.values()) == story.plan.counts.found
    return story


def resolve(story: World, instance: str, resolution: Resolution) -> str:
    """Resolve one instance of a run that no process drives; return why it was refused."""
    return story.decider.operate(
        order(story, OperatorVerb.RESOLVE, instance, resolution), story.now
    )


def dead_end() -> World:
    """StartTime does not move, one may be down, and the canary's reply was lost."""
    rows = samples.fleet(4)
    wanted = samples.capped(1, waves=(samples.CANARY, *samples.REST))
    script = Script(calls={2: "lost_before"}, start_time_moves=False)
    story = World(samples.make_plan(rows, wanted), rows, script).start().go()
    assert halt_of(story) == ("failures", "R0504", 5)
    return story


# abort


def test_an_abort_starts_nothing_and_classes_every_instance() -> None:
    """Restarts are observed until they finish; attached instances are stranded, others skipped."""
    story = world(9, 2, Script(boot_ms=40 * SECOND))
    while len(commands(story, RestartCall)) < 2:
        story.go(until=story.now + 500)
    abort(story)
    story.check_end()

    assert story.classes["done"] == 2
    assert story.classes["stranded"] + story.classes["skipped"] == 7
    assert story.classes["in_doubt"] == 0
    assert story.run.closed is not None and story.run.closed.exit == 3
    left = [o for o in range(9) if story.run.phase(o).label in ("stranded", "skipped")]
    assert {story.run.causes[ordinal] for ordinal in left} == {"aborted"}


def test_an_abort_closes_a_run_that_halted() -> None:
    """A halted run with an instance in doubt closes with exit 5; a resume finds nothing to do."""
    story = abort(dead_end())

    assert (story.classes["in_doubt"], story.classes["skipped"]) == (1, 3)
    assert story.run.closed is not None and story.run.closed.exit == 5


def test_an_abort_waits_for_the_settle_window_of_a_lost_restart() -> None:
    """A late restart still takes effect before the run closes, so its class is the true one."""
    story = world(1, 1, Script(calls={2: "late"}, late_ms=60 * SECOND))
    while not commands(story, RestartCall):
        story.go(until=story.now + 500)
    abort(story)
    story.check_end()

    assert story.classes["done"] == 1


def test_an_abort_of_a_killed_run_observes_its_open_calls() -> None:
    """The process died with a restart on its way: it is found and settled, and nothing repeated."""
    story = world(6, 2, Script(boot_ms=20 * SECOND))
    while not commands(story, RestartCall):
        story.go(until=story.now + 500)
    story.resume()
    abort(story)
    story.check_end()

    assert story.classes["done"] >= 1


def test_an_abort_is_continued_by_a_resume() -> None:
    """A drain in the middle of an abort leaves the run open; a resume closes it."""
    story = world(6, 2, Script(boot_ms=60 * SECOND))
    while not commands(story, RestartCall):
        story.go(until=story.now + 500)
    story.decider.operate(order(story, OperatorVerb.ABORT), story.now)
    story.go(until=story.now + 5 * SECOND)
    story.decider.drain("SIGTERM", "signal", story.now)
    story.go()
    assert not story.events(ev.RunClosed)
    before = len(story.events(ev.Issued))
    story.resume().go()

    assert [type(event) for event in story.journal[-1:]] == [ev.RunClosed]
    assert len(story.events(ev.Issued)) == before


@pytest.mark.parametrize("material, outcome", [("", "done"), ("ssh-ed25519 OTHER", "unverified")])
def test_an_abort_compares_the_key_pair_again(material: str, outcome: str) -> None:
    """A running instance whose key pair was not compared since its attach gets its true class."""
    story = world(4, 1)
    while story.run.phase(0).label != "comparing":
        story.go(until=story.now + 200)
    if material:
        story.keys[samples.REGIONS[0]] = (material, "0000")
    abort(story)

    assert story.run.phase(0).label == outcome


def test_an_abort_repeats_no_restart_under_retry_once() -> None:
    """`retryOnce` would take a lost restart for one that did not happen: it stays in doubt."""
    script = Script(calls={2: "lost_before"}, start_time_moves=False)
    story = world(1, 1, script, on_unknown=OnUnknown.RETRY_ONCE)
    while not commands(story, RestartCall):
        story.go(until=story.now + 500)
    abort(story)

    assert story.classes["in_doubt"] == 1


def test_an_instance_held_for_a_third_key_keeps_its_reason_through_an_abort() -> None:
    """An abort says `foreign_key`, not `aborted`, where that is why nothing was done."""
    story = world(3, 3, Script(boot_ms=60 * SECOND))
    story.machines["i-0002"].change(story.now, key_pair="theirs")
    while not commands(story, RestartCall):
        story.go(until=story.now + 500)
    abort(story)

    assert story.run.causes[2] == "foreign_key"


def test_no_intent_is_folded_after_an_abort() -> None:
    """`evolve` refuses an intent after an abort."""
    story = world(2, 2).go()
    intent = commands(story, Attach)[0]
    fresh = world(2, 2)
    for event in story.journal[: story.journal.index(intent)]:
        if event not in fresh.journal:
            fresh.decider.put(event, fresh.now)
    fresh.decider.operate(order(fresh, OperatorVerb.ABORT), fresh.now)

    with pytest.raises(Bug, match="I-38"):
        fresh.decider.put(intent, fresh.now)


def test_a_second_abort_and_one_of_a_closed_run_are_refused() -> None:
    """Only the first abort of an open run counts."""
    story = world(2, 2)
    story.decider.operate(order(story, OperatorVerb.ABORT), story.now)

    assert story.decider.operate(order(story, OperatorVerb.ABORT), story.now)
    story.go()
    assert story.decider.operate(order(story, OperatorVerb.ABORT), story.now)


# resolve


def test_restarted_is_unverified_and_frees_the_permit() -> None:
    """The operator's statement is no evidence of ours: never done, but the others continue."""
    story = dead_end()
    assert resolve(story, "i-0000", Resolution.RESTARTED) == ""
    story.resume().go()
    story.check_end()

    assert (story.classes["unverified"], story.classes["done"]) == (1, 3)
    assert story.run.closed is not None and story.run.closed.exit == 3


def test_untouched_is_restarted_again() -> None:
    """An operator states that the restart did not happen: it is repeated with a new call."""
    story = dead_end()
    assert resolve(story, "i-0000", Resolution.UNTOUCHED) == ""
    story.resume().go()
    story.check_end()

    assert story.classes["done"] == 4
    assert len(story.machines["i-0000"].restarts) == 1


def test_untouched_respects_the_attempts() -> None:
    """Three attempts count as three even if an operator states that they did not happen."""
    story = dead_end()
    story.run.restart_tries[0] = 3

    assert "3 times" in resolve(story, "i-0000", Resolution.UNTOUCHED)


def test_untouched_is_refused_where_another_key_was_observed() -> None:
    """Its boot may have brought that key into force, so the run never restarts it: it would only be
    held again.
    """
    story = world(1, 1, Script(calls={2: "lost_before"}))
    machine = story.machines["i-0000"]
    while story.run.phase(0).label != "in_doubt":
        story.go(until=story.now + SECOND)
    machine.change(story.now, key_pair="theirs")
    story.go()
    assert story.run.causes[0] == "foreign_key" and story.run.phase(0).label == "in_doubt"
    story.now += 5 * MINUTE

    assert "another key pair" in resolve(story, "i-0000", Resolution.UNTOUCHED)
    assert resolve(story, "i-0000", Resolution.RESTARTED) == ""


def test_an_abandoned_instance_that_runs_gives_its_permit_back() -> None:
    """Observed Running after its settle window: the others continue."""
    story = dead_end()
    assert resolve(story, "i-0000", Resolution.ABANDON) == ""
    story.resume().go()
    story.check_end()

    assert (story.classes["in_doubt"], story.classes["done"]) == (1, 3)
    assert story.run.closed is not None and story.run.closed.exit == 5
    assert not story.machines["i-0000"].restarts


def test_an_abandoned_instance_that_does_not_run_stays_down() -> None:
    """An instance that was never observed Running counts as down and keeps its permit."""
    story = dead_end()
    story.machines["i-0000"].change(story.now, status=Status.UNKNOWN)
    assert resolve(story, "i-0000", Resolution.ABANDON) == ""
    story.resume().go()
    story.check_end()

    assert (story.classes["in_doubt"], story.classes["skipped"]) == (1, 3)
    assert story.run.ledger.kept == [1]
    assert story.run.closed is not None


def test_evidence_counts_more_than_an_abandonment() -> None:
    """A boot that is observed after all makes it done."""
    story = dead_end()
    assert resolve(story, "i-0000", Resolution.ABANDON) == ""
    story.boot(story.machines["i-0000"])
    story.resume().go()
    story.check_end()

    assert story.classes["done"] == 4
    assert story.run.closed is not None and story.run.closed.exit == 0


def test_a_failed_instance_that_an_operator_repaired_frees_its_permit() -> None:
    """It never came back and keeps the one permit; once repaired the others continue."""
    story = waves(4, Script(stuck=("i-0000",)), cap=1).go()
    machine = story.machines["i-0000"]
    machine.change(story.now, status=Status.RUNNING)
    machine.down_by_us = False
    assert resolve(story, "i-0000", Resolution.RESTARTED) == ""
    story.resume().go()

    assert (story.classes["unverified"], story.classes["done"]) == (1, 3)


def test_an_instance_of_a_run_that_is_driven_is_resolved_at_once() -> None:
    """The event takes effect in the turn after it."""
    story = world(3, 1, Script(calls={2: "lost_before"}, start_time_moves=False))
    while not story.run.held[0]:
        story.go(until=story.now + 10 * SECOND)
    assert resolve(story, "i-0000", Resolution.UNTOUCHED) == ""
    story.resume().go()
    story.check_end()

    assert story.classes["done"] == 3


@pytest.mark.parametrize("resolution", list(Resolution))
def test_a_restart_that_may_still_happen_cannot_be_resolved(resolution: Resolution) -> None:
    """Inside the settle window of a lost restart, and while its call is open, nothing is stated."""
    story = world(1, 1, Script(calls={2: "lost_before"}, start_time_moves=False))
    while not commands(story, RestartCall):
        story.go(until=story.now + 500)
    assert "open" in resolve(story, "i-0000", resolution)
    story.go(until=story.now + 10 * SECOND)

    assert "until" in resolve(story, "i-0000", resolution)
    story.now += 5 * MINUTE
    assert resolve(story, "i-0000", resolution) == ""


def test_statements_that_do_not_apply_are_refused() -> None:
    """A done instance, one of another run, and one that was never restarted cannot be resolved."""
    story = world(4, 1)
    while story.run.phase(0).label != "done":
        story.go(until=story.now + SECOND)

    assert "not a target" in resolve(story, "i-9999", Resolution.ABANDON)
    assert "is done" in resolve(story, "i-0000", Resolution.RESTARTED)
    assert "is planned" in resolve(story, "i-0003", Resolution.UNTOUCHED)
