"""A follower returns every line of a live run once: across restarts, crashes and segments."""

from __future__ import annotations

import errno
import io
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import anyio
import pytest

from rollout.errors import IntegrityError
from rollout.journal import writer
from rollout.journal.chain import Head, parse_head
from rollout.journal.disk import RealDisk
from rollout.journal.follower import Follower
from rollout.journal.record import Line
from rollout.model import limits
from rollout.model.event import RunClosed
from tests.journal import samples
from tests.journal.disks import FaultyDisk

JOURNAL = "journal-000001.jsonl"
CLOSED = RunClosed({"done": 1}, 0)
WRITING = """
import sys, time
from pathlib import Path
from rollout.journal.directory import DirectoryRun, DirectoryStore
from rollout.model import limits
from rollout.model.event import RunClosed
from tests.journal import samples
limits.SEGMENT_BYTES_MAX = 4_000
store, epoch = DirectoryStore(Path(sys.argv[1])), int(sys.argv[2])
with store.lock_local(samples.NOW) as locked:
    if epoch == 1:
        journal = locked.create("sha256:0", b"{}", samples.NOW)
        journal.append([samples.started("r-3ww4neempa")], samples.NOW)
    else:
        reader = DirectoryRun(store.path / "r-3ww4neempa").read()
        assert len(list(reader)) > 3
        journal = locked.open(reader, epoch, samples.NOW)
        if reader.torn is not None:
            journal.append([reader.torn], samples.NOW)
    for number in range(1_000_000 if epoch < 3 else 20):
        journal.append(samples.turn(number), samples.NOW)
        journal.sync_now()
        if number == 5:
            print("writing", flush=True)
        time.sleep(0.001)
    journal.append([RunClosed({"done": 1}, 0)], samples.NOW)
    journal.close()
"""


def seqs(lines: Iterator[Line] | list[Line]) -> list[int]:
    """Return the numbers of these lines."""
    return [line.seq for line in lines]


@contextmanager
def writing(runs_dir: Path, epoch: int) -> Iterator[subprocess.Popen[str]]:
    """A process that drives a run until it is killed; the third one closes it."""
    command = [sys.executable, "-c", WRITING, str(runs_dir), str(epoch)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "writing\n"
        try:
            yield process
        finally:
            process.kill()


def test_lines_are_returned_once_and_a_cursor_outlives_its_follower(tmp_path: Path) -> None:
    """A follower that is started again with the text of its cursor misses and repeats no line."""
    run_dir = samples.write(tmp_path, 3, close=False)
    first = Follower(run_dir)

    assert seqs(first.poll()) == [1, 2, 3] and not list(first.poll())
    reader = writer.read(run_dir)
    assert len(list(reader)) == 3
    journal = writer.reopen(reader)
    journal.append(samples.turn(3), samples.NOW)
    journal.close()
    second = Follower(run_dir, parse_head(str(first.cursor)))
    assert seqs(first.poll()) == [4] == seqs(second.poll())
    assert first.cursor == second.cursor == journal.head


def test_a_cursor_points_behind_the_last_line_that_was_taken(tmp_path: Path) -> None:
    """A caller that stops in the middle of a poll continues with the next line."""
    follower = Follower(samples.write(tmp_path, 5))

    assert next(follower.poll()).seq == 1
    assert follower.cursor is not None and follower.cursor.seq == 1
    assert seqs(follower.poll()) == [2, 3, 4, 5]


def test_an_incomplete_line_is_waited_for(tmp_path: Path) -> None:
    """At every byte of its last line a journal shows the lines before it, and no error."""
    path = samples.write(tmp_path, 3, close=False) / JOURNAL
    whole = path.read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    follower = Follower(path.parent)
    path.write_bytes(whole[:start])
    assert seqs(follower.poll()) == [1, 2]

    for end in range(start, len(whole)):
        path.write_bytes(whole[:end])
        assert not list(follower.poll())
    path.write_bytes(whole[:start] + b"\0\0\n")  # what a power failure may leave
    assert not list(follower.poll())
    path.write_bytes(whole)
    assert seqs(follower.poll()) == [3]


def test_the_next_segment_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if several segments were completed between two polls."""
    monkeypatch.setattr(limits, "SEGMENT_BYTES_MAX", 1)
    journal = writer.create(tmp_path, samples.RUN, b"{}")
    follower, found = Follower(tmp_path / samples.RUN), []
    for number in range(7):
        journal.append([samples.started()] if number == 0 else samples.turn(number), samples.NOW)
        journal.sync_now()
        if number % 3 == 0:
            found += seqs(follower.poll())
    journal.close()

    assert found == [1, 2, 3, 4, 5, 6, 7]
    assert (tmp_path / samples.RUN / "journal-000007.jsonl").exists()


def test_lines_that_a_full_disk_moved_to_the_next_segment_are_not_repeated() -> None:
    """The writer cuts what it could not sync and writes it again as its final events."""
    disk = FaultyDisk()
    runs = Path("/runs")
    journal = writer.create(runs, samples.RUN, b"{}", disk=disk)
    journal.append([samples.started()], samples.NOW)
    journal.sync_now()
    follower = Follower(runs / samples.RUN, disk=disk)
    journal.append(samples.turn(1), samples.NOW)
    lines = len(disk.files[runs / samples.RUN / JOURNAL])
    disk.files[runs / samples.RUN / JOURNAL] += journal._pending
    assert seqs(follower.poll()) == [1, 2]
    del disk.files[runs / samples.RUN / JOURNAL][lines:]
    assert not list(follower.poll())

    disk.fail(1, errno.ENOSPC, once=True)
    with pytest.raises(Exception, match="cannot be written"):
        journal.sync_now()
    assert journal.append_final([samples.HALTED], samples.NOW)

    assert seqs(follower.poll()) == [3]


def test_another_line_in_the_place_of_the_cursor_is_an_error(tmp_path: Path) -> None:
    """A journal that was replaced by another copy is not continued silently."""
    run_dir = samples.write(tmp_path, 4)

    with pytest.raises(IntegrityError, match=r"R0903.*line 3 .*not to 0{64} as before"):
        list(Follower(run_dir, Head(3, "0" * 64)).poll())


def test_damage_is_an_error_with_file_and_line(tmp_path: Path) -> None:
    """A changed line breaks the chain for a follower as for every reader."""
    path = samples.write(tmp_path, 4) / JOURNAL
    path.write_bytes(path.read_bytes().replace(b"start_time", b"start_time!", 1))

    with pytest.raises(IntegrityError) as caught:
        list(Follower(path.parent).poll())

    [problem] = caught.value.problems
    assert problem.code == "R0903" and problem.place is not None
    assert (problem.place.file, problem.place.line) == (str(path), 3)


def test_a_run_without_a_journal_is_an_error(tmp_path: Path) -> None:
    """It is damage, since a run directory gets its name after its journal."""
    with pytest.raises(IntegrityError, match="R0902"):
        list(Follower(tmp_path / samples.RUN).poll())


class _GrowingFile(io.BytesIO):
    """A file that a writer extends as soon as a reader has seen its end."""

    def __init__(self, data: bytes, more: bytes) -> None:
        super().__init__(data)
        self._more = more

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if line and not line.endswith(b"\n"):
            place = self.tell()
            self.seek(0, io.SEEK_END)
            self.write(self._more)
            self.seek(place)
        return line


class _GrowingDisk(RealDisk):
    """Shows the first file without the end of its last line, which arrives during the read."""

    def read(self, path: Path) -> BinaryIO:
        if path.name != JOURNAL:
            return super().read(path)
        data = path.read_bytes()
        return _GrowingFile(data[:-20], data[-20:])


def test_a_line_that_is_completed_during_a_read_is_no_damage(tmp_path: Path) -> None:
    """`status` of a live run, and its followers, see the line only with the next read."""
    run_dir = samples.write(tmp_path, 3, close=False)
    reader = writer.read(run_dir, disk=_GrowingDisk())

    assert seqs(list(reader)) == [1, 2] and reader.torn is not None
    assert seqs(Follower(run_dir, disk=_GrowingDisk()).poll()) == [1, 2]


def test_a_run_is_followed_through_kills_and_resumes_to_its_close(tmp_path: Path) -> None:
    """Two writers are killed with SIGKILL, once within a line, and the follower is replaced."""
    run_dir, found = tmp_path / "r-3ww4neempa", list[Line]()
    with writing(tmp_path, 1) as process:
        follower = Follower(run_dir)
        while len(found) < 20:
            found += follower.poll()
        process.kill()
    found += follower.poll()
    last = max(run_dir.glob("journal-*.jsonl"))
    with last.open("ab") as journal:
        journal.write(b'{"seq":')
    assert not list(follower.poll())
    follower = Follower(run_dir, follower.cursor)
    with writing(tmp_path, 2) as process:
        time.sleep(0.05)
        found += follower.poll()
        process.kill()

    async def close() -> None:
        with writing(tmp_path, 3):
            async for line in follower.stream(0.01):
                found.append(line)

    anyio.run(close)
    written = list(writer.read(run_dir))
    assert found == written
    assert isinstance(found[-1].body[-1], RunClosed)
    assert len(list(run_dir.glob("journal-*.jsonl"))) > 2
