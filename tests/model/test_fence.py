"""The mark of a run in a tag: every mark is read as it was written, and nothing else is a mark."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rollout.model import fence
from rollout.model.fence import LIFE_MS, Fence

NOW = 1_795_400_000_000
RUNS = st.from_regex(r"r-[a-z2-7]{10}", fullmatch=True)
SECONDS = st.integers(0, 4_000_000_000).map(lambda seconds: seconds * 1000)


@given(RUNS, st.integers(0, 10**6), SECONDS, st.text(max_size=300))
def test_a_mark_is_read_as_it_was_written(run: str, epoch: int, until: int, by: str) -> None:
    """It fits a tag, and only the name of its process may be changed to fit."""
    text = Fence(run, "0a1b2c3d", epoch, until, by).text()
    found = fence.read(text)

    assert len(text) <= 128 and text.isascii() and "http" not in text.replace(by, "")
    assert found is not None
    assert (found.run, found.epoch, found.until) == (run, epoch, until)
    assert found.text() == text


@given(st.text(max_size=130))
def test_other_values_are_no_mark(text: str) -> None:
    """Whatever somebody wrote into the tag: no mark, or one that is written the same."""
    found = fence.read(text)
    assert found is None or found.text() == text


def test_a_mark_counts_for_its_life() -> None:
    """Not after its end; and a mark that ends in a year was made by a wrong clock."""
    mark = Fence("r-a", "0a1b2c3d", 1, NOW + LIFE_MS, "li.wei@ops-1")

    assert mark.counts(NOW) and mark.counts(NOW + LIFE_MS - 1)
    assert not mark.counts(NOW + LIFE_MS)
    assert not Fence("r-a", "0a1b2c3d", 1, NOW + 9 * LIFE_MS, "li.wei@ops-1").counts(NOW)
    assert fence.read("r-a 0a1b2c3d 1 2026-13-99T00:00:00Z li.wei@ops-1") is None
