"""Journal format 1.0: journals of released versions stay readable and their runs resumable."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import get_args

import pytest

from rollout.app import runs
from rollout.errors import Exit, IntegrityError
from rollout.journal import writer
from rollout.journal.chain import Chain
from rollout.journal.directory import DirectoryRun
from rollout.journal.verify import verify
from rollout.model import event as ev
from rollout.model.event import AnyEvent
from tests import golden_journals
from tests.golden_journals import ENDINGS, find
from tests.golden_run import GoldenRun

FOLDERS = sorted(path for path in golden_journals.FOLDER.iterdir() if path.is_dir())
BY_NAME = {ending.__name__: ending for ending in ENDINGS}
HALTS_AGAIN = {"in_doubt", "troubled"}
"""Runs with an instance in doubt, or with a key pair that has another public key."""
golden = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def test_each_ending_has_a_golden_journal() -> None:
    """Every ending has a golden journal. Without a file no test reads it; `python -m
    tests.golden_journals NAME` writes it.
    """
    assert {folder.name for folder in FOLDERS} == set(BY_NAME)


@golden
def test_a_golden_journal_is_read_and_written_unchanged(folder: Path) -> None:
    """The current code reads each line and writes the same bytes for it, up to a torn tail."""
    run, again, buffer = find(folder), Chain(), bytearray()
    reader = run.read()
    for line in reader:
        again.extend(buffer, line.body, line.at)

    assert run.started is not None and run.started.format_version == "1.0"
    raw = b"".join(path.read_bytes() for path in sorted(run.path.glob("journal-*.jsonl")))
    assert raw == buffer + raw[len(buffer) :]
    assert len(raw) - len(buffer) == (reader.torn.bytes if reader.torn else 0)
    assert (reader.torn is not None) is (folder.name == "torn")


@golden
def test_a_golden_journal_is_verified(folder: Path) -> None:
    """The journal violates no rule, and the result of the run is unchanged."""
    run = find(folder)
    verdict = verify(run)
    counts = ", ".join(f"{count} {name}" for name, count in verdict.classes.items() if count)
    state = runs.fold(run).run

    assert verdict.exit is Exit.DONE, verdict.problems
    if state.closed is not None:
        ending = f"closed with exit code {state.closed.exit}"
    else:
        ending = f"halted for {state.halted.reason}" if state.halted else "killed"
    assert f"{ending}: {counts}" == ENDINGS[BY_NAME[folder.name]]
    assert run.is_closed() is (state.closed is not None)


def test_the_golden_journals_cover_all_events() -> None:
    """Every type of event is in a golden journal, so that later versions read it."""
    found = {
        type(event) for folder in FOLDERS for line in find(folder).read() for event in line.body
    }

    assert set(get_args(AnyEvent)) - found == set()


@golden
def test_a_golden_run_that_is_open_is_resumed(folder: Path, tmp_path: Path) -> None:
    """The current code resumes the run until it closes or halts, and the whole journal is valid."""
    runs_dir = Path(shutil.copytree(folder, tmp_path / "runs"))
    run = find(runs_dir)
    resumes = verify(run).resumes
    if run.is_closed():
        return
    world = BY_NAME[folder.name](tmp_path / "again")
    _continue(world, run)

    verdict = verify(run)
    assert verdict.exit is Exit.DONE, verdict.problems
    assert verdict.resumes == resumes + 1 and verdict.sealed
    assert verdict.closed is (folder.name not in HALTS_AGAIN)


def test_a_journal_of_another_format_is_refused(tmp_path: Path) -> None:
    """A journal of a newer format is refused, so that its new fields are not ignored silently."""
    run = find(Path(shutil.copytree(golden_journals.FOLDER / "torn", tmp_path / "runs")))
    path = run.path / "journal-000001.jsonl"
    path.write_bytes(
        path.read_bytes().replace(b'"format_version":"1.0"', b'"format_version":"1.1"')
    )

    with pytest.raises(IntegrityError, match=r"has format 1\.1; this version reads 1\.0"):
        list(run.read())


def _continue(world: GoldenRun, run: DirectoryRun) -> None:
    """Resume a stored run with the simulated service that it left, and journal the rest."""
    reader = run.read()
    lines = list(reader)
    assert run.started is not None
    world.plan = run.plan(run.started.plan_digest)
    world.journal = [event for line in lines for event in line.body]
    world.times = [line.at for line in lines for _ in line.body]
    world.now = max(world.now, lines[-1].at)
    if reader.torn is not None:
        world._append(reader.torn)
    world.resume().go()
    with writer.reopen(reader) as journal:
        known = sum(len(line.body) for line in lines)
        pairs = list(zip(world.times, world.journal, strict=True))[known:]
        for at, event in pairs:
            journal.append([event], at)
        journal.close()
    assert any(isinstance(event, ev.Resumed) for _, event in pairs)
