"""A quantity over time in bounded memory: the largest value in each of a few hundred stretches.

Pure. Filled by a rehearsal, drawn by the command line.
"""

from __future__ import annotations

from rollout.model.time import SECOND, Duration

POINTS_MAX = 240


class Series:
    """Values that hold until the next one. When there are too many stretches they grow in pairs."""

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
        """The value from `after` (milliseconds since the begin, never going back) on."""
        self.until(after)
        self.points[-1] = max(self.points[-1], value)
        self._value = value

    def until(self, after: Duration) -> None:
        """The last value held up to here."""
        while after // self.step >= self._points_max:
            self._widen()
        missing = after // self.step + 1 - len(self.points)
        self.points.extend([self._value] * missing)

    def _widen(self) -> None:
        self.step *= 2
        pairs = range(0, len(self.points), 2)
        self.points = [max(self.points[at : at + 2]) for at in pairs]
