"""The operations on files that journals use, and their implementation on this machine.

All access goes through `Disk`, so that a simulated disk can lose, tear and refuse writes. Creates
directories with mode 0700 and files with 0600, follows no links and opens only regular files.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import time
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol


class Stat(NamedTuple):
    """Identity of a file (device and inode), and its length in bytes."""

    identity: tuple[int, int]
    size: int


class LockFiles(Protocol):
    """Small files with a text, each held by one process at a time."""

    def open_lock(self, path: Path) -> int:
        """Return a handle of a lock file, created if it is missing."""

    def seize(self, handle: int) -> bool:
        """Hold the file until the handle is closed or the process ends; false if it is held.

        Waits only for readers that call `held`, for a moment.
        """

    def held(self, path: Path) -> bool:
        """Return whether a process holds the file now; false if there is no file."""

    def stat(self, path: Path) -> Stat | None:
        """Return the regular file of this name, None if there is none. Never follows a link."""

    def fstat(self, handle: int) -> Stat:
        """Return the file of a handle."""

    def read_lock(self, handle: int) -> bytes:
        """Return the text of a handle's file."""

    def text(self, path: Path) -> bytes:
        """Return the text of a lock file as the file server has it now; empty if it is missing."""

    def write_lock(self, handle: int, text: bytes) -> None:
        """Replace the text, visible to other machines on return."""

    def close(self, handle: int) -> None:
        """Close a handle, and no longer hold its file."""


class Disk(LockFiles, Protocol):
    """A disk. All errors are OSError; handles are the disk's own.

    `inline` is true if no operation blocks, so that no worker thread is needed.
    """

    @property
    def inline(self) -> bool:
        """Return whether to call from the event loop itself."""

    def mkdir(self, path: Path) -> None:
        """Create a directory and its parents unless they exist."""

    def fresh(self, path: Path) -> Path:
        """Return an unpredictable temporary name next to `path`: `.NAME.….new`."""

    def mkdir_new(self, path: Path) -> None:
        """Create a directory; an error if it exists."""

    def discard(self, path: Path) -> None:
        """Remove a temporary file, or a temporary directory with its files; never follows links."""

    def check_dir(self, path: Path) -> None:
        """Refuse a directory that is a link, owned by another user, or writable by other users."""

    def names(self, path: Path) -> list[str]:
        """Return the names in a directory, sorted."""

    def read(self, path: Path) -> BinaryIO:
        """Open a file for reading."""

    def save(self, path: Path, data: bytes) -> None:
        """Write a whole new file and fsync it; an error if the name exists."""

    def replace(self, source: Path, target: Path) -> None:
        """Rename a file over another one, or a directory to a free name."""

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name; FileExistsError if that name exists."""

    def unlink(self, path: Path) -> None:
        """Remove a file if it exists."""

    def sync_dir(self, path: Path) -> None:
        """Make the names in a directory durable."""

    def reserve(self, path: Path, size: int) -> None:
        """Create a file that occupies `size` bytes of the disk."""

    def free(self, path: Path) -> int:
        """Return the number of bytes that may still be written on this file system."""

    def open(self, path: Path) -> int:
        """Return a handle that appends to a file, created if it is missing."""

    def write(self, handle: int, data: memoryview) -> int:
        """Append some of the data; return the number of bytes."""

    def fdatasync(self, handle: int) -> None:
        """Return when everything written through this handle is durable."""

    def truncate(self, handle: int, size: int) -> None:
        """Cut the file to this size."""

    def close(self, handle: int) -> None:
        """Close the handle."""


class RealDisk:
    """The file system of this machine."""

    inline = False

    def mkdir(self, path: Path) -> None:
        """See Disk."""
        make_private(path)

    def fresh(self, path: Path) -> Path:
        """See Disk."""
        return path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")

    def mkdir_new(self, path: Path) -> None:
        """See Disk."""
        path.mkdir(mode=0o700)

    def discard(self, path: Path) -> None:
        """See Disk."""
        if not stat.S_ISDIR(path.lstat().st_mode):
            path.unlink()
            return
        for entry in path.iterdir():
            entry.unlink()
        path.rmdir()

    def check_dir(self, path: Path) -> None:
        """See Disk."""
        figures = path.lstat()
        if not stat.S_ISDIR(figures.st_mode):
            raise OSError(errno.ENOTDIR, "not a directory; symbolic links are not followed")
        if figures.st_uid != os.geteuid():
            raise OSError(errno.EPERM, "the directory belongs to another user")
        if figures.st_mode & OTHERS_WRITE:
            raise OSError(errno.EPERM, "other users may write the directory; use chmod 700")

    def names(self, path: Path) -> list[str]:
        """See Disk."""
        return sorted(entry.name for entry in path.iterdir())

    def read(self, path: Path) -> BinaryIO:
        """See Disk."""
        return os.fdopen(open_regular(path, os.O_RDONLY), "rb", buffering=1 << 20)

    def save(self, path: Path, data: bytes) -> None:
        """See Disk."""
        handle = open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view) :]
            os.fsync(handle)
        finally:
            os.close(handle)

    def replace(self, source: Path, target: Path) -> None:
        """See Disk."""
        source.replace(target)

    def link(self, source: Path, target: Path) -> None:
        """See Disk."""
        os.link(source, target, follow_symlinks=False)

    def unlink(self, path: Path) -> None:
        """See Disk."""
        path.unlink(missing_ok=True)

    def sync_dir(self, path: Path) -> None:
        """See Disk."""
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _FLAGS)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def reserve(self, path: Path, size: int) -> None:
        """See Disk."""
        handle = open_regular(path, os.O_WRONLY | os.O_CREAT)
        try:
            os.posix_fallocate(handle, 0, size)
        finally:
            os.close(handle)

    def free(self, path: Path) -> int:
        """See Disk."""
        figures = os.statvfs(path)
        return figures.f_bavail * figures.f_frsize

    def open(self, path: Path) -> int:
        """See Disk."""
        return open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, handle: int, data: memoryview) -> int:
        """See Disk."""
        return os.write(handle, data)

    def fdatasync(self, handle: int) -> None:
        """See Disk. A file that was deleted meanwhile is an error: nobody could read it."""
        os.fdatasync(handle)
        if os.fstat(handle).st_nlink == 0:
            raise OSError(errno.ENOENT, "the file was deleted while it was written")

    def truncate(self, handle: int, size: int) -> None:
        """See Disk."""
        os.ftruncate(handle, size)

    def close(self, handle: int) -> None:
        """See Disk."""
        os.close(handle)

    def open_lock(self, path: Path) -> int:
        """See LockFiles."""
        return open_regular(path, os.O_RDWR | os.O_CREAT)

    def seize(self, handle: int) -> bool:
        """See LockFiles."""
        for pause in (*_PAUSES_S, 0.0):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(pause)
            else:
                return True
        return False

    def held(self, path: Path) -> bool:
        """See LockFiles. Shares the lock for a moment, for which `seize` waits."""
        try:
            handle = open_regular(path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def stat(self, path: Path) -> Stat | None:
        """See LockFiles."""
        try:
            figures = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return _stat(figures) if stat.S_ISREG(figures.st_mode) else None

    def fstat(self, handle: int) -> Stat:
        """See LockFiles."""
        return _stat(os.fstat(handle))

    def read_lock(self, handle: int) -> bytes:
        """See LockFiles."""
        return os.pread(handle, _TEXT_BYTES_MAX, 0)

    def text(self, path: Path) -> bytes:
        """See LockFiles. A new open() makes a network file system read the file again (nfs(5),
        close-to-open consistency)."""
        try:
            handle = open_regular(path, os.O_RDONLY)
        except FileNotFoundError:
            return b""
        try:
            return self.read_lock(handle)
        finally:
            os.close(handle)

    def write_lock(self, handle: int, text: bytes) -> None:
        """See LockFiles."""
        os.pwrite(handle, text, 0)
        os.ftruncate(handle, len(text))
        os.fsync(handle)


OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
"""Mode bits of a directory in which other users could replace files."""
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW
_NO_FILE = frozenset({errno.ELOOP, errno.ENXIO, errno.EISDIR})
"""Errors of open(2) for a symbolic link, a FIFO without reader or socket, and a directory."""
_NOT_REGULAR = "not a regular file"
_TEXT_BYTES_MAX = 4_096
_PAUSES_S = (0.01,) * 20
"""Pauses between attempts to lock: a reader that calls `held` shares the lock for microseconds."""


def open_regular(path: Path, flags: int) -> int:
    """Open a regular file, created with mode 0600 if `flags` include O_CREAT; never waits.

    Errors: OSError, also if the name is a symbolic link, a FIFO, a socket, a device or a
    directory. Without O_NONBLOCK, opening a FIFO waits for the process at its other end (open(2)).
    """
    try:
        handle = os.open(path, flags | os.O_NONBLOCK | _FLAGS, 0o600)
    except OSError as error:
        if error.errno in _NO_FILE:
            raise OSError(error.errno, _NOT_REGULAR) from None
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, _NOT_REGULAR)
    return handle


def make_private(path: Path) -> None:
    """Create a directory and its missing parents with mode 0700."""
    if path.is_dir():
        return
    if path.parent != path:
        make_private(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)


def _stat(figures: os.stat_result) -> Stat:
    return Stat((figures.st_dev, figures.st_ino), figures.st_size)


REAL = RealDisk()
