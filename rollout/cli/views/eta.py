"""Estimate the remaining time of a run from the pace of this process so far.

Called by `progress` at each turn, and before it writes a line or draws. Reads the run and changes
nothing.
"""

from __future__ import annotations

from typing import Final

from rollout.core.running.journey import DOWN, Phase
from rollout.core.running.state import Run
from rollout.model.time import Duration, Instant

SHARE_MIN: Final = 0.1
"""Share of the rounds before the first estimate, because the first round also attaches."""
DONE_WHEN_DOWN: Final = 0.5
"""Average finished share of a round for a target that is down."""


class Eta:
    """Counts rounds, because all targets that may be down at once take about as long as one.

    The pace of a small wave therefore predicts rounds better than targets. Waits for an operator, a
    bake, a gate or a window do not count as time of work.
    """

    def __init__(self, run: Run, now: Instant) -> None:
        self._rounds = rounds_left(run)
        self._turn = now
        self._works = _works(run)
        self._worked: Duration = 0

    def on_turn(self, run: Run, now: Instant) -> None:
        """Count the time since the last turn, if the run worked after that turn."""
        if self._works:
            self._worked += now - self._turn
        self._turn, self._works = now, _works(run)

    def left_ms(self, run: Run) -> Duration | None:
        """Return the remaining time at the last turn; None while the run waits, and before one
        round and a tenth of all rounds are done.
        """
        left = rounds_left(run)
        done = self._rounds - left
        if _waits(run) or done < max(1.0, SHARE_MIN * self._rounds):
            return None
        return round(left * self._worked / done)


def _waits(run: Run) -> bool:
    """Return whether no new work may start: in a pause, outside the windows, or at a gate."""
    return run.resting or run.gate is not None


def _works(run: Run) -> bool:
    """Return whether new work may start, or restarts still finish after a pause or a window."""
    restarting = any(run.phase_counts[phase] for phase in (Phase.RESTARTING, Phase.SETTLING))
    return not _waits(run) or (run.gate is None and (restarting or bool(run.open_calls)))


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
