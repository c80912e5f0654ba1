"""What most failures have in common."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rollout.core.running.cohorts import concentrated
from rollout.model import limits
from tests.core import samples

TARGETS = [
    target
    for wave in samples.make_plan(
        [samples.instance(n, image="m-x" if n < 10 else "m-y", zone="z-1") for n in range(60)],
        samples.capped(5),
    ).waves
    for target in samples.targets_of(wave)
]
X = [ordinal for ordinal, target in enumerate(TARGETS) if target.image == "m-x"]
Y = [ordinal for ordinal, target in enumerate(TARGETS) if target.image == "m-y"]


def test_an_image_with_most_of_the_failures_is_named() -> None:
    """8 of 9 failures have one image, and few of the others failed."""
    failed = [*X[:8], Y[0]]

    assert concentrated(TARGETS, failed, [*X, *Y]) == (
        "8 of 9 failures have image m-x; 2 % of the other 50 finished instances failed",
    )


def test_two_failures_and_an_image_of_all_are_no_cause() -> None:
    """Few failures show nothing, and an attribute of all instances explains nothing."""
    assert concentrated(TARGETS, X[:2], [*X, *Y]) == ()
    assert concentrated(TARGETS, X[:8], X) == ()


@given(st.sets(st.sampled_from(range(60))), st.sets(st.sampled_from(range(60))))
def test_a_named_cause_has_most_failures(failed: set[int], done: set[int]) -> None:
    """No image is named without enough failures, and the zone of all is never named."""
    texts = concentrated(TARGETS, failed, failed | done)

    assert len(texts) <= 1
    for text in texts:
        count = int(text.split()[0])
        assert count >= limits.COHORT_FAILURES_MIN
        assert count * 100 >= len(failed) * limits.COHORT_PERCENT
        assert "zone" not in text
