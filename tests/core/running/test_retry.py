"""Back-off without a random number."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rollout.core.running.retry import backoff_ms, busy_pause_ms
from rollout.model import limits


@given(st.integers(0, 10_000))
def test_the_pause_is_bounded_and_the_same_every_time(attempt: int) -> None:
    """Full jitter below a ceiling that doubles up to its cap, equal in every process."""
    pause = backoff_ms("run-1", "i-0001", attempt)

    assert 0 <= pause < min(limits.RETRY_CAP_MS, limits.RETRY_BASE_MS << min(attempt, 16))
    assert pause == backoff_ms("run-1", "i-0001", attempt)


def test_instances_do_not_come_back_in_step() -> None:
    """A hundred instances that were refused together are spread over the pause."""
    pauses = {backoff_ms("run-1", f"i-{number:04d}", 5) for number in range(100)}

    assert len(pauses) > 90


@given(st.integers(1, 10_000))
def test_pauses_for_a_busy_instance_grow_up_to_their_cap(refusals: int) -> None:
    """Each pause is at least as long as the one before it until the cap is reached."""
    pause = busy_pause_ms("run-1", "i-0001", refusals)
    following = busy_pause_ms("run-1", "i-0001", refusals + 1)

    assert limits.BUSY_PAUSE_BASE_MS // 2 <= pause < limits.BUSY_PAUSE_CAP_MS
    assert following >= min(pause, limits.BUSY_PAUSE_CAP_MS // 2)
