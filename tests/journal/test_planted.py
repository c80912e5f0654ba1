"""Links, FIFOs and other files under our names: no command waits for them or writes to them."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from rollout.errors import RolloutError, StorageError
from rollout.journal import writer
from rollout.journal.disk import REAL, open_regular
from rollout.journal.locks import driver, lock
from rollout.journal.locks.lock import Owner
from rollout.journal.reader import read_plan, run_id
from tests.journal import samples

OWNER = Owner("ops-1", 1, samples.NOW)


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket is at most 107 bytes long (unix(7))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)
    os.chdir(here)


def _link_to_a_fifo(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


KINDS: dict[str, Callable[[Path], object]] = {
    "fifo": os.mkfifo,
    "socket": _socket,
    "directory": Path.mkdir,
    "link": lambda path: path.symlink_to(path.with_name("target")),
    "link to nowhere": lambda path: path.symlink_to("nowhere"),
    "link to a fifo": _link_to_a_fifo,
}


def plant(path: Path, kind: str) -> None:
    """Put something of this kind in the place of a file; `target` is a file that stays as it is."""
    path.unlink(missing_ok=True)
    path.with_name("target").write_bytes(b"precious")
    KINDS[kind](path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_RDWR | os.O_CREAT])
def test_only_regular_files_are_opened(tmp_path: Path, kind: str, flags: int) -> None:
    """Opening a FIFO for reading would wait for a writer, for writing for a reader."""
    plant(tmp_path / "file", kind)

    with pytest.raises(OSError, match="not a regular file"):
        open_regular(tmp_path / "file", flags)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["journal-000001.jsonl", "journal.seal", "plan.json", "lock"])
def test_nothing_in_the_place_of_a_file_is_waited_for(tmp_path: Path, name: str, kind: str) -> None:
    """Reading and writing a run end at once, with an error where the file is needed."""
    run_dir = samples.write(tmp_path, 3).rename(tmp_path / run_id("sha256:0"))
    plant(run_dir / name, kind)

    driver.holder(run_dir)
    refused = 0
    for use in (
        lambda: list(writer.read(run_dir)),
        lambda: read_plan(run_dir, "sha256:0"),
        lambda: lock.take_run(run_dir, OWNER).release(),
    ):
        try:
            use()
        except RolloutError as error:
            refused += isinstance(error, StorageError)

    assert refused == 1
    assert (run_dir / "target").read_bytes() == b"precious"


def test_a_planted_link_receives_neither_plan_nor_journal(tmp_path: Path) -> None:
    """Temporary names cannot be foreseen; links under former names are removed, not followed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    runs_dir = tmp_path / "runs"
    runs_dir.mkdir(mode=0o700)
    (runs_dir / f".{samples.RUN}.new").symlink_to(outside)

    run_dir = samples.write(runs_dir, 3)

    assert list(outside.iterdir()) == []
    assert sorted(path.name for path in runs_dir.iterdir()) == [samples.RUN]
    assert len(samples.events(run_dir)) > 3


@pytest.mark.parametrize("how", ["link", "mode"])
def test_a_run_directory_that_others_control_is_not_written(tmp_path: Path, how: str) -> None:
    """A directory that is a link, or that others may write, is refused before a byte is written."""
    run_dir = samples.write(tmp_path, 3)
    if how == "mode":
        run_dir.chmod(0o770)
    else:
        run_dir.rename(tmp_path / "moved")
        run_dir.symlink_to("moved")
    reader = writer.read(run_dir)
    assert len(list(reader)) == 3

    with pytest.raises(StorageError) as caught:
        writer.reopen(reader)

    assert caught.value.problems[0].code == "R0802"


def test_temporary_names_are_private_and_new(tmp_path: Path) -> None:
    """Two names differ, a file under one is 0600, and a name that is taken is refused."""
    first, second = (REAL.fresh(tmp_path / "plan.json") for _ in range(2))

    REAL.save(first, b"{}")

    assert first != second and first.parent == tmp_path
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        REAL.save(first, b"{}")


def test_drafts_that_a_crash_left_are_removed(tmp_path: Path) -> None:
    """The next process that creates the run, or closes it, clears the temporary names."""
    run_dir = tmp_path / samples.RUN
    draft = REAL.fresh(run_dir)
    draft.mkdir()
    (draft / "plan.json").write_bytes(b"{}")
    journal = writer.create(tmp_path, samples.RUN, b"{}")
    REAL.save(REAL.fresh(run_dir / "journal.seal"), b"{}")

    journal.close()

    assert sorted(path.name for path in tmp_path.iterdir()) == [samples.RUN]
    assert not [path for path in run_dir.iterdir() if path.name.startswith(".")]
