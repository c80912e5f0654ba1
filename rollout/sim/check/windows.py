"""The checker of windows, by the times at which calls were sent and by the order of lines.

It compares them with the intervals of the plan and never uses the core's decisions. Listed and
called by `checkers`.
"""

from __future__ import annotations

from collections.abc import Iterator

from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import ImportKey
from rollout.model.time import Instant
from rollout.model.windows import Interval
from rollout.sim.check.history import History, Intent


class WindowsHeld:
    """An attach or a restart is sent only in a window in which a restart can end, and nothing
    begins between the close of a window and the next opening.
    """

    ids = ("I-39", "I-77", "I-78")

    def check(self, history: History) -> Iterator[str]:
        """Compare sends, in the world's time, and lines with the windows of the plan."""
        intervals = history.record.plan.intervals
        if intervals is None:
            return
        yield from _sends(history, intervals)
        yield from _lines(history, intervals)


def _sends(history: History, intervals: tuple[Interval, ...]) -> Iterator[str]:
    longest_ms = history.record.plan.restart.timeout_ms + limits.CALL_TIMEOUT_MS
    paused = any(one.paused for one in history.record.scenario.suspensions)
    for sent in history.sent:
        intent = history.intents.get(sent.n)
        if intent is None or isinstance(intent.issued.command, ImportKey):
            continue
        window = _open_at(intervals, sent.at)
        after_ms = sent.at - history.record.begun
        if window is None:
            yield f"I-39: call {sent.n} was sent at {after_ms} ms, outside the windows"
        elif sent.at + longest_ms > window.closes:
            yield f"I-39: call {sent.n} was sent at {after_ms} ms, too late for a restart to end"
        elif not paused and _not_after(intent) + longest_ms > window.closes:
            # A process learns from its next reply that its virtual machine was paused.
            yield f"I-78: call {sent.n} could be sent too late for a restart to end in its window"


def _not_after(intent: Intent) -> Instant:
    """Return `not_after` in the world's time."""
    begun = intent.journaled
    return intent.issued.not_after + begun.at - begun.line_at


def _lines(history: History, intervals: tuple[Interval, ...]) -> Iterator[str]:
    shut = False
    for journaled in history.journaled:
        match journaled.event:
            case ev.WindowClosed():
                shut = True
            case ev.WindowOpened(at=believed):
                # Before its first reply a process knows no other clock than its own. It sends no
                # attach and no restart then, which `_sends` checks in the world's time.
                shut = False
                if _open_at(intervals, believed) is None:
                    yield f"I-77: a window opened at line {journaled.seq}, outside the windows"
            case ev.Issued() | ev.WaveStarted() | ev.CellOpened() as begun:
                if shut:
                    yield f"I-77: {type(begun).__name__} at line {journaled.seq} in no window"
            case _:
                pass


def _open_at(intervals: tuple[Interval, ...], at: Instant) -> Interval | None:
    return next((one for one in intervals if one.opens <= at < one.closes), None)
