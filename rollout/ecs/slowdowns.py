"""Report throttled lanes to users when their state changes, not at each call.

Called by the engine's port about once a turn. Reads the governor's lanes and changes none.
"""

from __future__ import annotations

from typing import Final

from rollout.ecs.governor import Governor, Rate
from rollout.model.event import LaneRecovered, LaneSlowed
from rollout.model.site import Lane
from rollout.model.time import MINUTE, SECOND, Instant

CHECK_EVERY_MS: Final = SECOND
AGAIN_AFTER_MS: Final = MINUTE
"""Interval in which the figures of a slowed lane are reported again, if it was throttled since."""
CLOSED_MS: Final = 10 * SECOND
"""A longer pause is reported at once: the lane is closed."""


class Slowdowns:
    """The last report for each lane of one governor."""

    def __init__(self, governor: Governor) -> None:
        self._governor = governor
        self._reported: dict[Lane, tuple[Instant, LaneSlowed]] = {}
        self._next: Instant = 0

    def changes(self) -> list[LaneSlowed | LaneRecovered]:
        """Return the changes since the last call, in the order in which lanes were opened."""
        now = self._governor.now()
        if now < self._next:
            return []
        self._next = now + CHECK_EVERY_MS
        changed: list[LaneSlowed | LaneRecovered] = []
        for lane, rate in self._governor.throttled_lanes():
            if now < max(rate.throttled_at + MINUTE, rate.closed_until):
                slowed = self._slowed(lane, rate)
                if self._is_worth_reporting(lane, slowed, now):
                    self._reported[lane] = (now, slowed)
                    changed.append(slowed)
            elif self._reported.pop(lane, None) is not None:
                changed.append(LaneRecovered(*lane.site, lane.action))
        return changed

    def _slowed(self, lane: Lane, rate: Rate) -> LaneSlowed:
        """Return the figures of a throttled lane; times by our own clock."""
        until = rate.closed_until - self._governor.skew_ms
        pace = max(1, round(rate.per_minute))
        return LaneSlowed(*lane.site, lane.action, pace, rate.throttled, until, rate.quota or 0)

    def _is_worth_reporting(self, lane: Lane, slowed: LaneSlowed, now: Instant) -> bool:
        """Return whether this differs enough from the last report."""
        if lane not in self._reported:
            return True
        reported_at, last = self._reported[lane]
        if slowed.throttled == last.throttled:
            return False
        closed = slowed.until >= now - self._governor.skew_ms + CLOSED_MS
        return now >= reported_at + AGAIN_AFTER_MS or (closed and slowed.until != last.until)
