"""Write a journal: append, group commit, segments, and the behavior on disk errors.

Called by the directory store for the engine, which appends the events of a turn and syncs before
any effect. One process writes, which `ownership` checks at every sync.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import anyio
import anyio.to_thread
import msgspec

from rollout.errors import ConflictError, IntegrityError, Place, RolloutError, StorageError
from rollout.journal.chain import Chain, Head
from rollout.journal.disk import REAL, Disk
from rollout.journal.inbox import Inbox
from rollout.journal.locks.lock import Lock
from rollout.journal.locks.ownership import Claim
from rollout.journal.reader import PLAN, SEAL, Reader, Seal, read, segment_name, unusable
from rollout.model import limits
from rollout.model.event import AnyEvent
from rollout.model.known_secrets import KnownSecrets
from rollout.model.phrase import say
from rollout.model.time import Instant

__all__ = ["RunJournal", "create", "read", "reopen"]

RESERVE = "reserve"


def create(runs_dir: Path, run_id: str, plan_bytes: bytes, *, disk: Disk = REAL) -> RunJournal:
    """Create the directory of a run with its plan and an empty journal, all durable.

    The directory gets its name last, so a run directory without a journal is always damage. A run
    without a first line is started again. ConflictError R0602 if it has one; StorageError R0802
    before anything else happened.
    """
    run_dir = runs_dir / run_id
    try:
        disk.mkdir(runs_dir)
        if run_id in disk.names(runs_dir):
            return _begin_again(run_dir, plan_bytes, disk)
        _sweep(run_dir, disk)
        draft = disk.fresh(run_dir)
        disk.mkdir_new(draft)
        disk.save(draft / PLAN, plan_bytes)
        disk.save(draft / segment_name(1), b"")
        disk.sync_dir(draft)
        disk.replace(draft, run_dir)
        disk.sync_dir(runs_dir)
    except OSError as error:
        raise unusable(run_dir, error) from None
    return RunJournal(run_dir, disk=disk)


def reopen(reader: Reader) -> RunJournal:
    """Continue a journal at the end that an exhausted reader found; cut a torn tail.

    The caller first appends `reader.torn` if there is one. ConflictError R0603 if another process
    writes the journal, or wrote to it after it was read.
    """
    if not reader.done:
        message = "the journal was not read to its end"
        raise ValueError(message)
    return RunJournal(
        reader.run_dir,
        disk=reader.disk,
        chain=reader.chain,
        segment=reader.segment,
        size=reader.length,
        found=reader.end,
    )


class RunJournal:
    """The writer of a journal. Implements the engine's port `Journal`. `with` releases it.

    The first error poisons it: every later call raises it again (StorageError R0801, or
    IntegrityError R0906 if the files no longer belong to this process), and nothing is retried.
    The one exception is `append_final` after a full disk.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        disk: Disk = REAL,
        chain: Chain | None = None,
        segment: int = 1,
        size: int = 0,
        found: int | None = None,
    ) -> None:
        """Open the current file. `found` is the size that it must still have since it was read."""
        self.run_dir = run_dir
        self._disk = disk
        self._chain = Chain() if chain is None else chain
        self._segment = segment
        self._size = size
        self._pending = bytearray()
        self._rescue: bytes | None = None
        self._error: RolloutError | None = None
        self._handle: int | None = None
        self._own: Lock | None = None
        self._turn = anyio.Lock()
        try:
            self._claim = Claim(run_dir, disk)
        except OSError as error:
            raise unusable(run_dir, error) from None
        try:
            self._open(found)
        except OSError as error:
            self.release()
            raise unusable(run_dir, error) from None
        except BaseException:
            self.release()
            raise

    @property
    def seq(self) -> int:
        """Number of the last line appended, durable or not."""
        return self._chain.seq

    def keep_secret(self, known: KnownSecrets) -> None:
        """Blank these secrets in every line that is written from now on."""
        self._chain.known = known

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    @property
    def run(self) -> str:
        """The run's id."""
        return self.run_dir.name

    @property
    def location(self) -> str:
        """Where the run is stored, for messages."""
        return str(self.run_dir)

    def inbox(self, on_trouble: Callable[[RolloutError], None] = lambda _: None) -> Inbox:
        """Return the reader of the commands that operators send to this run."""
        return Inbox(self.run_dir, disk=self._disk, on_trouble=on_trouble)

    @property
    def head(self) -> Head:
        """Number and digest of the last line appended."""
        return Head(self._chain.seq, self._chain.head)

    def append(self, events: Sequence[AnyEvent], at: Instant) -> None:
        """Add the events of one turn, in order; buffered until a sync."""
        self._alive()
        self._chain.extend(self._pending, events, at)

    async def sync(self) -> None:
        """Return when everything appended is durable. Concurrent callers share one sync."""
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
        """Sync without an event loop, on the caller's thread."""
        self._alive()
        if self._pending:
            self._commit(self._take())

    def guard(self, shared: Lock, own: Lock) -> None:
        """Count the journal as lost if one of these locks is lost; give `own` back on release."""
        self._claim.watch(shared, own)
        self._own = own

    def guard_alone(self) -> None:
        """Rely on the run's own lock only: the lock of all runs is about to be released."""
        if self._own is not None:
            self._claim.watch(self._own)

    def lost(self) -> str:
        """Return why this process may no longer drive the run; empty while it may.

        Cheap enough to call before each mutating call. Does not cover the time between this call
        and the first byte that is sent.
        """
        return self._claim.lost()

    def low_space(self) -> bool:
        """Return whether the run should halt before the disk is full; true if that is unknown.

        False if the run directory was moved or removed: `lost` reports that, and a full disk would
        be the wrong cause.
        """
        try:
            return self._disk.free(self.run_dir) < 4 * limits.RESERVE_BYTES
        except FileNotFoundError:
            return False
        except OSError:
            return True

    def append_final(self, events: Sequence[AnyEvent], at: Instant) -> bool:
        """After a full disk, write the pending lines and these events into the reserved space.

        The caller passes once the results of open calls (unsent ones as refused unsent) and
        `Halted`. Return true if all of it is durable; false if the disk is broken or still full,
        and the caller reports the events instead.
        """
        if self._rescue is None or self.lost():
            return False
        final_lines = bytearray(self._rescue) + self._pending
        self._rescue = None
        try:
            self._chain.extend(final_lines, events, at)
            self._next_segment()
            self._write(final_lines)
            self._disk.fdatasync(self._file)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Sync, seal and release. A poisoned journal is only released."""
        try:
            if self._error is None:
                self.sync_now()
                self._check()
                self._seal()
        finally:
            self.release()

    def release(self) -> None:
        """Give back handles and locks and write nothing. A second call does nothing."""
        handle, self._handle = self._handle, None
        with contextlib.suppress(OSError):
            if handle is not None:
                self._disk.close(handle)
        with contextlib.suppress(OSError):
            self._claim.release()
        if self._own is not None:
            self._own.release()

    @property
    def _file(self) -> int:
        if self._handle is None:
            message = "the journal was released"
            raise ValueError(message)
        return self._handle

    def _open(self, found: int | None) -> None:
        """Open the current file, and remove an incomplete line of a killed writer."""
        disk, path = self._disk, self.run_dir / segment_name(self._segment)
        if found is not None:
            now, later = disk.stat(path), disk.stat(self.run_dir / segment_name(self._segment + 1))
            if now is None or now.size != found or later is not None:
                raise ConflictError.of(
                    "R0603",
                    say("another process wrote the journal while it was read"),
                    place=Place(str(path)),
                    help=f"rollout status {self.run_dir.name}",
                )
        disk.reserve(self.run_dir / RESERVE, limits.RESERVE_BYTES)
        self._handle = disk.open(path)
        disk.truncate(self._handle, self._size)
        disk.fdatasync(self._handle)  # includes lines that a killed writer did not sync
        self._claim.follow(path, self._handle, self._size)

    def _take(self) -> bytes:
        batch = bytes(self._pending)
        self._pending.clear()
        return batch

    def _commit(self, batch: bytes) -> None:
        """One write, one fdatasync. Runs in a worker thread: uses nothing that `append` uses."""
        self._check()
        try:
            if self._size >= limits.SEGMENT_BYTES_MAX:
                self._next_segment()
            self._claim.extend(len(batch))
            self._write(batch)
        except OSError as error:
            if error.errno in _FULL:
                self._make_room(batch)
            raise self._poison(error) from None
        try:
            self._disk.fdatasync(self._file)
        except OSError as error:
            raise self._poison(error) from None
        self._size += len(batch)
        self._claim.settle(self._size)
        self._check()

    def _check(self) -> None:
        """Poison with IntegrityError R0906 if the files no longer belong to this process."""
        reason = self.lost()
        if reason:
            self._error = IntegrityError.of(
                "R0906",
                say("the run no longer belongs to this process: {reason}", reason=reason),
                place=Place(str(self.run_dir)),
                help=say(
                    "nothing more was sent or written. Make sure that only one copy of the runs "
                    "directory is in use and that no other process drives the run, then resume it"
                ),
            )
            raise self._error

    def _write(self, batch: bytes | bytearray) -> None:
        view = memoryview(batch)
        while view:
            view = view[self._disk.write(self._file, view) :]

    def _next_segment(self) -> None:
        """Continue in a new file, whose name is durable before its first line."""
        path = self.run_dir / segment_name(self._segment + 1)
        handle = self._disk.open(path)
        self._disk.close(self._file)
        self._handle = handle
        self._segment += 1
        self._size = 0
        self._claim.follow(path, handle, 0)
        try:
            self._disk.sync_dir(self.run_dir)
        except OSError as error:  # never a full disk: it is unknown what a failed fsync lost
            raise OSError(errno.EIO, error.strerror) from None

    def _make_room(self, batch: bytes) -> None:
        """Cut the journal to its durable lines, and free the reserve for the final events."""
        with contextlib.suppress(OSError):
            self._disk.truncate(self._file, self._size)
            self._disk.fdatasync(self._file)
            self._claim.settle(self._size)
            self._disk.unlink(self.run_dir / RESERVE)
            self._rescue = batch

    def _seal(self) -> None:
        """Seal the journal if possible. Without a seal only its tail is less protected."""
        seal = Seal(self._chain.seq, self._chain.head)
        path = self.run_dir / SEAL
        draft = self._disk.fresh(path)
        with contextlib.suppress(OSError):
            self._disk.unlink(self.run_dir / RESERVE)
            _sweep(path, self._disk)
            self._disk.save(draft, msgspec.json.encode(seal) + b"\n")
            self._disk.replace(draft, path)
            self._disk.sync_dir(self.run_dir)

    def _alive(self) -> None:
        if self._error is not None:
            raise self._error

    def _poison(self, error: OSError) -> RolloutError:
        self._error = StorageError.of(
            "R0801",
            say("the journal cannot be written: {cause}", cause=error.strerror or error),
            place=Place(str(self.run_dir / segment_name(self._segment))),
            help=say(
                "nothing new was started; free disk space or repair the disk, then resume the run"
            ),
        )
        return self._error


def _sweep(path: Path, disk: Disk) -> None:
    """Remove files that crashes left under temporary names of this path."""
    for name in disk.names(path.parent):
        if name.startswith(f".{path.name}.") and name.endswith(".new"):
            disk.discard(path.with_name(name))


def _begin_again(run_dir: Path, plan_bytes: bytes, disk: Disk) -> RunJournal:
    """Reopen the directory of a run without a first line. ConflictError R0602 if it has one."""
    reader = read(run_dir, disk=disk)
    for _ in reader:
        message = say("this plan was already applied, in run {run}", run=run_dir.name)
        raise ConflictError.of("R0602", message, help=f"rollout resume {run_dir.name}")
    with disk.read(run_dir / PLAN) as file:
        if file.read() != plan_bytes:
            message = say("the plan in the run directory is another one")
            raise IntegrityError.of("R0901", message, place=Place(str(run_dir / PLAN)))
    return reopen(reader)


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
