"""Output streams, colors, prompts, and closed or slow readers."""

import errno
import fcntl
import io
import os
import sys
import threading

import pytest

from rollout import logs
from rollout.cli import terminal
from rollout.cli.options import Common
from rollout.cli.terminal import Terminal
from rollout.errors import Exit, RolloutError
from rollout.model.known_secrets import KnownSecrets


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without variables for color or automation."""
    for name in ("NO_COLOR", "FORCE_COLOR", "CI", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def all_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make all three streams terminals."""
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, Tty())


@pytest.mark.parametrize(
    "variable,choice,colored",
    [
        (None, "auto", True),
        ("NO_COLOR", "auto", False),
        ("NO_COLOR", "always", True),
        (None, "never", False),
    ],
)
def test_colour_follows_flag_then_environment(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, choice: str, *, colored: bool
) -> None:
    """The flag wins over NO_COLOR, which wins over the terminal."""
    all_terminals(monkeypatch)
    if variable:
        monkeypatch.setenv(variable, "1")

    assert Terminal.of(Common(color=choice)).out_color is colored  # type: ignore[arg-type]


def test_a_dumb_terminal_gets_no_colour_and_no_redrawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """TERM=dumb disables both."""
    all_terminals(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")

    found = Terminal.of(Common())

    assert not found.out_color and not found.live


@pytest.mark.parametrize("columns,width", [("0", 100), ("20", 60), ("80", 80), ("200", 100)])
def test_width_is_kept_readable(monkeypatch: pytest.MonkeyPatch, columns: str, width: int) -> None:
    """Text is wrapped to the terminal's width within limits; width 0 means unknown."""
    monkeypatch.setenv("COLUMNS", columns)

    assert Terminal.of(Common()).width == width


@pytest.mark.parametrize(
    "no_input,variable,interactive", [(False, "", True), (True, "", False), (False, "true", False)]
)
def test_nothing_is_asked_in_automation(
    monkeypatch: pytest.MonkeyPatch, variable: str, *, no_input: bool, interactive: bool
) -> None:
    """--no-input and CI=true both disable prompts."""
    all_terminals(monkeypatch)
    monkeypatch.setenv("CI", variable)

    assert Terminal.of(Common(no_input=no_input)).interactive is interactive


def test_nothing_is_asked_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe as stdin disables prompts."""
    all_terminals(monkeypatch)
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))

    assert not Terminal.of(Common()).interactive


def test_a_missing_stderr_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process started with stdin and stderr closed continues."""
    for name in ("stdin", "stderr"):
        monkeypatch.setattr(sys, name, None)
    terminal.harden()

    found = Terminal.of(Common())
    found.say("talk")

    assert not found.interactive and not found.live


def test_a_missing_stdout_loses_a_result_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result without stdout is an I/O error; an empty result is not."""
    monkeypatch.setattr(sys, "stdout", None)
    found = Terminal.of(Common())

    found.show("")
    with pytest.raises(RolloutError) as caught:
        found.show("result")

    assert caught.value.exit is Exit.IO


def test_an_empty_result_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """`-o ids` without ids prints no empty line."""
    Terminal.of(Common()).show("")

    assert capsys.readouterr().out == ""


class Broken(io.StringIO):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, _text: str) -> int:
        raise OSError(self.number, "no")


def test_a_reader_that_left_early_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """`rollout status | head -1` ends without an error."""
    monkeypatch.setattr(sys, "stdout", Broken(errno.EPIPE))

    Terminal.of(Common()).show("result")

    assert isinstance(sys.stdout, Broken)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EBADF, errno.EIO])
def test_a_result_that_cannot_be_written_is_an_error(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A full disk, a descriptor open for reading only and a broken disk end with exit 74."""
    monkeypatch.setattr(sys, "stdout", Broken(number))

    with pytest.raises(RolloutError) as caught:
        Terminal.of(Common()).show("result")

    assert caught.value.exit is Exit.IO


def test_talk_is_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets in error messages do not reach stderr."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)

    Terminal.of(Common()).say("AccessKeySecret=planted-secret-1")

    assert stream.getvalue() == "AccessKeySecret=***\n"


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_known_secret_is_blanked_on_both_outputs(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Keys in use are removed by value, in JSON output too."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, name, stream)
    monkeypatch.setattr(logs, "KNOWN", KnownSecrets())
    logs.hide("planted/token+2")
    terminal_ = Terminal.of(Common())

    (terminal_.show if name == "stdout" else terminal_.say)('{"a": "planted/token+2"}')

    assert stream.getvalue() == '{"a": "***"}\n'


def test_color_only_adds_escape_codes() -> None:
    """Coloring adds escape codes and changes no text."""
    text = "error[R0104]: unknown\n! 2 stopped\nEMULATOR"

    painted = terminal.paint(text)

    assert "\x1b[1;31merror[R0104]\x1b[0m" in painted
    for code in ("\x1b[1;31m", "\x1b[1;33m", "\x1b[1;35m", "\x1b[0m"):
        painted = painted.replace(code, "")
    assert painted == text


def test_no_output_can_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Escape sequences in names are escaped on both streams; our own colors are unchanged."""
    found = Terminal.of(Common(color="always"))

    found.show("error[R0001] name \x1b[2J\u202e\nsecond line")
    found.say("name \x1b]0;title\x07")

    out, err = capsys.readouterr()
    assert out == "\x1b[1;31merror[R0001]\x1b[0m name \\u{1b}[2J\\u{202e}\nsecond line\n"
    assert err == "name \\u{1b}]0;title\\u{7}\n"


def test_a_result_that_nobody_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that ran unattended ends with a code even if its stdout is a pipe that is full and
    never read; what fitted was written.
    """
    reader, writer = os.pipe()
    size = fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4_096)
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)

        with pytest.raises(RolloutError) as raised:
            Terminal.of(Common()).show("x" * (size + 1), 0.05)

    assert raised.value.problems[0].code == "R0806" and raised.value.exit is Exit.IO
    assert len(os.read(reader, 2 * size)) == size
    os.close(reader)


def test_a_result_is_written_whole_to_a_slow_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time limit starts again with each byte: a slow reader gets everything."""
    reader, writer = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4_096)
    text = "é" * 50_000
    with os.fdopen(writer, "w", encoding="utf-8") as stream, os.fdopen(reader, "rb") as read:
        monkeypatch.setattr(sys, "stdout", stream)
        taken: list[bytes] = []
        reading = threading.Thread(target=lambda: taken.append(read.read()))
        reading.start()
        Terminal.of(Common()).show(text, 20)
        stream.close()
        reading.join()

    assert b"".join(taken).decode() == text + "\n"
