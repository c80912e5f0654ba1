"""Checks that a run's files still belong to the process that writes them.

Called by the writer before each line and before each mutating call. Finds removed or replaced
locks, a removed, replaced or moved journal, and lines of another process.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rollout.journal.disk import Disk
from rollout.journal.locks import lock
from rollout.journal.locks.lock import Lock
from rollout.journal.reader import segment_name


class _Extent(NamedTuple):
    """The file being written: its name, its identity and the range of its size."""

    path: Path
    identity: tuple[int, int]
    least: int
    most: int


class Claim:
    """A process's claim on one journal. It locks the first file of the journal while it writes, so
    that no other process can write after lock files were removed.

    `extend`, `settle` and `lost` may be called from two threads, one of which writes.
    """

    def __init__(self, run_dir: Path, disk: Disk) -> None:
        """Lock the journal. Errors: ConflictError R0603 if another process writes it; OSError."""
        self._disk = disk
        self._extent: _Extent | None = None
        self._locks: tuple[Lock, ...] = ()
        disk.check_dir(run_dir)
        self._guard: int | None = disk.open_lock(run_dir / segment_name(1))
        if not disk.seize(self._guard):
            self.release()
            owner = lock.parse(disk.text(run_dir / lock.RUN_LOCK))
            raise lock.held(run_dir / segment_name(1), owner)

    def watch(self, *locks: Lock) -> None:
        """Count the journal as lost if one of these locks is lost."""
        self._locks = locks

    def follow(self, path: Path, handle: int, size: int) -> None:
        """Watch this file from now on. Errors: OSError."""
        self._extent = _Extent(path, self._disk.fstat(handle).identity, size, size)

    def extend(self, length: int) -> None:
        """Expect a write of this many bytes."""
        if self._extent is not None:
            self._extent = self._extent._replace(most=self._extent.most + length)

    def settle(self, size: int) -> None:
        """Expect exactly this size: no write is in progress."""
        if self._extent is not None:
            self._extent = self._extent._replace(least=size, most=size)

    def lost(self) -> str:
        """Return why the journal is lost; empty if it is not. Costs a few stat calls."""
        extent = self._extent
        if extent is not None:
            try:
                now = self._disk.stat(extent.path)
            except OSError as error:
                return f"{extent.path}: {error.strerror or error}"
            if now is None:
                return f"{extent.path} was removed or moved"
            if now.identity != extent.identity:
                return f"{extent.path} was replaced"
            if not extent.least <= now.size <= extent.most:
                return f"{extent.path} has {now.size:,} bytes, this process wrote {extent.most:,}"
        return next(filter(None, (held.lost() for held in self._locks)), "")

    def release(self) -> None:
        """Unlock the journal. A second call does nothing."""
        if self._guard is not None:
            guard, self._guard = self._guard, None
            self._disk.close(guard)
