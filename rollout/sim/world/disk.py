"""A simulated disk that distinguishes written from durable data, so that a crash loses the rest.

Implements the journal's `Disk` and `LockFiles` in memory. Every effect is a point where the process
may die (the crash points) and where the disk may refuse, as a full or a broken one does.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from rollout.journal.disk import Stat
from rollout.sim.time.dice import Dice

SPACE_BYTES = 1 << 40
GARBAGE_BYTES_MAX = 64


class Crash(Exception):
    """The process died at this point."""


class CrashPoints:
    """Counts the points where a process may die, and kills it at one of them."""

    def __init__(self) -> None:
        self.passed = 0
        self.left: int | None = None
        self.died_at = ""
        self.on_death: Callable[[], None] | None = None

    @contextlib.contextmanager
    def spared(self) -> Iterator[None]:
        """Do not count points of another process."""
        left, self.left = self.left, None
        try:
            yield
        finally:
            self.left = left

    def visit(self, point: str) -> None:
        """Pass a point. Errors: Crash at the chosen one, and at every later point."""
        self.passed += 1
        if self.left is None:
            return
        self.left -= 1
        if self.left == 0:
            self.died_at = point
            if self.on_death is not None:
                self.on_death()
        if self.left <= 0:
            raise Crash(self.died_at)


class _File:
    """The visible data of a file, and the data that survives a power cut."""

    __slots__ = ("data", "durable", "inode")
    _inodes = itertools.count(1)

    def __init__(self) -> None:
        self.inode = next(self._inodes)
        self.data = bytearray()
        self.durable = b""


class SimDisk:
    """Files by path. `refuse` makes later writes or syncs fail until `repair`."""

    inline = True

    def __init__(self, crash_points: CrashPoints) -> None:
        self.crash_points = crash_points
        self.files: dict[Path, _File] = {}
        self.names_durable: dict[Path, _File] = {}
        self.space_bytes = SPACE_BYTES
        self._handles: dict[int, _File] = {}
        self._seized: set[int] = set()
        self._opened = 0
        self._names = itertools.count()
        self._fails: dict[str, int] = {}
        self._fails_after = 0

    # failures

    def refuse(self, name: str, number: int, after: int) -> None:
        """Let every `write` or `fdatasync` fail with this errno, after a number that succeed."""
        self._fails = {name: number}
        self._fails_after = after

    def repair(self) -> None:
        """Repair the disk and free its space."""
        self._fails = {}
        self.space_bytes = SPACE_BYTES

    def die(self, dice: Dice) -> None:
        """Keep what a power cut leaves: durable bytes and any part of the others, or garbage."""
        self.files = dict(self.names_durable)
        self._handles.clear()
        self._seized.clear()
        for file in self.files.values():
            if not file.data.startswith(file.durable):
                continue  # truncated and not yet synced: the truncation may survive
            rest = len(file.data) - len(file.durable)
            keep = dice.pick((0, rest, dice.between(0, rest)))
            del file.data[len(file.durable) + keep :]
            if keep < rest and dice.chance(30):
                file.data += bytes(dice.between(1, GARBAGE_BYTES_MAX))
            file.durable = bytes(file.data)

    def durable_bytes(self, path: Path, prefix: str) -> int:
        """Return how many durable bytes the files of a directory with this name prefix have."""
        return sum(
            len(file.durable)
            for name, file in self.names_durable.items()
            if name.name.startswith(prefix) and name.parent == path
        )

    # the protocol

    def mkdir(self, path: Path) -> None:
        """See Disk; directories are only in the names of files."""

    def fresh(self, path: Path) -> Path:
        """See Disk."""
        return path.with_name(f".{path.name}.{next(self._names)}.new")

    def mkdir_new(self, path: Path) -> None:
        """See Disk."""

    def discard(self, path: Path) -> None:
        """See Disk."""
        for name in [one for one in self.files if one == path or path in one.parents]:
            del self.files[name]

    def check_dir(self, path: Path) -> None:
        """See Disk: there is only one user."""

    def names(self, path: Path) -> list[str]:
        """See Disk."""
        folder, depth = path.parts, len(path.parts)
        paths = (file.parts for file in self.files)
        return sorted({parts[depth] for parts in paths if parts[:depth] == folder != parts})

    def read(self, path: Path) -> BinaryIO:
        """See Disk."""
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return io.BytesIO(bytes(self.files[path].data))

    def save(self, path: Path, data: bytes) -> None:
        """See Disk."""
        self.crash_points.visit("save")
        if path in self.files:
            raise FileExistsError(errno.EEXIST, "file exists", str(path))
        file = self.files[path] = _File()
        file.data[:] = data
        file.durable = bytes(data)

    def replace(self, source: Path, target: Path) -> None:
        """See Disk."""
        self.crash_points.visit("replace")
        if source in self.files:
            self.files[target] = self.files.pop(source)
            return
        for path in [one for one in self.files if one == source or source in one.parents]:
            name = target if path == source else target / path.relative_to(source)
            self.files[name] = self.files.pop(path)

    def link(self, source: Path, target: Path) -> None:
        """See Disk."""
        self.crash_points.visit("link")
        if target in self.files:
            raise FileExistsError(errno.EEXIST, "file exists", str(target))
        self.files[target] = self.files[source]

    def unlink(self, path: Path) -> None:
        """See Disk."""
        self.files.pop(path, None)

    def sync_dir(self, path: Path) -> None:
        """See Disk. Names in subdirectories become durable too; no test may rely on it."""
        self.crash_points.visit("sync_dir")
        for name in [one for one in self.names_durable if path in one.parents]:
            if name not in self.files:
                del self.names_durable[name]
        for name, file in self.files.items():
            if path in name.parents:
                self.names_durable[name] = file

    def reserve(self, path: Path, size: int) -> None:
        """See Disk."""
        self.files.setdefault(path, _File())

    def free(self, path: Path) -> int:
        """See Disk."""
        return self.space_bytes

    def open(self, path: Path) -> int:
        """See Disk."""
        self._opened += 1
        self._handles[self._opened] = self.files.setdefault(path, _File())
        return self._opened

    def write(self, handle: int, data: memoryview) -> int:
        """See Disk. The process may die in the middle of it."""
        file = self._handles[handle]
        self.crash_points.visit("before write")
        half = len(data) // 2
        file.data += data[:half]
        self._effect("write")
        self.crash_points.visit("half written")
        file.data += data[half:]
        self.crash_points.visit("written")
        return len(data)

    def fdatasync(self, handle: int) -> None:
        """See Disk. A sync that fails loses the unsynced data."""
        file = self._handles[handle]
        try:
            self._effect("fdatasync")
        except OSError:
            file.data[:] = file.durable
            raise
        file.durable = bytes(file.data)
        self.crash_points.visit("synced")

    def truncate(self, handle: int, size: int) -> None:
        """See Disk."""
        del self._handles[handle].data[size:]

    def close(self, handle: int) -> None:
        """See Disk and LockFiles."""
        del self._handles[handle]
        self._seized.discard(handle)

    # the protocol of locks

    def open_lock(self, path: Path) -> int:
        """See LockFiles."""
        return self.open(path)

    def seize(self, handle: int) -> bool:
        """See LockFiles."""
        file = self._handles[handle]
        if any(self._handles[other] is file for other in self._seized):
            return False
        self._seized.add(handle)
        return True

    def held(self, path: Path) -> bool:
        """See LockFiles."""
        file = self.files.get(path)
        return any(self._handles[other] is file for other in self._seized)

    def stat(self, path: Path) -> Stat | None:
        """See LockFiles."""
        file = self.files.get(path)
        return None if file is None else _stat(file)

    def fstat(self, handle: int) -> Stat:
        """See LockFiles."""
        return _stat(self._handles[handle])

    def text(self, path: Path) -> bytes:
        """See LockFiles."""
        return bytes(self.files[path].data) if path in self.files else b""

    def read_lock(self, handle: int) -> bytes:
        """See LockFiles."""
        return bytes(self._handles[handle].data)

    def write_lock(self, handle: int, text: bytes) -> None:
        """See LockFiles. The process may die before and after the owner is written."""
        self.crash_points.visit("before a lock is named")
        self._handles[handle].data[:] = text
        self.crash_points.visit("lock named")

    def _effect(self, name: str) -> None:
        number = self._fails.get(name)
        if number is None:
            return
        self._fails_after -= 1
        if self._fails_after < 0:
            if number == errno.ENOSPC:
                self._fails = {}  # the reserve is freed by then
            raise OSError(number, "refused")


def _stat(file: _File) -> Stat:
    return Stat((0, file.inode), len(file.data))
