"""The decider against other operators: second runs, restarts and stops that it did not call."""

from __future__ import annotations

import pytest

from rollout.core.running import thresholds
from rollout.core.running.evolve import evolve
from rollout.core.running.view import view
from rollout.model import event as ev
from rollout.model.command import Attach, RestartCall
from rollout.model.event import DriftKind, Trigger
from rollout.model.instance import Status
from rollout.model.plan import RestartKind
from rollout.model.spec import Stopped
from rollout.model.time import MINUTE, SECOND
from tests.core import samples
from tests.core.scenarios import commands, halt_of, world
from tests.core.world import Script, World


def _attach_elsewhere(story: World, count: int) -> None:
    for number in range(count):
        story.machines[f"i-{number:04d}"].change(story.now, key_pair=samples.NEW_KEY)


# a second run


def test_a_wave_that_somebody_else_attached_halts() -> None:
    """Six of twelve have the new key without an attach of this run: exit 6, nothing restarted."""
    story = world(12, 12)
    _attach_elsewhere(story, 6)
    story.go()

    assert halt_of(story) == ("elsewhere", "R0610", 6)
    assert not commands(story, RestartCall)


def test_a_few_that_somebody_else_attached_are_rotated() -> None:
    """Up to five of a wave are restarted like the others, and reported as drift."""
    story = world(12, 12)
    _attach_elsewhere(story, 5)
    story.go()

    assert story.classes["done"] == 12
    kinds = {event.kind for event in story.events(ev.Drifted)}
    assert kinds == {DriftKind.ELSEWHERE}


def test_a_crash_forgets_nothing_that_somebody_else_attached() -> None:
    """Three before a crash and three after it halt the run; only a resume after that halt, which
    an operator decided on, begins to count again.
    """
    story = world(12, 12)
    run = story.run
    evolve(run, ev.WaveStarted(0, "all"))
    for epoch, ordinals in ((2, (0, 1, 2)), (3, (3, 4, 5))):
        assert thresholds.halt(run) is None
        evolve(run, ev.Drifted(DriftKind.ELSEWHERE, ordinals, "has the new key"))
        halted = thresholds.halt(run)
        if halted is not None:
            evolve(run, halted)
        evolve(run, ev.Resumed(epoch, samples.ACTOR, story.now))

    assert halted is not None and halted.code == "R0610"
    assert thresholds.halt(run) is None


def test_instances_that_outlive_their_wave_count_as_well() -> None:
    """A wave may close over held instances. Where six of them have the new key afterwards, the run
    halts as it does in an open wave.
    """
    story = world(12, 12)
    evolve(story.run, ev.WaveStarted(0, "all"))
    story.run.wave_open, story.run.waves_closed = None, 1

    evolve(story.run, ev.Drifted(DriftKind.ELSEWHERE, (0, 1, 2, 3, 4, 5), "has the new key"))

    halted = thresholds.halt(story.run)
    assert halted is not None and halted.code == "R0610"


def test_an_attach_of_this_run_that_arrived_late_is_no_second_run() -> None:
    """What was attached by a lost call of this run after it was given up does not count."""
    script = Script(calls={1: "late"}, late_ms=150 * SECOND)
    story = world(12, 12, script)
    story.go()

    assert story.classes["done"] == 12


def test_two_runs_on_one_fleet_at_the_same_time() -> None:
    """Of two runs that begin together the one that comes later halts or reports the restarts."""
    first = world(30, 5)
    second = World(first.plan, samples.fleet(30))
    second.machines, second.now = first.machines, first.now
    first.meddled = second.meddled = True
    second.start()
    done = {id(one): False for one in (first, second)}
    while not all(done.values()):
        for one in (first, second):
            if not done[id(one)]:
                one.go(until=one.now + SECOND)
                done[id(one)] = bool(one.run.closed or one.run.halted)
        both = max(first.now, second.now)
        first.now = second.now = both

    halted = [one.run.halted.code for one in (first, second) if one.run.halted]
    told = first.events(ev.ForeignRestart) + second.events(ev.ForeignRestart)
    assert "R0610" in halted or told


# restarts that this run did not call


@pytest.mark.parametrize("phase", ["planned", "attached"])
def test_a_restart_by_somebody_else_is_journaled_and_reported(phase: str) -> None:
    """A StartTime that moved without an intent stands in the journal and in the view, once."""
    story = world(3, 1)
    machine = story.machines["i-0002"]
    while story.run.phase(2).label != phase:
        story.go(until=story.now + SECOND)
    machine.change(story.now, started_at=samples.NOW + MINUTE)
    story.go()

    told = story.events(ev.ForeignRestart)
    assert [event.ordinals for event in told] == [(2,)]
    assert view(story.run).restarted_elsewhere == ("i-0002",)
    assert story.run.closed is not None


def test_a_restart_between_plan_and_run_is_reported() -> None:
    """A StartTime after the time of planning is another operator's restart."""
    story = world(2, 2)
    story.machines["i-0001"].change(story.now, started_at=samples.NOW + MINUTE)
    story.go()

    assert [event.ordinals for event in story.events(ev.ForeignRestart)] == [(1,)]


def test_restarts_of_this_run_are_not_foreign() -> None:
    """Lost, late and repeated restarts of this run are never reported as external."""
    script = Script(odds={"lost_after": 0.3, "late": 0.2, "conflict": 0.1})
    story = World(samples.make_plan(samples.fleet(20)), samples.fleet(20), script, seed=3)
    story.start().go()

    assert not story.events(ev.ForeignRestart)


# instances that somebody stopped


@pytest.mark.parametrize("stopped", list(Stopped))
def test_what_was_stopped_after_planning_is_never_started(stopped: Stopped) -> None:
    """Running when planned and stopped by hand since: skipped before the attach, with its cause."""
    rows = samples.fleet(3)
    spec = samples.capped(3)
    restart = spec.restart.__class__(stopped=stopped)
    plan = samples.make_plan(rows, samples.capped(3, restart=restart))
    story = World(plan, rows).start()
    story.machines["i-0001"].change(story.now, status=Status.STOPPED)
    story.go()

    assert (story.classes["done"], story.classes["skipped"]) == (2, 1)
    assert story.run.causes[1] == "stopped_since_plan"
    assert not story.machines["i-0001"].attaches
    assert all(c.command.kind is RestartKind.REBOOT for c in commands(story, RestartCall))  # type: ignore[union-attr]


def test_what_was_stopped_after_the_attach_is_stranded() -> None:
    """Stopped by hand between attach and restart: not started, stranded, effective at its start."""
    story = world(3, 1)
    machine = story.machines["i-0002"]
    _when_attached(story, 2, lambda: machine.change(story.now, status=Status.STOPPED))
    story.go()

    assert (story.classes["done"], story.classes["stranded"]) == (2, 1)
    assert story.run.causes[2] == "stopped_after_attach"
    assert not machine.restarts
    assert story.run.ledger.used == [0]


def test_a_stop_that_is_part_of_a_restart_strands_nothing() -> None:
    """Somebody's reboot passes through Stopped for a while: the instance is rotated."""
    story = world(2, 1)
    machine = story.machines["i-0001"]

    def stop_and_start() -> None:
        machine.change(story.now, status=Status.STOPPED)
        story.at(story.now + 40 * SECOND, lambda: story.boot(machine))

    _when_attached(story, 1, stop_and_start)
    story.go()

    assert story.classes["done"] == 2


def test_a_stopped_target_that_somebody_started_is_rebooted_within_its_budget() -> None:
    """Stopped when planned and Running now: a reboot, which takes a permit like any other."""
    rows = [samples.instance(0), samples.instance(1, status=Status.STOPPED)]
    story = World(samples.make_plan(rows, samples.capped(1)), rows).start()
    machine = story.machines["i-0001"]
    machine.change(story.now, status=Status.RUNNING, started_at=samples.NOW - 5 * MINUTE)
    story.go()

    assert story.classes["done"] == 2
    kinds = {c.command.kind for c in commands(story, RestartCall)}  # type: ignore[union-attr]
    assert kinds == {RestartKind.REBOOT}


def _when_attached(story: World, ordinal: int, action: object) -> None:
    append = story._append

    def watch(event: ev.AnyEvent) -> None:
        append(event)
        moved = isinstance(event, ev.Moved) and event.trigger is Trigger.OBSERVED_ATTACHED
        if moved and ordinal in event.ordinals:  # type: ignore[union-attr]
            action()  # type: ignore[operator]

    story.decider.append = watch
    assert not commands(story, Attach)
