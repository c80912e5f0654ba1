"""Write results to stdout and messages to stderr, and prompt the operator.

Made by each command from its options. A reader that went away never stops a run.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import shutil
import sys
from dataclasses import dataclass
from typing import TextIO

from rollout import logs
from rollout.cli import queued, signals
from rollout.cli.errors import rendering
from rollout.cli.options import Common
from rollout.errors import Problem, RolloutError, StorageError
from rollout.model.printable import escaped_lines

WIDTH_MIN, WIDTH_MAX, WIDTH_DEFAULT = 60, 100, 100
"""Columns that text is wrapped to; the last where there is no terminal."""

_STYLES = (
    (re.compile(r"^error\[\w+\]", re.MULTILINE), "1;31"),
    (re.compile(r"^warning\[\w+\]|^!", re.MULTILINE), "1;33"),
    (re.compile(r"\bEMULATOR\b"), "1;35"),
    (re.compile(r"^ *\^+$|\^{2,}", re.MULTILINE), "31"),
)


@dataclass(frozen=True, slots=True)
class Terminal:
    """The three standard streams as one command uses them."""

    out_color: bool
    err_color: bool
    width: int
    live: bool
    """stderr can redraw lines."""
    may_ask: bool
    columns: int | None = None
    """Columns of the terminal that stdout is; None where it is a file or a pipe."""
    json_lines: bool = False
    """Talk goes out as JSON lines too: a collector reads stderr."""

    @classmethod
    def of(cls, common: Common) -> Terminal:
        """The streams of this process under these options."""
        columns = shutil.get_terminal_size((WIDTH_DEFAULT, 24)).columns or WIDTH_DEFAULT
        dumb = os.environ.get("TERM") == "dumb"
        return cls(
            out_color=_color(common, sys.stdout),
            err_color=_color(common, sys.stderr),
            width=min(max(columns, WIDTH_MIN), WIDTH_MAX),
            live=_is_terminal(sys.stderr) and not dumb and common.log_format == "text",
            may_ask=_is_terminal(sys.stdin)
            and _is_terminal(sys.stderr)
            and not common.no_input
            and os.environ.get("CI", "").lower() != "true",
            columns=columns if _is_terminal(sys.stdout) else None,
            json_lines=common.log_format == "json",
        )

    def show(self, text: str, patience_s: float | None = None) -> None:
        """Print the result to stdout, after the lines on stderr that came before it, and without
        characters that could steer a terminal. An empty result is no line.

        Waits for a slow reader like any program in a pipe, or at most `patience_s` seconds without
        progress. Errors: R0804, R0806.
        """
        if not text:
            return
        if sys.stdout is None or sys.stdout.closed:
            raise StorageError.of("R0804", "the result cannot be written: stdout is closed")
        queued.drain(queued.ORDER_S)
        text = escaped_lines(text)
        write(sys.stdout, paint(text) if self.out_color else text, patience_s=patience_s)

    def say(self, text: str) -> None:
        """Print a message to stderr."""
        if self.json_lines:
            logs.say("talk", text=text)
            return
        text = escaped_lines(logs.redact(text))
        write(sys.stderr, paint(text) if self.err_color else text)

    def complain(self, error: RolloutError) -> None:
        """Print an error to stderr: as people read it, or a JSON line for each of its problems."""
        if not self.json_lines:
            self.say(rendering.render(error))
            return
        for problem in error.problems:
            _log("error", problem)
        if error.resume:
            logs.say("error", "error", resume=error.resume)

    def warn(self, problem: Problem) -> None:
        """Print a warning to stderr."""
        if self.json_lines:
            _log("warning", problem)
        else:
            self.say(f"warning[{problem.code}]: {problem.message}")

    def ask(self, question: str) -> str:
        """Prompt; return the typed text, empty at end of input. Call only if `may_ask`."""
        write(sys.stderr, escaped_lines(question), end=" ")
        queued.drain(queued.EXIT_S)
        with signals.raising():
            return sys.stdin.readline().strip()


def _log(level: str, problem: Problem) -> None:
    words = {"place": problem.place, "help": problem.help, "request_id": problem.request_id}
    known = {name: str(word) for name, word in words.items() if word}
    logs.say(level, level, code=problem.code, message=problem.message, **known)


def paint(text: str) -> str:
    """Color some words. The text without color has the same meaning."""
    for pattern, style in _STYLES:
        text = pattern.sub(f"\x1b[{style}m\\g<0>\x1b[0m", text)
    return text


def write(
    stream: TextIO | None, text: str, end: str = "\n", patience_s: float | None = None
) -> None:
    """Write and flush, without the secrets of this process. A reader that left early is no error.
    Every other error of stdout is one, such as a full disk, and so is a reader that takes nothing
    for `patience_s` seconds.
    """
    if stream is None or stream.closed:
        return
    text = logs.KNOWN.blank(text)
    try:
        if patience_s is None or not has_descriptor(stream):
            stream.write(text + end)
            stream.flush()
        else:
            _write_within(stream, text + end, patience_s)
    except OSError as error:
        _silence(stream)
        if stream is sys.stdout and isinstance(error, TimeoutError):
            raise StorageError.of(
                "R0806", f"the result cannot be written: stdout was not read for {patience_s:.0f} s"
            ) from error
        if stream is sys.stdout and error.errno != errno.EPIPE:
            raise StorageError.of(
                "R0804", f"the result cannot be written: {error.strerror}"
            ) from error
    except (KeyboardInterrupt, SystemExit):
        _silence(stream)  # otherwise the interpreter's last flush waits for the same reader
        raise


def _write_within(stream: TextIO, text: str, patience_s: float) -> None:
    """Write to the descriptor in pieces that a pipe takes at once. Errors: OSError, TimeoutError
    where it takes none for so long.
    """
    stream.flush()
    data = text.encode(stream.encoding, "replace")
    while data:
        if not select.select((), (stream.fileno(),), (), patience_s)[1]:
            raise TimeoutError
        data = data[os.write(stream.fileno(), data[: select.PIPE_BUF]) :]


def has_descriptor(stream: TextIO) -> bool:
    """Return whether a file of the operating system is under the stream."""
    try:
        return stream.fileno() >= 0
    except (OSError, ValueError):
        return False


def harden() -> None:
    """Let no character that the locale lacks end a run, and no file of ours become stdout."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # closed by the caller: the next file opened would get this number
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _silence(stream: TextIO) -> None:
    """What is still buffered goes nowhere, so that the interpreter's last flush is quiet."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _color(common: Common, stream: TextIO | None) -> bool:
    if common.color != "auto":
        return common.color == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return _is_terminal(stream) and os.environ.get("TERM") != "dumb"


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False
