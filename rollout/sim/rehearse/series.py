"""A quantity over time in bounded memory: the largest value in each of a few hundred intervals.

Pure. Filled by a rehearsal, drawn by the command line.
"""

from __future__ import annotations

from rollout.model.time import SECOND, Duration

POINTS_MAX = 240


class Series:
    """Values that are valid until the next one. Too many intervals are merged in pairs."""

    def __init__(self, points_max: int = POINTS_MAX) -> None:
        self.step: Duration = SECOND
        self.points: list[int] = []
        self._points_max = points_max
        self._value = 0

    @property
    def peak(self) -> int:
        """Return the largest value."""
        return max(self.points, default=0)

    def note(self, after: Duration, value: int) -> None:
        """Set the value from `after` on (milliseconds since the start, never decreasing)."""
        self.until(after)
        self.points[-1] = max(self.points[-1], value)
        self._value = value

    def until(self, after: Duration) -> None:
        """Extend the last value up to here."""
        while after // self.step >= self._points_max:
            self._widen()
        missing = after // self.step + 1 - len(self.points)
        self.points.extend([self._value] * missing)

    def _widen(self) -> None:
        self.step *= 2
        pairs = range(0, len(self.points), 2)
        self.points = [max(self.points[at : at + 2]) for at in pairs]
