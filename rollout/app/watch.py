"""Observe a run while another process drives it: its state after each new line of the journal.

Called by `rollout status --watch`. Reads each line once, so that a long run costs no more per
observation than a short one.
"""

from __future__ import annotations

from rollout.app import runs
from rollout.app.runs import RunFacts
from rollout.core.invariant import Bug
from rollout.core.running.evolve import evolve
from rollout.core.running.state import Run
from rollout.core.running.view import view
from rollout.engines.clock import LoopClock
from rollout.errors import Exit
from rollout.journal.store import StoredRun
from rollout.model.time import Instant
from rollout.model.view import RunView


class RunWatch:
    """The state of one run, updated by `poll`."""

    def __init__(self, stored: StoredRun) -> None:
        """Read no line yet. Errors: as `runs.fold`."""
        self._stored = stored
        self._run = Run.of(runs.plan_of(stored))
        self._follower = stored.follow()
        self._at = stored.at
        self._clock = LoopClock()

    def poll(self) -> tuple[RunView, RunFacts]:
        """Read the new lines; return the state and the process that drives the run.

        Errors: IntegrityError R09xx, StorageError.
        """
        driver = self._stored.driver()  # before the lines: its last ones are not missed
        for line in self._follower.poll():
            self._at = line.at
            try:
                for event in line.body:
                    evolve(self._run, event)
            except (Bug, LookupError) as error:
                raise runs.contradiction(self._stored.id, line, error) from error
        now = self._clock.now()
        return view(self._run, now), self._facts("" if self._run.closed else driver, now)

    def _facts(self, driver: str, now: Instant) -> RunFacts:
        started = self._stored.started
        return RunFacts(
            self._stored.location,
            started.plan_digest if started else "",
            self._run.plan.emulated,
            self._stored.at,
            self._at,
            driver,
            str(self._follower.cursor),
            now=now if driver else 0,
        )


def in_progress(view_: RunView, facts: RunFacts) -> bool:
    """Return whether a process drives the run, so that its state can still change by itself."""
    return view_.state != "closed" and bool(facts.holder)


def exit_of(view_: RunView, facts: RunFacts) -> Exit:
    """Return the exit code that describes the run: 8 while it is in progress, else how it ended;
    5 for a run that no process drives and that did not halt by itself.
    """
    if in_progress(view_, facts):
        return Exit.IN_PROGRESS
    stopped = view_.state in ("closed", "halted", "drained")
    return Exit(view_.exit) if stopped else Exit.HALTED
