"""Start or resume a run and drive it until it closes or stops.

Called by `apply` and `resume`, and by `operate` to abort a run. The core makes all decisions; this
module connects it to the service, the journal and the locks.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec

from rollout import logs
from rollout.app import (
    about,
    approvals,
    connect,
    fence,
    marks,
    notifications,
    person,
    plan,
    preflight,
    proofs,
    runs,
    safety_rules,
)
from rollout.app.plan import Allow, Overriding, PlanResult
from rollout.app.plan_file import SavedPlan
from rollout.app.runs import Folded, RunFacts, RunResult
from rollout.app.session import Session
from rollout.core.running.decide_run import exit_of
from rollout.core.running.decider import Decider
from rollout.core.running.thresholds import waits_for_operator
from rollout.core.running.view import view
from rollout.engines.clock import LoopClock
from rollout.engines.local import LocalEngine
from rollout.engines.ports import Ports, Prober
from rollout.engines.service import Service
from rollout.errors import (
    Exit,
    IntegrityError,
    RolloutError,
    RunError,
    StorageError,
    UsageError,
)
from rollout.journal import record, store
from rollout.journal.store import LockedStore, RunLeases
from rollout.journal.writer import RunJournal
from rollout.model.event import (
    Actor,
    AnyEvent,
    Approved,
    LastWaveSet,
    OperatorCommand,
    OperatorVerb,
    Overridden,
)
from rollout.model.phrase import Phrase, say
from rollout.model.plan import Plan
from rollout.model.time import Instant

LOST_SHOWN = 20
"""Events that did not fit on the disk are reported up to this number, then counted."""


async def apply(saved: SavedPlan, session: Session, *, confirmed: bool = False) -> RunResult | None:
    """Execute a saved plan until its run closes or stops; return None if it has no targets.

    `confirmed`: an operator confirmed the plan, as the safety policy of the aliyun CLI may demand.
    Errors: as `preflight`; ConfirmationError R0701 for a missing confirmation; R0011, R0603, R0802
    for the runs directory and its lock.
    """
    preflight.check_plan(saved.plan)
    if not saved.plan.counts.targets:
        return None
    safety_rules.check_confirmed(saved.plan, confirmed=confirmed)
    approvals.check(saved)
    async with _connected(session) as (runner, service):
        return await runner.begin(saved, service)


async def plan_and_apply(
    spec: Path,
    session: Session,
    review: Callable[[PlanResult], None],
    allow: Allow = Allow(),  # noqa: B008 - immutable
    looser: Overriding = Overriding(),  # noqa: B008 - immutable
) -> RunResult | None:
    """Plan a spec and execute the plan, unless `review` raises; return None without targets.

    Errors: as `plan.create` and `apply`.
    """
    async with _connected(session) as (runner, service):
        planned = await plan.create(spec, service, session.store, allow=allow, looser=looser)
        saved = planned.saved
        if saved.plan.counts.targets:
            safety_rules.check_plan(saved.plan)
            approvals.check(saved)
            if session.fence:
                await fence.check(saved.plan, service, session.store)
        review(planned)
        return await runner.begin(saved, service) if saved.plan.counts.targets else None


@contextlib.asynccontextmanager
async def _connected(session: Session) -> AsyncIterator[tuple[Runner, Service]]:
    async with (
        hold_runs(session, LoopClock().now()) as runner,
        connect.connect(session.connection, session.notices) as service,
    ):
        yield runner, service


async def resume(
    run: str | None, session: Session, *, unattended: bool = False, reason: str = ""
) -> RunResult | None:
    """Continue an open run to its close or its stop; return the state of a closed one. `reason` is
    why a paused run continues.

    `run` is its id or a unique prefix. None means the newest open run, and returns None if no run
    is open. Errors: RunError R0506 or R0507 if it is `unattended` and only an operator may decide
    that the halted or paused run continues; as `preflight`; as for `apply`.
    """
    if run is not None:
        found = [store.find(session.store, run)]
        if (closed := runs.closed_result(found[0])) is not None:
            return closed
    elif not (found := runs.not_closed(session.store)):
        return None
    async with hold_runs(session, LoopClock().now()) as runner:
        read = [runs.fold(one) for one in found]
        still_open = [one for one in read if one.run.closed is None]
        if not still_open:  # another process closed it before this one had the lock
            return None if run is None else runs.result_of(read[-1])
        folded = still_open[-1]
        approvals.check_resumed(folded.run)
        if folded.run.aborted is None:  # to close an aborted run changes nothing
            safety_rules.check_plan(folded.run.plan)
        if unattended:
            check_unattended(folded)
        async with connect.connect(session.connection, session.notices) as service:
            await preflight.check_resume(folded, service)
            paused = folded.run.paused is not None and folded.run.aborted is None
            order = command(OperatorVerb.RESUME, reason) if paused else None
            return await runner.resume(folded, service, order)


def check_unattended(folded: Folded) -> None:
    """Raise RunError R0506 or R0507 if only an operator may continue a halted or paused run."""
    run = folded.run
    if run.paused is not None and run.aborted is None:
        raise RunError.of(
            "R0507",
            _paused(run.run_id, run.paused),
            help=say(
                "rollout resume {run} or rollout promote {run} continues it",
                run=run.run_id,
            ),
        )
    if run.halted is not None and waits_for_operator(run):
        raise RunError.of(
            "R0506",
            say(
                "run {run} halted, {code}: {detail}",
                run=run.run_id,
                code=run.halted.code,
                detail=run.halted.detail,
            ),
            help=say(
                "rollout resume {run} accepts this and continues; rollout abort {run} "
                "closes the run",
                run=run.run_id,
            ),
        )


@contextlib.asynccontextmanager
async def hold_runs(session: Session, now: Instant) -> AsyncIterator[Runner]:
    """Check the runs directory and hold its lock. Errors: R0011, R0603, R0802."""
    for warning in session.store.check(allow_unsafe=session.allow_unsafe_fs):
        session.notices.warn(warning)
    async with session.store.lock(now, session.notices.say) as locked:
        yield Runner(session, locked)


@dataclass(frozen=True, slots=True)
class Runner:
    """A process that drives a run and holds the lock of the runs directory."""

    session: Session
    locked: LockedStore

    async def begin(self, saved: SavedPlan, service: Service) -> RunResult:
        """Check a plan, start its run and drive it."""
        last_wave(saved.plan, self.session.until_wave)  # an unknown wave is refused before any call
        approved = approvals.check(saved)
        await preflight.check(saved, service, self.session.store)
        if self.session.fence:
            await fence.check(saved.plan, service, self.session.store)
        async with proofs.prober(saved.plan, service) as prober:
            return await self._begin(saved, approved, service, prober)

    async def _begin(
        self, saved: SavedPlan, approved: list[Approved], service: Service, prober: Prober | None
    ) -> RunResult:
        """Start the run of a checked plan and drive it."""
        last = last_wave(saved.plan, self.session.until_wave)
        decider = Decider(saved.plan)
        sites = decider.run.layout.sites
        leases = await self.locked.lease(sites, saved.digest, person.user())
        now = service.clock.now()
        journal = self.locked.create(saved.digest, saved.raw, now)
        facts = RunFacts(journal.location, saved.digest, saved.plan.emulated, now, now)

        def start() -> None:
            mine = actor(service.identity.arn)
            decider.start(journal.run, saved.digest, mine, now)
            for event in approved:
                decider.put(event, now)
            _note_process(decider, service, leases, now)
            for one in saved.plan.overridden():
                decider.put(Overridden(one.field, one.value, one.former, one.reason), now)
            _limit(decider, last, mine, now)

        with journal:
            return await self._drive(decider, journal, service, leases, start, facts, prober)

    async def resume(
        self, folded: Folded, service: Service, order: OperatorCommand | None = None
    ) -> RunResult:
        """Continue an open run, folded under the lock of all runs.

        `order` is applied first, so that nothing starts before it.
        """
        run, decider = folded.run, folded.decider
        last = last_wave(run.plan, self.session.until_wave, closed=run.waves_closed)
        ends = run.aborted is not None or (order and order.command is OperatorVerb.ABORT)
        if self.session.fence and not ends:
            await fence.check(run.plan, service, self.session.store)
        facts = runs.facts(folded)
        leases = await self.locked.lease(run.layout.sites, facts.plan_digest, person.user())
        now = service.clock.now()

        def start() -> None:
            if folded.reader.torn is not None:
                decider.put(folded.reader.torn, now)
            if order is not None:
                decider.operate(order, now)
            mine = actor(service.identity.arn)
            decider.resume(mine, now)
            _note_process(decider, service, leases, now)
            _limit(decider, last, mine, now)

        async with proofs.prober(run.plan, service) as prober:
            with self.locked.open(folded.reader, run.epoch + 1, now) as journal:
                return await self._drive(decider, journal, service, leases, start, facts, prober)

    async def _drive(
        self,
        decider: Decider,
        journal: RunJournal,
        service: Service,
        leases: RunLeases,
        start: Callable[[], None],
        facts: RunFacts,
        prober: Prober | None,
    ) -> RunResult:
        progress = self.session.progress
        decider.waits = self.session.wait
        start()
        fenced = self.session.fence
        mine = marks.marks_of(decider.run, service, self.session.store) if fenced else None
        ports = Ports(
            service.clock,
            service,
            journal,
            journal.inbox(self.warn_unread),
            prober,
            preflight.gate_source(),
            leases,
            mine,
        )
        engine = LocalEngine(ports, progress.on_turn)
        self.locked.share(journal)
        journal.keep_secret(logs.KNOWN)

        async def drive() -> None:
            with progress:
                await engine.drive(decider)

        quota = decider.run.plan.limits.leave_quota_ppm
        service.allow_changes(
            quota, lambda: journal.lost() or leases.lost() or (mine.lost() if mine else "")
        )
        try:
            work = partial(self._notified, drive, decider.run.plan, journal)
            await marks.while_driving(work, mine, self.session.notices)
            journal.close()
        except (StorageError, IntegrityError) as error:
            self._report_lost(engine.lost)
            error.resume = f"rollout resume {decider.run.run_id}"
            raise
        except BaseException:
            self.session.notices.say(
                say("resume: {command}", command=f"rollout resume {decider.run.run_id}")
            )
            raise
        now = service.clock.now()
        return RunResult(
            view(decider.run, now),
            msgspec.structs.replace(facts, at=now, head=str(journal.head)),
            Exit(exit_of(decider.run)),
        )

    def warn_unread(self, error: RolloutError) -> None:
        """Warn that commands of operators do not arrive."""
        (problem,) = error.problems
        text = say("commands of operators cannot be read: {problem}", problem=problem.what)
        self.session.notices.warn(replace(problem, what=text))

    async def _notified(
        self, drive: Callable[[], Awaitable[None]], plan: Plan, journal: RunJournal
    ) -> None:
        """Drive the run, and notify its receivers."""
        if not plan.receivers():
            await drive()
            return
        stored = store.find(self.session.store, journal.run)
        await notifications.while_driving(drive, stored, plan, self.session.notices)

    def _report_lost(self, lost: list[AnyEvent]) -> None:
        """Report outcomes that could not be journaled, as the journal writes them. A resume
        observes them again.
        """
        shown = (record.clean(record.ENCODER.encode(event)).decode() for event in lost[:LOST_SHOWN])
        lines = [f"not in the journal: {text}" for text in shown]
        if len(lost) > LOST_SHOWN:
            lines.append(f"not in the journal: {len(lost) - LOST_SHOWN:,} more events")
        if lines:
            self.session.notices.say("\n".join(lines))


def _paused(run: str, order: OperatorCommand) -> Phrase:
    """Return who paused a run, and why."""
    text = say("run {run} was paused by {user}", run=run, user=order.actor.user)
    return say("{text}: {cause}", text=text, cause=order.reason) if order.reason else text


def last_wave(plan: Plan, name: str, closed: int = 0) -> int | None:
    """Return the number of the wave that `--until-wave` names; None for an empty name. `closed`
    waves are over. Errors: UsageError R0017.
    """
    if not name:
        return None
    names = [wave.name for wave in plan.waves]
    if name in names[closed:]:
        return names.index(name)
    raise UsageError.of(
        "R0017",
        say("--until-wave {name}: this is closed already", name=name)
        if name in names
        else say("--until-wave {name}: this is no wave of the plan", name=name),
        help=say("choose from {waves}", waves=", ".join(names[closed:]))
        if names[closed:]
        else say("all waves are closed"),
    )


def _limit(decider: Decider, last: int | None, mine: Actor, now: Instant) -> None:
    """Journal the last wave that this process may start."""
    if last is not None:
        decider.put(LastWaveSet(last, mine), now)


def _note_process(decider: Decider, service: Service, leases: RunLeases, now: Instant) -> None:
    """Journal the leases of this process, and a correction of its clock."""
    for leased in leases.events:
        decider.put(leased, now)
    if service.clock_skew is not None:
        decider.put(service.clock_skew, now)


def actor(arn: str = "") -> Actor:
    """Return the operator of this process, with its cloud identity if there is one."""
    return Actor(person.user(), arn, socket.gethostname(), os.getpid(), about.tool())


def command(verb: OperatorVerb, reason: str) -> OperatorCommand:
    """Return a command by the operator of this process."""
    at = LoopClock().now()
    return OperatorCommand(secrets.token_hex(8), verb, actor(), at, "command line", reason)
