"""Progress of a rehearsal: on stderr, rarely, and erased at the end."""

from __future__ import annotations

import dataclasses

import pytest

from rollout.cli.options import Common
from rollout.cli.rehearsal_progress import LINE_EVERY_S, RehearsalProgress
from rollout.cli.terminal import Terminal


class ManualClock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_without_a_terminal_a_line_is_printed_every_ten_seconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """However often progress is reported, a log gets a line every ten seconds."""
    clock = ManualClock()
    with RehearsalProgress(Terminal.of(Common()), clock) as progress:
        for _ in range(100):
            progress.show(0, 4, 0.5)
        assert capsys.readouterr().err == ""
        clock.now = LINE_EVERY_S
        for _ in range(100):
            progress.show(1, 4, 0.5)

    assert capsys.readouterr().err == "rehearsing: 1 of 4 seeds, 37 %\n"


def test_on_a_terminal_one_line_is_redrawn_and_erased(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The line is erased before the result; nothing is written to stdout."""
    clock = ManualClock()
    terminal = dataclasses.replace(Terminal.of(Common()), live=True)
    with RehearsalProgress(terminal, clock) as progress:
        for step in range(3):
            clock.now = float(step + 1)
            progress.show(0, 2, step / 4)

    printed = capsys.readouterr()
    assert printed.err.endswith("\r\x1b[K")
    assert "0 of 2 seeds, 25 %" in printed.err and "\n" not in printed.err
    assert printed.out == ""
