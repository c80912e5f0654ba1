"""The inbox of a run: operators' commands for the process that drives it, one file each.

Written by commands such as `rollout abort` and `rollout pause`, read by the run's engine, which
removes a file after its command is journaled. Makes no decision about the commands.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from rollout.errors import RolloutError
from rollout.journal.disk import REAL, Disk
from rollout.journal.reader import unusable
from rollout.model.event import OperatorCommand

T = TypeVar("T")

INBOX = "inbox"
SOURCE = "inbox"
"""`OperatorCommand.source` of commands from an inbox."""
BYTES_MAX = 16_384
"""Longer files are not commands."""


class SentCommand:
    """A command in an inbox. Its text is the name of its file."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._path, self._disk = path, disk

    def __str__(self) -> str:
        return str(self._path)

    def pending(self) -> bool:
        """Return whether no process has taken the command yet. Errors: OSError."""
        return self._disk.stat(self._path) is not None

    def withdraw(self) -> None:
        """Remove the command. Errors: OSError."""
        self._disk.unlink(self._path)


def send(run_dir: Path, order: OperatorCommand, *, disk: Disk = REAL) -> SentCommand:
    """Put a command into the inbox, whole or not at all, mode 0600.

    Errors: StorageError R0802.
    """
    folder = run_dir / INBOX
    target = folder / f"{order.at:013d}-{order.id}.json"
    draft = folder / f".{order.id}.new"
    try:
        disk.mkdir(folder)
        disk.save(draft, msgspec.json.encode(msgspec.structs.replace(order, source=SOURCE)))
        disk.replace(draft, target)
        disk.sync_dir(folder)
    except OSError as error:
        raise unusable(target, error) from None
    return SentCommand(target, disk)


class Inbox:
    """The reader of an inbox. Implements the engine's port `Operators`.

    `on_trouble` receives the error of a file or directory that cannot be read, once until it can be
    read again. Each `take` tries again.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        disk: Disk = REAL,
        on_trouble: Callable[[RolloutError], None] = lambda _: None,
    ) -> None:
        self._folder = run_dir / INBOX
        self._disk = disk
        self._on_trouble = on_trouble
        self._troubled: dict[Path, int | None] = {}
        self._taken: dict[str, Path] = {}

    def take(self) -> list[OperatorCommand]:
        """Return the commands that arrived since the last call, oldest first. Files that are not
        commands are ignored.
        """
        names = self._tried(self._folder, self._disk.names) or []
        known = set(self._taken.values())
        paths = [self._folder / name for name in names if _is_command(name)]
        read = [(path, self._tried(path, self._read)) for path in paths if path not in known]
        found = [(path, order) for path, order in read if order is not None]
        self._taken.update((order.id, path) for path, order in found)
        return [order for _, order in found]

    def done(self, order: OperatorCommand) -> None:
        """Remove the file of a journaled command. If that fails, the next process takes the command
        again, and refuses or repeats it.
        """
        path = self._taken.get(order.id)
        if path is not None:
            try:
                self._disk.unlink(path)
            except OSError:
                return
            del self._taken[order.id]

    def _tried(self, path: Path, read: Callable[[Path], T]) -> T | None:
        """Return the result of `read`; None if there is no file, or after an error was reported."""
        try:
            found = read(path)
        except FileNotFoundError:
            found = None
        except OSError as error:
            if self._troubled.get(path, 0) != error.errno:
                self._troubled[path] = error.errno
                self._on_trouble(unusable(path, error))
            return None
        self._troubled.pop(path, None)
        return found

    def _read(self, path: Path) -> OperatorCommand | None:
        figures = self._disk.stat(path)
        if figures is None or figures.size > BYTES_MAX:
            return None
        with self._disk.read(path) as file:
            try:
                return msgspec.json.decode(file.read(BYTES_MAX), type=OperatorCommand)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return None


def _is_command(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".")
