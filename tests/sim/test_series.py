"""Series: no peak is lost, however long it is, in bounded memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rollout.sim.rehearse.series import Series

NOTES = st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 1000)), min_size=1, max_size=50)


@given(NOTES)
def test_every_stretch_knows_its_largest_value(notes: list[tuple[int, int]]) -> None:
    """Each point is the largest value that held in its stretch of time, and there are few."""
    ordered = sorted(notes, key=lambda note: note[0])
    series = Series(points_max=8)
    for after, value in ordered:
        series.note(after, value)

    assert len(series.points) <= 8
    assert series.peak == max(value for _, value in ordered)
    for number, point in enumerate(series.points):
        begin, end = number * series.step, (number + 1) * series.step
        held = [value for after, value in ordered if after < begin][-1:] or [0]
        within = [value for after, value in ordered if begin <= after < end]
        assert point == max([*held, *within])


def test_the_last_value_holds_until_the_end() -> None:
    """What was down at the last change is down until the run ends."""
    series = Series()
    series.note(0, 3)
    series.until(4_999)

    assert series.points == [3, 3, 3, 3, 3]
