"""Fire one claimed tick: plan its spec, and apply the plan if the schedule says so.

Called by `scheduler` under the lock of the runs directory, which a run releases. Each step is
journaled before the next one, so that another process continues the tick after a crash and starts
no second run.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rollout import specfile
from rollout.app import approvals, connect, execute, plan, plan_file, preflight, runs, safety_rules
from rollout.app.execute import Runner
from rollout.app.plan_file import SavedPlan
from rollout.app.runs import RunResult
from rollout.app.schedule_book import Book, wall_clock
from rollout.core.scheduling.due import RunOfTick, TickStep, next_step
from rollout.core.scheduling.schedule_state import OpenTick, ScheduleState
from rollout.engines.service import Service
from rollout.errors import ConfirmationError, ConflictError, Exit, RolloutError, RunError
from rollout.journal.store import StoredRun, of_plan
from rollout.model.phrase import say
from rollout.model.schedule import CATCH_UP_MAX_MS, OnDue
from rollout.model.schedule_event import ScheduleEvent, TickEnded, TickOutcome, TickPlanned
from rollout.model.time import Instant, format_instant

_LACKS_APPROVALS = "R0704"


@dataclass(slots=True)
class Firing:
    """One open tick of a schedule, and the process that may drive its run. `digest` is that of the
    tick's plan, empty before it is planned. `rests` returns whether it is too early to continue a
    run.
    """

    book: Book
    state: ScheduleState
    tick: OpenTick
    runner: Runner
    rests: Callable[[str], bool]
    log: Callable[[ScheduleEvent], None]
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        self.digest = self.tick.plan_digest

    async def proceed(self) -> RunResult | None:
        """Continue the tick as far as possible; return the state of a run that was driven.

        The tick stays open while its run is open. Errors: RolloutError if the open run cannot be
        continued now. An error before a run exists ends the tick.
        """
        schedule = self.state.schedule
        catch_up_ms = CATCH_UP_MAX_MS if schedule is None else schedule.catch_up_ms
        run = self._run()
        until = self._valid_until()
        match next_step(self.tick, _kind(run), wall_clock(), catch_up_ms, until):
            case TickStep.FINISH:
                self._finish(run)
                return None
            case TickStep.GIVE_UP:
                detail = "the process stopped before the run started, and it is too late now"
                self._end(TickOutcome.LATE, Exit.DONE, detail=detail)
                return None
            case TickStep.RESUME:
                assert run is not None  # noqa: S101 - the run of RESUME is open
                if self.rests(run.id) or run.driver():
                    return None
                return self._record(await resume(run, self.runner))
            case _:
                return await self._start()

    async def _start(self) -> RunResult | None:
        """Plan if the tick has no plan, and begin its run if the schedule applies plans."""
        try:
            return await self._apply()
        except RolloutError as error:
            (problem, *_) = error.problems
            if self._run() is not None:  # a later turn continues it
                raise
            if problem.code == _LACKS_APPROVALS:  # a later turn checks again
                cure = f"rollout approve {shlex.quote(str(self._file()))} --key KEY"
                raise ConfirmationError.of(problem.code, problem.message, help=cure) from None
            text = f"{problem.message}; {problem.help}" if problem.help else problem.message
            self._end(TickOutcome.FAILED, error.exit, code=problem.code, detail=text)
            return None

    async def _apply(self) -> RunResult | None:
        saved = None
        if self.digest:
            saved = plan_file.load_plan(Path(self.tick.file), self.digest)
            approvals.check(saved)  # before the service is called
        session = self.runner.session
        async with connect.connect(session.connection, session.notices) as service:
            saved = saved or await self._plan(service)
            if not saved.plan.counts.targets:
                self._end(TickOutcome.NOTHING, Exit.DONE)
                return None
            if self.tick.on_due is OnDue.PLAN:
                self._finish(None)
                return None
            _check_restarts(saved, self._file())
            _check_rules(saved, self._file())
            return self._record(await self.runner.begin(saved, service))

    def _valid_until(self) -> Instant:
        """Return when a plan that needs approvals expires; 0 for other plans."""
        if not self.tick.plan_digest or self.tick.on_due is OnDue.PLAN:
            return 0
        try:
            saved = plan_file.load_plan(Path(self.tick.file), self.tick.plan_digest)
        except RolloutError:
            return 0  # starting its run reports this error
        return saved.plan.expires_at if saved.plan.approvers() else 0

    async def _plan(self, service: Service) -> SavedPlan:
        """Save the plan of the tick and record it before anything starts."""
        path = Path(self.state.spec)
        self._check_spec(path)
        made = await plan.create(path, service, self.runner.session.store, tick=self.tick.tick)
        saved, file = made.saved, self._file()
        plan_file.save_plan(saved, file)
        self._append(TickPlanned(self.tick.tick, saved.digest, str(file)))
        self.digest = saved.digest
        return saved

    def _check_spec(self, path: Path) -> None:
        """Raise R0541 if the spec has another schedule than the one that was added."""
        spec = specfile.load(path, Path.cwd(), at=self.tick.tick).spec
        if (spec.name, spec.schedule) != (self.state.name, self.state.schedule):
            raise RunError.of(
                "R0541",
                say("the name or the schedule in {path} has changed since it was added", path=path),
                help=f"rollout schedule add {shlex.quote(str(path))} --replace",
            )

    def _file(self) -> Path:
        at = format_instant(self.tick.tick).replace("-", "").replace(":", "")
        name = f"{self.state.name}-{at}.plan.json"
        return self.book.store.schedules().plan_file(name)

    def _run(self) -> StoredRun | None:
        """Return the run of the tick's plan; None if it has not started."""
        found = of_plan(self.book.store, self.digest) if self.digest else []
        return found[-1] if found else None

    def _record(self, ended: RunResult) -> RunResult:
        """Record the end of the tick if its run is closed."""
        if (run := self._run()) is not None and _kind(run) is RunOfTick.CLOSED:
            self._finish(run)
        return ended

    def _finish(self, run: StoredRun | None) -> None:
        if run is None:
            detail = f"rollout apply {shlex.quote(str(self._file()))}"
            self._end(TickOutcome.PLANNED, Exit.DONE, detail=detail)
            return
        ended = runs.result_of(runs.fold(run))
        assert ended is not None  # noqa: S101 - the run is closed
        self._end(TickOutcome.CLOSED, ended.exit, run=run.id)

    def _end(
        self, outcome: TickOutcome, exit_: Exit, *, run: str = "", code: str = "", detail: str = ""
    ) -> None:
        self._append(TickEnded(self.tick.tick, outcome, int(exit_), run, code, detail))

    def _append(self, event: ScheduleEvent) -> None:
        """Append an event of the open tick; decisions about other ticks may come between."""
        while True:
            state = self.book.state(self.state.name)
            if state.open is None or state.open.tick != self.tick.tick:
                if isinstance(event, TickEnded):
                    return  # another scheduler recorded it, after this run had released the lock
                raise ConflictError.of(
                    "R0631",
                    say(
                        "another process ended the tick {tick}", tick=format_instant(self.tick.tick)
                    ),
                    help=say("run one `rollout serve --scheduler` for each runs directory"),
                )
            if self.book.append(state, event, wall_clock()):
                self.log(event)
                return


async def resume(run: StoredRun, runner: Runner) -> RunResult:
    """Continue an open run, unless only an operator may. Errors: as `execute.resume`."""
    folded = runs.fold(run)
    approvals.check_resumed(folded.run)
    safety_rules.check_plan(folded.run.plan)
    execute.check_unattended(folded)
    async with connect.connect(runner.session.connection, runner.session.notices) as service:
        await preflight.check_resume(folded, service)
        return await runner.resume(folded, service)


def _kind(run: StoredRun | None) -> RunOfTick:
    if run is None:
        return RunOfTick.NONE
    return RunOfTick.OPEN if runs.result_of(runs.fold(run)) is None else RunOfTick.CLOSED


def _check_restarts(saved: SavedPlan, file: Path) -> None:
    """Raise R0542 if targets already have the key: only an operator may restart them again."""
    again = sum(not target.attach for target in saved.plan.targets())
    if again:
        raise RunError.of(
            "R0542",
            say("{again:,} targets already have the key and would be restarted again", again=again),
            help=say(
                "check the plan, then run `rollout apply {file}`", file=shlex.quote(str(file))
            ),
        )


def _check_rules(saved: SavedPlan, file: Path) -> None:
    """Raise R0542 if a rule of the CLI's safety policy wants a confirmation; R0417, R0418."""
    if rules := safety_rules.check_plan(saved.plan):
        raise RunError.of(
            "R0542",
            say("the safety policy wants a confirmation for {rules}", rules=rules[0]),
            help=say(
                "check the plan, then run `rollout apply {file} --confirm {name}`",
                file=shlex.quote(str(file)),
                name=saved.plan.name,
            ),
        )
