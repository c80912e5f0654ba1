"""Virtual time: what is to happen, in order; time jumps to whatever comes next.

Used by the simulated network and by the processes on it. What falls on the same millisecond
happens in the order in which it was planned.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Protocol

from rollout.model.time import Instant


class Time(Protocol):
    """Virtual time as a world uses it, whatever keeps it."""

    @property
    def now(self) -> Instant:
        """Return the present instant."""

    def at(self, instant: Instant, action: Callable[[], None]) -> None:
        """Plan something for an instant; what lies in the past happens next."""

    def advance(self, until: Instant) -> None:
        """Let time pass up to an instant, and happen what is due by then."""


class Heap:
    """The clock of a simulated world and everything that is still to come in it."""

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
        """When something happens again."""
        return self._planned[0][0] if self._planned else None

    def advance(self, until: Instant) -> None:
        """Let time pass up to an instant, and happen what is due by then."""
        while self._planned and self._planned[0][0] <= until:
            self.now, _, action = heapq.heappop(self._planned)
            action()
        self.now = max(self.now, until)
