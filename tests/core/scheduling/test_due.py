"""What happens to due ticks: one table row for each reason, and how an open tick continues."""

from __future__ import annotations

import pytest

from rollout.core.scheduling import cron, due
from rollout.core.scheduling.due import RunOfTick, TickStep, decide, next_step
from rollout.core.scheduling.schedule_state import OpenTick, ScheduleState, fold
from rollout.model.schedule import OnDue, Overlap, Schedule
from rollout.model.schedule_event import (
    ClockMovedBack,
    ScheduleAdded,
    ScheduleEntry,
    ScheduleEvent,
    SchedulePaused,
    ScheduleRemoved,
    SkipReason,
    TickClaimed,
    TickEnded,
    TickOutcome,
    TickQueued,
    TicksRequested,
    TicksSkipped,
)
from rollout.model.time import HOUR, MINUTE, Instant
from rollout.specfile.zones import LocalZone
from tests.core.test_fuzz_schedules import ACTOR

NOON: Instant = 1_800_014_400_000
"""2027-01-15T12:00:00Z."""
TICKS = cron.ticks("0 * * * *", LocalZone("UTC").tzinfo)


def state(*events: ScheduleEvent, overlap: Overlap = Overlap.SKIP) -> ScheduleState:
    """Return an hourly schedule that was added at 11:30, after these events at 12:00."""
    schedule = Schedule("0 * * * *", "UTC", overlap, 10 * MINUTE, OnDue.PLAN_AND_APPLY)
    added = ScheduleEntry(NOON - 30 * MINUTE, ACTOR, ScheduleAdded("s.yaml", schedule))
    return fold("s", [added, *(ScheduleEntry(NOON, ACTOR, event) for event in events)])


def skipped(reason: SkipReason, *ticks: Instant, detail: str | None = None) -> TicksSkipped:
    """Return the record of skipped ticks."""
    text = due._detail(reason, Schedule("", "", catch_up_ms=10 * MINUTE), ScheduleState("s"))
    return TicksSkipped(ticks[0], ticks[-1], len(ticks), reason, text if detail is None else detail)


def test_a_tick_is_due_from_its_minute_on() -> None:
    """Not a millisecond earlier, and until `catchUp` is over."""
    assert decide(state(), TICKS, NOON - 1) == ()
    assert decide(state(), TICKS, NOON) == (TickClaimed(NOON),)
    assert decide(state(), TICKS, NOON + 10 * MINUTE) == (TickClaimed(NOON),)
    assert decide(state(), TICKS, NOON + 10 * MINUTE + 1) == (skipped(SkipReason.MISSED, NOON),)


def test_missed_ticks_of_a_week_are_one_record() -> None:
    """The last one still fires."""
    week = 7 * 24
    assert decide(state(), TICKS, NOON + week * HOUR) == (
        TicksSkipped(
            NOON,
            NOON + (week - 1) * HOUR,
            week,
            SkipReason.MISSED,
            "no scheduler noticed it within 10 min",
        ),
        TickClaimed(NOON + week * HOUR),
    )


@pytest.mark.parametrize("overlap", Overlap)
def test_a_run_that_is_open_delays_or_skips(overlap: Overlap) -> None:
    """`queue` keeps one tick; it fires when nothing is open, however late that is."""
    busy = "run r-1 is open"
    made = state(overlap=overlap)
    (event,) = decide(made, TICKS, NOON, busy)
    if overlap is Overlap.SKIP:
        assert event == skipped(SkipReason.OVERLAP, NOON, detail=busy)
        return
    assert event == TickQueued(NOON, busy)
    queued = state(event, overlap=overlap)
    assert decide(queued, TICKS, NOON, busy) == ()
    (second,) = decide(queued, TICKS, NOON + HOUR, busy)
    assert isinstance(second, TicksSkipped) and second.reason is SkipReason.OVERLAP
    later = state(event, second, overlap=overlap)
    assert decide(later, TICKS, NOON + HOUR + 50 * MINUTE) == (TickClaimed(NOON),)


def test_a_tick_that_has_not_ended_blocks_the_next() -> None:
    """Also without a run: two ticks of a schedule never overlap."""
    opened = state(TickClaimed(NOON))
    (event,) = decide(opened, TICKS, NOON + HOUR)
    assert isinstance(event, TicksSkipped) and "has not ended" in event.detail
    ended = state(TickClaimed(NOON), TickEnded(NOON, TickOutcome.CLOSED, 0))
    assert decide(ended, TICKS, NOON + HOUR) == (TickClaimed(NOON + HOUR),)


def test_a_pause_skips_but_requested_ticks_fire() -> None:
    """`trigger` works on a paused schedule; a removed one does nothing."""
    paused = state(SchedulePaused("audit"))
    assert decide(paused, TICKS, NOON) == (skipped(SkipReason.PAUSED, NOON, detail="audit"),)
    both = state(SchedulePaused("audit"), TicksRequested((NOON - 1,), "trigger"))
    assert decide(both, TICKS, NOON - 1) == (TickClaimed(NOON - 1),)
    assert decide(state(ScheduleRemoved()), TICKS, NOON) == ()


def test_a_clock_that_is_set_back_repeats_no_tick() -> None:
    """Ticks that were only missed fire at their right time; one that fired does not."""
    fired = state(TickClaimed(NOON), TickEnded(NOON, TickOutcome.CLOSED, 0))
    assert decide(fired, TICKS, NOON - MINUTE) == ()
    back = ClockMovedBack(NOON, NOON - 2 * MINUTE)
    assert decide(fired, TICKS, NOON - 2 * MINUTE) == (back,)
    again = state(TickClaimed(NOON), TickEnded(NOON, TickOutcome.CLOSED, 0), back)
    assert decide(again, TICKS, NOON) == (skipped(SkipReason.REPEATED, NOON),)

    ahead = skipped(SkipReason.MISSED, NOON, NOON + HOUR)
    fixed = state(ahead, ClockMovedBack(NOON + HOUR, NOON - 5 * MINUTE))
    assert decide(fixed, TICKS, NOON) == (TickClaimed(NOON),)


OPEN = OpenTick(NOON, NOON, OnDue.PLAN_AND_APPLY)
PLANNED = OpenTick(NOON, NOON, OnDue.PLAN_AND_APPLY, "sha256:1", "f")
SAVED = OpenTick(NOON, NOON, OnDue.PLAN, "sha256:1", "f")


@pytest.mark.parametrize(
    "tick,run,late,step",
    [
        (OPEN, RunOfTick.NONE, False, TickStep.PLAN),
        (OPEN, RunOfTick.NONE, True, TickStep.GIVE_UP),
        (PLANNED, RunOfTick.NONE, False, TickStep.BEGIN),
        (PLANNED, RunOfTick.NONE, True, TickStep.GIVE_UP),
        (PLANNED, RunOfTick.OPEN, False, TickStep.RESUME),
        (PLANNED, RunOfTick.OPEN, True, TickStep.RESUME),
        (PLANNED, RunOfTick.CLOSED, True, TickStep.FINISH),
        (SAVED, RunOfTick.NONE, True, TickStep.FINISH),
    ],
)
def test_how_an_open_tick_continues(
    tick: OpenTick,
    run: RunOfTick,
    late: bool,  # noqa: FBT001 - a row
    step: TickStep,
) -> None:
    """A run that started is continued at any time; only a tick without a run can be too late."""
    now = NOON + (HOUR if late else MINUTE)

    assert next_step(tick, run, now, 10 * MINUTE) is step
