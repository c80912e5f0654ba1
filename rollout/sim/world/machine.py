"""The machine that the simulated processes of a run live on: it is suspended where a scenario says.

Used by the world. Only heap-driven processes live on one; the real shell shares its event loop with
the emulated cloud, which goes on.
"""

from __future__ import annotations

import functools

from rollout.journal.writer import RunJournal
from rollout.sim.time.heap import Time
from rollout.sim.world.process import Process
from rollout.sim.world.record import Pause, Story
from rollout.sim.world.scenario import Suspension


class Machine:
    """Suspends whatever process lives on it, one after the other."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._process: Process | None = None
        self._journal: RunJournal | None = None

    def start(self, process: Process, journal: RunJournal) -> None:
        """A process begins to live here."""
        self._process, self._journal = process, journal
        process.before_call = self._before_call

    def forget(self, epoch: int) -> None:
        """A process of this epoch begins: one before it never got that far on the disk."""
        pauses = self._story.pauses
        self._story.pauses = [pause for pause in pauses if pause.epoch < epoch]

    def plan_all(self, heap: Time) -> None:
        """Put the suspensions that have a time on the heap."""
        for one in self._story.scenario.suspensions:
            if not one.before_call:
                suspend = functools.partial(self._suspend, one)
                heap.at(self._story.begun + one.at_ms, suspend)

    def _before_call(self, n: int) -> None:
        """An intent is durable, and its call is about to be queued."""
        for one in self._story.scenario.suspensions:
            if one.before_call == n:
                self._suspend(one)

    def _suspend(self, suspension: Suspension) -> None:
        """Let the machine stand still, once at a time."""
        process, story = self._process, self._story
        if process is None or self._journal is None or not process.alive:
            return
        clock, now = process.clock, process.heap.now
        if clock.suspended:
            return
        if suspension.paused:
            lag = clock.lag + suspension.lasts_ms
            epoch = process.decider.run.epoch
            story.pauses.append(Pause(epoch, self._journal.seq, clock.now, lag))
        clock.suspend(suspension.lasts_ms, paused=suspension.paused)
        story.asleep.append((now, clock.wakes_at))
        story.count("paused" if suspension.paused else "suspended")
