"""Writing: durable means durable, one sync for all who wait, and nothing after an error."""

import errno
import os
import stat
from pathlib import Path

import anyio
import pytest

from rollout.errors import ConflictError, Exit, IntegrityError, StorageError
from rollout.journal import writer
from rollout.journal.chain import GENESIS
from rollout.journal.disk import RealDisk
from rollout.journal.reader import Reader
from rollout.model import limits
from rollout.model.event import Anomaly, Resumed
from tests.journal import samples
from tests.journal.disks import FaultyDisk

RUNS = Path("runs")
DIRECTORY = RUNS / samples.RUN


class SlowDisk(RealDisk):
    """Counts syncs, and lets others wait meanwhile."""

    syncs = 0

    def fdatasync(self, handle: int) -> None:
        self.syncs += 1
        super().fdatasync(handle)


def begun(disk: FaultyDisk) -> writer.RunJournal:
    """Return a journal on a simulated disk with one durable line."""
    journal = writer.create(RUNS, samples.RUN, b"{}", disk=disk)
    journal.append([samples.started()], samples.NOW)
    journal.sync_now()
    return journal


def test_a_run_directory_is_private_and_holds_the_exact_plan(tmp_path: Path) -> None:
    """Directories are 0700, files 0600, the plan's bytes are those applied."""
    journal = writer.create(tmp_path / "runs", samples.RUN, b'{"a":1}')
    journal.append([samples.started()], samples.NOW)
    journal.sync_now()

    run_dir = tmp_path / "runs" / samples.RUN
    assert stat.S_IMODE(run_dir.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(run_dir.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in run_dir.iterdir()} == {0o600}
    assert (run_dir / "plan.json").read_bytes() == b'{"a":1}'
    assert (run_dir / "reserve").stat().st_size == limits.RESERVE_BYTES
    journal.close()
    assert not (run_dir / "reserve").exists()


def test_nothing_is_written_before_a_sync(tmp_path: Path) -> None:
    """Appending only buffers; a sync writes everything appended."""
    journal = writer.create(tmp_path, samples.RUN, b"{}")
    path = tmp_path / samples.RUN / "journal-000001.jsonl"

    journal.append([samples.started()], samples.NOW)
    assert path.read_bytes() == b""
    journal.sync_now()
    assert path.read_bytes().count(b"\n") == journal.seq == 1
    journal.close()


@pytest.mark.asyncio
async def test_those_who_wait_together_share_a_sync(tmp_path: Path) -> None:
    """Group commit: many turns and many waiters cost a few syncs, and all are durable."""
    disk = SlowDisk()
    journal = writer.create(tmp_path, samples.RUN, b"{}", disk=disk)
    journal.append([samples.started()], samples.NOW)
    before = disk.syncs

    async def one(number: int) -> None:
        journal.append(samples.turn(number), samples.NOW)
        await journal.sync()

    async with anyio.create_task_group() as group:
        for number in range(1, 51):
            group.start_soon(one, number)

    assert disk.syncs - before <= 3
    assert len(samples.events(tmp_path / samples.RUN)) == 1 + 3 * 50
    journal.close()


@pytest.mark.asyncio
async def test_a_cancelled_sync_loses_nothing(tmp_path: Path) -> None:
    """What was appended is durable after a sync, also where its waiter was cancelled."""
    journal = writer.create(tmp_path, samples.RUN, b"{}")
    journal.append([samples.started()], samples.NOW)

    with anyio.CancelScope() as scope:
        scope.cancel()
        await journal.sync()

    assert samples.events(tmp_path / samples.RUN) == [samples.started()]
    journal.close()


def test_the_chain_runs_on_over_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full segment is not written any more; the next one continues the chain."""
    monkeypatch.setattr(limits, "SEGMENT_BYTES_MAX", 2_000)
    journal = writer.create(tmp_path, samples.RUN, b"{}")
    journal.append([samples.started()], samples.NOW)
    for number in range(1, 21):
        journal.append(samples.turn(number), samples.NOW)
        journal.sync_now()
    journal.close()

    run_dir = tmp_path / samples.RUN
    assert len(list(run_dir.glob("journal-*.jsonl"))) > 3
    assert [line.seq for line in writer.read(run_dir)] == list(range(1, 22))


def test_a_reopened_journal_continues(tmp_path: Path) -> None:
    """Reopening continues sequence and chain."""
    run_dir = samples.write(tmp_path, 3)
    reader = writer.read(run_dir)
    assert len(list(reader)) == 3 and reader.sealed_at

    journal = writer.reopen(reader)
    journal.append([Resumed(2, samples.ACTOR, samples.NOW)], samples.NOW)
    journal.close()

    assert [line.seq for line in writer.read(run_dir)] == [1, 2, 3, 4]


def test_a_journal_is_not_reopened_half_read(tmp_path: Path) -> None:
    """Who has not read all of it does not know where it ends."""
    run_dir = samples.write(tmp_path, 3)
    reader = writer.read(run_dir)
    next(iter(reader))

    with pytest.raises(ValueError, match="read to its end"):
        writer.reopen(reader)


def test_a_plan_is_applied_once(tmp_path: Path) -> None:
    """A run directory with a first line is a conflict."""
    samples.write(tmp_path, 1)

    with pytest.raises(ConflictError) as caught:
        writer.create(tmp_path, samples.RUN, b"{}")

    assert caught.value.exit is Exit.CONFLICT


def test_a_run_that_never_wrote_a_line_is_begun_again(tmp_path: Path) -> None:
    """A crash before the first line leaves nothing that stands in the way."""
    writer.create(tmp_path, samples.RUN, b"{}").release()
    path = tmp_path / samples.RUN / "journal-000001.jsonl"
    path.write_bytes(b'{"seq":1,"at":')

    samples.write(tmp_path, 2)

    assert len(list(writer.read(tmp_path / samples.RUN))) == 2


def test_a_run_that_never_wrote_a_line_keeps_its_plan(tmp_path: Path) -> None:
    """Another plan under the same run id is damage."""
    writer.create(tmp_path, samples.RUN, b"{}").release()

    with pytest.raises(IntegrityError):
        writer.create(tmp_path, samples.RUN, b'{"other":1}')


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_crash_while_creating_leaves_nothing_half_made(number: int) -> None:
    """Wherever creating is refused it says so, and once the disk is well it works."""
    effects = FaultyDisk()
    writer.create(RUNS, samples.RUN, b"{}", disk=effects)
    for at in range(1, effects.effects + 1):
        disk = FaultyDisk()
        disk.fail(at, number)

        with pytest.raises(StorageError) as caught:
            writer.create(RUNS, samples.RUN, b"{}", disk=disk)

        assert caught.value.exit is Exit.IO
        disk.crash()
        assert begun(disk).seq == 1


def effects_of_a_sync() -> list[str]:
    """What one sync of one turn does to a disk that refuses nothing."""
    disk = FaultyDisk()
    journal = begun(disk)
    before = len(disk.log)
    journal.append(samples.turn(1), samples.NOW)
    journal.sync_now()
    return disk.log[before:]


SYNC = effects_of_a_sync()
WRITE, DATA_SYNC = SYNC.index("write") + 1, SYNC.index("fdatasync") + 1
"""At which effect of a sync its first write and its fdatasync come, counted from 1."""


def test_a_sync_writes_in_parts_and_ends_with_one_fdatasync() -> None:
    """The disk of these tests takes half of each write: the loops below meet every step."""
    assert SYNC == ["write"] * (DATA_SYNC - 1) + ["fdatasync"]
    assert DATA_SYNC > 2


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("at", range(1, DATA_SYNC + 1))
def test_the_first_error_is_the_last_effect_on_the_journal(at: int, number: int) -> None:
    """Refused at any write or sync: every later call raises, what was durable stays readable."""
    disk = FaultyDisk()
    journal = begun(disk)
    journal.append(samples.turn(1), samples.NOW)
    disk.fail(at, number)

    with pytest.raises(StorageError) as caught:
        journal.sync_now()

    assert caught.value.exit is Exit.IO
    effects = disk.effects
    with pytest.raises(StorageError):
        journal.append(samples.turn(2), samples.NOW)
    with pytest.raises(StorageError):
        journal.sync_now()
    journal.close()
    assert disk.effects == effects
    disk.crash()
    assert samples.events(DIRECTORY, disk=disk) == [samples.started()]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_leaves_room_for_the_final_events(number: int) -> None:
    """The reserve is given up, and the refused turn, the outcomes and the halt become durable."""
    disk = FaultyDisk()
    journal = begun(disk)
    disk.fail(2, number, once=True)
    journal.append(samples.turn(1), samples.NOW)
    with pytest.raises(StorageError):
        journal.sync_now()
    assert DIRECTORY / "reserve" not in disk.files

    assert journal.append_final([samples.HALTED], samples.NOW)

    assert not journal.append_final([samples.HALTED], samples.NOW)
    with pytest.raises(StorageError):
        journal.append(samples.turn(2), samples.NOW)
    disk.crash()
    assert samples.events(DIRECTORY, disk=disk) == [
        samples.started(),
        *samples.turn(1),
        samples.HALTED,
    ]


def test_a_disk_that_stays_full_gets_no_final_events() -> None:
    """An error while making room, or in the final events, ends all writing; nothing is damaged."""
    for at in range(1, 40):
        disk = FaultyDisk()
        journal = begun(disk)
        disk.fail(2, errno.ENOSPC, once=True)
        journal.append(samples.turn(1), samples.NOW)
        with pytest.raises(StorageError):
            journal.sync_now()
        disk.fail(at, errno.ENOSPC)
        if journal.append_final([samples.HALTED], samples.NOW):
            assert at > 4
            return
        disk.crash(keep=100)
        assert samples.events(DIRECTORY, disk=disk) == [samples.started()]
        writer.reopen(exhausted(disk)).close()
    pytest.fail("the final events were never written: some of these disks has room")


def exhausted(disk: FaultyDisk) -> Reader:
    """A reader that came to the end."""
    reader = writer.read(DIRECTORY, disk=disk)
    for _ in reader:
        pass
    return reader


@pytest.mark.parametrize(
    "at, number",
    [
        *((at, errno.EIO) for at in range(WRITE, DATA_SYNC + 1)),
        *((DATA_SYNC, full) for full in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)),
    ],
)
def test_a_broken_disk_gets_no_final_events(at: int, number: int) -> None:
    """After EIO, or any failed sync, nothing more is written: what was lost is unknown."""
    disk = FaultyDisk()
    journal = begun(disk)
    journal.append(samples.turn(1), samples.NOW)
    disk.fail(at, number, once=True)
    with pytest.raises(StorageError):
        journal.sync_now()
    assert disk.log[-1] == SYNC[at - 1], "the effect that was meant has failed"
    effects = disk.effects

    assert not journal.append_final([samples.HALTED], samples.NOW)
    assert disk.effects == effects


def test_low_space_is_seen_before_the_disk_is_full() -> None:
    """Below four reserves the run should halt; so it should if free space is unknown."""
    disk = FaultyDisk()
    journal = begun(disk)

    disk.space = 4 * limits.RESERVE_BYTES
    assert not journal.low_space()
    disk.space -= 1
    assert journal.low_space()


def test_an_unreadable_amount_of_space_is_low(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fail closed: a disk that does not say how much is free counts as full."""
    journal = writer.create(tmp_path, samples.RUN, b"{}")

    def broken(_: Path) -> os.statvfs_result:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", broken)
        assert journal.low_space()
    journal.release()


def test_a_moved_run_directory_is_lost_and_not_full(tmp_path: Path) -> None:
    """The error names the move, and does not say that the disk is full."""
    journal = writer.create(tmp_path, samples.RUN, b"{}")
    (tmp_path / samples.RUN).rename(tmp_path / "elsewhere")

    assert not journal.low_space()
    assert "was removed or moved" in journal.lost()
    journal.release()


def test_a_deleted_journal_is_noticed(tmp_path: Path) -> None:
    """Writing into a file that has no name any more is an error, not success."""
    journal = writer.create(tmp_path, samples.RUN, b"{}")
    journal.append([samples.started()], samples.NOW)
    (tmp_path / samples.RUN / "journal-000001.jsonl").unlink()

    with pytest.raises(IntegrityError):
        journal.sync_now()
    journal.close()


def test_a_link_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    """Links are not followed, neither when reading nor when writing."""
    run_dir = samples.write(tmp_path, 2)
    path = run_dir / "journal-000001.jsonl"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StorageError) as caught:
        samples.events(run_dir)

    assert caught.value.exit is Exit.IO


def test_secrets_never_reach_the_disk(tmp_path: Path) -> None:
    """A credential in a text of the service is not in the journal's files."""
    journal = writer.create(tmp_path, samples.RUN, b"{}")
    secret = "LTAI5t" + "Canary" * 3
    journal.append([samples.started(), Anomaly(1, f"for {secret}")], samples.NOW)
    journal.close()

    stored = b"".join(path.read_bytes() for path in (tmp_path / samples.RUN).iterdir())
    assert b"Canary" not in stored and GENESIS.encode() in stored
