"""Operator commands for schedules: add, list, pause, resume, trigger, backfill, remove.

Called by `rollout schedule`. Makes no API calls; a process of `rollout serve --scheduler` acts on
the schedules within some seconds.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from rollout import specfile
from rollout.app import approvals, plan_file
from rollout.app.schedule_book import Book, ticks_of, wall_clock
from rollout.app.session import Session
from rollout.core.scheduling import due
from rollout.core.scheduling.schedule_state import OpenTick, ScheduleState
from rollout.errors import ConflictError, Problem, RolloutError, SpecError, UsageError
from rollout.journal.store import of_plan
from rollout.model.phrase import say, say_many
from rollout.model.schedule_event import (
    ScheduleAdded,
    ScheduleEntry,
    ScheduleEvent,
    SchedulePaused,
    ScheduleRemoved,
    ScheduleResumed,
    TickOutcome,
    TicksRequested,
)
from rollout.model.spec import Spec
from rollout.model.time import Instant, format_instant

BACKFILL_MAX = 10
"""Ticks of one backfill: each of them rotates the whole fleet."""


class ListedSchedule(NamedTuple):
    """A schedule and its next ticks, none while it is paused.

    `run` is the run of its newest plan, empty if none has started. `command` applies the plan of
    the last tick, or approves that of the open one, which lacks `approvals_missing`.
    """

    state: ScheduleState
    upcoming: tuple[Instant, ...]
    run: str = ""
    command: str = ""
    approvals_missing: int = 0


def add(
    path: Path, session: Session, confirm: Callable[[Spec], None], *, replace: bool = False
) -> ListedSchedule:
    """Add the schedule of a spec under the spec's name, or replace the one of that name.

    `confirm` returns if the operator agrees. Errors: SpecError, R0164 without a schedule;
    ConflictError R0630 if the name exists.
    """
    loaded = specfile.load(path, Path.cwd(), public_key="unread")
    spec = loaded.spec
    if spec.schedule is None:
        hint = say(
            "add `schedule: {{ cron: {cron}, timeZone: UTC, onDue: plan }}` to `spec`",
            cron='"30 9 20 1,4,7,10 *"',
        )
        raise SpecError.of("R0164", say("{path} has no `schedule`", path=path), help=hint)
    _warn_of_next_key(path, session, next(ticks_of(spec.schedule)(wall_clock())))
    if not any(warning.code == "R0360" for warning in loaded.warnings):
        session.notices.warn(_same_key(spec))
    _check_store(session)
    book = Book.of(session.store)
    if book.state(spec.name).schedule is not None and not replace:
        raise ConflictError.of(
            "R0630",
            say("there is a schedule {name} already", name=spec.name),
            help=f"rollout schedule add {shlex.quote(str(path))} --replace",
        )
    confirm(spec)
    return _listed(book, _command(book, spec.name, ScheduleAdded(str(path), spec.schedule)))


def pause(name: str, session: Session, reason: str) -> ListedSchedule:
    """Skip all later ticks until `resume`. Without a reason, a paused schedule keeps its reason.
    Errors: R0540.
    """
    return _change(name, session, SchedulePaused(reason))


def resume(name: str, session: Session) -> ListedSchedule:
    """Fire later ticks again; those of the pause stay skipped. Errors: R0540."""
    return _change(name, session, ScheduleResumed())


def remove(name: str, session: Session) -> ListedSchedule:
    """Remove a schedule; its journal stays. Errors: R0540."""
    return _change(name, session, ScheduleRemoved())


def trigger(name: str, session: Session) -> ListedSchedule:
    """Request one tick now, also while the schedule is paused. Errors: R0540."""
    return _change(name, session, TicksRequested((wall_clock(),), "trigger"))


def backfill(name: str, session: Session, first: Instant, last: Instant) -> ListedSchedule:
    """Request the ticks from `first` to `last` that did not fire, none from before the schedule was
    added. Errors: R0540, R0543.
    """
    book = Book.of(session.store)
    state = book.existing(name)
    assert state.schedule is not None  # noqa: S101 - `existing`
    if last < state.added:
        raise UsageError.of(
            "R0543",
            say(
                "{name} was added at {added}, after the end of this range ({last})",
                name=name,
                added=format_instant(state.added),
                last=format_instant(last),
            ),
            help=say("name a time range after that: a schedule has no ticks before it was added"),
        )
    if first < state.added:
        first = state.added
        text = say(
            "{name} was added at {added}: it has no ticks before",
            name=name,
            added=format_instant(first),
        )
        session.notices.say(text)
    found = due.skipped(state, ticks_of(state.schedule), first, min(last, state.decided))
    if not 0 < len(found) <= BACKFILL_MAX:
        raise UsageError.of(
            "R0543",
            say_many(
                "{number} skipped tick of {name} from {first} to {last}; a backfill has 1 to "
                "{most}",
                "{number} skipped ticks of {name} from {first} to {last}; a backfill has 1 to "
                "{most}",
                len(found),
                name=name,
                first=format_instant(first),
                last=format_instant(last),
                most=BACKFILL_MAX,
            ),
            help=say("`rollout schedule list {name}` shows the skipped ticks", name=name),
        )
    return _listed(book, _command(book, name, TicksRequested(tuple(found), "backfill")))


def listed(session: Session) -> Sequence[ListedSchedule]:
    """Return all schedules. Errors: R0634, R0802."""
    book = Book.of(session.store)
    return [_listed(book, state) for state in book.added()]


def history(name: str, session: Session) -> Sequence[ScheduleEntry]:
    """Return the journal of a schedule, oldest entry first. Errors: R0540, R0634."""
    book = Book.of(session.store)
    book.existing(name)
    return book.entries(name)


def upcoming(name: str, session: Session, count: int) -> Sequence[Instant]:
    """Return the next ticks of a schedule, also of a paused one. Errors: R0540."""
    return _next(Book.of(session.store).existing(name), count)


def _next(state: ScheduleState, count: int) -> tuple[Instant, ...]:
    if state.schedule is None:
        return ()
    return tuple(islice(ticks_of(state.schedule)(max(wall_clock(), state.decided)), count))


def _listed(book: Book, state: ScheduleState) -> ListedSchedule:
    found = of_plan(book.store, state.planned) if state.planned else []
    made = ListedSchedule(
        state, () if state.paused else _next(state, 1), found[-1].id if found else ""
    )
    if found:
        return made
    if state.open is not None and state.open.plan_digest:
        return _unapproved(made, state.open)
    if state.last is not None and state.last.outcome is TickOutcome.PLANNED:
        return made._replace(command=state.last.detail)
    return made


def _unapproved(made: ListedSchedule, tick: OpenTick) -> ListedSchedule:
    """Return the schedule with the approvals that the plan of its open tick lacks."""
    try:
        saved = plan_file.load_plan(Path(tick.file), tick.plan_digest)
        valid = len(approvals.found(saved))
    except RolloutError:
        return made  # starting its run reports this error
    approvers = saved.plan.approvers()
    missing = 0 if approvers is None else max(0, approvers.required - valid)
    approve = f"rollout approve {shlex.quote(tick.file)} --key KEY"
    return made._replace(command=approve if missing else "", approvals_missing=missing)


def _check_store(session: Session) -> None:
    for warning in session.store.check(allow_unsafe=session.allow_unsafe_fs):
        session.notices.warn(warning)


def _change(name: str, session: Session, event: ScheduleEvent) -> ListedSchedule:
    _check_store(session)
    book = Book.of(session.store)
    book.existing(name)
    return _listed(book, _command(book, name, event))


def _command(book: Book, name: str, event: ScheduleEvent) -> ScheduleState:
    """Append a command. Due ticks that it would change are recorded before."""
    while True:
        now = wall_clock()
        state = book.state(name)
        match event:
            case ScheduleResumed() if not state.paused:
                return state
            case SchedulePaused("") if state.paused:
                return state
            case ScheduleAdded() | ScheduleRemoved() | ScheduleResumed():
                state = book.settle(name, now, "before a change by an operator")
        if book.append(state, event, now):
            return state


def _same_key(spec: Spec) -> Problem:
    """Return the warning for a schedule whose key pair has the same name at each tick."""
    what = say("key pair {name} has the same name at each tick", name=spec.key_pair.name)
    cure = say("add a date, as `ops-{{year}}q{{quarter}}`, if each tick should use a new key pair")
    return Problem("R0362", what, cure=cure)


def _warn_of_next_key(path: Path, session: Session, tick: Instant) -> None:
    """Warn if the public key of the next tick does not exist yet. Errors: SpecError."""
    try:
        specfile.load(path, Path.cwd(), at=tick)
    except SpecError as error:
        if any(problem.code != "R0113" for problem in error.problems):
            raise
        (problem, *_) = error.problems
        text = say(
            "at the next tick, {tick}: {problem}",
            tick=format_instant(tick),
            problem=problem.what,
        )
        cure = say("before then, {cure}", cure=problem.cure) if problem.cure else None
        session.notices.warn(Problem("R0361", text, problem.place, cure))
