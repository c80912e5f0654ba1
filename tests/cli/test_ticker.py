"""What a rehearsal says while it lasts: little, on stderr, and nothing that stays."""

from __future__ import annotations

import dataclasses

import pytest

from rollout.cli.options import Common
from rollout.cli.terminal import Terminal
from rollout.cli.ticker import LINE_EVERY_S, Ticker


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_off_a_terminal_it_speaks_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """However often it is told, a log gets one line now and then; a short rehearsal none."""
    clock = Hands()
    with Ticker(Terminal.of(Common()), clock) as ticker:
        for _ in range(100):
            ticker.show(0, 4, 0.5)
        assert capsys.readouterr().err == ""
        clock.now = LINE_EVERY_S
        for _ in range(100):
            ticker.show(1, 4, 0.5)

    assert capsys.readouterr().err == "rehearsing: 1 of 4 seeds, 37 %\n"


def test_on_a_terminal_one_line_is_redrawn_and_taken_away(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No half line is left when the result comes; nothing goes to stdout."""
    clock = Hands()
    terminal = dataclasses.replace(Terminal.of(Common()), live=True)
    with Ticker(terminal, clock) as ticker:
        for step in range(3):
            clock.now = float(step + 1)
            ticker.show(0, 2, step / 4)

    told = capsys.readouterr()
    assert told.err.endswith("\r\x1b[K")
    assert "0 of 2 seeds, 25 %" in told.err and "\n" not in told.err
    assert told.out == ""
