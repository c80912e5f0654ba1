"""What most failures have in common."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rollout.core.running.cohorts import concentrated
from rollout.core.running.layout import Layout
from rollout.model import limits
from tests.core import samples

TYPES = [f"ecs.{'g7' if n % 2 else 'c7'}.large" for n in range(60)]
LAYOUT = Layout(
    samples.make_plan(
        [
            samples.instance(
                n,
                image="m-x" if n < 10 else "m-y",
                zone="z-1",
                os_name="Linux 3" if n < 10 else "Linux 4",
                instance_type=TYPES[n],
            )
            for n in range(60)
        ],
        samples.capped(5),
    )
)
X, Y = range(10), range(10, 60)


def test_an_image_with_most_of_the_failures_is_named() -> None:
    """8 of 9 failures have one image, and few of the others failed. Image and OS name the same
    instances, so they share a sentence.
    """
    common = "8 of 9 failures have image m-x and OS Linux 3"
    text = f"{common}; 2 % of the other 50 finished instances failed"

    assert concentrated(LAYOUT, [*X[:8], Y[0]], [*X, *Y]) == (text,)


def test_an_instance_type_with_most_of_the_failures_is_named() -> None:
    """The failures have several images and one instance type."""
    common = "5 of 5 failures have instance type ecs.g7.large"
    text = f"{common}; 0 % of the other 30 finished instances failed"

    assert concentrated(LAYOUT, [1, 3, 21, 23, 25], range(60)) == (text,)


def test_two_failures_and_an_image_of_all_are_no_cause() -> None:
    """Few failures show nothing, and an attribute of all instances explains nothing."""
    assert concentrated(LAYOUT, X[:2], [*X, *Y]) == ()
    assert concentrated(LAYOUT, X[:8], X) == ()


@given(st.sets(st.sampled_from(range(60))), st.sets(st.sampled_from(range(60))))
def test_a_named_cause_has_most_failures(failed: set[int], done: set[int]) -> None:
    """No attribute is named without enough failures, and the zone of all is never named. Image and
    OS of the same instances are named together.
    """
    texts = concentrated(LAYOUT, failed, failed | done)

    assert len(texts) <= 2
    for text in texts:
        count = int(text.split()[0])
        assert count >= limits.COHORT_FAILURES_MIN
        assert count * 100 >= len(failed) * limits.COHORT_PERCENT
        assert "zone" not in text
        assert ("image" in text) is ("OS" in text)
