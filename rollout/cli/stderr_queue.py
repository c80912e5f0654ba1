"""Queue text for stderr and write it in a separate thread, so that no writer is blocked.

Installed once by `cli.main.run`. Only `drain` waits for the reader of stderr.
"""

from __future__ import annotations

import io
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TextIO

QUEUE_CHARS_MAX: Final = 1024**2
"""Size of the queue. The oldest lines are dropped first, because the last lines show how a command
ended."""
ORDER_S: Final = 0.5
"""How long a result waits for earlier lines to be written."""
EXIT_S: Final = 1.0
"""How long a process waits at exit for its last lines to be written."""

Describe = Callable[[int], str]
"""The text, with its line feed, that replaces a number of dropped lines."""


def as_text(lines: int) -> str:
    """Return the note for people."""
    return f"… {lines:,} lines dropped: stderr was not read\n"


def as_json(lines: int) -> str:
    """Return the note for collectors of JSON lines."""
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f'{{"at": "{at}", "level": "warning", "event": "log.dropped", "lines": {lines}}}\n'


class QueuedStream(io.TextIOBase):
    """A text stream over the file descriptor of another stream. Thread-safe.

    If the reader goes away, everything that follows is discarded without an error.
    """

    def __init__(self, stream: TextIO, chars_max: int = QUEUE_CHARS_MAX) -> None:
        self.describe: Describe = as_text
        self._stream, self._chars_max = stream, chars_max
        self._encoding = stream.encoding or "utf-8"
        self._changed = threading.Condition()
        self._queue: deque[str] = deque()
        self._chars = self._dropped = 0
        self._busy = self._gone = False
        self._thread: threading.Thread | None = None

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Return the encoding of the underlying stream."""
        return self._encoding

    def fileno(self) -> int:
        """Return the descriptor that the text is written to."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Return whether the descriptor is a terminal."""
        return self._stream.isatty()

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Queue the text and return at once; drop the oldest text if the queue is full."""
        with self._changed:
            if not self._gone:
                self._queue.append(text)
                self._chars += len(text)
                while self._chars > self._chars_max and len(self._queue) > 1:
                    self._dropped += self._take().count("\n")
                self._start()
                self._changed.notify_all()
        return len(text)

    def drain(self, seconds: float) -> bool:
        """Wait until everything is written, with a time limit; return whether it is."""
        with self._changed:
            return self._changed.wait_for(self._is_idle, seconds)

    def _is_idle(self) -> bool:
        return self._gone or not (self._queue or self._dropped or self._busy)

    def _take(self) -> str:
        text = self._queue.popleft()
        self._chars -= len(text)
        return text

    def _start(self) -> None:
        """Start the thread as a daemon, so that the process can end while a write blocks."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="stderr", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while not self._gone:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._queue or self._dropped))
                text = self.describe(self._dropped) if self._dropped else self._take()
                self._dropped, self._busy = 0, True
            try:
                self._write_out(text.encode(self._encoding, "replace"))
            except OSError:  # the reader is gone, or the terminal hung up
                self._gone = True
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _write_out(self, data: bytes) -> None:
        """Write to the descriptor: the lock of a buffered stream would block the exit."""
        descriptor = self.fileno()
        while data:
            try:
                data = data[os.write(descriptor, data) :]
            except BlockingIOError:  # another process made the shared pipe non-blocking
                select.select((), (descriptor,), ())


def install(stream: TextIO | None) -> TextIO | None:
    """Return the stream to use as the stderr of this process."""
    if stream is None:  # the process was started with stderr closed
        return None
    stream.flush()
    return QueuedStream(stream)  # type: ignore[return-value]


def describe_as(form: str) -> None:
    """Choose the form of the note about dropped lines: `text` or `json`."""
    if isinstance(sys.stderr, QueuedStream):
        sys.stderr.describe = as_json if form == "json" else as_text


def drain(seconds: float) -> None:
    """Wait until stderr is written, with a time limit."""
    if isinstance(sys.stderr, QueuedStream):
        sys.stderr.drain(seconds)
