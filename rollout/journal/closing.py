"""Determine from its seal and the end of its journal whether a run is closed, and since when.

Called by the directory store. Reads two lines whatever the length of the journal, and reports no
close unless these lines, the chain and the seal agree.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import msgspec

from rollout.errors import RolloutError
from rollout.journal.chain import GENESIS, Chain
from rollout.journal.disk import REAL, Disk
from rollout.journal.reader import SEAL, Seal, segments
from rollout.journal.record import LineError
from rollout.model import limits
from rollout.model.event import RunClosed
from rollout.model.phrase import say
from rollout.model.time import Instant


def closed_at(run_dir: Path, *, disk: Disk = REAL) -> Instant | None:
    """Return the time of the last line, if it closes the run, follows the line before it and is
    sealed.

    If None, the run may still be closed, as after a kill between the last line and the seal. Then
    only a fold of the whole journal decides.
    """
    try:
        with disk.read(run_dir / SEAL) as file:
            seal = msgspec.json.decode(file.read(_SEAL_BYTES_MAX), type=Seal)
        before, last = _last_two(run_dir, disk)
        chain = Chain(seal.seq - 1, hashlib.sha256(before).hexdigest() if before else GENESIS)
        line = chain.follow(last)
    except (OSError, RolloutError, LineError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    closes = bool(line.body) and isinstance(line.body[-1], RunClosed)
    return line.at if closes and chain.head == seal.sha256 else None


def _last_two(run_dir: Path, disk: Disk) -> tuple[bytes, bytes]:
    """Return the last two lines without their line feeds, empty ones for missing lines."""
    lines: list[bytes] = []
    for name in reversed(segments(run_dir, disk)):
        with disk.read(run_dir / name) as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            *found, rest = file.read().split(b"\n")
        if rest:
            message = say("the journal ends within a line")
            raise LineError("R0904", message)
        lines = found[-2:] + lines
        if len(lines) > 1:
            break
    before, last = [b"", b"", *lines][-2:]
    return before, last


_TAIL_BYTES = 2 * (limits.LINE_BYTES_MAX + 1)
_SEAL_BYTES_MAX = 4_096
