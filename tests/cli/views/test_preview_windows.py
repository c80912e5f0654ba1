"""Windows in the preview of a plan and in the status of a run."""

from __future__ import annotations

import pytest

from rollout.cli.views import preview
from rollout.core.running.view import view
from rollout.model.time import DAY, HOUR
from tests.core.running.test_windows import planned, world


@pytest.mark.parametrize("width", [80, 200])
def test_the_preview_shows_the_next_windows_in_local_time_and_utc(width: int) -> None:
    """Three windows, and the number of the others."""
    plan = planned(*((day * DAY, day * DAY + 5 * HOUR) for day in range(5)))
    text = preview.text(plan, "sha256:0", width)

    assert "Windows (UTC, tz data 2026a): restarts begin only in" in text
    assert plan.intervals is not None
    for window in plan.intervals[:3]:
        assert window.opens_text in text and window.closes_text in text
    assert "2 more until" in text
    assert max(map(len, text.splitlines())) <= width


def test_the_status_says_when_the_window_opens_and_closes() -> None:
    """Closed windows name the next opening, open ones their close."""
    waiting = world(planned((HOUR, 3 * HOUR)))
    waiting.turn()
    inside = world(planned((-HOUR, 3 * HOUR)))
    inside.turn()

    assert view(waiting.run).window.startswith("the next window opens 2026-")
    assert view(inside.run).window.startswith("the window closes 2026-")
