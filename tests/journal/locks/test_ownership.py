"""One writer: whoever no longer owns a run's files notices it before the next change."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rollout.errors import ConflictError, Exit, IntegrityError
from rollout.journal import writer
from rollout.journal.locks import lock
from rollout.journal.locks.lock import Owner
from rollout.journal.writer import RunJournal
from rollout.model import limits
from tests.journal import samples

JOURNAL = "journal-000001.jsonl"
OWNER = Owner("ops-1", 1, samples.NOW)


def begun(runs_dir: Path) -> RunJournal:
    """A journal with one durable line, whose writer holds both locks."""
    journal = writer.create(runs_dir, samples.RUN, b"{}")
    journal.guard(lock.take_runs(runs_dir, OWNER), lock.take_run(journal.run_dir, OWNER))
    journal.append([samples.started()], samples.NOW)
    journal.sync_now()
    return journal


def _copied(run_dir: Path) -> None:
    shutil.copytree(run_dir, run_dir.with_name("copy"))
    run_dir.rename(run_dir.with_name("former"))
    run_dir.with_name("copy").rename(run_dir)


def _appended(run_dir: Path) -> None:
    with (run_dir / JOURNAL).open("ab") as journal:
        journal.write(b"{}\n")


def _cut(run_dir: Path) -> None:
    with (run_dir / JOURNAL).open("r+b") as journal:
        journal.truncate(10)


HARMS: dict[str, Callable[[Path], object]] = {
    "lock of the run removed": lambda run_dir: (run_dir / "lock").unlink(),
    "lock of all runs removed": lambda run_dir: (run_dir.parent / ".lock").unlink(),
    "lock replaced": lambda run_dir: _replace(run_dir / "lock"),
    "journal removed": lambda run_dir: (run_dir / JOURNAL).unlink(),
    "journal replaced": lambda run_dir: _replace(run_dir / JOURNAL),
    "journal of another writer": _appended,
    "journal cut": _cut,
    "run moved": lambda run_dir: run_dir.rename(run_dir.with_name("moved")),
    "run copied and put in its place": _copied,
    "link in the journal's place": lambda run_dir: _link(run_dir / JOURNAL),
}


def _replace(path: Path) -> None:
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)


def _link(path: Path) -> None:
    path.rename(path.with_name("kept"))
    path.symlink_to("kept")


def files(runs_dir: Path) -> dict[Path, bytes]:
    """Return the content of all files but the run's lock, which a writer gives back."""
    paths = [path for path in runs_dir.rglob("*") if path.is_file() and path.name != "lock"]
    return {path: path.read_bytes() for path in paths}


@pytest.mark.parametrize("harm", HARMS)
def test_a_writer_notices_that_the_run_is_not_its_own(tmp_path: Path, harm: str) -> None:
    """Before the next line is written, R0906 with exit 9; nothing is written then, no seal either,
    and the journal stays refused."""
    journal = begun(tmp_path)
    assert not journal.lost()
    HARMS[harm](journal.run_dir)
    left = files(tmp_path)

    assert journal.lost()
    journal.append(samples.turn(1), samples.NOW)
    for _ in range(2):
        with pytest.raises(IntegrityError) as caught:
            journal.sync_now()
        assert (caught.value.problems[0].code, caught.value.exit) == ("R0906", Exit.INTEGRITY)
    assert not journal.append_final([samples.HALTED], samples.NOW)
    journal.close()

    assert files(tmp_path) == left


def test_its_own_lines_are_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines, new files of the journal and its seal leave it its writer's own."""
    monkeypatch.setattr(limits, "SEGMENT_BYTES_MAX", 1_000)
    journal = begun(tmp_path)

    for number in range(1, 20):
        journal.append(samples.turn(number), samples.NOW + number)
        journal.sync_now()
        assert not journal.lost()
    journal.close()

    reader = writer.read(tmp_path / samples.RUN)
    assert len(list(reader)) == 20 and reader.segment > 2 and reader.sealed_at


def test_removed_locks_let_nobody_else_write(tmp_path: Path) -> None:
    """The journal itself is locked: the second process is refused before it cuts or writes."""
    journal = begun(tmp_path)
    (tmp_path / ".lock").unlink()
    (journal.run_dir / "lock").unlink()
    reader = writer.read(journal.run_dir)
    assert len(list(reader)) == 1
    lock.take_runs(tmp_path, OWNER)
    lock.take_run(journal.run_dir, OWNER)

    with pytest.raises(ConflictError) as caught:
        writer.reopen(reader)

    assert caught.value.problems[0].code == "R0603"
    journal.release()
    writer.reopen(reader).close()


def test_lines_written_after_the_reading_are_not_cut(tmp_path: Path) -> None:
    """Another process wrote between the reading and the lock: whoever read is refused."""
    journal = begun(tmp_path)
    reader = writer.read(journal.run_dir)
    assert len(list(reader)) == 1
    journal.append(samples.turn(1), samples.NOW)
    journal.close()

    with pytest.raises(ConflictError, match="while it was read"):
        writer.reopen(reader)

    assert len(list(writer.read(journal.run_dir))) == 2
