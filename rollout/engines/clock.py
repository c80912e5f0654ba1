"""Real time: the wall clock once at the start, then the loop's monotonic clock.

A step of the wall clock during a run changes nothing (docs/safety.md, P22).
"""

from __future__ import annotations

import time

import anyio

from rollout.model.time import Instant


class LoopClock:
    """Milliseconds UTC that never run backwards. Converted to integers here and nowhere else."""

    def __init__(self) -> None:
        self._wall_ms = time.time_ns() // 1_000_000
        self._started = time.monotonic_ns()

    def now(self) -> Instant:
        """The present instant."""
        return self._wall_ms + (time.monotonic_ns() - self._started) // 1_000_000

    async def sleep_until(self, instant: Instant) -> None:
        """Return at the instant or a little later."""
        await anyio.sleep(max(0, instant - self.now()) / 1000)
