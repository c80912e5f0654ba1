"""Events of a schedule's journal; the state of a schedule is a fold of them.

A tick is an instant at which the cron expression is due. Read by `core.scheduling`, stored by
`journal.schedules`.
"""

from __future__ import annotations

import enum

import msgspec

from rollout.model.event import Actor
from rollout.model.schedule import Schedule
from rollout.model.time import Instant

TIMES = frozenset({"tick", "first", "last", "decided", "now"})
"""The fields of the events below that are instants."""


class SkipReason(enum.StrEnum):
    """Why a tick does not fire."""

    OVERLAP = "overlap"
    """A run is open or driven, or an earlier tick of the schedule is not finished."""
    SUPERSEDED = "superseded"
    """A later tick of the schedule is due at the same time, and only that one fires."""
    MISSED = "missed"
    """No scheduler noticed it within `catchUp`."""
    PAUSED = "paused"
    REPEATED = "repeated"
    """The clock was set back, and the tick already fired or is queued."""
    CHANGED = "changed"
    """The schedule was replaced or removed before a scheduler noticed the tick."""


class TickOutcome(enum.StrEnum):
    """How a tick that fired ended."""

    PLANNED = "planned"
    NOTHING = "nothing_to_do"
    CLOSED = "closed"
    FAILED = "failed"
    LATE = "late"
    """The process stopped before the run started, and continued after `catchUp`."""


class ScheduleAdded(msgspec.Struct, frozen=True, tag="added"):
    """An operator added the schedule of a spec, or replaced it. Only later ticks count."""

    spec: str
    schedule: Schedule


class ScheduleRemoved(msgspec.Struct, frozen=True, tag="removed"):
    """An operator removed the schedule."""


class SchedulePaused(msgspec.Struct, frozen=True, tag="paused"):
    """An operator paused the schedule: its ticks are skipped."""

    reason: str = ""


class ScheduleResumed(msgspec.Struct, frozen=True, tag="resumed"):
    """An operator resumed the schedule."""


class TicksRequested(msgspec.Struct, frozen=True, tag="requested"):
    """An operator requested ticks: now (`trigger`), or skipped ones (`backfill`)."""

    ticks: tuple[Instant, ...]
    verb: str


class TickQueued(msgspec.Struct, frozen=True, tag="queued"):
    """A due tick waits for the end of what is in `detail`."""

    tick: Instant
    detail: str


class TicksSkipped(msgspec.Struct, frozen=True, tag="skipped"):
    """`count` ticks from `first` to `last` do not fire."""

    first: Instant
    last: Instant
    count: int
    reason: SkipReason
    detail: str = ""


class TickClaimed(msgspec.Struct, frozen=True, tag="claimed"):
    """A process fires this tick. No other process ever does."""

    tick: Instant


class TickPlanned(msgspec.Struct, frozen=True, tag="planned"):
    """The plan of the open tick is saved in `file`; only its run is ever started."""

    tick: Instant
    plan_digest: str
    file: str


class TickEnded(msgspec.Struct, frozen=True, tag="ended"):
    """The open tick ended. `run` is empty if none started; `code` is that of an error."""

    tick: Instant
    outcome: TickOutcome
    exit: int
    run: str = ""
    code: str = ""
    detail: str = ""


class ClockMovedBack(msgspec.Struct, frozen=True, tag="clock_moved_back"):
    """The clock shows `now`, but ticks until `decided` are decided: later ones count again."""

    decided: Instant
    now: Instant


ScheduleEvent = (
    ScheduleAdded
    | ScheduleRemoved
    | SchedulePaused
    | ScheduleResumed
    | TicksRequested
    | TickQueued
    | TicksSkipped
    | TickClaimed
    | TickPlanned
    | TickEnded
    | ClockMovedBack
)


class ScheduleEntry(msgspec.Struct, frozen=True):
    """One entry of a schedule's journal."""

    at: Instant
    actor: Actor
    event: ScheduleEvent
