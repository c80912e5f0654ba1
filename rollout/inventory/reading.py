"""Open an inventory file and read its bytes, with checks of limits, encoding and changes.

Used by the readers of CSV, JSON, JSONL and lists of ids.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

from rollout.errors import InventoryError, Place
from rollout.model import limits
from rollout.model.phrase import Wording, say

BLOCK_BYTES = 128 * 1024
"""Size of a block: small enough for the processor's cache."""

_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(slots=True)
class Input:
    """An open inventory file. `name` is shown to users; `notes` are warnings for the plan."""

    name: str
    file: FileIO
    notes: list[tuple[str, str]] = field(default_factory=list)

    def blocks(self, *, cr: bool = False) -> Iterator[bytes]:
        """Yield blocks of whole lines, without a BOM. No line is longer than its limit.

        Lines end at LF, and with `cr` also at a lone CR.
        """
        rest, offset = b"", 0
        while data := self.file.read(BLOCK_BYTES):
            if not offset and not rest:
                data = self._without_bom(data)
            cut = data.rfind(b"\n") + 1
            if cr:  # the last byte may be the first half of CRLF
                cut = max(cut, data.rfind(b"\r", 0, -1) + 1)
            if not cut:
                rest += data
            else:
                self._bound_line(len(rest) + _first_end(data, cr=cr))
                block, rest = rest + data[:cut], data[cut:]
                self._check(block, offset)
                yield block
                offset += len(block)
            self._bound_line(len(rest))
        if rest:
            self._check(rest, offset)
            yield rest

    def text(self) -> str:
        """Return the whole file, without a BOM."""
        raw = self._without_bom(self.file.readall())
        self._check(raw, 0)
        return raw.decode()

    def place(self, line: int | None = None, column: int | None = None) -> Place:
        """Return a place in this file, without its text: a row is long and may contain anything."""
        return Place(self.name, line, column)

    def refused(self, code: str, message: Wording, hint: Wording | None = None) -> InventoryError:
        """Return an error about the whole file."""
        return InventoryError.of(code, message, place=self.place(), help=hint)

    def _without_bom(self, data: bytes) -> bytes:
        if data.startswith(_UTF_16):
            hint = say("save it as UTF-8, or `iconv -f UTF-16 -t UTF-8`")
            raise self.refused("R0201", say("the file is UTF-16, not UTF-8"), hint)
        return data.removeprefix(_BOM)

    def _bound_line(self, length: int) -> None:
        if length > limits.INVENTORY_LINE_BYTES_MAX:
            raise self.refused("R0207", say("a line is longer than 1 MiB, the limit"))

    def _check(self, block: bytes, offset: int) -> None:
        """Raise an error unless this is UTF-8 text. The offset in it does not count the BOM."""
        if b"\0" in block:
            at = offset + block.index(b"\0")
            raise self.refused("R0201", say("a NUL byte at offset {at}: this is not text", at=at))
        if block.isascii():
            return
        try:
            block.decode()
        except UnicodeDecodeError as error:
            message = say("not UTF-8 at offset {offset}", offset=offset + error.start)
            hint = say("save it as UTF-8; from Chinese Windows: `iconv -f GB18030 -t UTF-8`")
            raise self.refused("R0201", message, hint) from None


def _first_end(data: bytes, *, cr: bool) -> int:
    """Return the offset of the first line end, at most the length of the data."""
    ends = [data.find(end) for end in ((b"\n", b"\r") if cr else (b"\n",))]
    return min((end for end in ends if end >= 0), default=len(data))


@contextmanager
def opened(path: Path | None, name: str) -> Iterator[Input]:
    """Open an inventory file, or the standard input without a path. On exit, the file must not have
    changed.

    Errors: InventoryError, exit 74 if it cannot be read, 65 if it is larger than 2 GiB or changed.
    """
    if path is None:
        yield _standard_input()
        return
    try:
        mode = path.stat().st_mode  # before opening: opening a fifo would wait for a writer
        if not stat.S_ISREG(mode):
            raise _unreadable(
                name, say("a directory") if stat.S_ISDIR(mode) else say("not a regular file")
            )
        file = FileIO(path)
    except OSError as error:
        raise _unreadable(name, error.strerror or type(error).__name__) from None
    with file:
        found = Input(name, file)
        before = os.fstat(file.fileno())
        if before.st_size > limits.INVENTORY_BYTES_MAX:
            raise found.refused(
                "R0207", say("the file is larger than 2 GiB, the limit"), say("split it")
            )
        if before.st_mode & stat.S_IWOTH:
            found.notes.append(("R0116", f"{name} is world-writable: run chmod o-w on it"))
        yield found
        after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            hint = say("run the command again when no process writes the file")
            raise found.refused("R0209", say("the file changed while it was read"), hint)


def _standard_input() -> Input:
    """Return the standard input. Errors: R0200 unless it is a pipe or a file."""
    name = "standard input"
    if sys.stdin is None:  # closed: its number may belong to another file by now
        raise _no_input(say("it is closed"))
    try:
        if os.isatty(0):
            raise _no_input(say("it is a terminal"))
        return Input(name, FileIO(0, closefd=False))
    except OSError as error:
        raise _no_input(error.strerror or type(error).__name__) from None


def _no_input(why: Wording) -> InventoryError:
    fix = say("pipe the list into the command, or name a file in the source's `path`")
    message = say("the inventory cannot be read: {why}", why=why)
    return InventoryError.of("R0200", message, place=Place("standard input"), help=fix)


def _unreadable(name: str, why: Wording) -> InventoryError:
    fix = say(
        "correct the source's `path`, which starts at the project directory, or restore the file"
    )
    message = say("the inventory cannot be read: {why}", why=why)
    return InventoryError.of("R0200", message, place=Place(name), help=fix)
