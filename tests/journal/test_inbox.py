"""The inbox of a run: commands of operators arrive whole, once, and in their order."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

import msgspec
import pytest

from rollout.errors import RolloutError, StorageError
from rollout.journal.disk import RealDisk
from rollout.journal.inbox import BYTES_MAX, Inbox, send
from rollout.model.event import OperatorCommand, OperatorVerb
from tests.journal.samples import ACTOR, NOW


def order(name: str, at: int = NOW) -> OperatorCommand:
    """An abort of this id."""
    return OperatorCommand(name, OperatorVerb.ABORT, ACTOR, at, "command line", "test")


def test_commands_are_taken_once_in_the_order_of_their_sending(tmp_path: Path) -> None:
    """Each comes once to one reader; what was not confirmed comes again to the next process."""
    send(tmp_path, order("b", NOW + 1))
    send(tmp_path, order("a", NOW + 2))
    inbox = Inbox(tmp_path)

    taken = inbox.take()
    assert [one.id for one in taken] == ["b", "a"]
    assert {one.source for one in taken} == {"inbox"}
    assert inbox.take() == []
    inbox.done(taken[0])
    assert [one.id for one in Inbox(tmp_path).take()] == ["a"]


def test_an_empty_or_missing_inbox_holds_nothing(tmp_path: Path) -> None:
    """Nobody has commanded anything yet."""
    assert Inbox(tmp_path).take() == []


def test_a_command_is_private_and_whole(tmp_path: Path) -> None:
    """Mode 0600 in a directory 0700, and no draft is left."""
    path = Path(str(send(tmp_path, order("a"))))

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_what_is_no_command_is_left_alone(tmp_path: Path) -> None:
    """Drafts, other JSON, no JSON, links, FIFOs and very long files neither count nor block."""
    path = Path(str(send(tmp_path, order("a"))))
    folder = path.parent
    (folder / ".x.new").write_bytes(path.read_bytes())
    (folder / "1-bad.json").write_text("{}")
    (folder / "2-long.json").write_text(" " * BYTES_MAX + path.read_text())
    (folder / "3-link.json").symlink_to(path)
    os.mkfifo(folder / "4-fifo.json")
    (folder / "5-octets.json").write_bytes(path.read_bytes().replace(b"test", b"\xff"))
    (folder / "6-nested.json").write_text('{"x":' + "[" * 10_000)

    assert [one.id for one in Inbox(tmp_path).take()] == ["a"]


def test_a_command_survives_its_encoding(tmp_path: Path) -> None:
    """The reader gets what was sent, but for the way it came."""
    given = order("a")
    send(tmp_path, given)

    assert Inbox(tmp_path).take() == [msgspec.structs.replace(given, source="inbox")]


def test_an_inbox_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """A file where the directory belongs: R0802, and the path is named."""
    (tmp_path / "inbox").write_text("")

    with pytest.raises(StorageError, match="R0802"):
        send(tmp_path, order("a"))


class FailingDisk(RealDisk):
    """Refuses to read one path with an error number; 0 reads everything."""

    def __init__(self, path: Path, number: int) -> None:
        self.path, self.number = path, number

    def names(self, path: Path) -> list[str]:
        """See Disk."""
        self._check(path)
        return super().names(path)

    def read(self, path: Path) -> BinaryIO:
        """See Disk."""
        self._check(path)
        return super().read(path)

    def _check(self, path: Path) -> None:
        if self.number and path == self.path:
            raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
@pytest.mark.parametrize("broken", ["folder", "file"])
def test_an_inbox_that_cannot_be_read_is_reported_and_tried_again(
    tmp_path: Path, broken: str, number: int
) -> None:
    """An abort is not lost in silence: the error is reported once, and the command is taken as soon
    as it can be read; a later failure is reported again."""
    file = Path(str(send(tmp_path, order("a"))))
    path = file if broken == "file" else file.parent
    disk = FailingDisk(path, number)
    reported: list[RolloutError] = []
    inbox = Inbox(tmp_path, disk=disk, on_trouble=reported.append)

    assert inbox.take() == inbox.take() == []
    (problem,) = reported.pop().problems
    assert reported == []
    assert problem.code == "R0802" and os.strerror(number) in problem.message

    disk.number = 0
    assert [one.id for one in inbox.take()] == ["a"]
    disk.number, disk.path = number, path.parent if broken == "file" else path
    assert inbox.take() == []
    assert len(reported) == 1
