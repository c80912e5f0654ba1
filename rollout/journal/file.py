"""Writing a journal: append, group commit, segments, and what happens when the disk refuses.

The engine appends the events of a turn and syncs before any effect. One process writes, under the
lock of `lock`. Knows nothing of what the events mean.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Sequence
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from rollout.errors import ConflictError, IntegrityError, Place, RolloutError, StorageError
from rollout.journal.chain import Chain
from rollout.journal.disk import REAL, Disk
from rollout.journal.reader import (
    PLAN,
    SEAL,
    Reader,
    Seal,
    read,
    segment_name,
    unusable,
)
from rollout.model import limits
from rollout.model.event import AnyEvent
from rollout.model.time import Instant

__all__ = ["RunJournal", "create", "read", "reopen"]

RESERVE = "reserve"


def create(runs_dir: Path, run_id: str, plan_bytes: bytes, *, disk: Disk = REAL) -> RunJournal:
    """Make the directory of a new run with its plan and an empty journal, all durable.

    The directory gets its name last, so a run directory without a journal is always damage. A run
    that never wrote its first line is begun again. ConflictError R0602 where it did; StorageError
    where the disk refuses, before anything else happened.
    """
    run_dir, draft = runs_dir / run_id, runs_dir / f".{run_id}.new"
    try:
        disk.mkdir(runs_dir)
        if run_id in disk.names(runs_dir):
            return _begin_again(run_dir, plan_bytes, disk)
        disk.mkdir(draft)
        disk.save(draft / PLAN, plan_bytes)
        disk.save(draft / segment_name(1), b"")
        disk.sync_dir(draft)
        disk.replace(draft, run_dir)
        disk.sync_dir(runs_dir)
    except OSError as error:
        raise unusable(run_dir, error) from None
    return RunJournal(run_dir, disk=disk)


def reopen(reader: Reader) -> RunJournal:
    """Go on writing where an exhausted reader found the end; cuts a torn tail.

    The caller appends `reader.torn`, where there is one, before anything else.
    """
    if not reader.done:
        message = "a journal is reopened after it was read to its end"
        raise ValueError(message)
    return RunJournal(
        reader.run_dir,
        disk=reader.disk,
        chain=reader.chain,
        segment=reader.segment,
        size=reader.length,
    )


class RunJournal:
    """The writer. Implements the engine's port `Journal`.

    The first error poisons it: every later call raises StorageError R0801, nothing is tried
    again. The one exception is `last_words`, where the disk was merely full.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        disk: Disk = REAL,
        chain: Chain | None = None,
        segment: int = 1,
        size: int = 0,
    ) -> None:
        self.run_dir = run_dir
        self._disk = disk
        self._chain = Chain() if chain is None else chain
        self._segment = segment
        self._size = size
        self._pending = bytearray()
        self._rescue: bytes | None = None
        self._error: str | None = None
        self._turn = anyio.Lock()
        try:
            disk.reserve(run_dir / RESERVE, limits.RESERVE_BYTES)
            self._handle = disk.open(run_dir / segment_name(segment))
            disk.truncate(self._handle, size)
            disk.fdatasync(self._handle)  # also what a killed writer had not synced
        except OSError as error:
            raise unusable(run_dir, error) from None

    @property
    def seq(self) -> int:
        """Number of the last line appended, durable or not."""
        return self._chain.seq

    def append(self, events: Sequence[AnyEvent], at: Instant) -> None:
        """Add the events of one turn, in order; buffered until a sync."""
        self._alive()
        self._chain.extend(self._pending, events, at)

    async def sync(self) -> None:
        """Return when everything appended is durable; those who wait together share one sync."""
        if self._disk.inline:
            self.sync_now()
            return
        with anyio.CancelScope(shield=True):
            async with self._turn:
                self._alive()
                if self._pending:
                    batch = self._take()
                    await anyio.to_thread.run_sync(self._commit, batch)

    def sync_now(self) -> None:
        """The same without a loop, on the caller's own thread."""
        self._alive()
        if self._pending:
            self._commit(self._take())

    def low_space(self) -> bool:
        """Whether the run should halt before the disk is full; true where nobody can say."""
        try:
            return self._disk.free(self.run_dir) < 4 * limits.RESERVE_BYTES
        except OSError:
            return True

    def last_words(self, events: Sequence[AnyEvent], at: Instant) -> bool:
        """After the disk was full: what was to be written, and these, in the reserve's space.

        The caller hands in, once, how the calls in flight ended (those that never left as
        refused unsent) and `Halted`. True when all of it is durable; false where the disk is
        broken or still too full, and the caller tells people instead.
        """
        if self._rescue is None:
            return False
        words = bytearray(self._rescue) + self._pending
        self._rescue = None
        try:
            self._chain.extend(words, events, at)
            self._next_segment()
            self._write(words)
            self._disk.fdatasync(self._handle)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Sync, seal and let go. Of a poisoned journal only the handle is given back."""
        try:
            if self._error is None:
                self.sync_now()
                self._seal()
        finally:
            with contextlib.suppress(OSError):
                self._disk.close(self._handle)

    def _take(self) -> bytes:
        batch = bytes(self._pending)
        self._pending.clear()
        return batch

    def _commit(self, batch: bytes) -> None:
        """One write, one fdatasync. Runs in a worker thread: touches nothing `append` touches."""
        try:
            if self._size >= limits.SEGMENT_BYTES_MAX:
                self._next_segment()
            self._write(batch)
        except OSError as error:
            if error.errno in _FULL:
                self._make_room(batch)
            raise self._poison(error) from None
        try:
            self._disk.fdatasync(self._handle)
        except OSError as error:
            raise self._poison(error) from None
        self._size += len(batch)

    def _write(self, batch: bytes | bytearray) -> None:
        view = memoryview(batch)
        while view:
            view = view[self._disk.write(self._handle, view) :]

    def _next_segment(self) -> None:
        """Go on in a new file, whose name is durable before anything stands in it."""
        handle = self._disk.open(self.run_dir / segment_name(self._segment + 1))
        self._disk.close(self._handle)
        self._handle = handle
        self._segment += 1
        self._size = 0
        try:
            self._disk.sync_dir(self.run_dir)
        except OSError as error:  # never taken for a full disk: what a failed fsync lost is unknown
            raise OSError(errno.EIO, error.strerror) from None

    def _make_room(self, batch: bytes) -> None:
        """Leave the journal as it was durable, and free the reserve for the last words."""
        with contextlib.suppress(OSError):
            self._disk.truncate(self._handle, self._size)
            self._disk.fdatasync(self._handle)
            self._disk.unlink(self.run_dir / RESERVE)
            self._rescue = batch

    def _seal(self) -> None:
        """Best effort: a journal without its seal is as good, only its tail is less proved."""
        seal = Seal(self._chain.seq, self._chain.head)
        draft = self.run_dir / f"{SEAL}.new"
        with contextlib.suppress(OSError):
            self._disk.unlink(self.run_dir / RESERVE)
            self._disk.save(draft, msgspec.json.encode(seal) + b"\n")
            self._disk.replace(draft, self.run_dir / SEAL)
            self._disk.sync_dir(self.run_dir)

    def _alive(self) -> None:
        if self._error is not None:
            raise self._stopped(self._error)

    def _poison(self, error: OSError) -> RolloutError:
        self._error = error.strerror or str(error)
        return self._stopped(self._error)

    def _stopped(self, reason: str) -> RolloutError:
        return StorageError.of(
            "R0801",
            f"the journal cannot be written: {reason}",
            place=Place(str(self.run_dir / segment_name(self._segment))),
            help="nothing new begins; make room or mend the disk, then resume the run",
        )


def _begin_again(run_dir: Path, plan_bytes: bytes, disk: Disk) -> RunJournal:
    """A directory that a crash left before the run's first line; anything more is a conflict."""
    reader = read(run_dir, disk=disk)
    for _ in reader:
        message = f"this plan was applied already, in run {run_dir.name}"
        raise ConflictError.of("R0602", message, help=f"rollout resume {run_dir.name}")
    with disk.read(run_dir / PLAN) as file:
        if file.read() != plan_bytes:
            message = "the plan in the run directory is another one"
            raise IntegrityError.of("R0901", message, place=Place(str(run_dir / PLAN)))
    return reopen(reader)


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
