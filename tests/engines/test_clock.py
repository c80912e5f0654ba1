"""The engine's clock: suspended machines, paused virtual machines, and steps of the wall clock."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from rollout.engines.clock import JUMP_MS, LoopClock
from rollout.model import limits
from rollout.model.time import HOUR, MINUTE, SECOND, Duration, Instant
from tests.core.samples import NOW

NS_PER_MS = 1_000_000
AGE_MAX_MS = limits.STATE_AGE_MAX_MS

Step = tuple[Duration, Duration]
"""How far the steady clock goes, and how much more than that the wall clock."""
STEPS = st.lists(st.tuples(st.integers(0, 2 * MINUTE), st.integers(-HOUR, HOUR)), max_size=6)


class Machine:
    """A steady and a wall clock that tests move."""

    def __init__(self) -> None:
        self.steady_ms, self.wall_ms = 7 * HOUR, NOW
        self.clock = LoopClock(lambda: self.steady_ms * NS_PER_MS, lambda: self.wall_ms * NS_PER_MS)

    def go(self, steady_ms: Duration, ahead_ms: Duration = 0) -> None:
        """Let time pass: so much by the steady clock, and more than that by the wall clock."""
        self.steady_ms += steady_ms
        self.wall_ms += steady_ms + ahead_ms

    def observe(self) -> Instant:
        """Read the state of an instance now; return the `not_after` of a call judged on it."""
        return self.clock.now() + AGE_MAX_MS


def test_time_that_the_machine_was_suspended_counts() -> None:
    """The steady clock includes suspended time, so `now` and the deadline of a call do too."""
    machine = Machine()
    not_after = machine.observe()

    machine.go(96 * SECOND)

    assert machine.clock.now() == NOW + 96 * SECOND
    assert machine.clock.expired(not_after)


def test_a_call_expires_when_the_wall_clock_gained_its_age() -> None:
    """A paused virtual machine: its steady clock stood still, its wall clock was set afterwards."""
    machine = Machine()
    not_after = machine.observe()

    machine.go(0, ahead_ms=96 * SECOND)

    assert machine.clock.expired(not_after)
    assert machine.clock.now() == NOW, "a wait must not end early"


def test_a_pause_shorter_than_the_rest_of_the_deadline_keeps_the_call() -> None:
    """Lost time is added to the age of the observed state; it does not expire calls as such."""
    machine = Machine()
    not_after = machine.observe()
    machine.go(20 * SECOND, ahead_ms=30 * SECOND)
    assert not machine.clock.expired(not_after)

    machine.go(10 * SECOND + 1)

    assert machine.clock.expired(not_after)


def test_a_state_read_after_the_jump_is_as_good_as_any() -> None:
    """A jump concerns only calls that were judged on a state read before it."""
    machine = Machine()
    machine.clock.now()
    machine.go(0, ahead_ms=HOUR)
    machine.clock.now()
    machine.go(1)

    not_after = machine.observe()

    machine.go(AGE_MAX_MS)
    assert not machine.clock.expired(not_after)


def test_a_wall_clock_that_is_set_back_expires_nothing() -> None:
    """NTP may step the wall clock back: that is no lost time, whatever it was before."""
    machine = Machine()
    not_after = machine.observe()

    machine.go(SECOND, ahead_ms=-HOUR)

    assert not machine.clock.expired(not_after)


def test_a_wall_clock_that_is_set_back_and_gains_again_counts_from_its_lowest() -> None:
    """A step back must not hide a pause that follows it."""
    machine = Machine()
    not_after = machine.observe()
    machine.go(SECOND, ahead_ms=-HOUR)
    machine.clock.now()

    machine.go(0, ahead_ms=96 * SECOND)

    assert machine.clock.expired(not_after)


def test_many_small_gains_count_together() -> None:
    """A wall clock that gains a little at each reading is not ignored permanently."""
    machine = Machine()
    not_after = machine.observe()

    for _ in range(AGE_MAX_MS // (JUMP_MS // 2) + 4):
        machine.go(0, ahead_ms=JUMP_MS // 2)
        machine.clock.now()

    assert machine.clock.expired(not_after)


@given(before=STEPS, after=STEPS)
def test_no_call_outlives_its_state_by_either_clock(
    before: Iterable[Step], after: Iterable[Step]
) -> None:
    """A call may be sent only while its state is at most as old as allowed, by the steady clock and
    by all the time the wall clock gained since; where neither clock says more, it may be sent.
    """
    machine = Machine()
    for steady_ms, ahead_ms in before:
        machine.go(steady_ms, ahead_ms)
        machine.clock.now()
    machine.go(1)
    not_after = machine.observe()
    passed_ms = gained_ms = 0

    for steady_ms, ahead_ms in after:
        machine.go(steady_ms, ahead_ms)
        machine.clock.now()
        passed_ms += steady_ms
        gained_ms += max(0, ahead_ms)

        expired = machine.clock.expired(not_after)
        if passed_ms > AGE_MAX_MS:
            assert expired
        if passed_ms + gained_ms <= AGE_MAX_MS:
            assert not expired


@given(STEPS)
def test_now_follows_the_steady_clock_alone(steps: Iterable[Step]) -> None:
    """Waits (settle windows, timeouts) end neither early nor late by a step of the wall clock."""
    machine = Machine()
    passed_ms = 0
    for steady_ms, ahead_ms in steps:
        machine.go(steady_ms, ahead_ms)
        passed_ms += steady_ms

        assert machine.clock.now() == NOW + passed_ms


@given(st.integers(-500 * 24 * HOUR, 500 * 24 * HOUR), STEPS)
def test_a_clock_that_follows_the_service_expires_calls_as_before(
    ahead: Duration, steps: list[Step]
) -> None:
    """Following another clock moves `now` by the difference, and no call's deadline otherwise."""
    plain, following = Machine(), Machine()
    following.clock.follow(ahead)
    not_after = plain.observe()
    assert following.observe() == not_after + ahead

    for steady_ms, ahead_ms in steps:
        plain.go(steady_ms, ahead_ms)
        following.go(steady_ms, ahead_ms)
        assert following.clock.now() == plain.clock.now() + ahead
        assert following.clock.expired(not_after + ahead) == plain.clock.expired(not_after)
