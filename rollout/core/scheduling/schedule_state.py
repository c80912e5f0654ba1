"""The state of a schedule: a fold of the events of its journal.

`evolve` is its only writer. Read by `due` and by the views of `rollout schedule`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from rollout.model.schedule import OnDue, Schedule
from rollout.model.schedule_event import (
    ClockMovedBack,
    ScheduleAdded,
    ScheduleEntry,
    SchedulePaused,
    ScheduleRemoved,
    ScheduleResumed,
    TickClaimed,
    TickEnded,
    TickPlanned,
    TickQueued,
    TicksRequested,
    TicksSkipped,
)
from rollout.model.time import Instant


class OpenTick(msgspec.Struct, frozen=True):
    """A claimed tick that has not ended. `plan_digest` is empty before it is planned."""

    tick: Instant
    claimed_at: Instant
    on_due: OnDue
    plan_digest: str = ""
    file: str = ""


class QueuedTick(msgspec.Struct, frozen=True):
    """A tick that waits to be claimed. Requested ones fire also while the schedule is paused."""

    tick: Instant
    requested: bool


class ScheduleState(msgspec.Struct):
    """The state of one schedule. `schedule` is None before it was added and after its removal.

    `added` is when it was added; a replacement keeps it. All ticks up to `decided` are decided.
    `fired` holds the claimed ticks. `planned` is the digest of the newest plan. `length` is the
    number of entries of the journal.
    """

    name: str
    schedule: Schedule | None = None
    spec: str = ""
    added: Instant = 0
    decided: Instant = 0
    paused: bool = False
    pause_reason: str = ""
    open: OpenTick | None = None
    queued: tuple[QueuedTick, ...] = ()
    fired: set[Instant] = msgspec.field(default_factory=set)
    last: TickEnded | None = None
    planned: str = ""
    length: int = 0

    def knows(self, tick: Instant) -> bool:
        """Return whether a tick fired or is queued, so that it must not fire again."""
        return tick in self.fired or any(one.tick == tick for one in self.queued)


def fold(name: str, entries: Iterable[ScheduleEntry]) -> ScheduleState:
    """Return the state of a schedule after these entries."""
    state = ScheduleState(name)
    for entry in entries:
        evolve(state, entry)
    return state


def evolve(state: ScheduleState, entry: ScheduleEntry) -> None:
    """Apply one entry. It accepts every order of entries: `due` decides which are written."""
    state.length += 1
    match entry.event:
        case ScheduleAdded(spec, schedule):
            state.added = state.added if state.schedule is not None else entry.at
            state.spec, state.schedule, state.decided = spec, schedule, entry.at
        case ScheduleRemoved():
            state.schedule, state.queued = None, ()
            state.paused, state.pause_reason = False, ""
        case SchedulePaused(reason):
            state.paused, state.pause_reason = True, reason
        case ScheduleResumed():
            state.paused, state.pause_reason = False, ""
        case TicksRequested(ticks):
            new = [QueuedTick(tick, requested=True) for tick in ticks if not state.knows(tick)]
            state.queued = (*state.queued, *new)
        case TickQueued(tick):
            state.queued = (*state.queued, QueuedTick(tick, requested=False))
            state.decided = max(state.decided, tick)
        case TicksSkipped(last=last):
            state.decided = max(state.decided, last)
        case TickClaimed(tick):
            _claim(state, tick, entry.at)
        case TickPlanned(tick, digest, file):
            state.planned = digest
            if state.open is not None and state.open.tick == tick:
                state.open = msgspec.structs.replace(state.open, plan_digest=digest, file=file)
        case TickEnded(tick):
            state.last = entry.event
            if state.open is not None and state.open.tick == tick:
                state.open = None
        case ClockMovedBack(now=now):
            state.decided = now


def _claim(state: ScheduleState, tick: Instant, at: Instant) -> None:
    """A requested tick is not the newest of the expression: it leaves `decided` unchanged."""
    requested = any(one.requested and one.tick == tick for one in state.queued)
    if not requested:
        state.decided = max(state.decided, tick)
    state.queued = tuple(one for one in state.queued if one.tick != tick)
    state.fired.add(tick)
    on_due = OnDue.PLAN if state.schedule is None else state.schedule.on_due
    state.open = OpenTick(tick, at, on_due)
