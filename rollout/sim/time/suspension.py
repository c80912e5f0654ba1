"""The clock of one simulated process, whose machine may be suspended.

Used by `process` and `network` for the time that the process itself reads. The world and the
emulated cloud use the time of the heap.
"""

from __future__ import annotations

from rollout.engines.clock import WallJumps
from rollout.model import limits
from rollout.model.time import Duration, Instant
from rollout.sim.time.heap import Heap


class ProcessClock:
    """Milliseconds UTC as a process on this machine reads them.

    While the machine is suspended the process does nothing. Afterwards it reads the true time, as
    by CLOCK_BOOTTIME, or, if its virtual machine was paused, a time that stays behind; only its
    wall clock is set.
    """

    def __init__(self, heap: Heap) -> None:
        self.lag: Duration = 0
        self.wakes_at: Instant = 0
        self._heap = heap
        self._jumps = WallJumps(0)

    @property
    def now(self) -> Instant:
        """Return the present instant, as the process reads it."""
        return self._heap.now - self.lag

    @property
    def suspended(self) -> bool:
        """Return whether the machine is suspended now."""
        return self._heap.now < self.wakes_at

    def world(self, instant: Instant) -> Instant:
        """Return when the process's clock shows this, in the world's time."""
        return instant + self.lag

    def expired(self, not_after: Instant) -> bool:
        """See Clock. The same arithmetic as in the real clock."""
        gained = self._jumps.gained_since(not_after - limits.STATE_AGE_MAX_MS) if self.lag else 0
        return self.now + gained > not_after

    def suspend(self, duration: Duration, *, paused: bool) -> None:
        """Suspend the machine for a duration; `paused` = its steady clock stops too."""
        now = self.now
        self.wakes_at = self._heap.now + duration
        if paused:
            self.lag += duration
            self._jumps.note(now, self.lag)
