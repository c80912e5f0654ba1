"""What the list of schedules says of each."""

from __future__ import annotations

import pytest

from rollout.app.schedules import ListedSchedule
from rollout.cli.views import schedules
from rollout.core.scheduling.schedule_state import OpenTick, QueuedTick, ScheduleState
from rollout.model.schedule import OnDue, Schedule
from rollout.model.schedule_event import TickEnded, TickOutcome

SCHEDULE = Schedule("0 0 1 1 *", "UTC")
OPEN = OpenTick(0, 0, OnDue.PLAN_AND_APPLY, "sha256:a", "a.plan.json")
QUEUED = (QueuedTick(0, requested=True),)


@pytest.mark.parametrize(
    "state, missing, expected",
    [
        (ScheduleState("a", SCHEDULE), 0, "waiting"),
        (ScheduleState("a", SCHEDULE, queued=QUEUED), 0, "1 tick queued"),
        (ScheduleState("a", SCHEDULE, queued=QUEUED, paused=True), 0, "1 tick queued, paused"),
        (
            ScheduleState("a", SCHEDULE, paused=True, pause_reason="audit"),
            0,
            "paused: audit",
        ),
        (ScheduleState("a", SCHEDULE, open=OPEN), 0, "firing 1970-01-01T00:00:00Z"),
        (ScheduleState("a", SCHEDULE, open=OPEN), 2, "needs 2 more approvals"),
    ],
)
def test_the_state_says_what_happens_next(
    state: ScheduleState, missing: int, expected: str
) -> None:
    """A queued tick is visible while the schedule is paused, and so are missing approvals."""
    row = schedules.row(ListedSchedule(state, (), approvals_missing=missing))

    assert row["state"] == expected


def test_the_run_that_applied_the_plan_is_named() -> None:
    """The end of a tick that only planned names the run that applied the plan."""
    last = TickEnded(0, TickOutcome.PLANNED, 0, detail="rollout apply a.plan.json")
    state = ScheduleState("a", SCHEDULE, last=last)

    assert schedules.row(ListedSchedule(state, ()))["last"] == "1970-01-01T00:00:00Z planned"
    assert schedules.row(ListedSchedule(state, (), "r-a"))["last"].endswith(" planned r-a")
