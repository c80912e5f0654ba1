"""Which runs of a runs directory are open."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest

from rollout.app import runs, watch
from rollout.errors import Exit, IntegrityError
from rollout.journal import writer
from rollout.journal.directory import DirectoryStore
from rollout.model.event import RunClosed
from tests.journal import example_runs, samples


def begin(runs_dir: Path, run: str) -> Path:
    """A run with only its first line; returns its journal file."""
    journal = writer.create(runs_dir, run, b"{}")
    journal.append([samples.started(run)], 1)
    journal.sync_now()
    return runs_dir / run / "journal-000001.jsonl"


@pytest.mark.parametrize("damage", ["first line", "no journal"])
def test_a_run_that_cannot_be_read_may_be_open(tmp_path: Path, damage: str) -> None:
    """Its open calls are unknown, so `resume --last` and `apply` do not skip it."""
    path = begin(tmp_path, "r-aaaa")
    if damage == "first line":
        path.write_bytes(b"x" + path.read_bytes() * 2)
    else:
        path.unlink()

    with pytest.raises(IntegrityError) as caught:
        runs.open_runs(DirectoryStore(tmp_path))

    assert caught.value.exit is Exit.INTEGRITY
    assert "move it out of the runs directory" in (caught.value.problems[0].help or "")


@pytest.mark.parametrize("driver", ["", "run r-1 by kim"])
def test_time_passes_while_a_process_drives_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str
) -> None:
    """The elapsed time grows without new journal lines, and stands still without a process."""
    example_runs.ExampleRun().open_wave(0).attached(0).write(tmp_path)
    (stored,) = DirectoryStore(tmp_path).runs()
    monkeypatch.setattr(type(stored), "driver", lambda _: driver)

    for _, facts in (runs.state(stored), watch.RunWatch(stored).poll()):
        assert (facts.until > facts.at) is bool(driver)


def test_a_run_that_never_began_is_not_open(tmp_path: Path) -> None:
    """A crash before or inside the first line leaves nothing to resume."""
    writer.create(tmp_path, "r-aaaa", b"{}")
    path = begin(tmp_path, "r-bbbb")
    path.write_bytes(path.read_bytes()[:-9])

    assert runs.open_runs(DirectoryStore(tmp_path)) == []


@pytest.mark.parametrize("chained", [False, True])
def test_a_forged_close_does_not_hide_an_open_run(tmp_path: Path, *, chained: bool) -> None:
    """A close event is refused if it is not chained or if targets are unfinished."""
    example = example_runs.ExampleRun().open_wave(0).attached(0)
    path = example.write(tmp_path) / "journal-000001.jsonl"
    lines = path.read_bytes().splitlines()
    head = hashlib.sha256(lines[-1]).hexdigest() if chained else "0" * 64
    body = msgspec.json.encode(RunClosed({"done": 1}, 0)).decode()
    with path.open("a") as journal:
        journal.write(f'{{"seq":{len(lines) + 1},"at":1,"prev":"{head}","body":[{body}]}}\n')

    with pytest.raises(IntegrityError) as caught:
        runs.open_runs(DirectoryStore(tmp_path))

    assert caught.value.exit is Exit.INTEGRITY
