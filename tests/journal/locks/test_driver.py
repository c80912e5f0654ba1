"""Whether a run is driven is what the kernel's locks say, and nothing else."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from rollout.journal import writer
from rollout.journal.locks import driver, lock
from rollout.journal.locks.lock import Owner
from tests.journal import samples

WRITER = """
import sys, time
from pathlib import Path
from rollout.journal import writer
from rollout.journal.locks import lock
from tests.journal import samples
run_dir = samples.write(Path(sys.argv[1]), 3, close=False)
reader = writer.read(run_dir)
assert len(list(reader)) == 3
journal = writer.reopen(reader)
owner = lock.Owner(sys.argv[2], 4711, samples.NOW, run_dir.name, 1)
held = lock.take_run(run_dir, owner)
print("driving", flush=True)
time.sleep(600)
"""


@contextmanager
def driving_process(runs_dir: Path, machine: str = "ops-1") -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of a run."""
    command = [sys.executable, "-c", WRITER, str(runs_dir), machine]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "driving\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_live_process_is_named_also_where_it_is_stopped(tmp_path: Path) -> None:
    """SIGSTOP keeps the kernel's lock: the run is driven, only not at this moment."""
    with driving_process(tmp_path) as process:
        assert "process 4711 on ops-1" in driver.holder(tmp_path / samples.RUN)
        process.send_signal(signal.SIGSTOP)
        assert "process 4711 on ops-1" in driver.holder(tmp_path / samples.RUN)


@pytest.mark.parametrize("machine", ["this one", "another one"])
def test_a_killed_process_drives_nothing(tmp_path: Path, machine: str) -> None:
    """A zombie (killed, and not waited for) and a process of another host name are dead as well."""
    name = os.uname().nodename if machine == "this one" else "pod-1"
    with driving_process(tmp_path, name) as process:
        os.kill(process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

        assert driver.holder(tmp_path / samples.RUN) == ""


def test_a_process_id_that_was_given_again_drives_nothing(tmp_path: Path) -> None:
    """The recorded process id is that of a live process, which holds no lock."""
    run_dir = samples.write(tmp_path, 3)
    owner = Owner(os.uname().nodename, os.getpid(), samples.NOW, samples.RUN, 1)
    (run_dir / "lock").write_bytes(b"%s" % _text(owner))

    assert driver.holder(run_dir) == ""


def test_a_removed_lock_file_does_not_hide_the_process(tmp_path: Path) -> None:
    """The journal itself is locked too."""
    with driving_process(tmp_path):
        (tmp_path / samples.RUN / lock.RUN_LOCK).unlink()

        assert "lock file was removed" in driver.holder(tmp_path / samples.RUN)


def test_a_copied_run_is_driven_by_nobody(tmp_path: Path) -> None:
    """A copy has the text of the lock, but not the lock."""
    with driving_process(tmp_path):
        shutil.copytree(tmp_path / samples.RUN, tmp_path / "copy" / samples.RUN)

        assert driver.holder(tmp_path / "copy" / samples.RUN) == ""


def test_asking_changes_nothing(tmp_path: Path) -> None:
    """A reader makes no lock file where there is none."""
    journal = writer.create(tmp_path, samples.RUN, b"{}")
    journal.close()

    assert driver.holder(tmp_path / samples.RUN) == ""
    assert not (tmp_path / samples.RUN / lock.RUN_LOCK).exists()


def _text(owner: Owner) -> bytes:
    return msgspec.json.encode(owner) + b"\n"
