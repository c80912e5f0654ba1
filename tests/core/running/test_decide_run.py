"""The half of `decide` that is about the run as a whole."""

from __future__ import annotations

import pickle

import msgspec

from rollout.core.running import decide_instances, decide_run
from rollout.core.running.evolve import evolve
from rollout.core.running.state import Run
from rollout.core.running.waiting import Waiting
from rollout.core.running.watching import Watching
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.event import AnyEvent
from tests.core import samples
from tests.core.world import Script, World


def many() -> Run:
    """An open wave of 15,000 instances, the later ordinals first."""
    run = Run.of(samples.make_plan(samples.fleet(15_000)))
    evolve(
        run, ev.RunStarted(ev.FORMAT_VERSION, "run-1", "", "", "", 1, samples.ACTOR, samples.NOW)
    )
    evolve(run, ev.WaveStarted(0, "all"))
    return run


def due(run: Run, watching: Watching) -> list[AnyEvent]:
    """The events that `decide_run` finds due now."""
    events, _ = decide_run.decide(run, watching, samples.NOW)
    return events


def test_deciding_changes_neither_half_of_the_state() -> None:
    """The deciders only read: not even a lookup leaves an entry behind, at any point of a run."""
    rows = samples.fleet(6)
    script = Script(
        odds={"throttled": 0.1, "lost_before": 0.1, "lost_after": 0.1},
        look_odds={"lost": 0.2, "stale": 0.2},
    )
    story = World(samples.make_plan(rows, samples.capped(2)), rows, script).start()
    turns = 0
    while story.run.closed is None and not story.run.halted:
        story.go(until=story.now + 1)
        decider = story.decider
        before = pickle.dumps(decider.waiting)
        decide_run.decide(decider.run, decider.watching, story.now)
        decide_instances.decide(decider.waiting, story.now)
        assert pickle.dumps(decider.waiting) == before
        turns += 1

    assert turns > 20


def test_a_release_of_thousands_still_fits_a_line() -> None:
    """A release of 14,000 instances is split into events that fit a journal line."""
    run = many()
    watching = Waiting.of(run).watching
    run.trust[run.family(0)] = [3, 0]
    run.doubts_held = dict.fromkeys(range(1_000, 15_000))
    watching.calibrated.append(run.family(0))
    released = [event for event in due(run, watching) if isinstance(event, ev.Released)]

    assert sum(len(event.ordinals) for event in released) == 14_000
    assert all(len(msgspec.json.encode(event)) < limits.LINE_BYTES_MAX for event in released)


def test_trust_found_twice_releases_once() -> None:
    """Two observations of one turn may both bring trust: each instance is released once."""
    run = many()
    watching = Waiting.of(run).watching
    run.trust[run.family(0)] = [3, 0]
    run.doubts_held = {7: None}
    watching.calibrated += [run.family(0), run.family(0)]
    released = [event for event in due(run, watching) if isinstance(event, ev.Released)]

    assert released == [ev.Released((7,), "start_time_trusted")]


def test_holding_thousands_still_fits_a_line() -> None:
    """Instances that wait for a kept budget are held in events that fit a line, the rest later."""
    run = many()
    waiting = Waiting.of(run)
    waiting.permits.parked[0] = list(range(1_000, 15_000))
    run.ledger.kept[0] = run.ledger.caps[0]
    run.ledger.keeper[0] = 0
    run.ledger.full[0] = None
    held = [
        e for e in decide_instances.decide(waiting, samples.NOW).events if isinstance(e, ev.Held)
    ]

    assert len(held) == 1
    assert len(msgspec.json.encode(held[0])) < limits.LINE_BYTES_MAX


def test_cells_open_while_few_enough_are_unfinished() -> None:
    """Cells open one after the other, in order, as far as the bound on open instances allows."""
    run = many()
    watching = Waiting.of(run).watching
    opened = []
    while True:
        events = due(run, watching)
        if not events:
            break
        for event in events:
            evolve(run, event)
            opened.append(event)

    assert opened == [ev.CellOpened(cell) for cell in range(len(run.layout.cells))]
    run.left_in_open_cells = limits.OPEN_INSTANCES_MAX
    assert not due(run, watching)
