"""Finds the process that drives a run now, from the kernel's locks.

Called by the directory store. Never relies on process ids or host names, and changes nothing.
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
    """Return the process that drives the run now, as text; empty if none does.

    On a file system that several machines share, this waits for the next heartbeat.
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
    """Return the holder of the lock of all runs if it drives this run and writes heartbeats."""
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
    """Return the id of the running kernel (Linux: random(4), boot_id), empty if unknown."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


_BEATS_MISSED = 3
"""The holder on another machine has ended after this many missing heartbeats."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
