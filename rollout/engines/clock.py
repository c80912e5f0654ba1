"""Real time for engines: UTC milliseconds that count suspended time and never run backwards.

Created once for each connection. It decides nothing about a run; it returns the time and whether a
call may still be sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import anyio

from rollout.model import limits
from rollout.model.time import SECOND, Duration, Instant

JUMP_MS: Final = 1 * SECOND
"""The wall clock must gain more than this on the steady clock to count as a jump. NTP slews by at
most 500 ppm, 30 ms a minute."""
NAP_MS: Final = 5 * SECOND
"""The longest single sleep: timers of the event loop stand still while the machine is suspended."""

_STEADY: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Counts suspended time: on Linux only CLOCK_BOOTTIME does, on macOS CLOCK_MONOTONIC does."""
_NS_PER_MS: Final = 1_000_000


class WallJumps:
    """Time that the wall clock gained on the steady clock, as when a virtual machine was paused.

    The steady clock of a paused virtual machine stands still, and the wall clock is set afterwards.
    A wall clock that is set back proves nothing about lost time and is followed without a report.
    """

    def __init__(self, lead: Duration) -> None:
        self._lead = lead
        self._jumps: list[tuple[Instant, Duration]] = []

    def note(self, now: Instant, lead: Duration) -> None:
        """Compare the clocks: `lead` is wall clock minus steady clock, `now` the steady time."""
        gained = lead - self._lead
        if gained > JUMP_MS:
            oldest = now - limits.STATE_AGE_MAX_MS
            self._jumps = [jump for jump in self._jumps if jump[0] >= oldest]
            self._jumps.append((now, gained))
        if gained > JUMP_MS or gained < 0:
            self._lead = lead

    def gained_since(self, since: Instant) -> Duration:
        """Return the milliseconds gained by all jumps that were noticed at `since` or later."""
        return sum(gained for at, gained in self._jumps if at >= since)


class LoopClock:
    """The clock of one process. Waits go by `now` alone; the deadline of a call also by the wall
    clock, so that no difference of the two clocks shortens a wait or extends a deadline.
    """

    def __init__(
        self,
        steady_ns: Callable[[], int] = lambda: time.clock_gettime_ns(_STEADY),
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._steady_ns, self._wall_ns = steady_ns, wall_ns
        self._began_ns = steady_ns()
        self._began = wall_ns() // _NS_PER_MS
        self._jumps = WallJumps(0)

    def now(self) -> Instant:
        """Return the wall time of the start plus the steady time that has passed since."""
        now = self._began + (self._steady_ns() - self._began_ns) // _NS_PER_MS
        self._jumps.note(now, self._wall_ns() // _NS_PER_MS - now)
        return now

    def follow(self, ahead: Duration) -> None:
        """Advance this clock by `ahead`. Must be called before anything waits for this clock."""
        self._began += ahead
        now = self._began + (self._steady_ns() - self._began_ns) // _NS_PER_MS
        self._jumps = WallJumps(self._wall_ns() // _NS_PER_MS - now)

    def expired(self, not_after: Instant) -> bool:
        """Return whether a call must not be sent any more, by either clock.

        A call is judged on a state that was read at most `STATE_AGE_MAX_MS` before its `not_after`,
        so jumps of the wall clock since then make that state older than `now` shows.
        """
        now = self.now()
        return now + self._jumps.gained_since(not_after - limits.STATE_AGE_MAX_MS) > not_after

    async def sleep_until(self, instant: Instant) -> None:
        """Return at the instant or a little later."""
        while (left := instant - self.now()) > 0:  # noqa: ASYNC110 - waits for time itself
            await anyio.sleep(min(left, NAP_MS) / 1000)
