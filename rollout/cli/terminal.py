"""Write results to stdout and messages to stderr, and prompt the operator.

Created by each command from its options. A closed reader does not stop a run.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from rollout import logs
from rollout.cli import signals, stderr_queue, suggested
from rollout.cli.errors import rendering
from rollout.cli.language import translated
from rollout.cli.options import Common
from rollout.errors import Problem, RolloutError, StorageError
from rollout.model.phrase import Wording, say
from rollout.model.printable import escaped_lines

WIDTH_MIN, WIDTH_MAX, WIDTH_DEFAULT = 60, 100, 100
"""Limits of the width that text is wrapped to, and the width without a terminal."""

_STYLES = (
    (re.compile(r"^(?:error|错误)\[\w+\]", re.MULTILINE), "1;31"),
    (re.compile(r"^(?:warning|警告)\[\w+\]|^!", re.MULTILINE), "1;33"),
    (re.compile(r"\bEMULATOR\b"), "1;35"),
    (re.compile(r"^ *\^+$|\^{2,}", re.MULTILINE), "31"),
)


@dataclass(frozen=True, slots=True)
class Terminal:
    """The standard streams of one command."""

    out_color: bool
    err_color: bool
    width: int
    live: bool
    """Whether stderr can redraw lines."""
    interactive: bool
    columns: int | None = None
    """Columns of the terminal at stdout; None for a file or a pipe."""
    json_lines: bool = False
    """Whether messages are JSON lines, for a log collector."""

    @classmethod
    def of(cls, common: Common) -> Terminal:
        """Return the streams of this process with these options."""
        columns = shutil.get_terminal_size((WIDTH_DEFAULT, 24)).columns or WIDTH_DEFAULT
        dumb = os.environ.get("TERM") == "dumb"
        return cls(
            out_color=_color(common, sys.stdout),
            err_color=_color(common, sys.stderr),
            width=min(max(columns, WIDTH_MIN), WIDTH_MAX),
            live=_is_terminal(sys.stderr) and not dumb and common.log_format == "text",
            interactive=_is_terminal(sys.stdin)
            and _is_terminal(sys.stderr)
            and not common.no_input
            and os.environ.get("CI", "").lower() != "true",
            columns=columns if _is_terminal(sys.stdout) else None,
            json_lines=common.log_format == "json",
        )

    def show(self, text: str, patience_s: float | None = None) -> bool:
        """Print the result to stdout, after the lines on stderr that came before it, and without
        characters that could steer a terminal. An empty result is no line. Return whether stdout
        still has a reader.

        Waits for a slow reader like any program in a pipe, or at most `patience_s` seconds without
        progress. Errors: R0804, R0806.
        """
        if not text:
            return True
        if sys.stdout is None or sys.stdout.closed:
            raise StorageError.of("R0804", say("the result cannot be written: stdout is closed"))
        stderr_queue.drain(stderr_queue.ORDER_S)
        text = escaped_lines(text)
        text = paint(text) if self.out_color else text
        return write(sys.stdout, text, patience_s=patience_s)

    def say(self, text: Wording) -> None:
        """Print a message to stderr in the current language; log it in English."""
        logged = suggested.with_options(str(text))
        if self.json_lines:
            logs.say("message", text=logged)
            return
        logs.keep("message", text=logged)
        self._print(suggested.with_options(translated(text)))

    def _print(self, text: str) -> None:
        text = escaped_lines(logs.redact(text))
        write(sys.stderr, paint(text) if self.err_color else text)

    def error(self, error: RolloutError) -> None:
        """Print an error to stderr as text, or as a JSON line for each of its problems."""
        write = logs.say if self.json_lines else logs.keep
        for problem in error.problems:
            _log(write, "error", problem)
        if error.resume:
            write("error", "error", resume=suggested.with_options(error.resume))
        if not self.json_lines:
            self._print(rendering.render(error))

    def warn(self, problem: Problem) -> None:
        """Print a warning to stderr, with its location and fix."""
        _log(logs.say if self.json_lines else logs.keep, "warning", problem)
        if not self.json_lines:
            self._print(rendering.warning(problem))

    def prompt(self, question: str) -> str:
        """Prompt and return the answer, empty at end of input. Requires `interactive`."""
        write(sys.stderr, escaped_lines(question), end=" ")
        stderr_queue.drain(stderr_queue.EXIT_S)
        with signals.raising():
            return sys.stdin.readline().strip()


def _log(write: Callable[..., None], level: str, problem: Problem) -> None:
    cure = suggested.with_options(problem.help or "")
    details = {"location": problem.place, "help": cure, "request_id": problem.request_id}
    known = {name: str(value) for name, value in details.items() if value}
    write(level, level, code=problem.code, message=problem.message, **known)


def paint(text: str) -> str:
    """Color some words. The text without color has the same meaning."""
    for pattern, style in _STYLES:
        text = pattern.sub(f"\x1b[{style}m\\g<0>\x1b[0m", text)
    return text


def write(
    stream: TextIO | None, text: str, end: str = "\n", patience_s: float | None = None
) -> bool:
    """Write and flush, without the secrets of this process. Return whether it was written.

    A closed pipe is no error. Errors of stdout: StorageError R0804, for example for a full disk;
    R0806 if its reader reads nothing for `patience_s` seconds.
    """
    if stream is None or stream.closed:
        return False
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
                "R0806",
                say(
                    "the result cannot be written: stdout was not read for {seconds:.0f} s",
                    seconds=patience_s,
                ),
            ) from error
        if stream is sys.stdout and error.errno != errno.EPIPE:
            raise StorageError.of(
                "R0804", say("the result cannot be written: {cause}", cause=error.strerror)
            ) from error
        return False
    except (KeyboardInterrupt, SystemExit):
        _silence(stream)  # otherwise the interpreter's last flush waits for the same reader
        raise
    return True


def _write_within(stream: TextIO, text: str, patience_s: float) -> None:
    """Write to the descriptor in pieces that fit a pipe. Errors: OSError, TimeoutError."""
    stream.flush()
    data = text.encode(stream.encoding, "replace")
    while data:
        if not select.select((), (stream.fileno(),), (), patience_s)[1]:
            raise TimeoutError
        data = data[os.write(stream.fileno(), data[: select.PIPE_BUF]) :]


def has_descriptor(stream: TextIO) -> bool:
    """Return whether the stream writes to a file descriptor."""
    try:
        return stream.fileno() >= 0
    except (OSError, ValueError):
        return False


def harden() -> None:
    """Replace characters that the locale lacks. Open closed standard descriptors on /dev/null, so
    that no file of the program gets their numbers.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _silence(stream: TextIO) -> None:
    """Discard buffered text, so that the interpreter's last flush cannot fail."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


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
