"""The windows of a run, checked from its plan and its journal alone.

Called by `rules`. Shares no code with the core.
"""

from __future__ import annotations

from rollout.journal.recheck.instances import Violations
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.plan import Plan


class WindowRules:
    """The windows of one run. Without windows in the plan, everything is open."""

    def __init__(self, plan: Plan, violations: Violations) -> None:
        self._intervals = plan.intervals
        self._longest_ms = plan.restart.timeout_ms + limits.CALL_TIMEOUT_MS
        self._closed: ev.WindowClosed | None = None
        self._demand = violations.demand

    def take(self, event: ev.WindowClosed | ev.WindowOpened) -> None:
        """Check that a window closes or opens as the plan says."""
        if isinstance(event, ev.WindowClosed):
            self._close(event)
        else:
            self._open(event)

    def _close(self, event: ev.WindowClosed) -> None:
        self._demand(self._closed is None, "a window closed that was not open")
        self._demand(self._intervals is not None, "a window closed, but the plan has none")
        planned = {one.opens for one in self._intervals or ()}
        known = not event.opens or event.opens in planned
        self._demand(known, "the plan has no window that opens when WindowClosed says")
        self._closed = event

    def _open(self, event: ev.WindowOpened) -> None:
        self._demand(self._closed is not None, "a window opened that was not closed")
        window = next((one for one in self._intervals or () if one.closes == event.closes), None)
        if window is None:
            self._demand(condition=False, text="a window opened that is not in the plan")
        else:
            inside = window.opens <= event.at < window.closes - self._longest_ms
            self._demand(inside, "a window opened before or after its time")
        self._closed = None

    def begun(self, what: str) -> None:
        """Check that a window is open where a wave, a cell or a call begins."""
        self._demand(self._closed is None, f"{what} outside the windows")

    def issued(self, event: ev.Issued) -> None:
        """Check I-77: a window is open where a call begins.

        `not_after` is by the clock of the machine, and the journal does not contain its difference
        from the service's, so I-78 cannot be checked here.
        """
        self.begun(f"call {event.n} was issued")
