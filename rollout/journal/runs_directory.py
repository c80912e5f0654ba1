"""Checks of the runs directory: owner, mode, and a file system with reliable locks and syncs.

Called by the directory store before it takes its lock.
"""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

from rollout.errors import ConfigError, Place, Problem, StorageError
from rollout.journal.disk import OTHERS_WRITE, make_private
from rollout.journal.reader import unusable
from rollout.model.phrase import Wording, say

NETWORK = frozenset({
    "9p", "afs", "afpfs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs", "gfs2", "glusterfs",
    "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "smb", "smb2", "smb3",
    "smbfs", "vboxsf", "virtiofs", "vmhgfs"
})  # fmt: skip
"""File systems of several machines: a lock of one machine may be invisible on another."""
MEMORY = frozenset({"tmpfs", "ramfs"})
"""File systems that lose their files when the machine stops."""


def check(runs_dir: Path, *, allow_unsafe_fs: bool = False) -> list[Problem]:
    """Create the directory if it is missing, and return warnings about it.

    Errors: StorageError R0802 if it cannot be used (not a directory, a link, read-only, owned by
    another user); ConfigError R0011 if it must not be used (a network or user-space file system
    unless allowed, writable by other users).
    """
    if runs_dir.is_symlink():
        raise StorageError.of(
            "R0802",
            say("{folder} is a symbolic link", folder=runs_dir),
            place=_at(runs_dir),
            help=say("name the directory itself: --runs-dir {target}", target=runs_dir.resolve()),
        )
    try:
        make_private(runs_dir)
    except OSError as error:
        raise _not_creatable(runs_dir, error.strerror or str(error)) from None
    try:
        figures = runs_dir.stat()
    except OSError as error:
        raise unusable(runs_dir, error) from None
    if figures.st_uid != os.geteuid():
        message = say("{folder} belongs to another user", folder=runs_dir)
        raise StorageError.of("R0802", message, place=_at(runs_dir), help=_ANOTHER)
    if not os.access(runs_dir, os.W_OK | os.X_OK):
        message = say("{folder} may not be written", folder=runs_dir)
        raise StorageError.of("R0802", message, place=_at(runs_dir), help=_ANOTHER)
    if figures.st_mode & OTHERS_WRITE:
        raise ConfigError.of(
            "R0011",
            say(
                "other users may write {folder} (mode {mode:04o})",
                folder=runs_dir,
                mode=stat.S_IMODE(figures.st_mode),
            ),
            place=_at(runs_dir),
            help=say(
                "use `chmod 700 {folder}`, or --runs-dir with another directory; in Kubernetes "
                "set `fsGroupChangePolicy: OnRootMismatch`",
                folder=shlex.quote(str(runs_dir)),
            ),
        )
    warnings = _check_kind(runs_dir, file_system(runs_dir), allow_unsafe_fs=allow_unsafe_fs)
    if figures.st_mode & _OTHERS_READ:
        text = say(
            "other users may read {folder} (mode {mode:04o})",
            folder=runs_dir,
            mode=stat.S_IMODE(figures.st_mode),
        )
        warnings.append(
            Problem(
                "R0011",
                text,
                _at(runs_dir),
                say("use `chmod 700 {folder}`", folder=shlex.quote(str(runs_dir))),
            )
        )
    return warnings


def check_new(runs_dir: Path, *, allow_unsafe_fs: bool = False) -> list[Problem]:
    """Check whether a missing runs directory can be created, without creating it; return warnings.

    Errors: StorageError R0802 if its nearest existing parent cannot be written, or stores no files
    (proc); ConfigError R0011 as `check`.
    """
    path = runs_dir.absolute()
    parent = next(one for one in path.parents if one.exists())
    if not parent.is_dir():
        raise _not_creatable(runs_dir, say("{folder} is not a directory", folder=parent))
    if not os.access(parent, os.W_OK | os.X_OK) or not os.statvfs(parent).f_blocks:
        raise _not_creatable(runs_dir, say("{folder} may not be written", folder=parent))
    return _check_kind(runs_dir, file_system(runs_dir), allow_unsafe_fs=allow_unsafe_fs)


def is_shared(runs_dir: Path) -> bool:
    """Return whether several machines may use the file system of the directory at once."""
    return _is_unsafe(file_system(runs_dir))


def file_system(path: Path, mounts: str | None = None) -> str:
    """Return the type of the file system of a path (`ext4`), empty if unknown.

    `mounts` is the text of /proc/self/mountinfo (proc(5)): field 5 is the mount point, and the type
    follows the separator `-`. The last of several mounts at one point is the effective one.
    """
    if mounts is None:
        try:
            mounts = os.fsdecode(_MOUNTS.read_bytes())
        except OSError:
            return ""
    real = path.resolve()
    best, kind = -1, ""
    for line in filter(None, mounts.split("\n")):
        fields, _, rest = line.partition(" - ")
        point = Path(_unescape(fields.split(" ")[4]))
        if len(point.parts) >= best and (point == real or point in real.parents):
            best, kind = len(point.parts), rest.split(" ")[0]
    return kind


def _check_kind(runs_dir: Path, kind: str, *, allow_unsafe_fs: bool) -> list[Problem]:
    if _is_unsafe(kind) and not allow_unsafe_fs:
        raise ConfigError.of(
            "R0011",
            say(
                "{folder} is on {kind}: locks and syncs are not reliable on this file system",
                folder=runs_dir,
                kind=kind,
            ),
            place=_at(runs_dir),
            help=say(
                "use --runs-dir on a local disk; --allow-unsafe-fs if only one machine uses it"
            ),
        )
    if kind in MEMORY:
        text = say(
            "{folder} is on {kind}: the journal is lost when the machine stops",
            folder=runs_dir,
            kind=kind,
        )
        return [Problem("R0011", text, _at(runs_dir), say("use --runs-dir on a disk"))]
    return []


def _is_unsafe(kind: str) -> bool:
    return kind in NETWORK or kind.startswith("fuse")


def _unescape(text: str) -> str:
    for code, character in ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")):
        text = text.replace(code, character)
    return text


def _not_creatable(runs_dir: Path, cause: Wording) -> StorageError:
    return StorageError.of(
        "R0802",
        say("the runs directory cannot be created: {cause}", cause=cause),
        place=_at(runs_dir),
        help=say("name a directory that you can create or write with --runs-dir"),
    )


def _at(path: Path) -> Place:
    return Place(str(path))


_ANOTHER = say(
    "name another one with --runs-dir, or change owner and mode of this one with chown and chmod"
)
_OTHERS_READ = stat.S_IRWXG | stat.S_IRWXO
_MOUNTS = Path("/proc/self/mountinfo")
