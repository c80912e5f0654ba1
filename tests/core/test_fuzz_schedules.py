"""Schedules under restarts, clock moves, daylight saving and two schedulers: each tick fires at
most once, and none is lost without a record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile

from hypothesis import given
from hypothesis import strategies as st

from rollout.core.scheduling import cron, due
from rollout.core.scheduling.cron import Ticks
from rollout.core.scheduling.schedule_state import ScheduleState, fold
from rollout.model.event import Actor
from rollout.model.schedule import OnDue, Overlap, Schedule
from rollout.model.schedule_event import (
    ScheduleAdded,
    ScheduleEntry,
    ScheduleEvent,
    SchedulePaused,
    ScheduleResumed,
    SkipReason,
    TickClaimed,
    TickEnded,
    TickOutcome,
    TickQueued,
    TicksRequested,
    TicksSkipped,
)
from rollout.model.time import HOUR, MINUTE, SECOND, Instant
from rollout.specfile.zones import LocalZone
from tests.fuzz import fuzzed

ACTOR = Actor("ops", "", "host", 1, "rollout")
ZONES = ("UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Sydney")
STARTS = (  # hours before clocks change in Berlin, New York and Sydney, and a common day
    1_774_742_400_000,
    1_792_879_200_000,
    1_772_924_400_000,
    1_793_484_000_000,
    1_775_397_600_000,
    1_759_586_400_000,
    1_800_000_000_000,
)
MINUTES = ("0", "30", "*", "*/15", "0,59", "5-8")
HOURS = ("*", "2", "*/6", "1,2,3", "0", "23")
DAYS = ("* * *", "1 * *", "* * MON", "1,15 * FRI", "29 3 *")


@dataclass
class Journal:
    """The journal that all schedulers share, and the clock of their machine."""

    ticks: Ticks
    now: Instant
    entries: list[ScheduleEntry] = field(default_factory=list)

    def append(self, state: ScheduleState, event: ScheduleEvent) -> bool:
        """Append as the store does: a number that exists is refused."""
        if state.length != len(self.entries):
            return False
        self.entries.append(ScheduleEntry(self.now, ACTOR, event))
        return True

    def fold(self) -> ScheduleState:
        """Return the state as another process reads it."""
        return fold("s", self.entries)

    def advance(
        self, decide: Callable[[ScheduleState], object], state: ScheduleState, crash: int
    ) -> ScheduleState:
        """Append decisions until none is left, or the process stops after `crash` of them."""
        while events := decide(state):
            for event in events:  # type: ignore[attr-defined]
                if crash == 0:
                    return self.fold()
                crash -= 1
                if not self.append(state, event):
                    state = self.fold()
                    break
                state = self.fold()
        return state

    def decide(self, busy: str = "", state: ScheduleState | None = None, crash: int = -1) -> None:
        """Let a scheduler decide; `state` may be older than the journal."""

        def decision(known: ScheduleState) -> object:
            return due.decide(known, self.ticks, self.now, busy)

        self.advance(decision, state or self.fold(), crash)

    def command(self, event: ScheduleEvent) -> None:
        """Append an operator's command, after the due ticks that it would change."""
        if isinstance(event, ScheduleResumed):

            def settle(known: ScheduleState) -> object:
                return due.settle(known, self.ticks, self.now, "")

            self.advance(settle, self.fold(), -1)
        assert self.append(self.fold(), event)

    def finish(self) -> None:
        """End the open tick, if there is one."""
        state = self.fold()
        if state.open is not None:
            assert self.append(state, TickEnded(state.open.tick, TickOutcome.CLOSED, 0))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ("go", "go", "busy", "stale", "crash", "end", "pause", "resume", "trigger")
        ),
        st.sampled_from((0, 10 * SECOND, MINUTE, 7 * MINUTE, HOUR, 5 * HOUR))
        | st.integers(-3 * HOUR, 20 * HOUR),
    ),
    max_size=14,
)


@fuzzed
@given(
    st.tuples(st.sampled_from(MINUTES), st.sampled_from(HOURS), st.sampled_from(DAYS)),
    st.sampled_from(ZONES),
    st.sampled_from(STARTS),
    st.integers(0, 20 * HOUR),
    st.sampled_from(list(Overlap)),
    st.integers(MINUTE, HOUR),
    STEPS,
)
def test_each_tick_fires_at_most_once_and_none_is_lost(
    parts: tuple[str, str, str],
    zone: str,
    start: Instant,
    later: int,
    overlap: Overlap,
    catch_up_ms: int,
    steps: list[tuple[str, int]],
) -> None:
    """Whatever clocks, operators, crashes and a second scheduler do."""
    began = start + later
    ticks = cron.ticks(" ".join(parts), LocalZone(zone).tzinfo)
    journal = Journal(ticks, began)
    schedule = Schedule(" ".join(parts), zone, overlap, catch_up_ms, OnDue.PLAN_AND_APPLY)
    journal.command(ScheduleAdded("s.yaml", schedule))
    for kind, passed in steps:
        stale = journal.fold()
        journal.now += passed
        match kind:
            case "busy":
                journal.decide("run r-1 is open")
            case "stale":
                journal.decide("")
                journal.decide("", stale)
            case "crash":
                journal.decide("", crash=1)
            case "end":
                journal.finish()
            case "pause":
                journal.command(SchedulePaused("why"))
            case "resume":
                journal.command(ScheduleResumed())
            case "trigger":
                journal.command(TicksRequested((journal.now,), "trigger"))
            case _:
                journal.decide()
    journal.decide()
    check(journal, began, catch_up_ms)


def check(journal: Journal, began: Instant, catch_up_ms: int) -> None:
    """Check the journal against all ticks of the expression."""
    claimed: list[Instant] = []
    recorded: set[Instant] = set()
    waited: set[Instant] = set()
    is_open = False
    for entry in journal.entries:
        match entry.event:
            case TickClaimed(tick):
                assert not is_open, "a tick began before the former one had ended"
                assert tick in waited or entry.at - tick <= catch_up_ms, "too late"
                is_open = True
                claimed.append(tick)
                recorded.add(tick)
            case TickEnded():
                is_open = False
            case TickQueued(tick):
                waited.add(tick)
                recorded.add(tick)
            case TicksRequested(requested):
                waited.update(requested)
            case TicksSkipped(first, last, count, reason):
                covered = set(takewhile(lambda tick: tick <= last, journal.ticks(first - 1)))
                assert {first, last} <= covered and len(covered) == count
                assert reason is SkipReason.REPEATED or not covered & set(claimed)
                recorded |= covered
            case _:
                pass
    assert len(claimed) == len(set(claimed)), "a tick fired twice"
    due_by_now = takewhile(lambda tick: tick <= journal.now, journal.ticks(began))
    # a clock that is less than a minute behind the last decision waits until it has caught up
    assert [tick for tick in due_by_now if tick not in recorded] == []
