"""The stderr queue: writers never wait, order and counts are correct, readers may close."""

from __future__ import annotations

import fcntl
import io
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

import pytest

from rollout.cli import stderr_queue
from rollout.cli.stderr_queue import QueuedStream

PATIENCE_S = 20.0


@dataclass
class Pipe:
    """A small pipe under a queued stream; it is not read until `read_all`."""

    reader: int
    plain: TextIO
    stream: QueuedStream

    def fill(self) -> int:
        """Let the thread of the stream wait for the reader; return the bytes in the pipe."""
        size = fcntl.fcntl(self.reader, fcntl.F_GETPIPE_SZ)
        os.write(self.plain.fileno(), b"." * size)
        return size

    def read_all(self, skip: int = 0) -> str:
        """Everything that is written from now on until the stream is drained."""
        chunks: list[bytes] = []

        def read() -> None:
            while chunk := os.read(self.reader, 65_536):
                chunks.append(chunk)

        reading = threading.Thread(target=read)
        reading.start()
        assert self.stream.drain(PATIENCE_S)
        self.plain.close()
        reading.join()
        return b"".join(chunks)[skip:].decode()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe that holds one page."""
    reader, writer = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4_096)
    plain = os.fdopen(writer, "w", encoding="utf-8")
    yield Pipe(reader, plain, QueuedStream(plain, chars_max=1_000))
    if not plain.closed:
        plain.close()
    os.close(reader)


def test_everything_arrives_in_order(pipe: Pipe) -> None:
    """A reader gets every line in order."""
    lines = [f"line {number}\n" for number in range(50)]
    for line in lines:
        pipe.stream.write(line)

    assert pipe.read_all() == "".join(lines)


def test_lines_that_do_not_fit_are_dropped_and_counted(pipe: Pipe) -> None:
    """Without a reader, writing does not wait. A later reader gets the newest lines, and
    in the place of the others their exact number.
    """
    skip = pipe.fill()
    written = 5_000
    for number in range(written):
        pipe.stream.write(f"line {number}\n")

    read = pipe.read_all(skip).splitlines()

    notes = [line for line in read if "dropped" in line]
    kept = [line for line in read if line not in notes]
    dropped = sum(int(line.split()[1].replace(",", "")) for line in notes)
    assert dropped + len(kept) == written and dropped > 0
    assert kept[-1] == f"line {written - 1}"
    assert kept == sorted(kept, key=lambda line: int(line.split()[1]))


def test_collectors_get_the_count_as_json(pipe: Pipe) -> None:
    """In JSON form the note about dropped lines is a JSON line."""
    pipe.stream.describe = stderr_queue.as_json
    skip = pipe.fill()
    for number in range(1_000):
        pipe.stream.write(f'{{"line": {number}}}\n')

    rows = [json.loads(line) for line in pipe.read_all(skip).splitlines()]

    notes = [row for row in rows if row.get("event") == "log.dropped"]
    assert sum(row["lines"] for row in notes) + len(rows) - len(notes) == 1_000


def test_a_drain_ends_when_nobody_reads(pipe: Pipe) -> None:
    """The wait for the last lines has a time limit."""
    pipe.fill()
    pipe.stream.write("last words\n")

    assert not pipe.stream.drain(0.01)


def test_a_reader_that_goes_away_is_no_error(pipe: Pipe) -> None:
    """After EPIPE all text is discarded without waiting."""
    spare = os.open(os.devnull, os.O_RDONLY)
    os.dup2(spare, pipe.reader)
    os.close(spare)
    pipe.stream.write("nobody\n")

    assert pipe.stream.drain(PATIENCE_S)
    pipe.stream.write("is there\n")
    assert pipe.stream.drain(0)


def test_a_pipe_that_others_made_non_blocking_loses_nothing(pipe: Pipe) -> None:
    """A parent may set O_NONBLOCK on the shared pipe: the thread waits and continues."""
    os.set_blocking(pipe.plain.fileno(), False)
    pipe.stream = QueuedStream(pipe.plain)
    text = "".join(f"line {number}\n" for number in range(5_000))
    pipe.stream.write(text)

    assert pipe.read_all() == text


def test_characters_that_the_encoding_lacks_are_replaced() -> None:
    """Characters that cannot be encoded are replaced."""
    reader, writer = os.pipe()
    with os.fdopen(reader, encoding="ascii") as read:
        with os.fdopen(writer, "w", encoding="ascii") as plain:
            stream = QueuedStream(plain)
            stream.write("wave → done\n")
            assert stream.drain(PATIENCE_S)
        assert read.read() == "wave ? done\n"


def test_a_stream_without_a_process_stderr_is_left_out() -> None:
    """A process that was started without stderr has no queue."""
    assert stderr_queue.install(None) is None
    assert isinstance(stderr_queue.install(io.TextIOWrapper(io.BytesIO())), QueuedStream)
