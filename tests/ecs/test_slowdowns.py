"""Reports of throttled lanes: slowed, closed, recovered, and no more often than needed."""

from __future__ import annotations

from rollout.ecs.governor import Governor
from rollout.ecs.slowdowns import Slowdowns
from rollout.model.event import LaneRecovered, LaneSlowed
from rollout.model.site import Lane, Site
from rollout.model.time import MINUTE, SECOND, Duration
from tests.ecs.scripted import JumpClock

NOW = 1_767_323_040_000
"""The start of a minute."""
LANE = Lane(Site("1234567890123456", "cn-beijing"), "RebootInstance")


def throttle(governor: Governor, retry_after_ms: Duration = 1_000) -> None:
    """One call of the lane is throttled now."""
    rate = governor.rate(LANE)
    rate.throttle(rate.leave(governor.now()), governor.now(), retry_after_ms)


def test_a_throttle_is_reported_once_and_recovery_after_a_minute() -> None:
    """Pace, number of throttled calls, and until when the lane pauses."""
    clock = JumpClock(NOW)
    governor = Governor(clock)
    slowdowns = Slowdowns(governor)
    assert slowdowns.changes() == []
    clock.at += SECOND
    throttle(governor)
    assert slowdowns.changes() == [LaneSlowed(*LANE.site, LANE.action, 60, 1, clock.now() + SECOND)]
    told = []
    for _ in range(90):
        clock.at += SECOND
        told += [(clock.at - NOW, one) for one in slowdowns.changes()]
    assert told == [(61 * SECOND, LaneRecovered(*LANE.site, LANE.action))]


def test_a_closed_lane_is_reported_immediately_and_once() -> None:
    """Four throttles in a row: the first, and the closing with the end of the minute."""
    clock = JumpClock(NOW)
    governor = Governor(clock)
    slowdowns = Slowdowns(governor)
    told = []
    for _ in range(4):
        throttle(governor)
        clock.at += SECOND
        told += slowdowns.changes()
    for _ in range(20):
        clock.at += SECOND
        told += slowdowns.changes()
    assert told == [
        LaneSlowed(*LANE.site, LANE.action, 60, 1, NOW + SECOND),
        LaneSlowed(*LANE.site, LANE.action, 30, 4, NOW + MINUTE),
    ]


def test_a_lane_that_stays_throttled_is_reported_once_a_minute() -> None:
    """Ten minutes of random throttling are a handful of lines, not thousands."""
    clock = JumpClock(NOW)
    governor = Governor(clock)
    slowdowns = Slowdowns(governor)
    told = []
    for second in range(600):
        rate = governor.rate(LANE)
        if second % 3:
            rate.accept(rate.leave(clock.at))
        else:
            throttle(governor, 500)
        told += slowdowns.changes()
        clock.at += SECOND
    assert 10 <= len(told) <= 12
    assert all(isinstance(one, LaneSlowed) for one in told)


def test_times_are_those_of_this_machine() -> None:
    """With a service ten seconds ahead the pause still ends a second from now."""
    clock = JumpClock(NOW)
    governor = Governor(clock)
    governor.skew_ms = 10 * SECOND
    throttle(governor)
    (slowed,) = Slowdowns(governor).changes()
    assert isinstance(slowed, LaneSlowed)
    assert slowed.until == NOW + SECOND
