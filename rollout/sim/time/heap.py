"""Virtual time: a heap of scheduled actions; time jumps to the next one.

Used by the simulated network and its processes. Actions of the same millisecond run in the order in
which they were scheduled.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Protocol

from rollout.model.time import Instant


class Time(Protocol):
    """The interface of virtual time."""

    @property
    def now(self) -> Instant:
        """Return the present instant."""

    def at(self, instant: Instant, action: Callable[[], None]) -> None:
        """Plan something for an instant; what lies in the past happens next."""

    def advance(self, until: Instant) -> None:
        """Let time pass up to an instant, and happen what is due by then."""


class Heap:
    """The clock of a simulated world and its scheduled actions."""

    def __init__(self, now: Instant) -> None:
        self.now = now
        self._planned: list[tuple[Instant, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, instant: Instant, action: Callable[[], None]) -> None:
        """Plan something for an instant; what lies in the past happens next."""
        self._count += 1
        heapq.heappush(self._planned, (max(instant, self.now), self._count, action))

    @property
    def next(self) -> Instant | None:
        """Return the time of the next action; None without one."""
        return self._planned[0][0] if self._planned else None

    def advance(self, until: Instant) -> None:
        """Let time pass up to an instant, and happen what is due by then."""
        while self._planned and self._planned[0][0] <= until:
            self.now, _, action = heapq.heappop(self._planned)
            action()
        self.now = max(self.now, until)
