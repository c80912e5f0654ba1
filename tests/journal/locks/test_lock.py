"""Two processes never work on one run; a dead one is no obstacle."""

import errno
import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rollout.errors import ConflictError, Exit, StorageError
from rollout.journal.disk import RealDisk
from rollout.journal.locks import lock
from rollout.journal.locks.lock import Owner
from tests.journal.samples import NOW

HERE = Owner("ops-1", os.getpid(), NOW)
HOLDER = """
import sys, time
from pathlib import Path
from rollout.journal.locks import lock
owner = lock.Owner(sys.argv[2], 4711, 1_795_400_000_000, "r-abcdefghij", 3)
held = lock.take_runs(Path(sys.argv[1]), owner)
print("held", flush=True)
time.sleep(600)
"""


@contextmanager
def holder(runs_dir: Path, machine: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of all runs."""
    command = [sys.executable, "-c", HOLDER, str(runs_dir), machine]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_live_process_keeps_its_lock(tmp_path: Path) -> None:
    """B-C08: refused with exit 6, naming run, process, machine and time."""
    with holder(tmp_path, "ops-1"), pytest.raises(ConflictError) as caught:
        lock.take_runs(tmp_path, HERE)

    assert caught.value.exit is Exit.CONFLICT
    message = caught.value.problems[0].message
    assert "run r-abcdefghij by process 4711 on ops-1 since 2026-11-23T02:13:20Z" in message


def test_a_dead_process_is_taken_over_and_noted(tmp_path: Path) -> None:
    """B-C08: SIGKILL frees the lock at once, and the new owner knows whom it follows."""
    with holder(tmp_path, "ops-1") as process:
        process.send_signal(signal.SIGKILL)
        process.wait()

        with lock.take_runs(tmp_path, HERE) as taken:
            assert taken.former == Owner("ops-1", 4711, NOW, "r-abcdefghij", 3)


def test_a_dead_process_of_another_host_name_is_taken_over(tmp_path: Path) -> None:
    """The kernel's lock decides: after a hard kill a pod with another host name continues."""
    with holder(tmp_path, "pod-1") as process:
        process.kill()
        process.wait()

        with lock.take_runs(tmp_path, HERE) as taken:
            assert taken.former is not None and taken.former.machine == "pod-1"
            assert not taken.lost()


def test_no_help_text_suggests_to_delete_a_lock(tmp_path: Path) -> None:
    """A person who deletes the lock of a live process lets two processes drive one run."""
    with holder(tmp_path, "ops-1"), pytest.raises(ConflictError) as caught:
        lock.take_runs(tmp_path, HERE)

    cure = caught.value.problems[0].help or ""
    assert not re.search("remove|delete|rm ", cure), cure


@pytest.mark.parametrize("damage", ["removed", "replaced"])
def test_a_lock_that_somebody_removed_is_lost(tmp_path: Path, damage: str) -> None:
    """The holder notices it by the file's inode, and leaves the file of the next holder alone."""
    held = lock.take_runs(tmp_path, HERE)
    path = tmp_path / lock.RUNS_LOCK
    path.unlink()
    if damage == "replaced":
        path.write_bytes(b"of another process")

    assert damage in held.lost()

    held.release()
    assert damage == "removed" or path.read_bytes() == b"of another process"


def test_a_reader_does_not_disturb_a_process_that_is_starting(tmp_path: Path) -> None:
    """`status` shares the lock for an instant: a writer that starts just then waits it out."""
    path = tmp_path / lock.RUNS_LOCK
    path.touch()
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        threading.Timer(0.03, fcntl.flock, (file, fcntl.LOCK_UN)).start()

        lock.take_runs(tmp_path, HERE).release()


def test_a_lock_given_back_leaves_no_trace_of_its_owner(tmp_path: Path) -> None:
    """After an orderly end the next owner follows nobody, from whatever machine."""
    lock.take_run(tmp_path, Owner("ops-2", 1, NOW)).release()

    with lock.take_run(tmp_path, HERE) as taken:
        assert taken.former is None
        taken.name(Owner("ops-1", 1, NOW, "r-abcdefghij", 12))
        assert b'"epoch":12' in (tmp_path / "lock").read_bytes()
        with pytest.raises(ConflictError):
            lock.take_run(tmp_path, HERE)
    taken.release()
    taken.name(HERE)
    assert (tmp_path / "lock").read_bytes() == b""


def test_a_name_half_way_over_a_longer_one_is_read(tmp_path: Path) -> None:
    """A process killed while it named itself leaves the end of the name before: no obstacle."""
    with lock.take_run(tmp_path, HERE):
        text = (tmp_path / "lock").read_bytes()
    (tmp_path / "lock").write_bytes(text + b'och":12}\n')

    with lock.take_run(tmp_path, HERE) as taken:
        assert taken.former == HERE


class Refusing(RealDisk):
    """A disk that takes no more text once it is full."""

    full = False

    def write_lock(self, handle: int, text: bytes) -> None:
        if self.full:
            raise OSError(errno.EIO, "refused")
        super().write_lock(handle, text)


def test_a_lock_is_given_back_where_the_disk_refuses(tmp_path: Path) -> None:
    """A broken disk neither ends the command with a traceback nor keeps the lock."""
    disk = Refusing()
    held = lock.take_run(tmp_path, HERE, disk=disk)
    disk.full = True

    held.release()

    with lock.take_run(tmp_path, HERE) as taken:
        assert taken.former == HERE


def test_a_text_that_cannot_be_read_is_no_obstacle(tmp_path: Path) -> None:
    """The text is information only: who holds the kernel's lock holds the run."""
    (tmp_path / "lock").write_bytes(b"\xff{")

    with lock.take_run(tmp_path, HERE) as taken:
        assert taken.former is None


def test_a_link_in_place_of_a_lock_is_refused(tmp_path: Path) -> None:
    """Links are not followed."""
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StorageError):
        lock.take_run(tmp_path, HERE)
