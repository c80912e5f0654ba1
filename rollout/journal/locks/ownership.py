"""Whether a run's files still belong to the process that writes them.

Called by the writer of the journal, before each line and before each change leaves. Finds removed
or replaced locks, a journal that was removed, replaced or moved, and lines of another process.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rollout.journal.disk import Disk
from rollout.journal.locks import lock
from rollout.journal.locks.lock import Lock
from rollout.journal.reader import segment_name


class _Extent(NamedTuple):
    """The file that is written: its name and identity, and the sizes that it may have now."""

    path: Path
    identity: tuple[int, int]
    least: int
    most: int


class Claim:
    """A process's claim on one journal. It locks the first file of the journal, for as long as it
    writes, so that removing lock files lets nobody else write.

    `extend`, `settle` and `lost` may be called from two threads, one of which writes.
    """

    def __init__(self, run_dir: Path, disk: Disk) -> None:
        """Lock the journal. ConflictError R0603 where another process writes it; OSError."""
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
        """Count a lock that is lost as a journal that is lost."""
        self._locks = locks

    def follow(self, path: Path, handle: int, size: int) -> None:
        """From now on this is the file that is written. Errors: OSError."""
        self._extent = _Extent(path, self._disk.fstat(handle).identity, size, size)

    def extend(self, length: int) -> None:
        """So many bytes are about to be written."""
        if self._extent is not None:
            self._extent = self._extent._replace(most=self._extent.most + length)

    def settle(self, size: int) -> None:
        """The file has this size, and no write is under way."""
        if self._extent is not None:
            self._extent = self._extent._replace(least=size, most=size)

    def lost(self) -> str:
        """Why the journal is no longer this process's own; empty while it is. A few stat calls."""
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
        """Unlock the journal; a second time does nothing."""
        if self._guard is not None:
            guard, self._guard = self._guard, None
            self._disk.close(guard)
