"""The directory store: which runs there are, which one is meant, and who may write."""

import errno
from pathlib import Path

import msgspec
import pytest

from rollout.errors import ConflictError, Exit, IntegrityError, StorageError, UsageError
from rollout.journal import store, writer
from rollout.journal.directory import DirectoryRun, DirectoryStore
from rollout.journal.locks import lock
from rollout.journal.reader import Reader, run_id
from rollout.journal.store import RunStore
from rollout.model import event as ev
from rollout.model.event import OperatorVerb
from tests.journal import example_runs, samples
from tests.journal.disks import FaultyDisk
from tests.journal.samples import NOW

DIGEST = "sha256:0"
RUN = run_id(DIGEST)


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

    runs: RunStore = DirectoryStore(tmp_path)
    assert [run.id for run in runs.runs()] == ["r-aaaa", "r-bbbb", "r-aabb"]
    assert store.find(runs, None).id == "r-aabb"
    assert store.find(runs, "r-b").id == "r-bbbb"
    assert store.find(runs, "r-aaaa").location == str(tmp_path / "r-aaaa")


def test_a_whole_id_is_never_ambiguous(tmp_path: Path) -> None:
    """An id that is a prefix of another one is meant itself."""
    begin(tmp_path, "r-aa", 1)
    begin(tmp_path, "r-aab", 2)

    assert store.find(DirectoryStore(tmp_path), "r-aa").id == "r-aa"


@pytest.mark.parametrize(
    "text, message",
    [
        ("r-a", "r-a is a prefix of 2 runs: r-aaaa, r-aabb"),
        ("", " is a prefix of 2 runs: r-aaaa, r-aabb"),
        ("r-c", "no run in {} begins with r-c"),
    ],
)
def test_what_names_no_single_run_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """Absent and ambiguous are both usage errors, exit 64; the message says which it is and names
    the runs."""
    begin(tmp_path, "r-aaaa", 1)
    begin(tmp_path, "r-aabb", 2)

    with pytest.raises(UsageError) as caught:
        store.find(DirectoryStore(tmp_path), text)

    [problem] = caught.value.problems
    assert (caught.value.exit, problem.code) == (Exit.USAGE, "R0003")
    assert problem.message == message.format(tmp_path)


def test_no_runs_at_all_is_said(tmp_path: Path) -> None:
    """A directory that is missing or empty holds no runs; a file is an error of the disk."""
    for runs_dir in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UsageError, match="there are no runs"):
            store.find(DirectoryStore(runs_dir), None)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        DirectoryStore(tmp_path / "file").runs()


def test_runs_of_a_plan_are_those_that_began(tmp_path: Path) -> None:
    """Earlier runs of the same plan count, those of others and those without a line do not."""
    begin(tmp_path, "r-aaaa", 1, "sha256:a")
    begin(tmp_path, "r-bbbb", 2, "sha256:b")
    writer.create(tmp_path, "r-cccc", b"{}")

    assert [run.id for run in store.of_plan(DirectoryStore(tmp_path), "sha256:a")] == ["r-aaaa"]


def test_a_damaged_run_is_listed_where_it_was_made(tmp_path: Path) -> None:
    """Damage to a first line must not make an older run pass for the newest."""
    begin(tmp_path, "r-aaaa", 1)
    begin(tmp_path, "r-bbbb", 2)
    path = tmp_path / "r-bbbb" / "journal-000001.jsonl"
    path.write_bytes(b"x" + path.read_bytes() * 2)

    newest = store.find(DirectoryStore(tmp_path), None)

    assert newest.id == "r-bbbb" and newest.started is None and newest.at > 2


def exhausted(run: DirectoryRun) -> Reader:
    """The journal of a run, read to its end."""
    reader = run.read()
    for _ in reader:
        pass
    return reader


def test_a_run_is_created_continued_and_read_back(tmp_path: Path) -> None:
    """Its two locks name run and epoch while it is driven, and are free after its release."""
    runs = DirectoryStore(tmp_path)
    with runs.lock_local(NOW) as locked:
        with pytest.raises(ConflictError, match="R0603"):
            runs.lock_local(NOW)
        journal = locked.create(DIGEST, b"{}", NOW)
        journal.append([samples.started(RUN)], NOW)
        journal.sync_now()
        [run] = runs.runs()
        assert run.driver().startswith(f"run {RUN} by process ") and not run.is_closed()
        journal.release()
        assert not run.driver()

        journal = locked.open(exhausted(run), 2, NOW)
        for path in (tmp_path / lock.RUNS_LOCK, tmp_path / RUN / lock.RUN_LOCK):
            owner = lock.parse(path.read_bytes())
            assert owner is not None and (owner.run, owner.epoch) == (RUN, 2)
        journal.append([ev.RunClosed({"done": 1}, 0)], NOW)
        journal.close()
        assert run.is_closed() and not run.driver()
    with runs.lock_local(NOW):
        pass


def test_a_journal_is_lost_with_either_lock(tmp_path: Path) -> None:
    """Whoever removes a lock file stops the process that holds it."""
    for number, name in enumerate((lock.RUNS_LOCK, f"{RUN}/{lock.RUN_LOCK}")):
        runs = DirectoryStore(tmp_path / str(number))
        runs.check(allow_unsafe=True)
        with runs.lock_local(NOW) as locked:
            journal = locked.create(DIGEST, b"{}", NOW)
            assert not journal.lost()
            (runs.path / name).unlink()
            assert "was removed" in journal.lost()
            journal.release()


def test_a_run_that_another_process_holds_is_not_opened(tmp_path: Path) -> None:
    """Neither after the store's lock was removed, nor after the run's lock was removed too."""
    runs = DirectoryStore(tmp_path)
    with runs.lock_local(NOW) as locked:
        journal = locked.create(DIGEST, b"{}", NOW)
        journal.append([samples.started(RUN)], NOW)
        journal.sync_now()
        for name in (lock.RUNS_LOCK, f"{RUN}/{lock.RUN_LOCK}"):
            (tmp_path / name).unlink()
            with runs.lock_local(NOW) as rival, pytest.raises(ConflictError, match="R0603"):
                rival.open(exhausted(runs.runs()[0]), 2, NOW)
        journal.release()


@pytest.mark.parametrize("effect", range(1, 12))
def test_a_refusing_disk_leaves_no_lock_behind(effect: int) -> None:
    """Wherever a disk refuses to create a run, a repaired disk creates it."""
    disk = FaultyDisk()
    runs = DirectoryStore(Path("/runs"), disk=disk)
    with runs.lock_local(NOW) as locked:
        disk.fail(effect, errno.EIO, once=True)
        try:
            locked.create(DIGEST, b"{}", NOW).release()
        except StorageError:
            locked.create(DIGEST, b"{}", NOW).release()


def test_a_plan_is_returned_only_with_its_digest(tmp_path: Path) -> None:
    """`plan` checks, `plan_bytes` does not."""
    told = example_runs.whole()
    run = DirectoryRun(told.write(tmp_path))
    assert run.started is not None

    assert run.plan(run.started.plan_digest) == told.plan
    (run.path / "plan.json").write_bytes(b"{}")
    assert run.plan_bytes() == b"{}"
    with pytest.raises(IntegrityError, match="R0901"):
        run.plan(run.started.plan_digest)
    (run.path / "plan.json").unlink()
    with pytest.raises(StorageError, match="R0802"):
        run.plan_bytes()


def test_a_command_is_sent_taken_or_withdrawn(tmp_path: Path) -> None:
    """A command is pending until the process that drives the run has journaled it."""
    run = DirectoryRun(samples.write(tmp_path, 1))
    first = ev.OperatorCommand("a", OperatorVerb.ABORT, samples.ACTOR, NOW, "command line")
    sent, other = run.send(first), run.send(msgspec.structs.replace(first, id="b", at=NOW + 1))
    other.withdraw()
    reader = exhausted(run)

    journal = writer.reopen(reader)
    [taken] = journal.inbox().take()
    assert taken.id == "a" and sent.pending() and not other.pending()
    assert str(sent).startswith(f"{run.location}/inbox/")
    inbox = journal.inbox()
    for command in inbox.take():
        inbox.done(command)
    assert not sent.pending()
    journal.release()
