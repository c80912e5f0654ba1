"""Start or resume a run and drive it until it closes or stops.

Called by `apply`, `resume` and `abort` after their checks. The core makes all decisions; this
module connects it to the service, the journal, the locks and the progress display.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import msgspec

from rollout import logs
from rollout.app import about, runs
from rollout.app.plan_file import Saved
from rollout.cli import progress
from rollout.cli.options import Common
from rollout.cli.terminal import Terminal
from rollout.cli.views import report
from rollout.cli.views.report import Ended
from rollout.core.running.decide_run import exit_of
from rollout.core.running.decider import Decider
from rollout.core.running.view import view
from rollout.engines.local import LocalEngine
from rollout.engines.ports import Ports
from rollout.engines.service import Service
from rollout.errors import Exit, IntegrityError, Problem, RolloutError, StorageError
from rollout.journal import inbox, reader, record, runs_directory, writer
from rollout.journal.locks import driver, heartbeat, lock
from rollout.journal.writer import RunJournal
from rollout.model.event import Actor, AnyEvent, OperatorCommand
from rollout.model.time import Instant

_TOKEN = secrets.token_hex(8)
"""Identifies this process where host names and process ids repeat."""
LOST_SHOWN = 20
"""Events that did not fit on the disk are printed up to this number, then counted."""


class Outlet:
    """Forward the decider's events to its engine, as soon as one is set."""

    def __init__(self) -> None:
        self.to: Callable[[AnyEvent], None] | None = None

    def __call__(self, event: AnyEvent) -> None:
        """Forward one event."""
        if self.to is not None:
            self.to(event)


@contextlib.asynccontextmanager
async def hold_runs(
    common: Common, terminal: Terminal, now: Instant, *, allow_unsafe_fs: bool
) -> AsyncIterator[Runner]:
    """Check the runs directory and hold its lock. Errors: R0011, R0603, R0802."""
    for warning in runs_directory.check(common.runs_dir, allow_unsafe_fs=allow_unsafe_fs):
        terminal.warn(warning)
    if not runs_directory.is_shared(common.runs_dir):
        with lock.take_runs(common.runs_dir, owner(now)) as held:
            yield Runner(common, terminal, held)
        return
    terminal.say(f"waiting up to {heartbeat.SILENT_S:.0f} s for a process on another machine")
    with await heartbeat.take_runs(common.runs_dir, owner(now)) as held:
        heart = heartbeat.Heart(held)
        heart.start()
        try:
            yield Runner(common, terminal, held)
        finally:
            heart.stop()


@dataclass(frozen=True, slots=True)
class Runner:
    """A process that drives a run and holds the lock of the runs directory."""

    common: Common
    terminal: Terminal
    held: lock.Lock

    async def begin(self, saved: Saved, service: Service) -> Ended:
        """Start a run of a checked plan and drive it."""
        now, outlet = service.clock.now(), Outlet()
        run_id = reader.run_id(saved.digest)
        decider = Decider(saved.plan, outlet)
        journal = writer.create(self.common.runs_dir, run_id, saved.raw)
        facts = report.Facts(
            journal.run_dir, saved.digest, report.is_emulated(saved.plan), now, now
        )

        def start() -> None:
            decider.start(run_id, saved.digest, _actor(service), now)
            _note_skew(decider, service, now)

        with self.hold(run_id, 1, now, journal):
            return await self._drive(decider, outlet, journal, service, start, facts)

    async def go_on(
        self,
        folded: runs.Folded,
        outlet: Outlet,
        service: Service,
        order: OperatorCommand | None = None,
    ) -> Ended:
        """Continue an open run. Its journal was folded into `outlet` under the lock of all runs.

        `order` is applied first, so that nothing starts before it.
        """
        now, run, decider = service.clock.now(), folded.run, folded.decider
        facts = runs.facts(folded)

        def start() -> None:
            if folded.reader.torn is not None:
                decider.put(folded.reader.torn, now)
            if order is not None:
                decider.operate(order, now)
            decider.resume(_actor(service), now)
            _note_skew(decider, service, now)

        journal = writer.reopen(folded.reader)
        with self.hold(run.run_id, run.epoch + 1, now, journal):
            return await self._drive(decider, outlet, journal, service, start, facts)

    @contextlib.contextmanager
    def hold(self, run_id: str, epoch: int, now: Instant, journal: RunJournal) -> Iterator[None]:
        """Hold the lock of the run, and release the journal in every case."""
        mine = owner(now, run_id, epoch)
        try:
            with lock.take_run(journal.run_dir, mine) as held:
                self.held.name(mine)
                journal.guard(self.held, held)
                yield
        finally:
            journal.release()

    async def _drive(
        self,
        decider: Decider,
        outlet: Outlet,
        journal: RunJournal,
        service: Service,
        start: Callable[[], None],
        facts: report.Facts,
    ) -> Ended:
        shown = progress.make(self.common, live=self.terminal.live, emulated=facts.emulated)
        operators = inbox.Inbox(journal.run_dir, on_trouble=self._unread)
        engine = LocalEngine(Ports(service.clock, service, journal, operators), shown.on_turn)
        journal.keep_secret(logs.KNOWN)
        outlet.to = engine.append
        start()
        service.allow_changes(decider.run.plan.limits.leave_quota_ppm, journal.lost)
        try:
            with shown:
                await engine.drive(decider)
            journal.close()
        except (StorageError, IntegrityError) as error:
            self._tell_lost(engine.lost)
            error.resume = f"rollout resume {decider.run.run_id}"
            raise
        except BaseException:
            self.terminal.say(f"resume: rollout resume {decider.run.run_id}")
            raise
        now = service.clock.now()
        return Ended(
            view(decider.run),
            msgspec.structs.replace(facts, at=now, head=str(journal.head)),
            Exit(exit_of(decider.run)),
        )

    def _unread(self, error: RolloutError) -> None:
        """Warn that commands of operators do not arrive."""
        (problem,) = error.problems
        text = f"commands of operators cannot be read: {problem.message}"
        self.terminal.warn(Problem(problem.code, text))

    def _tell_lost(self, lost: list[AnyEvent]) -> None:
        """Print outcomes that could not be journaled, as the journal writes them. A resume observes
        them again.
        """
        shown = (record.clean(record.ENCODER.encode(event)).decode() for event in lost[:LOST_SHOWN])
        lines = [f"not in the journal: {text}" for text in shown]
        if len(lost) > LOST_SHOWN:
            lines.append(f"not in the journal: {len(lost) - LOST_SHOWN:,} more events")
        if lines:
            self.terminal.say("\n".join(lines))


def _note_skew(decider: Decider, service: Service, now: Instant) -> None:
    """Journal a correction of the clock, once for each process."""
    if service.clock_skew is not None:
        decider.put(service.clock_skew, now)


def _actor(service: Service) -> Actor:
    """Return the operator of this process."""
    return actor(service.identity.arn)


def actor(arn: str = "") -> Actor:
    """Return the operator of this process, with its cloud identity if there is one."""
    return Actor(_user(), arn, socket.gethostname(), os.getpid(), about.tool())


def _user() -> str:
    """Return the OS user's name, or its number if it has no name, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def owner(now: Instant, run_id: str = "", epoch: int = 0) -> lock.Owner:
    """Return this process as the owner of a lock."""
    return lock.Owner(
        socket.gethostname(), os.getpid(), now, run_id, epoch, driver.kernel(), _TOKEN
    )
