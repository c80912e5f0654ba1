"""The machine of the simulated processes of a run, which a scenario may suspend.

Used by the world for heap-driven processes only: the real shell shares its event loop with the
emulated cloud, which is never suspended.
"""

from __future__ import annotations

import functools

from rollout.journal.writer import RunJournal
from rollout.sim.time.heap import Time
from rollout.sim.world.process import Process
from rollout.sim.world.record import Pause, RunRecord
from rollout.sim.world.scenario import Suspension


class Machine:
    """Suspends the current process."""

    def __init__(self, record: RunRecord) -> None:
        self._record = record
        self._process: Process | None = None
        self._journal: RunJournal | None = None

    def start(self, process: Process, journal: RunJournal) -> None:
        """Start a process on this machine."""
        self._process, self._journal = process, journal
        process.before_call = self._before_call

    def forget(self, epoch: int) -> None:
        """Start an epoch: drop the pauses of an earlier process that left no line of it."""
        pauses = self._record.pauses
        self._record.pauses = [pause for pause in pauses if pause.epoch < epoch]

    def plan_all(self, heap: Time) -> None:
        """Put the suspensions that have a time on the heap."""
        for one in self._record.scenario.suspensions:
            if not one.before_call:
                suspend = functools.partial(self._suspend, one)
                heap.at(self._record.begun + one.at_ms, suspend)

    def _before_call(self, n: int) -> None:
        """Suspend before the call of a durable intent is queued, if the scenario says so."""
        for one in self._record.scenario.suspensions:
            if one.before_call == n:
                self._suspend(one)

    def _suspend(self, suspension: Suspension) -> None:
        """Suspend the machine, unless it is suspended."""
        process, record = self._process, self._record
        if process is None or self._journal is None or not process.alive:
            return
        clock, now = process.clock, process.heap.now
        if clock.suspended:
            return
        if process.leases is not None:
            process.leases.sleep()
        if suspension.paused:
            lag = clock.lag + suspension.lasts_ms
            epoch = process.decider.run.epoch
            record.pauses.append(Pause(epoch, self._journal.seq, clock.now, lag))
        clock.suspend(suspension.lasts_ms, paused=suspension.paused)
        record.asleep.append((now, clock.wakes_at))
        record.count("paused" if suspension.paused else "suspended")
