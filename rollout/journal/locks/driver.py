"""Whether a process drives a run now: the one place that answers it.

Called by the commands that show runs. It asks the kernel's locks, never process ids or host names,
and changes nothing.
"""

from __future__ import annotations

import functools
import time
from pathlib import Path

from rollout.journal import runs_directory
from rollout.journal.disk import REAL, LockFiles
from rollout.journal.locks import lock
from rollout.journal.locks.heartbeat import BEAT_S, POLL_S, Watch
from rollout.journal.reader import segment_name


def holder(run_dir: Path, *, disk: LockFiles = REAL) -> str:
    """The process that drives the run now, as text; empty where none does.

    On a file system of several machines it may take until the next heartbeat is due.
    """
    try:
        owner = lock.parse(disk.text(run_dir / lock.RUN_LOCK))
        if disk.held(run_dir / lock.RUN_LOCK):
            return str(owner) if owner else "a process that is just starting"
        if disk.held(run_dir / segment_name(1)):
            return "a process whose lock file was removed"
        if owner is not None and runs_directory.is_shared(run_dir):
            return _elsewhere(run_dir, disk)
    except OSError:
        return ""
    return ""


def _elsewhere(run_dir: Path, disk: LockFiles) -> str:
    """The holder of the lock of all runs, where it writes heartbeats and drives this run."""
    path = run_dir.parent / lock.RUNS_LOCK
    owner = lock.parse(disk.text(path))
    if owner is None or owner.run != run_dir.name or owner.boot == kernel():
        return ""
    watch = Watch(path, _BEATS_MISSED * BEAT_S, disk=disk, now=time.monotonic)
    while (beaten := watch.poll()) is None:
        time.sleep(POLL_S)
    return str(owner) if beaten else ""


@functools.cache
def kernel() -> str:
    """What identifies the running kernel (Linux: random(4), boot_id); empty where nothing does."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


_BEATS_MISSED = 3
"""So many heartbeats that do not come say that the holder on another machine has ended."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
