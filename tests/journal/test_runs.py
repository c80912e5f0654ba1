"""Which runs there are, and which one is meant."""

from pathlib import Path

import msgspec
import pytest

from rollout.errors import Exit, StorageError, UsageError
from rollout.journal import runs, writer
from rollout.journal.reader import run_id
from tests.journal import samples


def begin(runs_dir: Path, run: str, at: int, plan_digest: str = "sha256:0") -> None:
    """A run with nothing but its first line."""
    journal = writer.create(runs_dir, run, b"{}")
    started = msgspec.structs.replace(samples.started(run, plan_digest), at=at)
    journal.append([started], at)
    journal.close()


def test_a_run_is_named_after_its_plan() -> None:
    """A plan is applied once, so its digest names the run; anyone can compute the name."""
    assert run_id("sha256:0") == "r-3ww4neempa"
    assert run_id("sha256:1") != run_id("sha256:0")


def test_a_run_is_found_by_its_beginning(tmp_path: Path) -> None:
    """Id, unique beginning, or nothing for the newest; started later is newer."""
    begin(tmp_path, "r-bbbb", 2)
    begin(tmp_path, "r-aabb", 3)
    begin(tmp_path, "r-aaaa", 1)

    assert [run.id for run in runs.every(tmp_path)] == ["r-aaaa", "r-bbbb", "r-aabb"]
    assert runs.find(tmp_path, None).id == "r-aabb"
    assert runs.find(tmp_path, "r-b").id == "r-bbbb"
    assert runs.find(tmp_path, "r-aaaa").path == tmp_path / "r-aaaa"


def test_a_whole_id_is_never_ambiguous(tmp_path: Path) -> None:
    """An id that is a prefix of another one is meant itself."""
    begin(tmp_path, "r-aa", 1)
    begin(tmp_path, "r-aab", 2)

    assert runs.find(tmp_path, "r-aa").id == "r-aa"


@pytest.mark.parametrize(
    "text, message",
    [
        ("r-a", "r-a is a prefix of 2 runs: r-aaaa, r-aabb"),
        ("", " is a prefix of 2 runs: r-aaaa, r-aabb"),
        ("r-c", "no run in {} begins with r-c"),
    ],
)
def test_what_names_no_single_run_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """Absent and ambiguous are both usage errors, exit 64; the message tells which it is and names
    the runs."""
    begin(tmp_path, "r-aaaa", 1)
    begin(tmp_path, "r-aabb", 2)

    with pytest.raises(UsageError) as caught:
        runs.find(tmp_path, text)

    [problem] = caught.value.problems
    assert (caught.value.exit, problem.code) == (Exit.USAGE, "R0003")
    assert problem.message == message.format(tmp_path)


def test_no_runs_at_all_is_said(tmp_path: Path) -> None:
    """A directory that is missing or empty holds no runs; a file is an error of the disk."""
    for runs_dir in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UsageError, match="there are no runs"):
            runs.find(runs_dir, None)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        runs.every(tmp_path / "file")


def test_runs_of_a_plan_are_those_that_began(tmp_path: Path) -> None:
    """Earlier runs of the same plan count, those of others and those without a line do not."""
    begin(tmp_path, "r-aaaa", 1, "sha256:a")
    begin(tmp_path, "r-bbbb", 2, "sha256:b")
    writer.create(tmp_path, "r-cccc", b"{}")

    assert [run.id for run in runs.of_plan(tmp_path, "sha256:a")] == ["r-aaaa"]


def test_a_damaged_run_is_listed_where_it_was_made(tmp_path: Path) -> None:
    """Damage to a first line must not make an older run pass for the newest."""
    begin(tmp_path, "r-aaaa", 1)
    begin(tmp_path, "r-bbbb", 2)
    path = tmp_path / "r-bbbb" / "journal-000001.jsonl"
    path.write_bytes(b"x" + path.read_bytes() * 2)

    newest = runs.find(tmp_path, None)

    assert newest.id == "r-bbbb" and newest.started is None and newest.at > 2
