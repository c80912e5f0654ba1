"""Read a journal line by line in bounded memory, and recognize what a crash left at its end.

Called by everything that folds or shows a run. Changes nothing on disk: a torn tail is reported
here and cut by `writer.reopen`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from rollout.errors import IntegrityError, Place, PlanError, RolloutError, StorageError
from rollout.journal.chain import Chain, Head
from rollout.journal.disk import REAL, Disk
from rollout.journal.record import Line, LineError
from rollout.model import limits
from rollout.model import plan as planmodel
from rollout.model.event import FORMAT_VERSION, RunStarted, TornTail
from rollout.model.phrase import Wording, say

PLAN = "plan.json"
PREFIX = "r-"
SEAL = "journal.seal"


class Seal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last line at the time when the writer closed the journal, in a file next to it.

    Without a seal, a cut tail or a change of the last line could not be detected.
    """

    seq: int
    sha256: str


def read(run_dir: Path, *, disk: Disk = REAL) -> Reader:
    """Return the lines of a run's journal, to be iterated once.

    Errors, all with file and line: IntegrityError R0902 if the journal is missing or of another
    run, R0903 if a line does not follow, R0904 if one cannot be read; StorageError R0802. A torn
    last line is no error: see `Reader.torn`.
    """
    return Reader(run_dir, disk)


def run_id(plan_digest: str) -> str:
    """Return the id of the run of a plan. A plan is applied once, so its digest names the run."""
    sha = hashlib.sha256(plan_digest.encode()).digest()
    return PREFIX + base64.b32encode(sha).decode()[:10].lower()


def read_plan(run_dir: Path, expected: str, *, disk: Disk = REAL) -> planmodel.Plan:
    """Return the plan that the run executes; `expected` is the digest in its first line.

    Errors: IntegrityError R0901 if the file has another digest, R0902 if the plan is missing or
    another plan gives this run id; PlanError R0321 if another version wrote it.
    """
    path = run_dir / PLAN
    if run_dir.name != run_id(expected):
        raise IntegrityError.of(
            "R0902",
            say(
                "the run of plan {plan} has the id {expected}, not {found}",
                plan=expected,
                expected=run_id(expected),
                found=run_dir.name,
            ),
            place=Place(str(run_dir)),
            help=_NEVER,
        )
    try:
        with disk.read(path) as file:
            raw = file.read()
    except FileNotFoundError:
        raise IntegrityError.of(
            "R0902", say("{file} is missing", file=PLAN), place=Place(str(path)), help=_NEVER
        ) from None
    except OSError as error:
        raise unusable(path, error) from None
    actual = planmodel.digest(raw)
    if actual != expected:
        raise IntegrityError.of(
            "R0901",
            say(
                "the plan in the run directory is {actual}, the run was started on {expected}",
                actual=actual,
                expected=expected,
            ),
            place=Place(str(path)),
            help=_NEVER,
        )
    try:
        return planmodel.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = say("this version cannot read the plan: {cause}", cause=error)
        raise PlanError.of("R0321", message, place=Place(str(path))) from None


def segments(run_dir: Path, disk: Disk) -> list[str]:
    """Return the names of the journal's files in order. IntegrityError R0902 if one is missing."""
    try:
        names = [name for name in disk.names(run_dir) if name.startswith("journal-")]
    except OSError as error:
        raise unusable(run_dir, error) from None
    for number, name in enumerate(names, 1):
        if name != segment_name(number):
            message = say(
                "{missing} is missing, but {later} exists", missing=segment_name(number), later=name
            )
            raise IntegrityError.of("R0902", message, place=Place(str(run_dir)), help=_NEVER)
    if not names:
        message = say("the run directory has no journal")
        raise IntegrityError.of("R0902", message, place=Place(str(run_dir)), help=_NEVER)
    return names


def segment_name(number: int) -> str:
    """Return the name of a file of the journal, such as `journal-000001.jsonl`."""
    return f"journal-{number:06}.jsonl"


def unusable(path: Path, error: OSError) -> RolloutError:
    """Return the error for a file or directory that cannot be used."""
    message = say("{path}: {cause}", path=path, cause=error.strerror or error)
    cure = say(
        "it must be a regular file or a directory that belongs to you and that no other "
        "user can write, with free space and no file-size limit; or use another "
        "--runs-dir"
    )
    return StorageError.of("R0802", message, place=Place(str(path)), help=cure)


class Reader:
    """One pass over a journal. Afterwards its attributes describe the end of the journal.

    `chain` is at the last good line. `segment` is the number of the last file, `length` the number
    of its good bytes, and `end` includes the torn bytes. `started` is the run's first event, None
    if no whole line was written. `torn` describes the bytes after the last good
    line; `sealed_at` is the line at which the journal was closed in order, 0 if it never was.
    """

    def __init__(self, run_dir: Path, disk: Disk) -> None:
        self.run_dir = run_dir
        self.disk = disk
        self.chain = Chain()
        self.segment = 0
        self.length = 0
        self.end = 0
        self.started: RunStarted | None = None
        self.torn: TornTail | None = None
        self.sealed_at = 0
        self.done = False
        self.path = run_dir
        self.number = 0

    @property
    def head(self) -> Head:
        """Number and digest of the last good line."""
        return Head(self.chain.seq, self.chain.head)

    @property
    def place(self) -> Place:
        """File and number of the line that was read last."""
        return Place(str(self.path), self.number or None)

    def __iter__(self) -> Iterator[Line]:
        seal = self._seal()
        names = segments(self.run_dir, self.disk)
        for self.segment, name in enumerate(names, 1):
            self.path = self.run_dir / name
            try:
                with self.disk.read(self.path) as file:
                    yield from self._lines(file, seal, last=name == names[-1])
            except OSError as error:
                raise unusable(self.path, error) from None
        if seal is not None and not self.sealed_at:
            message = say(
                "the journal was closed at line {closed} and now ends at {last}: lines were "
                "removed",
                closed=seal.seq,
                last=self.chain.seq,
            )
            self._refuse("R0903", message, self.place)
        self.done = True

    def _lines(self, file: BinaryIO, seal: Seal | None, *, last: bool) -> Iterator[Line]:
        chain = self.chain
        sealed_at = 0 if seal is None else seal.seq
        self.length = self.end = self.number = 0
        while raw := file.readline(READ_BYTES_MAX):
            self.number += 1
            try:
                line = chain.follow(whole(raw))
            except LineError as error:
                tail = torn_end(raw, file) if last and error.torn else None
                if tail is None:
                    raise broken_line(error, self.place, chain.seq + 1) from None
                self.end += len(tail)
                if chain.seq:
                    self.torn = TornTail(len(tail), hashlib.sha256(tail).hexdigest())
                return
            self.length += len(raw)
            self.end = self.length
            if self.started is None:
                self._begin(line)
            if line.seq == sealed_at and seal is not None:
                self._compare(seal)
            yield line

    def _begin(self, line: Line) -> None:
        first = line.body[0] if line.body else None
        if not isinstance(first, RunStarted):
            self._refuse("R0902", say("the journal does not begin with RunStarted"), self.place)
        elif first.format_version != FORMAT_VERSION:
            message = say(
                "the journal has format {found}; this version reads {ours}",
                found=first.format_version,
                ours=FORMAT_VERSION,
            )
            self._refuse("R0904", message, self.place)
        elif first.run != self.run_dir.name:
            message = say(
                "the journal is of run {run}, the directory is {folder}",
                run=first.run,
                folder=self.run_dir.name,
            )
            self._refuse("R0902", message, self.place)
        else:
            self.started = first

    def _seal(self) -> Seal | None:
        path = self.run_dir / SEAL
        try:
            with self.disk.read(path) as file:
                return msgspec.json.decode(file.read(), type=Seal)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unusable(path, error) from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._refuse("R0903", say("the journal's seal cannot be read"), Place(str(path)))
            return None

    def _compare(self, seal: Seal) -> None:
        if self.chain.head != seal.sha256:
            message = say(
                "line {line} hashes to {actual}, the journal was closed with {expected}: it was "
                "changed after writing",
                line=seal.seq,
                actual=self.chain.head,
                expected=seal.sha256,
            )
            self._refuse("R0903", message, self.place)
        self.sealed_at = seal.seq

    def _refuse(self, code: str, message: Wording, place: Place) -> None:
        raise IntegrityError.of(code, message, place=place, help=_NEVER)


def whole(raw: bytes) -> bytes:
    """Return a line without its line feed. LineError, torn, if it has none or is too long."""
    if not raw.endswith(b"\n"):
        long = len(raw) > limits.LINE_BYTES_MAX
        reason = (
            say("longer than the maximum of a line") if long else say("no line feed at its end")
        )
        raise LineError("R0904", reason, torn=True)
    return raw[:-1]


def torn_end(raw: bytes, file: BinaryIO) -> bytes | None:
    """Return the incomplete end of a file that begins with the line `raw`; None if more follows.

    A line that the end of the file cut is incomplete even if a live writer has added to it since.
    """
    if not raw.endswith(b"\n"):
        if len(raw) < READ_BYTES_MAX:
            return raw
        raw += file.readline()
    return None if file.read(1) else raw


def broken_line(error: LineError, place: Place, seq: int) -> RolloutError:
    """Return the error for a line that does not follow the lines before it, or cannot be read."""
    line = say("line {line} (seq {seq})", line=place.line, seq=seq)
    message = say("{line}: {cause}", line=line, cause=error.args[0])
    if error.code == "R0903":
        message = say("{line} breaks the hash chain: {cause}", line=line, cause=error.args[0])
    return IntegrityError.of(error.code, message, place=place, help=_NEVER)


READ_BYTES_MAX = limits.LINE_BYTES_MAX + 1
"""The most bytes that are read for one line, its line feed included."""
_NEVER = say(
    "nothing was repaired; restore the run directory from a copy, or move it out of the runs "
    "directory and plan again"
)
