"""Show the progress of a rehearsal: one line on a terminal, log lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Self

from rollout.cli.language import translated
from rollout.cli.terminal import Terminal, write
from rollout.model.phrase import say

REDRAW_EVERY_S = 0.25
LINE_EVERY_S = 10.0
_CLEAR = "\r\x1b[K"


class RehearsalProgress:
    """Called often, prints rarely. Use it inside `with`, so that it erases its line."""

    def __init__(self, terminal: Terminal, clock: Callable[[], float] = time.monotonic) -> None:
        self._terminal = terminal
        self._clock = clock
        self._every_s = REDRAW_EVERY_S if terminal.live else LINE_EVERY_S
        self._next = clock() + self._every_s
        self._drawn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._drawn:
            write(sys.stderr, _CLEAR, end="")

    def show(self, finished: int, seeds: int, share: float) -> None:
        """Show the finished seeds and the finished share of the current one, if it is time."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + self._every_s
        done = int(100 * (finished + share) / seeds)
        text = say(
            "rehearsing: {finished:,} of {seeds:,} seeds, {done} %",
            finished=finished,
            seeds=seeds,
            done=done,
        )
        if self._terminal.live:
            self._drawn = True
            write(sys.stderr, f"{_CLEAR}{translated(text)}", end="")
        else:
            self._terminal.say(text)
