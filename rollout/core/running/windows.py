"""Decide whether calls may begin now: the windows of the plan, in the service's time.

Called by `decide_run`, `decide_instances` and `gates`. Reads the state only.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rollout.core.running.state import Run
from rollout.model import event as ev
from rollout.model.halts import HaltReason, halted
from rollout.model.plan import Plan
from rollout.model.time import SECOND, Duration, Instant
from rollout.model.windows import Interval, both_texts, current_or_next


class Offset(msgspec.Struct, frozen=True):
    """The service's time minus ours: between `low` and `high`. The times of replies narrow it."""

    low: Duration = 0
    high: Duration = 0
    known: bool = False

    def narrowed(self, api_time: Instant, sent_at: Instant, now: Instant) -> Offset:
        """Return the offset after a reply, which has the service's time in whole seconds.

        A reply that contradicts the earlier ones replaces them: a clock was set or stood still.
        """
        low, high = api_time - now, api_time + SECOND - sent_at
        if self.known and max(low, self.low) <= min(high, self.high):
            low, high = max(low, self.low), min(high, self.high)
        return Offset(low, high, known=True)


def verdict(run: Run, offset: Offset, now: Instant) -> ev.WindowOpened | ev.WindowClosed | None:
    """Return the event for a window that opened, or in which no restart can end any more."""
    if run.plan.intervals is None or not run.left:
        return None
    window = _startable(run, offset, now)
    if window is None and run.shut is None:
        upcoming = _upcoming(run, offset, now)
        return ev.WindowClosed(now + offset.high, upcoming.opens if upcoming else 0)
    if window is not None and run.shut is not None:
        return ev.WindowOpened(now + offset.low, window.closes)
    return None


def wakes_at(run: Run, offset: Offset, now: Instant) -> Instant | None:
    """Return when `verdict` changes without new input; None where it does not."""
    if run.plan.intervals is None or not run.left:
        return None
    if run.shut is None:
        return latest_start(run, offset, now)
    upcoming = _upcoming(run, offset, now)
    return upcoming.opens - offset.low if upcoming else None


def latest_start(run: Run, offset: Offset, now: Instant) -> Instant | None:
    """Return our time after which no call of the open window may be sent; None without windows.

    A restart sent by then has succeeded or failed before the window closes.
    """
    window = _startable(run, offset, now)
    return _last_start(run, window) - offset.high if window else None


def halt(shut: ev.WindowClosed, plan: Plan) -> ev.Halted:
    """Return the halt of a process that may not wait for the next window, or has none."""
    reason = HaltReason.WINDOW if shut.opens else HaltReason.WINDOWS_OVER
    return halted(reason, closed_text(shut, plan))


def closed_text(shut: ev.WindowClosed, plan: Plan) -> str:
    """Return when the next window opens, as text."""
    return "" if isinstance(plan.windows, msgspec.UnsetType) else plan.windows.next_text(shut.opens)


def text(run: Run) -> str:
    """Return when the open window closes, or the next one opens; empty without windows."""
    if run.shut is not None:
        return closed_text(run.shut, run.plan)
    at = max(run.service_time, run.plan.made_at)
    window = current_or_next(run.plan.intervals or (), at)
    if window is None or at < window.opens:
        return ""
    return f"the window closes {both_texts(window.closes, window.closes_offset)}"


def _startable(run: Run, offset: Offset, now: Instant) -> Interval | None:
    """Return the window that is open and in which a restart that begins now can end."""
    earliest, latest = now + offset.low, now + offset.high
    for one in _left(run):
        if one.opens > earliest:
            return None
        if latest < _last_start(run, one):
            return one
    return None


def _upcoming(run: Run, offset: Offset, now: Instant) -> Interval | None:
    """Return the next window in which a restart can begin."""
    latest = now + offset.high
    return next((one for one in _left(run) if latest < _last_start(run, one)), None)


def _left(run: Run) -> Sequence[Interval]:
    """Return the windows that may be open now or later. A closed one does not open again, although
    it may have some time left by another clock, or by an offset that is known better.
    """
    intervals, shut = run.plan.intervals or (), run.shut
    if shut is None:
        return intervals
    return [one for one in intervals if 0 < shut.opens <= one.opens]


def _last_start(run: Run, window: Interval) -> Instant:
    return window.closes - run.plan.restart.longest_ms
