"""The schedules of a store: read their states, and append decisions and commands.

Called by `schedules`, for operators, and by `scheduler`. An entry that another process wrote first
makes it read the journal and decide again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import msgspec

from rollout.app import execute
from rollout.core.scheduling import due, schedule_state
from rollout.core.scheduling.cron import Ticks, ticks
from rollout.core.scheduling.schedule_state import ScheduleState
from rollout.engines.clock import LoopClock
from rollout.errors import SpecError, UsageError
from rollout.journal.store import RunStore
from rollout.model.event import Actor
from rollout.model.phrase import say
from rollout.model.schedule import Schedule
from rollout.model.schedule_event import ScheduleEntry, ScheduleEvent, TickClaimed
from rollout.model.time import Instant
from rollout.specfile import zones

Event = TypeVar("Event", bound=ScheduleEvent)


def wall_clock() -> Instant:
    """Return the wall time: unlike the clock of a run, it follows corrections of the clock."""
    return LoopClock().now()


def ticks_of(schedule: Schedule) -> Ticks:
    """Return the ticks of a schedule. SpecError R0139 if the time zone data lack its zone."""
    try:
        zone = zones.LocalZone(schedule.time_zone)
    except KeyError:
        text = say(
            "unknown time zone `{zone}` in time zone data {version}",
            zone=schedule.time_zone,
            version=zones.VERSION,
        )
        raise SpecError.of("R0139", text, help=say("install a newer tzdata package")) from None
    return ticks(schedule.cron, zone.tzinfo)


class KnownJournal(NamedTuple):
    """The state of a schedule after its entry `last`."""

    state: ScheduleState
    last: ScheduleEntry


@dataclass(frozen=True, slots=True)
class Book:
    """The schedules of a store, for the operator `actor`."""

    store: RunStore
    actor: Actor
    _known: dict[str, KnownJournal] = field(default_factory=dict)
    """What was read of each journal before: only later entries are read again."""

    @classmethod
    def of(cls, store: RunStore) -> Book:
        """Return the schedules of a store, for the operator of this process."""
        return cls(store, execute.actor())

    def names(self) -> list[str]:
        """Return the names of all schedules, removed ones too. Errors: R0802."""
        return self.store.schedules().names()

    def state(self, name: str) -> ScheduleState:
        """Return the state of a schedule; one without entries if it does not exist.

        Errors: R0634, R0802.
        """
        store, known = self.store.schedules(), self._known.get(name)
        later = None if known is None else store.later(name, known.state.length, known.last)
        if known is None or later is None:
            known, later = None, store.entries(name)
        state = ScheduleState(name) if known is None else known.state
        for entry in later:
            schedule_state.evolve(state, entry)
        if later:
            self._known[name] = KnownJournal(state, later[-1])
        return msgspec.structs.replace(state, fired=set(state.fired))

    def existing(self, name: str) -> ScheduleState:
        """Return the state of an added schedule. UsageError R0540 if there is none."""
        state = self.state(name)
        if state.schedule is None:
            known = ", ".join(one.name for one in self.added()) or "none"
            raise UsageError.of(
                "R0540",
                say("no schedule {name} in {store}", name=name, store=self.store),
                help=say("schedules here: {known}", known=known),
            )
        return state

    def added(self) -> list[ScheduleState]:
        """Return the states of all schedules that are not removed. Errors: R0634, R0802."""
        states = [self.state(name) for name in self.names()]
        return [state for state in states if state.schedule is not None]

    def entries(self, name: str) -> list[ScheduleEntry]:
        """Return the journal of a schedule. Errors: R0634, R0802."""
        return self.store.schedules().entries(name)

    def append(self, state: ScheduleState, event: ScheduleEvent, now: Instant) -> bool:
        """Append an event and apply it to the state; false if another process was first."""
        entry = ScheduleEntry(now, self.actor, event)
        if not self.store.schedules().append(state.name, state.length + 1, entry):
            return False
        schedule_state.evolve(state, entry)
        return True

    def is_due(self, state: ScheduleState, now: Instant, *, waiting: bool) -> bool:
        """Return whether `advance` would append something. Claims of ticks that wait in the queue
        count only if `waiting`. Errors: R0139.
        """
        if state.schedule is None:
            return False
        queued = {one.tick for one in state.queued}
        return any(
            waiting or not (isinstance(event, TickClaimed) and event.tick in queued)
            for event in due.decide(state, ticks_of(state.schedule), now)
        )

    def advance(
        self, name: str, now: Instant, busy: str = ""
    ) -> tuple[ScheduleState, list[ScheduleEvent]]:
        """Decide all due ticks of a schedule; return its state and the appended decisions.

        `busy` as in `due.decide`. Errors: R0139, R0634, R0802.
        """

        def decide(state: ScheduleState) -> Sequence[ScheduleEvent]:
            if state.schedule is None:
                return ()
            return due.decide(state, ticks_of(state.schedule), now, busy)

        return self._append_all(self.state(name), decide, now)

    def settle(self, name: str, now: Instant, detail: str) -> ScheduleState:
        """Record all due ticks as skipped before a change of the schedule; return its state."""

        def decide(state: ScheduleState) -> Sequence[ScheduleEvent]:
            if state.schedule is None:
                return ()
            return due.settle(state, ticks_of(state.schedule), now, detail)

        return self._append_all(self.state(name), decide, now)[0]

    def _append_all(
        self,
        state: ScheduleState,
        decide: Callable[[ScheduleState], Sequence[ScheduleEvent]],
        now: Instant,
    ) -> tuple[ScheduleState, list[ScheduleEvent]]:
        done: list[ScheduleEvent] = []
        while events := decide(state):
            for event in events:
                if not self.append(state, event, now):
                    state = self.state(state.name)
                    break
                done.append(event)
        return state, done
