"""Load runs from their store: the plan, and the state as a fold of the journal.

Called by every command that names a run. Changes nothing in the store.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from rollout.core.invariant import Bug
from rollout.core.running.decider import Decider
from rollout.core.running.journey import FINAL
from rollout.core.running.state import Run
from rollout.core.running.view import view
from rollout.engines.clock import LoopClock
from rollout.errors import Exit, IntegrityError, Place, PlanError, RolloutError, UsageError
from rollout.journal import store
from rollout.journal.directory import DirectoryStore
from rollout.journal.reader import Reader
from rollout.journal.record import Line
from rollout.journal.store import RunStore, StoredRun
from rollout.model.event import RunStarted
from rollout.model.notify import ReceiverState
from rollout.model.phrase import say
from rollout.model.plan import RULES, Plan
from rollout.model.time import Instant
from rollout.model.view import RunView


class RunFacts(msgspec.Struct, frozen=True):
    """Facts about a run that are not part of its state."""

    location: str
    """Where the run is stored."""
    plan_digest: str
    emulated: bool
    started_at: Instant
    at: Instant
    holder: str = ""
    """The process that holds the run's lock, empty if none does."""
    head: str = ""
    """Number and digest of the journal's last line, as `SEQ:HASH`."""
    receivers: tuple[ReceiverState, ...] = ()
    """Who is notified, and what each receiver lacks."""
    now: Instant = 0
    """The present time if a process drives the run, else 0; `at` is the time of the last line."""

    @property
    def until(self) -> Instant:
        """The end of the elapsed time: a run without a process stands still at its last line."""
        return max(self.at, self.now)


class RunResult(msgspec.Struct, frozen=True):
    """The state of a run when a command ends, and the command's exit code."""

    view: RunView
    facts: RunFacts
    exit: Exit


class ListedRun(msgspec.Struct, frozen=True):
    """A run of the runs directory: its state, or why it cannot be read."""

    run: str
    at: Instant
    view: RunView | None = None
    facts: RunFacts | None = None
    why: str = ""


def find(runs_dir: Path, run: str | None) -> StoredRun:
    """Return a run, given by its id or a unique prefix; None means the newest.

    Errors: UsageError R0003 if there is none, or more than one.
    """
    return store.find(DirectoryStore(runs_dir), run)


def state(run: StoredRun) -> tuple[RunView, RunFacts]:
    """Return the state of a run, the process that drives it, and what its receivers lack.

    Errors: as `fold`.
    """
    folded = fold(run)
    now = LoopClock().now()
    found = facts(folded, driven_by=run.driver())
    if found.holder and folded.run.closed is None:
        found = msgspec.structs.replace(found, now=now)
    if folded.run.plan.receivers():
        from rollout.app import receivers  # with aiohttp

        found = msgspec.structs.replace(found, receivers=receivers.states(run, folded.run.plan))
    return view(folded.run, now), found


def every(runs_dir: Path) -> list[ListedRun]:
    """Return all runs, oldest first, with runs that cannot be read."""
    return [_listed(run) for run in DirectoryStore(runs_dir).runs()]


def _listed(run: StoredRun) -> ListedRun:
    try:
        folded = fold(run)
        found = facts(folded, driven_by=run.driver())
        return ListedRun(run.id, run.at, view(folded.run, LoopClock().now()), found)
    except RolloutError as error:
        return ListedRun(run.id, run.at, why=str(error))


@dataclass(frozen=True, slots=True)
class Folded:
    """A run as its journal records it; `at` is the time of the last line."""

    stored: StoredRun
    reader: Reader
    decider: Decider
    started: RunStarted
    at: Instant

    @property
    def run(self) -> Run:
        """The state of the run."""
        return self.decider.run


def fold(stored: StoredRun) -> Folded:
    """Fold a run.

    Errors: IntegrityError R09xx, StorageError; UsageError R0003 if the run never started,
    PlanError R0321 if it started with another rules version.
    """
    reader = stored.read()
    decider: Decider | None = None
    at = 0
    for line in reader:
        if decider is None:
            started = reader.started
            assert started is not None  # noqa: S101 - the reader refuses any other first line
            _check_rules(started)
            decider = Decider(stored.plan(started.plan_digest))
        _take(decider, line, reader)
        at = line.at
    if decider is None or reader.started is None:
        raise _never_started(stored)
    return Folded(stored, reader, decider, reader.started, at)


def _take(decider: Decider, line: Line, reader: Reader) -> None:
    """Fold one line. R0905 if its events contradict earlier events."""
    try:
        for event in line.body:
            decider.fold(event)
    except (Bug, LookupError) as error:
        raise contradiction(decider.run.run_id, line, error, reader.place) from error


def contradiction(
    run: str, line: Line, cause: Exception, place: Place | None = None
) -> IntegrityError:
    """Return the error R0905: the events of a line contradict earlier events of its run."""
    message = say("line {seq} contradicts the lines before it: {cause}", seq=line.seq, cause=cause)
    return IntegrityError.of("R0905", message, place=place, help=f"rollout audit verify {run}")


def find_paused(runs_dir: Path, run: str) -> StoredRun | None:
    """Return the run if an operator paused it and a process drives it. Errors: `find`, `fold`."""
    found = find(runs_dir, run)
    return found if found.driver() and fold(found).run.paused is not None else None


def open_runs(runs: RunStore) -> list[Folded]:
    """Return the runs that started and did not close, oldest first.

    Errors: as `fold`; a run that cannot be read may be open, so it is never passed over.
    """
    folded = [fold(run) for run in not_closed(runs)]
    return [one for one in folded if one.run.closed is None]


def not_closed(runs: RunStore) -> list[StoredRun]:
    """Return the runs that started and may be open, oldest first; a fold of each decides.

    A run that cannot be read may be open: its error is raised.
    """
    found = []
    for run in runs.runs():
        if run.is_closed():
            continue
        if run.damage is not None:
            raise run.damage
        if run.started is not None:
            found.append(run)
    return found


def plan_of(stored: StoredRun) -> Plan:
    """Return the plan of a run. Errors: as `fold`."""
    if stored.damage is not None:
        raise stored.damage
    if stored.started is None:
        raise _never_started(stored)
    _check_rules(stored.started)
    return stored.plan(stored.started.plan_digest)


def unfinished(folded: Folded) -> list[str]:
    """Return the ids of unfinished targets. A new plan must not change them."""
    run = folded.run
    return [
        target.instance
        for ordinal, target in enumerate(run.layout.targets)
        if run.phase(ordinal) not in FINAL
    ]


def closed_result(stored: StoredRun) -> RunResult | None:
    """Return how a run ended; None if the store does not prove that it is closed."""
    return result_of(fold(stored)) if stored.is_closed() else None


def result_of(folded: Folded) -> RunResult | None:
    """Return how a folded run ended; None if it is open."""
    if folded.run.closed is None:
        return None
    return RunResult(view(folded.run), facts(folded), Exit(folded.run.closed.exit))


def facts(folded: Folded, *, driven_by: str = "") -> RunFacts:
    """Return the facts about a folded run that are not part of its state."""
    return RunFacts(
        folded.stored.location,
        folded.started.plan_digest,
        folded.run.plan.emulated,
        folded.started.at,
        folded.at,
        driven_by,
        str(folded.reader.head),
    )


def _never_started(stored: StoredRun) -> UsageError:
    return UsageError.of(
        "R0003",
        say(
            "run {run} never started: the process stopped before it wrote the first journal entry",
            run=stored.id,
        ),
        help=say("apply its plan again"),
    )


def _check_rules(started: RunStarted) -> None:
    if started.rules != RULES:
        raise PlanError.of(
            "R0321",
            say(
                "run {run} has rules version {rules}; this program uses {ours}",
                run=started.run,
                rules=started.rules,
                ours=RULES,
            ),
            help=say(
                "resume it with the version that started it: {program}",
                program=started.actor.program,
            ),
        )
