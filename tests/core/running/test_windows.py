"""Windows: calls begin only in them, and only if a restart can end in them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.core.invariant import Bug
from rollout.core.running import windows
from rollout.core.running.journey import Phase
from rollout.core.running.windows import Offset
from rollout.model import event as ev
from rollout.model.command import Attach, RestartCall
from rollout.model.plan import Plan
from rollout.model.time import HOUR, MINUTE, SECOND, Duration
from rollout.model.windows import Interval, PlanWindows
from tests.core import samples
from tests.core.world import Script, World
from tests.fuzz import cases

NOW = samples.NOW
LONGEST = samples.spec().restart.longest_ms


def planned(*opened: tuple[Duration, Duration], size: int = 6, cap: int = 2) -> Plan:
    """A plan whose windows open and close so long after now."""
    intervals = tuple(Interval(NOW + opens, NOW + closes) for opens, closes in opened)
    plan = samples.make_plan(samples.fleet(size), samples.capped(cap))
    return msgspec.structs.replace(
        plan, windows=PlanWindows("UTC", "2026a", NOW + 60 * 24 * HOUR, intervals)
    )


def world(plan: Plan, script: Script | None = None) -> World:
    """A started run of this plan."""
    return World(plan, samples.fleet(plan.counts.targets), script).start()


def issued(made: World) -> list[ev.Issued]:
    """The attaches and restarts of a run."""
    return [one for one in made.events(ev.Issued) if isinstance(one.command, Attach | RestartCall)]


def test_a_run_waits_for_its_window() -> None:
    """The close is in the journal with the next opening, and nothing begins before."""
    made = world(planned((HOUR, 3 * HOUR))).go()
    made.check_end()

    (closed,), (opened,) = made.events(ev.WindowClosed), made.events(ev.WindowOpened)
    assert closed.opens == opened.at == NOW + HOUR
    assert made.journal.index(opened) < made.journal.index(made.events(ev.WaveStarted)[0])
    assert made.classes["done"] == 6


def test_a_window_that_closes_drains_the_run_and_the_next_one_continues_it() -> None:
    """Restarts begin until the last one can end in the window; the others wait for the next."""
    close = LONGEST + 40 * SECOND
    made = world(planned((-HOUR, close), (5 * HOUR, 8 * HOUR)), Script(boot_ms=30 * SECOND)).go()
    made.check_end()

    first = [one for one in issued(made) if one.not_after < NOW + 5 * HOUR]
    assert 0 < len(first) < len(issued(made))
    assert all(one.not_after + LONGEST <= NOW + close for one in first)
    assert [one.opens for one in made.events(ev.WindowClosed)] == [NOW + 5 * HOUR]
    assert made.classes["done"] == 6


def test_without_windows_nothing_is_journaled() -> None:
    """Journals of plans without windows keep their bytes."""
    made = world(samples.make_plan(samples.fleet(3))).go()

    assert not made.events(ev.WindowClosed) + made.events(ev.WindowOpened)


def test_a_process_that_does_not_wait_halts() -> None:
    """It settles what began, halts, and a resume in the window continues."""
    made = world(planned((HOUR, 3 * HOUR)))
    made.decider.waits = False
    made.go()

    assert made.run.halted is not None
    assert (made.run.halted.code, made.run.halted.exit) == ("R0526", 5)
    assert "opens 2026-" in made.run.halted.detail
    made.resume(pause_ms=HOUR).go().check_end()
    assert made.classes["done"] == 6


def test_what_ends_after_the_close_of_a_window_is_compared_at_once() -> None:
    """A process that does not wait halts within seconds of the last restart, with all of them
    done: no instance waits until its last comparison is old.
    """
    close = LONGEST + 40 * SECOND
    made = world(planned((-HOUR, close), (5 * HOUR, 8 * HOUR)), Script(boot_ms=30 * SECOND))
    made.decider.waits = False
    made.go()

    restarted = [one for one in issued(made) if isinstance(one.command, RestartCall)]
    assert 0 < len(restarted) == made.run.phase_counts[Phase.DONE]
    ended = [one for one in made.journal if isinstance(one, ev.Moved)][-1]
    assert made.now <= ended.api_time + 5 * SECOND


def test_the_end_of_the_last_window_halts_the_run() -> None:
    """Also a process that may wait: no later window would end its wait."""
    made = world(planned((-HOUR, LONGEST + 40 * SECOND)), Script(boot_ms=30 * SECOND)).go()

    assert made.run.halted is not None and made.run.halted.code == "R0527"
    assert not made.run.open_calls


def test_an_abort_needs_no_window() -> None:
    """It starts nothing, so it closes the run at any time."""
    made = world(planned((HOUR, 3 * HOUR)))
    made.turn()
    order = ev.OperatorCommand("1", ev.OperatorVerb.ABORT, samples.ACTOR, made.now, "inbox", "")
    made.decider.operate(order, made.now)
    made.go()

    assert made.run.closed is not None


def test_no_intent_outside_a_window() -> None:
    """`evolve` checks what `decide` respected."""
    made = world(planned((HOUR, 3 * HOUR)))
    made.turn()

    with pytest.raises(Bug, match="I-77"):
        made.decider.put(ev.WaveStarted(0, "all"), made.now)
    with pytest.raises(Bug, match="I-77"):
        made.decider.put(ev.WindowOpened(NOW + HOUR - 1, NOW + 3 * HOUR), made.now)


def test_a_closed_window_is_not_opened_again() -> None:
    """The next process, which does not know the service's time exactly, waits for the next window,
    although the closed one has some milliseconds left by its clock.
    """
    close = LONGEST + 40 * SECOND
    made = world(planned((-HOUR, close), (5 * HOUR, 8 * HOUR)), Script(boot_ms=30 * SECOND))
    made.turn()
    made.decider.put(ev.WindowClosed(NOW + 40 * SECOND, NOW + 5 * HOUR), made.now)
    made.now = NOW + 40 * SECOND - 100
    made.resume(pause_ms=0).go().check_end()

    assert [one.at for one in made.events(ev.WindowOpened)] == [NOW + 5 * HOUR]
    assert made.classes["done"] == 6


@cases(200)
@given(
    st.integers(0, 3),
    st.integers(-HOUR, 20 * HOUR),
    st.tuples(st.integers(-HOUR, HOUR), st.integers(0, 2 * SECOND)),
)
def test_a_run_outside_a_window_waits_for_the_next_one(
    opens: int, passed: Duration, bounds: tuple[Duration, Duration]
) -> None:
    """Whatever the clock, no window opens before the one that the close named, and a run that waits
    wakes later than now. After the last window nothing opens.
    """
    spans = [(hour * HOUR, (hour + 2) * HOUR) for hour in (1, 5, 9)]
    run = world(planned(*spans)).run
    run.shut = ev.WindowClosed(NOW, NOW + spans[opens][0] if opens < 3 else 0)
    offset, now = Offset(bounds[0], sum(bounds), known=True), NOW + passed

    found, wake = windows.verdict(run, offset, now), windows.wakes_at(run, offset, now)

    if isinstance(found, ev.WindowOpened):
        assert 0 < run.shut.opens <= found.at
    else:
        assert found is None and (wake is None or wake > now)
    assert run.shut.opens or (found is None and wake is None)


@pytest.mark.parametrize("ahead", [-45 * SECOND, 45 * SECOND])
def test_windows_are_in_the_time_of_the_service(ahead: Duration) -> None:
    """A clock that is ahead opens no window early, one that is behind closes none late."""
    run = world(planned((HOUR, 3 * HOUR))).run
    offset = Offset(-ahead, -ahead, known=True)
    opens, last = NOW + HOUR + ahead, NOW + 3 * HOUR + ahead - LONGEST

    assert windows.latest_start(run, offset, opens - 1) is None
    assert windows.latest_start(run, offset, opens) == last
    assert windows.latest_start(run, offset, last - 1) == last
    assert windows.latest_start(run, offset, last) is None


@given(st.lists(st.tuples(*[st.integers(0, 5 * SECOND)] * 2, st.integers(-HOUR, HOUR)), min_size=1))
@cases(200)
def test_replies_narrow_the_offset(delays: list[tuple[Duration, Duration, Duration]]) -> None:
    """Whatever the delays, the true offset is within the bounds; a change of it is followed."""
    offset, now = Offset(), NOW
    for there, back, true in delays:
        for _ in range(2):
            sent, read, now = now, now + there, now + there + back
            offset = offset.narrowed((read + true) // SECOND * SECOND, sent, now)
            now += MINUTE
    there, back, true = delays[-1]
    apart = len({one[2] for one in delays}) > 1
    assert apart or offset.low <= true <= offset.high
    assert offset.high - offset.low <= there + back + SECOND
