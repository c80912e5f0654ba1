"""Decide what happens to the due ticks of a schedule, and how an open tick continues.

Called by `app` until it returns nothing more. Reads the state only: the events that it returns are
appended to the schedule's journal, one by one, before anything is done.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from itertools import groupby, islice, takewhile

from rollout.core.scheduling.cron import Ticks
from rollout.core.scheduling.schedule_state import OpenTick, ScheduleState
from rollout.model.schedule import OnDue, Overlap, Schedule
from rollout.model.schedule_event import (
    ClockMovedBack,
    ScheduleEvent,
    SkipReason,
    TickClaimed,
    TickQueued,
    TicksSkipped,
)
from rollout.model.time import MINUTE, Duration, Instant, format_instant

CLOCK_BACK_MIN_MS: Duration = 1 * MINUTE
"""A clock that is this much behind the last decided tick was set back. Smaller corrections change
nothing: the decided ticks stay decided."""
TICKS_AT_ONCE = 10_000
"""Ticks that one decision covers. More are covered by the next ones."""


def decide(
    state: ScheduleState, ticks: Ticks, now: Instant, busy: str = ""
) -> Sequence[ScheduleEvent]:
    """Return what to append next for the due ticks, in their order; empty if nothing is due.

    `busy` says why no tick can be claimed now, such as the open run. Of several due ticks that are
    not too late only the newest is claimed or queued, and at most one waits in the queue.
    """
    schedule = state.schedule
    if schedule is None:
        return ()
    if now < state.decided - CLOCK_BACK_MIN_MS:
        return (ClockMovedBack(state.decided, now),)
    due = _due(state, ticks, now)
    if due:
        return tuple(_judge(state, schedule, due, now, busy))
    claimable = next((one for one in state.queued if one.requested or not state.paused), None)
    if claimable is not None and not busy and state.open is None:
        return (TickClaimed(claimable.tick),)
    return ()


def settle(
    state: ScheduleState, ticks: Ticks, now: Instant, detail: str
) -> Sequence[ScheduleEvent]:
    """Return the record of all due ticks before an operator changes the schedule."""
    due = _due(state, ticks, now)
    reason = SkipReason.PAUSED if state.paused else SkipReason.CHANGED
    return (TicksSkipped(due[0], due[-1], len(due), reason, detail),) if due else ()


def skipped(state: ScheduleState, ticks: Ticks, first: Instant, last: Instant) -> Sequence[Instant]:
    """Return the ticks from `first` to `last` that neither fired nor wait."""
    found = takewhile(lambda tick: tick <= last, ticks(first - 1))
    return [tick for tick in islice(found, TICKS_AT_ONCE) if not state.knows(tick)]


def _due(state: ScheduleState, ticks: Ticks, now: Instant) -> Sequence[Instant]:
    return list(islice(takewhile(lambda tick: tick <= now, ticks(state.decided)), TICKS_AT_ONCE))


def _judge(
    state: ScheduleState, schedule: Schedule, due: Sequence[Instant], now: Instant, busy: str
) -> Iterator[ScheduleEvent]:
    """Yield events in the order of the ticks, so that a crash between two of them loses none."""
    oldest = now - schedule.catch_up_ms

    def reason(tick: Instant) -> SkipReason | None:
        if state.knows(tick):
            return SkipReason.REPEATED
        if state.paused:
            return SkipReason.PAUSED
        return SkipReason.MISSED if tick < oldest else None

    newest = max((tick for tick in due if reason(tick) is None), default=0)
    for why, group in groupby(due, reason):
        same = list(group)
        if why is not None:
            yield TicksSkipped(same[0], same[-1], len(same), why, _detail(why, schedule, state))
            continue
        older = [tick for tick in same if tick != newest]
        if older:
            detail = f"the tick {format_instant(newest)} is due too"
            skip = SkipReason.SUPERSEDED
            yield TicksSkipped(older[0], older[-1], len(older), skip, detail)
        if same[-1] == newest:
            yield _fire(state, schedule, newest, busy)


def _fire(state: ScheduleState, schedule: Schedule, tick: Instant, busy: str) -> ScheduleEvent:
    if not busy and state.open is not None:
        busy = f"the tick {format_instant(state.open.tick)} has not ended"
    if not busy and state.queued:
        busy = f"the tick {format_instant(state.queued[0].tick)} waits already"
    if not busy:
        return TickClaimed(tick)
    waits = any(not one.requested for one in state.queued)
    if schedule.overlap is Overlap.QUEUE and not waits:
        return TickQueued(tick, busy)
    return TicksSkipped(tick, tick, 1, SkipReason.OVERLAP, busy)


def _detail(why: SkipReason, schedule: Schedule, state: ScheduleState) -> str:
    match why:
        case SkipReason.MISSED:
            return f"no scheduler noticed it within {schedule.catch_up_ms // MINUTE} min"
        case SkipReason.PAUSED:
            return state.pause_reason
        case _:
            return "the clock was set back; the tick already fired or waits"


class RunOfTick(enum.Enum):
    """The run of an open tick's plan."""

    NONE = "none"
    OPEN = "open"
    CLOSED = "closed"


class TickStep(enum.Enum):
    """What an open tick needs next."""

    PLAN = "plan"
    BEGIN = "begin"
    RESUME = "resume"
    FINISH = "finish"
    """The plan is saved, or its run is closed: record the end."""
    GIVE_UP = "give up"
    """No run started, and it is too late now."""


def next_step(
    tick: OpenTick, run: RunOfTick, now: Instant, catch_up_ms: Duration, valid_until: Instant = 0
) -> TickStep:
    """Return what continues an open tick. A run that started is always continued, and only a tick
    without a run can be too late: more than `catchUp` after its claim. A plan that waits for
    approvals can be applied until `valid_until` instead.
    """
    if run is RunOfTick.CLOSED:
        return TickStep.FINISH
    if run is RunOfTick.OPEN:
        return TickStep.RESUME
    if tick.plan_digest and tick.on_due is OnDue.PLAN:
        return TickStep.FINISH
    until = max(tick.claimed_at + catch_up_ms, valid_until)
    if not tick.claimed_at - catch_up_ms <= now <= until:
        return TickStep.GIVE_UP
    return TickStep.BEGIN if tick.plan_digest else TickStep.PLAN
