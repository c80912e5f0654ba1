"""The scheduler: fires due ticks of all schedules of a runs directory, one run at a time.

Called by `rollout serve --scheduler`. The journals of the schedules hold its whole state, so it can
be killed at any time and any number of schedulers may use one runs directory.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import anyio
import msgspec

from rollout import logs
from rollout.app import runs, ticks
from rollout.app.execute import Runner
from rollout.app.runs import RunResult
from rollout.app.schedule_book import Book, wall_clock
from rollout.app.session import Session
from rollout.errors import EXIT_ORDER, ConfirmationError, ConflictError, Exit, RolloutError
from rollout.journal import store
from rollout.journal.store import StoredRun
from rollout.model.schedule_event import TIMES, ScheduleEvent, TickEnded
from rollout.model.time import HOUR, MINUTE, Duration, Instant, format_instant

POLL_S = 5.0
"""Pause between two turns without work: commands and new schedules are noticed within it."""
RETRY_MS: Duration = 1 * MINUTE
"""Pause before a run that could not be continued is tried again."""
REST_MAX_MS: Duration = 1 * HOUR
"""Longest pause before a run that stopped without closing is continued. The pause starts at
`RETRY_MS` and doubles, so that a halt with the same cause is not reported again and again."""
_RANKS = (*EXIT_ORDER[:-1], *(code for code in Exit if code not in EXIT_ORDER), Exit.DONE)
"""Exit codes, the worst first. Codes that only a tick without a run has, such as 78, come last."""
_STOPPED = (Exit.INTERRUPTED, Exit.TERMINATED)


async def serve(make_session: Callable[[], Session], *, once: bool = False) -> Exit:
    """Fire due ticks until a signal arrives; with `once` until nothing is due.

    `make_session` is called for each run. Returns the exit code of the drained run, or with `once`
    the worst one. Errors: R0011, R0802 for the runs directory.
    """
    session = make_session()
    for warning in session.store.check(allow_unsafe=session.allow_unsafe_fs):
        session.notices.warn(warning)
    scheduler = Scheduler(make_session, Book.of(session.store))
    scheduler.report_start()
    while True:
        worked = await scheduler.turn()
        if scheduler.stopped is not None:
            return scheduler.stopped
        if not worked and once:
            return scheduler.exit
        if not worked:
            await anyio.sleep(POLL_S)


class Rest(NamedTuple):
    """A run stopped at `since` without closing, and is continued after `pause`."""

    since: Instant
    pause: Duration


@dataclass(slots=True)
class Scheduler:
    """One process that fires ticks. `stopped` is its exit code after a signal drained a run."""

    make_session: Callable[[], Session]
    book: Book
    exit: Exit = Exit.DONE
    stopped: Exit | None = None
    _busy: str = ""
    _unlocked: bool = False
    """Whether the lock may be released already, because a run stopped or could not be driven."""
    _retry_at: Instant = 0
    _resting: dict[str, Rest] = field(default_factory=dict)
    """The runs that stopped without closing, by their ids."""
    _told: dict[str, str] = field(default_factory=dict)
    """The last message about each run or schedule that cannot be handled, logged once."""

    def report_start(self) -> None:
        """Log the runs directory and its number of schedules."""
        logs.say("scheduler.started", runs=str(self.book.store), schedules=len(self.book.added()))

    async def turn(self) -> bool:
        """Decide what is due now, and drive at most one run; return whether there was work."""
        now = wall_clock()
        if not self._work(now):
            return False
        session = self.make_session()
        try:
            async with session.store.lock(now, session.notices.say) as locked:
                worked = await self._drive(Runner(session, locked))
        except ConflictError as error:
            if error.problems[0].code != "R0603":
                raise
            if waiting := self._open_runs():  # otherwise the lock is free again within a moment
                self._wait_for(waiting[0])
            return False
        if worked:
            self._retry_at = 0
        return worked

    def _work(self, now: Instant) -> bool:
        """Return whether a tick is due, or whether an open run or tick should be tried again."""
        retry = now >= self._retry_at
        for name in self.book.names():
            try:
                state = self.book.state(name)
                if self.book.is_due(state, now, waiting=retry) or (retry and state.open):
                    break
            except RolloutError as error:
                self._tell(name, error)
        else:
            if not retry or not self._open_runs():
                return False
        self._retry_at = now + RETRY_MS
        return True

    async def _drive(self, runner: Runner) -> bool:
        """Work under the lock. Other ticks that become due meanwhile are recorded at once."""
        self._busy = "the scheduler is busy"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._decide_while_busy)
            worked = await self._continue(runner)
            tasks.cancel_scope.cancel()
        return worked

    async def _decide_while_busy(self) -> None:
        while True:
            await anyio.sleep(POLL_S)
            self._decide(self._busy)

    async def _continue(self, runner: Runner) -> bool:
        """Continue what is open; if nothing stays open, fire the first due tick.

        The lock is released while a run is driven, so nothing is claimed after that in this turn.
        """
        self._unlocked = False
        for name in self.book.names():
            if await self._fire(name, runner):
                return True
        for stored in self._open_runs():
            self._busy = f"run {stored.id} is open"
            if self._unlocked or self._rests(stored.id) or stored.driver():
                continue
            if await self._attempt(stored.id, partial(self._resume, stored.id, runner)):
                return True
        blocked = self._blocked()
        for name in self.book.names():
            self._decide_one(name, blocked)
            if not blocked and await self._fire(name, runner):
                return True
            blocked = blocked or self._blocked()
        return False

    def _blocked(self) -> str:
        """Return why no tick may be claimed now; empty if one may."""
        waiting = self._open_runs()
        if waiting:
            return f"run {waiting[0].id} is open"
        if "runs" in self._told:
            return "a run cannot be read"
        return "a run was driven just now" if self._unlocked else ""

    async def _fire(self, name: str, runner: Runner) -> bool:
        """Continue the open tick of a schedule; return whether there was progress."""
        try:
            state = self.book.state(name)
        except RolloutError as error:
            self._tell(name, error)
            return False
        if state.open is None or self._unlocked:
            return False
        self._busy = f"the tick {format_instant(state.open.tick)} of {name} has not ended"
        written: list[ScheduleEvent] = []

        def log(event: ScheduleEvent) -> None:
            written.append(event)
            _log(name, event)
            if isinstance(event, TickEnded):
                self._note(Exit(event.exit))

        firing = ticks.Firing(self.book, state, state.open, runner, self._rests, log)
        driven = await self._attempt(name, firing.proceed)
        return driven or bool(written)

    async def _resume(self, run: str, runner: Runner) -> RunResult:
        return await ticks.resume(store.find(self.book.store, run), runner)

    async def _attempt(self, what: str, work: Callable[[], Awaitable[RunResult | None]]) -> bool:
        """Return whether a run was driven to its close; log an error once."""
        try:
            ended = await work()
        except ConfirmationError as error:  # nothing was started
            self._tell(what, error)
            return False
        except RolloutError as error:
            self._unlocked = True
            self._tell(what, error)
            return False
        self._told.pop(what, None)
        if ended is None:
            return False
        self._note(ended.exit)
        run, exit_ = ended.view.run, int(ended.exit)
        if ended.exit in _STOPPED:
            self.stopped = ended.exit
        elif ended.view.state != "closed":
            self._unlocked = True
            again = format_instant(self._rest(run))
            logs.say("run.stopped", "warning", run=run, exit=exit_, continued_at=again)
            return False
        self._resting.pop(run, None)
        logs.say("run.ended", run=run, exit=exit_)
        return True

    def _rest(self, run: str) -> Instant:
        """Return when a run that stopped just now is continued."""
        now, last = wall_clock(), self._resting.get(run)
        if last is None or now - last.since > 2 * REST_MAX_MS:
            pause = RETRY_MS
        else:
            pause = min(2 * last.pause, REST_MAX_MS)
        self._resting[run] = Rest(now, pause)
        return now + pause

    def _rests(self, run: str) -> bool:
        """Return whether it is too early to continue a run. Ignored if the clock was set back."""
        rest = self._resting.get(run)
        return rest is not None and 0 <= wall_clock() - rest.since < rest.pause

    # decisions

    def _wait_for(self, run: StoredRun) -> None:
        """Decide what is due while another process drives a run; log once that it does."""
        self._decide(f"run {run.id} is open")
        if self._told.get("lock") != run.id:
            self._told["lock"] = run.id
            logs.say("scheduler.waits", run=run.id, driver=run.driver() or "unknown")

    def _decide(self, busy: str) -> None:
        for name in self.book.names():
            self._decide_one(name, busy)

    def _decide_one(self, name: str, busy: str) -> None:
        """Decide and log the due ticks of one schedule."""
        try:
            for event in self.book.advance(name, wall_clock(), busy)[1]:
                _log(name, event)
        except RolloutError as error:
            self._tell(name, error)

    def _open_runs(self) -> list[StoredRun]:
        """Return the open runs. A damaged run is logged, and blocks new runs."""
        try:
            found = [one.stored for one in runs.open_runs(self.book.store)]
        except RolloutError as error:
            self._tell("runs", error)
            return []
        self._told.pop("runs", None)
        return found

    def _note(self, code: Exit) -> None:
        self.exit = min(self.exit, code, key=_RANKS.index)

    # log lines

    def _tell(self, what: str, error: RolloutError) -> None:
        self._note(error.exit)
        text = str(error)
        if self._told.get(what) != text:
            self._told[what] = text
            (problem, *_) = error.problems
            logs.say(
                "scheduler.blocked",
                "warning",
                on=what,
                code=problem.code,
                message=problem.message,
                help=problem.help or "",
            )


def _log(name: str, event: ScheduleEvent) -> None:
    """Write one line about a decision."""
    fields = msgspec.to_builtins(event)
    kind = fields.pop("type")
    shown = {
        key: format_instant(value) if key in TIMES else value
        for key, value in fields.items()
        if value not in ("", None)
    }
    failed = shown.get("outcome") in ("failed", "late") or shown.get("reason") == "missed"
    logs.say(f"schedule.{kind}", "warning" if failed else "info", schedule=name, **shown)
