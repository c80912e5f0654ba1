"""Follow the journal of a live run: whole lines as they are written, across segments and resumes.

Called to display or report a run while another process drives it. Changes nothing on
disk; a line may be read before it is durable.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO

import anyio

from rollout.errors import IntegrityError, Place, RolloutError
from rollout.journal.chain import Chain, Head
from rollout.journal.disk import REAL, Disk
from rollout.journal.reader import (
    READ_BYTES_MAX,
    broken_line,
    segment_name,
    torn_end,
    unusable,
    whole,
)
from rollout.journal.record import Line, LineError
from rollout.model.event import RunClosed
from rollout.model.phrase import say


class Follower:
    """The lines after `cursor`, each returned once; None begins with the first line.

    A cursor outlives its follower: a new one skips to it, and checks that the journal still
    contains that line. Only after a power failure or a disk error may a line that was read be
    missing later; a follower then raises IntegrityError R0903 as soon as another line has its
    number.
    """

    def __init__(self, run_dir: Path, cursor: Head | None = None, *, disk: Disk = REAL) -> None:
        self.cursor = cursor
        self._run_dir, self._disk = run_dir, disk
        self._chain = Chain()
        self._segment, self._offset, self._number = 1, 0, 0

    def poll(self) -> Iterator[Line]:
        """Yield the lines that were completed since the last call. Never waits.

        An incomplete last line is left for the next call. Errors: IntegrityError R0902 if the
        journal is missing, R0903 or R0904 if a line does not follow; StorageError R0802.
        """
        while True:
            path = self._run_dir / segment_name(self._segment)
            try:
                later = self._disk.stat(self._run_dir / segment_name(self._segment + 1)) is not None
                with self._disk.read(path) as file:
                    if file.seek(0, io.SEEK_END) < self._offset:
                        self._restart()  # the end was cut: its lines continue in the next file
                        continue
                    file.seek(self._offset)
                    yield from self._lines(file, path, last=not later)
            except FileNotFoundError:
                message = say("the run directory has no journal")
                raise IntegrityError.of("R0902", message, place=Place(str(path))) from None
            except OSError as error:
                raise unusable(path, error) from None
            if not later:
                return
            self._segment += 1
            self._offset = self._number = 0

    async def stream(self, interval_s: float = 0.5) -> AsyncIterator[Line]:
        """Yield lines as they are written, up to the one that closes the run.

        Waits `interval_s` seconds between two polls. Errors as `poll`.
        """
        while True:
            for line in self.poll():
                yield line
                if line.body and isinstance(line.body[-1], RunClosed):
                    return
            await anyio.sleep(interval_s)

    def _restart(self) -> None:
        """Read from the first line again; lines up to the cursor are checked, not returned."""
        self._chain = Chain()
        self._segment, self._offset, self._number = 1, 0, 0

    def _lines(self, file: BinaryIO, path: Path, *, last: bool) -> Iterator[Line]:
        while raw := file.readline(READ_BYTES_MAX):
            try:
                line = self._chain.follow(whole(raw))
            except LineError as error:
                if last and error.torn and torn_end(raw, file) is not None:
                    return
                raise self._broken(error, path, self._number + 1) from None
            self._offset += len(raw)
            self._number += 1
            head = Head(self._chain.seq, self._chain.head)
            if self.cursor is None or head.seq > self.cursor.seq:
                self.cursor = head
                yield line
            elif head.seq == self.cursor.seq and head != self.cursor:
                message = say(
                    "it hashes to {actual}, not to {expected} as before",
                    actual=head.sha256,
                    expected=self.cursor.sha256,
                )
                raise self._broken(LineError("R0903", message), path, self._number)

    def _broken(self, error: LineError, path: Path, number: int) -> RolloutError:
        return broken_line(error, Place(str(path), number), self._chain.seq)
