"""Schedules in the simulator: what happens to ticks, runs and instances on a few seeds.

`python -m tests.app.scheduled` runs more.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rollout.app import ticks
from rollout.core.scheduling.schedule_state import ScheduleState
from tests.app import scheduled


@pytest.mark.parametrize("seed", [0, 1, 5])
def test_no_tick_is_lost_or_fires_twice(seed: int) -> None:
    """Two schedulers are killed at any time and their clock is moved: each tick is recorded, fires
    at most once and has at most one run, runs do not overlap, and no instance restarts twice in a
    run.
    """
    wrong, met = scheduled.simulate(seed)

    assert wrong == []
    assert met["killed"] and met["runs"]


def forget_fired_ticks(patch: pytest.MonkeyPatch) -> None:
    """A tick that fired may fire again after the clock was set back."""
    patch.setattr(ScheduleState, "knows", lambda *_: False)


def forget_the_run(patch: pytest.MonkeyPatch) -> None:
    """A process does not notice that the plan of a tick has a run."""
    patch.setattr(ticks.Firing, "_run", lambda _: None)


@pytest.mark.parametrize(
    "defect, seed, text",
    [(forget_fired_ticks, 3, "fired twice"), (forget_the_run, 1, "with a run")],
)
def test_a_defect_is_found(
    defect: Callable[[pytest.MonkeyPatch], None],
    seed: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a rule, the simulation of some seed reports what it protects."""
    defect(monkeypatch)

    assert any(text in one for one in scheduled.simulate(seed)[0])
