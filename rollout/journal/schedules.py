"""The journals of schedules in a runs directory: one directory each, one file for each entry.

Implements `store.ScheduleStore`. An entry is written to a temporary file and linked to its number,
which only one process can do: so two schedulers never fire the same tick.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import msgspec

from rollout.errors import IntegrityError, Place
from rollout.journal.disk import REAL, Disk
from rollout.journal.reader import unusable
from rollout.model.phrase import Wording, say
from rollout.model.schedule_event import ScheduleEntry

FOLDER = "schedules"
PLANS = "plans"
BYTES_MAX = 1 << 20
"""Longer files are not entries."""
_ENTRY = re.compile(r"(\d{8})\.json", re.ASCII)
_DECODER = msgspec.json.Decoder(ScheduleEntry)


class DirectorySchedules:
    """The schedules of a runs directory."""

    def __init__(self, runs_dir: Path, *, disk: Disk = REAL) -> None:
        self._folder, self._plans, self._disk = runs_dir / FOLDER, runs_dir / PLANS, disk

    def names(self) -> list[str]:
        """See ScheduleStore."""
        return self._names(self._folder)

    def entries(self, name: str) -> list[ScheduleEntry]:
        """See ScheduleStore."""
        folder = self._folder / name
        found = sorted(filter(_ENTRY.fullmatch, self._names(folder)))
        return [self._entry(folder, number, file) for number, file in enumerate(found, 1)]

    def later(self, name: str, number: int, last: ScheduleEntry) -> list[ScheduleEntry] | None:
        """See ScheduleStore."""
        folder = self._folder / name
        if self._read(folder / _file(number)) != last:
            return None
        found: list[ScheduleEntry] = []
        while (entry := self._read(folder / _file(number + len(found) + 1))) is not None:
            found.append(entry)
        return found

    def append(self, name: str, number: int, entry: ScheduleEntry) -> bool:
        """See ScheduleStore."""
        target = self._folder / name / _file(number)
        draft = self._disk.fresh(target)
        try:
            self._disk.mkdir(target.parent)
            self._disk.save(draft, msgspec.json.encode(entry) + b"\n")
            try:
                self._disk.link(draft, target)
            except FileExistsError:
                return False
            finally:
                with contextlib.suppress(OSError):
                    self._disk.unlink(draft)
            for folder in (target.parent, self._folder, self._folder.parent):
                self._disk.sync_dir(folder)
        except OSError as error:
            raise unusable(target, error) from None
        return True

    def plan_file(self, name: str) -> Path:
        """See ScheduleStore."""
        try:
            self._disk.mkdir(self._plans)
        except OSError as error:
            raise unusable(self._plans, error) from None
        return self._plans / name

    def _names(self, folder: Path) -> list[str]:
        try:
            return self._disk.names(folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise unusable(folder, error) from None

    def _entry(self, folder: Path, number: int, file: str) -> ScheduleEntry:
        entry = self._read(folder / file) if file == _file(number) else None
        if entry is None:
            raise _damaged(folder / file, say("entry {number} is missing", number=number))
        return entry

    def _read(self, path: Path) -> ScheduleEntry | None:
        """Return the entry in a file; None if there is no such file."""
        try:
            with self._disk.read(path) as opened:
                return _DECODER.decode(opened.read(BYTES_MAX))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unusable(path, error) from None
        except (msgspec.DecodeError, UnicodeError) as error:
            raise _damaged(path, str(error)) from None


def _file(number: int) -> str:
    return f"{number:08d}.json"


def _damaged(path: Path, why: Wording) -> IntegrityError:
    return IntegrityError.of(
        "R0634",
        say("the journal of the schedule is damaged: {why}", why=why),
        place=Place(str(path)),
        help=say(
            "restore the file from a backup, or move the directory away and add the schedule "
            "again; check `rollout history` first, because ticks that fired are forgotten"
        ),
    )
