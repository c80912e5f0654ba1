"""Load a run from its directory: its plan, and its state as a fold of the journal.

Called by every command that names a run. Changes nothing on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from rollout.core.invariant import Bug
from rollout.core.running.decider import Decider
from rollout.core.running.journey import FINAL
from rollout.core.running.state import Run
from rollout.core.running.view import view
from rollout.errors import Exit, IntegrityError, PlanError, RolloutError, UsageError
from rollout.journal import closing
from rollout.journal import runs as directory
from rollout.journal.chain import Head
from rollout.journal.locks import driver
from rollout.journal.reader import Reader, read, read_plan
from rollout.journal.record import Line
from rollout.model.event import AnyEvent, RunStarted
from rollout.model.plan import RULES
from rollout.model.time import Instant
from rollout.model.view import RunView


class RunFacts(msgspec.Struct, frozen=True):
    """Facts about a run that are not part of its state."""

    run_dir: Path
    plan_digest: str
    emulated: bool
    started_at: Instant
    at: Instant
    holder: str = ""
    """The process that holds the run's lock, empty if none does."""
    head: str = ""
    """Number and digest of the journal's last line, as `SEQ:HASH`."""


class Ended(msgspec.Struct, frozen=True):
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


def find(runs_dir: Path, run: str | None) -> Path:
    """Return the directory of a run, given by its id or a unique prefix; None means the newest.

    Errors: UsageError R0003 if there is none, or more than one.
    """
    return directory.find(runs_dir, run).path


def newest_open(runs_dir: Path) -> str | None:
    """Return the id of the newest open run, or None. Errors: as `fold`."""
    folded = open_runs(runs_dir)
    return folded[-1].run_dir.name if folded else None


def state(run_dir: Path) -> tuple[RunView, RunFacts]:
    """Return the state of a run and the process that drives it. Errors: as `fold`."""
    folded = fold(run_dir)
    return view(folded.run), facts(folded, driven_by=driver.holder(run_dir))


def every(runs_dir: Path) -> list[ListedRun]:
    """Return all runs, oldest first, with runs that cannot be read."""
    return [_listed(one.path, one.at) for one in directory.every(runs_dir)]


def _listed(run_dir: Path, at: Instant) -> ListedRun:
    try:
        return ListedRun(run_dir.name, at, *state(run_dir))
    except RolloutError as error:
        return ListedRun(run_dir.name, at, why=str(error))


@dataclass(frozen=True, slots=True)
class Folded:
    """A run as recorded in its journal; `at` is the time of the last line."""

    reader: Reader
    decider: Decider
    started: RunStarted
    at: Instant

    @property
    def run(self) -> Run:
        """The state."""
        return self.decider.run

    @property
    def run_dir(self) -> Path:
        """Where it lies."""
        return self.reader.run_dir


def fold(run_dir: Path, append: Callable[[AnyEvent], None] = lambda _: None) -> Folded:
    """Fold a run; `append` gets the events that a resume adds.

    Errors: IntegrityError R09xx, StorageError; UsageError R0003 where the run never began,
    PlanError R0321 where it began under other rules than this program's.
    """
    reader = read(run_dir)
    decider: Decider | None = None
    at = 0
    for line in reader:
        if decider is None:
            started = reader.started
            assert started is not None  # noqa: S101 - the reader refuses any other first line
            _check_rules(started)
            decider = Decider(read_plan(run_dir, started.plan_digest), append)
        _take(decider, line, reader)
        at = line.at
    if decider is None or reader.started is None:
        raise UsageError.of(
            "R0003",
            f"run {run_dir.name} never started: the process stopped before "
            "it wrote the first journal entry",
            help="apply its plan again",
        )
    return Folded(reader, decider, reader.started, at)


def _take(decider: Decider, line: Line, reader: Reader) -> None:
    """Fold one line. R0905 if its events contradict earlier events."""
    try:
        for event in line.body:
            decider.fold(event)
    except (Bug, LookupError) as error:
        raise IntegrityError.of(
            "R0905",
            f"line {reader.number} (seq {line.seq}) contradicts the lines before it: {error}",
            place=reader.place,
            help=f"rollout audit verify {reader.run_dir.name}",
        ) from error


def open_runs(runs_dir: Path) -> list[Folded]:
    """Return the runs that started and did not close, oldest first.

    Errors: as `fold`; a run that cannot be read may be open, so it is never passed over.
    """
    folded = []
    for run in directory.every(runs_dir):
        if closing.is_closed(run.path):
            continue
        if run.damage is not None:
            raise run.damage
        if run.started is not None:
            folded.append(fold(run.path))
    return [one for one in folded if one.run.closed is None]


def unfinished(folded: Folded) -> list[str]:
    """Return the ids of unfinished targets. A new plan must not change them."""
    run = folded.run
    return [
        target.instance
        for ordinal, target in enumerate(run.layout.targets)
        if run.phase(ordinal) not in FINAL
    ]


def closed(run_dir: Path) -> Ended | None:
    """Return how a run ended, or None if it is open."""
    return ended(fold(run_dir))


def ended(folded: Folded) -> Ended | None:
    """Return how a folded run ended; None if it is open."""
    if folded.run.closed is None:
        return None
    return Ended(view(folded.run), facts(folded), Exit(folded.run.closed.exit))


def facts(folded: Folded, *, driven_by: str = "") -> RunFacts:
    """Return the facts about a folded run that are not part of its state."""
    return RunFacts(
        folded.run_dir,
        folded.started.plan_digest,
        folded.run.plan.emulated,
        folded.started.at,
        folded.at,
        driven_by,
        str(Head(folded.reader.chain.seq, folded.reader.chain.head)),
    )


def _check_rules(started: RunStarted) -> None:
    if started.rules != RULES:
        raise PlanError.of(
            "R0321",
            f"run {started.run} has rules version {started.rules}; this program uses {RULES}",
            help=f"resume it with the version that started it: {started.actor.program}",
        )
