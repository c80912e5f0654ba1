"""`--until-wave`: the run halts when the named wave is closed, and a resume continues it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.core.invariant import Bug
from rollout.core.running.evolve import evolve
from rollout.core.running.thresholds import waits_for_operator
from rollout.model import event as ev
from rollout.model.halts import HaltReason
from rollout.model.time import HOUR, MINUTE
from tests.core import samples
from tests.core.running.test_gates import story
from tests.core.world import World


def limited(made: World, wave: int) -> World:
    """The run, whose process starts no wave after this one."""
    made.decider.put(ev.LastWaveSet(wave, samples.ACTOR), made.now)
    return made


@given(st.integers(0, 2), st.sampled_from([0, 30 * MINUTE]))
def test_no_later_wave_starts_in_this_process(last: int, bake_ms: int) -> None:
    """I-82: the waves up to the named one are closed and no later one started. The run halts with
    exit 5 unless it was the last wave of the plan, which closes the run.
    """
    made = limited(story(waves=3, bake_ms=bake_ms), last).go()

    started = [event.wave for event in made.events(ev.WaveStarted)]
    assert started == list(range(last + 1)) and made.run.waves_closed == last + 1
    if last == 2:
        assert made.run.closed is not None and made.run.closed.exit == 0
    else:
        assert made.run.halted is not None
        assert (made.run.halted.reason, made.run.halted.exit) == (HaltReason.LAST_WAVE, 5)
        assert waits_for_operator(made.run)


def test_a_resume_continues_with_the_next_wave() -> None:
    """The limit belongs to its process. The bake counts from the close of the wave."""
    made = limited(story(bake_ms=HOUR), 0).go()
    halted_at = made.now
    closed = next(iter(made.events(ev.WaveClosed)))
    assert halted_at < closed.at + HOUR

    made.resume(pause_ms=MINUTE).go()
    made.check_end()

    assert made.events(ev.GateOpened)[0].at == closed.at + HOUR
    assert made.classes["done"] == 5


def test_a_later_wave_is_a_defect() -> None:
    """The state refuses it, whatever was decided."""
    run = limited(story(), 0).go().run

    with pytest.raises(Bug, match="I-82"):
        evolve(run, ev.WaveStarted(1, "all"))
