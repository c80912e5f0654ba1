"""The store of runs, as a protocol: list, create, open, append, lock, follow.

Called by the use cases and the simulator; `directory` implements it. Nothing outside a store knows
where journals, plans and locks are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from rollout.errors import Problem, RolloutError, UsageError
from rollout.journal.chain import Head
from rollout.journal.follower import Follower
from rollout.journal.inbox import SentCommand
from rollout.journal.reader import Reader
from rollout.journal.writer import RunJournal
from rollout.model.event import Leased, OperatorCommand, RunStarted
from rollout.model.phrase import say
from rollout.model.plan import Plan
from rollout.model.schedule_event import ScheduleEntry
from rollout.model.site import Site
from rollout.model.time import Duration, Instant


class StoredRun(Protocol):
    """One run. Only its first event has been read."""

    @property
    def id(self) -> str:
        """The run's id."""

    @property
    def location(self) -> str:
        """Where the run is stored, for messages."""

    @property
    def started(self) -> RunStarted | None:
        """The run's first event; None if it is missing or damaged."""

    @property
    def damage(self) -> RolloutError | None:
        """Why the first event cannot be read."""

    @property
    def at(self) -> Instant:
        """When the run started; without a first event, when its storage was created."""

    def is_closed(self) -> bool:
        """Return whether the store proves that the run is closed, at a cost independent of its
        length. False means that only a fold of the journal decides.
        """

    def closed_at(self) -> Instant | None:
        """Return the time of the line that closes the run, at the same cost; else None."""

    def read(self) -> Reader:
        """Return the lines of the journal, to be iterated once."""

    def plan(self, digest: str) -> Plan:
        """Return the plan of the run, whose digest its first line names.

        Errors: IntegrityError R0901, R0902; PlanError R0321.
        """

    def plan_bytes(self) -> bytes:
        """Return the stored plan without any check. Errors: StorageError."""

    def follow(self, cursor: Head | None = None) -> Follower:
        """Return a follower that continues after `cursor`, or begins with the first line."""

    def driver(self) -> str:
        """Return the process that drives the run now, as text; empty if none does."""

    def read_side(self, name: str) -> bytes | None:
        """Return a small file of the run that is not part of the journal; None if it is missing.

        Errors: StorageError R0802.
        """

    def write_side(self, name: str, content: bytes) -> None:
        """Replace such a file atomically and durably. Errors: StorageError R0802."""

    def send(self, command: OperatorCommand) -> SentCommand:
        """Put a command into the run's inbox. Errors: StorageError R0802."""


class RunLeases(Protocol):
    """The leases of all sites of a run, held by this process until the store's lock is released."""

    events: list[Leased]
    """What the journal records about each lease."""

    def renew(self) -> None:
        """Extend the leases. Called in a worker thread; never raises."""

    def left_ms(self) -> Duration:
        """Return for how long a call may still be sent under these leases."""

    def lost(self) -> str:
        """Return why the leases are lost, permanently; empty while they are held."""


class LockedStore(Protocol):
    """The lock of a store, held. Only its holder creates runs and opens journals for writing.

    The journal that `create` and `open` return holds the run's own lock until its release, and is
    lost if either lock is lost.
    """

    def create(self, plan_digest: str, plan: bytes, now: Instant) -> RunJournal:
        """Create the run of a plan. ConflictError R0602 if it exists; StorageError R0802."""

    def open(self, read: Reader, epoch: int, now: Instant) -> RunJournal:
        """Continue a journal at the end that its reader found; cut a torn tail.

        ConflictError R0603 if another process writes the journal, or wrote to it meanwhile.
        """

    async def lease(self, sites: Iterable[Site], plan_digest: str, user: str) -> RunLeases:
        """Take the leases of these sites for the run of a plan; waits until an idle one expires.

        Errors: ConflictError R0618 if another run renews one, R0603; StorageError R0802.
        """

    def share(self, journal: RunJournal) -> None:
        """Let other processes drive runs of other sites: the run's lock and its leases suffice."""


class ScheduleStore(Protocol):
    """The journals of schedules: entries that are only appended, each with a number from 1."""

    def names(self) -> list[str]:
        """Return the names of all schedules, removed ones too. Errors: StorageError R0802."""

    def entries(self, name: str) -> list[ScheduleEntry]:
        """Return the entries of a schedule. Errors: StorageError R0802, IntegrityError R0634."""

    def later(self, name: str, number: int, last: ScheduleEntry) -> list[ScheduleEntry] | None:
        """Return the entries after `number`, which reads only these; None if entry `number` is not
        `last`, because the journal was replaced. Errors: as `entries`.
        """

    def append(self, name: str, number: int, entry: ScheduleEntry) -> bool:
        """Append an entry, durable on return; false if another process wrote that number.

        Errors: StorageError R0802.
        """

    def plan_file(self, name: str) -> Path:
        """Return the path for a plan file of this name; its directory exists. Errors: R0802."""


class RunStore(Protocol):
    """All runs of one team. Its text names the store in messages."""

    def check(self, *, allow_unsafe: bool = False) -> list[Problem]:
        """Prepare the store for writing, and return warnings. Errors: R0011, R0802."""

    def check_new(self, *, allow_unsafe: bool = False) -> list[Problem]:
        """Check whether a store that does not exist can be created, and return warnings. Changes
        nothing. Errors: R0011, R0802.
        """

    def runs(self) -> Sequence[StoredRun]:
        """Return all runs, oldest first. Errors: StorageError R0802."""

    def schedules(self) -> ScheduleStore:
        """Return the journals of the schedules whose runs are in this store."""

    def lock(
        self, now: Instant, say: Callable[[str], None] = ...
    ) -> AbstractAsyncContextManager[LockedStore]:
        """Hold the store's lock, which a process needs while it starts or resumes a run.

        `LockedStore.share` may release it before the end of the context. `say` receives a message
        before a wait. Errors: ConflictError R0603, StorageError R0802.
        """


def of_plan(store: RunStore, plan_digest: str) -> list[StoredRun]:
    """Return the runs of one plan that started, oldest first."""
    runs = store.runs()
    return [run for run in runs if run.started and run.started.plan_digest == plan_digest]


def find(store: RunStore, text: str | None) -> StoredRun:
    """Return the run with this id or unique prefix of an id; for None, the newest one.

    UsageError R0003 if there is none, or more than one.
    """
    runs = store.runs()
    if not runs:
        raise UsageError.of(
            "R0003",
            say("there are no runs in {folder}", folder=store),
            help="rollout apply PLAN",
        )
    if text is None:
        return runs[-1]
    found = [run for run in runs if run.id.startswith(text)]
    exact = [run for run in found if run.id == text]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if found:
        names = ", ".join(run.id for run in found[:5])
        raise UsageError.of(
            "R0003",
            say(
                "{text} is a prefix of {count} runs: {names}",
                text=text,
                count=len(found),
                names=names,
            ),
        )
    raise UsageError.of(
        "R0003",
        say("no run in {folder} begins with {text}", folder=store, text=text),
        help="rollout history",
    )
