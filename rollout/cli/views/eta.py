"""Estimate the remaining time of a run from the pace of this process so far.

Called by `progress` before it writes a line or draws. Reads the run and changes nothing.
"""

from __future__ import annotations

from typing import Final

from rollout.core.running.journey import DOWN
from rollout.core.running.state import Run
from rollout.model.time import Duration, Instant

SHARE_MIN: Final = 0.1
"""Share of the rounds before the first estimate, because the first round also attaches."""
DONE_WHEN_DOWN: Final = 0.5
"""Average finished share of a round for a target that is down."""


class Eta:
    """Counts rounds, because all targets that may be down at once take about as long as one.

    The pace of a small wave therefore predicts rounds better than targets.
    """

    def __init__(self, run: Run, now: Instant) -> None:
        self._began = now
        self._rounds = rounds_left(run)

    def left_ms(self, run: Run, now: Instant) -> Duration | None:
        """Return the remaining time; None before one round and a tenth of all rounds are done."""
        left = rounds_left(run)
        done = self._rounds - left
        if done < max(1.0, SHARE_MIN * self._rounds):
            return None
        return round(left * (now - self._began) / done)


def rounds_left(run: Run) -> float:
    """Return the number of remaining rounds: for each unfinished wave, at least one, or its
    remaining targets divided by the permits.
    """
    cap = run.ledger.down_max or 1
    rounds = 0.0
    for wave, left in enumerate(run.left_in_wave):
        if left:
            down = min(left, _down(run, wave)) if wave == run.wave_open else 0
            rounds += max(1.0, left / cap) * (1 - DONE_WHEN_DOWN * down / left)
    return rounds


def _down(run: Run, wave: int) -> int:
    first, last = run.layout.waves[wave].cells
    start, end = run.layout.cells[first].start, run.layout.cells[last - 1].end
    return sum(run.phases.count(phase, start, end) for phase in DOWN)
